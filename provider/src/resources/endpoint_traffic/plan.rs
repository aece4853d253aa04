//! What is checked and planned beyond the schema's own rules.

use serving::name::Noun;
use serving::traffic::{BasisPoints, WHOLE};
use tfplugin::{Attr, AttributePath, Diagnostic, Diagnostics, Plan};

use super::model::EndpointTraffic;
use crate::cluster::{EndpointId, TrafficId};
use crate::deployment::checks;
use crate::diagnostics::OrExplain as _;
use crate::resources::endpoint_version::share;

/// Everything that a configuration shows to be wrong by itself. What is unknown is taken for right.
pub(super) fn check(config: &EndpointTraffic) -> Diagnostics {
    let mut found = Diagnostics::new();
    if let Some(Err(problem)) = config.endpoint_id.as_deref().map(str::parse::<EndpointId>) {
        found.push(checks::wrong("endpoint_id", problem));
    }
    let mut sum = 0_u32;
    for (name, percent) in config.traffic.get().into_iter().flatten() {
        let mut wrong = |problem: String| {
            let path = AttributePath::attribute("traffic").key(name);
            found.push(Diagnostic::error("Invalid traffic", problem).at(path));
        };
        if let Err(violation) = Noun::EndpointVersion.check(name) {
            wrong(format!("{violation}."));
        }
        match percent {
            Attr::Known(percent) => match share(percent) {
                Ok(BasisPoints(share)) => sum += u32::from(share),
                Err(problem) => wrong(format!("{problem}.")),
            },
            Attr::Null => wrong(format!("{name} has no percentage. Leave it out, or give 0.")),
            Attr::Unknown => {}
        }
    }
    if sum > u32::from(WHOLE) {
        let problem = format!("the percentages add up to {}.{:02}, but must not exceed 100", sum / 100, sum % 100);
        found.push(checks::wrong("traffic", problem));
    }
    found
}

/// Fills in what can be known before apply.
pub(super) fn plan(plan: &mut Plan<EndpointTraffic>) {
    let exists = plan.prior.is_some();
    let Some(planned) = &mut plan.planned else { return };
    planned.id = match planned_id(planned) {
        Ok(id) if exists => id.to_string().into(),
        _ => Attr::Unknown,
    };
}

/// The id that a plan leads to.
pub(super) fn planned_id(planned: &EndpointTraffic) -> Result<TrafficId, Diagnostics> {
    Ok(TrafficId(planned.endpoint_id.require("endpoint_id")?.parse().or_explain("Invalid endpoint_id")?))
}
