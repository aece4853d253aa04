//! What a build must know and an image must not hold: where packages come from, with credentials, and whom to trust.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Name of the secret with variables, in the form of a shell.
pub(super) const VARIABLES: &str = "azureml-variables";
/// Name of the secret with certificates.
pub(super) const CERTIFICATES: &str = "azureml-certificates";

/// Settings of pip, and those of uv, with which the packages were resolved, by pip's names. The first that is set counts.
const PASSED: [(&str, &[&str]); 5] = [
    ("PIP_INDEX_URL", &["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"]),
    ("PIP_EXTRA_INDEX_URL", &["UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"]),
    ("PIP_TRUSTED_HOST", &["UV_INSECURE_HOST", "PIP_TRUSTED_HOST"]),
    ("PIP_DEFAULT_TIMEOUT", &["UV_HTTP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"]),
    ("PIP_RETRIES", &["UV_HTTP_RETRIES", "PIP_RETRIES"]),
];

/// Writes the secrets into a folder that only its owner reads; name and file of each.
pub(super) fn write(folder: &Path, lock: &str) -> std::io::Result<Vec<(&'static str, PathBuf)>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut secrets = Vec::new();
    let variables = folder.join(VARIABLES);
    std::fs::write(&variables, script(&variables_for(lock, variable)))?;
    secrets.push((VARIABLES, variables));
    let trusted = ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"].into_iter().find_map(variable);
    if let Some(trusted) = trusted.filter(|path| Path::new(path).is_file()) {
        let certificates = folder.join(CERTIFICATES);
        std::fs::copy(trusted, &certificates)?;
        secrets.push((CERTIFICATES, certificates));
    }
    Ok(secrets)
}

/// The variables that installing a lock needs: pip's settings, and those that the lock itself refers to.
fn variables_for(lock: &str, variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, sources) in PASSED {
        if let Some(value) = sources.iter().find_map(|source| variable(source)) {
            found.insert(name.to_owned(), value.replace(',', " "));
        }
    }
    for rest in lock.split("${").skip(1) {
        let name = rest.split('}').next().unwrap_or_default();
        let sound = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if let Some(value) = variable(name).filter(|_| sound) {
            found.insert(name.to_owned(), value);
        }
    }
    found
}

fn script(variables: &BTreeMap<String, String>) -> String {
    variables.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "export {name}='{}'", value.replace('\'', "'\\''"));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_uv_and_what_the_lock_refers_to_are_passed_and_nothing_else() {
        let lock = "--extra-index-url https://u:${TOKEN}@host/simple\n--index-url https://${ABSENT}@host\nnumpy==2\n";
        let variable = |name: &str| match name {
            "UV_DEFAULT_INDEX" => Some("https://mirror/simple".to_owned()),
            "PIP_INDEX_URL" => Some("https://other/simple".to_owned()),
            "TOKEN" => Some("it's".to_owned()),
            "PASSWORD" => Some("secret".to_owned()),
            _ => None,
        };
        let script = script(&variables_for(lock, variable));
        assert_eq!(script, "export PIP_INDEX_URL='https://mirror/simple'\nexport TOKEN='it'\\''s'\n");
    }
}
