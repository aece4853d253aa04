//! A state that does not know what is there: lost after a create, or somebody else's.

use acceptance_local::{DOUBLE, Project, Stack, post};

const ADDRESSES: [&str; 5] = [
    "azureml_workspace.this",
    "azureml_local_compute.this",
    "azureml_model.this",
    "azureml_environment.this",
    "azureml_webservice.this",
];

fn stack() -> Stack {
    Stack { webservice: "num_replicas = 2".to_owned(), ..Stack::default() }
}

fn lose_state(project: &Project) {
    std::fs::remove_file(project.path().join("terraform.tfstate")).expect("a state");
    let _ = std::fs::remove_file(project.path().join("terraform.tfstate.backup"));
}

fn forget(project: &Project, addresses: &[&str]) {
    for address in addresses {
        project.terraform(["state", "rm", address]).ok();
    }
}

#[test]
fn after_a_lost_state_the_next_apply_adopts_everything_and_restarts_nothing() {
    let project = stack().project();
    project.apply().ok();
    let before = ADDRESSES.map(|address| project.attributes(address));
    let (pids, keys) = (project.replica_pids("double"), project.keys("double"));
    lose_state(&project);
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(ADDRESSES.map(|address| project.attributes(address)), before);
    assert_eq!((project.replica_pids("double"), project.keys("double")), (pids, keys));
}

#[test]
fn a_lost_object_that_is_not_what_is_wanted_is_an_error_with_its_owner_and_import_id() {
    let project = Stack { provider: "owner = \"team-a\"".to_owned(), ..stack() }.project();
    project.apply().ok();
    let original = Stack { provider: "owner = \"team-a\"".to_owned(), ..stack() };
    let variants = [
        Stack { compute: "address = \"127.0.0.2\"".to_owned(), ..original.clone() },
        Stack { model: "description = \"another\"".to_owned(), ..original.clone() },
        Stack { environment: "environment_variables = { A = \"b\" }".to_owned(), ..original.clone() },
        Stack { webservice: "num_replicas = 1".to_owned(), ..original.clone() },
    ];
    let pids = project.replica_pids("double");
    for (address, variant) in ADDRESSES.into_iter().skip(1).zip(variants) {
        let id = project.attribute(address, "id");
        forget(&project, &[address]);
        project.configure(&variant.render());
        project.apply().fails_with(&[
            &format!("with {address}"),
            "already exists",
            "team-a",
            &format!("terraform import <address> '{id}'"),
        ]);
        // The advice works, and the difference is then an ordinary update.
        project.terraform(["import", "-input=false", address, &id]).ok();
        let mut expected = vec![(address.to_owned(), vec!["update".to_owned()])];
        if address == "azureml_environment.this" {
            expected.push(("azureml_webservice.this".to_owned(), vec!["update".to_owned()]));
        }
        assert_eq!(project.planned_actions(), expected);
        project.configure(&original.render());
        project.assert_no_changes();
    }
    assert_eq!(project.replica_pids("double"), pids);
}

#[test]
fn what_another_owner_created_or_anybody_changed_since_is_never_adopted() {
    let owned = |owner: &str, replicas: u32| {
        let webservice = format!("num_replicas = {replicas}");
        Stack { provider: format!("owner = {owner:?}"), webservice, ..stack() }
    };
    let project = owned("team-a", 1).project();
    project.apply().ok();
    let id = project.attribute("azureml_webservice.this", "id");
    forget(&project, &["azureml_webservice.this"]);
    project.configure(&owned("team-b", 1).render());
    project.apply().fails_with(&["with azureml_webservice.this", "team-a", &id]);

    // Its owner may, but not any more when it is no longer what was created.
    project.configure(&owned("team-a", 1).render());
    project.apply().ok();
    project.configure(&owned("team-a", 2).render());
    project.apply().ok();
    forget(&project, &["azureml_webservice.this"]);
    project.apply().fails_with(&["with azureml_webservice.this", "team-a", &id]);
    project.terraform(["import", "-input=false", "azureml_webservice.this", &id]).ok();
    project.assert_no_changes();
}

#[test]
fn a_second_workspace_in_the_same_folder_is_refused_and_touches_nothing() {
    let project = stack().project();
    project.apply().ok();
    let root = project.path().join("ws");
    let text = stack().render().replace("${abspath(path.module)}/ws", root.to_str().expect("UTF-8"));
    let other = Project::new(&text.replace("\"acceptance\"", "\"somebody_elses\"")).keep_objects();
    other.write("model.txt", "one\n");
    other.write("src/score.py", DOUBLE);
    let id = project.attribute("azureml_workspace.this", "id");
    other.apply().fails_with(&["with azureml_workspace.this", "already exists", &id, "terraform import"]);
    project.assert_no_changes();
    let uri = project.scoring_uri();
    assert_eq!(post(&uri, &project.key("double"), r#"{"x": 1}"#).status, 200);
}

#[test]
fn an_import_of_what_is_not_there_or_not_an_id_says_so() {
    let project = stack().project();
    project.apply().ok();
    let workspace = project.attribute("azureml_workspace.this", "id");
    forget(&project, &ADDRESSES[1..]);
    for (address, missing) in [
        ("azureml_local_compute.this", format!("{workspace}/computes/nothing")),
        ("azureml_model.this", format!("{workspace}/models/nothing")),
        ("azureml_environment.this", format!("{workspace}/environments/nothing")),
        ("azureml_webservice.this", format!("{workspace}/computes/local/services/nothing")),
    ] {
        project.terraform(["import", "-input=false", address, &missing]).fails_with(&["non-existent remote object"]);
        project.terraform(["import", "-input=false", address, "nothing"]).fails_with(&["Invalid import id"]);
    }
    let ids = ["computes/local", "models/model", "environments/plain", "computes/local/services/double"];
    for (address, id) in ADDRESSES[1..].iter().zip(ids) {
        project.terraform(["import", "-input=false", address, &format!("{workspace}/{id}")]).ok();
    }
    project.assert_no_changes();
    assert_eq!(project.terraform(["state", "list"]).ok().lines().count(), 5);
}
