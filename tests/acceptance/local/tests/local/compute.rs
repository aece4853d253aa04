//! Updates of the local compute: where it listens, which program it runs, where its files are.

use std::path::{Path, PathBuf};

use acceptance_local::{Load, Process, Project, Stack, eventually, free_port, post, processes_of, request, router};

fn stack(compute: &str) -> Stack {
    Stack { compute: compute.to_owned(), webservice: "num_replicas = 2".to_owned(), ..Stack::default() }
}

fn process(project: &Project, part: &str) -> Process {
    let found = processes_of(project.path()).into_iter().find(|process| process.command.contains(part));
    found.unwrap_or_else(|| panic!("no process with {part} in its command: {:?}", processes_of(project.path())))
}

fn program(pid: u32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/exe")).expect("a running program")
}

/// The router as another release would bring it: a program file with other bytes.
fn another_router(path: &Path) {
    let mut bytes = std::fs::read(router()).expect("the router");
    bytes.extend_from_slice(b"another build");
    std::fs::write(path, bytes).expect("a copy");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("an executable");
}

#[test]
fn another_router_program_takes_over_under_load_without_a_failed_request_or_a_restarted_scorer() {
    let project = stack("").project();
    project.apply().ok();
    let (pids, supervisor) = (project.replica_pids("double"), process(&project, " supervise "));
    let before = program(supervisor.pid);
    let load = Load::start(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#, 8, 200);
    eventually("the load", || (load.so_far().answered() > 100).then_some(()));

    another_router(&project.path().join("azureml-fe"));
    let path = project.path().join("azureml-fe");
    project.configure(&stack(&format!("router_path = {path:?}")).render());
    assert_eq!(project.planned_actions(), [("azureml_local_compute.this".to_owned(), vec!["update".to_owned()])]);
    project.apply().ok();
    project.assert_no_changes();
    let answered = load.so_far().answered();
    eventually("answers of the new program", || (load.so_far().answered() > answered + 200).then_some(()));

    let after = process(&project, " supervise ");
    assert_eq!(after.pid, supervisor.pid, "the supervisor goes on in another program");
    assert_ne!(program(after.pid), before);
    assert_eq!(program(process(&project, " route ").pid), program(after.pid));
    assert!(!before.exists(), "the replaced program is still below the compute's directory");
    assert_eq!(project.replica_pids("double"), pids);

    // Back to the provider's own, while the load goes on.
    project.configure(&stack("").render());
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(program(process(&project, " supervise ").pid).file_name(), before.file_name());
    assert_eq!(project.replica_pids("double"), pids);
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
}

#[test]
fn a_router_version_is_demanded_of_the_program_and_a_wrong_one_changes_nothing() {
    let project = stack("").project();
    project.apply().ok();
    let version = project.attribute("azureml_local_compute.this", "router_version");
    project.configure(&stack(&format!("router_version = {version:?}")).render());
    project.assert_no_changes();

    project.configure(&stack("router_version = \"9.9.9\"").render());
    project.apply().fails_with(&["router_version", "9.9.9", &version, "router_path"]);
    assert_eq!(post(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#).status, 200);

    let not_there = project.path().join("nothing");
    project.configure(&stack(&format!("router_path = {not_there:?}")).render());
    project.apply().fails_with(&["router_path", "nothing does not exist"]);
    project.write("no-router", "#!/bin/sh\necho something else\n");
    let no_router = project.path().join("no-router");
    std::fs::set_permissions(&no_router, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("an executable");
    project.configure(&stack(&format!("router_path = {no_router:?}")).render());
    project.apply().fails_with(&["router_path", "no-router is not a router program", "something else"]);

    project.configure(&stack("").render());
    project.assert_no_changes();
    assert_eq!(post(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#).status, 200);
}

#[test]
fn another_port_or_address_is_an_update_in_place_that_the_uris_follow() {
    let project = stack("").project();
    project.apply().ok();
    let (first, key) = (project.scoring_uri(), project.key("double"));
    let free = free_port();
    for (compute, place) in [
        (format!("port = {free}"), format!("127.0.0.1:{free}")),
        (format!("port = {free}\n address = \"127.0.0.2\""), format!("127.0.0.2:{free}")),
    ] {
        project.configure(&stack(&compute).render());
        assert_eq!(project.planned_actions(), [("azureml_local_compute.this".to_owned(), vec!["update".to_owned()])]);
        project.apply().ok();
        project.terraform(["apply", "-auto-approve", "-input=false", "-refresh-only"]).ok();
        project.assert_no_changes();
        assert_eq!(project.scoring_uri(), format!("http://{place}/api/v1/service/double/score"));
        assert_eq!(post(&project.scoring_uri(), &key, r#"{"x": 1}"#).status, 200);
    }
    assert!(request("POST", &first, Some(&key), &[], "{}").is_err(), "the first port still answers");

    // Without an argument the port is kept; the address has a default.
    project.configure(&stack("").render());
    project.apply().ok();
    project.terraform(["apply", "-auto-approve", "-input=false", "-refresh-only"]).ok();
    assert_eq!(project.scoring_uri(), format!("http://127.0.0.1:{free}/api/v1/service/double/score"));
    project.assert_no_changes();
}

#[test]
fn another_directory_or_name_replaces_the_compute_and_its_services() {
    let project = stack("").project();
    project.apply().ok();
    let replaced = |address: &str| (address.to_owned(), vec!["delete".to_owned(), "create".to_owned()]);
    let expected = [replaced("azureml_local_compute.this"), replaced("azureml_webservice.this")];

    let directory = project.path().join("elsewhere");
    let moved = stack(&format!("directory = {directory:?}"));
    project.configure(&moved.render());
    assert_eq!(project.planned_actions(), expected);
    project.apply().ok();
    project.assert_no_changes();
    assert!(directory.join("services/double.json").exists() && !project.path().join("ws/local").exists());
    assert_eq!(post(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#).status, 200);

    project.configure(&moved.render().replace("\"local\"", "\"other\""));
    assert_eq!(project.planned_actions(), expected);
    project.apply().ok();
    project.assert_no_changes();
    let id = project.attribute("azureml_webservice.this", "id");
    assert!(id.ends_with("/computes/other/services/double"), "{id}");
    assert_eq!(post(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#).status, 200);
    project.destroy().ok();
    assert!(!directory.exists() && processes_of(project.path()).is_empty());
}

#[test]
fn a_directory_that_cannot_be_written_or_holds_other_things_fails_the_apply_on_its_attribute() {
    let project = stack("").project();
    project.write("file", "a regular file");
    let below = project.path().join("file/compute");
    project.configure(&stack(&format!("directory = {below:?}")).render());
    project.apply().fails_with(&[
        "directory = ",
        "Cannot create",
        "file/compute: Not a directory",
        "choose a `directory` that can be written to",
    ]);

    project.write("thesis/chapter.tex", "x");
    let used = project.path().join("thesis");
    project.configure(&stack(&format!("directory = {used:?}")).render());
    project.apply().fails_with(&["directory", "thesis is not empty", "choose another"]);
    assert_eq!(std::fs::read(used.join("chapter.tex")).expect("still there"), b"x");

    project.configure(&stack("").render());
    project.apply().ok();
    project.assert_no_changes();

    let text = stack("").render().replace("/ws\"", "/file/ws\"");
    let other = Project::new(&text);
    other.write("model.txt", "one\n");
    other.write("src/score.py", acceptance_local::DOUBLE);
    other.write("file", "a regular file");
    other.apply().fails_with(&["azureml_workspace", "storage_url", "file/ws", "directory that can be written to"]);
}
