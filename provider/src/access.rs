//! How callers of a webservice or an endpoint authenticate: the mode, and the two keys.

pub mod schema;

use serving::service::{AuthMode, Keys, Service};
use serving::validate;
use tfplugin::{Attr, Diagnostic, Diagnostics, Model, OrDiagnostic as _};

use crate::cluster::keys::{self, Wanted};
use crate::deployment::checks::{violation, wrong};

/// The longest overlap of a replaced key: 30 days.
pub const MAX_OVERLAP_SECONDS: i64 = 30 * 86_400;

/// The attributes about authentication. What each field means says the schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Access {
    pub auth_enabled: Attr<bool>,
    pub token_auth_enabled: Attr<bool>,
    pub primary_key_wo: Attr<String>,
    pub primary_key_version: Attr<i64>,
    pub secondary_key_wo: Attr<String>,
    pub secondary_key_version: Attr<i64>,
    pub key_overlap: Attr<i64>,
}

impl Access {
    /// Everything that a configuration shows to be wrong by itself.
    pub fn check(&self, found: &mut Diagnostics) {
        if self.auth_enabled == Attr::Known(true) && self.token_auth_enabled == Attr::Known(true) {
            found.push(wrong(
                "token_auth_enabled",
                "auth_enabled and token_auth_enabled are both true, but callers authenticate by keys or by tokens; \
                 remove one of the two",
            ));
        }
        for (field, key) in [("primary_key_wo", &self.primary_key_wo), ("secondary_key_wo", &self.secondary_key_wo)] {
            if let Attr::Known(key) = key
                && let Err(problem) = validate::key(field, key)
            {
                found.push(violation(&problem));
            }
        }
        for (field, version) in
            [("primary_key_version", self.primary_key_version), ("secondary_key_version", self.secondary_key_version)]
        {
            if let Attr::Known(version) = version
                && version < 1
            {
                found.push(wrong(field, format_args!("{field} is {version}, but must be at least 1")));
            }
        }
        if let Attr::Known(seconds) = self.key_overlap
            && !(0..=MAX_OVERLAP_SECONDS).contains(&seconds)
        {
            let rule = format!("key_overlap is {seconds}, but must be from 0 to {MAX_OVERLAP_SECONDS} seconds");
            found.push(wrong("key_overlap", rule));
        }
    }

    /// Plans what is computed: the mode's default, and key versions, which begin with 1 and stay what they are while they
    /// are not configured.
    pub fn plan(&mut self, config: &Self, prior: Option<&Self>) {
        if config.auth_enabled.is_null() {
            self.auth_enabled = config.token_auth_enabled.map(|token| !token);
            if config.token_auth_enabled.is_null() {
                self.auth_enabled = true.into();
            }
        }
        let version = |config: Attr<i64>, prior: Option<Attr<i64>>, planned: Attr<i64>| match config {
            Attr::Null => prior.and_then(Attr::known).filter(|version| *version > 0).unwrap_or(1).into(),
            _ => planned,
        };
        self.primary_key_version =
            version(config.primary_key_version, prior.map(|prior| prior.primary_key_version), self.primary_key_version);
        self.secondary_key_version = version(
            config.secondary_key_version,
            prior.map(|prior| prior.secondary_key_version),
            self.secondary_key_version,
        );
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> AuthMode {
        match (self.auth_enabled.unwrap_or(true), self.token_auth_enabled.unwrap_or(false)) {
            (_, true) => AuthMode::Token,
            (true, false) => AuthMode::Key,
            (false, false) => AuthMode::None,
        }
    }

    /// How long a replaced key stays valid, in seconds.
    #[must_use]
    pub fn overlap(&self) -> u64 {
        self.key_overlap.known().and_then(|seconds| seconds.try_into().ok()).unwrap_or(0)
    }

    /// The access that a service has. `keys` are those in force, `overlap` is in seconds.
    #[must_use]
    pub fn shown(mode: AuthMode, keys: Option<&Keys>, overlap: u64) -> Self {
        // 0 where the keys are gone, which the next plan repairs.
        let version = |version: Option<u64>| i64::try_from(version.unwrap_or(0)).unwrap_or(i64::MAX).into();
        Self {
            auth_enabled: (mode == AuthMode::Key).into(),
            token_auth_enabled: (mode == AuthMode::Token).into(),
            primary_key_version: version(keys.map(|keys| keys.primary.version)),
            secondary_key_version: version(keys.map(|keys| keys.secondary.version)),
            key_overlap: i64::try_from(overlap).unwrap_or(i64::MAX).into(),
            ..Self::default()
        }
    }

    /// Whether a plan declares what the state has; keys are in neither.
    #[must_use]
    pub fn same(&self, planned: &Self) -> bool {
        let declared =
            |access: &Self| Self { primary_key_wo: Attr::Null, secondary_key_wo: Attr::Null, ..access.clone() };
        declared(self) == declared(planned)
    }

    /// The key versions of the plan with the keys of the configuration, which alone has them.
    fn wanted(&self, config: &Self) -> (Wanted, Wanted) {
        let version = |version: Attr<i64>| version.unwrap_or(1).try_into().unwrap_or(1);
        (
            Wanted { version: version(self.primary_key_version), key: config.primary_key_wo.clone().known() },
            Wanted { version: version(self.secondary_key_version), key: config.secondary_key_wo.clone().known() },
        )
    }

    /// The first keys of a service.
    pub fn first_keys(&self, config: &Self) -> Result<Keys, Diagnostics> {
        let (primary, secondary) = self.wanted(config);
        let keys = keys::first(&primary, &secondary).or_diagnostic("Cannot make keys")?;
        different(&keys)?;
        Ok(keys)
    }

    /// The steps from the present keys to the planned ones.
    pub fn key_steps(&self, config: &Self, present: Option<&Keys>) -> Result<Vec<Keys>, Diagnostics> {
        let Some(present) = present else { return Ok(vec![self.first_keys(config)?]) };
        let (primary, secondary) = self.wanted(config);
        let steps = keys::rotate(present, &primary, &secondary, keys::Overlap::seconds(self.overlap()))
            .or_diagnostic("Cannot make keys")?;
        steps.iter().try_for_each(different)?;
        Ok(steps)
    }
}

/// Two equal keys could not be replaced one by one.
fn different(keys: &Keys) -> Result<(), Diagnostics> {
    if keys.primary.key != keys.secondary.key {
        return Ok(());
    }
    let detail = "The primary and the secondary key would be the same, so that neither could be replaced while the other \
                  keeps working. Give two different keys, or leave one out so that it is generated.";
    Err(Diagnostic::error("The two keys must differ", detail).at_attribute("primary_key_wo").into())
}

/// The keys in force of a service.
pub async fn present_keys(
    cluster: &dyn crate::cluster::Cluster,
    service: &Service,
) -> Result<Option<Keys>, crate::cluster::Error> {
    match service.auth.keys {
        Some(generation) => cluster.keys(&service.name, generation).await,
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_default_unless_tokens_are_asked_for() {
        let planned = |config: Access| {
            let mut planned = Access { token_auth_enabled: config.token_auth_enabled, ..Access::default() };
            planned.plan(&config, None);
            planned.auth_enabled
        };
        assert_eq!(planned(Access::default()), Attr::Known(true));
        assert_eq!(planned(Access { token_auth_enabled: true.into(), ..Access::default() }), Attr::Known(false));
        assert_eq!(planned(Access { token_auth_enabled: Attr::Unknown, ..Access::default() }), Attr::Unknown);
    }

    #[test]
    fn keys_and_tokens_at_once_are_refused() {
        let mut found = Diagnostics::new();
        let both = Access { auth_enabled: true.into(), token_auth_enabled: true.into(), ..Access::default() };
        both.check(&mut found);
        assert_eq!(found.iter().count(), 1);
    }

    #[test]
    fn two_equal_keys_are_refused_and_not_shown() {
        let key = "the-one-and-only-key-of-this-very-test";
        let config = Access { primary_key_wo: key.into(), secondary_key_wo: key.into(), ..Access::default() };
        let error = Access::default().first_keys(&config).expect_err("refused");
        assert!(!format!("{error:?}").contains(key));
    }
}
