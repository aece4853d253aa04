//! Listening sockets, which come by number: from the supervisor, or from the process that started this one.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::AddressFamily;

use crate::server::Server;
use crate::socket::Socket;

/// How long a TCP connection may wait for its next request. Of a unix socket's connections only the router, its peer,
/// closes the idle ones.
const IDLE: Duration = Duration::from_secs(75);
/// Pause after an accept that failed, for example for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes over a descriptor that the parent process or Python handed over by number.
#[allow(unsafe_code, reason = "the caller states that the number is ours alone")]
pub(crate) fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: whoever passes the number has given the descriptor up, and each number is adopted once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Accepts connections until the process ends. Must be called on the thread that drives the I/O.
pub(crate) async fn accept(fd: OwnedFd, server: Arc<Server>) {
    if let Err(error) = accepting(fd, server).await {
        crate::log::line('E', &format!("The listening socket cannot be used: {error}"));
        crate::control::end_now();
    }
}

async fn accepting(fd: OwnedFd, server: Arc<Server>) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    if rustix::net::sockopt::socket_domain(fd.as_fd())? == AddressFamily::UNIX {
        let listener = tokio::net::UnixListener::from_std(UnixListener::from(fd))?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(server.clone().connection(Socket::Unix(stream), None))),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
    let listener = tokio::net::TcpListener::from_std(TcpListener::from(fd))?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                drop(tokio::spawn(server.clone().connection(Socket::Tcp(stream), Some(IDLE))));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
