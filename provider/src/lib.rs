//! `terraform-provider-azureml`: the parts of the provider.

pub mod access;
pub mod cluster;
pub mod connections;
pub mod data_sources;
pub mod deployment;
pub mod diagnostics;
pub mod environment;
pub mod ephemeral;
pub mod functions;
pub mod provider;
pub mod registry;
pub mod resources;
pub mod schema;
pub mod storage;
pub mod tidy;
pub mod user_cache;
pub mod workspace;

#[cfg(all(test, unix))]
mod testing;
