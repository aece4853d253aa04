//! The contract between the provider, the router and the scorer.
//!
//! Everything the three programs must agree on lives here as plain serde types, and every rule as a pure,
//! deterministic function. No I/O, no clocks, no async.

#![forbid(unsafe_code)]

pub mod admin;
pub mod autoscale;
pub mod cluster;
pub mod digest;
pub mod document;
pub mod environment;
pub mod error;
pub mod layout;
pub mod manifest;
pub mod name;
pub mod picker;
pub mod pod;
pub mod service;
pub mod slots;
pub mod snapshot;
pub mod token;
pub mod traffic;
pub mod validate;
pub mod vectors;
pub mod wire;

pub use document::{ReadError, schema};

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
