//! `azureml_webservice_token` and `azureml_endpoint_token`: a token that callers authenticate with.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use serving::service::{AuthMode, Kind};
use tfplugin::schema::{check_string, integer_between};
use tfplugin::{
    Attr, Attribute, Context, Diagnostic, Diagnostics, EphemeralResource, Model, Opened, Schema, async_trait,
};

use crate::cluster::{EndpointId, ServiceId};
use crate::diagnostics::{Blame, OrExplain as _};
use crate::provider::Settings;
use crate::workspace::ComputeId;

/// A year: the longest lifetime that any configuration allows.
const MAX_LIFETIME: i64 = 366 * 86_400;

/// What a token is for: the two resources differ only in this.
pub trait Target: Send + Sync + Sized + 'static {
    /// Its id.
    type Id: FromStr<Err: Blame> + Display + Send + Sync;
    /// What users name it by.
    type Model: TokenModel;
    /// Name of the resource.
    const NAME: &'static str;
    /// Name of the attribute with the id.
    const ATTRIBUTE: &'static str;
    /// As in messages.
    const NOUN: &'static str;
    /// As in documents.
    const KIND: Kind;

    /// The compute that it is on, and its name.
    fn place(id: &Self::Id) -> (&ComputeId, &str);
}

/// The model of a token, whatever its id is called.
pub trait TokenModel: Model + Clone + Send {
    /// The configured id.
    fn id(&self) -> &str;
    /// Seconds.
    fn lifetime(&self) -> Option<i64>;
    /// Sets the results.
    fn set(&mut self, issued: serving::token::Issued);
}

macro_rules! model {
    ($(#[$doc:meta])* $name:ident, $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Model)]
        #[expect(missing_docs, reason = "the schema describes each field")]
        pub struct $name {
            pub $id: String,
            pub lifetime: Attr<i64>,
            pub access_token: Attr<String>,
            pub token_type: Attr<String>,
            pub expiry_on: Attr<i64>,
            pub refresh_after: Attr<i64>,
        }

        impl TokenModel for $name {
            fn id(&self) -> &str {
                &self.$id
            }

            fn lifetime(&self) -> Option<i64> {
                self.lifetime.clone().known()
            }

            fn set(&mut self, issued: serving::token::Issued) {
                self.access_token = issued.access_token.into();
                self.token_type = issued.token_type.into();
                self.expiry_on = issued.expiry_on.into();
                self.refresh_after = issued.refresh_after.into();
            }
        }
    };
}

model!(
    /// A token of a webservice.
    WebserviceTokenModel,
    webservice_id
);
model!(
    /// A token of an endpoint.
    EndpointTokenModel,
    endpoint_id
);

/// Tokens of webservices.
#[derive(Clone, Copy, Debug)]
pub struct Webservice;

impl Target for Webservice {
    type Id = ServiceId;
    type Model = WebserviceTokenModel;
    const NAME: &'static str = "azureml_webservice_token";
    const ATTRIBUTE: &'static str = "webservice_id";
    const NOUN: &'static str = "webservice";
    const KIND: Kind = Kind::Webservice;

    fn place(id: &ServiceId) -> (&ComputeId, &str) {
        (&id.compute, &id.name)
    }
}

/// Tokens of endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint;

impl Target for Endpoint {
    type Id = EndpointId;
    type Model = EndpointTokenModel;
    const NAME: &'static str = "azureml_endpoint_token";
    const ATTRIBUTE: &'static str = "endpoint_id";
    const NOUN: &'static str = "endpoint";
    const KIND: Kind = Kind::Endpoint;

    fn place(id: &EndpointId) -> (&ComputeId, &str) {
        (&id.compute, &id.name)
    }
}

/// The ephemeral resource.
#[derive(Clone, Copy, Debug)]
pub struct Token<T>(PhantomData<T>);

impl<T> Default for Token<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

#[async_trait]
impl<T: Target> EphemeralResource for Token<T> {
    type Data = Settings;
    type Model = T::Model;
    const NAME: &'static str = T::NAME;

    fn schema(&self) -> Schema {
        let noun = T::NOUN;
        let id = Attribute::string(format!("Id of the {noun}. It must have `token_auth_enabled`."))
            .required()
            .validate(check_string(format!("the id of an {noun}").replace("an w", "a w"), |id| {
                id.parse::<T::Id>().map(|_| ()).map_err(|problem| format!("{problem}."))
            }));
        Schema::new(format!(
            "A token that callers of the {noun} authenticate with, as `Authorization: Bearer <token>`. It is issued from the \
             compute's signing key, so only its owner can, and the router need not run. It never enters plan or state."
        ))
        .attribute(T::ATTRIBUTE, id)
        .attribute(
            "lifetime",
            Attribute::number(
                "Seconds that the token is valid, within the bounds of `azureml-fe.toml` (by default from 60 to 86400). \
                 Default: that of the file, 3600.",
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

    async fn open(&self, _: &mut Context<Settings>, mut config: T::Model) -> Result<Opened<T::Model>, Diagnostics> {
        let noun = T::NOUN;
        let id: T::Id = config.id().parse().or_explain(format!("Invalid {}", T::ATTRIBUTE))?;
        let (compute, name) = T::place(&id);
        let failed = || format!("Cannot issue a token for {noun} {name}");
        let wrong = |what: String| Diagnostic::error(failed(), what).at_attribute(T::ATTRIBUTE);
        let cluster = crate::cluster::open(compute).await.or_explain(failed())?;
        let cluster = cluster.ok_or_else(|| wrong(format!("There is no compute {compute}.")))?;
        let service = cluster.service(name).await.or_explain(failed())?;
        let service = service
            .filter(|service| service.kind == T::KIND)
            .ok_or_else(|| wrong(format!("There is no {noun} {id}.")))?;
        if service.auth.mode != AuthMode::Token {
            let detail = format!(
                "Callers of the {noun} do not authenticate by tokens. Set its `token_auth_enabled`, or use its keys."
            );
            return Err(wrong(detail).into());
        }
        let lifetime = config.lifetime().map(|lifetime| lifetime.try_into().unwrap_or(0));
        let issued = cluster.issue_token(&service, lifetime).await.or_explain(failed())?;
        config.set(issued);
        Ok(config.into())
    }
}
