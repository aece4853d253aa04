//! `python -m azureml_scorer fetch`: brings code and models out of the workspace's storage into the app root.
//!
//! An init container runs it before the server starts. It takes up what an earlier run left: what has its final name is
//! complete, since it was renamed there last, and so is each file that is in place below a staging folder, since it was
//! checked before.

mod failure;
mod model;
mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::ObjectStore;
use objects::{Client, Downloads, Location, Patience};
use pyo3::prelude::*;
use serving::admin::{FailureReason, ScorerEvent};
use serving::digest::Digest;
use serving::manifest::Manifest;
use serving::pod::Fetch;
use serving::service::{CodeRef, ModelRef};
use serving::wire;

use self::failure::Failed;
use self::place::Place;

/// Names the folder that code and models go into.
const APP_ROOT: &str = "AML_APP_ROOT";
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);
/// Exit code of a fetch that failed, as of a server that cannot start.
const FAILED: i32 = 3;

/// Fetches what the environment says; the exit code.
#[pyfunction]
pub(crate) fn fetch(py: Python<'_>) -> i32 {
    py.detach(|| match run() {
        Ok(()) => 0,
        Err(failed) => {
            let message = failed.to_string();
            say(&message);
            let event = ScorerEvent::Failed { reason: FailureReason::FetchFailed, message, traceback: None };
            crate::control::send(None, &event);
            FAILED
        }
    })
}

/// Standard error is unbuffered, and nobody else writes there.
#[expect(clippy::print_stderr, reason = "a command of its own, whose progress belongs there")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn run() -> Result<(), Failed> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let wanted = variable(wire::FETCH).ok_or_else(|| Failed::setting(wire::FETCH, "is not set"))?;
    let wanted: Fetch = serde_json::from_str(&wanted)
        .map_err(|error| Failed::setting(wire::FETCH, format!("is not understood: {error}")))?;
    let root = variable(APP_ROOT).ok_or_else(|| Failed::setting(APP_ROOT, "is not set"))?;
    let location: Location =
        wanted.storage.parse().map_err(|problem| Failed::setting(wire::FETCH, format!("cannot be used: {problem}")))?;
    let variables: BTreeMap<_, _> = objects::environment(location.scheme(), variable);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failed::machine("no thread can be started", &error))?;
    runtime.block_on(async {
        let store = objects::open(&location, &variables, &Client::new(), Patience::Long)
            .map_err(|error| Failed::storage(&location, error.to_string()))?;
        let fetcher = Fetcher { store, location, downloads: Downloads::default(), root: PathBuf::from(root) };
        fetcher.all(&wanted).await
    })
}

struct Fetcher {
    store: Arc<dyn ObjectStore>,
    location: Location,
    downloads: Downloads,
    root: PathBuf,
}

/// A model version that is to be fetched.
struct Model<'a> {
    reference: &'a ModelRef,
    digest: Digest,
    manifest: Manifest,
    place: Place,
}

impl Model<'_> {
    fn name(&self) -> String {
        name(self.reference)
    }
}

fn name(model: &ModelRef) -> String {
    format!("model {} version {}", model.name, model.version)
}

impl Fetcher {
    async fn all(&self, wanted: &Fetch) -> Result<(), Failed> {
        let started = Instant::now();
        let code = self.code_place(&wanted.code)?;
        let mut models = Vec::new();
        for reference in &wanted.models {
            models.extend(self.model(reference).await?);
        }
        let missing_code = if code.is_there() { None } else { Some(self.code_size(&wanted.code).await?) };
        // The archive and what it is unpacked to, which is stored without compression.
        let code_bytes = missing_code.map_or(0, |size| size * 2);
        let bytes = models.iter().map(|model| model.manifest.bytes()).fold(code_bytes, u64::saturating_add);
        place::check_space(&self.root, bytes, models.iter().map(|model| &model.place).chain([&code]))?;
        say(&format!(
            "Fetching {} and the code from {}: {}.",
            count(models.len(), "model"),
            self.location,
            megabytes(bytes)
        ));
        let work = async {
            if missing_code.is_some() {
                self.code(&wanted.code, &code).await?;
            }
            for model in &models {
                self.files(model).await?;
                say(&format!("{} is there: {}.", capitalised(&model.name()), megabytes(model.manifest.bytes())));
            }
            Ok::<_, Failed>(())
        };
        tokio::select! {
            outcome = work => outcome?,
            () = self.tell_progress(bytes) => {}
        }
        let took = started.elapsed().as_secs_f64();
        say(&format!("Everything is there: {} in {took:.1} s.", megabytes(self.downloads.fetched())));
        Ok(())
    }

    async fn tell_progress(&self, bytes: u64) {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        loop {
            ticks.tick().await;
            say(&format!("{} of {}.", megabytes(self.downloads.fetched()), megabytes(bytes)));
        }
    }

    fn code_place(&self, code: &CodeRef) -> Result<Place, Failed> {
        let digest = code.digest.parse().map_err(|error| Failed::setting(wire::FETCH, format!("{error}")))?;
        Place::of(&self.root, Path::new(&code.directory), digest).ok_or_else(|| {
            Failed::setting(wire::FETCH, format!("names the folder {:?}, which is none", code.directory))
        })
    }

    async fn code_size(&self, code: &CodeRef) -> Result<u64, Failed> {
        let digest: Digest = code.digest.parse().map_err(|error| Failed::setting(wire::FETCH, format!("{error}")))?;
        let found = objects::blobs::readable(&*self.store, &digest).await;
        let found = found.map_err(|error| Failed::download(&self.location, "the code", &digest, error.into()))?;
        let missing = || Failed::download(&self.location, "the code", &digest, objects::DownloadError::Missing);
        Ok(found.ok_or_else(missing)?.size)
    }

    async fn code(&self, code: &CodeRef, place: &Place) -> Result<(), Failed> {
        let digest: Digest = code.digest.parse().map_err(|error| Failed::setting(wire::FETCH, format!("{error}")))?;
        // Half of an archive that was unpacked is not told from the whole.
        place.start_anew()?;
        let archive = place.part(0);
        self.one("the code", &digest, None, &archive).await?;
        let (from, to) = (archive.clone(), place.tree());
        let unpacked =
            tokio::task::spawn_blocking(move || objects::archive::unpack(std::fs::File::open(from)?, &to)).await;
        let unpacked =
            unpacked.map_err(|error| error.to_string()).and_then(|done| done.map_err(|error| error.to_string()));
        unpacked.map_err(|error| Failed::content(&self.location, "the code", &digest, &error))?;
        place.finish()?;
        say(&format!("The code is there: {}.", code.directory));
        Ok(())
    }

    /// Downloads one content to a file that is not in place yet.
    async fn one(&self, object: &str, digest: &Digest, size: Option<u64>, to: &Path) -> Result<(), Failed> {
        let file = place::create(to)?;
        let fetched = self.downloads.fetch(&self.store, digest, size, file).await;
        fetched.map_err(|error| Failed::download(&self.location, object, digest, error))
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
