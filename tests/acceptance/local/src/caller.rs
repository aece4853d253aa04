//! Callers of the scoring URI.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// Sends one request with an optional key.
///
/// # Errors
/// When there is no HTTP answer at all; the text says why.
pub fn request(
    method: &str,
    uri: &str,
    key: Option<&str>,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, String> {
    send(&agent(), method, uri, key, headers, body)
}

/// Connections of one caller.
pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_mins(1)))
        .allow_non_standard_methods(true);
    config.build().into()
}

pub(crate) fn send(
    agent: &ureq::Agent,
    method: &str,
    uri: &str,
    key: Option<&str>,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, String> {
    let mut request = ureq::http::Request::builder().method(method).uri(uri).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.to_owned()).map_err(|error| error.to_string())?;
    let mut answer = agent.run(request).map_err(|error| error.to_string())?;
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_vec().map_err(|error| error.to_string())?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status, headers, body })
}

/// Posts a JSON body and gives the answer, which must come.
///
/// # Panics
/// When there is no answer.
#[must_use]
pub fn post(uri: &str, key: &str, body: &str) -> Answer {
    request("POST", uri, Some(key), &[], body).unwrap_or_else(|error| panic!("no answer from {uri}: {error}"))
}

/// What a [`Load`] saw.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers by body, of those with status 200.
    pub answers: BTreeMap<String, u64>,
    /// Everything else, with its count: a status and body, or the reason why there was no answer.
    pub failures: BTreeMap<String, u64>,
}

impl Tally {
    /// Number of answers with status 200.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answers.values().sum()
    }
}

/// Callers that send at a constant rate, on kept-alive connections, until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `callers` threads that together send `rate` requests per second.
    #[must_use]
    pub fn start(uri: &str, key: &str, body: &str, callers: u32, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let interval = Duration::from_secs(1) * callers / rate;
        let callers = (0..callers)
            .map(|_| {
                let (stop, tally) = (stop.clone(), tally.clone());
                let (uri, key, body) = (uri.to_owned(), key.to_owned(), body.to_owned());
                std::thread::spawn(move || {
                    let agent = agent();
                    let mut next = Instant::now();
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(next.saturating_duration_since(Instant::now()));
                        next += interval;
                        let answer = send(&agent, "POST", &uri, Some(&key), &[], &body);
                        let mut tally = tally.lock().expect("no caller panics");
                        match answer {
                            Ok(answer) if answer.status == 200 => *tally.answers.entry(answer.body).or_default() += 1,
                            Ok(answer) => {
                                *tally.failures.entry(format!("{} {}", answer.status, answer.body)).or_default() += 1;
                            }
                            Err(error) => *tally.failures.entry(error).or_default() += 1,
                        }
                    }
                })
            })
            .collect();
        Self { stop, tally, callers }
    }

    /// What the callers have seen so far.
    ///
    /// # Panics
    /// When a caller panicked.
    #[must_use]
    pub fn so_far(&self) -> Tally {
        self.tally.lock().expect("no caller panics").clone()
    }

    /// Stops the callers and gives what they saw.
    ///
    /// # Panics
    /// When a caller panicked.
    #[must_use]
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.join().expect("a caller");
        }
        self.tally.lock().expect("no caller panics").clone()
    }
}
