//! Pure functions.

pub mod required_replicas;

use tfplugin::AnyFunction;

/// Every function.
#[must_use]
pub fn all() -> Vec<Box<dyn AnyFunction>> {
    vec![Box::new(required_replicas::RequiredReplicas)]
}
