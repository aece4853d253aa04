//! `azureml_workspace`.

mod model;
mod resource;
mod schema;
#[cfg(test)]
mod tests;

pub use model::Workspace;
pub use resource::WorkspaceResource;
