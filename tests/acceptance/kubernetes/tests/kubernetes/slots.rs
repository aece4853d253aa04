//! The slot protocol under saturation, through two routers.

use acceptance_kubernetes::{KEYS, SLEEPER, Stack, key};
use acceptance_local::{Load, eventually};
use serde_json::Value;

const REPLICAS: u32 = 2;
const REQUESTS: u64 = 800;

#[test]
fn a_replica_with_one_slot_never_runs_two_requests_of_two_routers_at_once_and_none_is_refused() {
    let Some(mut stack) = Stack::find("slots") else { return };
    stack.make_namespace();
    stack.routers = 2;
    // Two workers could run two requests at once, so that only the slots forbid it.
    stack.environment = "environment_variables = { WORKER_COUNT = \"2\" }".into();
    stack.webservice =
        format!("num_replicas = {REPLICAS}\n  replica_max_concurrent_requests = 1\n  max_request_wait_time = 20000");
    stack.more = KEYS.into();
    let project = stack.project();
    project.write("src/score.py", SLEEPER);
    project.apply().ok();
    let kubectl = stack.kubectl();
    kubectl.wait_for_pods("router", 2);

    let load = Load::start(&project.scoring_uri(), &key(&project), "{}", REPLICAS * 6, 100_000);
    eventually("answers under saturation", || (load.so_far().answered() >= REQUESTS).then_some(()));
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}\n{}", tally.failures, kubectl.last_words("router"));

    let mut replicas = std::collections::BTreeMap::<String, u64>::new();
    for (body, count) in &tally.answers {
        let run: Value = serde_json::from_str(body).expect("what run() returns");
        assert_eq!(run["running"], 1, "runs at once where one is allowed: {run}");
        *replicas.entry(run["replica"].as_str().expect("a name").to_owned()).or_default() += count;
    }
    assert_eq!(replicas.len(), 2, "{replicas:?}");
    for router in kubectl.pods("router") {
        assert!(kubectl.requests_of(&router) > 0, "{router} was not asked");
    }
    stack.finish(project);
}
