//! `azureml_webservice_keys`: the keys that callers authenticate with.

use tfplugin::{
    Attr, Attribute, Context, Diagnostic, Diagnostics, EphemeralResource, Model, Opened, Schema, async_trait,
};

use crate::cluster::ServiceId;
use crate::data_sources::webservice::service_id;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;

/// The ephemeral resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebserviceKeys;

/// The keys of a service.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct KeysModel {
    pub webservice_id: String,
    pub primary_key: Attr<String>,
    pub secondary_key: Attr<String>,
}

#[async_trait]
impl EphemeralResource for WebserviceKeys {
    type Data = Settings;
    type Model = KeysModel;
    const NAME: &'static str = "azureml_webservice_keys";

    fn schema(&self) -> Schema {
        let key = |description: &str| Attribute::string(description).computed().sensitive();
        Schema::new("The two keys of a webservice. They never enter plan or state.")
            .attribute("webservice_id", service_id("Id of the webservice."))
            .attribute("primary_key", key("The primary key."))
            .attribute("secondary_key", key("The secondary key."))
    }

    async fn open(&self, _: &mut Context<Settings>, config: KeysModel) -> Result<Opened<KeysModel>, Diagnostics> {
        let id: ServiceId = config.webservice_id.parse().or_explain("Invalid webservice_id")?;
        let failed = || format!("Cannot read the keys of webservice {}", id.name);
        let missing = |what: &str| Diagnostic::error(failed(), format!("{what}.")).at_attribute("webservice_id");
        let cluster = crate::cluster::open(&id.compute).await.or_explain(failed())?;
        let cluster = cluster.ok_or_else(|| missing(&format!("There is no compute {}", id.compute)))?;
        let service = cluster.service(&id.name).await.or_explain(failed())?;
        let service = service.ok_or_else(|| missing(&format!("There is no webservice {id}")))?;
        let keys = match service.auth.keys {
            Some(generation) => cluster.keys(&id.name, generation).await.or_explain(failed())?,
            None => None,
        };
        let keys = keys.ok_or_else(|| missing("Its keys are gone; apply the webservice, which makes new ones"))?;
        Ok(KeysModel { primary_key: keys.primary.key.into(), secondary_key: keys.secondary.key.into(), ..config }
            .into())
    }
}
