//! Registering environments.

use std::collections::BTreeMap;

use serde::Serialize;

use super::definition::parse;
use super::error::Error;
use super::lock::resolve;
use super::process::Log;
use super::python::{Python, same_minor};
use super::uv::Uv;
use super::wheel::{Scorers, Wheel};
use super::{build, prepare};
use crate::workspace::blob::Digest;
use crate::workspace::claim::{Begun, spec_digest};
use crate::workspace::document::{Definition, Resolved, Scorer};
use crate::workspace::{Catalogue, EnvironmentBody, Revision};

/// What an environment is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnvironmentSpec {
    /// `pip_requirements` or `conda_file`.
    pub definition: Definition,
    /// `environment_variables`.
    pub environment_variables: Option<BTreeMap<String, String>>,
    /// `scorer_version`. None: the newest one that is there at the create, and later the one that it has.
    pub scorer_version: Option<String>,
}

/// Registers a new environment and builds it, takes up an interrupted registration, or adopts a finished one.
pub async fn register_environment(
    catalogue: &Catalogue,
    name: &str,
    owner: &str,
    spec: &EnvironmentSpec,
    scorers: &Scorers,
) -> Result<Revision<EnvironmentBody>, Error> {
    let definition = parse(&spec.definition)?;
    let body = EnvironmentBody {
        definition: spec.definition.clone(),
        environment_variables: spec.environment_variables.clone(),
        version: 1,
        hash: definition.hash(),
        resolved: None,
        image: None,
    };
    let intent = match catalogue.begin(name, owner, spec_digest(spec), body).await? {
        Begun::Adopted(environment) => {
            prepare(catalogue, &environment).await?;
            return Ok(environment);
        }
        Begun::Intent(intent) => intent,
    };
    let held = catalogue.hold_blobs().await?;
    let made = make(catalogue, &intent, &definition, spec, scorers).await;
    match made.and_then(|body| Ok(held.check().map(|()| body)?)) {
        Ok(body) => Ok(catalogue.commit(intent, body).await?),
        Err(error) => {
            catalogue.abandon(&intent).await;
            Err(error)
        }
    }
}

/// Resolves and builds what an intent is for.
async fn make(
    catalogue: &Catalogue,
    intent: &Revision<EnvironmentBody>,
    definition: &serving::environment::Definition,
    spec: &EnvironmentSpec,
    scorers: &Scorers,
) -> Result<EnvironmentBody, Error> {
    let scorer = scorers.find(spec.scorer_version.as_deref())?;
    let mut body = intent.body.clone();
    body.resolved = Some(resolve_all(catalogue, definition, &scorer, None).await?);
    build_body(catalogue, &body).await?;
    Ok(body)
}

/// Brings an environment to a specification. A changed definition or scorer is resolved and built before the document
/// changes, so a failure leaves the environment as it was.
pub async fn update_environment(
    catalogue: &Catalogue,
    name: &str,
    spec: &EnvironmentSpec,
    scorers: &Scorers,
) -> Result<Revision<EnvironmentBody>, Error> {
    let before: Revision<EnvironmentBody> = catalogue.get(name).await?;
    let definition = parse(&spec.definition)?;
    let hash = definition.hash();
    let held = catalogue.hold_blobs().await?;
    let same_scorer = |resolved: &Resolved| spec.scorer_version.as_ref().is_none_or(|v| *v == resolved.scorer.version);
    let resolved = match &before.body.resolved {
        Some(resolved) if before.body.hash == hash && same_scorer(resolved) => resolved.clone(),
        resolved => {
            let scorer = scorer_of(catalogue, spec, scorers, resolved.as_ref()).await?;
            let unchanged = resolved.as_ref().filter(|_| before.body.hash == hash);
            resolve_all(catalogue, &definition, &scorer, unchanged).await?
        }
    };
    let change = |body: &mut EnvironmentBody| {
        let old = body.clone();
        body.definition = spec.definition.clone();
        body.environment_variables.clone_from(&spec.environment_variables);
        body.hash.clone_from(&hash);
        body.resolved = Some(resolved.clone());
        // What runs depends on these three; another spelling of the same definition is no new version.
        let variables = |body: &EnvironmentBody| body.environment_variables.clone().unwrap_or_default();
        let same = (variables(&old), &old.hash, &old.resolved) == (variables(body), &body.hash, &body.resolved);
        body.version = old.version + u64::from(!same);
    };
    let mut wanted = before.body.clone();
    change(&mut wanted);
    build_body(catalogue, &wanted).await?;
    held.check()?;
    let updated = catalogue.update(name, change).await?;
    drop(held);
    crate::tidy::tidy(catalogue).await;
    Ok(updated)
}

/// Removes an environment. What services name of it stays as long as they do.
pub async fn remove_environment(catalogue: &Catalogue, name: &str) -> Result<(), Error> {
    catalogue.remove::<EnvironmentBody>(name).await?;
    crate::tidy::tidy(catalogue).await;
    Ok(())
}

/// The wanted scorer: the one that the environment has, if it is that, else one beside the provider.
async fn scorer_of(
    catalogue: &Catalogue,
    spec: &EnvironmentSpec,
    scorers: &Scorers,
    before: Option<&Resolved>,
) -> Result<Wheel, Error> {
    let Some(kept) = before
        .map(|resolved| &resolved.scorer)
        .filter(|scorer| spec.scorer_version.as_ref().is_none_or(|version| *version == scorer.version))
    else {
        return scorers.find(spec.scorer_version.as_deref());
    };
    let folder = tempfile::tempdir().map_err(|source| Error::Io {
        action: "create a folder in",
        path: std::env::temp_dir(),
        source,
    })?;
    let path = folder.path().join(&kept.file);
    catalogue.copy_blob(&kept.wheel, &path).await?;
    let mut wheel = Wheel::read(&path)?;
    // The workspace has it already; see `resolve_all`.
    wheel.path = catalogue.blob_file(&kept.wheel).unwrap_or_default();
    Ok(wheel)
}

/// Decides everything that a definition leaves open. Call with blobs held.
async fn resolve_all(
    catalogue: &Catalogue,
    definition: &serving::environment::Definition,
    scorer: &Wheel,
    before: Option<&Resolved>,
) -> Result<Resolved, Error> {
    let io = |action, path: &std::path::Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    let folder = tempfile::tempdir().map_err(io("create a folder in", &std::env::temp_dir()))?;
    let log = Log::create(&folder.path().join("log")).map_err(io("write in", folder.path()))?;
    let uv = Uv::find().await?;
    let wanted = before.map_or_else(|| definition.python.clone(), |before| Some(same_minor(&before.python)));
    let python = Python::find(&uv, wanted.as_deref(), &log).await?;
    let lock = resolve(&uv, definition, scorer, &python, before.map(|before| before.lock.as_str())).await?;
    let bytes = tokio::fs::read(&scorer.path).await.map_err(io("read", &scorer.path))?;
    let wheel: Digest = catalogue.put_blob(bytes.into()).await?;
    let scorer = Scorer { version: scorer.version.clone(), file: scorer.file.clone(), wheel };
    Ok(Resolved { lock, python: python.version, platform: python.platform, scorer })
}

/// Builds at once where services will run from this directory, so that a package that does not install is this
/// resource's error and not that of the first service.
async fn build_body(catalogue: &Catalogue, body: &EnvironmentBody) -> Result<(), Error> {
    if let (Some(_), Some(key), Some(resolved)) = (catalogue.directory(), body.build_key(), &body.resolved) {
        build::build(catalogue, &key, resolved).await?;
    }
    Ok(())
}
