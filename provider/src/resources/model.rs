//! `azureml_model`.

#[expect(clippy::module_inception, reason = "every resource has the same parts")]
mod model;
mod resource;
mod schema;
#[cfg(test)]
mod tests;

pub use model::Model;
pub use resource::ModelResource;
