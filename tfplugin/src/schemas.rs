//! All of a provider's schemas at once, for documentation.

use std::collections::BTreeMap;

use crate::provider::{Provider, Signature};
use crate::schema::Schema;

/// Everything that a provider offers, by name.
#[derive(Clone, Debug)]
pub struct ProviderSchemas {
    /// The provider block.
    pub provider: Schema,
    /// The resources.
    pub resources: BTreeMap<String, Schema>,
    /// The data sources.
    pub data_sources: BTreeMap<String, Schema>,
    /// The ephemeral resources.
    pub ephemeral_resources: BTreeMap<String, Schema>,
    /// The functions.
    pub functions: BTreeMap<String, Signature>,
}

impl ProviderSchemas {
    /// Asks a provider.
    pub fn of<P: Provider>(provider: &P) -> Self {
        Self {
            provider: provider.schema(),
            resources: provider.resources().iter().map(|r| (r.name().into(), r.schema())).collect(),
            data_sources: provider.data_sources().iter().map(|d| (d.name().into(), d.schema())).collect(),
            ephemeral_resources: provider.ephemeral_resources().iter().map(|e| (e.name().into(), e.schema())).collect(),
            functions: provider.functions().iter().map(|f| (f.name().into(), f.signature())).collect(),
        }
    }
}
