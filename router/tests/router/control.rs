//! The control channel: tables are swapped as a whole, and the worker ends as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::{Client, KEY, Router, TestReplica, TestService, eventually};
use azureml_fe::config::Config;

/// A request that the router answers itself.
const HEALTH: &str = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

#[test]
fn tables_are_swapped_under_load_without_a_failed_request() {
    let (old, new) = (TestReplica::echo("old"), TestReplica::echo("new"));
    let before = TestService::new("a", &[&old]).with(|version| version.limit = 4);
    let after = TestService::new("a", &[&new]).with(|version| version.limit = 4);
    let mut router = Router::start(Router::config(), &[&before]);
    let address = router.address;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                while !stop.load(SeqCst) {
                    assert_eq!(client.post(&before.path(), "x").response().status, 200);
                    done.fetch_add(1, SeqCst);
                }
            });
        }
        for round in 0..100 {
            router.apply(&[if round % 2 == 0 { &after } else { &before }]);
            let seen = done.load(SeqCst);
            eventually("requests go on", || done.load(SeqCst) > seen);
        }
        stop.store(true, SeqCst);
    });
    assert!(old.count() > 0 && new.count() > 0);
}

#[test]
fn after_the_confirmation_no_new_request_reaches_a_replica_that_is_not_listed() {
    let (old, new) = (TestReplica::echo("old"), TestReplica::echo("new"));
    let mut router = Router::start(Router::config(), &[&TestService::new("a", &[&old])]);
    let service = TestService::new("a", &[&new]);
    let mut clients: Vec<_> = (0..8).map(|_| router.client()).collect();
    for client in &mut clients {
        assert_eq!(client.post(&service.path(), "x").response().text(), "old:x");
    }
    router.apply(&[&service]);
    for client in &mut clients {
        assert_eq!(client.post(&service.path(), "x").response().text(), "new:x");
    }
}

#[test]
fn a_request_whose_body_was_slow_goes_to_the_replicas_of_now() {
    let (old, new) = (TestReplica::echo("old"), TestReplica::echo("new"));
    let service = TestService::new("a", &[&old]);
    let mut router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 1\r\n\
         Expect: 100-continue\r\n\r\n",
        service.path()
    );
    assert_eq!(client.send(head).response().status, 100, "the head was read");
    router.apply(&[&TestService::new("a", &[&new])]);
    assert_eq!(client.send("x").response().text(), "new:x");
    assert_eq!(old.count(), 0);
}

#[test]
fn a_snapshot_with_one_bad_service_is_refused_as_a_whole() {
    let (old, new) = (TestReplica::echo("old"), TestReplica::echo("new"));
    let mut router = Router::start(Router::config(), &[&TestService::new("a", &[&old])]);
    let good = TestService::new("a", &[&new]);
    let bad = TestService::new("b", &[&new]).with(|version| version.limit = 0);
    router.offer(&[&good, &bad]);
    // The next answer is the one to this question: the snapshot got none.
    let stats = router.stats();
    assert_eq!(stats.keys().collect::<Vec<_>>(), ["a"]);
    let mut client = router.client();
    assert_eq!(client.post(&good.path(), "x").response().text(), "old:x");
    router.apply(&[&good]);
    assert_eq!(client.post(&good.path(), "x").response().text(), "new:x");
}

#[test]
fn a_changed_key_is_in_force_at_once_and_touches_no_replica() {
    let replica = TestReplica::echo("r");
    let service = TestService::new("a", &[&replica]);
    let mut router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    assert_eq!(client.post(&service.path(), "x").response().status, 200);
    router.apply(&[&service.clone().anonymous()]);
    let get = format!("GET {} HTTP/1.1\r\nHost: t\r\n\r\n", service.path());
    assert_eq!(client.send(&get).response().status, 200);
    router.apply(&[&service]);
    assert_eq!(client.send(&get).response().status, 401);
}

/// A router with two connections: one is unused, on the other a request runs until the door opens.
fn half_busy(config: Config) -> (Router, TestService, Client, Client, Arc<AtomicBool>, TestReplica) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let replica = TestReplica::start("r", move |exchange| {
        exchange.body();
        eventually("the door opens", || gate.load(SeqCst));
        exchange.ok("done");
    });
    let service = TestService::new("a", &[&replica]);
    let mut router = Router::start(config, &[&service]);
    let (mut unused, mut running) = (router.client(), router.client());
    assert_eq!(unused.send(HEALTH).response().status, 200);
    running.post(&service.path(), "");
    eventually("the request runs", || router.stats()["a"].versions["a"].in_flight == 1);
    (router, service, unused, running, open, replica)
}

#[test]
fn a_draining_worker_finishes_its_requests_and_takes_no_more() {
    let mut config = Router::config();
    config.timeouts.drain_idle_ms = 10;
    let (mut router, _, mut unused, mut running, open, _replica) = half_busy(config);
    router.drain();
    unused.assert_closed();
    open.store(true, SeqCst);
    let response = running.response();
    assert_eq!((response.text(), response.field("connection")), ("done", Some("close")));
    running.assert_closed();
    router.join().expect("a good end");
}

#[test]
fn a_stopping_worker_finishes_its_requests_and_closes_unused_connections_at_once() {
    let mut config = Router::config();
    config.timeouts.drain_idle_ms = 3_600_000;
    let (mut router, _, mut unused, mut running, open, _replica) = half_busy(config);
    router.drain();
    assert_eq!(router.stats()["a"].versions["a"].in_flight, 1, "it still answers its supervisor");
    router.stop();
    unused.assert_closed();
    open.store(true, SeqCst);
    let response = running.response();
    assert_eq!((response.text(), response.field("connection")), ("done", Some("close")));
    router.join().expect("a good end");
}

#[test]
fn a_draining_worker_answers_on_an_unused_connection_and_says_that_it_was_the_last_time() {
    let mut config = Router::config();
    config.timeouts.drain_idle_ms = 3_600_000;
    let (mut router, service, mut unused, mut running, open, _replica) = half_busy(config);
    router.drain();
    assert_eq!(router.stats()["a"].versions["a"].in_flight, 1, "the order to drain was read");
    open.store(true, SeqCst);
    assert_eq!(running.response().field("connection"), Some("close"));
    let response = unused.post(&service.path(), "").response();
    assert_eq!((response.text(), response.field("connection")), ("done", Some("close")));
    unused.assert_closed();
    router.join().expect("a good end");
}

#[test]
fn a_draining_worker_keeps_the_connection_that_it_has_promised_to_keep() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let replica = TestReplica::start("r", move |exchange| {
        exchange.body();
        exchange.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n");
        eventually("the door opens", || gate.load(SeqCst));
        exchange.write("0\r\n\r\n");
    });
    let service = TestService::new("a", &[&replica]);
    let mut router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    let head = client.post(&service.path(), "").head().expect("a head");
    assert_eq!((head.status, head.field("connection")), (200, None));
    router.drain();
    assert_eq!(router.stats()["a"].versions["a"].in_flight, 1, "the order to drain was read");
    open.store(true, SeqCst);
    client.skip("1\r\na\r\n0\r\n\r\n".len() as u64);
    eventually("the response is over", || router.stats()["a"].versions["a"].in_flight == 0);
    let response = client.post(&service.path(), "").response();
    assert_eq!((response.text(), response.field("connection")), ("a", Some("close")));
    router.join().expect("a good end");
}

#[test]
fn a_draining_worker_answers_every_request_that_has_arrived_on_a_connection() {
    let (mut router, service, _, mut running, open, _replica) = half_busy(Router::config());
    running.post(&service.path(), "").send(HEALTH);
    router.drain();
    assert_eq!(router.stats()["a"].versions["a"].in_flight, 1, "the order to drain was read");
    open.store(true, SeqCst);
    let responses: Vec<_> = (0..3).map(|_| running.response()).collect();
    let closing: Vec<_> = responses.iter().map(|response| (response.status, response.field("connection"))).collect();
    assert_eq!(closing, [(200, None), (200, None), (200, Some("close"))]);
}

#[test]
fn a_draining_worker_still_follows_the_supervisor() {
    let (old, new) = (TestReplica::echo("old"), TestReplica::echo("new"));
    let mut router = Router::start(Router::config(), &[&TestService::new("a", &[&old])]);
    let mut client = router.client();
    assert_eq!(client.send(HEALTH).response().status, 200);
    router.drain();
    let service = TestService::new("a", &[&new]);
    router.apply(&[&service]);
    assert_eq!(client.post(&service.path(), "x").response().text(), "new:x");
}

#[test]
fn callers_that_keep_their_connections_and_never_retry_notice_nothing_of_a_new_worker() {
    let replica = TestReplica::echo("r");
    let service = TestService::new("a", &[&replica]).with(|version| version.limit = 8);
    let mut router = Router::start(Router::config(), &[&service]);
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (address, service) = (router.address, &service);
    std::thread::scope(|scope| {
        for number in 0..8_u32 {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let mut kept = None;
                while !stop.load(SeqCst) {
                    let mut client = kept.take().unwrap_or_else(|| Client::connect(address));
                    let response = client.post(&service.path(), "x").response();
                    assert_eq!(response.status, 200);
                    kept = (response.field("connection") != Some("close")).then_some(client);
                    done.fetch_add(1, SeqCst);
                    // Some hammer, some leave their connection unused for a while.
                    std::thread::sleep(Duration::from_micros(100) * number.pow(3));
                }
            });
        }
        for _ in 0..20 {
            let next = router.successor(Router::config(), &[service]);
            router.drain();
            let seen = done.load(SeqCst);
            eventually("requests go on", || done.load(SeqCst) > seen + 100);
            std::mem::replace(&mut router, next).join().expect("a good end");
        }
        stop.store(true, SeqCst);
    });
}

#[test]
fn a_draining_worker_does_not_wait_for_ever() {
    let replica = TestReplica::start("r", |exchange| {
        exchange.body();
        let mut byte = [0];
        let _ = std::io::Read::read(exchange.reader, &mut byte);
    });
    let service = TestService::new("a", &[&replica]);
    let mut config = Router::config();
    config.timeouts.drain_ms = 30;
    let mut router = Router::start(config, &[&service]);
    let mut client = router.client();
    client.post(&service.path(), "");
    eventually("the request runs", || router.stats()["a"].versions["a"].in_flight == 1);
    router.drain();
    client.assert_closed();
    router.join().expect("a good end");
}

#[test]
fn a_worker_whose_supervisor_is_gone_ends() {
    let router = Router::start(Router::config(), &[]);
    let mut client = router.client();
    assert_eq!(client.send(HEALTH).response().status, 200);
    router.abandon().expect("a good end");
    client.assert_closed();
}
