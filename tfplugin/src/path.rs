//! Where in a value something is.

use std::fmt;

use crate::proto;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// An attribute of an object, or a block.
    Attribute(String),
    /// An element of a map.
    Key(String),
    /// An element of a list or a tuple, counted from zero.
    Index(usize),
    /// Some element of a set; the wire has no way to say which.
    Element,
}

/// The way from the root of a configuration or state to one value in it; the empty path is the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributePath(Vec<Step>);

impl AttributePath {
    /// The root.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path of a top-level attribute or block.
    pub fn attribute(name: impl Into<String>) -> Self {
        Self::root().child(name)
    }

    /// One attribute further.
    #[must_use]
    pub fn child(&self, name: impl Into<String>) -> Self {
        self.step(Step::Attribute(name.into()))
    }

    /// One map key further.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// One list element further.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// One step further.
    #[must_use]
    pub fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The steps from the root on.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path as the wire has it, which ends before the first set element.
    pub(crate) fn to_proto(&self) -> Option<proto::AttributePath> {
        use proto::attribute_path::step::Selector;
        let steps: Vec<_> = self
            .0
            .iter()
            .map_while(|step| match step {
                Step::Attribute(name) => Some(Selector::AttributeName(name.clone())),
                Step::Key(key) => Some(Selector::ElementKeyString(key.clone())),
                Step::Index(index) => Some(Selector::ElementKeyInt(i64::try_from(*index).ok()?)),
                Step::Element => None,
            })
            .map(|selector| proto::attribute_path::Step { selector: Some(selector) })
            .collect();
        (!steps.is_empty()).then_some(proto::AttributePath { steps })
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(root)");
        }
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Attribute(name) if position == 0 => f.write_str(name)?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Element => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}
