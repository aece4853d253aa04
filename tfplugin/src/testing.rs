//! A double of Terraform Core, for the tests of providers.
//!
//! [`Core`] starts a provider inside the test's own process, but talks to it as Terraform does: over the real socket,
//! with mutual TLS, in the order of Terraform's calls, with Terraform's proposed new state. It then checks what Terraform
//! checks, and more strictly, as every rule that a provider breaks is an error with the attribute's path.
//!
//! ```no_run
//! # async fn example<P: tfplugin::Provider>(provider: P) -> Result<(), tfplugin::testing::CoreError> {
//! use serde_json::json;
//! use tfplugin::testing::Core;
//!
//! let core = Core::start(provider).await?;
//! let queue = core.create("example_queue", json!({ "name": "a" })).await?;
//! core.assert_settled(&queue, json!({ "name": "a" })).await?;
//! let queue = core.update(&queue, json!({ "name": "a", "size": 7 })).await?;
//! assert_eq!(queue.get("size").as_i64(), Some(7));
//! core.destroy(queue).await?;
//! # Ok(())
//! # }
//! ```

mod calls;
mod certificate;
mod core;
mod error;
mod host;
mod lifecycle;
mod proposed;
mod rules;
mod shape;
mod state;

pub use self::core::Core;
pub use calls::Ephemeral;
pub use error::{CoreError, Message, Rule, Violation};
pub use host::{Host, Served};
pub use lifecycle::{Action, Planned};
pub use state::{Config, State, UNKNOWN};
