//! What is checked before anything is done, beyond the schema: ranges, ids, files.

use std::collections::BTreeMap;
use std::path::Path;

use serving::validate::{self, Settings, Violation};
use tfplugin::{Attr, AttributePath, Diagnostic, Diagnostics};

use super::model::{Deployment, RolloutConfig};
use crate::workspace::snapshot::{Snapshot, SnapshotError};
use crate::workspace::{Digest, EnvironmentId, ModelVersionId, WorkspaceId};

/// Path of a field as the rules name it, such as `rollout.max_surge` or `model_ids[2]`.
#[must_use]
pub fn path(field: &str) -> AttributePath {
    field.split('.').fold(AttributePath::root(), |path, part| match part.split_once('[') {
        Some((name, index)) => {
            let path = path.child(name);
            index.trim_end_matches(']').parse().map_or(path.clone(), |index| path.index(index))
        }
        None => path.child(part),
    })
}

/// A broken rule as an error on its attribute.
#[must_use]
pub fn violation(violation: &Violation) -> Diagnostic {
    Diagnostic::error(format!("Invalid {}", violation.field), format!("{violation}.")).at(path(&violation.field))
}

/// An error on an attribute.
#[must_use]
pub fn wrong(field: &str, problem: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(format!("Invalid {field}"), format!("{problem}.")).at(path(field))
}

/// Everything that a configuration shows to be wrong by itself. What is unknown is taken for right. `home` is the workspace
/// of the compute, where known.
pub fn configuration(config: &Deployment, home: Option<&WorkspaceId>, found: &mut Diagnostics) {
    for broken in validate::settings(&settings(config)) {
        found.push(violation(&broken));
    }
    ids(config, home, found);
}

fn settings(config: &Deployment) -> Settings {
    let rollout = config.rollout.clone().unwrap_or_default();
    let RolloutConfig { max_surge, max_unavailable, recreate, progress_deadline_seconds } = rollout;
    // The rules about several fields need all of them.
    let open = max_surge.is_unknown() || max_unavailable.is_unknown() || recreate.is_unknown();
    let together = |value: Attr<i64>| value.known().filter(|value| !open || *value != 0);
    Settings {
        num_replicas: config.num_replicas.known(),
        // Fixed, also while the number is unknown.
        autoscale_enabled: config.num_replicas.get().map(|_| false),
        scoring_timeout_ms: config.scoring_timeout_ms.known(),
        replica_max_concurrent_requests: config.replica_max_concurrent_requests.known(),
        max_request_wait_time: config.max_request_wait_time.known(),
        model_count: config.model_ids.get().map(Vec::len),
        entry_script: config.inference().entry_script.known(),
        rollout_max_surge: together(max_surge),
        rollout_max_unavailable: together(max_unavailable),
        rollout_recreate: recreate.known().filter(|_| !open),
        rollout_progress_deadline_seconds: progress_deadline_seconds.known(),
        ..config.pod.settings()
    }
}

fn ids(config: &Deployment, home: Option<&WorkspaceId>, found: &mut Diagnostics) {
    let elsewhere = |workspace: &WorkspaceId| {
        home.filter(|home| *home != workspace)
            .map(|home| format!("it is in workspace {workspace}, but the compute is in workspace {home}"))
    };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, id) in config.model_ids.get().into_iter().flatten().enumerate() {
        let field = format!("model_ids[{index}]");
        match id.parse::<ModelVersionId>() {
            Err(problem) => found.push(wrong(&field, problem)),
            Ok(model) => {
                if let Some(problem) = elsewhere(&model.model.workspace) {
                    found.push(wrong(&field, format_args!("{id} cannot be used here: {problem}")));
                }
            }
        }
        if let Some(first) = seen.insert(id, index) {
            found.push(wrong(&field, format_args!("{id} is already model_ids[{first}]; name each model version once")));
        }
    }
    if let Attr::Known(id) = &config.inference().environment_id {
        let field = "inference_config.environment_id";
        match id.parse::<EnvironmentId>() {
            Err(problem) => found.push(wrong(field, problem)),
            Ok(environment) => {
                if let Some(problem) = elsewhere(&environment.workspace) {
                    found.push(wrong(field, format_args!("{id} cannot be used here: {problem}")));
                }
            }
        }
    }
}

/// What the source directory holds.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its files.
    pub snapshot: Snapshot,
    /// Digest of the snapshot.
    pub digest: Digest,
    /// Its base name.
    pub directory: String,
}

/// Looks at the source directory and its entry script, which may be unknown. Reads every file.
pub fn source(directory: &str, entry_script: Option<&str>) -> Result<Source, Diagnostics> {
    const FIELD: &str = "inference_config.source_directory";
    let unusable = |error: SnapshotError| Diagnostics::from(wrong(FIELD, error));
    let snapshot = Snapshot::of(Path::new(directory)).map_err(unusable)?;
    let name = snapshot.directory_name().map_err(|error| unusable(error.into()))?;
    if name == serving::wire::MODELS_DIRECTORY {
        let problem = "it must not be called azureml-models, for the models' folder beside it has that name";
        return Err(wrong(FIELD, format_args!("{directory} cannot be used: {problem}")).into());
    }
    if let Some(script) = entry_script {
        snapshot.check_entry_script(script).map_err(|error| wrong("inference_config.entry_script", error))?;
    }
    let digest = snapshot.digest().map_err(unusable)?;
    Ok(Source { snapshot, digest, directory: name })
}
