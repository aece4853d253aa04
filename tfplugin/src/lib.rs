//! Terraform plugin protocol 6 for Rust.
//!
//! A provider is a type that implements [`Provider`] and lists its [`Resource`]s, [`DataSource`]s,
//! [`EphemeralResource`]s and [`Function`]s. Each has a [`Schema`] for users and a [`Model`], an ordinary struct with
//! `#[derive(Model)]`, for its own code. [`server::ProviderServer`] does the rest: decoding, validation, defaults, the plan
//! algorithm, time limits, partial state, and turning panics into messages.
//!
//! `AUTHORING.md` beside this crate shows one of each.

#[cfg(test)]
#[allow(unused_extern_crates, reason = "derived code names the crate as its users see it")]
extern crate self as tfplugin;

pub mod codec;
mod diagnostic;
mod error;
mod model;
mod number;
mod path;
pub mod process;
pub mod proto;
mod provider;
pub mod schema;
mod schemas;
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod types;
mod value;

/// For implementing the traits with asynchronous methods.
pub use async_trait::async_trait;
pub use diagnostic::{Diagnostic, Diagnostics, OrDiagnostic, Severity};
pub use error::ValueError;
#[doc(hidden)]
pub use model::derived;
pub use model::{Attr, Empty, Field, Model, Timeouts, parse_duration};
pub use number::{Number, NumberError};
pub use path::{AttributePath, Step};
pub use process::{Stop, serve};
pub use provider::{
    AnyDataSource, AnyEphemeralResource, AnyFunction, AnyResource, Arguments, Context, DataSource, EphemeralResource,
    Function, FunctionError, Interrupt, Opened, Parameter, Plan, PlanKind, Private, Provider, Resource, Signature,
    Upgrader, ValidateContext,
};
pub use schema::{Attribute, Block, BlockNesting, Nesting, Object, Schema};
pub use schemas::ProviderSchemas;
pub use tfplugin_derive::Model;
pub use types::{Type, TypeError};
pub use value::{Refinements, Value};
