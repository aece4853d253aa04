//! What is checked and planned beyond the schema's own rules.

use tfplugin::{Attr, Diagnostics, Plan};

use super::model::{Endpoint, StickyConfig};
use crate::cluster::EndpointId;
use crate::deployment::checks;
use crate::diagnostics::OrExplain as _;
use crate::workspace::ComputeId;

/// Everything that a configuration shows to be wrong by itself. What is unknown is taken for right.
pub(super) fn check(config: &Endpoint) -> Diagnostics {
    let mut found = Diagnostics::new();
    config.access.check(&mut found);
    if let Some(Err(problem)) = config.compute_id.as_deref().map(str::parse::<ComputeId>) {
        found.push(checks::wrong("compute_id", problem));
    }
    if let Attr::Known(StickyConfig { header, cookie, query }) = &config.sticky {
        let given = [header, cookie, query].iter().filter(|name| !name.is_null()).count();
        if given != 1 {
            let problem = format!("sticky needs exactly one of header, cookie and query, but has {given}");
            found.push(checks::wrong("sticky", problem));
        }
    }
    found
}

/// Fills in what can be known before apply.
pub(super) fn plan(plan: &mut Plan<Endpoint>) -> Result<(), Diagnostics> {
    let prior = plan.prior.clone();
    let config = plan.config.clone().unwrap_or_default();
    let Some(planned) = &mut plan.planned else { return Ok(()) };
    if let Some(prior) = &prior {
        prior.labels.check_properties(&planned.labels)?;
    }
    planned.id = match planned_id(planned) {
        Ok(id) if prior.is_some() => id.to_string().into(),
        _ => Attr::Unknown,
    };
    planned.access.plan(&config.access, prior.as_ref().map(|prior| &prior.access));
    if let Some(prior) = &prior {
        let same = same_declaration(prior, planned);
        planned.updated_time = if same { prior.updated_time.clone() } else { Attr::Unknown };
    }
    Ok(())
}

/// The id that a plan leads to.
pub(super) fn planned_id(planned: &Endpoint) -> Result<EndpointId, Diagnostics> {
    let compute = planned.compute_id.require("compute_id")?.parse().or_explain("Invalid compute_id")?;
    Ok(EndpointId { compute, name: planned.name.require("name")?.clone() })
}

/// Whether a plan declares what the state has.
pub(super) fn same_declaration(prior: &Endpoint, planned: &Endpoint) -> bool {
    let declaration = |model: &Endpoint| Endpoint {
        access: crate::access::Access::default(),
        force_destroy: Attr::Null,
        updated_time: Attr::Null,
        timeouts: tfplugin::Timeouts::default(),
        ..model.clone()
    };
    prior.access.same(&planned.access) && declaration(prior) == declaration(planned)
}
