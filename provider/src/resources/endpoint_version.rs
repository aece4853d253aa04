//! `azureml_endpoint_version`: one of the versions behind an endpoint's URL.

mod document;
pub mod model;
mod plan;
mod resource;
mod schema;

pub use document::{observed_state, shown_share};
pub use plan::share;
pub use resource::EndpointVersionResource;

#[cfg(all(test, unix))]
#[path = "endpoint_version/tests.rs"]
mod tests;
