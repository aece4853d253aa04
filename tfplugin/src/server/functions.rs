//! Functions on the wire.

use super::Inner;
use crate::codec;
use crate::path::AttributePath;
use crate::process::panic;
use crate::proto::{self, StringKind, function};
use crate::provider::{Arguments, FunctionError, Parameter, Provider, Signature};

fn parameter(parameter: &Parameter) -> function::Parameter {
    function::Parameter {
        name: parameter.name.clone(),
        r#type: parameter.ty.to_json_bytes(),
        allow_null_value: parameter.allow_null,
        // Terraform answers a call with unknown arguments by itself.
        allow_unknown_values: false,
        description: parameter.description.clone(),
        description_kind: StringKind::Markdown.into(),
    }
}

pub(super) fn signature(signature: &Signature) -> proto::Function {
    proto::Function {
        parameters: signature.parameters.iter().map(parameter).collect(),
        variadic_parameter: signature.variadic.as_ref().map(parameter),
        r#return: Some(function::Return { r#type: signature.returns.to_json_bytes() }),
        summary: signature.summary.clone(),
        description: signature.description.clone(),
        description_kind: StringKind::Markdown.into(),
        deprecation_message: signature.deprecation.clone().unwrap_or_default(),
    }
}

impl<P: Provider> Inner<P> {
    pub(super) fn call_function(
        &self,
        request: &proto::call_function::Request,
    ) -> Result<proto::DynamicValue, FunctionError> {
        let name = &request.name;
        let function = self
            .functions
            .get(name.as_str())
            .ok_or_else(|| FunctionError::new(format!("This release of the provider has no function `{name}`.")))?;
        let bug = |what: String| {
            FunctionError::new(format!("{what}. This is a bug in the provider. Please report it to its developers."))
        };
        panic::catch_blocking(|| {
            let signature = function.signature();
            let arguments = request
                .arguments
                .iter()
                .enumerate()
                .map(|(position, argument)| {
                    let ty = signature
                        .argument_type(position)
                        .ok_or_else(|| FunctionError::argument(position, "There is one argument too many."))?;
                    codec::decode(Some(argument), ty)
                        .map_err(|error| FunctionError::argument(position, format!("{error}.")))
                })
                .collect::<Result<_, _>>()?;
            let result = function.call(&Arguments(arguments))?;
            let result = result.conform(&signature.returns, &AttributePath::root());
            let result = result.and_then(|result| codec::encode(result, &signature.returns));
            result.map_err(|error| bug(format!("The result of `{name}` does not have its type: {error}")))
        })
        .unwrap_or_else(|report| Err(bug(format!("`{name}` panicked at {}: {}", report.location, report.message))))
    }
}
