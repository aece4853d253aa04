//! The slot protocol under saturation.

use std::time::{Duration, Instant};

use acceptance_local::{Load, Stack};

/// Sleeps ten milliseconds, and says how many of this replica's runs overlapped with it and how long it took.
const SLEEPER: &str = r#"import fcntl
import os
import struct
import tempfile
import time


def init():
    global path
    path = os.path.join(tempfile.gettempdir(), f"running-{os.getppid()}-{os.getpgid(0)}")


def change(by):
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now = struct.unpack("<q", file.read(8) or bytes(8))[0] + by
        file.truncate(0)
        file.write(struct.pack("<q", now))
        file.flush()
        return now


def run(raw_data):
    start = time.perf_counter()
    running = change(1)
    try:
        time.sleep(0.010)
    finally:
        change(-1)
    return {"running": running, "seconds": time.perf_counter() - start}
"#;

/// What `run()` returns.
#[derive(serde::Deserialize)]
struct Run {
    running: u32,
    seconds: f64,
}

fn saturate(replicas: u32, limit: u32, workers: u32) {
    let stack = Stack {
        environment: format!("environment_variables = {{ WORKER_COUNT = \"{workers}\" }}"),
        webservice: format!(
            "num_replicas = {replicas}\n replica_max_concurrent_requests = {limit}\n max_request_wait_time = 20000"
        ),
        ..Stack::default()
    };
    let project = stack.project();
    project.write("src/score.py", SLEEPER);
    project.apply().ok();
    let uri = project.scoring_uri();
    let slots = replicas * limit;
    let load = Load::start(&uri, &project.key("double"), "{}", slots * 3, 100_000);
    let started = Instant::now();
    std::thread::sleep(Duration::from_secs(5));
    let tally = load.stop();
    let seconds = started.elapsed().as_secs_f64();

    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    let mut service = 0.0;
    for (body, count) in &tally.answers {
        let run: Run = serde_json::from_str(body).expect("what run() returns");
        assert!(run.running <= limit, "{} runs at once, {limit} allowed", run.running);
        (0..*count).for_each(|_| service += run.seconds);
    }
    #[allow(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let answered = tally.answered() as f64;
    let (throughput, possible) = (answered / seconds, f64::from(slots) * answered / service);
    eprintln!(
        "{replicas} replicas x {limit}: {throughput:.0} requests/s of {possible:.0} that runs of {:.2} ms allow: {:.3}",
        service / answered * 1e3,
        throughput / possible
    );
}

#[test]
fn three_replicas_with_one_slot_each_never_run_two_requests_at_once() {
    saturate(3, 1, 1);
}

#[test]
fn two_replicas_with_two_workers_and_two_slots_never_run_three_requests_at_once() {
    saturate(2, 2, 2);
}
