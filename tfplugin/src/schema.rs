//! What a user may write: attributes, nested attributes and blocks, with their documentation and rules.

mod attribute;
mod modifier;
mod proto;
mod validator;

use std::collections::BTreeMap;
use std::time::Duration;

pub use attribute::{Attribute, AttributeKind, Nesting, Object};
pub use modifier::{Condition, Modification, PlanModifier};
pub use validator::{Check, Each, Validator, check, check_string, each, integer_between, length_between, one_of};

use crate::types::Type;

/// How many there are of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockNesting {
    /// One, or none: an object or null.
    Single,
    /// Any number, in order: a list.
    List,
    /// Any number, unordered: a set.
    Set,
}

/// A nested block. Prefer nested attributes; blocks are for `timeouts` and what users know as a block.
#[derive(Clone, Debug)]
pub struct Block {
    /// What the documentation says, in Markdown.
    pub description: String,
    /// How many there are.
    pub nesting: BlockNesting,
    /// What is in it.
    pub attributes: Vec<(String, Attribute)>,
}

impl Block {
    /// A block with these attributes.
    pub fn new(nesting: BlockNesting, description: impl Into<String>, object: Object) -> Self {
        Self { description: description.into(), nesting, attributes: object.attributes }
    }

    fn ty(&self) -> Type {
        let object = attribute::object_type(&self.attributes);
        match self.nesting {
            BlockNesting::Single => object,
            BlockNesting::List => Type::list(object),
            BlockNesting::Set => Type::set(object),
        }
    }
}

/// The schema of a provider, resource, data source or ephemeral resource.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Version of the state's shape; a state of an older version goes through the resource's upgraders.
    pub version: i64,
    /// What the documentation says, in Markdown.
    pub description: String,
    /// What to use instead, if this is deprecated.
    pub deprecation: Option<String>,
    /// The attributes in the order of the documentation.
    pub attributes: Vec<(String, Attribute)>,
    /// The blocks.
    pub blocks: Vec<(String, Block)>,
    /// Default time limits by operation, if there is a `timeouts` block.
    pub default_timeouts: BTreeMap<String, Duration>,
}

impl Schema {
    /// A schema without attributes; the description is Markdown.
    pub fn new(description: impl Into<String>) -> Self {
        Self { description: description.into(), ..Self::default() }
    }

    /// Sets the version of the state's shape; it begins with 0.
    #[must_use]
    pub fn version(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// Marks the whole thing as deprecated; the message says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecation = Some(message.into());
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, attribute: Attribute) -> Self {
        self.attributes.push((name.into(), attribute));
        self
    }

    /// Adds a block.
    #[must_use]
    pub fn block(mut self, name: impl Into<String>, block: Block) -> Self {
        self.blocks.push((name.into(), block));
        self
    }

    /// Adds a `timeouts` block with the operations and their defaults, such as `[("create", "30m")]`. The model has a
    /// field `timeouts: Timeouts`.
    ///
    /// # Panics
    /// When a default is not a duration.
    #[must_use]
    pub fn timeouts(mut self, defaults: &[(&str, &str)]) -> Self {
        let mut object = Object::new();
        for (operation, default) in defaults {
            let Some(duration) = crate::model::parse_duration(default) else {
                panic!("`{default}` is not a duration");
            };
            self.default_timeouts.insert((*operation).into(), duration);
            let description =
                format!("How long {operation} may take, such as `90s`, `30m` or `1h30m`. Default `{default}`.");
            let attribute = Attribute::string(description).optional().validate(check_string(
                "a duration such as `90s`, `30m` or `1h30m`",
                |text| match crate::model::parse_duration(text) {
                    Some(_) => Ok(()),
                    None => Err(format!("`{text}` is not a duration such as `90s`, `30m` or `1h30m`")),
                },
            ));
            object = object.attribute(*operation, attribute);
        }
        self.block("timeouts", Block::new(BlockNesting::Single, "Time limits of the operations.", object))
    }

    /// The type of a value of this schema.
    #[must_use]
    pub fn ty(&self) -> Type {
        let attributes = self.attributes.iter().map(|(name, attribute)| (name, attribute.ty()));
        Type::object(attributes.chain(self.blocks.iter().map(|(name, block)| (name, block.ty()))))
    }

    /// What is wrong with the schema itself, or between it and a model's fields; for the provider's own tests, and
    /// reported to Terraform too.
    #[must_use]
    pub fn problems(&self, fields: &[&str]) -> Vec<String> {
        let names: Vec<_> =
            self.attributes.iter().map(|(name, _)| name).chain(self.blocks.iter().map(|(name, _)| name)).collect();
        let mut problems: Vec<String> = names
            .iter()
            .filter(|name| !fields.contains(&name.as_str()))
            .map(|name| format!("the model has no field for `{name}`"))
            .collect();
        problems.extend(
            fields
                .iter()
                .filter(|field| !names.iter().any(|name| name == *field))
                .map(|field| format!("the schema has no attribute for the model's field `{field}`")),
        );
        for (name, attribute) in &self.attributes {
            attribute.problems(name, &mut problems);
        }
        for (block, inner) in &self.blocks {
            for (name, attribute) in &inner.attributes {
                attribute.problems(&format!("{block}.{name}"), &mut problems);
            }
        }
        problems
    }
}
