//! Environments: from a definition to a lock, and from the lock to a virtual environment.
//!
//! A definition is resolved **once**, at its first apply, and the result is stored with the environment: exact
//! packages with their hashes, the Python version, and the scorer's wheel itself. So a later build, on this machine or
//! another, holds what was tested, whatever the package index or the provider's release say by then.
//!
//! In a workspace with a registry it becomes an image, see [`image`]. On the local compute it becomes a virtual
//! environment, made of the same lock.
//!
//! The virtual environment is below the workspace's root, under a key of everything that it is made of. It is built
//! once per key; see [`build`].

pub mod build;
pub mod definition;
pub mod error;
pub mod image;
pub mod lock;
pub mod process;
pub mod python;
pub mod register;
pub mod uv;
pub mod wheel;

pub use build::{environment_ref, image_ref, prepare};
pub use error::Error;
pub use register::{EnvironmentSpec, Means, register_environment, remove_environment, update_environment};
