//! `azureml_webservice_keys` and `azureml_endpoint_keys`: the keys that callers authenticate with.

use serving::service::Kind;
use tfplugin::{
    Attr, Attribute, Context, Diagnostic, Diagnostics, EphemeralResource, Model, Opened, Schema, async_trait,
};

use crate::access::present_keys;
use crate::cluster::{EndpointId, ServiceId};
use crate::data_sources::endpoint::endpoint_id;
use crate::data_sources::webservice::service_id;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::workspace::ComputeId;

/// The keys of a webservice.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebserviceKeys;

/// The keys of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointKeys;

/// The keys of a webservice, and whose they are.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct WebserviceKeysModel {
    pub webservice_id: String,
    #[model(flatten)]
    pub keys: KeysModel,
}

/// The keys of an endpoint, and whose they are.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct EndpointKeysModel {
    pub endpoint_id: String,
    #[model(flatten)]
    pub keys: KeysModel,
}

/// Both keys.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct KeysModel {
    pub primary_key: Attr<String>,
    pub secondary_key: Attr<String>,
}

fn keys(all: Schema) -> Schema {
    let key = |description: &str| Attribute::string(description).computed().sensitive();
    all.attribute("primary_key", key("The primary key.")).attribute("secondary_key", key("The secondary key."))
}

#[async_trait]
impl EphemeralResource for WebserviceKeys {
    type Data = Settings;
    type Model = WebserviceKeysModel;
    const NAME: &'static str = "azureml_webservice_keys";

    fn schema(&self) -> Schema {
        keys(
            Schema::new("The two keys of a webservice. They never enter plan or state.")
                .attribute("webservice_id", service_id("Id of the webservice.")),
        )
    }

    async fn open(
        &self,
        context: &mut Context<Settings>,
        config: WebserviceKeysModel,
    ) -> Result<Opened<WebserviceKeysModel>, Diagnostics> {
        let id: ServiceId = config.webservice_id.parse().or_explain("Invalid webservice_id")?;
        let keys = read(&context.data(), &id.compute, &id.name, Kind::Webservice).await?;
        Ok(WebserviceKeysModel { keys, ..config }.into())
    }
}

#[async_trait]
impl EphemeralResource for EndpointKeys {
    type Data = Settings;
    type Model = EndpointKeysModel;
    const NAME: &'static str = "azureml_endpoint_keys";

    fn schema(&self) -> Schema {
        keys(
            Schema::new("The two keys of an endpoint, which all its versions share. They never enter plan or state.")
                .attribute("endpoint_id", endpoint_id("Id of the endpoint.")),
        )
    }

    async fn open(
        &self,
        context: &mut Context<Settings>,
        config: EndpointKeysModel,
    ) -> Result<Opened<EndpointKeysModel>, Diagnostics> {
        let id: EndpointId = config.endpoint_id.parse().or_explain("Invalid endpoint_id")?;
        let keys = read(&context.data(), &id.compute, &id.name, Kind::Endpoint).await?;
        Ok(EndpointKeysModel { keys, ..config }.into())
    }
}

async fn read(settings: &Settings, compute: &ComputeId, name: &str, kind: Kind) -> Result<KeysModel, Diagnostics> {
    let (noun, attribute) = match kind {
        Kind::Webservice => ("webservice", "webservice_id"),
        Kind::Endpoint => ("endpoint", "endpoint_id"),
    };
    let failed = || format!("Cannot read the keys of {noun} {name}");
    let missing = |what: String| Diagnostic::error(failed(), format!("{what}.")).at_attribute(attribute);
    let cluster = crate::cluster::open(compute, settings).await.or_explain(failed())?;
    let cluster = cluster.ok_or_else(|| missing(format!("There is no compute {compute}")))?;
    let service = cluster.service(name).await.or_explain(failed())?.filter(|service| service.kind == kind);
    let service = service.ok_or_else(|| missing(format!("There is no {noun} {name} on compute {compute}")))?;
    let keys = present_keys(&*cluster, &service).await.or_explain(failed())?;
    let keys = keys.ok_or_else(|| missing(format!("Its keys are gone; apply the {noun}, which makes new ones")))?;
    Ok(KeysModel { primary_key: keys.primary.key.into(), secondary_key: keys.secondary.key.into() })
}
