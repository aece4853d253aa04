//! Who one is at a registry, as the usual tools keep it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use docker_credential::{CredentialRetrievalError as Problem, DockerCredential};
use oci_client::secrets::RegistryAuth;

use super::error::Error;

/// The name of Docker Hub in credential files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// A helper may ask a service, but no person.
const PATIENCE: Duration = Duration::from_secs(30);

/// The credentials for a registry; anonymous if there are none.
pub(super) async fn find(registry: &str) -> Result<RegistryAuth, Error> {
    let failed = |why: String| Error::Credentials { registry: registry.to_owned(), why };
    let server = if matches!(registry, "docker.io" | "index.docker.io") { DOCKER_HUB } else { registry }.to_owned();
    let files = files(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
    let read = tokio::task::spawn_blocking(move || files.iter().find_map(|file| read(file, &server)).transpose());
    let found = tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| failed(format!("the credential helper has not answered for {} s", PATIENCE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(match found.map_err(failed)? {
        Some(DockerCredential::UsernamePassword(name, password)) => RegistryAuth::Basic(name, password),
        // An identity token is what is exchanged for access: some registries take it as the password of nobody.
        Some(DockerCredential::IdentityToken(token)) => {
            RegistryAuth::Basic("00000000-0000-0000-0000-000000000000".to_owned(), token)
        }
        None => RegistryAuth::Anonymous,
    })
}

/// Where credentials may be, most particular first: podman's order, then docker's.
fn files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    // Whoever names a file means that one.
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = variable("HOME").or_else(|| variable("USERPROFILE"));
    let below = |folder: Option<PathBuf>, path: &str| folder.map(|folder| folder.join(path));
    [
        below(variable("XDG_RUNTIME_DIR"), "containers/auth.json"),
        below(variable("XDG_CONFIG_HOME").or_else(|| below(home.clone(), ".config")), "containers/auth.json"),
        below(variable("DOCKER_CONFIG").or_else(|| below(home, ".docker")), "config.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a file, or the helper that it names, knows of a server.
fn read(file: &Path, server: &str) -> Option<Result<DockerCredential, String>> {
    let reader = std::fs::File::open(file).ok()?;
    match docker_credential::get_credential_from_reader(std::io::BufReader::new(reader), server) {
        Ok(credential) => Some(Ok(credential)),
        Err(Problem::NoCredentialConfigured | Problem::ConfigNotFound) => None,
        // Its output may hold a secret; only that there are no credentials is no failure.
        Err(Problem::HelperFailure { helper, stdout, stderr }) => {
            let none = |text: &str| text.contains("credentials not found");
            let failed = || Err(format!("the helper {helper}, named in {}, has failed", file.display()));
            (!none(&stdout) && !none(&stderr)).then(failed)
        }
        Err(problem) => Some(Err(format!("{} ({})", problem.to_string().to_lowercase(), file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_is_the_only_one_and_podmans_go_before_dockers() {
        let variable = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/ann")),
            "XDG_RUNTIME_DIR" => Some(PathBuf::from("/run/user/1")),
            _ => None,
        };
        let expected = [
            "/run/user/1/containers/auth.json",
            "/home/ann/.config/containers/auth.json",
            "/home/ann/.docker/config.json",
        ];
        assert_eq!(files(variable), expected.map(PathBuf::from));
        let named =
            |name: &str| if name == "REGISTRY_AUTH_FILE" { Some("/ci/auth.json".into()) } else { variable(name) };
        assert_eq!(files(named), [PathBuf::from("/ci/auth.json")]);
    }

    #[test]
    fn a_file_tells_only_of_the_registries_that_it_has() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("auth.json");
        // ann:secret
        std::fs::write(&file, r#"{"auths":{"ml.example.org":{"auth":"YW5uOnNlY3JldA=="}}}"#).expect("written");
        let credential = read(&file, "ml.example.org").expect("found").expect("read");
        assert_eq!(credential, DockerCredential::UsernamePassword("ann".into(), "secret".into()));
        assert!(read(&file, "other.example.org").is_none());
        assert!(read(&folder.path().join("absent"), "ml.example.org").is_none());
    }

    #[test]
    fn a_broken_file_or_helper_is_named_without_what_it_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("auth.json");
        std::fs::write(&file, "{").expect("written");
        let problem = read(&file, "ml.example.org").expect("read").expect_err("broken");
        assert!(problem.contains("auth.json"), "{problem}");
        std::fs::write(&file, r#"{"credHelpers":{"ml.example.org":"there-is-no-such-helper"}}"#).expect("written");
        assert!(read(&file, "ml.example.org").expect("read").is_err());
    }
}
