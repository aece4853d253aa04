//! `azureml_endpoint`: one scoring URI for several versions.

mod document;
pub mod model;
mod plan;
mod resource;
mod schema;

pub use resource::EndpointResource;

#[cfg(all(test, unix))]
#[path = "endpoint/tests.rs"]
mod tests;
