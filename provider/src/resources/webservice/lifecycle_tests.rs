use serde_json::{Value, json};
use tfplugin::testing::{Action, CoreError, State, UNKNOWN};

use crate::cluster::Cluster as _;
use crate::testing::{SCRIPT, Serving, World, changed, complaint, left};

const TYPE: &str = "azureml_webservice";

impl Serving {
    fn config(&self, changes: &Value) -> Value {
        let config = json!({
            "name": "double",
            "compute_id": self.compute.text("id"),
            "model_ids": [self.model.text("version_id")],
            "inference_config": self.inference("score.py"),
            "num_replicas": 1,
        });
        changed(config, changes)
    }

    async fn create(&self, changes: &Value) -> State {
        self.core().create(TYPE, self.config(changes)).await.expect("created")
    }

    async fn update(&self, state: &State, changes: &Value) -> Result<State, CoreError> {
        self.core().update(state, self.config(changes)).await
    }

    async fn keys(&self, state: &State) -> [String; 2] {
        let keys = json!({ "webservice_id": state.text("id") });
        let keys = self.core().ephemeral("azureml_webservice_keys", keys).await.expect("opened");
        ["primary_key", "secondary_key"].map(|slot| keys.result.text(slot))
    }
}

#[tokio::test]
async fn a_service_is_created_settled_imported_and_destroyed() {
    let serving = Serving::new().await;
    let changes = json!({ "tags": {}, "description": "d", "rollout": { "max_surge": 2 }, "properties": { "a": "b" } });
    let service = serving.create(&changes).await;
    assert_eq!(service.text("state"), "Healthy");
    let uri = format!("http://127.0.0.1:{}/api/v1/service/double/score", serving.compute.get("port"));
    assert_eq!(service.text("scoring_uri"), uri);
    assert_eq!((service.get("primary_key_version"), service.get("max_request_wait_time")), (json!(1), json!(500)));
    serving.core().assert_settled(&service, serving.config(&changes)).await.expect("settled");
    let imported = serving.core().import(TYPE, &service.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), service.to_json());
    let found = serving.core().data(TYPE, json!({ "id": service.text("id") })).await.expect("found");
    assert_eq!((found.text("scoring_uri"), found.get("num_replicas")), (uri, json!(1)));
    serving.core().destroy(service).await.expect("destroyed");
    let directory = serving.world.path("ws/local/local");
    for folder in ["keys", "apps", "logs/double", "services"] {
        let left = std::fs::read_dir(directory.join(folder)).into_iter().flatten().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != ".lock").collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
}

#[tokio::test]
async fn a_changed_file_is_an_update_in_place_with_the_digest_in_the_plan() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    serving.write_script(&format!("{SCRIPT}# changed\n"));
    let config = serving.config(&Value::Null);
    let planned = serving.core().plan(TYPE, Some(&service), config.clone()).await.expect("planned");
    assert_eq!(planned.action, Action::Update);
    let digest = planned.value.attribute("code_digest").as_str().expect("known").to_owned();
    let updated = serving.core().apply(planned).await.expect("applied").expect("there");
    assert!(updated.text("code_digest") == digest && digest != service.text("code_digest"));
    serving.core().assert_settled(&updated, config).await.expect("settled");
    assert_eq!(std::fs::read_dir(serving.world.path("ws/local/local/apps")).expect("a folder").count(), 1);
}

#[tokio::test]
async fn a_new_service_has_no_id_while_it_is_planned_so_that_nothing_reads_it_too_soon() {
    let serving = Serving::new().await;
    let planned = serving.core().plan(TYPE, None, serving.config(&Value::Null)).await.expect("planned");
    assert!(planned.value.attribute("id").is_unknown());
    let service = serving.core().apply(planned).await.expect("applied").expect("there");
    let config = serving.config(&json!({ "num_replicas": 2 }));
    let planned = serving.core().plan(TYPE, Some(&service), config).await.expect("planned");
    assert_eq!(planned.value.attribute("id").as_str(), Some(service.text("id").as_str()));
}

#[tokio::test]
async fn what_is_known_only_after_apply_is_planned_as_such() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let inference = changed(serving.inference("score.py"), &json!({ "environment_id": UNKNOWN }));
    let config = serving.config(&json!({ "model_ids": [UNKNOWN], "inference_config": inference }));
    let planned = serving.core().plan(TYPE, Some(&service), config).await.expect("planned");
    assert_eq!(planned.action, Action::Update);
    assert!(planned.value.attribute("environment_version").is_unknown());
    let applied = serving.core().apply_with(planned, serving.config(&Value::Null)).await.expect("applied");
    assert_eq!(applied.expect("there").get("environment_version"), json!(1));
}

#[tokio::test]
async fn a_new_environment_version_rolls_the_service() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let environment = json!({
        "name": "plain", "workspace_id": serving.world.workspace, "pip_requirements": "# nothing\n",
        "environment_variables": { "COLOUR": "blue" },
    });
    serving.core().update(&serving.environment, environment).await.expect("updated");
    let updated = serving.update(&service, &Value::Null).await.expect("updated");
    assert_eq!(updated.get("environment_version"), json!(2));
    let document = serving.world.cluster().service("double").await.expect("read").expect("there");
    assert_eq!(document.versions["double"].template.environment_variables["COLOUR"], "blue");
}

#[tokio::test]
async fn replicas_that_do_not_become_ready_fail_the_create_and_leave_nothing() {
    let serving = Serving::new().await;
    let broken = serving.config(&json!({ "inference_config": serving.inference("broken.py") }));
    let error = serving.core().create(TYPE, broken).await.expect_err("it fails");
    let (_, text) = complaint(&error);
    assert!(text.contains("ValueError: no weights") && text.contains("line 2"), "{text}");
    assert!(left(&error).is_none());
    assert_eq!(serving.world.cluster().services().await.expect("listed"), Vec::<String>::new());
    serving.create(&Value::Null).await;
}

#[tokio::test]
async fn replicas_that_do_not_become_ready_leave_what_served_and_its_state() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let keys = serving.keys(&service).await;
    let changes = json!({
        "inference_config": serving.inference("broken.py"), "primary_key_version": 2, "description": "new",
    });
    let error = serving.update(&service, &changes).await.expect_err("it fails");
    assert!(complaint(&error).1.contains("What served before keeps serving"), "{error}");
    let state = left(&error).expect("what serves");
    for unchanged in ["inference_config", "description", "primary_key_version", "code_digest", "state"] {
        assert_eq!(state.get(unchanged), service.get(unchanged), "{unchanged}");
    }
    assert_eq!(serving.keys(state).await, keys);
    let updated = serving.update(state, &json!({ "description": "new" })).await.expect("updated");
    assert_eq!(updated.text("description"), "new");
}

#[tokio::test]
async fn an_interrupted_update_is_finished_by_the_next() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let slow = json!({ "inference_config": serving.inference("slow.py"), "timeouts": { "update": "5m" } });
    let update = serving.update(&service, &slow);
    let cluster = serving.world.cluster();
    let stop = async {
        while cluster.service("double").await.expect("read").is_some_and(|service| service.committed) {
            tokio::task::yield_now().await;
        }
        serving.core().stop().await.expect("stopped");
    };
    let (updated, ()) = tokio::join!(update, stop);
    let error = updated.expect_err("interrupted");
    let state = left(&error).expect("what is under way").clone();
    assert_eq!(state.text("state"), "Transitioning");

    // The next run sees that something is unfinished even if the configuration says the same.
    let core = serving.world.other_run("me").await;
    let planned = core.plan(TYPE, Some(&state), serving.config(&slow)).await.expect("planned");
    assert_eq!(planned.action, Action::Update);
    let updated = core.update(&state, serving.config(&Value::Null)).await.expect("updated");
    assert_eq!(updated.text("state"), "Healthy");
    core.assert_settled(&updated, serving.config(&Value::Null)).await.expect("settled");
}

#[tokio::test]
async fn a_create_that_runs_out_of_time_leaves_nothing() {
    let serving = Serving::new().await;
    let slow = json!({ "inference_config": serving.inference("slow.py"), "timeouts": { "create": "2s" } });
    let error = serving.core().create(TYPE, serving.config(&slow)).await.expect_err("it fails");
    let (_, text) = complaint(&error);
    assert!(text.contains("in time") && text.contains("`create`"), "{text}");
    assert_eq!(serving.world.cluster().services().await.expect("listed"), Vec::<String>::new());
}

#[tokio::test]
async fn a_key_is_replaced_when_its_version_changes_and_not_before() {
    let serving = Serving::new().await;
    let given = |key: &str, version: u64| json!({ "primary_key_wo": key, "primary_key_version": version });
    let service = serving.create(&given("the-first-key-of-the-webservice-of-the-test", 1)).await;
    let [primary, secondary] = serving.keys(&service).await;
    assert_eq!(primary, "the-first-key-of-the-webservice-of-the-test");
    assert!(!service.to_json().to_string().contains(&primary));

    let config = serving.config(&given("the-second-key-of-the-webservice-of-the-test", 1));
    serving.core().assert_settled(&service, config).await.expect("nothing to do");
    let updated =
        serving.update(&service, &given("the-second-key-of-the-webservice-of-the-test", 2)).await.expect("updated");
    assert_eq!(
        serving.keys(&updated).await,
        ["the-second-key-of-the-webservice-of-the-test".to_owned(), secondary.clone()]
    );

    let generated = serving.update(&updated, &json!({ "primary_key_version": 3 })).await.expect("updated");
    let [third, same] = serving.keys(&generated).await;
    assert!(third != "the-second-key-of-the-webservice-of-the-test" && same == secondary);
    // Without the argument the version stays what it is.
    serving.core().assert_settled(&generated, serving.config(&Value::Null)).await.expect("settled");
}

#[tokio::test]
async fn lost_keys_are_made_anew() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let before = serving.keys(&service).await;
    std::fs::remove_dir_all(serving.world.path("ws/local/local/keys")).expect("removed");
    let updated = serving.update(&service, &Value::Null).await.expect("updated");
    assert_eq!(updated.get("primary_key_version"), json!(1));
    assert_ne!(serving.keys(&updated).await, before);
}

#[tokio::test]
async fn a_service_is_read_while_the_router_is_down_and_changes_need_it() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    serving.world.kill_router().await;
    let found = serving.core().refresh(&service).await.expect("read").expect("there");
    assert_eq!((found.text("state"), found.text("scoring_uri")), ("Unhealthy".into(), service.text("scoring_uri")));
    let config = serving.config(&Value::Null);
    let planned = serving.core().plan(TYPE, Some(&found), config).await.expect("planned");
    assert_eq!(planned.action, Action::NoOp);
    serving.core().destroy(found).await.expect("destroyed");
}

#[tokio::test]
async fn an_existing_service_is_adopted_by_its_owner_as_it_was_made_and_refused_otherwise() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let again = serving.create(&Value::Null).await;
    assert_eq!(again.to_json(), service.to_json());
    let other = serving.world.other_run("somebody-else").await;
    let refused = [
        other.create(TYPE, serving.config(&Value::Null)).await,
        serving.core().create(TYPE, serving.config(&json!({ "num_replicas": 2 }))).await,
    ];
    for refused in refused {
        let (path, text) = complaint(&refused.expect_err("refused"));
        let import = format!("terraform import <address> '{}'", service.text("id"));
        assert!(path == "name" && text.contains("belongs to me") && text.contains(&import), "{path}: {text}");
    }
}

#[tokio::test]
async fn documents_that_disappear_or_are_edited_show_in_the_plan() {
    let serving = Serving::new().await;
    let service = serving.create(&json!({ "num_replicas": 2 })).await;
    let path = serving.world.path("ws/local/local/services/double.json");
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replace("\"fixed\": 2", "\"fixed\": 5")).expect("written");
    let found = serving.core().refresh(&service).await.expect("read").expect("there");
    assert_eq!(found.get("num_replicas"), json!(5));
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(serving.core().refresh(&service).await.expect("read"), None);
}

#[tokio::test]
async fn a_name_or_a_compute_of_another_kind_replaces_the_service() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let planned = serving.core().plan(TYPE, Some(&service), serving.config(&json!({ "name": "twice" }))).await;
    assert_eq!(planned.expect("planned").action, Action::Replace);
}

#[tokio::test]
async fn what_does_not_exist_is_an_error_on_its_attribute() {
    let serving = Serving::new().await;
    let workspace = &serving.world.workspace;
    let inference = changed(
        serving.inference("score.py"),
        &json!({ "environment_id": format!("{workspace}/environments/nothing") }),
    );
    for (changes, attribute) in [
        (json!({ "model_ids": [format!("{workspace}/models/one/7")] }), "model_ids[0]"),
        (json!({ "compute_id": format!("{workspace}/computes/nothing") }), "compute_id"),
        (json!({ "inference_config": inference }), "inference_config.environment_id"),
        (json!({ "inference_config": serving.inference("nothing.py") }), "inference_config.entry_script"),
        (json!({ "name": "Double_" }), "name"),
    ] {
        let error = serving.core().create(TYPE, serving.config(&changes)).await.expect_err("refused");
        assert_eq!(complaint(&error).0, attribute);
    }
}

#[tokio::test]
async fn a_compute_with_services_is_not_destroyed() {
    let serving = Serving::new().await;
    serving.create(&Value::Null).await;
    let (_, text) = complaint(&serving.core().destroy(serving.compute.clone()).await.expect_err("refused"));
    assert!(text.contains("double"), "{text}");
}

#[tokio::test]
async fn time_limits_alone_change_nothing() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let path = serving.world.path("ws/local/local/services/double.json");
    let before = std::fs::read(&path).expect("read");
    let updated = serving.update(&service, &json!({ "timeouts": { "create": "1h" } })).await.expect("updated");
    assert_eq!(updated.text("updated_time"), service.text("updated_time"));
    assert_eq!(std::fs::read(&path).expect("read"), before);
}

#[tokio::test]
async fn logs_are_read_by_replica() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let folder = serving.world.path("ws/local/local/logs/double/double");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("double-r-1.log"), "one\ntwo\n").expect("written");
    let logs = json!({ "webservice_id": service.text("id"), "num_lines": 1 });
    let logs = serving.core().ephemeral("azureml_webservice_logs", logs).await.expect("opened");
    assert_eq!(logs.result.get("replicas"), json!([{ "id": "double-r-1", "log": "two\n" }]));
}

#[tokio::test]
async fn the_sizing_function_computes_the_documented_example_and_names_bad_arguments() {
    let serving = World::new().await;
    let call = |arguments: [Value; 4]| serving.core.call("required_replicas", arguments);
    assert_eq!(call([json!(20), json!(10), json!(1), json!(70)]).await.expect("a number"), json!(286));
    for (arguments, position) in [
        ([json!(-1), json!(10), json!(1), json!(70)], 0),
        ([json!(20), json!(-1), json!(1), json!(70)], 1),
        ([json!(20), json!(10), json!(0), json!(70)], 2),
        ([json!(20), json!(10), json!(1), json!(170)], 3),
    ] {
        let error = call(arguments).await.expect_err("refused");
        assert!(matches!(error, CoreError::Function { argument: Some(found), .. } if found == position), "{error}");
    }
}

#[tokio::test]
async fn a_token_is_issued_from_the_computes_key_whether_or_not_the_router_runs() {
    let serving = Serving::new().await;
    let service = serving.create(&json!({ "token_auth_enabled": true })).await;
    let id = service.text("id");
    let open = |changes: Value| {
        let config = changed(json!({ "webservice_id": id }), &changes);
        serving.core().ephemeral("azureml_webservice_token", config)
    };
    let token = open(Value::Null).await.expect("opened").result;
    assert_eq!((token.text("token_type").as_str(), token.text("access_token").split('.').count()), ("Bearer", 3));
    let seconds = |name: &str| token.get(name).as_i64().expect("seconds");
    assert_eq!(seconds("expiry_on") - seconds("refresh_after"), 900);
    serving.world.kill_router().await;
    let short = open(json!({ "lifetime": 60 })).await.expect("opened").result;
    assert!(short.get("expiry_on").as_i64() < token.get("expiry_on").as_i64());
    let (path, text) = complaint(&open(json!({ "lifetime": 59 })).await.expect_err("refused"));
    assert!(path == "lifetime" && text.contains("60 to 86400"), "{path}: {text}");
    std::fs::remove_file(serving.world.path("ws/local/local/signing-keys.json")).expect("removed");
    let (_, text) = complaint(&open(Value::Null).await.expect_err("refused"));
    assert!(text.contains("no key to sign tokens with") && text.contains("apply"), "{text}");
}

#[tokio::test]
async fn a_token_can_be_opened_by_the_plan_that_turns_tokens_on() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let config = json!({ "webservice_id": service.text("id") });
    let token = serving.core().ephemeral("azureml_webservice_token", config).await.expect("opened").result;
    assert_eq!(token.text("access_token").split('.').count(), 3);
}

#[tokio::test]
async fn a_replaced_key_stays_valid_for_the_overlap() {
    let serving = Serving::new().await;
    let service = serving.create(&Value::Null).await;
    let [primary, _] = serving.keys(&service).await;
    let change = json!({ "primary_key_version": 2, "key_overlap": 3600 });
    let updated = serving.update(&service, &change).await.expect("updated");
    let document = serving.world.cluster().service("double").await.expect("read").expect("there");
    let keys = serving.world.cluster().keys("double", document.auth.keys.expect("keys")).await.expect("read");
    let replaced = keys.expect("there").replaced;
    let digest = ::serving::service::KeySlot { key: primary, version: 1 }.digest();
    assert_eq!(replaced.iter().map(|key| &key.digest).collect::<Vec<_>>(), [&digest]);
    assert!(replaced[0].until.parse::<jiff::Timestamp>().expect("a time") > jiff::Timestamp::now());
    serving.core().assert_settled(&updated, serving.config(&change)).await.expect("settled");
}
