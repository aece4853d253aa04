//! `azureml-fe`: the router in front of the scorers, and the supervisor of the local compute.

pub mod config;
pub mod http1;
pub mod route;
