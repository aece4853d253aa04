use serde_json::{Value, json};
use tfplugin::Model as _;
use tfplugin::testing::{Action, State};

use super::model::EndpointTraffic;
use crate::testing::{Serving, complaint};

const TYPE: &str = "azureml_endpoint_traffic";

fn config(endpoint: &State, traffic: &Value) -> Value {
    json!({ "endpoint_id": endpoint.text("id"), "traffic": traffic })
}

fn shares(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, share)| ((*name).to_owned(), (*share).to_owned())).collect()
}

#[test]
fn the_schema_and_the_model_agree() {
    assert_eq!(super::schema::schema().problems(EndpointTraffic::FIELDS), Vec::<String>::new());
}

#[tokio::test]
async fn the_whole_split_changes_at_once_and_is_imported_as_it_was_configured() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    serving.version(&endpoint, "blue", &Value::Null).await;
    serving.version(&endpoint, "green", &Value::Null).await;
    let first = config(&endpoint, &json!({ "blue": 100, "green": 0 }));
    let traffic = serving.core().create(TYPE, first.clone()).await.expect("created");
    assert_eq!(serving.shares(), shares(&[("blue", "100"), ("green", "0")]));
    serving.core().assert_settled(&traffic, first).await.expect("settled");
    let mut swapped = config(&endpoint, &json!({ "green": 66.67 }));
    swapped["default_version"] = json!("blue");
    swapped["control_version"] = json!("blue");
    let traffic = serving.core().update(&traffic, swapped.clone()).await.expect("updated");
    assert_eq!(serving.shares(), shares(&[("blue", "33.33"), ("green", "66.67")]));
    serving.core().assert_settled(&traffic, swapped).await.expect("settled");
    let imported = serving.core().import(TYPE, &traffic.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), traffic.to_json());
    serving.core().destroy(traffic).await.expect("destroyed");
    assert_eq!(serving.shares(), shares(&[("blue", "100"), ("green", "0")]));
}

#[tokio::test]
async fn a_destroyed_version_serves_until_the_traffic_has_moved() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let blue = serving.version(&endpoint, "blue", &Value::Null).await;
    serving.version(&endpoint, "green", &Value::Null).await;
    let traffic = serving.core().create(TYPE, config(&endpoint, &json!({ "blue": 100 }))).await.expect("created");
    serving.core().destroy(blue).await.expect("destroyed");
    assert_eq!(serving.shares(), shares(&[("blue", "100"), ("green", "0")]));
    assert!(serving.document().versions["blue"].retiring_until.is_some());
    // The configuration that still names it is not what is there.
    let drifted = serving.core().refresh(&traffic).await.expect("read").expect("there");
    assert_eq!(drifted.get("traffic"), json!({}));
    let moved = config(&endpoint, &json!({ "green": 100 }));
    serving.core().update(&traffic, moved).await.expect("updated");
    assert_eq!(serving.document().versions.keys().collect::<Vec<_>>(), ["green"]);
    assert_eq!(serving.shares(), shares(&[("green", "100")]));
}

#[tokio::test]
async fn a_version_that_is_made_anew_under_its_name_keeps_its_traffic() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let blue = serving.version(&endpoint, "blue", &Value::Null).await;
    serving.version(&endpoint, "green", &Value::Null).await;
    serving.core().create(TYPE, config(&endpoint, &json!({ "blue": 60 }))).await.expect("created");
    serving.core().destroy(blue).await.expect("destroyed");
    let slow = json!({ "inference_config": serving.inference("slow.py"), "timeouts": { "create": "1s" } });
    let config = serving.version_config(&endpoint, "blue", &slow);
    let (_, text) = complaint(&serving.core().create("azureml_endpoint_version", config).await.expect_err("too slow"));
    assert!(text.contains("in time"), "{text}");
    let blue = &serving.document().versions["blue"];
    assert_eq!((blue.template.code.entry_script.as_str(), blue.retiring_until.is_some()), ("score.py", true));
    serving.version(&endpoint, "blue", &Value::Null).await;
    assert!(serving.document().versions["blue"].retiring_until.is_none());
    assert_eq!(serving.shares(), shares(&[("blue", "100"), ("green", "0")]));
}

#[tokio::test]
async fn versions_must_exist_and_declare_nothing_themselves() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    serving.version(&endpoint, "blue", &json!({ "traffic_percentile": 50 })).await;
    let unknown = config(&endpoint, &json!({ "blue": 10, "red": 20 }));
    let (path, text) = complaint(&serving.core().create(TYPE, unknown).await.expect_err("refused"));
    assert!(path == "traffic" && text.contains("no version red") && text.contains("blue"), "{path} {text}");
    let beside = config(&endpoint, &json!({ "blue": 10 }));
    let (_, text) = complaint(&serving.core().create(TYPE, beside).await.expect_err("refused"));
    assert!(text.contains("declare a share") && text.contains("blue"), "{text}");
    assert!(serving.document().assignment.is_none());
}

#[tokio::test]
async fn a_version_may_not_declare_a_share_beside_it() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let blue = serving.version(&endpoint, "blue", &Value::Null).await;
    serving.core().create(TYPE, config(&endpoint, &json!({ "blue": 100 }))).await.expect("created");
    let declares = serving.version_config(&endpoint, "blue", &json!({ "traffic_percentile": 0 }));
    let (path, text) = complaint(&serving.core().update(&blue, declares).await.expect_err("refused"));
    assert!(path == "traffic_percentile" && text.contains("azureml_endpoint_traffic"), "{path} {text}");
    assert!(text.contains("Nothing was changed"), "{text}");
}

#[tokio::test]
async fn shares_that_cannot_be_are_errors_on_their_version() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    for (traffic, path) in [
        (json!({ "blue": 33.333 }), "traffic[\"blue\"]"),
        (json!({ "blue": -1 }), "traffic[\"blue\"]"),
        (json!({ "Blue": 1 }), "traffic[\"Blue\"]"),
        (json!({ "blue": 60, "green": 41 }), "traffic"),
    ] {
        let error = serving.core().validate(TYPE, config(&endpoint, &traffic)).await.expect_err("refused");
        let paths: Vec<String> = error.messages().iter().map(|message| message.path.to_string()).collect();
        assert_eq!(paths, [path], "{traffic}");
    }
}

#[tokio::test]
async fn a_second_declaration_of_the_same_traffic_is_refused() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    serving.version(&endpoint, "blue", &Value::Null).await;
    let first = config(&endpoint, &json!({ "blue": 100 }));
    let traffic = serving.core().create(TYPE, first.clone()).await.expect("created");
    // A lost state finds its traffic again.
    serving.core().create(TYPE, first.clone()).await.expect("adopted");
    let other = config(&endpoint, &json!({ "blue": 50 }));
    let (path, text) = complaint(&serving.core().create(TYPE, other).await.expect_err("refused"));
    assert!(path == "endpoint_id" && text.contains(&traffic.text("id")), "{path} {text}");
    let planned = serving.core().plan(TYPE, Some(&traffic), first).await.expect("planned");
    assert_eq!(planned.action, Action::NoOp);
}
