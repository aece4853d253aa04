//! One version of an endpoint: replicas first, then traffic; traffic away first, then replicas.

use std::time::Duration;

use serving::service::{Service, Version};
use serving::traffic::{Declaration, MAX_VERSIONS};
use tokio_util::sync::CancellationToken;

use super::{ChangeError, Patience, modify, until_served};
use crate::cluster::deploy::{self, ROLL_BACK_TIME, Unfinished, bound_progress};
use crate::cluster::wait::{self, Goal, Limits, Stopped};
use crate::cluster::{Cluster, Error};
use crate::workspace::Catalogue;

/// How long a destroyed version keeps serving when the assignment that routes to it does not change. Whatever else one
/// apply does between the two is shorter.
const RETIREMENT: Duration = Duration::from_hours(1);

/// What is to be written, and where.
#[derive(Clone, Debug)]
pub struct VersionChange<'a> {
    /// The endpoint.
    pub endpoint: &'a str,
    /// The version's name.
    pub name: &'a str,
    /// The version as it is to be. Its number and state of commitment are decided here.
    pub wanted: Version,
    /// Whether the configuration says anything of share or default.
    pub declares_traffic: bool,
    /// Where code and models come from.
    pub catalogue: &'a Catalogue,
}

impl VersionChange<'_> {
    async fn prepare(&self, cluster: &dyn Cluster) -> Result<(), Error> {
        cluster.prepare(self.catalogue, &self.wanted.template).await
    }

    async fn modify(
        &self,
        cluster: &dyn Cluster,
        change: impl FnMut(&mut Service) -> Result<(), ChangeError>,
    ) -> Result<Service, ChangeError> {
        modify(cluster, self.catalogue, self.endpoint, change).await
    }

    /// The version with new replicas, but with the traffic of the present one.
    fn rolling(&self, cluster: &dyn Cluster, present: Option<&Version>, sequence: u64, limits: &Limits) -> Version {
        let mut version =
            Version { sequence, committed: false, declared: Declaration::default(), ..self.wanted.clone() };
        if let Some(present) = present {
            version.sequence = present.sequence;
            version.committed = present.committed;
            version.declared = present.declared;
            version.settled = present.settled;
            version.unknown.clone_from(&present.unknown);
            version.former = present.former.clone().or_else(|| present.committed.then(|| Box::new(present.clone())));
        }
        bound_progress(cluster, &mut version, limits);
        version
    }

    /// Whether the endpoint allows the version, for all that it can know before replicas run.
    fn admit(&self, service: &Service) -> Result<(), ChangeError> {
        let endpoint = || self.endpoint.to_owned();
        if self.declares_traffic && service.assignment.is_some() {
            return Err(ChangeError::Assigned(endpoint()));
        }
        let others = service.versions.keys().filter(|name| *name != self.name);
        let others: Vec<String> = others.cloned().collect();
        if others.len() >= MAX_VERSIONS {
            return Err(ChangeError::Full { endpoint: endpoint(), versions: others });
        }
        Ok(())
    }

    /// Puts the version in force as it is declared, and waits until it is served so.
    async fn commit(&self, cluster: &dyn Cluster, limits: &Limits) -> Result<Service, Unfinished> {
        let written = self
            .modify(cluster, |service| {
                let Some(version) = service.versions.get_mut(self.name) else {
                    return Err(ChangeError::VersionGone {
                        endpoint: self.endpoint.to_owned(),
                        version: self.name.to_owned(),
                    });
                };
                *version = Version {
                    sequence: version.sequence,
                    committed: true,
                    settled: version.settled,
                    former: None,
                    retiring_until: None,
                    unknown: std::mem::take(&mut version.unknown),
                    ..self.wanted.clone()
                };
                Ok(())
            })
            .await;
        let written = match written {
            Ok(written) => written,
            // Its replicas run, if it is there.
            Err(error) => {
                let found = super::find(cluster, self.endpoint).await.ok();
                return Err(Unfinished::with(found.filter(|service| service.versions.contains_key(self.name)), error));
            }
        };
        let left = written.clone();
        match until_served(cluster, written, limits).await {
            Ok(service) => {
                deploy::sweep(cluster).await;
                Ok(service)
            }
            Err(reason) => Err(Unfinished::with(Some(left), reason)),
        }
    }

    /// Writes the version with new replicas and waits until they are ready; on failure what was there before is put back.
    async fn roll(&self, cluster: &dyn Cluster, is_create: bool, limits: &Limits) -> Result<(), Unfinished> {
        let mut attempt = None;
        let mut begin = |service: &mut Service| {
            self.admit(service)?;
            let present = service.versions.get(self.name);
            let taken = present.is_some_and(|version| version.committed && version.retiring_until.is_none());
            if is_create && taken {
                return Err(ChangeError::Exists { endpoint: self.endpoint.to_owned(), version: self.name.to_owned() });
            }
            let next = service.versions.values().map(|version| version.sequence).max().unwrap_or(0) + 1;
            let version = self.rolling(cluster, present, next, limits);
            attempt = Some(unsettled(&version));
            service.versions.insert(self.name.to_owned(), version);
            Ok(())
        };
        let patience = Patience::new(limits);
        let written = loop {
            match self.modify(cluster, &mut begin).await {
                Ok(written) => break Ok(written),
                Err(error) => {
                    if let Err(error) = patience.wait(error).await {
                        break Err(error);
                    }
                }
            }
        };
        let written = match written {
            Ok(written) => written,
            // The document may be there, and a part of what it names.
            Err(error) => match super::find(cluster, self.endpoint).await {
                Ok(found) if attempt.is_some() && found.versions.get(self.name).map(unsettled) == attempt => {
                    return Err(self.go_back(cluster, found, error.into()).await);
                }
                _ => return Err(Unfinished::with(None, error)),
            },
        };
        let goal = Goal::VersionSettled(self.name);
        match wait::until(cluster, self.endpoint, written.generation, goal, limits).await {
            Ok(_) => Ok(()),
            Err(reason @ (Stopped::Cancelled { .. } | Stopped::Cluster(_))) => {
                Err(Unfinished::with(Some(written), reason))
            }
            Err(reason) => Err(self.go_back(cluster, written, reason).await),
        }
    }

    async fn go_back(&self, cluster: &dyn Cluster, written: Service, reason: Stopped) -> Unfinished {
        let mut before = false;
        let back = self
            .modify(cluster, |service| {
                before = false;
                if let Some(version) = service.versions.remove(self.name)
                    && let Some(former) = version.former
                {
                    before = true;
                    service.versions.insert(self.name.to_owned(), *former);
                }
                Ok(())
            })
            .await;
        let service = match back {
            Ok(service) => service,
            Err(error) => {
                tracing::warn!(endpoint = self.endpoint, version = self.name, "cannot go back: {error}");
                return Unfinished::with(Some(written), reason);
            }
        };
        let limits = Limits::new(ROLL_BACK_TIME, CancellationToken::new());
        let gone = [self.name.to_owned()];
        let settled = if before {
            let goal = Goal::VersionSettled(self.name);
            wait::until(cluster, self.endpoint, service.generation, goal, &limits).await.map(drop)
        } else {
            wait::until_gone(cluster, self.endpoint, Some(&gone), &limits).await
        };
        if let Err(error) = settled {
            tracing::warn!(endpoint = self.endpoint, version = self.name, "going back: {error}");
        }
        deploy::sweep(cluster).await;
        Unfinished { reason, left: before.then(|| Box::new(service)), rolled_back: before }
    }
}

/// Without what a write itself fills in.
fn unsettled(version: &Version) -> Version {
    Version { settled: None, ..version.clone() }
}

/// Creates a version, or continues a create that was interrupted: its replicas get ready, then it gets its traffic.
///
/// A version of the name that is destroyed, but still routed to, becomes this one by a rolling update. If the replicas do
/// not become ready, nothing is left but their logs. If what is declared stays in conflict with other versions beyond the
/// grace, the declaration stands.
pub async fn create_version(
    cluster: &dyn Cluster,
    change: &VersionChange<'_>,
    limits: &Limits,
) -> Result<Service, Unfinished> {
    change.prepare(cluster).await.map_err(|error| Unfinished::with(None, error))?;
    change.roll(cluster, true, limits).await?;
    change.commit(cluster, limits).await
}

/// Takes over a version that an earlier run has created as it is wanted: puts it in force again with what is configured now,
/// and waits until it is served so.
pub async fn adopt_version(
    cluster: &dyn Cluster,
    change: &VersionChange<'_>,
    limits: &Limits,
) -> Result<Service, Unfinished> {
    change.commit(cluster, limits).await
}

/// Changes a version: first its replicas, if they change, then what is declared of its traffic.
pub async fn update_version(
    cluster: &dyn Cluster,
    change: &VersionChange<'_>,
    limits: &Limits,
) -> Result<Service, Unfinished> {
    let nothing = |reason: Stopped| Unfinished::with(None, reason);
    change.prepare(cluster).await.map_err(|error| nothing(error.into()))?;
    let patience = Patience::new(limits);
    let service = loop {
        let service = super::find(cluster, change.endpoint).await.map_err(|error| nothing(error.into()))?;
        match change.admit(&service) {
            Ok(()) => break service,
            Err(error) => patience.wait(error).await.map_err(|error| nothing(error.into()))?,
        }
    };
    let same = service.versions.get(change.name).is_some_and(|present| {
        present.committed && present.former.is_none() && !cluster.moves_replicas(&service, change.name, &change.wanted)
    });
    if !same {
        change.roll(cluster, false, limits).await?;
    }
    change.commit(cluster, limits).await
}

/// Destroys a version; one that is gone already is no error. Its traffic goes to the others first, then its requests
/// finish, then it stops.
///
/// A version that an assignment still routes to keeps serving until the assignment changes, which Terraform does after
/// this. A version of the name that is not the one that is meant is left alone.
pub async fn remove_version(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    (endpoint, name): (&str, &str),
    is_meant: impl Fn(&Version) -> bool,
    limits: &Limits,
) -> Result<(), Stopped> {
    let (mut retires, mut other) = (false, false);
    let removed = modify(cluster, catalogue, endpoint, |service| {
        let routed = service.routes_to(name);
        retires = false;
        other = service.versions.get(name).is_some_and(|version| !is_meant(version));
        match service.versions.get_mut(name) {
            _ if other => {}
            Some(version) if routed && version.committed => {
                retires = true;
                version.retiring_until.get_or_insert_with(|| deploy::later(RETIREMENT));
            }
            _ => {
                service.versions.remove(name);
            }
        }
        Ok(())
    })
    .await;
    match removed {
        Err(ChangeError::Gone(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(_) if retires || other => return Ok(()),
        Ok(_) => {}
    }
    wait::until_gone(cluster, endpoint, Some(&[name.to_owned()]), limits).await?;
    deploy::sweep(cluster).await;
    Ok(())
}
