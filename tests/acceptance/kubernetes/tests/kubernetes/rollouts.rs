//! Changes under load, through two routers.

use acceptance_kubernetes::{CALLERS, Duel, Kubectl};

#[test]
fn no_request_fails_while_code_image_replicas_shares_and_keys_change() {
    let Some(mut duel) = Duel::find("change") else { return };
    let watch = duel.watch();
    duel.assert_well(&watch, "at first");

    duel.write_code("green", 2);
    duel.apply();
    let seen = duel.assert_well(&watch, "new code");
    assert!(!seen.answers.contains_key(&("green".to_owned(), 1)), "{seen:?}");

    duel.stack.requirements = "six==1.17.0".into();
    duel.apply();
    duel.assert_well(&watch, "a new image");

    for replicas in [5, 2] {
        duel.replicas = replicas;
        duel.apply();
        duel.assert_well(&watch, &format!("{replicas} replicas"));
    }

    for share in [90, 0, 100, 40] {
        duel.share = share;
        duel.apply();
        let seen = duel.assert_well(&watch, &format!("{share} %"));
        assert_eq!((seen.of("green") == 0, seen.of("blue") == 0), (share == 0, share == 100), "{share} %: {seen:?}");
    }

    let old = duel.secrets();
    watch.set_key(&old[1]);
    duel.assert_well(&watch, "the secondary key");
    duel.keys = [2, 1];
    duel.apply();
    duel.assert_well(&watch, "a new primary key");
    let new = duel.secrets();
    assert_eq!((new[0] == old[0], &new[1]), (false, &old[1]));
    watch.set_key(&new[0]);
    duel.assert_well(&watch, "its use");
    duel.keys = [2, 2];
    duel.apply();
    duel.assert_well(&watch, "a new secondary key");

    let all = watch.stop();
    eprintln!("{} requests", all.answered());
    assert!(all.wrong.is_empty(), "{all:?}");
    duel.project().assert_no_changes();
    duel.finish();
}

/// Deletes a pod of a component and waits until another one has its place.
fn replace(kubectl: &Kubectl, component: &str, count: usize, how: &[&str]) {
    let pod = kubectl.pods(component).remove(0);
    kubectl.run(&[&["delete", "pod", &pod, "--wait=false"], how].concat());
    acceptance_local::eventually("the pod to be gone", || (!kubectl.succeeds(&["get", "pod", &pod])).then_some(()));
    kubectl.wait_for_pods(component, count);
}

#[test]
fn no_request_fails_while_routers_are_replaced_and_pods_end_in_order() {
    let Some(mut duel) = Duel::find("order") else { return };
    let kubectl = duel.stack.kubectl();
    let watch = duel.watch();
    duel.assert_well(&watch, "at first");

    replace(&kubectl, "scorer", 2, &[]);
    duel.assert_well(&watch, "a scorer was deleted");
    replace(&kubectl, "router", 2, &[]);
    duel.assert_well(&watch, "a router was deleted");

    kubectl.run(&["rollout", "restart", "deployment/azureml-fe"]);
    kubectl.run(&["rollout", "status", "deployment/azureml-fe", "--timeout=120s"]);
    kubectl.wait_for_pods("router", 2);
    duel.assert_well(&watch, "the routers were restarted");

    let before = kubectl.pods("router");
    duel.stack.router = "memory_gb = 0.2".into();
    duel.apply();
    kubectl.wait_for_pods("router", 2);
    assert!(kubectl.pods("router").iter().all(|pod| !before.contains(pod)), "the same routers");
    duel.assert_well(&watch, "the routers were changed");

    let all = watch.stop();
    eprintln!("{} requests", all.answered());
    assert!(all.wrong.is_empty(), "{all:?}");
    duel.finish();
}

#[test]
fn only_requests_in_flight_fail_where_pods_are_killed_outright() {
    let Some(duel) = Duel::find("kill") else { return };
    let kubectl = duel.stack.kubectl();
    // A scorer runs one request at once, and a caller waits for one.
    for (component, most) in [("scorer", 1), ("router", u64::from(CALLERS))] {
        let watch = duel.watch();
        duel.assert_well(&watch, "at first");
        replace(&kubectl, component, 2, &["--force", "--grace-period=0"]);
        // Those who were waiting for it may hear late that it is gone.
        watch.see(120);
        let after = watch.see(120);
        assert!(after.wrong.is_empty(), "after a {component} was killed and replaced: {after:?}");
        let all = watch.stop();
        eprintln!("{} requests, a {component} was killed: {:?}", all.answered(), all.wrong);
        assert!(all.wrong.values().sum::<u64>() <= most, "a {component} was killed: {:?}", all.wrong);
    }
    duel.finish();
}
