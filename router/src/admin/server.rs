//! The supervisor's side of the admin socket: bounded lines, concurrent clients, time-outs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serving::admin::{Request, Response};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::{MAX_REQUEST, MAX_RESPONSE};

/// Clients that are served at once; further ones wait.
const CLIENTS: usize = 64;
/// A client that asks nothing for so long is let go.
const IDLE: Duration = Duration::from_mins(5);
/// A client that does not read its answer for so long is let go.
const WRITE: Duration = Duration::from_secs(30);
/// How long a new executable may take to print its version.
const VERSION: Duration = Duration::from_secs(10);

/// What the supervisor's loop has to do.
pub(crate) struct Order {
    /// What.
    pub(crate) kind: Kind,
    /// Where the answer goes.
    pub(crate) reply: oneshot::Sender<Response>,
    /// Resolves when the answer was written, or the client is gone.
    pub(crate) written: oneshot::Receiver<()>,
}

/// Kinds of [`Order`].
pub(crate) enum Kind {
    /// Answer this. Never [`Request::Upgrade`].
    Request(Request),
    /// Execute this program, whose version was checked; answer only if that fails.
    Replace(PathBuf),
}

/// Serves the socket for as long as the runtime lives.
pub(crate) async fn serve(listener: UnixListener, orders: mpsc::Sender<Order>) {
    let clients = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(permit) = Arc::clone(&clients).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let orders = orders.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &orders).await {
                        tracing::debug!(%error, "an admin client was let go");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: existing clients must end first.
                tracing::warn!(%error, "an admin client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, orders: &mpsc::Sender<Order>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let bounded = &mut (&mut reader).take(MAX_REQUEST as u64);
        if timeout(IDLE, bounded.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            let message = format!("the request is longer than {MAX_REQUEST} bytes, or was cut off");
            return write(&mut writer, &Response::Error { message }).await;
        }
        match serde_json::from_slice(&line) {
            Ok(Request::Upgrade { executable }) => match check(Path::new(&executable)).await {
                Ok(()) => {
                    write(&mut writer, &Response::Done).await?;
                    order(&mut writer, orders, Kind::Replace(executable.into())).await?;
                }
                Err(message) => write(&mut writer, &Response::Error { message }).await?,
            },
            Ok(request) => order(&mut writer, orders, Kind::Request(request)).await?,
            Err(error) => {
                let message = format!("the request is not one that this supervisor understands: {error}");
                write(&mut writer, &Response::Error { message }).await?;
            }
        }
    }
}

async fn order(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    orders: &mpsc::Sender<Order>,
    kind: Kind,
) -> io::Result<()> {
    let (reply, response) = oneshot::channel();
    let (done, written) = oneshot::channel();
    let ended = || io::Error::other("the supervisor ends");
    orders.send(Order { kind, reply, written }).await.map_err(|_| ended())?;
    let response = response.await.map_err(|_| ended())?;
    let result = write(writer, &response).await;
    // Nobody waits for it but a supervisor that is about to exit.
    let _ = done.send(());
    result
}

async fn write(writer: &mut (impl tokio::io::AsyncWrite + Unpin), response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    if line.len() >= MAX_RESPONSE {
        let message = format!("the answer is longer than {MAX_RESPONSE} bytes");
        line = serde_json::to_vec(&Response::Error { message })?;
    }
    line.push(b'\n');
    timeout(WRITE, async {
        writer.write_all(&line).await?;
        writer.flush().await
    })
    .await?
}

/// A program that cannot even print its version must not replace one that works.
async fn check(executable: &Path) -> Result<(), String> {
    let name = executable.display();
    if !executable.is_absolute() {
        return Err(format!("`{name}` is not an absolute path; the running router stays"));
    }
    let mut command = tokio::process::Command::new(executable);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = match timeout(VERSION, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{name} cannot be executed: {error}; the running router stays")),
        Err(_) => {
            let seconds = VERSION.as_secs();
            return Err(format!("`{name} --version` did not end within {seconds} s; the running router stays"));
        }
    };
    if output.status.success() && output.stdout.starts_with(b"azureml-fe ") {
        Ok(())
    } else {
        Err(format!("{name} is not an azureml-fe (`--version` ended with {}); the running router stays", output.status))
    }
}
