//! Rules for planned changes of an attribute.

use std::fmt;
use std::sync::Arc;

use crate::path::AttributePath;
use crate::value::Value;

/// One attribute in a planned change.
#[derive(Debug)]
pub struct Modification<'a> {
    /// Where the attribute is.
    pub path: &'a AttributePath,
    /// What the user wrote.
    pub config: &'a Value,
    /// What the state holds; null when there is none.
    pub prior: &'a Value,
    /// What is planned so far.
    pub planned: &'a Value,
}

/// A condition on a planned change.
pub type Condition = Arc<dyn Fn(&Modification<'_>) -> bool + Send + Sync>;

/// What happens to an attribute when a change is planned.
#[derive(Clone)]
pub enum PlanModifier {
    /// An unknown planned value becomes the state's, if there is one.
    UseStateForUnknown,
    /// A change replaces the object.
    RequiresReplace,
    /// A change replaces the object if the condition holds; the text completes "A change replaces the object if ...".
    RequiresReplaceIf(String, Condition),
}

impl fmt::Debug for PlanModifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UseStateForUnknown => f.write_str("UseStateForUnknown"),
            Self::RequiresReplace => f.write_str("RequiresReplace"),
            Self::RequiresReplaceIf(documentation, _) => write!(f, "RequiresReplaceIf({documentation:?})"),
        }
    }
}
