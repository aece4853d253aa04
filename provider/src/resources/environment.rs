//! `azureml_environment`.

mod model;
mod resource;
mod schema;
#[cfg(test)]
mod tests;

pub use model::{DockerBlock, Environment};
pub use resource::EnvironmentResource;
