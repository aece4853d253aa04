//! Clusters that do not run what they are asked to.

use acceptance_kubernetes::Told;
use serde_json::json;

use super::Healthy;
use super::policy::Policy;

#[test]
fn what_no_node_has_is_told_with_what_is_short_and_what_served_before_goes_on() {
    let Some(mut healthy) = Healthy::find("nodes") else { return };
    for (argument, value, why) in [
        ("cpu_cores", "900", "Insufficient cpu"),
        ("memory_gb", "9000", "Insufficient memory"),
        ("gpu_cores", "1", "Insufficient nvidia.com/gpu"),
        ("node_selector", "{ nowhere = \"here\" }", "node affinity/selector"),
    ] {
        // One of the usual arguments is replaced.
        let others = [("cpu_cores", "cpu_cores = 0.01"), ("memory_gb", "memory_gb = 0.1")];
        let mut resources = vec![format!("{argument} = {value}")];
        resources.extend(others.iter().filter(|(name, _)| *name != argument).map(|(_, line)| (*line).to_owned()));
        healthy.stack.resources = resources.join("\n  ");
        healthy
            .fails("timeouts { update = \"15s\" }", &["node takes pod", "0/1 nodes are available", why, "add nodes"])
            .at(argument);
    }
    healthy.stack.resources = acceptance_kubernetes::RESOURCES.into();
    healthy.recovers();
    healthy.finish();
}

#[test]
fn what_a_quota_or_a_policy_refuses_is_told_by_its_name_and_what_served_before_goes_on() {
    let Some(mut healthy) = Healthy::find("refused") else { return };
    let kubectl = healthy.stack.kubectl();
    kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "small" },
        "spec": { "hard": { "pods": "2" } },
    }));
    healthy.stack.webservice = "num_replicas = 3".into();
    healthy.project.configure(&healthy.stack.render());
    let expected = ["exceeded quota: small", "pods=1", "used: pods=2", "Raise the ResourceQuota", "What served before"];
    Told::by_apply(&healthy.project, &expected).at("num_replicas");
    healthy.answers();
    kubectl.run(&["delete", "resourcequota", "small"]);

    healthy
        .fails(
            "service_account = \"absent\"",
            &["serviceaccount \"absent\" not found", "does not let the pod be created"],
        )
        .at("service_account");
    healthy
        .fails("priority_class = \"absent\"", &["no PriorityClass with name absent was found", "policy"])
        .at("priority_class");

    let policy = Policy::refusing(&kubectl, "pods");
    healthy.fails(
        "pod_labels = { team = \"none\" }",
        &[&policy.name, "this team may not deploy", "Change what the policy"],
    );
    drop(policy);
    healthy.recovers();

    // Refused is the Deployment itself, before there is anything to wait for.
    let policy = Policy::refusing(&kubectl, "deployments");
    healthy.stack.webservice = "num_replicas = 1\n  pod_labels = { team = \"none\" }".into();
    healthy.project.configure(&healthy.stack.render());
    Told::by_apply(&healthy.project, &["Deployment double-", &policy.name, "this team may not deploy"]);
    healthy.answers();
    drop(policy);
    healthy.recovers();
    healthy.finish();
}

#[test]
fn a_probe_that_is_not_answered_is_told_with_what_it_saw_and_what_served_before_goes_on() {
    let Some(mut healthy) = Healthy::find("probe") else { return };
    let Some(policy) = Policy::misdirecting_probes(&healthy.stack.kubectl()) else { return };
    let spoilt = "pod_labels = { team = \"none\" }\n  timeouts { update = \"30s\" }";
    // A scorer answers nobody but its router there.
    healthy.fails(spoilt, &["runs, but is not ready", "Readiness probe failed", "statuscode: 403"]);
    drop(policy);
    healthy.recovers();
    healthy.finish();
}
