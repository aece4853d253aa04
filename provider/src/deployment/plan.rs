//! What is planned of a deployment beyond the schema's own rules.

use std::time::Duration;

use tfplugin::{Attr, Context, Diagnostic, Diagnostics};

use super::model::Deployment;
use super::{pod, prepare};
use crate::cluster;
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::workspace::{ComputeId, EnvironmentBody, EnvironmentId};

/// How long a plan waits for what is only a warning.
const SHORTAGE_PATIENCE: Duration = Duration::from_secs(5);

/// Fills in what can be known before apply, and lets what has changed outside of the configuration show as a change.
pub async fn plan(
    prior: Option<&Deployment>,
    planned: &mut Deployment,
    settings: &Settings,
) -> Result<(), Diagnostics> {
    let inference = planned.inference();
    planned.code_digest = match inference.source_directory {
        Attr::Known(directory) => {
            let source = prepare::read_source(directory, inference.entry_script.known()).await?;
            source.digest.to_string().into()
        }
        _ => Attr::Unknown,
    };
    plan_environment(prior, planned, settings).await
}

/// The environment's version stays known while the environment has it; else apply tells.
async fn plan_environment(
    prior: Option<&Deployment>,
    planned: &mut Deployment,
    settings: &Settings,
) -> Result<(), Diagnostics> {
    planned.environment_version = Attr::Unknown;
    let (Some(prior), Attr::Known(id)) = (prior, planned.inference().environment_id) else { return Ok(()) };
    if prior.inference().environment_id.as_deref() != Some(id.as_str()) {
        return Ok(());
    }
    let id: EnvironmentId = id.parse().or_explain("Invalid inference_config.environment_id")?;
    let found = settings
        .catalogue(&id.workspace)
        .or_explain("Cannot open the workspace")?
        .find::<EnvironmentBody>(&id.name)
        .await;
    let found = found.or_explain(format!("Cannot read environment {}", id.name))?;
    // Gone: nothing to roll to, and the replicas run on.
    let now = found.map(|environment| i64::try_from(environment.body.version).unwrap_or(i64::MAX));
    if now.is_none() || now == prior.environment_version.known() {
        planned.environment_version = prior.environment_version;
    }
    Ok(())
}

/// Warns when no node of the cluster could ever run what is planned anew. Where that cannot be found out, it does not.
pub async fn warn_of_shortage(
    context: &mut Context<Settings>,
    prior: Option<&Deployment>,
    planned: &Deployment,
    compute: &ComputeId,
) {
    if prior.is_some_and(|prior| prior.pod == planned.pod) {
        return;
    }
    let (settings, wanted) = (context.data(), pod::Configured::of(&planned.pod).effective(0));
    let look = async { cluster::open(compute, &settings).await.ok()??.shortage(&wanted).await.ok()? };
    let Ok(Some(shortage)) = tokio::time::timeout(SHORTAGE_PATIENCE, look).await else { return };
    let warning = Diagnostic::warning(
        "No node can run the replicas",
        format!(
            "In compute {}, {}.\n\nThe replicas wait until there is such a node. Unless the cluster adds one by \
             itself, ask for less, or add nodes.",
            compute.name, shortage.reason
        ),
    );
    context.warn(warning.at_attribute(shortage.attribute));
}
