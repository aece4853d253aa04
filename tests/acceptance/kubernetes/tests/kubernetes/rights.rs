//! The least rights by which a namespace can be attached and served from: those of the guide, and no others.

use std::collections::BTreeSet;

use acceptance_kubernetes::{Identity, KEYS, Right, Stack, key};
use acceptance_local::{DOUBLE, eventually, post};
use serde_json::json;

use crate::logs::LOGS;

/// Rights that are of use, and not needed.
const SILENT: [(&str, &str); 3] =
    [("list", "events"), ("list", "horizontalpodautoscalers"), ("list", "persistentvolumeclaims")];
/// Rights that only services need, and no attachment.
const OF_SERVICES: [(&str, &str); 2] = [("update", "configmaps"), ("get", "pods/log")];

fn is_one_of(list: &[(&str, &str)], right: &Right) -> bool {
    list.contains(&(&right.verb, &right.resource))
}

#[test]
fn each_right_of_the_core_group_is_needed_to_attach_and_named_where_it_lacks() {
    attach("core", |right| right.group.is_empty());
}

#[test]
fn each_right_of_other_groups_is_needed_to_attach_and_named_where_it_lacks() {
    attach("groups", |right| !right.group.is_empty());
}

/// Attaches, changes, imports and detaches with the guide's rights but those that `lacks` says, and then with each that an
/// error names.
fn attach(name: &str, lacks: impl Fn(&Right) -> bool) {
    let Some(mut stack) = Stack::find(name) else { return };
    stack.make_namespace_alone();
    let [guide, optional] = Right::of_guide();
    let kubectl = stack.kubectl();
    let mut identity = Identity::new(&kubectl);
    identity.grant(&guide.iter().filter(|right| !lacks(right)).cloned().collect());
    let before = kubectl.inventory();
    stack.apply_as(&identity);
    let project = stack.project_of(&stack.base());
    let address = "azureml_aks_attachment.this";
    let target = format!("-target={address}");
    let run = |verb: &str| project.terraform([verb, "-auto-approve", "-input=false", "-no-color", &target]);
    identity.is_granted_what_is_named(&guide, || run("apply"));

    // Signing keys that nobody can read are replaced, as those are whose time has come.
    let signing = json!({ "stringData": { "signing-keys.json": "spoilt" } }).to_string();
    kubectl.run(&["patch", "secret", "azureml-fe-signing-keys", "--patch", &signing]);
    project.configure(&stack.base().replace("cpu_cores    = 0.02", "cpu_cores    = 0.03"));
    identity.is_granted_what_is_named(&guide, || run("apply"));

    let id = project.attribute(address, "id");
    project.terraform(["state", "rm", address]).ok();
    project.terraform(["import", "-no-color", "-input=false", address, &id]).ok();
    identity.is_granted_what_is_named(&guide, || run("destroy"));
    assert_eq!(kubectl.inventory(), before);

    // Without the optional ones everything has worked.
    assert!(identity.named().is_disjoint(&optional), "{:?}", identity.named());
    let needed = |right: &&Right| lacks(right) && !is_one_of(&SILENT, right) && !is_one_of(&OF_SERVICES, right);
    let needed: BTreeSet<_> = guide.iter().filter(needed).cloned().collect();
    assert_eq!(*identity.named(), needed);
    stack.apply_as_administrator();
    project.configure(&stack.base());
    stack.finish(project);
}

#[test]
fn each_right_that_a_service_needs_is_named_where_it_lacks() {
    let Some(mut stack) = Stack::find("served") else { return };
    stack.make_namespace_alone();
    let [guide, optional] = Right::of_guide();
    let kubectl = stack.kubectl();
    let mut identity = Identity::new(&kubectl);
    identity.grant(&BTreeSet::new());
    let project = stack.project_of(&stack.base());
    project.apply().ok();
    let before = kubectl.inventory();

    stack.apply_as(&identity);
    stack.more = format!("{KEYS}{LOGS}");
    project.configure(&stack.render());
    identity.is_granted_what_is_named(&guide, || project.apply());
    assert_eq!(post(&project.scoring_uri(), &key(&project), r#"{"x": 21}"#).status, 200);

    project.write("src/score.py", DOUBLE.replace("2 *", "3 *"));
    stack.webservice = "num_replicas = 2\n  primary_key_version = 2".into();
    project.configure(&stack.render());
    identity.is_granted_what_is_named(&guide, || project.apply());
    assert!(std::fs::read_to_string(project.path().join("logs")).expect("logs").contains("double"), "logs");

    let address = "azureml_webservice.this";
    let id = project.attribute(address, "id");
    project.terraform(["state", "rm", address]).ok();
    project.terraform(["import", "-no-color", "-input=false", address, &id]).ok();
    let target = format!("-target={address}");
    identity.is_granted_what_is_named(&guide, || {
        project.terraform(["destroy", "-auto-approve", "-input=false", "-no-color", &target])
    });
    eventually("what the service had to be gone", || (kubectl.inventory() == before).then_some(()));

    assert!(identity.named().is_disjoint(&optional), "{:?}", identity.named());
    let own = guide.iter().filter(|right| is_one_of(&OF_SERVICES, right)).cloned().collect();
    assert!(identity.named().is_superset(&own), "{:?}", identity.named());
    stack.apply_as_administrator();
    project.configure(&stack.base());
    stack.finish(project);
}
