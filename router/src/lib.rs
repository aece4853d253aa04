//! `azureml-fe`: the router in front of the scorers, and the supervisor of the local compute.

pub mod admin;
pub mod cli;
pub mod config;
mod documents;
pub mod http1;
pub mod inherit;
pub mod route;
pub mod serve;
pub mod supervise;
