//! The local compute, by the real terraform: the provider as a user has it, with router and scorers as processes.

#![allow(clippy::print_stderr, reason = "some tests tell what they met")]

mod adoption;
mod catalogue;
mod compute;
mod drift;
mod endpoint_imports;
mod endpoint_inputs;
mod endpoint_keys;
mod endpoint_kills;
mod endpoint_load;
mod endpoint_order;
mod endpoint_sharing;
mod endpoint_tokens;
mod endpoints;
mod environments;
mod examples;
mod failures;
mod keys;
mod kills;
mod lifecycle;
mod models;
mod object_storage;
mod scoring;
mod services;
mod slots;
