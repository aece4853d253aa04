//! `azureml_webservice`: models behind one scoring URI.

mod checks;
mod document;
mod failure;
pub mod model;
mod plan;
mod prepare;
mod resource;
mod schema;

pub use resource::WebserviceResource;

#[cfg(test)]
#[path = "webservice/tests.rs"]
mod tests;
