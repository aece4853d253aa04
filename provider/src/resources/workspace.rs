//! `azureml_workspace`.

mod model;
mod resource;
mod schema;
#[cfg(all(test, unix))]
mod remote_tests;
#[cfg(test)]
mod tests;

pub use model::Workspace;
pub use resource::WorkspaceResource;
