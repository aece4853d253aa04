//! Callers of an endpoint who check every answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::caller::{Answer, agent, send};

/// Which version answered, and with which number of its code.
///
/// # Errors
/// When the answer is none of a version, or its header names another version than its body; the text tells which.
pub fn answered_by(answer: Result<Answer, String>) -> Result<(String, u64), String> {
    let answer = answer?;
    let header = answer.headers.get("azureml-model-deployment");
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    // An error's code and message, without the number of the request, so that equal ones are counted as one.
    let told = || match (&body["error"]["code"], &body["error"]["message"]) {
        (Value::Null, _) => format!("{} {header:?} {}", answer.status, answer.body),
        (code, message) => format!("{} {header:?} {code} {message}", answer.status),
    };
    match (body["version"].as_str(), body["code"].as_u64(), header) {
        (Some(version), Some(code), Some(header)) if answer.status == 200 && version == header => {
            Ok((version.to_owned(), code))
        }
        _ => Err(told()),
    }
}

/// What callers saw of the requests that they began in one span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Answers by version and number of its code.
    pub answers: BTreeMap<(String, u64), u64>,
    /// Everything else by what it was: failed or misrouted.
    pub wrong: BTreeMap<String, u64>,
}

impl Seen {
    /// Number of answers.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Number of answers of a version.
    #[must_use]
    pub fn of(&self, version: &str) -> u64 {
        self.answers.iter().filter(|((name, _), _)| name == version).map(|(_, count)| count).sum()
    }

    fn add(&mut self, outcome: Result<(String, u64), String>) {
        match outcome {
            Ok(who) => *self.answers.entry(who).or_default() += 1,
            Err(what) => *self.wrong.entry(what).or_default() += 1,
        }
    }
}

struct Shared {
    uri: String,
    key: RwLock<String>,
    stop: AtomicBool,
    /// Number of the present span.
    span: AtomicUsize,
    /// Requests by the span that they began in.
    spans: Mutex<Vec<Seen>>,
}

/// Callers that send at a constant rate, on kept-alive connections, until they are stopped.
pub struct Watch {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Starts `callers` threads that together send `rate` requests per second.
    #[must_use]
    pub fn start(uri: &str, key: &str, callers: u32, rate: u32) -> Self {
        let shared = Arc::new(Shared {
            uri: uri.to_owned(),
            key: RwLock::new(key.to_owned()),
            stop: AtomicBool::new(false),
            span: AtomicUsize::new(0),
            spans: Mutex::new(vec![Seen::default()]),
        });
        let interval = Duration::from_secs(1) * callers / rate;
        let callers = (0..callers)
            .map(|_| {
                let shared = shared.clone();
                std::thread::spawn(move || call(&shared, interval))
            })
            .collect();
        Self { shared, callers }
    }

    /// The callers take this key for every further request.
    pub fn set_key(&self, key: &str) {
        key.clone_into(&mut self.shared.key.write().expect("no caller panics"));
    }

    /// Waits for `requests` further answers and gives what was seen of the requests that began after this call.
    ///
    /// So what was in force before counts for nothing, and what is changed after this call neither.
    pub fn see(&self, requests: u64) -> Seen {
        let begin = || self.shared.span.fetch_add(1, Ordering::SeqCst) + 1;
        let number = {
            let mut spans = self.shared.spans.lock().expect("no caller panics");
            spans.push(Seen::default());
            begin()
        };
        let seen = || self.shared.spans.lock().expect("no caller panics")[number].clone();
        crate::eventually("further requests", || {
            let seen = seen();
            (seen.answered() + seen.wrong.values().sum::<u64>() >= requests).then_some(())
        });
        let mut spans = self.shared.spans.lock().expect("no caller panics");
        spans.push(Seen::default());
        begin();
        spans[number].clone()
    }

    /// Everything that was seen so far.
    #[must_use]
    pub fn so_far(&self) -> Seen {
        let mut all = Seen::default();
        for seen in self.shared.spans.lock().expect("no caller panics").iter() {
            for (who, count) in &seen.answers {
                *all.answers.entry(who.clone()).or_default() += count;
            }
            for (what, count) in &seen.wrong {
                *all.wrong.entry(what.clone()).or_default() += count;
            }
        }
        all
    }

    /// Stops the callers and gives everything that they saw.
    #[must_use]
    pub fn stop(mut self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        for caller in self.callers.drain(..) {
            caller.join().expect("a caller");
        }
        self.so_far()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn call(shared: &Shared, interval: Duration) {
    let agent = agent();
    let mut next = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += interval;
        let key = shared.key.read().expect("no caller panics").clone();
        let span = shared.span.load(Ordering::SeqCst);
        let outcome = answered_by(send(&agent, "POST", &shared.uri, Some(&key), &[], "{}"));
        shared.spans.lock().expect("no caller panics")[span].add(outcome);
    }
}

/// Sends requests one after the other on a connection each, and asserts after each that every version has its share: the
/// count is within one of it for each of the router's threads. Nobody else may call meanwhile, and nobody may have since
/// the shares, in hundredths of a percent, are in force.
///
/// # Panics
/// When a count is off, or an answer is wrong.
#[track_caller]
pub fn assert_dealt(uri: &str, key: &str, shares: &[(&str, u64)], requests: u64, threads: u64) {
    let mut seen = Seen::default();
    for number in 1..=requests {
        seen.add(answered_by(send(&agent(), "POST", uri, Some(key), &[], "{}")));
        assert!(seen.wrong.is_empty(), "{seen:?}");
        for (version, share) in shares {
            let off = (seen.of(version) * 10_000).abs_diff(number * share);
            assert!(off <= threads * 10_000, "{version} has not {share} of 10,000 after {number} requests: {seen:?}");
        }
    }
    let told: u64 = shares.iter().map(|(version, _)| seen.of(version)).sum();
    assert_eq!(told, requests, "others than {shares:?} answered: {seen:?}");
}
