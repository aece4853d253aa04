//! Logs as users read them.

use acceptance_kubernetes::KEYS;
use acceptance_local::{DOUBLE, eventually};
use serde_json::Value;

use crate::failures::Healthy;

/// The logs of all replicas, written to a file by the ephemeral resource that users have.
pub(crate) const LOGS: &str = r#"
ephemeral "azureml_webservice_logs" "this" {
  webservice_id = azureml_webservice.this.id
  num_lines     = 40
}

resource "terraform_data" "logs" {
  triggers_replace = plantimestamp()

  provisioner "local-exec" {
    command     = "umask 077; printf %s \"$LOGS\" > logs"
    environment = { LOGS = jsonencode(ephemeral.azureml_webservice_logs.this.replicas) }
  }
}
"#;

#[test]
fn logs_are_those_of_the_script_and_before_a_restart_too_and_of_the_fetch_while_there_is_no_other() {
    let Some(mut healthy) = Healthy::find("logs") else { return };
    healthy.stack.more = format!("{KEYS}{LOGS}");
    let (kubectl, project) = (healthy.stack.kubectl(), &healthy.project);
    project.configure(&healthy.stack.render());
    project.write("src/score.py", DOUBLE.replace("def init():", "def init():\n    print('first words')"));
    let logs = |expected: &[&str]| {
        project.terraform(["apply", "-auto-approve", "-input=false", "-refresh=false"]).ok();
        let logs: Value =
            serde_json::from_slice(&std::fs::read(project.path().join("logs")).expect("logs")).expect("JSON");
        let [replica] = logs.as_array().expect("replicas").as_slice() else { panic!("{logs}") };
        let log = replica["log"].as_str().expect("a log");
        let mut rest = log;
        for text in expected {
            let found = rest.find(text).unwrap_or_else(|| panic!("no {text:?} in: {log}"));
            rest = &rest[found + text.len()..];
        }
        (replica["id"].as_str().expect("an id").to_owned(), log.to_owned())
    };
    let (id, _) = logs(&["first words"]);
    let pod = kubectl.pods("scorer").remove(0);
    assert_eq!(id, pod);

    // A container that is restarted says its first words again; those of before are still read.
    kubectl.run(&["exec", &pod, "--container", "scorer", "--", "python", "-c", "import os; os.kill(1, 15)"]);
    eventually("the container to run again", || {
        let count =
            kubectl.run(&["get", "pod", &pod, "--output", "jsonpath={.status.containerStatuses[0].restartCount}"]);
        (count == "1").then_some(())
    });
    kubectl.wait_for_pods("scorer", 1);
    logs(&["first words", "first words"]);

    let container = healthy.stack.container();
    let blobs = container.blobs_of(b"one\n");
    container.delete(&blobs[0]);
    kubectl.run(&["delete", "pod", &pod]);
    let (id, log) = eventually("the fetch to have said something", || {
        let found = logs(&[]);
        found.1.contains("Cannot fetch").then_some(found)
    });
    assert!(id != pod && log.contains("model.txt of model model version 1") && !log.contains("first words"), "{log}");

    // Replicas that do not run are a warning with the reason, and no change.
    let plan = project.terraform(["plan", "-input=false", "-no-color", "-target=azureml_webservice.this"]).ok();
    for text in ["Warning: Replicas of webservice double fail", "Cannot fetch"] {
        assert!(plan.contains(text), "no {text:?} in:\n{plan}");
    }
    healthy.finish();
}
