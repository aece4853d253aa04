//! `terraform-provider-azureml`: the parts of the provider.

pub mod user_cache;
pub mod workspace;
