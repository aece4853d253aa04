//! Keys: given, generated, rotated, and never where they do not belong.

use std::os::unix::fs::PermissionsExt as _;

use acceptance_local::{DOUBLE, Stack, holders_of, post, processes_of};

const FIRST: &str = "Rkq3vTz0XcW8nB5yL1sHd7Fj2Gp6Ma9UeQ4iYt";
const SECOND: &str = "u9ZxC3vB6nM1aS4dF7gH0jK2lQ5wE8rT9yU1iO";

fn stack(webservice: &str) -> Stack {
    Stack { webservice: format!("num_replicas = 1\n{webservice}"), ..Stack::default() }
}

#[test]
fn a_rotated_key_replaces_one_slot_while_the_other_keeps_working() {
    let project = stack("").project();
    project.apply().ok();
    let uri = project.scoring_uri();
    let before = project.keys("double");

    project.configure(&stack("primary_key_version = 2").render());
    project.apply().ok();
    project.assert_no_changes();
    let after = project.keys("double");
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
    let status = |key: &str| post(&uri, key, r#"{"x": 1}"#).status;
    assert_eq!([status(&before.0), status(&after.0), status(&after.1)], [401, 200, 200]);

    project.configure(&stack("primary_key_version = 2\n secondary_key_version = 5").render());
    project.apply().ok();
    project.assert_no_changes();
    let last = project.keys("double");
    assert_eq!([status(&last.0), status(&after.1), status(&last.1)], [200, 401, 200]);
    // Without the arguments the numbers stay, and nothing is replaced.
    project.configure(&stack("").render());
    project.assert_no_changes();
    assert_eq!(project.keys("double"), last);
}

#[test]
fn a_given_key_is_taken_when_its_version_is_bumped_and_not_before() {
    let given =
        |key: &str, version: u32| stack(&format!("primary_key_wo = \"{key}\"\n primary_key_version = {version}"));
    let project = given(FIRST, 1).project();
    project.apply().ok();
    let uri = project.scoring_uri();
    assert_eq!(post(&uri, FIRST, r#"{"x": 1}"#).status, 200);

    project.configure(&given(SECOND, 1).render());
    project.assert_no_changes();
    assert_eq!(post(&uri, SECOND, r#"{"x": 1}"#).status, 401);

    project.configure(&given(SECOND, 2).render());
    project.apply().ok();
    assert_eq!([post(&uri, FIRST, r#"{"x": 1}"#).status, post(&uri, SECOND, r#"{"x": 1}"#).status], [401, 200]);
}

#[test]
fn no_key_byte_is_in_state_plan_log_or_any_file_that_others_may_read() {
    let project = stack(&format!("primary_key_wo = \"{FIRST}\"\n primary_key_version = 1")).project();
    project.terraform(["plan", "-input=false", "-out=saved.tfplan"]).ok();
    project.terraform(["apply", "-input=false", "saved.tfplan"]).ok();
    let uri = project.scoring_uri();
    assert_eq!(post(&uri, FIRST, r#"{"x": 1}"#).status, 200);
    let secondary = project.keys("double").1;
    // The configuration names the first key in clear text; what matters is everything that was made from it.
    std::fs::remove_file(project.path().join("main.tf")).expect("main.tf is removed");
    let holders = holders_of(project.path(), &[FIRST, &secondary]);
    assert!(!holders.is_empty(), "the key files themselves must be found, or the search is blind");
    for holder in &holders {
        let mode = std::fs::metadata(holder).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} has a key and mode {mode:o}", holder.display());
        assert!(holder.components().any(|part| part.as_os_str() == "keys"), "{} has a key", holder.display());
    }
    for process in processes_of(project.path()) {
        assert!(!process.command.contains(FIRST) && !process.command.contains(&secondary), "{process:?}");
    }
    project.configure(&stack("").render());
}

/// A second service that takes its primary key from the first one's, and looks at the first one's log.
fn reading(marker: &str) -> Stack {
    let more = format!(
        r#"
ephemeral "azureml_webservice_keys" "this" {{
  webservice_id = azureml_webservice.this.id

  lifecycle {{
    postcondition {{
      condition     = length(self.primary_key) >= 16 && self.primary_key != self.secondary_key
      error_message = "These are no two keys."
    }}
  }}
}}

ephemeral "azureml_webservice_logs" "this" {{
  webservice_id = azureml_webservice.this.id
  num_lines     = 50

  lifecycle {{
    postcondition {{
      condition     = anytrue([for replica in self.replicas : strcontains(replica.log, "{marker}")])
      error_message = "No replica of ${{length(self.replicas)}} logged {marker}."
    }}
  }}
}}

resource "azureml_webservice" "copy" {{
  name       = "copy"
  compute_id = azureml_local_compute.this.id
  model_ids  = [azureml_model.this.version_id]

  inference_config = {{
    source_directory = "${{path.module}}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.this.id
  }}

  num_replicas   = 1
  primary_key_wo = ephemeral.azureml_webservice_keys.this.primary_key
}}"#
    );
    Stack { more, ..stack("") }
}

#[test]
fn keys_and_logs_are_read_as_ephemeral_values_that_reach_write_only_arguments_and_conditions() {
    let project = reading("said in init").project();
    project.write("src/score.py", format!("print('said in init')\n{DOUBLE}"));
    project.apply().ok();
    project.assert_no_changes();
    let uri = project.attribute("azureml_webservice.copy", "scoring_uri");
    let (first, copy) = (project.keys("double"), project.keys("copy"));
    assert_eq!(first.0, copy.0);
    assert_ne!(first.1, copy.1);
    assert_eq!(post(&uri, &first.0, r#"{"x": 1}"#).status, 200);
    let state = std::fs::read_to_string(project.path().join("terraform.tfstate")).expect("a state");
    for secret in [&first.0, &first.1, &copy.1, "said in init"] {
        assert!(!state.contains(secret), "{secret} is in the state");
    }

    project.configure(&reading("never said").render());
    project.plan().fails_with(&["No replica of", "logged never said"]);
    project.configure(&stack("").render());
}

#[test]
fn keys_of_a_service_that_is_still_to_be_made_are_read_after_it_is_made() {
    let project = stack("").project();
    let first = reading("").render();
    let (head, _) = first.split_once("resource \"azureml_webservice\" \"this\"").expect("a service");
    project.configure(head);
    project.apply().ok();
    // Everything that the service's id is made of is known now.
    project.configure(&first);
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(project.keys("double").0, project.keys("copy").0);
    let missing = first
        .replace("webservice_id = azureml_webservice.this.id", "webservice_id = \"${azureml_webservice.this.id}-2\"");
    project.configure(&missing);
    project.plan().fails_with(&["webservice_id", "There is no webservice", "double-2"]);
    project.configure(&first);
}

#[test]
fn a_trace_of_the_whole_life_of_a_service_holds_no_key() {
    let mut project = reading("").project();
    project.set_variable("TF_LOG", "TRACE");
    project.set_variable("TF_LOG_PATH", project.path().join("trace.log"));
    project.apply().ok();
    let (first, copy) = (project.keys("double"), project.keys("copy"));
    project.configure(
        &Stack { webservice: "num_replicas = 1\n primary_key_version = 2".to_owned(), ..reading("") }.render(),
    );
    project.apply().ok();
    let later = project.keys("double");
    project.destroy().ok();
    let trace = std::fs::read_to_string(project.path().join("trace.log")).expect("a trace");
    assert!(
        trace.contains("azureml_webservice_keys") && trace.contains("provider.terraform-provider-azureml"),
        "no trace"
    );
    for key in [first.0, first.1, copy.1, later.0] {
        assert!(!trace.contains(&key), "a key is in the trace");
    }
}
