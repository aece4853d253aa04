//! The least rights by which a namespace can be attached and served from: those of the guide, and no others.

use std::collections::BTreeSet;

use acceptance_kubernetes::{Identity, Right, Stack};
use acceptance_local::{DOUBLE, post};
use serde_json::json;

use crate::lifecycle::{KEYS, key};
use crate::logs::LOGS;

const GUIDE: &str = include_str!("../../../../../docs/guides/clusters.md");

/// The rights of the guide's Role, and those of its optional ClusterRole.
fn guide() -> [BTreeSet<Right>; 2] {
    let mut manifests = GUIDE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut next = |kind: &str| {
        let manifest = manifests.find(|manifest| manifest.contains(&format!("kind: {kind}\n"))).expect("a manifest");
        Right::all_of(manifest)
    };
    [next("Role"), next("ClusterRole")]
}

/// Rights that no step fails without.
///
/// By the first ones it is seen that something was deleted by hand. The last one is of use, and not needed.
const SILENT: [(&str, &str); 6] = [
    ("get", "serviceaccounts"),
    ("get", "roles"),
    ("get", "rolebindings"),
    ("get", "poddisruptionbudgets"),
    ("get", "networkpolicies"),
    ("list", "horizontalpodautoscalers"),
];

#[test]
fn each_right_of_the_guide_is_needed_and_named_where_it_lacks_and_no_other_is() {
    let Some(attaching) = Stack::find("right-a") else { return };
    let Some(serving) = Stack::find("right-s") else { return };
    let [allowed, optional] = guide();
    // Without the optional ones everything works, and their lack is no error.
    let (attached, served) = std::thread::scope(|scope| {
        let attached = scope.spawn(|| attach(attaching, &allowed));
        let served = serve(serving, &allowed);
        (attached.join(), served)
    });
    let mut needed = attached.expect("the other thread");
    needed.extend(served);
    assert!(needed.is_disjoint(&optional), "{needed:?}");
    let silent = |right: &&Right| SILENT.contains(&(&right.verb, &right.resource));
    let never: Vec<_> = allowed.difference(&needed).filter(|right| !silent(right)).collect();
    assert!(never.is_empty(), "the guide has rights that nothing needs: {never:?}");
    let silent: Vec<_> = needed.iter().filter(silent).collect();
    assert!(silent.is_empty(), "needed after all: {silent:?}");
}

/// What it takes to attach, change, import and detach.
fn attach(mut stack: Stack, allowed: &BTreeSet<Right>) -> BTreeSet<Right> {
    stack.make_namespace();
    let kubectl = stack.kubectl();
    let mut identity = Identity::new(&kubectl);
    let before = kubectl.inventory();
    let project = stack.project_of(&stack.base());
    stack.site.kubeconfig = project.path().join("kubeconfig");
    identity.write_kubeconfig(&stack.site.kubeconfig);
    project.configure(&stack.base());
    identity.applies(allowed, &project);
    project.assert_no_changes();

    // Signing keys that nobody can read are replaced, as those are whose time has come.
    let signing = json!({ "stringData": { "signing-keys.json": "spoilt" } }).to_string();
    kubectl.run(&["patch", "secret", "azureml-fe-signing-keys", "--patch", &signing]);
    let changed = stack.base().replace("cpu_cores    = 0.02", "cpu_cores    = 0.03");
    project.configure(&changed);
    identity.applies(allowed, &project);
    project.assert_no_changes();

    let address = "azureml_aks_attachment.this";
    let id = project.attribute(address, "id");
    project.terraform(["state", "rm", address]).ok();
    identity.is_granted_what_is_named(allowed, || {
        project.terraform(["import", "-no-color", "-input=false", address, id.as_str()])
    });
    project.assert_no_changes();
    identity.is_granted_what_is_named(allowed, || project.destroy());
    let granted = |name: &String| name != "role.rbac.authorization.k8s.io/azureml-provider";
    assert_eq!(kubectl.inventory().into_iter().filter(granted).collect::<Vec<_>>(), before);
    stack.finish(project);
    identity.rights().clone()
}

/// What it takes to create, change, read, import and remove a service.
fn serve(mut stack: Stack, allowed: &BTreeSet<Right>) -> BTreeSet<Right> {
    stack.make_namespace();
    let kubectl = stack.kubectl();
    let administrator = stack.site.kubeconfig.clone();
    let mut identity = Identity::new(&kubectl);
    let project = stack.project_of(&stack.base());
    project.apply().ok();
    let before = kubectl.inventory();

    stack.site.kubeconfig = project.path().join("kubeconfig");
    identity.write_kubeconfig(&stack.site.kubeconfig);
    stack.more = format!("{KEYS}{LOGS}");
    project.configure(&stack.render());
    identity.applies(allowed, &project);
    assert_eq!(post(&project.scoring_uri(), &key(&project), r#"{"x": 21}"#).status, 200);

    project.write("src/score.py", DOUBLE.replace("2 *", "3 *"));
    stack.webservice = "num_replicas = 2\n  primary_key_version = 2".into();
    project.configure(&stack.render());
    identity.applies(allowed, &project);
    assert!(std::fs::read_to_string(project.path().join("logs")).expect("logs").contains("double"), "logs");

    let address = "azureml_webservice.this";
    let id = project.attribute(address, "id");
    project.terraform(["state", "rm", address]).ok();
    identity.is_granted_what_is_named(allowed, || {
        project.terraform(["import", "-no-color", "-input=false", address, id.as_str()])
    });
    let target = format!("-target={address}");
    identity.is_granted_what_is_named(allowed, || {
        project.terraform(["destroy", "-auto-approve", "-input=false", "-no-color", &target])
    });
    let granted = |name: &String| name != "role.rbac.authorization.k8s.io/azureml-provider";
    assert_eq!(kubectl.inventory().into_iter().filter(granted).collect::<Vec<_>>(), before);
    stack.site.kubeconfig = administrator;
    project.configure(&stack.base());
    stack.finish(project);
    identity.rights().clone()
}
