//! Data sources.

use async_trait::async_trait;

use super::context::{Context, ValidateContext};
use super::resource::{model, validate};
use crate::diagnostic::Diagnostics;
use crate::model::{Field, Model};
use crate::schema::Schema;
use crate::value::Value;

/// Something that exists already and is only looked up.
#[async_trait]
pub trait DataSource: Send + Sync + 'static {
    /// What the provider made of its configuration.
    type Data: Send + Sync + 'static;

    /// The arguments and the results.
    type Model: Model;

    /// The name in configurations, such as `azureml_model`.
    const NAME: &'static str;

    /// What the user may write, and what comes back (computed).
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond what the schema says. Values may be unknown.
    fn validate(&self, context: &mut ValidateContext, config: &Self::Model) -> Result<(), Diagnostics> {
        let _ = (context, config);
        Ok(())
    }

    /// Looks it up. All arguments are known; the results are null in `config`.
    async fn read(&self, context: &mut Context<Self::Data>, config: Self::Model) -> Result<Self::Model, Diagnostics>;
}

/// A [`DataSource`] of any model; every one is this by itself.
#[async_trait]
#[doc(hidden)]
pub trait AnyDataSource<D>: Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self) -> Schema;
    fn fields(&self) -> &'static [&'static str];
    fn validate(&self, context: &mut ValidateContext, config: Value) -> Result<(), Diagnostics>;
    async fn read(&self, context: &mut Context<D>, config: Value) -> Result<Value, Diagnostics>;
}

#[async_trait]
impl<S: DataSource> AnyDataSource<S::Data> for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn schema(&self) -> Schema {
        DataSource::schema(self)
    }

    fn fields(&self) -> &'static [&'static str] {
        S::Model::FIELDS
    }

    fn validate(&self, context: &mut ValidateContext, config: Value) -> Result<(), Diagnostics> {
        validate(config, |config| DataSource::validate(self, context, config))
    }

    async fn read(&self, context: &mut Context<S::Data>, config: Value) -> Result<Value, Diagnostics> {
        Ok(DataSource::read(self, context, model(config)?).await?.to_value())
    }
}
