//! The whole split of an endpoint as one value.

use serving::service::Service;
use serving::traffic::Assignment;

use super::{ChangeError, Patience, modify};
use crate::cluster::wait::{self, Goal, Limits, Stopped};
use crate::cluster::{Cluster, deploy};
use crate::workspace::Catalogue;

/// Puts an assignment in force as a whole, or takes it away, and removes the destroyed versions that only an assignment
/// has kept. Changes nothing if a version that it names does not exist, or if versions declare shares beside it.
///
/// Without an assignment the split is again what the versions declare.
pub async fn assign(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    endpoint: &str,
    assignment: Option<&Assignment>,
    limits: &Limits,
) -> Result<Service, Stopped> {
    let mut gone = Vec::new();
    let patience = Patience::new(limits);
    let service = loop {
        let written = modify(cluster, catalogue, endpoint, |service| {
            check_names(service, assignment)?;
            service.assignment = assignment.cloned();
            gone = unrouted(service);
            service.versions.retain(|name, _| !gone.contains(name));
            match (service.settle(), assignment) {
                (Err(conflicts), Some(_)) => Err(ChangeError::Conflicts { endpoint: endpoint.to_owned(), conflicts }),
                _ => Ok(()),
            }
        });
        match written.await {
            Ok(service) => break service,
            Err(error) => patience.wait(error).await?,
        }
    };
    wait::until(cluster, endpoint, service.generation, Goal::Served, limits).await?;
    if !gone.is_empty() {
        wait::until_gone(cluster, endpoint, Some(&gone), limits).await?;
        deploy::sweep(cluster).await;
    }
    Ok(service)
}

/// Destroyed versions that nothing routes to.
fn unrouted(service: &Service) -> Vec<String> {
    let versions = service.versions.iter();
    let gone = versions.filter(|(name, version)| version.retiring_until.is_some() && !service.routes_to(name));
    gone.map(|(name, _)| name.clone()).collect()
}

fn check_names(service: &Service, assignment: Option<&Assignment>) -> Result<(), ChangeError> {
    let Some(Assignment { shares, default, control }) = assignment else { return Ok(()) };
    let lives = |name: &&String| {
        service.versions.get(*name).is_some_and(|version| version.committed && version.retiring_until.is_none())
    };
    let mut unknown: Vec<String> =
        shares.keys().chain(default).chain(control).filter(|name| !lives(name)).cloned().collect();
    unknown.sort_unstable();
    unknown.dedup();
    if unknown.is_empty() {
        return Ok(());
    }
    let versions = service.versions.keys().filter(lives).cloned().collect();
    Err(ChangeError::UnknownVersions { endpoint: service.name.clone(), unknown, versions })
}
