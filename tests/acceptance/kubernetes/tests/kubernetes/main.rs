//! Services on a real cluster, by the real terraform. One program, so that it is linked once.

mod failures;
mod lifecycle;
mod logs;
mod ownership;
mod rights;
mod rollouts;
mod security;
