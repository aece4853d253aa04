//! What is only looked up.

pub mod endpoint;
pub mod model;
pub mod webservice;
pub mod workspace;

use tfplugin::AnyDataSource;

use crate::provider::Settings;

/// Every data source.
#[must_use]
pub fn all() -> Vec<Box<dyn AnyDataSource<Settings>>> {
    vec![
        Box::new(workspace::WorkspaceData),
        Box::new(model::ModelData),
        Box::new(webservice::WebserviceData),
        Box::new(endpoint::EndpointData),
    ]
}
