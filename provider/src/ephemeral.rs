//! What must never enter plan or state.
//!
//! Opening reads files and changes nothing, and needs no running router, because Terraform opens ephemeral resources also
//! when it only plans.

pub mod token;
pub mod webservice_keys;
pub mod webservice_logs;

use tfplugin::AnyEphemeralResource;

use crate::provider::Settings;

/// Every ephemeral resource.
#[must_use]
pub fn all() -> Vec<Box<dyn AnyEphemeralResource<Settings>>> {
    vec![
        Box::new(token::Token::<token::Endpoint>::default()),
        Box::new(token::Token::<token::Webservice>::default()),
        Box::new(webservice_keys::WebserviceKeys),
        Box::new(webservice_logs::WebserviceLogs),
    ]
}
