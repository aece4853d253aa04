//! `azureml_workspace`.

mod model;
#[cfg(all(test, unix))]
mod remote_tests;
mod resource;
mod schema;
#[cfg(test)]
mod tests;

pub use model::Workspace;
pub use resource::WorkspaceResource;
