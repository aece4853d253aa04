//! What answers requests: models, code, environment, replicas and their limits. A webservice has one deployment, an
//! endpoint one for each version, so attributes, rules and documents are written once, here.

pub mod checks;
pub mod document;
pub mod failure;
pub mod labels;
pub mod model;
pub mod plan;
pub mod pod;
pub mod prepare;
pub mod schema;
pub mod service;

pub use labels::Labels;
pub use model::Deployment;
