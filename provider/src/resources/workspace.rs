//! `azureml_workspace`.

mod model;
mod resource;
mod schema;

pub use model::Workspace;
pub use resource::WorkspaceResource;
