//! The framework as a provider's author and Terraform meet it. One program, so that it is linked once.

mod double;
mod models;
#[cfg(unix)]
mod process;
mod round_trips;
mod rules;
mod server;
#[cfg(unix)]
mod support;
#[cfg(unix)]
mod terraform;
