//! What users read when something goes wrong: one error, soon, on the argument that it is about, with what to do. And what
//! served before goes on serving.

mod connections;
mod creates;
mod fetch;
mod images;
mod policy;
mod registry;
mod scripts;
mod workloads;

use acceptance_kubernetes::{KEYS, Stack, Told, key};
use acceptance_local::{DOUBLE, Project, post};

/// A service that answers, to be spoilt.
pub(crate) struct Healthy {
    pub(crate) stack: Stack,
    pub(crate) project: Project,
    uri: String,
    key: String,
}

impl Healthy {
    /// None if there is no cluster to test on.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let mut stack = Stack::find(name)?;
        stack.make_namespace();
        stack.more = KEYS.into();
        let project = stack.project();
        project.apply().ok();
        let healthy = Self { uri: project.scoring_uri(), key: key(&project), stack, project };
        healthy.answers();
        Some(healthy)
    }

    /// Asserts that callers get their answers.
    #[track_caller]
    pub(crate) fn answers(&self) {
        let answer = post(&self.uri, &self.key, r#"{"x": 21}"#);
        assert_eq!((answer.status, &*answer.body), (200, r#"{"model": "one", "result": 42}"#));
    }

    /// None while callers do not get their answers.
    pub(crate) fn try_answer(&self) -> Option<()> {
        (post(&self.uri, &self.key, r#"{"x": 21}"#).status == 200).then_some(())
    }

    /// Spoils the arguments of the webservice: the apply must fail with these texts, and nobody may notice.
    #[track_caller]
    pub(crate) fn fails(&mut self, webservice: &str, expected: &[&str]) -> Told {
        self.stack.webservice = format!("num_replicas = 1\n  {webservice}");
        self.project.configure(&self.stack.render());
        let told = Told::by_apply(&self.project, &[expected, &["What served before keeps serving"]].concat());
        self.answers();
        told
    }

    /// The same for the score script.
    #[track_caller]
    pub(crate) fn fails_of(&mut self, script: &str, webservice: &str, expected: &[&str]) -> Told {
        self.project.write("src/score.py", script);
        let told = self.fails(webservice, expected);
        self.project.write("src/score.py", DOUBLE);
        told
    }

    /// Puts everything right again, which an apply must bring about.
    #[track_caller]
    pub(crate) fn recovers(&mut self) {
        self.stack.webservice = "num_replicas = 1".into();
        self.project.configure(&self.stack.render());
        self.project.apply().ok();
        self.answers();
        self.project.assert_no_changes();
    }

    pub(crate) fn finish(self) {
        self.stack.finish(self.project);
    }
}
