//! Standard output: one line for the host, then silence; and what its closing tells.

use std::io::{self, Write as _};

use tokio_util::sync::CancellationToken;

use super::stop::Stop;

/// Writes the line that the host waits for.
pub(crate) fn announce(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Points standard output at standard error, so that a stray print becomes a log line and never reaches the host's
/// parser, and ends the process in order when the host has died.
///
/// A host that was killed asks for nothing any more; without this its plugins would stay for ever. It is noticed by the
/// pipe to which the handshake line went.
#[cfg(unix)]
pub(crate) fn hand_over(stop: Stop, shutdown: CancellationToken) -> io::Result<()> {
    let pipe = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    // Anything but a pipe (a file, a terminal) cannot tell the end of its reader.
    let Ok(pipe) = tokio::net::unix::pipe::Sender::from_owned_fd(pipe) else {
        return Ok(());
    };
    tokio::spawn(async move {
        while let Ok(ready) = pipe.ready(tokio::io::Interest::ERROR).await {
            if ready.is_error() || ready.is_write_closed() {
                break;
            }
        }
        tracing::warn!("the host is gone; ending");
        stop.stop();
        shutdown.cancel();
    });
    Ok(())
}

/// Standard output stays as it is: nothing in this crate writes to it.
#[cfg(not(unix))]
pub(crate) fn hand_over(_stop: Stop, _shutdown: CancellationToken) -> io::Result<()> {
    Ok(())
}
