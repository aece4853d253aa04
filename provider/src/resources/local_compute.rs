//! `azureml_local_compute`: router and scorers as processes of this machine.

pub mod model;
mod resource;
mod schema;
mod settings;

pub use resource::LocalComputeResource;

use super::token_issuers as issuers;

#[cfg(test)]
#[path = "local_compute/tests.rs"]
mod tests;
