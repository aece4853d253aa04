//! Endpoints of several versions: which one answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::support::{Client, Router, TestReplica, TestService, TestVersion, dead_replica, eventually};
use serde_json::json;
use serving::slots;
use serving::snapshot::VersionStats;

const PIN: &str = "azureml-model-deployment";

/// An endpoint of the versions `blue` and `green`, blue being the default.
fn pair(blue: (u16, &[&TestReplica]), green: (u16, &[&TestReplica])) -> TestService {
    let versions = vec![TestVersion::new("blue", blue.0, blue.1), TestVersion::new("green", green.0, green.1)];
    TestService::endpoint("e", versions).default("blue").shares(&[blue.0, green.0])
}

fn stats(router: &mut Router, version: &str) -> VersionStats {
    router.stats()["e"].versions[version].clone()
}

/// The version that answers a request with these header lines.
fn answered_by(client: &mut Client, path: &str, fields: &str) -> String {
    let response = client.post_with(path, fields, "").response();
    assert_eq!(response.status, 200, "{}", response.text());
    let version = response.field(PIN).expect("the version is named").to_owned();
    assert_eq!(response.text(), format!("{version}:"), "the named version has answered");
    version
}

#[test]
fn an_endpoint_without_versions_says_so() {
    let mut router = Router::start(Router::config(), &[&TestService::endpoint("e", vec![])]);
    let mut client = router.client();
    let path = "/api/v1/endpoint/e/score";
    let response = client.post(path, "x").response();
    assert_eq!((response.status, response.code().as_str()), (503, "no_versions"));
    assert_eq!((response.field("retry-after"), response.field(PIN)), (Some("1"), None));
    assert!(response.text().contains("add an azureml_endpoint_version"), "{}", response.text());
    let response = client.post_with(path, &format!("{PIN}: blue\r\n"), "").response();
    assert_eq!((response.status, response.code().as_str()), (404, "version_not_found"));
    assert!(response.text().contains("it has no versions yet") && response.text().contains("\"versions\":[]"));
    // The first version answers without a new connection.
    let blue = TestReplica::echo("blue");
    let service = TestService::endpoint("e", vec![TestVersion::new("blue", 10_000, &[&blue])]);
    router.apply(&[&service]);
    assert_eq!(answered_by(&mut client, path, ""), "blue");
}

#[test]
fn each_thread_keeps_within_one_of_the_shares_after_every_request() {
    let (blue, green) = (TestReplica::echo("blue"), TestReplica::echo("green"));
    let service = pair((9_000, &[&blue]), (1_000, &[&green]));
    let router = Router::start(Router::config(), &[&service]);
    let mut clients: Vec<Client> = (0..8).map(|_| router.client()).collect();
    for requests in 1..=200_usize {
        let client = &mut clients[requests % 8];
        answered_by(client, &service.path(), "");
        // Two threads, each within one.
        assert!((green.count() * 10).abs_diff(requests) < 20, "{} of {requests}", green.count());
    }
}

#[test]
fn an_unknown_pin_is_a_404_that_lists_the_versions_and_a_share_of_zero_can_be_pinned() {
    let (blue, green) = (TestReplica::echo("blue"), TestReplica::echo("green"));
    let service = pair((10_000, &[&blue]), (0, &[&green]));
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..20 {
        assert_eq!(answered_by(&mut client, &service.path(), ""), "blue");
        assert_eq!(answered_by(&mut client, &service.path(), &format!("{PIN}: green\r\n")), "green");
    }
    let response = client.post_with(&service.path(), &format!("{PIN}: red\r\n"), "").response();
    assert_eq!((response.status, response.field(PIN)), (404, None));
    assert!(response.text().contains("\"versions\":[\"blue\",\"green\"]"), "{}", response.text());
    assert_eq!((blue.count(), green.count()), (20, 20));
}

/// Asks on a connection, on a path, with a sticky key.
type Ask = fn(&mut Client, &str, &str) -> String;

#[test]
fn sticky_callers_stay_on_the_owner_of_their_slot_and_few_move_with_the_shares() {
    let (blue, green) = (TestReplica::echo("blue"), TestReplica::echo("green"));
    let kinds: [(serde_json::Value, Ask); 3] = [
        (json!({"header": "x-user"}), |client, path, key| answered_by(client, path, &format!("X-User: {key}\r\n"))),
        (json!({"cookie": "sid"}), |client, path, key| {
            answered_by(client, path, &format!("Cookie: a=b\r\nCookie: c; sid={key}; sid=other\r\n"))
        }),
        (json!({"query": "user id"}), |client, path, key| {
            answered_by(client, &format!("{path}?a=b&user%20id={key}&user%20id=other"), "")
        }),
    ];
    for (sticky, ask) in kinds {
        let before = pair((9_000, &[&blue]), (1_000, &[&green])).sticky(sticky);
        let after = before.clone().shares(&[8_500, 1_500]);
        let mut router = Router::start(Router::config(), &[&before]);
        let mut client = router.client();
        let keys: Vec<String> = (0..200).map(|key| format!("caller-{key}")).collect();
        let mut owners = Vec::new();
        for service in [&before, &after] {
            router.apply(&[service]);
            for round in 0..2 {
                let answered: Vec<String> = keys.iter().map(|key| ask(&mut client, &service.path(), key)).collect();
                let slot = |key: &String| slots::slot("e", key.as_bytes());
                let expected: Vec<&str> =
                    keys.iter().map(|key| service.slots.owner(slot(key)).expect("an owner")).collect();
                assert_eq!(answered, expected, "{round}");
                owners.push(answered);
            }
        }
        let moved: Vec<usize> = (0..200).filter(|index| owners[1][*index] != owners[2][*index]).collect();
        let slots_moved = |index: &usize| {
            let slot = slots::slot("e", keys[*index].as_bytes());
            before.slots.owner(slot) == Some("blue") && after.slots.owner(slot) == Some("green")
        };
        assert!(moved.iter().all(slots_moved), "nobody moves back");
        assert!((1..=20).contains(&moved.len()), "about a twentieth: {}", moved.len());
    }
}

#[test]
fn a_request_without_a_sticky_key_goes_by_weight_and_a_pin_beats_the_key() {
    let (blue, green) = (TestReplica::echo("blue"), TestReplica::echo("green"));
    let service = pair((5_000, &[&blue]), (5_000, &[&green])).sticky(json!({"header": "x-user"}));
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for fields in ["", "x-user: \r\n"] {
        let blues = (0..10).filter(|_| answered_by(&mut client, &service.path(), fields) == "blue").count();
        assert_eq!(blues, 5);
    }
    for name in ["blue", "green"] {
        for key in 0..10 {
            let fields = format!("x-user: {key}\r\n{PIN}: {name}\r\n");
            assert_eq!(answered_by(&mut client, &service.path(), &fields), name);
        }
    }
}

#[test]
fn the_share_of_a_version_without_replicas_goes_to_the_default_and_comes_back() {
    let (blue, green) = (TestReplica::echo("blue"), TestReplica::echo("green"));
    let without = pair((8_000, &[&blue]), (2_000, &[])).sticky(json!({"header": "x-user"}));
    let with = pair((8_000, &[&blue]), (2_000, &[&green])).sticky(json!({"header": "x-user"}));
    let mut router = Router::start(Router::config(), &[&without]);
    let mut client = router.client();
    for _ in 0..20 {
        assert_eq!(answered_by(&mut client, &without.path(), ""), "blue");
    }
    let key = (0..1_000).find(|key| without.slots.owner(slots::slot("e", key.to_string().as_bytes())) == Some("green"));
    let key = format!("x-user: {}\r\n", key.expect("some key"));
    assert_eq!(answered_by(&mut client, &without.path(), &key), "blue", "sticky requests, too");
    let counted = stats(&mut router, "green");
    assert_eq!((counted.diverted, counted.diverting, counted.requests), (5, true, 0));
    assert!(!stats(&mut router, "blue").diverting);

    router.apply(&[&with]);
    assert_eq!(answered_by(&mut client, &with.path(), &key), "green");
    let greens = (0..20).filter(|_| answered_by(&mut client, &with.path(), "") == "green").count();
    assert_eq!(greens, 4, "the same table goes on counting");
    let counted = stats(&mut router, "green");
    assert_eq!((counted.diverted, counted.diverting), (5, false));
}

#[test]
fn without_the_default_the_other_versions_serve_everything() {
    let (green, red) = (TestReplica::echo("green"), TestReplica::echo("red"));
    let versions = vec![
        TestVersion::new("blue", 6_000, &[]),
        TestVersion::new("green", 3_000, &[&green]),
        TestVersion::new("red", 1_000, &[&red]),
    ];
    let service = TestService::endpoint("e", versions);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..40 {
        answered_by(&mut client, &service.path(), "");
    }
    assert!((29..=31).contains(&green.count()), "{} of 40", green.count());
}

#[test]
fn a_version_whose_replicas_fail_is_probed_while_its_share_goes_elsewhere() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let blue = TestReplica::echo("blue");
    let green = TestReplica::start("green", move |exchange| {
        exchange.body();
        if state.load(SeqCst) { exchange.close = true } else { exchange.ok("green:") }
    });
    let service = pair((5_000, &[&blue]), (5_000, &[&green]));
    let mut config = Router::config();
    (config.threads, config.upstream.backoff_ms, config.upstream.backoff_max_ms) = (1, 1, 5);
    let mut router = Router::start(config, &[&service]);
    let mut client = router.client();
    // Each request that green drops, a probe too, is repeated on blue.
    eventually("green is probed several times", || {
        assert_eq!(answered_by(&mut client, &service.path(), ""), "blue");
        green.count() >= 5
    });
    let counted = stats(&mut router, "green");
    assert!(counted.diverting && counted.diverted >= 5, "{counted:?}");
    let pinned = client.post_with(&service.path(), &format!("{PIN}: green\r\n"), "").response();
    assert_eq!((pinned.status, pinned.field(PIN)), (502, Some("green")), "a pinned request goes nowhere else");
    broken.store(false, SeqCst);
    eventually("green is taken back", || answered_by(&mut client, &service.path(), "") == "green");
    let greens = (0..10).filter(|_| answered_by(&mut client, &service.path(), "") == "green").count();
    assert_eq!(greens, 5);
    assert!(!stats(&mut router, "green").diverting);
}

#[test]
fn a_replica_that_cannot_be_reached_costs_its_version_no_request_while_another_is_ready() {
    let blue = TestReplica::echo("blue");
    let mut service = pair((5_000, &[&blue]), (5_000, &[]));
    service.versions[1].replicas = vec![dead_replica("dead-1"), dead_replica("dead-2")];
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..20 {
        assert_eq!(answered_by(&mut client, &service.path(), ""), "blue");
    }
}

/// Waits until so many requests of the endpoint wait for a slot.
fn queued(router: &mut Router, count: u64) {
    eventually("the requests wait", || router.stats()["e"].queued == count);
}

#[test]
fn a_waiting_request_goes_elsewhere_when_its_version_loses_its_last_replica_unless_it_is_pinned() {
    let blue = TestReplica::echo("blue");
    let green = TestReplica::start("green", |exchange| {
        exchange.body();
        // Never answers.
        while !exchange.close {
            exchange.close = std::io::Read::read(exchange.reader, &mut [0]).unwrap_or(0) == 0;
        }
    });
    let service = pair((0, &[&blue]), (10_000, &[&green]));
    let mut router = Router::start(Router::config(), &[&service]);
    let (mut running, mut pinned, mut waiting) = (router.client(), router.client(), router.client());
    running.post(&service.path(), "");
    eventually("green is busy", || stats(&mut router, "green").in_flight == 1);
    pinned.post_with(&service.path(), &format!("{PIN}: green\r\n"), "");
    queued(&mut router, 1);
    waiting.post(&service.path(), "");
    queued(&mut router, 2);
    router.apply(&[&pair((0, &[&blue]), (10_000, &[]))]);
    assert_eq!(waiting.response().field(PIN), Some("blue"));
    assert_eq!(stats(&mut router, "green").diverted, 1);
    queued(&mut router, 1);
    let again = TestReplica::echo("green");
    router.apply(&[&pair((0, &[&blue]), (10_000, &[&again]))]);
    assert_eq!(pinned.response().text(), "green:");
    drop(running);
    green.kill();
}

#[test]
fn a_request_that_waits_for_a_version_without_replicas_goes_to_the_first_that_has_one() {
    let blue = TestReplica::echo("blue");
    let mut router = Router::start(Router::config(), &[&pair((0, &[]), (10_000, &[]))]);
    let mut waiting = router.client();
    waiting.post("/api/v1/endpoint/e/score", "");
    queued(&mut router, 1);
    assert!(!stats(&mut router, "green").diverting, "nobody has its share");
    router.apply(&[&pair((0, &[&blue]), (10_000, &[]))]);
    assert_eq!(waiting.response().text(), "blue:");
    assert!(stats(&mut router, "green").diverting);
}

#[test]
fn a_request_that_waits_goes_to_another_version_as_soon_as_its_replica_is_well_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let blue = TestReplica::start("blue", move |exchange| {
        exchange.body();
        if state.load(SeqCst) { exchange.close = true } else { exchange.ok("blue:") }
    });
    let service = pair((0, &[&blue]), (10_000, &[]));
    let mut config = Router::config();
    // Long enough that only the pinned request below is a probe.
    (config.upstream.backoff_ms, config.upstream.backoff_max_ms, config.upstream.dropped_retries) = (50, 50, 0);
    let mut router = Router::start(config, &[&service]);
    let pin = format!("{PIN}: blue\r\n");
    assert_eq!(router.client().post_with(&service.path(), &pin, "").response().status, 502);
    let mut waiting = router.client();
    waiting.post(&service.path(), "");
    broken.store(false, SeqCst);
    assert_eq!(router.client().post_with(&service.path(), &pin, "").response().status, 200);
    assert_eq!(waiting.response().text(), "blue:");
    eventually("nobody waits", || router.stats()["e"].queued == 0);
}

#[test]
fn the_routers_own_answers_name_the_version_that_they_belong_to() {
    let silent = TestReplica::start("green", |exchange| {
        exchange.body();
        while !exchange.close {
            exchange.close = std::io::Read::read(exchange.reader, &mut [0]).unwrap_or(0) == 0;
        }
    });
    let bad = TestReplica::start("blue", |exchange| {
        exchange.body();
        exchange.write("not HTTP\r\n\r\n");
        exchange.close = true;
    });
    let mut service = pair((0, &[&bad]), (10_000, &[&silent]));
    service.versions[1].timeout_ms = 50;
    service.versions[1].wait_ms = 5;
    let mut router = Router::start(Router::config(), &[&service]);
    let mut first = router.client();
    first.post(&service.path(), "");
    eventually("green is busy", || stats(&mut router, "green").in_flight == 1);
    let full = router.client().post(&service.path(), "").response();
    let late = first.response();
    let statuses = [(full.status, full.field(PIN)), (late.status, late.field(PIN))];
    // On a busy machine the first may have timed out before the second came, which then times out itself.
    assert!(matches!(statuses[0], (503 | 504, Some("green"))), "{statuses:?}");
    assert_eq!(statuses[1], (504, Some("green")));
    let invalid = router.client().post_with(&service.path(), &format!("{PIN}: blue\r\n"), "").response();
    assert_eq!((invalid.status, invalid.field(PIN)), (502, Some("blue")));
    silent.kill();
}

#[test]
fn a_request_that_finds_no_slot_in_time_is_a_503_of_its_version() {
    let mut service = pair((10_000, &[]), (0, &[]));
    service.versions[0].wait_ms = 5;
    let router = Router::start(Router::config(), &[&service]);
    let response = router.client().post(&service.path(), "").response();
    assert_eq!((response.status, response.code().as_str()), (503, "no_ready_replicas"));
    assert_eq!(response.field(PIN), Some("blue"));
}

#[test]
fn heads_and_streamed_answers_name_their_version() {
    let replica = TestReplica::start("blue", |exchange| {
        if exchange.field("expect").is_some() {
            exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        exchange.body();
        if exchange.line.starts_with("HEAD") {
            exchange.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        } else {
            exchange.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        }
    });
    let service = pair((10_000, &[&replica]), (0, &[]));
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    client.send(format!("HEAD {} HTTP/1.1\r\nHost: t\r\n\r\n", service.path()));
    assert_eq!(client.try_response("HEAD").expect("a head").field(PIN), Some("blue"));
    // The second body is too large to be kept, so it is streamed, too.
    for length in [1, 100_000] {
        let response = client.post(&service.path(), vec![b'x'; length]).response();
        assert_eq!((response.text(), response.field(PIN)), ("abc", Some("blue")));
    }
}

#[test]
fn tables_change_under_load_without_a_failed_or_misrouted_request() {
    let (blue, green, red) = (TestReplica::echo("blue"), TestReplica::echo("green"), TestReplica::echo("red"));
    let three = |shares: [u16; 3], with_red: bool| {
        let mut service = pair((shares[0], &[&blue]), (shares[1], &[&green]));
        let red: &[&TestReplica] = if with_red { &[&red] } else { &[] };
        service.versions.push(TestVersion::new("red", shares[2], red));
        for version in &mut service.versions {
            version.limit = 4;
        }
        service.slots = slots::SlotMap::default();
        service.shares(&shares)
    };
    let mut two = pair((5_000, &[&blue]), (5_000, &[&green]));
    two.versions.iter_mut().for_each(|version| version.limit = 4);
    let tables = [
        three([10_000, 0, 0], true),
        three([2_000, 3_000, 5_000], true),
        three([2_000, 3_000, 5_000], false),
        two,
        three([0, 9_000, 1_000], true),
    ];
    let mut router = Router::start(Router::config(), &[&tables[0]]);
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (address, path) = (router.address, tables[0].path());
    std::thread::scope(|scope| {
        for caller in 0..6 {
            let (done, stop, path) = (&done, &stop, &path);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(SeqCst) {
                    if caller < 3 {
                        answered_by(&mut client, path, "");
                    } else {
                        let pin = ["blue", "green"][caller % 2];
                        assert_eq!(answered_by(&mut client, path, &format!("{PIN}: {pin}\r\n")), pin);
                    }
                    done.fetch_add(1, SeqCst);
                }
            });
        }
        for table in tables.iter().cycle().take(60) {
            router.apply(&[table]);
            let before = done.load(SeqCst);
            eventually("the load goes on", || done.load(SeqCst) > before + 20);
        }
        stop.store(true, SeqCst);
    });
    assert!(red.count() > 0, "every version had its turn");
}

#[test]
fn the_counters_have_percentiles_of_the_latency() {
    let blue = TestReplica::echo("blue");
    let service = TestService::endpoint("e", vec![TestVersion::new("blue", 10_000, &[&blue])]);
    let mut router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    for _ in 0..50 {
        answered_by(&mut client, &service.path(), "");
    }
    eventually("all are counted", || stats(&mut router, "blue").requests == 50);
    let counted = stats(&mut router, "blue");
    assert!(counted.latency_us_p50 > 0 && counted.latency_us_p50 <= counted.latency_us_p99);
    assert!(counted.latency_us_p99 <= counted.latency_us_total * 17 / 16);
}
