//! What is checked and planned beyond the schema's own rules.

use serving::traffic::{BasisPoints, PercentError};
use tfplugin::{Attr, Diagnostics, Number, Plan};

use super::model::EndpointVersion;
use crate::cluster::{EndpointId, EndpointVersionId};
use crate::deployment::{self, checks, schema::state};
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;

/// A percentage as users write it.
pub fn share(percent: &Number) -> Result<BasisPoints, PercentError> {
    percent.to_string().parse()
}

/// Everything that a configuration shows to be wrong by itself. What is unknown is taken for right.
pub(super) fn check(config: &EndpointVersion) -> Diagnostics {
    let mut found = Diagnostics::new();
    let endpoint = match config.endpoint_id.as_deref().map(str::parse::<EndpointId>) {
        Some(Err(problem)) => {
            found.push(checks::wrong("endpoint_id", problem));
            None
        }
        Some(Ok(endpoint)) => Some(endpoint),
        None => None,
    };
    if let Attr::Known(percent) = &config.traffic_percentile
        && let Err(problem) = share(percent)
    {
        found.push(checks::wrong("traffic_percentile", problem));
    }
    let home = endpoint.as_ref().map(|endpoint| &endpoint.compute.workspace);
    checks::configuration(&config.deployment, home, &mut found);
    found
}

/// Fills in what can be known before apply, and lets what has changed outside of the configuration show as a change.
pub(super) async fn plan(plan: &mut Plan<EndpointVersion>, settings: &Settings) -> Result<(), Diagnostics> {
    let prior = plan.prior.clone();
    let Some(planned) = &mut plan.planned else { return Ok(()) };
    if let Some(prior) = &prior {
        prior.labels.check_properties(&planned.labels)?;
    }
    planned.id = match planned_id(planned) {
        Ok(id) if prior.is_some() => id.to_string().into(),
        _ => Attr::Unknown,
    };
    deployment::plan::plan(prior.as_ref().map(|prior| &prior.deployment), &mut planned.deployment, settings).await?;
    if let Some(prior) = &prior {
        let changes = !same_declaration(prior, planned) || prior.state.as_deref() == Some(state::TRANSITIONING);
        (planned.state, planned.updated_time) =
            if changes { (Attr::Unknown, Attr::Unknown) } else { (prior.state.clone(), prior.updated_time.clone()) };
    }
    Ok(())
}

/// The id that a plan leads to.
pub(super) fn planned_id(planned: &EndpointVersion) -> Result<EndpointVersionId, Diagnostics> {
    let endpoint = planned.endpoint_id.require("endpoint_id")?.parse().or_explain("Invalid endpoint_id")?;
    Ok(EndpointVersionId { endpoint, name: planned.name.require("name")?.clone() })
}

/// Whether a plan declares what the state has.
pub(super) fn same_declaration(prior: &EndpointVersion, planned: &EndpointVersion) -> bool {
    let declaration = |model: &EndpointVersion| EndpointVersion {
        state: Attr::Null,
        updated_time: Attr::Null,
        timeouts: tfplugin::Timeouts::default(),
        ..model.clone()
    };
    declaration(prior) == declaration(planned)
}
