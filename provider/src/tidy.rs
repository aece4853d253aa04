//! Clearing up: what nothing names any more goes.
//!
//! Done after a change or removal that has succeeded, so a failure here is only logged: the next one finds the same.

use std::fmt::Display;

use crate::environment::build;
use crate::workspace::Catalogue;

/// Removes surplus versions of models, then virtual environments and contents that neither the catalogue nor a service
/// names.
pub async fn tidy(catalogue: &Catalogue) {
    report("Surplus versions of models", catalogue.prune_models().await);
    report("Virtual environments that nothing names", build::sweep(catalogue).await);
    report("Contents that nothing names", catalogue.sweep().await);
}

fn report<T>(what: &str, outcome: Result<T, impl Display>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "{what} were left in the workspace.");
    }
}
