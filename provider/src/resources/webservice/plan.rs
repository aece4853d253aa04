//! What is planned beyond the schema's own rules.

use tfplugin::{Attr, Diagnostics, Plan};

use super::model::Webservice;
use super::schema::state;
use super::{checks, prepare};
use crate::cluster::ServiceId;
use crate::diagnostics::OrExplain as _;
use crate::workspace::{Catalogue, EnvironmentBody, EnvironmentId};

/// Fills in what can be known before apply, and lets what has changed outside of the configuration show as a change.
pub(super) async fn plan(plan: &mut Plan<Webservice>) -> Result<(), Diagnostics> {
    let prior = plan.prior.clone();
    let config = plan.config.clone().unwrap_or_default();
    let Some(planned) = &mut plan.planned else { return Ok(()) };
    if let Some(prior) = &prior {
        checks::properties(prior, planned)?;
    }
    planned.id = match planned_id(planned) {
        Ok(id) if prior.is_some() => id.to_string().into(),
        // It could be told, but then what reads the service by it would do so while planning, before it is there.
        _ => Attr::Unknown,
    };
    plan_key_versions(&config, prior.as_ref(), planned);
    let inference = planned.inference();
    planned.code_digest = match inference.source_directory {
        Attr::Known(directory) => {
            let source = prepare::read_source(directory, inference.entry_script.known()).await?;
            source.digest.to_string().into()
        }
        _ => Attr::Unknown,
    };
    plan_environment(prior.as_ref(), planned).await?;
    if let Some(prior) = &prior {
        let changes = !same_declaration(prior, planned) || prior.state.as_deref() == Some(state::TRANSITIONING);
        (planned.state, planned.updated_time) =
            if changes { (Attr::Unknown, Attr::Unknown) } else { (prior.state.clone(), prior.updated_time.clone()) };
    }
    Ok(())
}

/// The id that a plan leads to.
pub(super) fn planned_id(planned: &Webservice) -> Result<ServiceId, Diagnostics> {
    let compute = planned.compute_id.require("compute_id")?.parse().or_explain("Invalid compute_id")?;
    Ok(ServiceId { compute, name: planned.name.require("name")?.clone() })
}

/// Key versions begin with 1 and stay what they are while they are not configured.
fn plan_key_versions(config: &Webservice, prior: Option<&Webservice>, planned: &mut Webservice) {
    let version = |config: Attr<i64>, prior: Option<Attr<i64>>, planned: Attr<i64>| match config {
        Attr::Null => prior.and_then(Attr::known).filter(|version| *version > 0).unwrap_or(1).into(),
        _ => planned,
    };
    planned.primary_key_version =
        version(config.primary_key_version, prior.map(|prior| prior.primary_key_version), planned.primary_key_version);
    planned.secondary_key_version = version(
        config.secondary_key_version,
        prior.map(|prior| prior.secondary_key_version),
        planned.secondary_key_version,
    );
}

/// The environment's version stays known while the environment has it; else apply tells.
async fn plan_environment(prior: Option<&Webservice>, planned: &mut Webservice) -> Result<(), Diagnostics> {
    planned.environment_version = Attr::Unknown;
    let (Some(prior), Attr::Known(id)) = (prior, planned.inference().environment_id) else { return Ok(()) };
    if prior.inference().environment_id.as_deref() != Some(id.as_str()) {
        return Ok(());
    }
    let id: EnvironmentId = id.parse().or_explain("Invalid inference_config.environment_id")?;
    let found =
        Catalogue::open(&id.workspace).or_explain("Cannot open the workspace")?.find::<EnvironmentBody>(&id.name).await;
    let found = found.or_explain(format!("Cannot read environment {}", id.name))?;
    // Gone: nothing to roll to, and the replicas run on.
    let now = found.map(|environment| i64::try_from(environment.body.version).unwrap_or(i64::MAX));
    if now.is_none() || now == prior.environment_version.known() {
        planned.environment_version = prior.environment_version;
    }
    Ok(())
}

/// Whether a plan declares what the state has.
pub(super) fn same_declaration(prior: &Webservice, planned: &Webservice) -> bool {
    let declaration = |model: &Webservice| Webservice {
        state: Attr::Null,
        updated_time: Attr::Null,
        timeouts: tfplugin::Timeouts::default(),
        primary_key_wo: Attr::Null,
        secondary_key_wo: Attr::Null,
        ..model.clone()
    };
    declaration(prior) == declaration(planned)
}
