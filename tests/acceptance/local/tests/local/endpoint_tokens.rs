//! Endpoints whose callers authenticate by tokens, and what Terraform sees of endpoints that are there.

use std::os::unix::fs::PermissionsExt as _;

use acceptance_local::{ENDPOINT, Project, Split, holders_of, request};
use serde_json::Value;

fn split(endpoint: &str, more: &str) -> Split {
    let versions = [("blue", "traffic_percentile = 20\n is_default = true"), ("green", "traffic_percentile = 10")];
    Split { endpoint: endpoint.to_owned(), more: more.to_owned(), ..Split::of(versions) }
}

const TOKEN: &str = r#"
ephemeral "azureml_endpoint_token" "this" {
  endpoint_id = azureml_endpoint.this.id
  lifetime    = 120

  lifecycle {
    postcondition {
      condition     = self.token_type == "Bearer" && length(split(".", self.access_token)) == 3
      error_message = "not a token"
    }
  }
}
"#;

fn status(project: &Project, credential: Option<&str>) -> u16 {
    request("POST", &project.endpoint_uri(), credential, &[], "{}").expect("an answer").status
}

#[test]
fn tokens_take_the_place_of_keys_without_a_restart_and_their_signing_key_is_nobody_elses() {
    let project = split("", "").project();
    project.apply().ok();
    let (key, _) = project.endpoint_keys();
    let replicas = project.fe(&["endpoint", "show", ENDPOINT, "--json"]);
    let pids = |shown: &str| -> Vec<Value> {
        let shown: Value = serde_json::from_str(shown).expect("JSON");
        let versions = shown["status"]["versions"].as_object().expect("versions").clone();
        versions.values().flat_map(|version| version["replicas"].as_array().cloned().unwrap_or_default()).collect()
    };
    split("token_auth_enabled = true", TOKEN).write(&project);
    project.apply().ok();
    project.assert_no_changes();
    let token = project.fe(&["endpoint", "token", ENDPOINT]);
    let token = token.trim();
    assert_eq!([Some(token), Some(key.as_str()), None].map(|credential| status(&project, credential)), [200, 401, 401]);
    assert_eq!(pids(&project.fe(&["endpoint", "show", ENDPOINT, "--json"])), pids(&replicas));

    let signing = std::fs::read(project.compute_directory().join("signing-keys.json")).expect("signing keys");
    let signing: Value = serde_json::from_slice(&signing).expect("JSON");
    let seed = signing["keys"][0]["seed"].as_str().expect("a seed").to_owned();
    assert_eq!(holders_of(project.path(), &[token]), Vec::<std::path::PathBuf>::new());
    let holders = holders_of(project.path(), &[&seed]);
    assert_eq!(holders.len(), 1, "{holders:?}");
    assert_eq!(holders[0].metadata().expect("a file").permissions().mode() & 0o777, 0o600);

    split("", "").write(&project);
    project.apply().ok();
    assert_eq!([Some(token), Some(key.as_str())].map(|credential| status(&project, credential)), [401, 200]);
}

#[test]
fn the_data_source_has_declared_and_served_shares_of_every_version() {
    let found = r#"
data "azureml_endpoint" "this" {
  id         = azureml_endpoint.this.id
  depends_on = [azureml_endpoint_version.blue, azureml_endpoint_version.green]
}

output "found" {
  value = {
    default = data.azureml_endpoint.this.default_version
    state   = data.azureml_endpoint.this.state
    shares  = { for name, one in data.azureml_endpoint.this.versions : name => [one.traffic_percentile, one.served_percentile, one.ready_replicas] }
  }
}
"#;
    let project = split("", found).project();
    project.apply().ok();
    let output: Value = serde_json::from_str(&project.json(["output", "-json", "found"])).expect("JSON");
    let expected = serde_json::json!({
        "default": "blue", "state": "Healthy", "shares": { "blue": [20, 90, 1], "green": [10, 10, 1] },
    });
    assert_eq!(output, expected);
}
