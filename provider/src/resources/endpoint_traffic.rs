//! `azureml_endpoint_traffic`: the whole split of an endpoint as one object.

mod document;
pub mod model;
mod plan;
mod resource;
mod schema;

pub use resource::EndpointTrafficResource;

#[cfg(all(test, unix))]
#[path = "endpoint_traffic/tests.rs"]
mod tests;
