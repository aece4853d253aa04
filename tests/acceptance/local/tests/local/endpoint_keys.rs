//! Keys of endpoints: replaced with an overlap, and never where they do not belong.

use acceptance_local::{Project, Split, holders_of, processes_of, request};

const FIRST: &str = "Rkq3vTz0XcW8nB5yL1sHd7Fj2Gp6Ma9UeQ4iYt";

fn split(endpoint: &str) -> Split {
    Split { endpoint: endpoint.to_owned(), ..Split::of([("blue", "")]) }
}

fn statuses<const N: usize>(project: &Project, keys: [&str; N]) -> [u16; N] {
    let uri = project.endpoint_uri();
    keys.map(|key| request("POST", &uri, Some(key), &[], "{}").expect("an answer").status)
}

#[test]
fn a_replaced_key_keeps_working_for_the_overlap_and_without_one_ends_at_once() {
    let project = split("key_overlap = 3600").project();
    project.apply().ok();
    let before = project.endpoint_keys();
    split("key_overlap = 3600\n primary_key_version = 2\n secondary_key_version = 2").write(&project);
    project.apply().ok();
    project.assert_no_changes();
    let after = project.endpoint_keys();
    assert_eq!(statuses(&project, [&before.0, &before.1, &after.0, &after.1, FIRST]), [200, 200, 200, 200, 401]);

    split("primary_key_version = 3\n secondary_key_version = 2").write(&project);
    project.apply().ok();
    project.assert_no_changes();
    let last = project.endpoint_keys();
    assert_eq!(last.1, after.1);
    assert_eq!(statuses(&project, [&after.0, &last.0, &last.1]), [401, 200, 200]);
}

#[test]
fn no_key_byte_is_in_state_plan_log_or_any_file_that_others_may_read_and_a_replaced_key_in_none_at_all() {
    let given = format!("key_overlap = 3600\n primary_key_wo = \"{FIRST}\"\n primary_key_version = 1");
    let mut project = split(&given).project();
    project.set_variable("TF_LOG_PROVIDER", "TRACE");
    project.set_variable("TF_LOG_PATH", project.path().join("trace.log"));
    project.terraform(["plan", "-input=false", "-out=saved.tfplan"]).ok();
    project.terraform(["apply", "-input=false", "saved.tfplan"]).ok();
    let replaced = project.endpoint_keys();
    assert_eq!(replaced.0, FIRST);
    split("key_overlap = 3600\n primary_key_version = 2\n secondary_key_version = 2").write(&project);
    project.terraform(["plan", "-input=false", "-out=saved.tfplan"]).ok();
    project.terraform(["apply", "-input=false", "saved.tfplan"]).ok();
    let present = project.endpoint_keys();
    assert_eq!(statuses(&project, [&replaced.0, &replaced.1, &present.0, &present.1]), [200; 4]);
    assert!(project.path().join("trace.log").metadata().is_ok_and(|log| log.len() > 0), "there is a log to search");

    assert_eq!(holders_of(project.path(), &[&replaced.0, &replaced.1]), Vec::<std::path::PathBuf>::new());
    let holders = holders_of(project.path(), &[&present.0, &present.1]);
    assert!(!holders.is_empty(), "the key file itself must be found, or the search is blind");
    for holder in &holders {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(holder).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} has a key and mode {mode:o}", holder.display());
        assert!(holder.components().any(|part| part.as_os_str() == "keys"), "{} has a key", holder.display());
    }
    for process in processes_of(project.path()) {
        for key in [&replaced.0, &replaced.1, &present.0, &present.1] {
            assert!(!process.command.contains(key), "{process:?}");
        }
    }
}
