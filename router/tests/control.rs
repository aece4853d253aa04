//! The control channel: tables are swapped as a whole, and the worker ends as it is told.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use support::{Router, TestReplica, TestService, eventually};

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
                let mut client = support::Client::connect(address);
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

#[test]
fn a_draining_worker_finishes_its_requests_and_takes_no_more() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let replica = TestReplica::start("r", move |exchange| {
        exchange.body();
        eventually("the door opens", || gate.load(SeqCst));
        exchange.ok("done");
    });
    let service = TestService::new("a", &[&replica]);
    let mut router = Router::start(Router::config(), &[&service]);
    let (mut unused, mut running) = (router.client(), router.client());
    assert_eq!(unused.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").response().status, 200);
    running.post(&service.path(), "");
    eventually("the request runs", || router.stats()["a"].versions["a"].in_flight == 1);
    router.drain();
    unused.assert_closed();
    open.store(true, SeqCst);
    let response = running.response();
    assert_eq!((response.text(), response.field("connection")), ("done", Some("close")));
    running.assert_closed();
    router.join().expect("a good end");
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
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").response().status, 200);
    router.abandon().expect("a good end");
    client.assert_closed();
}
