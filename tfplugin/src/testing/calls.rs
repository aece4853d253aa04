//! Data sources, ephemeral resources and functions.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::Value as Json;

use super::core::{Core, capabilities, find};
use super::error::{self, CoreError, Rule, Violation};
use super::rules;
use super::state::{Config, State};
use crate::codec;
use crate::path::AttributePath;
use crate::proto::{
    call_function, close_ephemeral_resource, open_ephemeral_resource, read_data_source, renew_ephemeral_resource,
    validate_data_resource_config, validate_ephemeral_resource_config,
};
use crate::types::Type;
use crate::value::Value;

/// An open ephemeral resource.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    /// What it gave, read as a state is.
    pub result: State,
    /// When it wants to be renewed.
    pub renew_at: Option<SystemTime>,
    private: Option<Bytes>,
}

impl Core {
    /// Reads a data source.
    pub async fn data(&self, type_name: &str, config: impl Into<Config>) -> Result<State, CoreError> {
        let kind = find(&self.schemas.data_sources, "data source", type_name)?;
        let config = kind.fit(config)?;
        let mut client = self.client.clone();
        let validate =
            validate_data_resource_config::Request { type_name: type_name.into(), config: kind.encode(&config)? };
        error::check(&client.validate_data_resource_config(validate).await?.into_inner().diagnostics)?;
        let read = read_data_source::Request {
            type_name: type_name.into(),
            config: kind.encode(&config)?,
            provider_meta: None,
            client_capabilities: Some(capabilities()),
        };
        let answer = client.read_data_source(read).await?.into_inner();
        error::check(&answer.diagnostics)?;
        let value = kind.decode(answer.state.as_ref())?;
        let root = AttributePath::root();
        rules::state_is_final(&kind.shape, &value, &root)?;
        rules::plan_is_valid(&kind.shape, &Value::Null, &config, &value, &root)?;
        Ok(State { type_name: type_name.into(), value, private: Bytes::new(), ty: kind.ty.clone() })
    }

    /// Opens an ephemeral resource.
    pub async fn ephemeral(&self, type_name: &str, config: impl Into<Config>) -> Result<Ephemeral, CoreError> {
        let kind = find(&self.schemas.ephemeral, "ephemeral resource", type_name)?;
        let config = kind.fit(config)?;
        let mut client = self.client.clone();
        let validate =
            validate_ephemeral_resource_config::Request { type_name: type_name.into(), config: kind.encode(&config)? };
        error::check(&client.validate_ephemeral_resource_config(validate).await?.into_inner().diagnostics)?;
        let open = open_ephemeral_resource::Request {
            type_name: type_name.into(),
            config: kind.encode(&config)?,
            client_capabilities: Some(capabilities()),
        };
        let answer = client.open_ephemeral_resource(open).await?.into_inner();
        error::check(&answer.diagnostics)?;
        let value = kind.decode(answer.result.as_ref())?;
        let root = AttributePath::root();
        rules::state_is_final(&kind.shape, &value, &root)?;
        rules::plan_is_valid(&kind.shape, &Value::Null, &config, &value, &root)?;
        Ok(Ephemeral {
            result: State { type_name: type_name.into(), value, private: Bytes::new(), ty: kind.ty.clone() },
            renew_at: answer.renew_at.and_then(time),
            private: answer.private,
        })
    }

    /// Renews an open ephemeral resource.
    pub async fn renew(&self, ephemeral: &mut Ephemeral) -> Result<(), CoreError> {
        let request = renew_ephemeral_resource::Request {
            type_name: ephemeral.result.type_name.clone(),
            private: ephemeral.private.clone(),
        };
        let answer = self.client.clone().renew_ephemeral_resource(request).await?.into_inner();
        error::check(&answer.diagnostics)?;
        ephemeral.renew_at = answer.renew_at.and_then(time);
        ephemeral.private = answer.private;
        Ok(())
    }

    /// Closes an ephemeral resource.
    pub async fn close(&self, ephemeral: Ephemeral) -> Result<(), CoreError> {
        let request =
            close_ephemeral_resource::Request { type_name: ephemeral.result.type_name, private: ephemeral.private };
        let answer = self.client.clone().close_ephemeral_resource(request).await?.into_inner();
        error::check(&answer.diagnostics).map(drop)
    }

    /// Calls a function of the provider, by its name without `provider::`. As in Terraform it must give the same for the
    /// same arguments.
    pub async fn call(&self, function: &str, arguments: impl IntoIterator<Item = Json>) -> Result<Json, CoreError> {
        let signature = find(&self.schemas.functions, "function", function)?;
        let fixed = signature.parameters.iter();
        let parameters = fixed.chain(std::iter::repeat(&signature.variadic_parameter).flatten());
        let arguments = arguments
            .into_iter()
            .zip(parameters)
            .map(|(argument, parameter)| {
                let ty = type_of(&parameter.r#type)?;
                Ok(codec::encode(Config::from(argument).fit(&ty)?, &ty)?)
            })
            .collect::<Result<Vec<_>, CoreError>>()?;
        let request = call_function::Request { name: function.into(), arguments };
        let returned = type_of(&signature.r#return.clone().unwrap_or_default().r#type)?;
        let mut client = self.client.clone();
        let mut call = async || {
            let answer = client.call_function(request.clone()).await?.into_inner();
            if let Some(error) = answer.error {
                return Err(CoreError::Function { text: error.text, argument: error.function_argument });
            }
            Ok(codec::decode(answer.result.as_ref(), &returned)?)
        };
        let (first, second) = (call().await?, call().await?);
        if first != second {
            let detail = format!("the function {function} gave {first:?}, then {second:?}");
            return Err(Violation { rule: Rule::PlanTwice, path: AttributePath::root(), detail }.into());
        }
        let json = codec::to_json(&first, &returned)?;
        serde_json::from_str(&json).map_err(|error| CoreError::Start(error.to_string()))
    }
}

fn type_of(json: &[u8]) -> Result<Type, CoreError> {
    Type::from_json_slice(json).map_err(|error| CoreError::Schema(error.to_string()))
}

fn time(timestamp: prost_types::Timestamp) -> Option<SystemTime> {
    let since_epoch = Duration::new(u64::try_from(timestamp.seconds).ok()?, u32::try_from(timestamp.nanos).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}
