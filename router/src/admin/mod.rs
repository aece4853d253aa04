//! The admin socket: the supervisor's side, and the side of the commands that ask it.

pub mod client;
pub(crate) mod server;

/// Longest request line in bytes.
const MAX_REQUEST: usize = 64 << 10;
/// Longest answer line in bytes.
const MAX_RESPONSE: usize = 64 << 20;
