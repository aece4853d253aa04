//! Services on a real cluster, by the real terraform. One program, so that it is linked once.

#![allow(clippy::print_stderr, reason = "tests under load show how much they saw")]

mod cluster_wide;
mod examples;
mod failures;
mod lifecycle;
mod logs;
mod ownership;
mod rights;
mod rollouts;
mod security;
mod slots;
