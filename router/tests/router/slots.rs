//! Slots, the queue and the deadlines.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::{Router, TestReplica, TestService, TestVersion, eventually};
use azureml_fe::config::Config;

/// A door that requests wait at until the test opens it.
#[derive(Default)]
struct Door {
    open: Mutex<usize>,
    changed: Condvar,
}

impl Door {
    /// Lets so many more requests pass.
    fn admit(&self, count: usize) {
        *self.open.lock().expect("not poisoned") += count;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut open = self.open.lock().expect("not poisoned");
        while *open == 0 {
            open = self.changed.wait(open).expect("not poisoned");
        }
        *open -= 1;
    }
}

/// A replica whose requests wait at a door, each after its body.
fn waiting_at(door: &Arc<Door>, id: &str, answer: &'static str) -> TestReplica {
    let door = Arc::clone(door);
    TestReplica::start(id, move |exchange| {
        exchange.body();
        door.pass();
        exchange.ok(answer);
    })
}

/// A replica that counts how many requests it runs at once.
fn counting(id: &str, most: &Arc<AtomicUsize>) -> TestReplica {
    let (running, most) = (AtomicUsize::new(0), Arc::clone(most));
    TestReplica::start(id, move |exchange| {
        let now = running.fetch_add(1, SeqCst) + 1;
        most.fetch_max(now, SeqCst);
        exchange.body();
        std::thread::sleep(Duration::from_millis(1));
        running.fetch_sub(1, SeqCst);
        exchange.ok("");
    })
}

#[test]
fn under_saturation_no_replica_gets_more_than_its_limit_and_every_request_is_answered() {
    let most = Arc::new(AtomicUsize::new(0));
    let replicas: Vec<TestReplica> = (0..3).map(|number| counting(&format!("r{number}"), &most)).collect();
    let service = TestService::new("a", &replicas.iter().collect::<Vec<_>>()).with(|version| version.limit = 2);
    let mut router = Router::start(Router::config(), &[&service]);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let mut client = router.client();
                for _ in 0..40 {
                    assert_eq!(client.post(&service.path(), "x").response().status, 200);
                }
            });
        }
    });
    assert_eq!(most.load(SeqCst), 2);
    assert_eq!(replicas.iter().map(TestReplica::count).sum::<usize>(), 24 * 40);
    // A request is counted after its caller has the response.
    eventually("all are counted", || {
        let stats = &router.stats()["a"];
        let version = &stats.versions["a"];
        (stats.queued, version.in_flight, version.requests, version.errors) == (0, 0, 24 * 40, 0)
    });
}

#[test]
fn waiting_requests_are_served_in_the_order_of_their_arrival() {
    let door = Arc::new(Door::default());
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let (gate, seen) = (Arc::clone(&door), Arc::clone(&order));
    let replica = TestReplica::start("r", move |exchange| {
        let body = String::from_utf8(exchange.body()).expect("text");
        seen.lock().expect("not poisoned").push(body);
        gate.pass();
        exchange.ok("");
    });
    let service = TestService::new("a", &[&replica]);
    let mut router = Router::start(Router::config(), &[&service]);
    let mut clients: Vec<_> = (0..8).map(|_| router.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.post(&service.path(), number.to_string());
        let waiting = number as u64;
        eventually("the request waits", || {
            let stats = &router.stats()["a"];
            stats.queued == waiting && stats.versions["a"].in_flight == 1
        });
    }
    door.admit(8);
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(*order.lock().expect("not poisoned"), ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[test]
fn a_request_that_finds_no_slot_in_its_time_gets_a_503_with_retry_after() {
    let door = Arc::new(Door::default());
    let replica = waiting_at(&door, "r", "");
    let service = TestService::new("a", &[&replica]).with(|version| version.wait_ms = 30);
    let mut router = Router::start(Router::config(), &[&service]);
    let mut running = router.client();
    running.post(&service.path(), "");
    eventually("the replica is busy", || router.stats()["a"].versions["a"].in_flight == 1);
    let mut client = router.client();
    let response = client.post(&service.path(), "x").response();
    assert_eq!((response.status, response.code().as_str()), (503, "queue_timeout"));
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(response.field("azureml-model-deployment"), Some("a"));
    door.admit(2);
    assert_eq!(running.response().status, 200);
    assert_eq!(client.post(&service.path(), "x").response().status, 200, "the connection is still good");
}

#[test]
fn a_full_queue_is_a_503_at_once() {
    let door = Arc::new(Door::default());
    let replica = waiting_at(&door, "r", "");
    let service = TestService::new("a", &[&replica]);
    let mut config = Router::config();
    config.limits.queue_length = 1;
    let mut router = Router::start(config, &[&service]);
    let (mut first, mut second) = (router.client(), router.client());
    first.post(&service.path(), "");
    eventually("the replica is busy", || router.stats()["a"].versions["a"].in_flight == 1);
    second.post(&service.path(), "");
    eventually("the queue is full", || router.stats()["a"].queued == 1);
    let response = router.client().post(&service.path(), "").response();
    assert_eq!((response.status, response.code().as_str()), (503, "queue_full"));
    door.admit(2);
    assert_eq!((first.response().status, second.response().status), (200, 200));
}

#[test]
fn a_service_without_replicas_waits_for_one_and_then_says_so() {
    let service = TestService::new("a", &[]).with(|version| version.wait_ms = 30);
    let mut router = Router::start(Router::config(), &[&service]);
    let response = router.client().post(&service.path(), "").response();
    assert_eq!((response.status, response.code().as_str()), (503, "no_ready_replicas"));
    let patient = TestService::new("a", &[]);
    router.apply(&[&patient]);
    let mut client = router.client();
    client.post(&service.path(), "x");
    eventually("the request waits", || router.stats()["a"].queued == 1);
    let replica = TestReplica::echo("r");
    router.apply(&[&TestService::new("a", &[&replica])]);
    assert_eq!(client.response().text(), "r:x");
}

#[test]
fn a_replica_that_takes_too_long_is_a_504_and_learns_what_was_left_of_the_time() {
    let left: Arc<Mutex<Vec<u64>>> = Arc::default();
    let kept = Arc::clone(&left);
    let replica = TestReplica::start("r", move |exchange| {
        exchange.body();
        let deadline = exchange.field("x-azureml-deadline-ms").expect("a deadline").parse().expect("a number");
        kept.lock().expect("not poisoned").push(deadline);
        // The router closes the connection when it gives up.
        assert!(!exchange.reader.fill_to_end());
        exchange.close = true;
    });
    let service = TestService::new("a", &[&replica]).with(|version| version.timeout_ms = 60);
    let mut router = Router::start(Router::config(), &[&service]);
    let response = router.client().post(&service.path(), "").response();
    assert_eq!((response.status, response.code().as_str()), (504, "scoring_timeout"));
    assert!((1..=60).contains(&left.lock().expect("not poisoned")[0]));
    eventually("the slot is free", || router.stats()["a"].versions["a"].in_flight == 0);
}

/// Waiting for the end of a connection.
trait FillToEnd {
    /// False when the connection ends, true if something else arrives first.
    fn fill_to_end(&mut self) -> bool;
}

impl<R: std::io::BufRead> FillToEnd for R {
    fn fill_to_end(&mut self) -> bool {
        self.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    }
}

#[test]
fn a_caller_that_leaves_gives_up_its_place_and_its_slot() {
    let replica = TestReplica::start("r", |exchange| {
        exchange.body();
        assert!(!exchange.reader.fill_to_end());
        exchange.close = true;
    });
    let service = TestService::new("a", &[&replica]);
    let mut router = Router::start(Router::config(), &[&service]);
    let (mut running, mut waiting) = (router.client(), router.client());
    running.post(&service.path(), "");
    eventually("the replica is busy", || router.stats()["a"].versions["a"].in_flight == 1);
    waiting.post(&service.path(), "");
    eventually("one waits", || router.stats()["a"].queued == 1);
    drop(waiting);
    eventually("nobody waits", || router.stats()["a"].queued == 0);
    drop(running);
    eventually("the slot is free", || router.stats()["a"].versions["a"].in_flight == 0);
}

/// A scorer whose only slot is taken by another router at first. Its slots are asked for at the slot route.
fn filled_by_others(door: &Arc<Door>) -> (TestReplica, Arc<AtomicUsize>) {
    let (door, asked) = (Arc::clone(door), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let replica = TestReplica::start("r", move |exchange| {
        if exchange.line == "GET /.azureml/slot HTTP/1.1" {
            assert_eq!(exchange.field("x-azureml-limit"), Some("1"));
            let number = count.fetch_add(1, SeqCst);
            door.pass();
            return exchange.answer("200 OK", &format!("x-azureml-grant: g{number}\r\n"), "");
        }
        exchange.body();
        match exchange.field("x-azureml-grant").map(str::to_owned) {
            Some(grant) => exchange.ok(grant),
            None => exchange.refuse("busy"),
        }
    });
    (replica, asked)
}

#[test]
fn a_busy_refusal_makes_the_router_ask_for_a_slot_and_use_the_granted_one() {
    let door = Arc::new(Door::default());
    let (replica, asked) = filled_by_others(&door);
    let service = TestService::new("a", &[&replica]);
    let mut router = Router::start(Router::config(), &[&service]);
    let mut clients: Vec<_> = (0..3).map(|_| router.client()).collect();
    for (waiting, client) in (1..).zip(&mut clients) {
        client.post(&service.path(), "");
        eventually("the request waits", || router.stats()["a"].queued == waiting);
    }
    eventually("one question stands", || asked.load(SeqCst) == 1);
    door.admit(3);
    for (number, client) in clients.iter_mut().enumerate() {
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, format!("g{number}").as_str()));
    }
}

#[test]
fn the_question_for_a_slot_is_withdrawn_when_nobody_waits_any_more() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let replica = TestReplica::start("r", move |exchange| {
        if exchange.line.starts_with("GET /.azureml/slot") {
            assert!(!exchange.reader.fill_to_end());
            count.fetch_add(1, SeqCst);
            exchange.close = true;
            return;
        }
        exchange.body();
        exchange.refuse("busy");
    });
    let service = TestService::new("a", &[&replica]).with(|version| version.wait_ms = 50);
    let router = Router::start(Router::config(), &[&service]);
    let response = router.client().post(&service.path(), "").response();
    assert_eq!((response.status, response.code().as_str()), (503, "queue_timeout"));
    eventually("the question is withdrawn", || ended.load(SeqCst) == 1);
}

#[test]
fn a_question_whose_time_passes_is_asked_again_and_does_not_count_against_the_replica() {
    let (door, asked) = (Arc::new(Door::default()), Arc::new(AtomicUsize::new(0)));
    let (gate, count) = (Arc::clone(&door), Arc::clone(&asked));
    let replica = TestReplica::start("r", move |exchange| {
        if exchange.line.starts_with("GET /.azureml/slot") {
            if count.fetch_add(1, SeqCst) < 3 {
                // As the scorer does, with a text.
                return exchange.answer("503 No", "x-azureml-refused: busy\r\n", "no slot in time");
            }
            gate.pass();
            return exchange.answer("200 OK", "x-azureml-grant: 1\r\n", "");
        }
        exchange.body();
        if exchange.field("x-azureml-grant").is_some() { exchange.ok("granted") } else { exchange.refuse("busy") }
    });
    let service = TestService::new("a", &[&replica]);
    let mut config = Router::config();
    // A replica that is taken for a failed one is not tried again in this test.
    (config.upstream.backoff_ms, config.upstream.backoff_max_ms) = (3_600_000, 3_600_000);
    let router = Router::start(config, &[&service]);
    let mut client = router.client();
    client.post(&service.path(), "");
    eventually("it is asked again and again", || asked.load(SeqCst) == 4);
    door.admit(1);
    assert_eq!(client.response().text(), "granted");
}

#[test]
fn a_request_that_is_refused_many_times_is_repeated_for_as_long_as_it_may_wait() {
    // More often than a replica may be unreachable: another router takes each slot in the last moment.
    let (refusals, seen) = (Config::default().upstream.retries as usize * 4, Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&seen);
    let replica = TestReplica::start("r", move |exchange| {
        if exchange.line.starts_with("GET /.azureml/slot") {
            return exchange.answer("200 OK", "x-azureml-grant: 1\r\n", "");
        }
        exchange.body();
        if count.fetch_add(1, SeqCst) < refusals { exchange.refuse("busy") } else { exchange.ok("done") }
    });
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    assert_eq!(router.client().post(&service.path(), "").response().text(), "done");
    assert_eq!(seen.load(SeqCst), refusals + 1);
}

#[test]
fn another_replica_with_a_free_slot_serves_what_a_full_one_refuses() {
    let full = TestReplica::start("full", |exchange| {
        if exchange.line.starts_with("GET /.azureml/slot") {
            exchange.reader.fill_to_end();
            exchange.close = true;
            return;
        }
        exchange.body();
        exchange.refuse("busy");
    });
    let free = TestReplica::echo("free");
    let service = TestService::new("a", &[&full, &free]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..10 {
        assert_eq!(client.post(&service.path(), "x").response().text(), "free:x");
    }
}

#[test]
fn versions_have_slots_of_their_own() {
    let door = Arc::new(Door::default());
    let slow = waiting_at(&door, "slow", "slow");
    let fast = TestReplica::echo("fast");
    let versions = vec![TestVersion::new("slow", 5_000, &[&slow]), TestVersion::new("fast", 5_000, &[&fast])];
    let service = TestService::endpoint("e", versions);
    let mut router = Router::start(Router::config(), &[&service]);
    let (mut first, mut second) = (router.client(), router.client());
    first.post_with(&service.path(), "azureml-model-deployment: slow\r\n", "");
    eventually("the slow version is busy", || router.stats()["e"].versions["slow"].in_flight == 1);
    for _ in 0..5 {
        let response = second.post_with(&service.path(), "azureml-model-deployment: fast\r\n", "").response();
        assert_eq!(response.text(), "fast:");
    }
    door.admit(1);
    assert_eq!(first.response().text(), "slow");
}
