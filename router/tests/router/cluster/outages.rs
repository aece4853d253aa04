//! An API server that is gone, forgets, or does not answer.

use super::fe::{Fe, Namespace, one_pod, served, service};
use super::replica::Replica;
use crate::support::until;

fn connected(fe: &Fe, value: &str) -> Option<()> {
    let watches = ["documents", "access", "signing_keys", "pods"];
    let state = |watch| fe.metric(&format!("azureml_fe_watch_connected{{watch=\"{watch}\"}}"));
    watches.into_iter().all(|watch| state(watch).as_deref() == Some(value)).then_some(())
}

#[test]
fn a_lost_api_server_changes_nothing_that_is_served() {
    let (namespace, a, replica, fe) = served("");
    until("all watches hold", || connected(&fe, "1"));
    namespace.api.down();
    until("the loss is known", || connected(&fe, "0"));
    assert_eq!(fe.score(&a).status, 200);
    assert!(fe.ready(), "others know no more");
    assert_eq!(fe.page("GET", "/livez").0, 200);
    // What happens meanwhile is seen afterwards.
    namespace.document(&a, 2, 1);
    let second = Replica::start("second");
    namespace.pod("a-2", "diabetes", "diabetes", &second, true);
    namespace.terminate("a-1");
    assert_eq!(fe.score(&a).text(), "r");
    namespace.api.up();
    until("all watches hold again", || connected(&fe, "1"));
    namespace.generation("diabetes", 2);
    until("the new pod is used", || (fe.score(&a).text() == "second").then_some(()));
    let before = replica.count();
    assert_eq!(fe.score(&a).text(), "second");
    assert_eq!(replica.count(), before);
    let log = (fe.log)();
    for line in ["the API server does not answer the watch", "the API server answers the watch again"] {
        assert!(log.contains(line), "{line} in {log}");
    }
}

#[test]
fn a_watch_that_is_too_old_is_listed_anew_and_what_is_gone_is_dropped() {
    let (namespace, a, _replica, fe) = served("");
    let b = service("digits");
    namespace.access(&[(&a, &[1]), (&b, &[1])]);
    namespace.document(&b, 1, 1);
    namespace.generation("digits", 1);
    let lists = || {
        let requests = namespace.api.requests();
        requests.iter().filter(|(_, target)| target.contains("/pods?") && !target.contains("watch=")).count()
    };
    let before = lists();
    namespace.api.down();
    namespace.api.delete("configmaps", "service.digits");
    namespace.document(&a, 2, 1);
    namespace.api.interrupt(true);
    namespace.api.up();
    let confirmation = namespace.generation("diabetes", 2);
    assert!(!confirmation.served.contains_key("digits"), "{confirmation:?}");
    until("pods are listed anew", || (lists() > before).then_some(()));
    assert_eq!(fe.score(&a).status, 200);
}

#[test]
fn a_broken_watch_goes_on_from_where_it_was() {
    let (namespace, a, _replica, fe) = served("");
    until("all watches hold", || connected(&fe, "1"));
    let lists = || {
        let requests = namespace.api.requests();
        requests.iter().filter(|(method, target)| method == "GET" && !target.contains("watch=")).count()
    };
    let before = lists();
    for generation in 2..=4 {
        namespace.api.interrupt(false);
        namespace.document(&a, generation, 1);
        namespace.generation("diabetes", generation);
    }
    assert_eq!(lists(), before, "nothing is listed again");
    assert_eq!(fe.score(&a).status, 200);
}

#[test]
fn nobody_is_let_in_before_everything_was_listed_once() {
    let (namespace, a, _replica) = one_pod();
    namespace.api.refuse(Some("azureml-fe-signing-keys"));
    let fe = namespace.serve("");
    until("it says what is missing", || {
        let (status, text) = fe.page("GET", "/readyz");
        (status == 503 && text == "waiting for the first list of signing keys\n").then_some(())
    });
    assert_eq!(fe.page("GET", "/livez").0, 200);
    namespace.api.refuse(None);
    fe.wait_ready();
    assert_eq!(fe.score(&a).status, 200);
}

#[test]
fn an_answer_that_cannot_be_read_is_not_quoted() {
    let namespace = Namespace::new();
    namespace.api.page("/api/v1/namespaces/ns/secrets", r#"{"items": [{"data": {"correct-horse": 1"#.to_owned());
    let fe = namespace.serve("[log]\nlevel = \"debug\"\n");
    until("the failure is said", || {
        let log = (fe.log)();
        (log.contains("watch=\"access\"") && log.contains("does not answer the watch")).then_some(())
    });
    assert!(!(fe.log)().contains("correct-horse"));
}

#[test]
fn a_lease_that_cannot_be_written_is_written_when_it_can() {
    let (namespace, a, _replica, fe) = served("");
    namespace.api.refuse(Some("/leases/"));
    namespace.document(&a, 2, 1);
    until("the failure is said", || (fe.log)().contains("the Lease cannot be written").then_some(()));
    namespace.document(&a, 3, 1);
    until("the document is served", || {
        (fe.metric("azureml_fe_service_generation{service=\"diabetes\"}").as_deref() == Some("3")).then_some(())
    });
    assert_eq!(namespace.confirmation().expect("confirmed").served["diabetes"], 1);
    namespace.api.refuse(None);
    namespace.generation("diabetes", 3);
}

#[test]
fn the_watches_ask_for_no_more_than_a_router_may_see() {
    let (namespace, _a, _replica, _fe) = served("");
    for (method, target) in namespace.api.requests() {
        let asks = |verb: &str, plural: &str, selector: &str| {
            method == verb && target.contains(&format!("/namespaces/ns/{plural}")) && target.contains(selector)
        };
        let allowed = asks("GET", "configmaps?", "labelSelector=app.kubernetes.io%2Fcomponent%3Ddocument%2C")
            || asks("GET", "pods?", "labelSelector=app.kubernetes.io%2Fcomponent%3Dscorer%2C")
            || asks("GET", "secrets?", "fieldSelector=metadata.name%3Dazureml-fe-access")
            || asks("GET", "secrets?", "fieldSelector=metadata.name%3Dazureml-fe-signing-keys")
            || asks("PATCH", "leases/azureml-fe.azureml-fe-1?", "force=true");
        assert!(allowed, "{method} {target}");
    }
}
