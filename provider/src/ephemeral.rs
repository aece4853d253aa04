//! What must never enter plan or state.
//!
//! Opening reads files and changes nothing, and needs no running router, because Terraform opens ephemeral resources also
//! when it only plans.

pub mod keys;
pub mod logs;
pub mod token;

use tfplugin::AnyEphemeralResource;

use crate::provider::Settings;

/// Every ephemeral resource.
#[must_use]
pub fn all() -> Vec<Box<dyn AnyEphemeralResource<Settings>>> {
    vec![
        Box::new(keys::WebserviceKeys),
        Box::new(keys::EndpointKeys),
        Box::new(logs::WebserviceLogs),
        Box::new(logs::EndpointLogs),
        Box::new(token::WebserviceToken),
        Box::new(token::EndpointToken),
    ]
}
