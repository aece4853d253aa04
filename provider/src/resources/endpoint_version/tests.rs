use serde_json::{Value, json};
use tfplugin::Model as _;
use tfplugin::testing::Action;

use super::model::EndpointVersion;
use crate::testing::{SCRIPT, Serving, changed, complaint, left};

const TYPE: &str = "azureml_endpoint_version";

fn shares(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, share)| ((*name).to_owned(), (*share).to_owned())).collect()
}

#[test]
fn the_schema_and_the_model_agree() {
    assert_eq!(super::schema::schema().problems(EndpointVersion::FIELDS), Vec::<String>::new());
}

#[tokio::test]
async fn the_original_documents_example_is_served_as_it_says() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let first = json!({ "traffic_percentile": 20, "is_default": true });
    let one = serving.version(&endpoint, "versiona", &first).await;
    assert_eq!(serving.shares(), shares(&[("versiona", "100")]));
    let two = serving.version(&endpoint, "versionb", &json!({ "traffic_percentile": 10 })).await;
    assert_eq!(serving.shares(), shares(&[("versiona", "90"), ("versionb", "10")]));
    let config = serving.version_config(&endpoint, "versiona", &json!({ "traffic_percentile": 20 }));
    serving.core().update(&one, config).await.expect("updated");
    let moved = json!({ "traffic_percentile": 40, "is_default": true });
    let config = serving.version_config(&endpoint, "versionb", &moved);
    let two = serving.core().update(&two, config.clone()).await.expect("updated");
    assert_eq!(serving.shares(), shares(&[("versiona", "20"), ("versionb", "80")]));
    serving.core().assert_settled(&two, config).await.expect("settled");
    serving.core().destroy(two).await.expect("destroyed");
    assert_eq!(serving.shares(), shares(&[("versiona", "100")]));
}

#[tokio::test]
async fn a_version_may_be_named_like_its_endpoint_and_is_imported_as_it_was_configured() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let changes = json!({
        "traffic_percentile": 33.33, "is_default": false, "is_control_version_type": true, "description": "d",
        "tags": { "a": "b" }, "properties": {}, "rollout": { "max_surge": 2 },
    });
    let version = serving.version(&endpoint, "churn", &changes).await;
    assert_eq!(version.text("state"), "Healthy");
    let config = serving.version_config(&endpoint, "churn", &changes);
    serving.core().assert_settled(&version, config).await.expect("settled");
    let imported = serving.core().import(TYPE, &version.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), version.to_json());
}

#[tokio::test]
async fn changed_code_rolls_in_place_and_keeps_the_share() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    serving.version(&endpoint, "base", &Value::Null).await;
    let changes = json!({ "traffic_percentile": 30 });
    let version = serving.version(&endpoint, "forest", &changes).await;
    serving.write_script(&format!("{SCRIPT}# changed\n"));
    let config = serving.version_config(&endpoint, "forest", &changes);
    let planned = serving.core().plan(TYPE, Some(&version), config.clone()).await.expect("planned");
    assert_eq!(planned.action, Action::Update);
    let updated = serving.core().apply(planned).await.expect("applied").expect("there");
    assert_ne!(updated.get("code_digest"), version.get("code_digest"));
    assert_eq!(serving.shares(), shares(&[("base", "70"), ("forest", "30")]));
    assert!(serving.document().versions["forest"].former.is_none());
    serving.core().assert_settled(&updated, config).await.expect("settled");
}

#[tokio::test]
async fn replicas_that_do_not_become_ready_leave_the_others_and_the_former_version_as_they_were() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let version = serving.version(&endpoint, "ridge", &json!({ "traffic_percentile": 40 })).await;
    let broken = json!({ "inference_config": serving.inference("broken.py"), "traffic_percentile": 10 });
    let config = serving.version_config(&endpoint, "ridge", &broken);
    let error = serving.core().update(&version, config).await.expect_err("fails");
    let (_, text) = complaint(&error);
    assert!(text.contains("no weights") && text.contains("keeps serving"), "{text}");
    assert_eq!(left(&error).expect("a state").get("traffic_percentile"), json!(40));
    let config = serving.version_config(&endpoint, "forest", &broken);
    let error = serving.core().create(TYPE, config).await.expect_err("fails");
    assert!(left(&error).is_none());
    assert_eq!(serving.document().versions.keys().collect::<Vec<_>>(), ["ridge"]);
    assert_eq!(serving.shares(), shares(&[("ridge", "100")]));
}

#[tokio::test]
async fn shares_in_conflict_are_shown_as_they_are_served_until_a_sibling_resolves_it() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let blue = serving.version(&endpoint, "blue", &json!({ "traffic_percentile": 100 })).await;
    let green = serving.version(&endpoint, "green", &json!({ "traffic_percentile": 0 })).await;
    let all = json!({ "traffic_percentile": 100 });
    let config = serving.version_config(&endpoint, "green", &all);
    let error = serving.core().update(&green, config.clone()).await.expect_err("in conflict");
    let (path, text) = complaint(&error);
    assert_eq!(path, "traffic_percentile");
    assert!(text.contains("blue 100 %") && text.contains("green 100 %"), "{text}");
    assert_eq!(serving.shares(), shares(&[("blue", "100"), ("green", "0")]));
    let state = left(&error).expect("a state");
    let planned = serving.core().plan(TYPE, Some(state), config.clone()).await.expect("planned");
    assert_eq!((planned.action, state.get("traffic_percentile")), (Action::Update, json!(0)));
    let none = serving.version_config(&endpoint, "blue", &json!({ "traffic_percentile": 0 }));
    serving.core().update(&blue, none).await.expect("updated");
    assert_eq!(serving.shares(), shares(&[("blue", "0"), ("green", "100")]));
    let state = serving.core().refresh(state).await.expect("read").expect("there");
    serving.core().assert_settled(&state, config).await.expect("settled");
}

#[tokio::test]
async fn a_swap_is_served_whichever_version_is_written_first() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let blue = serving.version(&endpoint, "blue", &json!({ "traffic_percentile": 100, "is_default": true })).await;
    let green = serving.version(&endpoint, "green", &Value::Null).await;
    let to_green = json!({ "traffic_percentile": 100, "is_default": true });
    let (off, on) = (
        serving.version_config(&endpoint, "blue", &Value::Null),
        serving.version_config(&endpoint, "green", &to_green),
    );
    // The claim first: it waits for its sibling.
    let (green, blue) = tokio::join!(serving.core().update(&green, on), serving.core().update(&blue, off));
    green.expect("updated");
    blue.expect("updated");
    assert_eq!(serving.shares(), shares(&[("blue", "0"), ("green", "100")]));
}

#[tokio::test]
async fn six_versions_are_the_most() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    for name in ["one-1", "two-2", "three", "four", "five", "six-6"] {
        serving.version(&endpoint, name, &Value::Null).await;
    }
    let config = serving.version_config(&endpoint, "seven", &Value::Null);
    let (path, text) = complaint(&serving.core().create(TYPE, config).await.expect_err("refused"));
    assert!(path == "name" && text.contains("three") && text.contains("Nothing was changed"), "{path} {text}");
    assert_eq!(serving.document().versions.len(), 6);
}

#[tokio::test]
async fn percentages_that_are_none_are_errors_on_the_attribute() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    for percent in [json!(33.333), json!(-1), json!(100.01)] {
        let config = serving.version_config(&endpoint, "ridge", &json!({ "traffic_percentile": percent }));
        let error = serving.core().validate(TYPE, config).await.expect_err("refused");
        let paths: Vec<String> = error.messages().iter().map(|message| message.path.to_string()).collect();
        assert_eq!(paths, ["traffic_percentile"], "{percent}");
    }
}

#[tokio::test]
async fn an_edited_table_shows_as_drift_and_is_repaired() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    serving.version(&endpoint, "blue", &json!({ "is_default": true })).await;
    let changes = json!({ "traffic_percentile": 10 });
    let green = serving.version(&endpoint, "green", &changes).await;
    let mut document = serving.document();
    let table = document.served.as_mut().expect("a table");
    table.shares.insert("green".into(), serving::traffic::BasisPoints(4_000));
    std::fs::write(serving.world.path("ws/local/local/services/churn.json"), document.write()).expect("written");
    let state = serving.core().refresh(&green).await.expect("read").expect("there");
    assert_eq!(state.get("traffic_percentile"), json!(40));
    let config = serving.version_config(&endpoint, "green", &changes);
    serving.core().update(&state, config).await.expect("updated");
    assert_eq!(serving.shares(), shares(&[("blue", "90"), ("green", "10")]));
}

#[tokio::test]
async fn a_version_of_somebody_else_is_refused_with_its_owner() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let version = serving.version(&endpoint, "ridge", &Value::Null).await;
    let other = serving.world.other_run("somebody else").await;
    let config = serving.version_config(&endpoint, "ridge", &Value::Null);
    let (path, text) = complaint(&other.create(TYPE, config.clone()).await.expect_err("refused"));
    assert!(path == "name" && text.contains("belongs to me") && text.contains(&version.text("id")), "{path} {text}");
    // The same owner's lost state finds its version again.
    let adopted = serving.core().create(TYPE, config.clone()).await.expect("adopted");
    // Its times are those of the create that took it over, which tells it from what an earlier one has left.
    let timeless = |mut model: Value| {
        let fields = model.as_object_mut().expect("an object");
        assert!(fields.remove("created_time").is_some() && fields.remove("updated_time").is_some());
        model
    };
    assert_eq!(timeless(adopted.to_json()), timeless(version.to_json()));
    // What the lost state had is another one by now, which its destroy leaves alone.
    serving.core().destroy(version).await.expect("destroyed");
    assert_eq!(serving.document().versions.len(), 1);
    let another = changed(config, &json!({ "num_replicas": 2 }));
    assert!(serving.core().create(TYPE, another).await.is_err());
}

#[tokio::test]
async fn six_writers_at_once_lose_no_declaration() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let names = ["one-1", "two-2", "three", "four", "five", "six-6"];
    let config = |name: &str| serving.version_config(&endpoint, name, &json!({ "traffic_percentile": 16.5 }));
    let create = |name| serving.core().create(TYPE, config(name));
    let (one, two, three, four, five, six) = tokio::join!(
        create(names[0]),
        create(names[1]),
        create(names[2]),
        create(names[3]),
        create(names[4]),
        create(names[5]),
    );
    for version in [one, two, three, four, five, six] {
        assert_eq!(version.expect("created").text("state"), "Healthy");
    }
    let shares: Vec<String> = serving.shares().into_iter().map(|(_, share)| share).collect();
    assert_eq!(shares.iter().filter(|share| *share == "16.5").count(), 5, "{shares:?}");
}
