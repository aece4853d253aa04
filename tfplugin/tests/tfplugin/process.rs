//! The example provider as a process of its own, started, stopped and interrupted as by a host.

mod running;

use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use crate::support::{PATIENCE, provider};
use running::Running;
use rustix::process::Signal;
use serde_json::{Value, json};
use tfplugin::process::{Address, Handshake};
use tfplugin::proto::plugin::Empty;
use tfplugin::proto::plugin::grpc_controller_client::GrpcControllerClient;
use tfplugin::testing::{Core, CoreError, Host};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

async fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(provider()).env_clear().args(arguments).output().await.unwrap()
}

#[tokio::test]
async fn a_person_who_starts_it_is_told_what_it_is() {
    let output = run(&[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("This binary is a plugin."));
}

#[tokio::test]
async fn the_version_is_printed() {
    for flag in ["--version", "-version"] {
        let output = run(&[flag]).await;
        assert!(output.status.success());
        let expected = format!("terraform-provider-minimal v{}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

#[tokio::test]
async fn an_unknown_flag_is_named() {
    let output = run(&["--verbose"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--verbose"));
}

#[tokio::test]
async fn it_serves_on_a_private_socket_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(&[("PLUGIN_UNIX_SOCKET_DIR", directory.path().to_str().unwrap())]).await;
    let socket = running.handshake.address.path().unwrap().to_owned();
    assert_eq!(socket.parent(), Some(directory.path()));
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    assert!(running.handshake.certificate.is_some());

    let channel = running.connect().await;
    Core::attach(channel.clone()).await.unwrap();
    GrpcControllerClient::new(channel).shutdown(Empty {}).await.unwrap();
    let (code, stdout, stderr) = running.end().await;
    assert_eq!(code, Some(0));
    assert_eq!(stdout, "", "the handshake line is all that goes to stdout");
    assert_eq!(stderr, "", "without TF_LOG nothing is logged");
    assert!(!socket.exists());
}

#[tokio::test]
async fn an_interrupt_is_the_hosts_business() {
    let running = Running::start(&[]).await;
    let core = running.core().await;
    running.signal(Signal::INT);
    let loud = core.call("shout", [json!("still here")]).await.unwrap();
    assert_eq!(loud, "STILL HERE");
    running.signal(Signal::TERM);
    assert_eq!(running.end().await.0, Some(0));
}

#[tokio::test]
async fn stopping_ends_a_running_create_and_keeps_what_it_made() {
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("note");
    let running = Running::start(&[]).await;
    let core = running.core().await;
    let config = json!({ "path": note.to_str().unwrap(), "text": "kept", "settle_seconds": 600 });
    let create = core.create("minimal_note", config);
    let stop = async {
        while !note.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        running.signal(Signal::INT);
        core.stop().await.unwrap();
    };
    let (created, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(create, stop) }).await.unwrap();
    let Err(CoreError::Failed { state: Some(state), .. }) = created else {
        panic!("the create did not fail with its state: {created:?}");
    };
    assert_eq!(state.get("text"), "kept");

    // The same process serves on, with a token that is not cancelled.
    let other = directory.path().join("other");
    let config = json!({ "path": other.to_str().unwrap(), "text": "after" });
    core.create("minimal_note", config).await.unwrap();
}

#[tokio::test]
async fn a_termination_signal_ends_it_in_order() {
    let running = Running::start(&[]).await;
    let socket = running.handshake.address.path().unwrap().to_owned();
    running.signal(Signal::TERM);
    let (code, ..) = running.end().await;
    assert_eq!(code, Some(0));
    assert!(!socket.exists());
}

#[tokio::test]
async fn it_does_not_outlive_a_host_that_was_killed() {
    let Running { mut child, handshake, stdout, .. } = Running::start(&[]).await;
    // A killed host closes its end of the pipe.
    drop(stdout);
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("the provider ends").unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!handshake.address.path().unwrap().exists());
}

#[tokio::test]
async fn log_lines_are_json_in_hclogs_keys() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(&[("TF_LOG", "off"), ("TF_LOG_PROVIDER_MINIMAL", "info")]).await;
    let core = running.core().await;
    let path = directory.path().join("note");
    core.create("minimal_note", json!({ "path": path.to_str().unwrap(), "text": "a" })).await.unwrap();
    running.signal(Signal::TERM);
    let (_, _, stderr) = running.end().await;
    let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["@message"] == "Writing a note.").expect(&stderr);
    assert_eq!(line["@level"], "info");
    assert_eq!(line["@module"], "provider.minimal");
    assert_eq!(line["tf_rpc"], "ApplyResourceChange");
    assert_eq!(line["tf_resource_type"], "minimal_note");
    assert!(line["@timestamp"].is_string());
}

#[tokio::test]
async fn in_debug_mode_any_host_can_attach_until_an_interrupt() {
    let mut child = Command::new(provider())
        .env_clear()
        .arg("-debug")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let attach = loop {
        let line = lines.next_line().await.unwrap().expect("the variable is printed");
        if let Some(value) = line.trim().strip_prefix("TF_REATTACH_PROVIDERS='") {
            break serde_json::from_str::<Value>(value.trim_end_matches('\'')).unwrap();
        }
    };
    let provider = &attach["registry.terraform.io/example/minimal"];
    assert_eq!(provider["Protocol"], "grpc");
    assert_eq!(provider["ProtocolVersion"], 6);
    assert_eq!(provider["Pid"], child.id().unwrap());
    assert_eq!(provider["Test"], true);
    assert_eq!(provider["Addr"]["Network"], "unix");

    let socket = std::path::PathBuf::from(provider["Addr"]["String"].as_str().unwrap());
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let handshake = Handshake { address: Address::Unix(socket.clone()), certificate: None, answer_multiplexing: false };
    let channel = Host::new().unwrap().connect(&handshake).await.unwrap();
    Core::attach(channel).await.unwrap();

    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!socket.exists());
}
