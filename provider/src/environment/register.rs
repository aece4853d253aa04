//! Registering environments.

use std::collections::BTreeMap;

use serde::Serialize;

use super::definition::parse;
use super::error::Error;
use super::image::{self, Base, Places};
use super::lock::resolve;
use super::process::Log;
use super::python::{Python, same_minor};
use super::uv::Uv;
use super::wheel::{Scorers, Wheel};
use super::{build, prepare};
use crate::registry::Registries;
use crate::workspace::blob::Digest;
use crate::workspace::claim::{Begun, spec_digest};
use crate::workspace::document::{Definition, Docker, Resolved, Scorer};
use crate::workspace::{Catalogue, EnvironmentBody, Revision, WorkspaceBody};

/// What an environment is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnvironmentSpec {
    /// `pip_requirements` or `conda_file`.
    pub definition: Definition,
    /// `docker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
    /// `environment_variables`.
    pub environment_variables: Option<BTreeMap<String, String>>,
    /// `scorer_version`. None: the newest one that is there at the create, and later the one that it has.
    pub scorer_version: Option<String>,
}

/// What environments are made with, beside what the workspace holds.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// Where wheels of the scorer are.
    pub scorers: &'a Scorers,
    /// How registries are reached, and images built.
    pub registries: &'a Registries,
}

/// Registers a new environment and builds it, takes up an interrupted registration, or adopts a finished one.
pub async fn register_environment(
    catalogue: &Catalogue,
    name: &str,
    owner: &str,
    spec: &EnvironmentSpec,
    means: Means<'_>,
) -> Result<Revision<EnvironmentBody>, Error> {
    let definition = parse(&spec.definition, spec.docker.as_ref())?;
    let places = places(catalogue, means).await?;
    let body = EnvironmentBody {
        definition: spec.definition.clone(),
        docker: spec.docker.clone(),
        environment_variables: spec.environment_variables.clone(),
        version: 1,
        hash: definition.hash(),
        resolved: None,
        base: None,
        image: None,
    };
    let intent = match catalogue.begin(name, owner, spec_digest(spec), body).await? {
        Begun::Adopted(environment) => {
            if places.is_none() {
                prepare(catalogue, &environment).await?;
            }
            return Ok(environment);
        }
        Begun::Intent(intent) => intent,
    };
    let held = catalogue.hold_blobs().await?;
    let work = Work { catalogue, means, places: places.as_ref(), definition: &definition };
    let made = work.make(&intent, spec).await;
    match made.and_then(|body| Ok(held.check().map(|()| body)?)) {
        Ok(body) => Ok(catalogue.commit(intent, body).await?),
        Err(error) => {
            catalogue.abandon(&intent).await;
            Err(error)
        }
    }
}

/// Brings an environment to a specification. A changed definition or scorer is resolved and built before the document
/// changes, so a failure leaves the environment as it was.
pub async fn update_environment(
    catalogue: &Catalogue,
    name: &str,
    spec: &EnvironmentSpec,
    means: Means<'_>,
) -> Result<Revision<EnvironmentBody>, Error> {
    let before: Revision<EnvironmentBody> = catalogue.get(name).await?;
    let definition = parse(&spec.definition, spec.docker.as_ref())?;
    let hash = definition.hash();
    let places = places(catalogue, means).await?;
    let work = Work { catalogue, means, places: places.as_ref(), definition: &definition };
    let held = catalogue.hold_blobs().await?;
    let same_scorer = |resolved: &Resolved| spec.scorer_version.as_ref().is_none_or(|v| *v == resolved.scorer.version);
    let (resolved, kept) = match &before.body.resolved {
        Some(resolved) if before.body.hash == hash && same_scorer(resolved) => (resolved.clone(), true),
        resolved => {
            let (scorer, kept) = scorer_of(catalogue, spec, means.scorers, resolved.as_ref()).await?;
            let unchanged = resolved.as_ref().filter(|_| before.body.hash == hash);
            (work.resolve(spec, (&scorer, kept), unchanged).await?, false)
        }
    };
    let mut wanted = EnvironmentBody {
        definition: spec.definition.clone(),
        docker: spec.docker.clone(),
        hash: hash.clone(),
        resolved: Some(resolved.clone()),
        ..before.body.clone()
    };
    work.build(&mut wanted, kept).await?;
    let change = |body: &mut EnvironmentBody| {
        let old = body.clone();
        body.definition = spec.definition.clone();
        body.docker.clone_from(&spec.docker);
        body.environment_variables.clone_from(&spec.environment_variables);
        body.hash.clone_from(&hash);
        body.resolved = Some(resolved.clone());
        (body.base, body.image) = (wanted.base.clone(), wanted.image.clone());
        // What runs depends on these; another spelling of the same definition is no new version.
        let same = runs(&old) == runs(body);
        body.version = old.version + u64::from(!same);
    };
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

/// The wanted scorer: the one that the environment has, if it is that, with the digest of its wheel, which the workspace
/// keeps; else one beside the provider.
async fn scorer_of(
    catalogue: &Catalogue,
    spec: &EnvironmentSpec,
    scorers: &Scorers,
    before: Option<&Resolved>,
) -> Result<(Wheel, Option<Digest>), Error> {
    let Some(kept) = before
        .map(|resolved| &resolved.scorer)
        .filter(|scorer| spec.scorer_version.as_ref().is_none_or(|version| *version == scorer.version))
    else {
        return Ok((scorers.find(spec.scorer_version.as_deref())?, None));
    };
    let folder = tempfile::tempdir().map_err(|source| Error::Io {
        action: "create a folder in",
        path: std::env::temp_dir(),
        source,
    })?;
    let path = folder.path().join(&kept.file);
    catalogue.copy_blob(&kept.wheel, &path).await?;
    Ok((Wheel::read(&path)?, Some(kept.wheel)))
}

/// What of an environment the replicas depend on.
fn runs(body: &EnvironmentBody) -> (BTreeMap<String, String>, &str, Option<&Resolved>, Option<&str>) {
    let variables = body.environment_variables.clone().unwrap_or_default();
    (variables, &body.hash, body.resolved.as_ref(), body.image.as_deref())
}

/// The registries of the workspace, if it has any.
async fn places(catalogue: &Catalogue, means: Means<'_>) -> Result<Option<Places>, Error> {
    match catalogue.find::<WorkspaceBody>("").await? {
        Some(workspace) => Places::of(&workspace.body, means.registries),
        None => Ok(None),
    }
}

/// One making of an environment.
struct Work<'a> {
    catalogue: &'a Catalogue,
    means: Means<'a>,
    places: Option<&'a Places>,
    definition: &'a serving::environment::Definition,
}

impl Work<'_> {
    /// Resolves and builds what an intent is for.
    async fn make(&self, intent: &Revision<EnvironmentBody>, spec: &EnvironmentSpec) -> Result<EnvironmentBody, Error> {
        let scorer = self.means.scorers.find(spec.scorer_version.as_deref())?;
        let mut body = intent.body.clone();
        body.resolved = Some(self.resolve(spec, (&scorer, None), None).await?);
        self.build(&mut body, false).await?;
        Ok(body)
    }

    /// Decides everything that the definition leaves open. Call with blobs held.
    async fn resolve(
        &self,
        spec: &EnvironmentSpec,
        scorer: (&Wheel, Option<Digest>),
        before: Option<&Resolved>,
    ) -> Result<Resolved, Error> {
        let mut wanted =
            before.map_or_else(|| self.definition.python.clone(), |before| Some(same_minor(&before.python)));
        if let (None, Some(places)) = (&wanted, self.places) {
            // The packages are for the Python that the image will have.
            wanted = places.python(&image::Wanted::of(spec.docker.as_ref(), self.means.registries)).await?;
        }
        resolve_all(self.catalogue, self.definition, scorer, wanted.as_deref(), before).await
    }

    /// Builds at once what services will run from, so that a package that does not install is this resource's error and
    /// not that of the first service: the image where the workspace has a registry, else the virtual environment where
    /// the workspace is a directory. `kept`: what is built from is what it was.
    async fn build(&self, body: &mut EnvironmentBody, kept: bool) -> Result<(), Error> {
        let (Some(resolved), Some(key)) = (body.resolved.clone(), body.build_key()) else { return Ok(()) };
        let Some(places) = self.places else {
            (body.base, body.image) = (None, None);
            if self.catalogue.directory().is_some() {
                build::check_virtual_environment(body)?;
                build::build(self.catalogue, &key, &resolved).await?;
            }
            return Ok(());
        };
        if kept && places.still_has(body.image.as_deref()).await? {
            return Ok(());
        }
        let wanted = image::Wanted::of(body.docker.as_ref(), self.means.registries);
        let before: Option<Base> = body.base.take();
        let base = places.pin(&wanted, &resolved.python, before.as_ref(), kept).await?;
        body.image = Some(places.ensure(self.catalogue, body, &base).await?);
        body.base = Some(base);
        Ok(())
    }
}

/// Finds Python, resolves the packages for it, and keeps the scorer. Call with blobs held.
async fn resolve_all(
    catalogue: &Catalogue,
    definition: &serving::environment::Definition,
    (scorer, kept): (&Wheel, Option<Digest>),
    wanted: Option<&str>,
    before: Option<&Resolved>,
) -> Result<Resolved, Error> {
    let io = |action, path: &std::path::Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    let folder = tempfile::tempdir().map_err(io("create a folder in", &std::env::temp_dir()))?;
    let log = Log::create(&folder.path().join("log")).map_err(io("write in", folder.path()))?;
    let uv = Uv::find().await?;
    let python = Python::find(&uv, wanted, &log).await?;
    let lock = resolve(&uv, definition, scorer, &python, before.map(|before| before.lock.as_str())).await?;
    let wheel = if let Some(wheel) = kept {
        wheel
    } else {
        let bytes = tokio::fs::read(&scorer.path).await.map_err(io("read", &scorer.path))?;
        catalogue.put_blob(bytes.into()).await?
    };
    let scorer = Scorer { version: scorer.version.clone(), file: scorer.file.clone(), wheel };
    Ok(Resolved { lock, python: python.version, platform: python.platform, scorer })
}
