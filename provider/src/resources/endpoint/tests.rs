use serde_json::{Value, json};
use tfplugin::Model as _;
use tfplugin::testing::Action;

use super::model::Endpoint;
use crate::testing::{Serving, complaint};

const TYPE: &str = "azureml_endpoint";

#[test]
fn the_schema_and_the_model_agree() {
    assert_eq!(super::schema::schema().problems(Endpoint::FIELDS), Vec::<String>::new());
}

#[tokio::test]
async fn an_endpoint_lives_without_versions_and_is_imported_as_it_was_configured() {
    let serving = Serving::new().await;
    let changes = json!({ "description": "d", "tags": {}, "sticky": { "cookie": "user" }, "key_overlap": 60 });
    let endpoint = serving.endpoint(&changes).await;
    let uri = format!("http://127.0.0.1:{}/api/v1/endpoint/churn/score", serving.compute.get("port"));
    assert_eq!(endpoint.text("scoring_uri"), uri);
    assert!(serving.document().served.is_none());
    serving.core().assert_settled(&endpoint, serving.endpoint_config(&changes)).await.expect("settled");
    let imported = serving.core().import(TYPE, &endpoint.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), endpoint.to_json());
    serving.core().destroy(endpoint).await.expect("destroyed");
    assert!(!serving.world.path("ws/local/local/services/churn.json").exists());
}

#[tokio::test]
async fn every_attribute_but_name_and_compute_is_updated_in_place() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    let changes = json!({
        "description": "new", "tags": { "a": "b" }, "properties": { "c": "d" }, "sticky": { "query": "user" },
        "token_auth_enabled": true, "key_overlap": 5, "primary_key_version": 2, "force_destroy": true,
    });
    let config = serving.endpoint_config(&changes);
    let planned = serving.core().plan(TYPE, Some(&endpoint), config.clone()).await.expect("planned");
    assert_eq!(planned.action, Action::Update);
    let updated = serving.core().apply(planned).await.expect("applied").expect("there");
    assert_eq!((updated.get("auth_enabled"), updated.get("token_auth_enabled")), (json!(false), json!(true)));
    serving.core().assert_settled(&updated, config).await.expect("settled");
    let imported = serving.core().import(TYPE, &endpoint.text("id")).await.expect("imported");
    assert_eq!(imported.get("sticky"), updated.get("sticky"));
}

#[tokio::test]
async fn versions_that_were_made_elsewhere_keep_their_endpoint_unless_it_is_forced() {
    let serving = Serving::new().await;
    let endpoint = serving.endpoint(&Value::Null).await;
    serving.version(&endpoint, "ridge", &Value::Null).await;
    let planned = serving.core().plan_destroy(&endpoint).await.expect("planned");
    let (_, text) = complaint(&serving.core().apply(planned).await.expect_err("refused"));
    assert!(text.contains("ridge") && text.contains("force_destroy"), "{text}");
    let config = serving.endpoint_config(&json!({ "force_destroy": true }));
    let forced = serving.core().update(&endpoint, config).await.expect("updated");
    serving.core().destroy(forced).await.expect("destroyed");
}

#[tokio::test]
async fn wrong_settings_are_errors_on_their_attributes() {
    let serving = Serving::new().await;
    for (changes, attribute) in [
        (json!({ "auth_enabled": true, "token_auth_enabled": true }), "token_auth_enabled"),
        (json!({ "sticky": { "header": "a", "query": "b" } }), "sticky"),
        (json!({ "sticky": {} }), "sticky"),
        (json!({ "primary_key_wo": "too-short" }), "primary_key_wo"),
        (json!({ "key_overlap": -1 }), "key_overlap"),
    ] {
        let error = serving.core().validate(TYPE, serving.endpoint_config(&changes)).await.expect_err("refused");
        let paths: Vec<String> = error.messages().iter().map(|message| message.path.to_string()).collect();
        assert_eq!(paths, [attribute], "{changes}");
    }
    let (path, text) = {
        let config = serving.endpoint_config(&json!({ "sticky": { "header": "authorization" } }));
        complaint(&serving.core().create(TYPE, config).await.expect_err("refused"))
    };
    assert!(path.starts_with("sticky") && text.contains("authorization"), "{path} {text}");
}

#[tokio::test]
async fn a_webservice_of_the_name_is_not_taken_for_an_endpoint() {
    let serving = Serving::new().await;
    let config = json!({
        "name": "churn", "compute_id": serving.compute.text("id"), "num_replicas": 1,
        "inference_config": serving.inference("score.py"),
    });
    serving.core().create("azureml_webservice", config).await.expect("created");
    let (path, text) =
        complaint(&serving.core().create(TYPE, serving.endpoint_config(&Value::Null)).await.expect_err("refused"));
    assert!(path == "name" && text.contains("webservice"), "{path} {text}");
}

#[tokio::test]
async fn an_endpoint_that_was_made_anew_under_the_name_is_not_the_one_of_an_older_state() {
    let serving = Serving::new().await;
    let old = serving.endpoint(&Value::Null).await;
    std::fs::remove_file(serving.world.path("ws/local/local/services/churn.json")).expect("removed");
    assert!(serving.core().refresh(&old).await.expect("read").is_none());
    serving.endpoint(&json!({ "description": "new" })).await;
    assert!(serving.core().refresh(&old).await.expect("read").is_none());
    serving.core().destroy(old).await.expect("destroyed");
    assert_eq!(serving.document().description.as_deref(), Some("new"));
}
