//! Ports that nothing listens on.

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;

/// A port of 127.0.0.1 that is free now, below those that systems give to outgoing connections.
pub fn free_port() -> u16 {
    let candidate = || 20_000 + u16::try_from(RandomState::new().hash_one(()) % 12_000).expect("small");
    std::iter::repeat_with(candidate)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("an endless iterator")
}
