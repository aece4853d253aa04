//! Client of the supervisor's admin socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use serving::admin::{Request, Response};
use serving::layout;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// How long an answer that needs no work may take.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);
/// The largest answer: the state of a thousand services with failures is far below.
const MAX_ANSWER: u64 = 64 << 20;

/// Asks one question on a connection of its own.
pub(super) async fn ask(directory: &Path, request: &Request, time: Duration) -> io::Result<Response> {
    let exchange = async {
        let mut stream = connect(directory).await?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut answer).await?;
        if !answer.ends_with('\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends in the middle"));
        }
        serde_json::from_str(&answer).map_err(io::Error::from)
    };
    match tokio::time::timeout(time, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", time.as_secs()))),
    }
}

/// Connects without the directory's path in the socket's address, which holds only about 100 bytes.
#[cfg(target_os = "linux")]
async fn connect(directory: &Path) -> io::Result<UnixStream> {
    use std::os::fd::AsRawFd as _;

    let folder = std::fs::File::open(directory)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), layout::ADMIN_SOCKET)).await
}

#[cfg(not(target_os = "linux"))]
async fn connect(directory: &Path) -> io::Result<UnixStream> {
    connect_by_link(directory).await
}

/// As [`connect`] for systems without `/proc`: by a short-lived link with a short path, in a folder that only this user
/// enters.
#[cfg(any(test, not(target_os = "linux")))]
async fn connect_by_link(directory: &Path) -> io::Result<UnixStream> {
    let folder = tempfile::Builder::new().prefix("azml").tempdir_in("/tmp")?;
    let link = folder.path().join("c");
    std::os::unix::fs::symlink(directory, &link)?;
    UnixStream::connect(link.join(layout::ADMIN_SOCKET)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_below_a_path_of_any_length_is_reached() {
        let root = tempfile::tempdir().expect("a directory");
        let deep = root.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).expect("made");
        let short = root.path().join("s");
        std::os::unix::fs::symlink(&deep, &short).expect("linked");
        let _listener = tokio::net::UnixListener::bind(short.join(layout::ADMIN_SOCKET)).expect("bound");
        connect(&deep).await.expect("connected");
        connect_by_link(&deep).await.expect("connected");
    }
}
