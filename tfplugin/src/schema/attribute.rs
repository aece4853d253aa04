//! One attribute.

use std::sync::Arc;

use super::modifier::{Modification, PlanModifier};
use super::validator::Validator;
use crate::types::Type;
use crate::value::Value;

/// How nested attributes are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// One object.
    Single,
    /// A list of objects.
    List,
    /// A set of objects.
    Set,
    /// A map of objects.
    Map,
}

/// The attributes of a nested object.
#[derive(Clone, Debug, Default)]
pub struct Object {
    pub(crate) attributes: Vec<(String, Attribute)>,
}

impl Object {
    /// No attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, attribute: Attribute) -> Self {
        self.attributes.push((name.into(), attribute));
        self
    }
}

/// What an attribute holds.
#[derive(Clone, Debug)]
pub enum AttributeKind {
    /// A value of a type.
    Plain(Type),
    /// Objects whose attributes have documentation and rules of their own.
    Nested(Nesting, Vec<(String, Attribute)>),
}

/// One attribute. At least one of `required`, `optional`, `computed` must be set; a default makes it optional and computed.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are the independent switches of Terraform's own schema")]
pub struct Attribute {
    /// What it holds.
    pub kind: AttributeKind,
    /// What the documentation says, in Markdown.
    pub description: String,
    /// The user must set it.
    pub required: bool,
    /// The user may set it.
    pub optional: bool,
    /// The provider sets it (when the user does not).
    pub computed: bool,
    /// Terraform hides it in its output.
    pub sensitive: bool,
    /// It exists in the configuration only and never in plan or state.
    pub write_only: bool,
    /// What to use instead, if it is deprecated.
    pub deprecation: Option<String>,
    /// The value when the user sets none.
    pub default: Option<Value>,
    /// Rules that a known value must meet.
    pub validators: Vec<Arc<dyn Validator>>,
    /// What else happens when a change is planned.
    pub modifiers: Vec<PlanModifier>,
}

pub(crate) fn object_type(attributes: &[(String, Attribute)]) -> Type {
    Type::object(attributes.iter().map(|(name, attribute)| (name, attribute.ty())))
}

impl Attribute {
    fn of_kind(kind: AttributeKind, description: impl Into<String>) -> Self {
        Self {
            kind,
            description: description.into(),
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            write_only: false,
            deprecation: None,
            default: None,
            validators: Vec::new(),
            modifiers: Vec::new(),
        }
    }

    /// An attribute of any type.
    pub fn new(ty: Type, description: impl Into<String>) -> Self {
        Self::of_kind(AttributeKind::Plain(ty), description)
    }

    /// A string.
    pub fn string(description: impl Into<String>) -> Self {
        Self::new(Type::String, description)
    }

    /// A bool.
    pub fn bool(description: impl Into<String>) -> Self {
        Self::new(Type::Bool, description)
    }

    /// A number.
    pub fn number(description: impl Into<String>) -> Self {
        Self::new(Type::Number, description)
    }

    /// A list.
    pub fn list(element: Type, description: impl Into<String>) -> Self {
        Self::new(Type::list(element), description)
    }

    /// A set.
    pub fn set(element: Type, description: impl Into<String>) -> Self {
        Self::new(Type::set(element), description)
    }

    /// A map.
    pub fn map(element: Type, description: impl Into<String>) -> Self {
        Self::new(Type::map(element), description)
    }

    /// One nested object.
    pub fn single(object: Object, description: impl Into<String>) -> Self {
        Self::nested(Nesting::Single, object, description)
    }

    /// Nested objects.
    pub fn nested(nesting: Nesting, object: Object, description: impl Into<String>) -> Self {
        Self::of_kind(AttributeKind::Nested(nesting, object.attributes), description)
    }

    /// The user must set it.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The user may set it.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The provider sets it (when the user does not).
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.computed = true;
        self
    }

    /// Hides it in Terraform's output.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Keeps it out of plan and state; the value is in the context's raw configuration only.
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.write_only = true;
        self
    }

    /// Marks it as deprecated; the message says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecation = Some(message.into());
        self
    }

    /// The value when the user sets none; makes the attribute optional and computed.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.optional = true;
        self.computed = true;
        self.default = Some(value.into());
        self
    }

    /// Adds a rule for known values.
    #[must_use]
    pub fn validate(mut self, validator: impl Validator + 'static) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }

    /// A computed value stays what it was unless something says otherwise, so that a plan does not show
    /// "(known after apply)" for it.
    #[must_use]
    pub fn use_state_for_unknown(mut self) -> Self {
        self.modifiers.push(PlanModifier::UseStateForUnknown);
        self
    }

    /// A change destroys the object and creates another.
    #[must_use]
    pub fn requires_replace(mut self) -> Self {
        self.modifiers.push(PlanModifier::RequiresReplace);
        self
    }

    /// A change destroys the object and creates another if the condition holds; `documentation` completes
    /// "A change replaces the object if ...".
    #[must_use]
    pub fn requires_replace_if(
        mut self,
        documentation: impl Into<String>,
        condition: impl Fn(&Modification<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.modifiers.push(PlanModifier::RequiresReplaceIf(documentation.into(), Arc::new(condition)));
        self
    }

    /// The type of its value.
    #[must_use]
    pub fn ty(&self) -> Type {
        match &self.kind {
            AttributeKind::Plain(ty) => ty.clone(),
            AttributeKind::Nested(nesting, attributes) => {
                let object = object_type(attributes);
                match nesting {
                    Nesting::Single => object,
                    Nesting::List => Type::list(object),
                    Nesting::Set => Type::set(object),
                    Nesting::Map => Type::map(object),
                }
            }
        }
    }

    pub(crate) fn problems(&self, path: &str, problems: &mut Vec<String>) {
        if self.description.is_empty() {
            problems.push(format!("`{path}` has no description"));
        }
        if self.required == (self.optional || self.computed) {
            problems.push(format!("`{path}` must be either required, or optional or computed"));
        }
        if self.write_only && self.computed {
            problems.push(format!("`{path}` is write-only and cannot be computed"));
        }
        if let Some(default) = &self.default
            && let Err(error) = default.clone().conform(&self.ty(), &crate::AttributePath::attribute(path))
        {
            problems.push(format!("the default of {error}"));
        }
        if let AttributeKind::Nested(_, attributes) = &self.kind {
            for (name, attribute) in attributes {
                attribute.problems(&format!("{path}.{name}"), problems);
            }
        }
    }
}
