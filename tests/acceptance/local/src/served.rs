//! What a project's compute has of its endpoint [`ENDPOINT`](crate::ENDPOINT).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use serving::layout;
use serving::service::{Keys, Service};

use crate::{ENDPOINT, Process, Project, eventually, processes_of};

impl Project {
    /// Where the endpoint is scored.
    #[must_use]
    pub fn endpoint_uri(&self) -> String {
        self.attribute("azureml_endpoint.this", "scoring_uri")
    }

    /// The endpoint's document. Needs no state, so that it can be read while Terraform runs.
    #[must_use]
    pub fn endpoint_document_path(&self) -> PathBuf {
        self.path().join("ws/local/local").join(layout::document(ENDPOINT))
    }

    /// The endpoint's document, if there is one.
    ///
    /// # Panics
    /// When it is no document.
    #[must_use]
    pub fn endpoint_document(&self) -> Option<Service> {
        let content = std::fs::read(self.endpoint_document_path()).ok()?;
        Some(serde_json::from_slice(&content).expect("a document is replaced as a whole, so it is never half written"))
    }

    /// Changes the endpoint's document as somebody with an editor does.
    ///
    /// # Panics
    /// When there is none.
    pub fn edit_endpoint(&self, change: impl FnOnce(&mut Value)) {
        let path = self.endpoint_document_path();
        let mut document: Value = serde_json::from_slice(&std::fs::read(&path).expect("a document")).expect("JSON");
        change(&mut document);
        std::fs::write(path, serde_json::to_vec_pretty(&document).expect("JSON")).expect("written");
    }

    /// The endpoint's shares in force, in hundredths of a percent; none while nothing is served.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<String, u16> {
        let served = self.endpoint_document().and_then(|service| service.served);
        served.into_iter().flat_map(|table| table.shares).map(|(name, share)| (name, share.0)).collect()
    }

    /// Asserts which shares are in force, in hundredths of a percent, and that nothing else is there.
    ///
    /// # Panics
    /// When others are.
    #[track_caller]
    pub fn assert_shares(&self, wanted: &[(&str, u16)]) {
        let wanted: BTreeMap<String, u16> = wanted.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
        let document = self.endpoint_document().expect("a document");
        assert_eq!(self.shares(), wanted, "{document:#?}");
        assert!(wanted.keys().eq(document.versions.keys()), "{document:#?}");
    }

    /// The endpoint's keys in force.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn endpoint_keys(&self) -> (String, String) {
        let generation = self.endpoint_document().expect("a document").auth.keys.expect("keys");
        let path = self.path().join("ws/local/local").join(layout::keys(ENDPOINT, generation));
        let keys: Keys = serde_json::from_slice(&std::fs::read(path).expect("the keys' file")).expect("keys");
        (keys.primary.key, keys.secondary.key)
    }

    /// The endpoint's URI and its primary key.
    #[must_use]
    pub fn endpoint_access(&self) -> (String, String) {
        (self.endpoint_uri(), self.endpoint_keys().0)
    }

    /// The process whose command line has this part.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn process(&self, part: &str) -> Process {
        let all = processes_of(self.path());
        let found = all.iter().find(|process| process.command.contains(part)).cloned();
        found.unwrap_or_else(|| panic!("no process with {part} in its command: {all:?}"))
    }

    /// Gives the router this number of threads, by its configuration and a new worker.
    ///
    /// # Panics
    /// When there is no router.
    pub fn set_threads(&self, threads: u32) {
        let path = self.compute_directory().join(layout::CONFIG);
        let content = std::fs::read_to_string(&path).expect("the router's configuration");
        let others = content.lines().filter(|line| !line.starts_with("threads"));
        let content: Vec<String> =
            [format!("threads = {threads}")].into_iter().chain(others.map(str::to_owned)).collect();
        std::fs::write(&path, content.join("\n")).expect("written");
        let before = self.process(" route ");
        before.kill();
        eventually("another router worker", || {
            let workers = processes_of(self.path());
            workers.iter().any(|one| one.command.contains(" route ") && one.pid != before.pid).then_some(())
        });
    }
}
