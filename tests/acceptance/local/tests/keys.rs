//! Keys: given, generated, rotated, and never where they do not belong.

#![allow(missing_docs, reason = "a test crate")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acceptance_local::{Project, Stack, post};

const FIRST: &str = "Rkq3vTz0XcW8nB5yL1sHd7Fj2Gp6Ma9UeQ4iYt";
const SECOND: &str = "u9ZxC3vB6nM1aS4dF7gH0jK2lQ5wE8rT9yU1iO";

fn stack(webservice: &str) -> Stack {
    Stack { webservice: format!("num_replicas = 1\n{webservice}"), ..Stack::default() }
}

#[test]
fn a_rotated_key_replaces_one_slot_while_the_other_keeps_working() {
    let project = stack("").project();
    project.apply().ok();
    let uri = project.attribute("azureml_webservice.this", "scoring_uri");
    let keys = |project: &Project| -> serde_json::Value {
        serde_json::from_str(&project.fe(&["service", "keys", "double", "--json"])).expect("JSON")
    };
    let before = keys(&project);

    project.configure(&stack("primary_key_version = 2").render());
    project.apply().ok();
    project.assert_no_changes();
    let after = keys(&project);
    assert_ne!(before["primary"], after["primary"]);
    assert_eq!(before["secondary"], after["secondary"]);
    let status = |key: &serde_json::Value| post(&uri, key.as_str().expect("a key"), r#"{"x": 1}"#).status;
    assert_eq!([status(&before["primary"]), status(&after["primary"]), status(&after["secondary"])], [401, 200, 200]);
}

#[test]
fn a_given_key_is_taken_when_its_version_is_bumped_and_not_before() {
    let given =
        |key: &str, version: u32| stack(&format!("primary_key_wo = \"{key}\"\n primary_key_version = {version}"));
    let project = given(FIRST, 1).project();
    project.apply().ok();
    let uri = project.attribute("azureml_webservice.this", "scoring_uri");
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
    let uri = project.attribute("azureml_webservice.this", "scoring_uri");
    assert_eq!(post(&uri, FIRST, r#"{"x": 1}"#).status, 200);
    let secondary = {
        let keys: serde_json::Value =
            serde_json::from_str(&project.fe(&["service", "keys", "double", "--json"])).expect("JSON");
        keys["secondary"].as_str().expect("a key").to_owned()
    };
    // The configuration names the first key in clear text; what matters is everything that was made from it.
    std::fs::remove_file(project.path().join("main.tf")).expect("main.tf is removed");
    let mut holders = Vec::new();
    search(project.path(), &[FIRST.as_bytes(), secondary.as_bytes()], &mut holders);
    assert!(!holders.is_empty(), "the key files themselves must be found, or the search is blind");
    for holder in &holders {
        let mode = std::fs::metadata(holder).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} has a key and mode {mode:o}", holder.display());
        assert!(holder.components().any(|part| part.as_os_str() == "keys"), "{} has a key", holder.display());
    }
    for process in acceptance_local::processes_of(project.path()) {
        assert!(!process.command.contains(FIRST) && !process.command.contains(&secondary), "{process:?}");
    }
    project.configure(&stack("").render());
}

/// Every regular file below `directory` that contains one of `needles`.
fn search(directory: &Path, needles: &[&[u8]], holders: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let kind = entry.file_type().expect("a type");
        // Virtual environments and the provider itself are large and made before any key exists.
        if kind.is_dir() && !["venvs", ".terraform"].contains(&entry.file_name().to_string_lossy().as_ref()) {
            search(&entry.path(), needles, holders);
        } else if kind.is_file() {
            let content = std::fs::read(entry.path()).unwrap_or_default();
            if needles.iter().any(|needle| content.windows(needle.len()).any(|window| window == *needle)) {
                holders.push(entry.path());
            }
        }
    }
}
