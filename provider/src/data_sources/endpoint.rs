//! `data.azureml_endpoint`: an endpoint that exists already, and its versions.

use std::collections::BTreeMap;

use serving::admin::ServiceStatus;
use serving::service::{Kind, Service};
use serving::traffic::BasisPoints;
use tfplugin::schema::check_string;
use tfplugin::{
    Attr, Attribute, Context, DataSource, Diagnostic, Diagnostics, Model, Nesting, Number, Object, Schema, Type,
    async_trait,
};

use crate::access::Access;
use crate::cluster::{EndpointId, Error};
use crate::deployment::{document, schema::state, service};
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::resources::endpoint_version::{observed_state, shown_share};

/// The data source.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointData;

/// What is looked up and found.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct EndpointLookup {
    pub id: String,
    pub name: Attr<String>,
    pub compute_id: Attr<String>,
    pub auth_enabled: Attr<bool>,
    pub token_auth_enabled: Attr<bool>,
    pub description: Attr<String>,
    pub tags: Attr<BTreeMap<String, String>>,
    pub properties: Attr<BTreeMap<String, String>>,
    pub default_version: Attr<String>,
    pub versions: Attr<BTreeMap<String, VersionView>>,
    pub state: Attr<String>,
    pub scoring_uri: Attr<String>,
    pub swagger_uri: Attr<String>,
    pub created_time: Attr<String>,
    pub updated_time: Attr<String>,
}

/// One of its versions.
#[derive(Clone, Debug, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct VersionView {
    pub traffic_percentile: Number,
    pub served_percentile: Number,
    pub is_default: bool,
    pub is_control_version_type: bool,
    pub model_ids: Vec<String>,
    pub environment_id: String,
    pub num_replicas: i64,
    pub ready_replicas: Attr<i64>,
    pub state: String,
}

/// The rule of the attributes that name an endpoint.
pub(crate) fn endpoint_id(description: &str) -> Attribute {
    Attribute::string(description).required().validate(check_string("the id of an endpoint", |id| {
        id.parse::<EndpointId>().map(|_| ()).map_err(|problem| format!("{problem}."))
    }))
}

#[async_trait]
impl DataSource for EndpointData {
    type Data = Settings;
    type Model = EndpointLookup;
    const NAME: &'static str = "azureml_endpoint";

    fn schema(&self) -> Schema {
        let text = |description: &str| Attribute::string(description).computed();
        let flag = |description: &str| Attribute::bool(description).computed();
        Schema::new(
            "An endpoint that exists already, with its versions and what is served of them. Its keys are read by the \
             ephemeral resource `azureml_endpoint_keys`.",
        )
        .attribute("id", endpoint_id("`<compute id>/endpoints/<name>`."))
        .attribute("name", text("Name."))
        .attribute("compute_id", text("Id of the compute that it is on."))
        .attribute("auth_enabled", flag("Whether callers must send a key."))
        .attribute("token_auth_enabled", flag("Whether callers must send a token."))
        .attribute("description", text("Free text."))
        .attribute("tags", Attribute::map(Type::String, "Labels that may change.").computed())
        .attribute("properties", Attribute::map(Type::String, "Labels that only grow.").computed())
        .attribute("default_version", text("The version that gets what no version claims; none without versions."))
        .attribute("versions", versions())
        .attribute("state", text("`Transitioning` or `Unhealthy` if any version is, else `Healthy`."))
        .attribute("scoring_uri", text("Where the models answer."))
        .attribute("swagger_uri", text("Where the description of input and output is."))
        .attribute("created_time", text("When it was created, as RFC 3339."))
        .attribute("updated_time", text("When the endpoint itself was last changed, as RFC 3339."))
    }

    async fn read(
        &self,
        context: &mut Context<Settings>,
        config: EndpointLookup,
    ) -> Result<EndpointLookup, Diagnostics> {
        let id: EndpointId = config.id.parse().or_explain("Invalid id of an endpoint")?;
        let failed = || format!("Cannot read endpoint {}", id.name);
        let missing = || {
            let detail = format!("There is no endpoint {id}.");
            Diagnostic::error(format!("Endpoint {} does not exist", id.name), detail).at_attribute("id")
        };
        let cluster =
            crate::cluster::open(&id.compute, &context.data()).await.or_explain(failed())?.ok_or_else(missing)?;
        let found = cluster.service(&id.name).await.or_explain(failed())?;
        let service = found.filter(|service| service.kind == Kind::Endpoint).ok_or_else(missing)?;
        let status = match cluster.observe(&id.name).await {
            Ok(status) => status,
            Err(Error::NotRunning { .. }) => None,
            Err(error) => Err(error).or_explain(failed())?,
        };
        let views = views(&service, status.as_ref());
        let access = Access::shown(service.auth.mode, None, 0);
        let labels = service::labels(&service);
        let (scoring_uri, swagger_uri) = service::uris(&*cluster, &service, (&Attr::Null, &Attr::Null)).await?;
        Ok(EndpointLookup {
            id: config.id,
            name: id.name.as_str().into(),
            compute_id: id.compute.to_string().into(),
            auth_enabled: access.auth_enabled,
            token_auth_enabled: access.token_auth_enabled,
            description: labels.description,
            tags: labels.tags.unwrap_or_default().into(),
            properties: labels.properties.unwrap_or_default().into(),
            default_version: service.served.as_ref().map(|table| table.default.clone()).into(),
            state: worst(&views).into(),
            versions: views.into(),
            scoring_uri,
            swagger_uri,
            created_time: service.created_time.as_str().into(),
            updated_time: service.updated_time.as_str().into(),
        })
    }
}

fn versions() -> Attribute {
    let number = |description: &str| Attribute::number(description).computed();
    let version = Object::new()
        .attribute(
            "traffic_percentile",
            number("The share that is declared for it, by itself or by the endpoint's traffic."),
        )
        .attribute("served_percentile", number("The share that it gets."))
        .attribute("is_default", Attribute::bool("Whether it gets what no version claims.").computed())
        .attribute("is_control_version_type", Attribute::bool("Whether it is the control.").computed())
        .attribute("model_ids", Attribute::list(Type::String, "Model versions that it serves.").computed())
        .attribute("environment_id", Attribute::string("Id of its environment.").computed())
        .attribute("num_replicas", number("Replicas that there should be."))
        .attribute("ready_replicas", number("Replicas that take requests; none while the router does not run."))
        .attribute("state", Attribute::string("`Healthy`, `Unhealthy` or `Transitioning`.").computed());
    Attribute::nested(Nesting::Map, version, "The versions by name.").computed()
}

fn views(service: &Service, status: Option<&ServiceStatus>) -> BTreeMap<String, VersionView> {
    let declared = service.declared();
    let served = service.served.as_ref();
    let versions = service.versions.iter().filter(|(_, version)| version.retiring_until.is_none());
    let view = |(name, version): (&String, &serving::service::Version)| {
        let declaration = declared.get(name).map(|declared| declared.declaration).unwrap_or_default();
        let share = served.and_then(|table| table.shares.get(name)).copied().unwrap_or(BasisPoints(0));
        let ready = status.and_then(|status| status.versions.get(name)).map(|status| status.available_replicas);
        let view = VersionView {
            traffic_percentile: shown_share(declaration.traffic),
            served_percentile: shown_share(share),
            is_default: served.is_some_and(|table| table.default == *name),
            is_control_version_type: declaration.is_control,
            model_ids: version.template.models.iter().map(|model| model.id.clone()).collect(),
            environment_id: version.template.environment.id.clone(),
            num_replicas: version.scale.least().into(),
            ready_replicas: ready.map(i64::from).into(),
            state: observed_state(service, name, status).unwrap_or_default(),
        };
        (name.clone(), view)
    };
    versions.map(view).collect()
}

fn worst(versions: &BTreeMap<String, VersionView>) -> &'static str {
    let any = |state: &str| versions.values().any(|version| version.state == state);
    document::state_of(!any(state::TRANSITIONING), !any(state::UNHEALTHY))
}
