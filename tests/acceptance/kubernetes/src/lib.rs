//! What the acceptance tests on Kubernetes share: the cluster that they run on, and configurations for it.
//!
//! `make test-kubernetes` gives them a cluster by environment variables, see [`Site`].

#![allow(clippy::missing_panics_doc, reason = "a helper of tests panics to fail its test")]
#![allow(clippy::must_use_candidate, reason = "the checks are called for their panics")]

mod duel;
mod example;
mod identity;
mod keys;
mod kubectl;
mod site;
mod stack;
mod storage;
mod told;

pub use duel::{CALLERS, Duel};
pub use example::{Example, import_all};
pub use identity::{Identity, Right};
pub use keys::{KEYS, key};
pub use kubectl::Kubectl;
pub use site::{ACCOUNT_KEY, Port, Site};
pub use stack::{RESOURCES, SLEEPER, Stack};
pub use storage::Container;
pub use told::{Told, flat};
