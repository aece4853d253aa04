//! The router over its sockets. One program, so that it is linked once.

mod cluster;
mod control;
mod credentials;
mod endpoints;
mod failures;
mod hop;
mod hostile;
mod issuers;
mod routing;
mod slots;
mod streaming;
mod supervise;
mod support;
mod tokens;
