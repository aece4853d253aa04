//! Workspaces in object storage: what the provider that writes them and the scorer that reads them share.
//!
//! One HTTP client for every store, on the libraries that both programs have anyway ([`Client`]); where a workspace is
//! ([`Location`]); how its store is reached ([`open`]); how contents lie in it ([`blobs`]) and come out of it
//! ([`Downloads`], [`archive`]); and what to tell people when that fails ([`Failure`]).

#![forbid(unsafe_code)]

pub mod archive;
pub mod blobs;
mod client;
mod download;
mod failure;
mod location;
mod open;
#[cfg(feature = "testing")]
pub mod testing;
mod variables;

pub use client::Client;
pub use download::{DownloadError, Downloads};
pub use failure::Failure;
pub use location::{Location, LocationError, Scheme};
pub use open::{OpenError, Patience, open};
pub use variables::{Variable, environment};
