//! `token_issuers`: between what users write and what the router's configuration says.

use serving::token::{Issuer, Settings};
use tfplugin::schema::{Validator, check_string, each, length_between};
use tfplugin::{Attr, Attribute, AttributePath, Diagnostic, Diagnostics, Model, Nesting, Object, Type};

/// The attribute's name.
pub(crate) const NAME: &str = "token_issuers";

/// One issuer of access tokens.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct TokenIssuer {
    pub issuer: Attr<String>,
    pub audiences: Attr<Vec<Attr<String>>>,
    pub jwks_uri: Attr<String>,
    pub subjects: Attr<Vec<Attr<String>>>,
    pub roles: Attr<Vec<Attr<String>>>,
    pub groups: Attr<Vec<Attr<String>>>,
    pub services: Attr<Vec<Attr<String>>>,
}

/// The attribute.
pub(crate) fn attribute() -> Attribute {
    let url = || {
        check_string("an https URL, or http on this machine", |text| {
            serving::token::reachable(text).map(|_| ()).map_err(|problem| format!("It {problem}."))
        })
    };
    let list = |description: &str| Attribute::list(Type::String, description).optional().validate(filled());
    let object = Object::new()
        .attribute(
            "issuer",
            Attribute::string("`iss` of its tokens, literally: `https://login.microsoftonline.com/<tenant id>/v2.0`.")
                .required()
                .validate(url()),
        )
        .attribute(
            "audiences",
            Attribute::list(Type::String, "Accepted audiences (`aud`), at least one.")
                .required()
                .validate(length_between(1..=1000))
                .validate(filled()),
        )
        .attribute(
            "jwks_uri",
            Attribute::string(
                "Where its keys are. Default: what `<issuer>/.well-known/openid-configuration` says (OpenID Connect \
                 discovery).",
            )
            .optional()
            .validate(url()),
        )
        .attribute("subjects", list("Subjects (`sub`) that may ask for tokens."))
        .attribute("roles", list("Roles (`roles`) that may."))
        .attribute(
            "groups",
            list(
                "Groups (`groups`) that may. Without `subjects`, `roles` and `groups`, everybody with a token for the \
                 audience may.",
            ),
        )
        .attribute(
            "services",
            list("Names of the webservices and endpoints that they may ask tokens for. Default: all of the compute."),
        );
    Attribute::nested(
        Nesting::List,
        object,
        "Issuers (Entra ID, any OpenID Connect provider) whose access tokens the router exchanges for tokens of services that \
         have `token_auth_enabled`: `POST <scoring URI without score>token`. Without any, only the owner of the compute gets \
         tokens. A change is taken over by the running router without a failed request.",
    )
    .optional()
}

/// No text of the list is empty.
pub(crate) fn filled() -> impl Validator + 'static {
    each(check_string("not empty", |text| if text.is_empty() { Err("It is empty.".into()) } else { Ok(()) }))
}

/// The known texts of a list.
pub(crate) fn texts(list: &Attr<Vec<Attr<String>>>) -> Vec<String> {
    let known = list.as_ref().known();
    known.into_iter().flatten().filter_map(|text| text.clone().known()).collect()
}

/// Whether a list and all its texts are known, or it is not set.
pub(crate) fn are_known(list: &Attr<Vec<Attr<String>>>) -> bool {
    match list {
        Attr::Known(list) => !list.iter().any(Attr::is_unknown),
        Attr::Unknown => false,
        Attr::Null => true,
    }
}

/// A list of texts as users write it.
pub(crate) fn listed(texts: Vec<String>) -> Attr<Vec<Attr<String>>> {
    Attr::Known(texts.into_iter().map(Attr::Known).collect())
}

/// As [`listed`]; what is empty is not written.
pub(crate) fn listed_if_any(texts: Vec<String>) -> Attr<Vec<Attr<String>>> {
    if texts.is_empty() { Attr::Null } else { listed(texts) }
}

impl TokenIssuer {
    fn known(&self) -> Issuer {
        Issuer {
            issuer: self.issuer.clone().known().unwrap_or_default(),
            audiences: texts(&self.audiences),
            jwks_uri: self.jwks_uri.clone().known(),
            subjects: texts(&self.subjects),
            roles: texts(&self.roles),
            groups: texts(&self.groups),
            services: texts(&self.services),
        }
    }

    fn of(issuer: Issuer) -> Self {
        Self {
            issuer: issuer.issuer.into(),
            audiences: listed(issuer.audiences),
            jwks_uri: issuer.jwks_uri.into(),
            subjects: listed_if_any(issuer.subjects),
            roles: listed_if_any(issuer.roles),
            groups: listed_if_any(issuer.groups),
            services: listed_if_any(issuer.services),
        }
    }

    fn is_known(&self) -> bool {
        !self.issuer.is_unknown()
            && !self.jwks_uri.is_unknown()
            && [&self.audiences, &self.subjects, &self.roles, &self.groups, &self.services].into_iter().all(are_known)
    }
}

/// What the router's configuration has to say.
pub(crate) fn wanted(issuers: &Attr<Vec<TokenIssuer>>) -> Vec<Issuer> {
    issuers.as_ref().known().into_iter().flatten().map(TokenIssuer::known).collect()
}

/// What the configuration says, in the words that are used already if they mean the same.
pub(crate) fn shown(found: Vec<Issuer>, spelled: &Attr<Vec<TokenIssuer>>) -> Attr<Vec<TokenIssuer>> {
    if !spelled.is_unknown() && wanted(spelled) == found {
        return spelled.clone();
    }
    if found.is_empty() { Attr::Null } else { Attr::Known(found.into_iter().map(TokenIssuer::of).collect()) }
}

/// Every rule that the router has, as far as the values are known.
pub(crate) fn check(issuers: &Attr<Vec<TokenIssuer>>) -> Diagnostics {
    let mut problems = Diagnostics::new();
    let Attr::Known(list) = issuers else { return problems };
    if !list.iter().all(TokenIssuer::is_known) {
        return problems;
    }
    let settings = Settings { issuers: list.iter().map(TokenIssuer::known).collect(), ..Settings::default() };
    if let Err(error) = settings.check() {
        let detail = format!("`{}` {}.", error.path.replacen("issuers", NAME, 1), error.problem);
        problems.push(Diagnostic::error("Invalid token issuers", detail).at(path(&error.path)));
    }
    problems
}

/// `issuers[1].jwks_uri` below this attribute.
fn path(text: &str) -> AttributePath {
    let all = AttributePath::attribute(NAME);
    let Some((index, field)) = text.strip_prefix("issuers[").and_then(|rest| rest.split_once("].")) else { return all };
    index.parse().map_or(all.clone(), |index| all.index(index).child(field))
}
