//! `data.azureml_webservice`: a webservice that exists already.

use std::collections::BTreeMap;

use tfplugin::schema::check_string;
use tfplugin::{
    Attr, Attribute, Context, DataSource, Diagnostic, Diagnostics, Model, Resource as _, Schema, Type, async_trait,
};

use crate::cluster::ServiceId;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::resources::webservice::WebserviceResource;
use crate::resources::webservice::model::Webservice;

/// The data source.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebserviceData;

/// What is looked up and found.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct WebserviceLookup {
    pub id: String,
    pub name: Attr<String>,
    pub compute_id: Attr<String>,
    pub model_ids: Attr<Vec<String>>,
    pub environment_id: Attr<String>,
    pub environment_version: Attr<i64>,
    pub code_digest: Attr<String>,
    pub num_replicas: Attr<i64>,
    pub replica_max_concurrent_requests: Attr<i64>,
    pub max_request_wait_time: Attr<i64>,
    pub scoring_timeout_ms: Attr<i64>,
    pub auth_enabled: Attr<bool>,
    pub token_auth_enabled: Attr<bool>,
    pub description: Attr<String>,
    pub tags: Attr<BTreeMap<String, String>>,
    pub properties: Attr<BTreeMap<String, String>>,
    pub scoring_uri: Attr<String>,
    pub swagger_uri: Attr<String>,
    pub state: Attr<String>,
    pub created_time: Attr<String>,
    pub updated_time: Attr<String>,
}

/// The rule of the attributes that name a webservice.
pub(crate) fn service_id(description: &str) -> Attribute {
    Attribute::string(description).required().validate(check_string("the id of a webservice", |id| {
        id.parse::<ServiceId>().map(|_| ()).map_err(|problem| format!("{problem}."))
    }))
}

#[async_trait]
impl DataSource for WebserviceData {
    type Data = Settings;
    type Model = WebserviceLookup;
    const NAME: &'static str = "azureml_webservice";

    fn schema(&self) -> Schema {
        let text = |description: &str| Attribute::string(description).computed();
        let number = |description: &str| Attribute::number(description).computed();
        Schema::new(
            "A webservice that exists already. Its keys are read by the ephemeral resource `azureml_webservice_keys`.",
        )
        .attribute("id", service_id("`<compute id>/services/<name>`."))
        .attribute("name", text("Name."))
        .attribute("compute_id", text("Id of the compute that it runs on."))
        .attribute("model_ids", Attribute::list(Type::String, "Model versions that it serves.").computed())
        .attribute("environment_id", text("Id of the environment that the script runs in."))
        .attribute("environment_version", number("Version of that environment."))
        .attribute("code_digest", text("Digest of the code."))
        .attribute("num_replicas", number("Number of replicas."))
        .attribute("replica_max_concurrent_requests", number("Requests that one replica runs at once."))
        .attribute("max_request_wait_time", number("Longest wait of a request for a free replica, in milliseconds."))
        .attribute("scoring_timeout_ms", number("Longest time of a request, in milliseconds."))
        .attribute("auth_enabled", Attribute::bool("Whether callers must send a key.").computed())
        .attribute("token_auth_enabled", Attribute::bool("Whether callers must send a token.").computed())
        .attribute("description", text("Free text."))
        .attribute("tags", Attribute::map(Type::String, "Labels that may change.").computed())
        .attribute("properties", Attribute::map(Type::String, "Labels that only grow.").computed())
        .attribute("scoring_uri", text("Where the models answer."))
        .attribute("swagger_uri", text("Where the description of the service's input and output is."))
        .attribute("state", text("`Healthy`, `Unhealthy` or `Transitioning`."))
        .attribute("created_time", text("When it was created, as RFC 3339."))
        .attribute("updated_time", text("When it was last changed, as RFC 3339."))
    }

    async fn read(
        &self,
        context: &mut Context<Settings>,
        config: WebserviceLookup,
    ) -> Result<WebserviceLookup, Diagnostics> {
        let id: ServiceId = config.id.parse().or_explain("Invalid id of a webservice")?;
        let known = Webservice { id: config.id.as_str().into(), ..Webservice::default() };
        let Some(found) = WebserviceResource.read(context, known).await? else {
            let detail = format!("There is no webservice {id}.");
            return Err(Diagnostic::error(format!("Webservice {} does not exist", id.name), detail)
                .at_attribute("id")
                .into());
        };
        let (deployment, access, labels) = (found.deployment, found.access, found.labels);
        Ok(WebserviceLookup {
            id: config.id,
            name: found.name,
            compute_id: found.compute_id,
            environment_id: deployment.inference().environment_id,
            model_ids: deployment.model_ids.unwrap_or_default().into(),
            environment_version: deployment.environment_version,
            code_digest: deployment.code_digest,
            num_replicas: deployment.num_replicas,
            replica_max_concurrent_requests: deployment.replica_max_concurrent_requests,
            max_request_wait_time: deployment.max_request_wait_time,
            scoring_timeout_ms: deployment.scoring_timeout_ms,
            token_auth_enabled: access.token_auth_enabled,
            auth_enabled: access.auth_enabled,
            description: labels.description,
            tags: labels.tags.unwrap_or_default().into(),
            properties: labels.properties.unwrap_or_default().into(),
            scoring_uri: found.scoring_uri,
            swagger_uri: found.swagger_uri,
            state: found.state,
            created_time: found.created_time,
            updated_time: found.updated_time,
        })
    }
}
