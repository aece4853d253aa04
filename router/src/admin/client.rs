//! Asking the supervisor. The caller's working directory is the compute directory.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serving::admin::{Request, Response, Status};
use serving::layout;

use super::MAX_RESPONSE;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No supervisor runs.
    #[error("no supervisor runs for this compute")]
    NotRunning,
    /// The socket may not be used by this user.
    #[error("the admin socket may only be used by the owner of the compute: {0}")]
    Denied(io::Error),
    /// The conversation failed.
    #[error("the supervisor cannot be asked over its admin socket: {0}")]
    Io(#[from] io::Error),
    /// The answer is not one.
    #[error("the supervisor gave an answer that this version of azureml-fe does not understand: {0}")]
    NotAnAnswer(#[from] serde_json::Error),
    /// It could not do what it was asked.
    #[error("{0}")]
    Refused(String),
    /// It answered something else.
    #[error("the supervisor answered another question")]
    Mixed,
}

/// Sends one request and waits for its answer, at most `timeout`.
pub fn ask(request: &Request, timeout: Duration) -> Result<Response, ClientError> {
    let mut stream = UnixStream::connect(layout::ADMIN_SOCKET).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning,
        io::ErrorKind::PermissionDenied => ClientError::Denied(error),
        _ => ClientError::Io(error),
    })?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(MAX_RESPONSE as u64).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(ClientError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    match serde_json::from_slice(&answer)? {
        Response::Error { message } => Err(ClientError::Refused(message)),
        response => Ok(response),
    }
}

/// State of everything.
pub fn status() -> Result<Status, ClientError> {
    match ask(&Request::Status, Duration::from_secs(10))? {
        Response::Status(status) => Ok(status),
        _ => Err(ClientError::Mixed),
    }
}
