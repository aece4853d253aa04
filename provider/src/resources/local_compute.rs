//! `azureml_local_compute`: router and scorers as processes of this machine.

pub mod issuers;
pub mod model;
mod resource;
mod schema;
mod settings;

pub use resource::LocalComputeResource;

#[cfg(test)]
#[path = "local_compute/tests.rs"]
mod tests;
