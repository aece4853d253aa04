//! Replicas that fail: what is repeated, and what the caller is told.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::support::{Router, TestReplica, TestService, dead_replica, eventually};

#[test]
fn a_replica_that_cannot_be_reached_is_passed_over() {
    let replica = TestReplica::echo("good");
    let service = TestService::new("a", &[&replica]).with(|version| {
        version.replicas.insert(0, dead_replica("dead-1"));
        version.replicas.push(dead_replica("dead-2"));
    });
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..20 {
        assert_eq!(client.post(&service.path(), "x").response().text(), "good:x");
    }
}

#[test]
fn a_service_of_dead_replicas_is_a_503_when_the_wait_ends() {
    let service = TestService::new("a", &[]).with(|version| {
        version.replicas.push(dead_replica("dead"));
        version.wait_ms = 60;
    });
    let mut config = Router::config();
    config.upstream.retries = 1000;
    let router = Router::start(config, &[&service]);
    let response = router.client().post(&service.path(), "x").response();
    assert_eq!((response.status, response.code().as_str()), (503, "no_ready_replicas"));
}

#[test]
fn a_failed_replica_is_probed_and_taken_back_when_it_answers() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let replica = TestReplica::start("r", move |exchange| {
        exchange.body();
        if state.load(SeqCst) { exchange.close = true } else { exchange.ok("well") }
    });
    let service = TestService::new("a", &[&replica]).with(|version| version.wait_ms = 30);
    let mut config = Router::config();
    (config.upstream.backoff_ms, config.upstream.backoff_max_ms) = (1, 5);
    let router = Router::start(config, &[&service]);
    let mut client = router.client();
    let response = client.post(&service.path(), "").response();
    assert_eq!((response.status, response.code().as_str()), (502, "replica_failed"));
    broken.store(false, SeqCst);
    eventually("the replica is taken back", || client.post(&service.path(), "").response().status == 200);
}

#[test]
fn a_request_that_a_replica_drops_is_repeated_once_on_another() {
    let bad = TestReplica::start("bad", |exchange| {
        exchange.body();
        exchange.close = true;
    });
    let good = TestReplica::echo("good");
    let service = TestService::new("a", &[&bad, &good]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..10 {
        assert_eq!(client.post(&service.path(), "x").response().text(), "good:x");
    }
    assert!(bad.count() >= 1);
}

#[test]
fn a_request_that_kills_every_replica_is_not_sent_to_all_of_them() {
    let deadly = |_| {
        TestReplica::start(
            "r",
            |exchange| {
                if exchange.body() == b"poison" { exchange.close = true } else { exchange.ok("") }
            },
        )
    };
    for warm in [false, true] {
        let replicas: Vec<TestReplica> = (0..5).map(deadly).collect();
        let service = TestService::new("a", &[]).with(|version| {
            for (number, replica) in replicas.iter().enumerate() {
                let mut listed = replica.listed();
                listed.id = format!("r{number}");
                version.replicas.push(listed);
            }
        });
        let mut config = Router::config();
        config.threads = 1;
        let router = Router::start(config, &[&service]);
        let mut client = router.client();
        if warm {
            // Each has an open connection then.
            eventually("every replica has answered", || {
                assert_eq!(client.post(&service.path(), "x").response().status, 200);
                replicas.iter().all(|replica| replica.count() > 0)
            });
        }
        let before: usize = replicas.iter().map(TestReplica::count).sum();
        let response = client.post(&service.path(), "poison").response();
        assert_eq!((response.status, response.code().as_str()), (502, "replica_failed"));
        assert_eq!(replicas.iter().map(TestReplica::count).sum::<usize>() - before, 2, "warm: {warm}");
    }
}

#[test]
fn a_draining_replicas_requests_go_elsewhere() {
    let draining = TestReplica::start("old", |exchange| {
        exchange.body();
        exchange.refuse("draining");
    });
    let good = TestReplica::echo("new");
    let service = TestService::new("a", &[&draining, &good]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..10 {
        assert_eq!(client.post(&service.path(), "x").response().text(), "new:x");
    }
}

#[test]
fn a_503_of_the_model_itself_is_not_repeated() {
    let replica = TestReplica::start("r", |exchange| {
        exchange.body();
        exchange.answer("503 Service Unavailable", "", "model says no");
    });
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let response = router.client().post(&service.path(), "").response();
    assert_eq!((response.status, response.text()), (503, "model says no"));
    assert_eq!(replica.count(), 1);
}

#[test]
fn what_is_not_http_is_a_502_and_nothing_of_it_is_passed_on() {
    for (what, answer) in [
        ("not HTTP", "hello\r\n\r\n"),
        ("bare LF", "HTTP/1.1 200 OK\nContent-Length: 1\n\na"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"),
        ("length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        ("a status of 999", "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n"),
        ("a protocol switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        ("a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
        ("an end within the head", "HTTP/1.1 200 OK\r\nContent-"),
        ("a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ("an endless head", &format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(100_000))),
    ] {
        let answer = answer.to_owned();
        let replica = TestReplica::start("r", move |exchange| {
            exchange.body();
            exchange.write(&answer);
            exchange.close = true;
        });
        let service = TestService::new("a", &[&replica]);
        let router = Router::start(Router::config(), &[&service]);
        let mut client = router.client();
        let response = client.post(&service.path(), "").response();
        assert_eq!((response.status, response.code().as_str()), (502, "replica_invalid_response"), "{what}");
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").response().status, 200, "{what}");
    }
}

#[test]
fn a_response_that_breaks_off_closes_the_callers_connection() {
    let replica = TestReplica::start("r", |exchange| {
        exchange.body();
        exchange.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        // The piece above is on its way to the caller before the end comes.
        exchange.close = true;
    });
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    let response = client.post(&service.path(), "").try_response("POST");
    // Either the router saw the end in time for an answer of its own, or it closed in the middle; never a whole response.
    assert!(response.is_none_or(|response| response.status == 502));
}

#[test]
fn when_a_replica_is_killed_under_load_no_other_request_fails() {
    let doomed = Arc::new(TestReplica::echo("doomed"));
    let good = TestReplica::echo("good");
    let service = TestService::new("a", &[&doomed, &good]).with(|version| version.limit = 4);
    let router = Router::start(Router::config(), &[&service]);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = router.client();
                for _ in 0..200 {
                    // Requests in flight on the killed replica have no answer yet, so they are repeated.
                    assert_eq!(client.post(&service.path(), "x").response().status, 200);
                    done.fetch_add(1, SeqCst);
                }
            });
        }
        eventually("the load runs", || done.load(SeqCst) > 200);
        doomed.kill();
    });
}

#[test]
fn a_connection_that_the_replica_closed_while_it_was_unused_costs_no_request() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let replica = TestReplica::start("r", move |exchange| {
        exchange.body();
        exchange.ok("fine");
        // Without a word in the head.
        exchange.writer.shutdown(Shutdown::Both).expect("open");
        exchange.close = true;
        count.fetch_add(1, SeqCst);
    });
    let service = TestService::new("a", &[&replica]);
    let mut config = Router::config();
    config.upstream.dropped_retries = 0;
    let router = Router::start(config, &[&service]);
    let mut client = router.client();
    for number in 1..=50 {
        assert_eq!(client.post(&service.path(), "x").response().text(), "fine");
        eventually("the connection is closed", || closed.load(SeqCst) == number);
    }
}
