//! `azureml_environment`.

mod model;
mod resource;
mod schema;
#[cfg(test)]
mod tests;

pub use model::Environment;
pub use resource::EnvironmentResource;
