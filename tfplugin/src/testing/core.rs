//! The connection to a provider and what it says about itself.

use std::collections::BTreeMap;

use tonic::transport::Channel;

use super::error::{self, CoreError, Message};
use super::host::{Host, Served};
use super::shape::Shape;
use super::state::Config;
use crate::codec;
use crate::process::{Environment, Network, panic};
use crate::proto::provider_client::ProviderClient;
use crate::proto::{
    ClientCapabilities, DynamicValue, configure_provider, get_provider_schema, stop_provider, validate_provider_config,
};
use crate::provider::Provider;
use crate::server::ProviderServer;
use crate::types::Type;
use crate::value::Value;

/// The version that the double says it is.
const TERRAFORM_VERSION: &str = "1.11.4";

const MESSAGE_LIMIT: usize = crate::process::server::MESSAGE_LIMIT;

/// A running provider, driven as Terraform drives it.
///
/// Everything takes `&self`, so a test may run operations at once, as Terraform does with ten.
#[derive(Debug)]
pub struct Core {
    pub(super) client: ProviderClient<Channel>,
    pub(super) schemas: Schemas,
    /// Held so that the provider ends with the double.
    served: Option<Served>,
}

/// The answer to `GetProviderSchema`, in Core's own form.
#[derive(Debug)]
pub(super) struct Schemas {
    pub(super) provider: Kind,
    pub(super) resources: BTreeMap<String, Kind>,
    pub(super) data_sources: BTreeMap<String, Kind>,
    pub(super) ephemeral: BTreeMap<String, Kind>,
    pub(super) functions: BTreeMap<String, crate::proto::Function>,
    pub(super) plan_destroy: bool,
}

/// The schema of one thing.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) version: i64,
    pub(super) shape: Shape,
    pub(super) ty: Type,
}

impl Core {
    /// Starts a provider and configures it with an empty provider block. Needs a tokio runtime.
    pub async fn start<P: Provider>(provider: P) -> Result<Self, CoreError> {
        Self::start_with(provider, Value::Object(BTreeMap::new())).await
    }

    /// Starts a provider and configures it.
    pub async fn start_with<P: Provider>(provider: P, config: impl Into<Config>) -> Result<Self, CoreError> {
        // Other threads of a test process panic in their own right.
        panic::install(panic::Unguarded::Delegate);
        let host = Host::new()?;
        let environment = Environment::from_iter(host.environment());
        let served = Served::start(ProviderServer::new(provider), &environment, Network::Platform)?;
        let channel = host.connect(&served.handshake).await?;
        let mut core = Self::attach(channel).await?;
        core.served = Some(served);
        core.configure(config).await?;
        Ok(core)
    }

    /// Drives a provider that is already connected, and not yet configured.
    pub async fn attach(channel: Channel) -> Result<Self, CoreError> {
        let mut client = ProviderClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let answer = client.get_provider_schema(get_provider_schema::Request {}).await?.into_inner();
        error::check(&answer.diagnostics)?;
        let kinds = |schemas: BTreeMap<String, crate::proto::Schema>| {
            schemas.iter().map(|(name, schema)| Ok((name.clone(), Kind::of(schema)?))).collect::<Result<_, CoreError>>()
        };
        let schemas = Schemas {
            provider: Kind::of(&answer.provider.unwrap_or_default())?,
            resources: kinds(answer.resource_schemas)?,
            data_sources: kinds(answer.data_source_schemas)?,
            ephemeral: kinds(answer.ephemeral_resource_schemas)?,
            functions: answer.functions,
            plan_destroy: answer.server_capabilities.is_some_and(|server| server.plan_destroy),
        };
        Ok(Self { client, schemas, served: None })
    }

    /// Validates a provider block and configures the provider with it. Returns the warnings.
    pub async fn configure(&self, config: impl Into<Config>) -> Result<Vec<Message>, CoreError> {
        let ty = &self.schemas.provider.ty;
        let config = codec::encode(config.into().fit(ty)?, ty)?;
        let mut client = self.client.clone();
        let validate = validate_provider_config::Request { config: Some(config.clone()) };
        let mut messages = error::check(&client.validate_provider_config(validate).await?.into_inner().diagnostics)?;
        let configure = configure_provider::Request {
            terraform_version: TERRAFORM_VERSION.into(),
            config: Some(config),
            client_capabilities: Some(capabilities()),
        };
        messages.extend(error::check(&client.configure_provider(configure).await?.into_inner().diagnostics)?);
        Ok(messages)
    }

    /// Asks running operations to end, as Terraform does on Ctrl-C.
    pub async fn stop(&self) -> Result<(), CoreError> {
        let answer = self.client.clone().stop_provider(stop_provider::Request {}).await?.into_inner();
        match answer.error.as_str() {
            "" => Ok(()),
            error => Err(CoreError::Start(error.to_owned())),
        }
    }

    pub(super) fn resource(&self, name: &str) -> Result<&Kind, CoreError> {
        find(&self.schemas.resources, "resource", name)
    }
}

impl Kind {
    fn of(schema: &crate::proto::Schema) -> Result<Self, CoreError> {
        let shape = Shape::of(schema)?;
        Ok(Self { version: schema.version, ty: shape.ty(), shape })
    }

    pub(super) fn fit(&self, config: impl Into<Config>) -> Result<Value, CoreError> {
        Ok(config.into().fit(&self.ty)?)
    }

    pub(super) fn encode(&self, value: &Value) -> Result<Option<DynamicValue>, CoreError> {
        Ok(Some(codec::encode(value.clone(), &self.ty)?))
    }

    pub(super) fn decode(&self, value: Option<&DynamicValue>) -> Result<Value, CoreError> {
        Ok(codec::decode(value, &self.ty)?)
    }
}

pub(super) fn find<'a, T>(all: &'a BTreeMap<String, T>, kind: &'static str, name: &str) -> Result<&'a T, CoreError> {
    all.get(name).ok_or_else(|| CoreError::NoSuchType { kind, name: name.to_owned() })
}

pub(super) fn capabilities() -> ClientCapabilities {
    ClientCapabilities { deferral_allowed: false, write_only_attributes_allowed: true }
}
