//! The example provider as a process, and a host that starts it.

use std::process::Stdio;

use tfplugin::process::Handshake;
use tfplugin::testing::{Core, Host};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tonic::transport::Channel;

use crate::support::{PATIENCE, provider};

/// A provider process that has shaken hands.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) handshake: Handshake,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) host: Host,
}

impl Running {
    /// Starts the provider as Terraform does, with these variables besides.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let host = Host::new().unwrap();
        let mut command = Command::new(provider());
        command
            .env_clear()
            .envs(host.environment())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await.unwrap().unwrap();
        let handshake = line.parse().unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, handshake, stdout, host }
    }

    pub(crate) async fn connect(&self) -> Channel {
        self.host.connect(&self.handshake).await.unwrap()
    }

    pub(crate) async fn core(&self) -> Core {
        let core = Core::attach(self.connect().await).await.unwrap();
        core.configure(serde_json::json!({})).await.unwrap();
        core
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for the end; gives the exit code and what else was written to stdout and stderr.
    pub(crate) async fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        let ended = async {
            let mut stderr = self.child.stderr.take().unwrap();
            let (a, b) = tokio::join!(self.stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
            a.and(b).unwrap();
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, ended).await.expect("the provider ends");
        (status.code(), out, err)
    }
}
