//! `[tokens]` in `azureml-fe.toml`.

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// What tokens are like, and who may ask for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `iss` of the router's own tokens.
    pub issuer: String,
    /// Lifetime of a token for which none is asked.
    pub lifetime_seconds: u64,
    /// Shortest lifetime that can be asked for.
    pub min_lifetime_seconds: u64,
    /// Longest lifetime that can be asked for.
    pub max_lifetime_seconds: u64,
    /// How far apart the clocks of issuers and verifiers may be.
    pub clock_skew_seconds: u64,
    /// A signing key is replaced after this.
    pub rotation_seconds: u64,
    /// How long tokens of a replaced signing key are accepted: at least the longest lifetime and the clock skew.
    pub overlap_seconds: u64,
    /// Issuers whose access tokens are exchanged for a service's token. None: only the owner of the compute gets tokens.
    pub issuers: Vec<Issuer>,
    /// In a cluster: ServiceAccounts whose tokens are exchanged for a service's token. None: no ServiceAccount gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccounts>,
}

/// Which tokens of the cluster's own issuer are exchanged for what. They are verified by the keys that the API server
/// publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccounts {
    /// Accepted audience (`aud`): what a token is asked for.
    #[serde(default = "ServiceAccounts::audience")]
    pub audience: String,
    /// ServiceAccounts that may ask: `system:serviceaccount:<namespace>:<name>`, at least one.
    pub subjects: Vec<String>,
    /// Names of the services that they may ask for. Without any: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

impl Default for ServiceAccounts {
    /// The usual audience, and nobody.
    fn default() -> Self {
        Self { audience: Self::audience(), subjects: Vec::new(), services: Vec::new() }
    }
}

impl ServiceAccounts {
    fn audience() -> String {
        "azureml-fe".to_owned()
    }

    /// As the rule for an issuer, whose name is known only to the cluster.
    #[must_use]
    pub fn grant(&self) -> Issuer {
        let (subjects, services) = (self.subjects.clone(), self.services.clone());
        Issuer { audiences: vec![self.audience.clone()], subjects, services, ..Issuer::default() }
    }

    /// Checks it; the error's path is the name of the field.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.grant().check_lists().map_err(|problem| match problem.path.as_str() {
            "audiences" => SettingsError { path: "audience".to_owned(), ..problem },
            _ => problem,
        })?;
        if self.subjects.is_empty() {
            return Err(error("subjects", "must have at least one entry"));
        }
        let account = |subject: &String| {
            let name = subject.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
            name.is_some_and(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains(':'))
        };
        if let Some(subject) = self.subjects.iter().find(|subject| !account(subject)) {
            let problem = format!("has `{subject}`, but must have `system:serviceaccount:<namespace>:<name>`");
            return Err(error("subjects", problem));
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "azureml-fe".to_owned(),
            lifetime_seconds: 3_600,
            min_lifetime_seconds: 60,
            max_lifetime_seconds: 86_400,
            clock_skew_seconds: 60,
            rotation_seconds: 2_592_000,
            overlap_seconds: 172_800,
            issuers: Vec::new(),
            service_accounts: None,
        }
    }
}

/// An issuer of access tokens, and which of its tokens are exchanged for what. Several of these may name one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// `iss` of its tokens, literally, for example `https://login.microsoftonline.com/<tenant>/v2.0`.
    pub issuer: String,
    /// Accepted audiences (`aud`), at least one.
    pub audiences: Vec<String>,
    /// Where its keys are. Without it they are found by `<issuer>/.well-known/openid-configuration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Subjects (`sub`) that may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Roles (`roles`) that may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Groups (`groups`) that may ask. Without subjects, roles and groups, everybody with a token for the audience may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Names of the services that they may ask for. Without any: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

/// Most entries of a list.
const MAX_ITEMS: usize = 1_000;
/// Most issuers.
const MAX_ISSUERS: usize = 32;
const MAX_TEXT: usize = 2_048;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {problem}")]
pub struct SettingsError {
    /// Dotted path below `tokens`.
    pub path: String,
    /// What is wrong, as a clause.
    pub problem: String,
}

fn error(path: impl Into<String>, problem: impl Into<String>) -> SettingsError {
    SettingsError { path: path.into(), problem: problem.into() }
}

impl Settings {
    /// Checks ranges and rules.
    pub fn check(&self) -> Result<(), SettingsError> {
        const YEAR: u64 = 366 * 86_400;
        let (min, max) = (self.min_lifetime_seconds, self.max_lifetime_seconds);
        for (path, value, low, high) in [
            ("clock_skew_seconds", self.clock_skew_seconds, 0, 600),
            ("min_lifetime_seconds", min, 1, YEAR),
            ("max_lifetime_seconds", max, min, YEAR),
            ("lifetime_seconds", self.lifetime_seconds, min, max),
            ("rotation_seconds", self.rotation_seconds, 60, 10 * YEAR),
            ("overlap_seconds", self.overlap_seconds, max + self.clock_skew_seconds.min(600), 10 * YEAR),
        ] {
            if !(low..=high).contains(&value) {
                return Err(error(path, format!("is {value}, but must be from {low} to {high}")));
            }
        }
        if self.issuer.is_empty() || self.issuer.len() > MAX_TEXT {
            return Err(error("issuer", format!("must have from 1 to {MAX_TEXT} characters")));
        }
        if self.issuers.len() > MAX_ISSUERS {
            return Err(error("issuers", format!("has {} entries, but {MAX_ISSUERS} is the most", self.issuers.len())));
        }
        if let Some(accounts) = &self.service_accounts {
            accounts.check().map_err(|problem| error(format!("service_accounts.{}", problem.path), problem.problem))?;
        }
        for (index, issuer) in self.issuers.iter().enumerate() {
            let at = |problem: SettingsError| error(format!("issuers[{index}].{}", problem.path), problem.problem);
            issuer.check().map_err(at)?;
            let other = self.issuers[..index].iter().find(|other| other.issuer == issuer.issuer);
            if other.is_some_and(|other| other.jwks_uri != issuer.jwks_uri) {
                let path = format!("issuers[{index}].jwks_uri");
                return Err(error(path, "differs from the one of another entry for the same issuer"));
            }
        }
        Ok(())
    }
}

impl Issuer {
    /// Checks one issuer; the error's path is the name of the field.
    pub fn check(&self) -> Result<(), SettingsError> {
        reachable(&self.issuer).map_err(|problem| error("issuer", problem))?;
        if let Some(uri) = &self.jwks_uri {
            reachable(uri).map_err(|problem| error("jwks_uri", problem))?;
        }
        self.check_lists()
    }

    fn check_lists(&self) -> Result<(), SettingsError> {
        if self.audiences.is_empty() {
            return Err(error("audiences", "must have at least one entry"));
        }
        for (path, list) in [
            ("audiences", &self.audiences),
            ("subjects", &self.subjects),
            ("roles", &self.roles),
            ("groups", &self.groups),
            ("services", &self.services),
        ] {
            if list.len() > MAX_ITEMS || list.iter().any(|text| text.is_empty() || text.len() > MAX_TEXT) {
                let problem = format!("must have at most {MAX_ITEMS} entries of 1 to {MAX_TEXT} characters");
                return Err(error(path, problem));
            }
        }
        Ok(())
    }
}

/// Whether keys may be fetched from this URL: over TLS, or from this machine.
pub fn reachable(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("is `{text}`, but must be an https URL{why}");
    if text.len() > MAX_TEXT {
        return Err(format!("must have at most {MAX_TEXT} characters"));
    }
    let url = Url::parse(text).map_err(|problem| wrong(&format!(" ({problem})")))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() || url.query().is_some() {
        // It may hold a password, so it is not quoted.
        return Err("must be an https URL without user, password, query and fragment".to_owned());
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err(wrong("; http is only for this machine (localhost, 127.0.0.1, [::1])")),
        _ => Err(wrong("")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(url: &str) -> Issuer {
        Issuer { issuer: url.to_owned(), audiences: vec!["api".to_owned()], ..Issuer::default() }
    }

    fn problem(settings: &Settings) -> String {
        settings.check().expect_err("refused").to_string()
    }

    #[test]
    fn the_defaults_are_valid_and_an_overlap_outlives_every_token() {
        assert_eq!(Settings::default().check(), Ok(()));
        let short = Settings { overlap_seconds: 86_400, ..Settings::default() };
        assert_eq!(problem(&short), "`overlap_seconds` is 86400, but must be from 86460 to 316224000");
        let long = Settings { lifetime_seconds: 100_000, ..Settings::default() };
        assert_eq!(problem(&long), "`lifetime_seconds` is 100000, but must be from 60 to 86400");
    }

    #[test]
    fn issuers_are_reached_over_tls_or_on_this_machine() {
        for url in
            ["https://login.example/tenant/v2.0", "http://localhost:1", "http://127.0.0.1:1/a", "http://[::1]:8080"]
        {
            assert_eq!(issuer(url).check(), Ok(()), "{url}");
        }
        for url in [
            "http://login.example",
            "ftp://localhost",
            "login",
            "https://a:b@c",
            "https://a/?b",
            "http://127.0.0.1.example",
        ] {
            let settings = Settings { issuers: vec![issuer(url)], ..Settings::default() };
            let text = problem(&settings);
            assert!(text.starts_with("`issuers[0].issuer` ") && text.contains("https"), "{text}");
        }
        assert!(
            !problem(&Settings { issuers: vec![issuer("https://a:secret@c")], ..Settings::default() })
                .contains("secret")
        );
    }

    #[test]
    fn service_accounts_are_named_one_by_one() {
        let accounts = |subjects: &[&str]| ServiceAccounts {
            audience: ServiceAccounts::audience(),
            subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            services: vec![],
        };
        assert_eq!(accounts(&["system:serviceaccount:ml:terraform"]).check(), Ok(()));
        for subjects in [&[][..], &["terraform"], &["system:serviceaccount:ml"], &["system:serviceaccount::a"]] {
            let settings = Settings { service_accounts: Some(accounts(subjects)), ..Settings::default() };
            assert!(problem(&settings).starts_with("`service_accounts.subjects` "), "{subjects:?}");
        }
        let silent = ServiceAccounts { audience: String::new(), ..accounts(&["system:serviceaccount:ml:t"]) };
        assert_eq!(silent.check().expect_err("refused").path, "audience");
    }

    #[test]
    fn an_issuer_has_audiences_and_one_place_for_its_keys() {
        let silent = Issuer { audiences: vec![], ..issuer("https://a") };
        assert_eq!(silent.check().expect_err("refused").path, "audiences");
        let other = Issuer { jwks_uri: Some("https://a/keys".into()), ..issuer("https://a") };
        let settings = Settings { issuers: vec![issuer("https://a"), other], ..Settings::default() };
        assert!(problem(&settings).starts_with("`issuers[1].jwks_uri` differs"), "{settings:?}");
    }
}
