//! Functions: pure, offline, the same result for the same arguments.

use crate::error::ValueError;
use crate::model::Field;
use crate::path::AttributePath;
use crate::types::Type;
use crate::value::Value;

/// One parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name, for messages and documentation.
    pub name: String,
    /// The type.
    pub ty: Type,
    /// What the documentation says, in Markdown.
    pub description: String,
    /// Whether null may be passed; else Terraform refuses it.
    pub allow_null: bool,
}

impl Parameter {
    /// A parameter that must not be null.
    pub fn new(name: impl Into<String>, ty: Type, description: impl Into<String>) -> Self {
        Self { name: name.into(), ty, description: description.into(), allow_null: false }
    }

    /// Lets null be passed.
    #[must_use]
    pub fn allow_null(mut self) -> Self {
        self.allow_null = true;
        self
    }
}

/// What a function takes and gives.
#[derive(Clone, Debug)]
pub struct Signature {
    /// One line, plain text.
    pub summary: String,
    /// What the documentation says, in Markdown.
    pub description: String,
    /// The parameters in order.
    pub parameters: Vec<Parameter>,
    /// What may follow them any number of times.
    pub variadic: Option<Parameter>,
    /// The type of the result.
    pub returns: Type,
    /// What to use instead, if this is deprecated.
    pub deprecation: Option<String>,
}

impl Signature {
    /// A function without parameters.
    pub fn new(summary: impl Into<String>, description: impl Into<String>, returns: Type) -> Self {
        Self {
            summary: summary.into(),
            description: description.into(),
            parameters: Vec::new(),
            variadic: None,
            returns,
            deprecation: None,
        }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Sets what may follow the parameters any number of times.
    #[must_use]
    pub fn variadic(mut self, parameter: Parameter) -> Self {
        self.variadic = Some(parameter);
        self
    }

    /// The type of the argument at a position.
    pub(crate) fn argument_type(&self, position: usize) -> Option<&Type> {
        self.parameters.get(position).or(self.variadic.as_ref()).map(|parameter| &parameter.ty)
    }
}

/// Why a function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// What is wrong, as a sentence.
    pub message: String,
    /// The argument that it is about, from zero.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// An error about no particular argument.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), argument: None }
    }

    /// An error about one argument, from zero.
    pub fn argument(argument: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), argument: Some(argument) }
    }
}

impl From<ValueError> for FunctionError {
    fn from(error: ValueError) -> Self {
        Self::new(format!("{error}."))
    }
}

/// The arguments of a call; all are known.
#[derive(Clone, Debug)]
pub struct Arguments(pub(crate) Vec<Value>);

impl Arguments {
    /// The argument at a position, from zero, as a Rust type.
    pub fn get<T: Field>(&self, position: usize) -> Result<T, FunctionError> {
        let value = self.0.get(position).cloned().unwrap_or_default();
        T::from_value(value, &AttributePath::root()).map_err(|error| {
            let place = if error.path.steps().is_empty() { "The argument".into() } else { format!("`{}`", error.path) };
            FunctionError::argument(position, format!("{place} {}.", error.message))
        })
    }

    /// The arguments from a position on, as one Rust type.
    pub fn rest<T: Field>(&self, from: usize) -> Result<Vec<T>, FunctionError> {
        (from..self.0.len()).map(|position| self.get(position)).collect()
    }
}

/// A function, called in configurations as `provider::<provider>::<name>(...)`.
pub trait Function: Send + Sync + 'static {
    /// The name.
    const NAME: &'static str;

    /// What it takes and gives.
    fn signature(&self) -> Signature;

    /// Computes the result. Must not touch files or the network, or depend on time.
    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError>;
}

/// Any [`Function`]; every one is this by itself.
#[doc(hidden)]
pub trait AnyFunction: Send + Sync {
    fn name(&self) -> &'static str;
    fn signature(&self) -> Signature;
    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError>;
}

impl<F: Function> AnyFunction for F {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn signature(&self) -> Signature {
        Function::signature(self)
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        Function::call(self, arguments)
    }
}
