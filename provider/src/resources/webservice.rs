//! `azureml_webservice`: models behind one scoring URI.

mod document;
pub mod model;
mod plan;
mod resource;
mod schema;

pub use resource::WebserviceResource;

#[cfg(test)]
#[path = "webservice/tests.rs"]
mod tests;
