//! The supervisor, as the provider and its users meet it: the real program, real processes, real sockets.

mod commands;
mod endpoints;
pub(crate) mod harness;
mod lifecycle;
mod rollouts;
mod tokens;
mod upgrade;
