//! A server under test: started, asked, stopped.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::error::BenchError;
use super::processes::Members;
use super::tools::log_file;
use crate::command;
use crate::command::last_lines;

/// How long a server may take to come up.
const START: Duration = Duration::from_mins(1);
/// How long a server may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A running process; stopped when dropped.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Server {
    /// Starts the command with what it says going to `log`.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, BenchError> {
        let (out, errors) = (log_file(log)?, log_file(log)?);
        let child = command.stdout(out).stderr(errors).spawn().map_err(command::starting(command))?;
        Ok(Self { child, log: log.to_owned(), name: name.to_owned() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first good answer, which must be `expected`; the time since `started`.
    pub(super) fn ready(
        &mut self,
        question: &Question<'_>,
        expected: &Value,
        started: Instant,
    ) -> Result<Duration, BenchError> {
        self.ready_at(question, "", expected, started)
    }

    /// The same for whatever the answer is.
    pub(super) fn ready_any(&mut self, question: &Question<'_>, started: Instant) -> Result<Duration, BenchError> {
        self.ready_when(question, |_| Ok(()), started)
    }

    /// The same for an answer that has `expected` at a JSON pointer.
    pub(super) fn ready_at(
        &mut self,
        question: &Question<'_>,
        pointer: &str,
        expected: &Value,
        started: Instant,
    ) -> Result<Duration, BenchError> {
        let good = |body: &str| match serde_json::from_str::<Value>(body) {
            Ok(value) if value.pointer(pointer) == Some(expected) => Ok(()),
            _ => Err(format!("answers {body:?} instead of {expected}")),
        };
        self.ready_when(question, good, started)
    }

    fn ready_when(
        &mut self,
        question: &Question<'_>,
        good: impl Fn(&str) -> Result<(), String>,
        started: Instant,
    ) -> Result<Duration, BenchError> {
        loop {
            let answer = question.ask();
            let waited = started.elapsed();
            match answer {
                Ok(answer) if answer.status == 200 => {
                    return good(&answer.body).map(|()| waited).map_err(|what| self.problem(&what));
                }
                answer => {
                    if let Ok(Some(status)) = self.child.try_wait() {
                        return Err(self.problem(&format!("ended ({status})")));
                    }
                    if waited > START {
                        let seen = answer.map_or_else(|error| error.to_string(), |answer| answer.status.to_string());
                        return Err(self.problem(&format!("does not answer after {} s: {seen}", START.as_secs())));
                    }
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Says what is wrong with this server, with the end of its log.
    pub(super) fn problem(&self, what: &str) -> BenchError {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        // The refusals while it came up are not why.
        let told: Vec<&str> = log.lines().filter(|line| !line.contains(" 503 ")).collect();
        let log = last_lines(&told.join("\n"));
        BenchError::Server { server: self.name.clone(), what: what.to_owned(), log }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Some servers end without their workers, or do not end when asked.
        let members = Members::of(self.child.id());
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let asked = id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok());
        let patience = Instant::now() + STOP;
        while asked && Instant::now() < patience && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Ok(members) = members {
            members.kill();
        }
    }
}

/// One POST of JSON.
pub(super) struct Question<'a> {
    pub(super) address: SocketAddr,
    pub(super) path: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) body: &'a str,
}

/// Asks for a path over a connection of its own, as a probe does.
pub(super) fn get(address: SocketAddr, path: &str, patience: Duration) -> std::io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, &request, patience)
}

fn exchange(address: SocketAddr, request: &str, patience: Duration) -> std::io::Result<Answer> {
    let mut connection = TcpStream::connect_timeout(&address, patience)?;
    connection.set_read_timeout(Some(patience))?;
    connection.write_all(request.as_bytes())?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    parse(&response).ok_or_else(|| std::io::Error::other(format!("no HTTP response: {response:?}")))
}

/// Status and body of an answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Question<'_> {
    /// Asks over a connection of its own.
    pub(super) fn ask(&self) -> std::io::Result<Answer> {
        self.ask_within(ANSWER)
    }

    /// The same for an answer that takes longer.
    pub(super) fn ask_within(&self, patience: Duration) -> std::io::Result<Answer> {
        let key = self.key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let Self { address, path, body, .. } = self;
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n{key}Content-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        exchange(*address, &request, patience)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }
}

fn parse(response: &str) -> Option<Answer> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_of_an_answer_are_read() {
        let answer = parse("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(answer, Some(Answer { status: 401, body: "{}".to_owned() }));
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(parse("HTTP/1.1 200 OK\r\nContent-"), None);
        assert_eq!(parse("HTTP/1.1 2\r\n\r\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_told_with_its_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such port; exit 7"]);
        let mut server = Server::start("peer", &mut command, &directory.path().join("log")).expect("starts");
        // Nothing can listen on port 0.
        let question = Question { address: ([127, 0, 0, 1], 0).into(), path: "/", key: None, body: "{}" };
        let error = server.ready(&question, &Value::Null, Instant::now()).expect_err("ended");
        assert_eq!(error.to_string(), "peer ended (exit status: 7)\nno such port");
    }
}
