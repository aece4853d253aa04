//! What a provider's author implements.

mod context;
mod data_source;
mod ephemeral;
mod function;
mod private;
mod resource;

pub use context::{Context, Interrupt, ValidateContext};
pub use data_source::{AnyDataSource, DataSource};
pub use ephemeral::{AnyEphemeralResource, EphemeralResource, Opened};
pub use function::{AnyFunction, Arguments, Function, FunctionError, Parameter, Signature};
pub use private::Private;
pub(crate) use resource::PlanValues;
pub use resource::{AnyResource, Plan, PlanKind, Resource, Upgrader};

use async_trait::async_trait;

use crate::diagnostic::Diagnostics;
use crate::model::Model;
use crate::schema::Schema;

/// A provider: its configuration, and what it offers.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What resources and data sources work with: clients, settings.
    type Data: Send + Sync + 'static;

    /// The provider block. Any of its values may be unknown while planning, so its fields are [`crate::Attr`]s.
    type Config: Model;

    /// The type name that begins the names of all resources, such as `azureml`.
    const NAME: &'static str;

    /// The address in the registry, such as `registry.terraform.io/openazureml/azureml`.
    const ADDRESS: &'static str;

    /// The schema of the provider block.
    fn schema(&self) -> Schema;

    /// Checks the provider block beyond what the schema says. Not called while something is unknown that the model
    /// cannot hold.
    fn validate(&self, context: &mut ValidateContext, config: &Self::Config) -> Result<(), Diagnostics> {
        let _ = (context, config);
        Ok(())
    }

    /// Makes the data from the provider block. Must not need a network: Terraform configures a provider also when it
    /// only plans. The terraform version is such as `1.11.4`.
    async fn configure(&self, config: Self::Config, terraform_version: &str) -> Result<Self::Data, Diagnostics>;

    /// The resources.
    fn resources(&self) -> Vec<Box<dyn AnyResource<Self::Data>>> {
        Vec::new()
    }

    /// The data sources.
    fn data_sources(&self) -> Vec<Box<dyn AnyDataSource<Self::Data>>> {
        Vec::new()
    }

    /// The ephemeral resources.
    fn ephemeral_resources(&self) -> Vec<Box<dyn AnyEphemeralResource<Self::Data>>> {
        Vec::new()
    }

    /// The functions.
    fn functions(&self) -> Vec<Box<dyn AnyFunction>> {
        Vec::new()
    }
}
