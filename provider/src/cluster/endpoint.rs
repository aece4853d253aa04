//! Changing an endpoint while others change it, too.
//!
//! Terraform creates, changes and destroys the versions of one endpoint in parallel and in any order, and several
//! configurations may share one endpoint. So each writer changes only its own part of the document, by compare-and-swap,
//! and whichever write makes the declared shares valid makes them served. A writer whose change cannot be done yet
//! because of another one waits a short grace for it, holding nothing.

mod error;
mod traffic;
mod version;

use std::time::Duration;

use serving::service::{Keys, Kind, Service};
use tokio::time::Instant;

use super::wait::{self, Goal, Limits, Stopped};
use super::{Cluster, Error, deploy};
use crate::workspace::Catalogue;

pub use error::ChangeError;
pub use traffic::assign;
pub use version::{VersionChange, adopt_version, create_version, remove_version, update_version};

/// How long a writer waits for others to make its change possible.
pub const GRACE: Duration = Duration::from_secs(10);
const GRACE_POLL: Duration = Duration::from_millis(50);
/// How often a write is repeated when another came first. Six versions and their endpoint are seven writers.
const TRIES: u32 = 60;
const LONGEST_PAUSE_MS: u64 = 50;

/// Changes the document by compare-and-swap and settles its traffic. `change` may run several times. Returns the document
/// that was written.
async fn modify(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    name: &str,
    mut change: impl FnMut(&mut Service) -> Result<(), ChangeError>,
) -> Result<Service, ChangeError> {
    let mut pause = 1;
    let mut last = None;
    for _ in 0..TRIES {
        let present = find(cluster, name).await?;
        let mut next = present.clone();
        drop_what_is_over(&mut next);
        change(&mut next)?;
        // What is in conflict stays as it is served; who declared it asks for it.
        let _ = next.settle();
        if next == present {
            return Ok(present);
        }
        next.generation = present.generation + 1;
        let violations = serving::validate::service(&next);
        if !violations.is_empty() {
            return Err(ChangeError::Rules { endpoint: name.to_owned(), violations });
        }
        match deploy::put(cluster, catalogue, &next, Some(present.generation)).await {
            Ok(()) => return Ok(next),
            Err(conflict @ Error::Conflict { .. }) => last = Some(conflict),
            Err(error) => return Err(error.into()),
        }
        // Not all losers of a race at the same time again.
        let spread =
            u64::from(std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.subsec_nanos())) % pause;
        tokio::time::sleep(Duration::from_millis(pause + spread)).await;
        pause = (pause * 2).min(LONGEST_PAUSE_MS);
    }
    Err(last.map_or_else(|| ChangeError::Gone(name.to_owned()), ChangeError::from))
}

/// The document of an endpoint that must exist.
pub async fn find(cluster: &dyn Cluster, name: &str) -> Result<Service, ChangeError> {
    let found = cluster.service(name).await?.filter(|service| service.kind == Kind::Endpoint);
    found.ok_or_else(|| ChangeError::Gone(name.to_owned()))
}

/// Removes versions whose time to retire is over, and a table that breaks the rules because somebody edited it.
fn drop_what_is_over(service: &mut Service) {
    service.drop_retired(jiff::Timestamp::now());
    let broken = |service: &Service| {
        serving::validate::service(service).iter().any(|violation| violation.field.starts_with("served"))
    };
    // Removed versions leave the table when it is settled; that is no damage.
    let mut settled = service.clone();
    let _ = settled.settle();
    if broken(&settled) {
        service.served = None;
    }
}

/// The grace for the changes of others.
struct Patience<'a> {
    end: Instant,
    limits: &'a Limits,
}

impl<'a> Patience<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { end: limits.deadline.min(Instant::now() + GRACE), limits }
    }

    /// Waits a moment if somebody else's change may resolve the error before the grace is over; else it is the end.
    async fn wait(&self, error: ChangeError) -> Result<(), ChangeError> {
        if !error.may_pass() || Instant::now() >= self.end || self.limits.cancel.is_cancelled() {
            return Err(error);
        }
        tokio::time::sleep(GRACE_POLL).await;
        Ok(())
    }
}

/// Waits until what was declared is what is served: for siblings to resolve a conflict, for the grace, and then for the
/// routers.
async fn until_served(cluster: &dyn Cluster, mut service: Service, limits: &Limits) -> Result<Service, Stopped> {
    let patience = Patience::new(limits);
    while let Err(conflicts) = service.clone().settle() {
        patience.wait(ChangeError::Conflicts { endpoint: service.name.clone(), conflicts }).await?;
        service = find(cluster, &service.name).await?;
    }
    wait::until(cluster, &service.name, service.generation, Goal::Served, limits).await?;
    Ok(service)
}

/// Changes what belongs to the endpoint itself, then puts keys in force one after the other.
pub async fn update(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    name: &str,
    keys: &[Keys],
    change: impl Fn(&mut Service),
    limits: &Limits,
) -> Result<Service, Stopped> {
    let mut steps = Vec::new();
    for keys in keys {
        steps.push(cluster.put_keys(name, keys).await?);
    }
    let mut steps = steps.into_iter();
    // The first write carries all of the change and the first new key, each further one the next key.
    let mut generation = steps.next();
    loop {
        let service = modify(cluster, catalogue, name, |service| {
            change(service);
            service.auth.keys = generation.or(service.auth.keys);
            service.updated_time = deploy::now();
            Ok(())
        })
        .await?;
        wait::until(cluster, name, service.generation, Goal::Served, limits).await?;
        generation = steps.next();
        if generation.is_none() {
            deploy::retire(cluster, &service).await;
            return Ok(service);
        }
    }
}
