//! `azureml_aks_attachment`: a namespace of a Kubernetes cluster that services run in.

pub mod model;
mod plan;
mod resource;
mod schema;
mod service_accounts;
mod settings;
mod shown;

pub use resource::AksAttachmentResource;

use super::token_issuers as issuers;

#[cfg(test)]
#[path = "aks_attachment/tests.rs"]
mod tests;
