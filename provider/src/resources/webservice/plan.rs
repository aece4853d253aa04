//! What is checked and planned beyond the schema's own rules.

use tfplugin::{Attr, Diagnostics, Plan};

use super::model::Webservice;
use crate::access::Access;
use crate::cluster::ServiceId;
use crate::deployment::{self, checks, schema::state};
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::workspace::ComputeId;

/// Everything that a configuration shows to be wrong by itself. What is unknown is taken for right.
pub(super) fn check(config: &Webservice) -> Diagnostics {
    let mut found = Diagnostics::new();
    config.access.check(&mut found);
    let compute = match config.compute_id.as_deref().map(str::parse::<ComputeId>) {
        Some(Err(problem)) => {
            found.push(checks::wrong("compute_id", problem));
            None
        }
        Some(Ok(compute)) => Some(compute),
        None => None,
    };
    checks::configuration(&config.deployment, compute.as_ref().map(|compute| &compute.workspace), &mut found);
    found
}

/// Fills in what can be known before apply, and lets what has changed outside of the configuration show as a change.
pub(super) async fn plan(plan: &mut Plan<Webservice>, settings: &Settings) -> Result<(), Diagnostics> {
    let prior = plan.prior.clone();
    let config = plan.config.clone().unwrap_or_default();
    let Some(planned) = &mut plan.planned else { return Ok(()) };
    if let Some(prior) = &prior {
        prior.labels.check_properties(&planned.labels)?;
    }
    planned.id = match planned_id(planned) {
        Ok(id) if prior.is_some() => id.to_string().into(),
        // It could be told, but then what reads the service by it would do so while planning, before it is there.
        _ => Attr::Unknown,
    };
    planned.access.plan(&config.access, prior.as_ref().map(|prior| &prior.access));
    deployment::plan::plan(prior.as_ref().map(|prior| &prior.deployment), &mut planned.deployment, settings).await?;
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

/// Whether a plan declares what the state has.
pub(super) fn same_declaration(prior: &Webservice, planned: &Webservice) -> bool {
    let declaration = |model: &Webservice| Webservice {
        access: Access::default(),
        state: Attr::Null,
        updated_time: Attr::Null,
        timeouts: tfplugin::Timeouts::default(),
        ..model.clone()
    };
    prior.access.same(&planned.access) && declaration(prior) == declaration(planned)
}
