//! `terraform-provider-azureml`: the parts of the provider.

pub mod cluster;
pub mod environment;
pub mod user_cache;
pub mod workspace;
