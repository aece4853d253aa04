//! What the acceptance tests on Kubernetes share: the cluster that they run on, and configurations for it.
//!
//! `make test-kubernetes` gives them a cluster by environment variables, see [`Site`].

#![allow(clippy::missing_panics_doc, reason = "a helper of tests panics to fail its test")]
#![allow(clippy::must_use_candidate, reason = "the checks are called for their panics")]

mod identity;
mod kubectl;
mod site;
mod stack;
mod storage;
mod told;

pub use identity::{Identity, Right};
pub use kubectl::Kubectl;
pub use site::{ACCOUNT_KEY, Port, Site};
pub use stack::{RESOURCES, Stack};
pub use storage::Container;
pub use told::{Told, flat};
