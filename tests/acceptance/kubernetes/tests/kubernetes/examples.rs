//! The examples on this machine and on the cluster, with other variables and nothing else.

use std::collections::BTreeMap;

use acceptance_kubernetes::{Example, Stack, import_all};
use acceptance_local::{Answer, eventually, request};
use serde_json::Value;

/// Rows as the diabetes data has them.
const ROWS: &str = r#"{"data": [
  [0.038, 0.051, 0.062, 0.022, -0.044, -0.035, -0.043, -0.003, 0.02, -0.018],
  [-0.002, -0.045, -0.051, -0.026, -0.008, -0.019, 0.074, -0.039, -0.068, -0.092]
]}"#;

/// What a service's ephemeral resource gives, `azureml_webservice_keys` for example, written to the file `name`.
fn credential(kind: &str, resource: &str, (ephemeral, value): (&str, &str), name: &str) -> String {
    format!(
        r#"
ephemeral "azureml_{kind}_{ephemeral}" "this" {{
  {kind}_id = {resource}.id
}}

resource "terraform_data" "{name}" {{
  input = {resource}.id

  provisioner "local-exec" {{
    command     = "umask 077; printf %s \"$VALUE\" > {name}"
    environment = {{ VALUE = ephemeral.azureml_{kind}_{ephemeral}.this.{value} }}
  }}
}}
"#
    )
}

fn score(example: &Example, credential: &str, headers: &[(&str, &str)]) -> Answer {
    request("POST", example.scoring_uri(), Some(credential), headers, ROWS).expect("an answer")
}

/// Predictions in an answer, which there must be.
#[track_caller]
fn predictions(answer: &Answer) -> Vec<f64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let all: Vec<f64> = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(all.len(), 2);
    all
}

/// Applies for the first time; gives the service's key.
fn first_apply(example: &Example, kind: &str, resource: &str) -> String {
    example.project.write("credentials.tf", credential(kind, resource, ("keys", "primary_key"), "key"));
    example.project.apply().ok();
    example.project.assert_no_changes();
    example.written("key")
}

/// Callers with tokens instead of keys, an import of everything, and the end, which leaves what was there before.
fn tokens_then_imports_then_nothing(example: &Example, key: &str, kind: &str, resource: &str, before: &[String]) {
    let (own, name) = resource.split_once('.').expect("an address");
    let tokens = format!("resource \"{own}\" \"{name}\" {{\n  token_auth_enabled = true\n}}\n");
    example.project.write("auth_override.tf", tokens);
    example.project.write("credentials.tf", credential(kind, resource, ("token", "access_token"), "token"));
    example.project.apply().ok();
    example.project.assert_no_changes();
    predictions(&score(example, &example.written("token"), &[]));
    assert_eq!(score(example, key, &[]).status, 401, "a key where tokens are asked for");

    import_all(&example.project);
    predictions(&score(example, &example.written("token"), &[]));

    example.project.destroy().ok();
    // What the cluster itself has made for our objects (EndpointSlices) it removes by itself, a little later.
    let after = eventually("the cluster to have tidied up", || {
        let after = example.inventory();
        (example.kubectl.is_none() || after.len() <= before.len()).then_some(after)
    });
    assert_eq!(after, before);
}

#[test]
fn the_quickstart_serves_the_same_predictions_on_a_cluster_as_here_when_only_variables_differ() {
    let Some(mut stack) = Stack::find("quick") else { return };
    let (kind, resource) = ("webservice", "azureml_webservice.diabetes");
    let both = [Example::here("quickstart"), Example::on_cluster("quickstart", &mut stack)];
    let mut seen = Vec::new();
    for example in both {
        let before = example.inventory();
        let key = first_apply(&example, kind, resource);
        seen.push(predictions(&score(&example, &key, &[])));
        assert_eq!(score(&example, "a-key-that-is-wrong-but-long-enough", &[]).status, 401);
        tokens_then_imports_then_nothing(&example, &key, kind, resource, &before);
    }
    assert_eq!(seen[0], seen[1]);
    stack.remove_namespace();
}

/// The versions that answer requests without a pin, by count.
fn answered_by(example: &Example, key: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..requests {
        let answer = score(example, key, &[]);
        predictions(&answer);
        *seen.entry(answer.headers["azureml-model-deployment"].clone()).or_default() += 1;
    }
    seen
}

#[test]
fn the_controlled_rollout_takes_the_same_steps_on_a_cluster_as_here_when_only_variables_differ() {
    let Some(mut stack) = Stack::find("steps") else { return };
    let (kind, resource) = ("endpoint", "azureml_endpoint.diabetes");
    let both = [Example::here("controlled-rollout"), Example::on_cluster("controlled-rollout", &mut stack)];
    let mut seen = Vec::new();
    for example in both {
        let before = example.inventory();
        let take = |step: &str| {
            let step = example.written(&format!("steps/{step}.tfvars"));
            example.project.write("step.auto.tfvars", step);
        };
        take("1-control");
        let key = first_apply(&example, kind, resource);
        assert_eq!(answered_by(&example, &key, 10), BTreeMap::from([("ridge".into(), 10)]));
        let pinned = |version| predictions(&score(&example, &key, &[("azureml-model-deployment", version)]));
        seen.push(["ridge", "lasso", "forest"].map(pinned));

        for (step, shares) in [
            ("2-canary", &[("ridge", 95), ("forest", 5)][..]),
            ("3-compare", &[("ridge", 60), ("lasso", 10), ("forest", 30)]),
            ("4-full", &[("forest", 100)]),
        ] {
            take(step);
            let changes = example.project.planned_changes();
            let percentages_only = |change: &Value| {
                let (old, new) = (&change["change"]["before"], &change["change"]["after"]);
                let names = new.as_object().expect("a resource").keys().filter(|name| old[*name] != new[*name]);
                let known = ["traffic_percentile", "is_default", "state", "updated_time"];
                change["change"]["actions"] == serde_json::json!(["update"])
                    && names.into_iter().all(|name| known.contains(&name.as_str()))
            };
            assert!(changes.iter().all(percentages_only), "{changes:#?}");
            example.project.apply().ok();
            example.project.assert_no_changes();
            // Each thread of a router deals exactly, and there are two at most.
            let answered = answered_by(&example, &key, 40);
            for (version, share) in shares {
                let off = (answered.get(*version).copied().unwrap_or(0) * 100).abs_diff(share * 40);
                assert!(off <= 200, "{step}: {version} has not {share} %: {answered:?}");
            }
            assert_eq!(answered.keys().filter(|name| !shares.iter().any(|(one, _)| one == name)).count(), 0);
        }
        let patient = || score(&example, &key, &[("x-patient-id", "4711")]).headers["azureml-model-deployment"].clone();
        assert_eq!(patient(), patient());
        tokens_then_imports_then_nothing(&example, &key, kind, resource, &before);
    }
    assert_eq!(seen[0], seen[1]);
    stack.remove_namespace();
}
