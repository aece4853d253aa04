//! Measures the throughput of replicas with one slot each behind one router and behind two: `bench-slots ROUNDS SECONDS`.
//! Prints requests per second, one and two routers by turns, as JSON.

#![allow(clippy::print_stdout, reason = "a measurement tells its figures")]

use std::time::{Duration, Instant};

use acceptance_kubernetes::{KEYS, Stack, key};
use acceptance_local::{Load, eventually};

const REPLICAS: u32 = 2;
const SCRIPT: &str =
    "import time\n\n\ndef init():\n    pass\n\n\ndef run(raw_data):\n    time.sleep(0.010)\n    return 1\n";

fn throughput(uri: &str, key: &str, seconds: u64) -> f64 {
    let load = Load::start(uri, key, "{}", REPLICAS * 8, 100_000);
    eventually("answers", || (load.so_far().answered() > 100).then_some(()));
    let (started, before) = (Instant::now(), load.so_far().answered());
    std::thread::sleep(Duration::from_secs(seconds));
    let (elapsed, answered) = (started.elapsed(), load.so_far().answered() - before);
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let answered = answered as f64;
    answered / elapsed.as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let mut next = || arguments.next().expect("ROUNDS SECONDS");
    let (rounds, seconds) = (next(), next());
    let mut stack = Stack::find("bench-slots").expect("AZUREML_IMAGES and REGISTRY are not set");
    stack.make_namespace();
    stack.webservice =
        format!("num_replicas = {REPLICAS}\n  replica_max_concurrent_requests = 1\n  max_request_wait_time = 20000");
    stack.more = KEYS.into();
    let project = stack.project();
    project.write("src/score.py", SCRIPT);
    project.apply().ok();
    let (uri, key, kubectl) = (project.scoring_uri(), key(&project), stack.kubectl());

    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (routers, figures) in (1..).zip(&mut all) {
            kubectl.run(&["scale", "deployment/azureml-fe", &format!("--replicas={routers}")]);
            kubectl.wait_for_pods("router", routers);
            figures.push(throughput(&uri, &key, seconds));
        }
    }
    let [one, two] = all;
    println!("{}", serde_json::json!({ "one_router": one, "two_routers": two }));
    stack.finish(project);
}
