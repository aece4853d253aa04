//! The resources. Each folder has the same parts: `schema.rs`, `model.rs`, `resource.rs`, `tests.rs`.

pub mod aks_attachment;
pub mod endpoint;
pub mod endpoint_traffic;
pub mod endpoint_version;
pub mod environment;
#[cfg(unix)]
pub mod local_compute;
pub mod model;
pub mod token_issuers;
pub mod webservice;
pub mod workspace;

use tfplugin::AnyResource;

use crate::provider::Settings;

/// Every resource.
#[must_use]
pub fn all() -> Vec<Box<dyn AnyResource<Settings>>> {
    vec![
        Box::new(workspace::WorkspaceResource),
        Box::new(model::ModelResource),
        Box::new(environment::EnvironmentResource),
        #[cfg(unix)]
        Box::new(local_compute::LocalComputeResource),
        Box::new(aks_attachment::AksAttachmentResource),
        Box::new(webservice::WebserviceResource),
        Box::new(endpoint::EndpointResource),
        Box::new(endpoint_version::EndpointVersionResource),
        Box::new(endpoint_traffic::EndpointTrafficResource),
    ]
}
