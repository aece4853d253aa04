//! What the acceptance tests share: a Terraform project in a directory of its own, the configurations that they
//! apply, callers of the scoring URI, and a look at the processes of a compute.
//!
//! `make build` lays out the provider mirror that the tests install from (`target/mirror`, `target/terraformrc`).
//! `AZUREML_ACCEPTANCE_TERRAFORM` names another CLI to test with, for example `tofu`.

#![allow(clippy::missing_panics_doc, reason = "a helper of tests panics to fail its test")]
#![allow(clippy::must_use_candidate, reason = "the checks are called for their panics")]

mod caller;
mod config;
mod holders;
mod port;
mod processes;
mod project;
mod revisions;
mod run;
mod served;
mod split;
mod wait;
mod watch;

pub use caller::{Answer, Load, Tally, post, request};
pub use config::{DOUBLE, Stack};
pub use holders::holders_of;
pub use port::free_port;
pub use processes::{Process, processes_of};
pub use project::{Outcome, Project, router};
pub use revisions::newest_revision;
pub use run::{Run, Target};
pub use rustix::process::Signal;
pub use split::{ENDPOINT, Split, elsewhere, elsewhere_configuration, score_script, traffic, version, write_code};
pub use tempfile::TempDir;
pub use wait::eventually;
pub use watch::{Seen, Watch, answered_by, assert_dealt};
