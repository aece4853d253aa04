//! Start, probes, and the end of the process.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use super::fe::served;
use crate::support::{Client, until};

/// Never gives up by itself what a signal can end.
const PATIENT: &str = "[timeouts]\nwithdraw_ms = 3600000\ndrain_ms = 3600000\ndrain_idle_ms = 3600000";

#[test]
fn a_router_that_is_told_to_end_under_load_loses_no_request() {
    let (_namespace, a, _replica, mut fe) = served(PATIENT);
    let (withdrawn, done, fresh) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (address, path) = (fe.address, a.path());
    std::thread::scope(|scope| {
        // Callers that keep their connection until they are told that it ends.
        let keep = || {
            let mut client = Client::connect(address);
            loop {
                let response = client.post(&path, "x").response();
                assert_eq!(response.status, 200);
                done.fetch_add(1, SeqCst);
                if response.field("connection") == Some("close") {
                    return;
                }
            }
        };
        // Callers that connect anew each time, until it is known that the router is not ready.
        let connect = || {
            while !withdrawn.load(SeqCst) {
                assert_eq!(Client::connect(address).post(&path, "x").response().status, 200);
                fresh.fetch_add(1, SeqCst);
            }
        };
        let keeping: Vec<_> = (0..4).map(|_| scope.spawn(keep)).collect();
        let connecting: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
        until("there is load", || (done.load(SeqCst) > 50 && fresh.load(SeqCst) > 50).then_some(()));
        fe.terminate();
        until("the router is not ready", || (!fe.ready()).then_some(()));
        let before = (done.load(SeqCst), fresh.load(SeqCst));
        until("callers are served on", || {
            (done.load(SeqCst) > before.0 + 50 && fresh.load(SeqCst) > before.1 + 50).then_some(())
        });
        withdrawn.store(true, SeqCst);
        for caller in connecting {
            caller.join().expect("no failed request");
        }
        // As after `withdraw_ms`.
        fe.terminate();
        for caller in keeping {
            caller.join().expect("no failed request");
        }
    });
    assert_eq!(fe.exit().code(), Some(0));
    let log = (fe.log)();
    assert!(log.contains("not ready any more") && log.contains("draining"), "{log}");
}

#[test]
fn times_alone_end_a_router_that_was_told_to_end() {
    let (_namespace, a, _replica, mut fe) = served("[timeouts]\nwithdraw_ms = 1\ndrain_idle_ms = 1");
    let mut idle = fe.client();
    assert_eq!(idle.post(&a.path(), "x").response().status, 200);
    fe.terminate();
    assert_eq!(fe.exit().code(), Some(0));
    idle.assert_closed();
}

#[test]
fn further_signals_hurry_the_end() {
    let (_namespace, a, _replica, mut fe) = served(PATIENT);
    let mut idle = fe.client();
    assert_eq!(idle.post(&a.path(), "x").response().status, 200);
    fe.terminate();
    until("the router is not ready", || (!fe.ready()).then_some(()));
    fe.terminate();
    until("it drains", || (fe.log)().contains("draining").then_some(()));
    fe.terminate();
    assert_eq!(fe.exit().code(), Some(0));
    idle.assert_closed();
}

#[test]
fn the_status_port_is_read_only_and_never_held_up() {
    let (_namespace, a, _replica, fe) = served("");
    assert_eq!(fe.page("GET", "/livez"), (200, "ok\n".to_owned()));
    assert_eq!(fe.page("POST", "/livez").0, 405);
    assert_eq!(fe.page("DELETE", "/metrics").0, 405);
    assert_eq!(fe.page("GET", "/").0, 404);
    assert_eq!(fe.score(&a).status, 200);
    until("the request is counted", || {
        (fe.metric("azureml_fe_requests_total{service=\"diabetes\",version=\"diabetes\"}").as_deref() == Some("1"))
            .then_some(())
    });
    let (_, text) = fe.page("GET", "/metrics");
    assert!(text.contains(concat!("azureml_fe_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")), "{text}");
    assert!(text.contains("azureml_fe_ready 1\n"), "{text}");
}

#[test]
fn a_start_that_cannot_succeed_says_why() {
    let folder = tempfile::tempdir().expect("a directory");
    let config = folder.path().join("azureml-fe.toml");
    let start = |text: &str, arguments: &[&str]| {
        std::fs::write(&config, text).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_azureml-fe"))
            .args(["serve", "--status-port", "0", "--config"])
            .arg(&config)
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdin(Stdio::null())
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    let free = "address = \"127.0.0.1\"\nport = 0\n";
    let outside = start(free, &[]);
    assert!(outside.contains("--kubeconfig or KUBECONFIG"), "{outside}");
    let missing = start(free, &["--kubeconfig", "/nonexistent/kubeconfig"]);
    assert!(missing.contains("/nonexistent/kubeconfig"), "{missing}");
    let unknown = start("adress = \"127.0.0.1\"\n", &[]);
    assert!(unknown.contains("azureml-fe.toml") && unknown.contains("adress"), "{unknown}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let used = start(&format!("address = \"127.0.0.1\"\nport = {port}\n"), &[]);
    assert!(used.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{used}");
}
