//! `token_service_accounts`: between what users write and what the router's configuration says.

use serving::token::{ServiceAccounts, Settings};
use tfplugin::schema::length_between;
use tfplugin::{Attr, Attribute, AttributePath, Diagnostic, Diagnostics, Model, Object, Type};

use super::issuers::{are_known, filled, listed, listed_if_any, texts};

/// The attribute's name.
pub(super) const NAME: &str = "token_service_accounts";
/// Its name in the router's configuration.
const SETTING: &str = "service_accounts.";

/// ServiceAccounts of the cluster that may ask for tokens.
#[derive(Clone, Debug, Default, PartialEq, Model)]
pub struct TokenServiceAccounts {
    /// Who may.
    pub subjects: Attr<Vec<Attr<String>>>,
    /// What their tokens must be for.
    pub audience: Attr<String>,
    /// What they may ask tokens for.
    pub services: Attr<Vec<Attr<String>>>,
}

/// The attribute.
pub(super) fn attribute() -> Attribute {
    let object = Object::new()
        .attribute(
            "subjects",
            Attribute::list(Type::String, "Who may: `system:serviceaccount:<namespace>:<name>`, at least one.")
                .required()
                .validate(length_between(1..=1000))
                .validate(filled()),
        )
        .attribute(
            "audience",
            Attribute::string(format!(
                "Audience that their tokens must be for. Default `{}`.",
                ServiceAccounts::default().audience
            ))
            .optional(),
        )
        .attribute(
            "services",
            Attribute::list(
                Type::String,
                "Names of the webservices and endpoints that they may ask tokens for. Default: all of the compute.",
            )
            .optional()
            .validate(filled()),
        );
    Attribute::single(
        object,
        "ServiceAccounts of the cluster whose tokens, of a projected volume or a TokenRequest, the router exchanges as it does \
         those of `token_issuers`. It verifies them by the keys that the API server publishes.",
    )
    .optional()
}

impl TokenServiceAccounts {
    fn known(&self) -> ServiceAccounts {
        let default = ServiceAccounts::default();
        ServiceAccounts {
            audience: self.audience.clone().known().unwrap_or(default.audience),
            subjects: texts(&self.subjects),
            services: texts(&self.services),
        }
    }

    fn of(accounts: ServiceAccounts) -> Self {
        let usual = accounts.audience == ServiceAccounts::default().audience;
        Self {
            subjects: listed(accounts.subjects),
            audience: if usual { Attr::Null } else { accounts.audience.into() },
            services: listed_if_any(accounts.services),
        }
    }

    fn is_known(&self) -> bool {
        !self.audience.is_unknown() && are_known(&self.subjects) && are_known(&self.services)
    }
}

/// What the router's configuration has to say.
pub(super) fn wanted(accounts: &Attr<TokenServiceAccounts>) -> Option<ServiceAccounts> {
    accounts.get().map(TokenServiceAccounts::known)
}

/// What the configuration says, in the words that are used already if they mean the same.
pub(super) fn shown(
    found: Option<ServiceAccounts>,
    spelled: &Attr<TokenServiceAccounts>,
) -> Attr<TokenServiceAccounts> {
    if !spelled.is_unknown() && wanted(spelled) == found {
        return spelled.clone();
    }
    found.map(TokenServiceAccounts::of).into()
}

/// Every rule that the router has, as far as the values are known.
pub(super) fn check(accounts: &Attr<TokenServiceAccounts>) -> Diagnostics {
    let mut problems = Diagnostics::new();
    let Some(accounts) = accounts.get().filter(|accounts| accounts.is_known()) else { return problems };
    let settings = Settings { service_accounts: Some(accounts.known()), ..Settings::default() };
    if let Err(error) = settings.check() {
        let field = error.path.strip_prefix(SETTING).unwrap_or(&error.path);
        let detail = format!("`{NAME}.{field}` {}.", error.problem);
        let name = field.split('[').next().unwrap_or(field);
        let path = AttributePath::attribute(NAME).child(name);
        problems.push(Diagnostic::error("Invalid ServiceAccounts", detail).at(path));
    }
    problems
}
