//! The provider block, and what the provider offers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tfplugin::{
    AnyDataSource, AnyEphemeralResource, AnyFunction, AnyResource, Attr, Attribute, Diagnostic, Diagnostics, Model,
    Provider, Schema, ValidateContext,
};

use crate::connections::{self, ConnectionBlock, Connections};
use crate::environment::wheel::Scorers;
use crate::registry::{self, Registries, RegistryBlock};
use crate::storage::{self, Storage, StorageBlock};
use crate::workspace::{self, Catalogue, WorkspaceId};
use crate::{data_sources, ephemeral, functions, resources};

/// The provider block.
#[derive(Clone, Debug, Default, Model)]
pub struct Config {
    /// See the schema.
    pub owner: Attr<String>,
    /// See the schema.
    pub storage: Attr<StorageBlock>,
    /// See the schema.
    pub kubernetes: Attr<BTreeMap<String, Attr<ConnectionBlock>>>,
    /// See the schema.
    pub registry: Attr<RegistryBlock>,
}

/// What resources and data sources work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who owns what is created. Empty while the configuration is not known, which only happens when planning.
    pub owner: String,
    /// Where wheels of the scorer are.
    pub scorers: Scorers,
    /// How remote stores are reached.
    pub storage: Storage,
    /// How Kubernetes clusters are reached.
    pub connections: Connections,
    /// How registries are reached, and images built.
    pub registries: Registries,
}

impl Settings {
    /// The catalogue of a workspace.
    pub fn catalogue(&self, workspace: &WorkspaceId) -> Result<Catalogue, workspace::Error> {
        Ok(Catalogue::open(workspace, &self.storage)?.seeing(Arc::new(self.connections.clone())))
    }
}

/// The provider.
#[derive(Clone, Debug)]
pub struct AzureMl {
    scorers: Scorers,
}

impl Default for AzureMl {
    fn default() -> Self {
        Self { scorers: Scorers::installed() }
    }
}

impl AzureMl {
    /// A provider that takes scorers from elsewhere than from beside its program.
    #[must_use]
    pub const fn with_scorers(scorers: Scorers) -> Self {
        Self { scorers }
    }
}

#[tfplugin::async_trait]
impl Provider for AzureMl {
    type Data = Settings;
    type Config = Config;
    const NAME: &'static str = "azureml";
    const ADDRESS: &'static str = "registry.terraform.io/openazureml/azureml";

    fn schema(&self) -> Schema {
        Schema::new(
            "Deploys machine learning models as HTTPS services, in the manner of Azure Machine Learning v1 and without it: \
             workspaces, models, environments, and webservices on this machine or on Kubernetes clusters.",
        )
        .attribute(
            "owner",
            Attribute::string(
                "Who owns what is created, as text. What another owner has created is never adopted. Default: \
                 `<user>@<host>:<working directory>`. Set it where several machines apply the same state, such as CI runners.",
            )
            .optional()
            .validate(tfplugin::schema::length_between(1..=256)),
        )
        .attribute("storage", storage::attribute())
        .attribute(connections::NAME, connections::attribute())
        .attribute("registry", registry::attribute())
    }

    fn validate(&self, _: &mut ValidateContext, config: &Config) -> Result<(), Diagnostics> {
        connections::check(&config.kubernetes).into_result()
    }

    async fn configure(&self, config: Config, _: &str) -> Result<Settings, Diagnostics> {
        let owner = match config.owner {
            Attr::Known(owner) => owner,
            Attr::Unknown => String::new(),
            Attr::Null => default_owner().map_err(|source| {
                Diagnostic::error(
                    "Cannot tell the working directory",
                    format!("The owner of what is created includes it: {source}. Set the provider's `owner`."),
                )
                .at_attribute("owner")
            })?,
        };
        let block = match config.storage {
            Attr::Known(block) => block,
            Attr::Unknown => StorageBlock::unknown(),
            Attr::Null => StorageBlock::default(),
        };
        let storage = Storage::new(&block, |name| std::env::var(name).ok());
        let connections = Connections::new(config.kubernetes, |name| std::env::var(name).ok());
        let registries = Registries::new(&config.registry.known().unwrap_or_default(), |name| std::env::var(name).ok());
        Ok(Settings { owner, scorers: self.scorers.clone(), storage, connections, registries })
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource<Settings>>> {
        resources::all()
    }

    fn data_sources(&self) -> Vec<Box<dyn AnyDataSource<Settings>>> {
        data_sources::all()
    }

    fn ephemeral_resources(&self) -> Vec<Box<dyn AnyEphemeralResource<Settings>>> {
        ephemeral::all()
    }

    fn functions(&self) -> Vec<Box<dyn AnyFunction>> {
        functions::all()
    }
}

fn default_owner() -> std::io::Result<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME")).or_else(|| variable("USERNAME"));
    let directory = std::env::current_dir()?;
    Ok(format!("{}@{}:{}", user.unwrap_or_else(user_id), host(), directory.display()))
}

#[cfg(unix)]
fn user_id() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn user_id() -> String {
    "unknown".to_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
}
