//! `azureml_webservice_token` and `azureml_endpoint_token`: a token that callers authenticate with.

use serving::service::{AuthMode, Kind};
use serving::token::Issued;
use tfplugin::schema::integer_between;
use tfplugin::{
    Attr, Attribute, Context, Diagnostic, Diagnostics, EphemeralResource, Model, Opened, Schema, async_trait,
};

use crate::cluster::{EndpointId, ServiceId};
use crate::data_sources::endpoint::endpoint_id;
use crate::data_sources::webservice::service_id;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::workspace::ComputeId;

/// A year: the longest lifetime that any configuration of a router allows.
const MAX_LIFETIME: i64 = 366 * 86_400;

/// A token of a webservice.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebserviceToken;

/// A token of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointToken;

/// A token of a webservice, and which.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct WebserviceTokenModel {
    pub webservice_id: String,
    #[model(flatten)]
    pub token: TokenModel,
}

/// A token of an endpoint, and which.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct EndpointTokenModel {
    pub endpoint_id: String,
    #[model(flatten)]
    pub token: TokenModel,
}

/// What is asked for and issued.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct TokenModel {
    pub lifetime: Attr<u64>,
    pub access_token: Attr<String>,
    pub token_type: Attr<String>,
    pub expiry_on: Attr<i64>,
    pub refresh_after: Attr<i64>,
}

impl TokenModel {
    fn of(lifetime: Attr<u64>, issued: Issued) -> Self {
        Self {
            lifetime,
            access_token: issued.access_token.into(),
            token_type: issued.token_type.into(),
            expiry_on: issued.expiry_on.into(),
            refresh_after: issued.refresh_after.into(),
        }
    }
}

fn schema(noun: &str, name: &str, id: Attribute) -> Schema {
    Schema::new(format!(
        "A token that callers of {noun} with `token_auth_enabled` send as `Authorization: Bearer <token>`. It is issued with \
         the compute's signing key, so only the compute's owner can, and no router has to run. It never enters plan or state."
    ))
    .attribute(name, id)
    .attribute(
        "lifetime",
        Attribute::number(
            "Seconds that the token is valid, within the bounds that `azureml-fe.toml` of the compute states, by default from \
             60 to 86400. Default: what the file states, 3600.",
        )
        .optional()
        .validate(integer_between(1..=MAX_LIFETIME)),
    )
    .attribute("access_token", Attribute::string("The token.").computed().sensitive())
    .attribute("token_type", Attribute::string("`Bearer`.").computed())
    .attribute("expiry_on", Attribute::number("Unix time of its end, in seconds.").computed())
    .attribute(
        "refresh_after",
        Attribute::number("Unix time, in seconds, after which a new one should be fetched.").computed(),
    )
}

#[async_trait]
impl EphemeralResource for WebserviceToken {
    type Data = Settings;
    type Model = WebserviceTokenModel;
    const NAME: &'static str = "azureml_webservice_token";

    fn schema(&self) -> Schema {
        schema("a webservice", "webservice_id", service_id("Id of the webservice."))
    }

    async fn open(
        &self,
        context: &mut Context<Settings>,
        config: WebserviceTokenModel,
    ) -> Result<Opened<WebserviceTokenModel>, Diagnostics> {
        let id: ServiceId = config.webservice_id.parse().or_explain("Invalid webservice_id")?;
        let service = (&id.compute, id.name.as_str(), Kind::Webservice);
        let issued =
            issue(context, service, ("webservice_id", &config.webservice_id), config.token.lifetime.known()).await?;
        Ok(WebserviceTokenModel { token: TokenModel::of(config.token.lifetime, issued), ..config }.into())
    }
}

#[async_trait]
impl EphemeralResource for EndpointToken {
    type Data = Settings;
    type Model = EndpointTokenModel;
    const NAME: &'static str = "azureml_endpoint_token";

    fn schema(&self) -> Schema {
        schema("an endpoint", "endpoint_id", endpoint_id("Id of the endpoint."))
    }

    async fn open(
        &self,
        context: &mut Context<Settings>,
        config: EndpointTokenModel,
    ) -> Result<Opened<EndpointTokenModel>, Diagnostics> {
        let id: EndpointId = config.endpoint_id.parse().or_explain("Invalid endpoint_id")?;
        let service = (&id.compute, id.name.as_str(), Kind::Endpoint);
        let issued =
            issue(context, service, ("endpoint_id", &config.endpoint_id), config.token.lifetime.known()).await?;
        Ok(EndpointTokenModel { token: TokenModel::of(config.token.lifetime, issued), ..config }.into())
    }
}

/// Issues a token. An error that is about the service is on the attribute `named`, which has this id.
async fn issue(
    context: &mut Context<Settings>,
    (compute, name, kind): (&ComputeId, &str, Kind),
    (named, id): (&str, &str),
    lifetime: Option<u64>,
) -> Result<Issued, Diagnostic> {
    let noun = match kind {
        Kind::Webservice => "webservice",
        Kind::Endpoint => "endpoint",
    };
    let failed = || format!("Cannot issue a token of {noun} {name}");
    let wrong = |what: String| Diagnostic::error(failed(), what).at_attribute(named);
    let cluster = crate::cluster::open(compute, &context.data()).await.or_explain(failed())?;
    let cluster = cluster.ok_or_else(|| wrong(format!("There is no compute {compute}.")))?;
    let service = cluster.service(name).await.or_explain(failed())?.filter(|service| service.kind == kind);
    let service = service.ok_or_else(|| wrong(format!("There is no {noun} {id}.")))?;
    if service.auth.mode != AuthMode::Token {
        // No error, because a plan opens this before an apply has set the mode.
        let detail = format!(
            "Its callers do not authenticate by tokens yet. If this plan does not set `token_auth_enabled` of the {noun}, set \
             it, or use azureml_{noun}_keys."
        );
        let summary = format!("The token of {noun} {name} is of no use now");
        context.warn(Diagnostic::warning(summary, detail).at_attribute(named));
    }
    cluster.issue_token(&service, lifetime).await.or_explain(failed())
}
