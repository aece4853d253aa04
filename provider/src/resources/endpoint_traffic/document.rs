//! Between the traffic as users write it and the assignment in its endpoint's document.

use std::collections::BTreeMap;

use serving::service::Service;
use serving::traffic::Assignment;
use tfplugin::Attr;

use super::model::EndpointTraffic;
use crate::cluster::{EndpointId, TrafficId};
use crate::deployment::document::spelled;
use crate::resources::endpoint_version::{share, shown_share};

/// The assignment that a plan leads to. The checks have seen every percentage.
pub(super) fn assignment(planned: &EndpointTraffic) -> Assignment {
    let shares = planned.traffic.get().into_iter().flatten();
    Assignment {
        shares: shares.filter_map(|(name, percent)| Some((name.clone(), share(percent.get()?).ok()?))).collect(),
        default: planned.default_version.clone().known(),
        control: planned.control_version.clone().known(),
    }
}

/// The traffic that a document has; none if it has no assignment. `known` brings what only Terraform's state knows.
///
/// Versions that are destroyed, or gone, are left out, so that a plan shows that the configuration still names them. A
/// version whose share in the table was edited has that share.
pub(super) fn traffic(id: &TrafficId, service: &Service, known: &EndpointTraffic) -> Option<EndpointTraffic> {
    let assignment = service.assignment.as_ref()?;
    let lives = |name: &&String| service.versions.get(*name).is_some_and(|version| version.retiring_until.is_none());
    let mut shares: BTreeMap<&String, _> = assignment.shares.iter().filter(|(name, _)| lives(name)).collect();
    let mut settled = service.clone();
    let edited = settled.settle().is_ok() && settled.served != service.served;
    let served = service.served.as_ref().filter(|_| edited);
    let mut default = assignment.default.as_ref().filter(lives);
    if let (Some(table), Some(right)) = (served, &settled.served) {
        shares.extend(table.shares.iter().filter(|(name, share)| right.shares.get(*name) != Some(*share)));
        if table.default != right.default {
            default = Some(&table.default);
        }
    }
    let shown = shares.into_iter().map(|(name, share)| (name.clone(), Attr::Known(shown_share(*share))));
    Some(EndpointTraffic {
        id: id.to_string().into(),
        endpoint_id: spelled::<EndpointId>(&known.endpoint_id, id.0.to_string()),
        traffic: Attr::Known(shown.collect()),
        default_version: default.cloned().into(),
        control_version: assignment.control.as_ref().filter(lives).cloned().into(),
        timeouts: known.timeouts.clone(),
    })
}
