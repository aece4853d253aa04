//! `azureml_environment`.

mod model;
mod resource;
mod schema;

pub use model::Environment;
pub use resource::EnvironmentResource;
