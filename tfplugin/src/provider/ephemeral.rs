//! Ephemeral resources: what must never enter plan or state.

use std::time::SystemTime;

use async_trait::async_trait;

use super::context::{Context, ValidateContext};
use super::resource::{model, validate};
use crate::diagnostic::Diagnostics;
use crate::model::{Field, Model};
use crate::schema::Schema;
use crate::value::Value;

/// An opened ephemeral resource.
#[derive(Clone, Debug)]
pub struct Opened<M> {
    /// The arguments and the results.
    pub model: M,
    /// When Terraform has to call [`EphemeralResource::renew`], if ever.
    pub renew_at: Option<SystemTime>,
}

impl<M> From<M> for Opened<M> {
    fn from(model: M) -> Self {
        Self { model, renew_at: None }
    }
}

/// Something that exists only while Terraform runs. What renew and close need travels in [`Context::private`].
#[async_trait]
pub trait EphemeralResource: Send + Sync + 'static {
    /// What the provider made of its configuration.
    type Data: Send + Sync + 'static;

    /// The arguments and the results.
    type Model: Model;

    /// The name in configurations, such as `azureml_webservice_keys`.
    const NAME: &'static str;

    /// What the user may write, and what comes back (computed).
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond what the schema says. Values may be unknown.
    fn validate(&self, context: &mut ValidateContext, config: &Self::Model) -> Result<(), Diagnostics> {
        let _ = (context, config);
        Ok(())
    }

    /// Opens it. All arguments are known; the results are null in `config`.
    async fn open(
        &self,
        context: &mut Context<Self::Data>,
        config: Self::Model,
    ) -> Result<Opened<Self::Model>, Diagnostics>;

    /// Keeps it open; returns when to call again.
    async fn renew(&self, context: &mut Context<Self::Data>) -> Result<Option<SystemTime>, Diagnostics> {
        let _ = context;
        Ok(None)
    }

    /// Closes it.
    async fn close(&self, context: &mut Context<Self::Data>) -> Result<(), Diagnostics> {
        let _ = context;
        Ok(())
    }
}

/// An [`EphemeralResource`] of any model; every one is this by itself.
#[async_trait]
#[doc(hidden)]
pub trait AnyEphemeralResource<D>: Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self) -> Schema;
    fn fields(&self) -> &'static [&'static str];
    fn validate(&self, context: &mut ValidateContext, config: Value) -> Result<(), Diagnostics>;
    async fn open(&self, context: &mut Context<D>, config: Value) -> Result<Opened<Value>, Diagnostics>;
    async fn renew(&self, context: &mut Context<D>) -> Result<Option<SystemTime>, Diagnostics>;
    async fn close(&self, context: &mut Context<D>) -> Result<(), Diagnostics>;
}

#[async_trait]
impl<E: EphemeralResource> AnyEphemeralResource<E::Data> for E {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn schema(&self) -> Schema {
        EphemeralResource::schema(self)
    }

    fn fields(&self) -> &'static [&'static str] {
        E::Model::FIELDS
    }

    fn validate(&self, context: &mut ValidateContext, config: Value) -> Result<(), Diagnostics> {
        validate(config, |config| EphemeralResource::validate(self, context, config))
    }

    async fn open(&self, context: &mut Context<E::Data>, config: Value) -> Result<Opened<Value>, Diagnostics> {
        let opened = EphemeralResource::open(self, context, model(config)?).await?;
        Ok(Opened { model: opened.model.to_value(), renew_at: opened.renew_at })
    }

    async fn renew(&self, context: &mut Context<E::Data>) -> Result<Option<SystemTime>, Diagnostics> {
        EphemeralResource::renew(self, context).await
    }

    async fn close(&self, context: &mut Context<E::Data>) -> Result<(), Diagnostics> {
        EphemeralResource::close(self, context).await
    }
}
