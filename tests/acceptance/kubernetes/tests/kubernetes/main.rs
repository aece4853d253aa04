//! Services on a real cluster, by the real terraform. One program, so that it is linked once.

mod examples;
mod failures;
mod lifecycle;
mod rollouts;
mod security;
mod slots;
