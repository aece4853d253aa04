use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;

const DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A keyed endpoint with the versions `blue` (all the traffic) and `green`.
fn document(generation: u64) -> Value {
    let version = |sequence: u64, traffic: u64| {
        json!({
            "sequence": sequence, "declared": {"traffic": traffic}, "scale": {"fixed": 1},
            "replica_max_concurrent_requests": 1, "max_request_wait_time": 500, "scoring_timeout_ms": 60_000,
            "template": {
                "models": [],
                "code": {"digest": format!("sha256:{DIGEST}"), "directory": "source", "entry_script": "score.py"},
                "environment": {"id": "az://c/e", "version": 1, "hash": "h", "build_key": "digits"},
            },
        })
    };
    json!({
        "schema_version": 1, "generation": generation, "name": "diabetes", "kind": "endpoint", "workspace": "az://c",
        "owner": "test", "committed": true, "created_time": "2026-01-01T00:00:00Z", "updated_time": "2026-01-01T00:00:00Z",
        "auth": {"mode": "key", "keys": generation},
        "versions": {"blue": version(1, 10_000), "green": version(2, 0)},
        "served": {"default": "blue", "shares": {"blue": 10_000, "green": 0}},
    })
}

fn documents(found: &[(&str, &Value)]) -> Change {
    let bytes = |document: &Value| Some(document.to_string().into_bytes());
    let named = found.iter().map(|(name, document)| (cluster::document(name), bytes(document)));
    Change::Documents(Update::Listed(named.collect()))
}

fn access(keys: &[u64]) -> Change {
    let digests = json!({ "accepted": [DIGEST] }).to_string().into_bytes();
    let mut data: BTreeMap<String, Vec<u8>> =
        keys.iter().map(|generation| (cluster::key_digests("diabetes", *generation), digests.clone())).collect();
    data.insert(cluster::hop("diabetes"), b"hop\n".to_vec());
    Change::Access(Update::Listed(vec![(cluster::ACCESS.to_owned(), Secret(data))]))
}

fn pod(version: &str, ip: &str) -> Pod {
    Pod { service: "diabetes".into(), version: version.into(), address: address(ip) }
}

fn pods(found: &[(&str, Pod)]) -> Change {
    let named = found.iter().map(|(name, pod)| ((*name).to_owned(), Some(pod.clone())));
    Change::Pods(Update::Listed(named.collect()))
}

fn snapshot(state: &mut State) -> (Snapshot, Served) {
    state.snapshot(1, Timestamp::now())
}

#[test]
fn an_entry_is_put_together_of_document_keys_hop_secret_and_pods() {
    let (mut state, now) = (State::default(), Instant::now());
    assert_eq!(state.missing(), WATCHES);
    for change in [
        documents(&[("diabetes", &document(3))]),
        access(&[3]),
        Change::Signing(Update::Listed(vec![])),
        pods(&[("a-1", pod("blue", "10.0.0.1")), ("a-2", pod("blue", "fd00::1")), ("a-3", pod("red", "10.0.0.3"))]),
    ] {
        state.apply(change, now);
    }
    assert!(state.missing().is_empty() && state.dirty);
    let (snapshot, served) = snapshot(&mut state);
    assert!(!state.dirty);
    let entry = &snapshot.services["diabetes"];
    assert_eq!(entry.hop, Some(HopSecret("hop".into())), "without the line end");
    assert_eq!(entry.keys.as_ref().expect("keyed").accepted, [DIGEST]);
    let replica = |id: &str, address: &str| Replica { id: id.into(), address: Address::Tcp(address.into()) };
    let expected =
        BTreeMap::from([("blue".to_owned(), vec![replica("a-1", "10.0.0.1:5001"), replica("a-2", "[fd00::1]:5001")])]);
    assert_eq!(entry.replicas, expected, "and none of a version that the document does not have");
    assert_eq!(served.generations, BTreeMap::from([("diabetes".to_owned(), 3)]));
    assert!(served.diverted.is_empty(), "green has no share");
}

#[test]
fn a_document_whose_keys_are_late_is_refused_only_after_a_while() {
    let (mut state, now) = (State::default(), Instant::now());
    state.apply(access(&[1]), now);
    state.apply(documents(&[("diabetes", &document(1))]), now);
    state.apply(documents(&[("diabetes", &document(2))]), now);
    assert_eq!((state.waiting(), state.deadline()), (vec!["diabetes"], Some(now + SECRETS_LATE)));
    assert!(state.refused().is_empty());
    assert_eq!(snapshot(&mut state).1.generations["diabetes"], 1);
    let later = now + SECRETS_LATE;
    state.tick(later);
    let refused = state.refused();
    assert!(refused["diabetes"].reason.contains("the key diabetes.2 of the Secret azureml-fe-access"), "{refused:?}");
    assert_eq!((refused["diabetes"].generation, state.deadline()), (2, None));
    assert_eq!(snapshot(&mut state).1.generations["diabetes"], 1);
    state.apply(access(&[1, 2]), later);
    assert!(state.refused().is_empty() && state.waiting().is_empty());
    assert_eq!(snapshot(&mut state).1.generations["diabetes"], 2);
}

#[test]
fn what_is_gone_from_a_list_is_dropped_and_nothing_else_is_news() {
    let (mut state, now) = (State::default(), Instant::now());
    state.apply(access(&[1]), now);
    state.apply(documents(&[("diabetes", &document(1))]), now);
    state.apply(pods(&[("a-1", pod("blue", "10.0.0.1"))]), now);
    snapshot(&mut state);
    for again in [
        access(&[1]),
        documents(&[("diabetes", &document(1))]),
        pods(&[("a-1", pod("blue", "10.0.0.1"))]),
        Change::Pods(Update::Set("other".into(), None)),
        Change::Signing(Update::Listed(vec![])),
    ] {
        state.apply(again, now);
        assert!(!state.dirty);
    }
    state.apply(Change::Pods(Update::Set("a-1".into(), None)), now);
    assert!(state.dirty);
    let (snapshot, served) = snapshot(&mut state);
    assert!(snapshot.services["diabetes"].replicas.is_empty());
    assert!(served.diverted.is_empty(), "nobody else is there");
    state.apply(documents(&[]), now);
    assert!(state.dirty);
    assert!(state.snapshot(2, Timestamp::now()).0.services.is_empty());
}

#[test]
fn a_version_retires_when_its_time_is_over() {
    let (mut state, now) = (State::default(), Instant::now());
    let clock = Timestamp::now();
    let mut retiring = document(1);
    retiring["versions"]["green"]["retiring_until"] = json!((clock + SignedDuration::from_secs(60)).to_string());
    state.apply(access(&[1]), now);
    state.apply(documents(&[("diabetes", &retiring)]), now);
    let (before, served) = state.snapshot(1, clock);
    assert_eq!(before.services["diabetes"].service.versions.len(), 2);
    assert_eq!(served.holds(clock), Some(Duration::from_mins(1)));
    let (after, served) = state.snapshot(2, clock + SignedDuration::from_secs(60));
    assert_eq!(after.services["diabetes"].service.versions.keys().collect::<Vec<_>>(), ["blue"]);
    assert_eq!(served.holds(clock), None);
}

#[test]
fn secrets_are_never_shown() {
    let (mut state, now) = (State::default(), Instant::now());
    let Change::Access(Update::Listed(mut found)) = access(&[1]) else { panic!("a list") };
    found[0].1.0.insert(cluster::hop("diabetes"), b"correct-horse".to_vec());
    state.apply(Change::Access(Update::Listed(found)), now);
    state.apply(documents(&[("diabetes", &document(1))]), now);
    let shown = format!("{state:?} {:?}", state.snapshot(1, Timestamp::now()));
    assert!(!shown.contains("correct-horse"), "{shown}");
}

#[test]
fn a_hop_secret_that_cannot_be_sent_is_named_and_not_shown() {
    let (mut state, now) = (State::default(), Instant::now());
    let Change::Access(Update::Listed(mut found)) = access(&[1]) else { panic!("a list") };
    found[0].1.0.insert(cluster::hop("diabetes"), b"two\nlines".to_vec());
    state.apply(Change::Access(Update::Listed(found)), now);
    state.apply(documents(&[("diabetes", &document(1))]), now);
    let reason = &state.refused()["diabetes"].reason;
    assert!(reason.contains("the key diabetes.hop"), "{reason}");
    assert!(snapshot(&mut state).0.services.is_empty());
}
