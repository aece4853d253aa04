//! Creating, changing and removing a service so that an interruption at any point can be continued.
//!
//! A document is written with `committed = false` before its replicas are waited for, and committed last. While a
//! change is under way the document also holds what was committed before it (in the place that is reserved for former
//! revisions), so that whoever continues can still go back to it.

use std::time::Duration;

use serde_json::Value;
use serving::document::Reserved;
use serving::service::{Keys, Service, Template, Version};
use tokio_util::sync::CancellationToken;

use super::wait::{self, Goal, Limits, Stopped};
use super::{Cluster, Error, Replicas};
use crate::workspace::Catalogue;

/// Version of what [`Reserved::Revisions`] holds while a change is under way.
const REVISIONS_FORMAT: u64 = 1;
const COMMITTED: &str = "committed";
/// How often a template is prepared again.
const PUT_TRIES: usize = 5;
/// Time for going back after a failed change: nothing new has to start for it.
pub(super) const ROLL_BACK_TIME: Duration = Duration::from_mins(2);

/// An operation that did not reach its end.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unfinished {
    /// Why.
    #[source]
    pub reason: Stopped,
    /// What is in place now; none if nothing is.
    pub left: Option<Box<Service>>,
    /// Whether what was committed before serves again.
    pub rolled_back: bool,
}

impl Unfinished {
    pub(super) fn with(left: Option<Service>, reason: impl Into<Stopped>) -> Self {
        Self { reason: reason.into(), left: left.map(Box::new), rolled_back: false }
    }
}

/// What an update needs to know.
#[derive(Debug)]
pub struct Change<'a> {
    /// The document as it is. An uncommitted one is what an interrupted operation left.
    pub present: Service,
    /// The document as it is to be; generation, key generation, times and commitment are filled in.
    pub wanted: Service,
    /// Keys to put in force one after the other.
    pub keys: Vec<Keys>,
    /// Where code and models come from.
    pub catalogue: &'a Catalogue,
}

/// Time of a write.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Millisecond).unwrap_or_else(|_| jiff::Timestamp::now()).to_string()
}

/// Time of a write that is `time` from now.
pub(super) fn later(time: Duration) -> String {
    (jiff::Timestamp::now() + time).round(jiff::Unit::Second).unwrap_or_else(|_| jiff::Timestamp::now()).to_string()
}

/// Creates a service, or continues a create that was interrupted.
///
/// `unfinished` is the uncommitted document of an earlier attempt. If the replicas do not become ready, nothing is left
/// but the logs. If the run is interrupted, the uncommitted document stays and is returned.
pub async fn create(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    wanted: Service,
    keys: &Keys,
    unfinished: Option<Service>,
    limits: &Limits,
) -> Result<Service, Unfinished> {
    let nothing = |reason: Error| Unfinished::with(None, reason);
    let name = wanted.name.clone();
    if unfinished.is_none() {
        // What a removal that was killed may have left.
        cluster.forget_service(&name, true).await.map_err(nothing)?;
    }
    let templates: Vec<Template> = wanted.versions.values().map(|version| version.template.clone()).collect();
    for template in &templates {
        cluster.prepare(catalogue, template).await.map_err(nothing)?;
    }
    let key_generation = cluster.put_keys(&name, keys).await.map_err(nothing)?;
    let mut intent = wanted.clone();
    intent.generation = unfinished.as_ref().map_or(0, |service| service.generation) + 1;
    intent.committed = false;
    intent.auth.keys = Some(key_generation);
    // Tells it from what an earlier attempt has left under its name.
    intent.created_time = now();
    intent.updated_time = now();
    intent.versions.values_mut().for_each(|version| bound_progress(cluster, version, limits));
    match put(cluster, catalogue, &intent, unfinished.map(|service| service.generation)).await {
        Ok(()) => {}
        // Somebody else's document stands there.
        Err(reason @ Error::Conflict { .. }) => return Err(nothing(reason)),
        // The document may be there, and a part of what it names.
        Err(reason) => return Err(undo(cluster, intent, reason.into()).await),
    }
    if let Err(reason) = wait::until(cluster, &name, intent.generation, Goal::Settled, limits).await {
        if matches!(reason, Stopped::Cancelled { .. } | Stopped::Cluster(_)) {
            return Err(Unfinished::with(Some(intent), reason));
        }
        return Err(undo(cluster, intent, reason).await);
    }
    let mut done = wanted;
    (done.auth, done.created_time) = (intent.auth.clone(), intent.created_time.clone());
    commit(cluster, catalogue, &intent, done, limits).await
}

/// Removes what a failed create has made. What cannot be removed is told, so that the state knows it.
async fn undo(cluster: &dyn Cluster, intent: Service, reason: Stopped) -> Unfinished {
    let limits = Limits::new(ROLL_BACK_TIME, CancellationToken::new());
    match remove(cluster, &intent.name, true, &limits).await {
        Ok(()) => Unfinished { reason, left: None, rolled_back: false },
        Err(error) => {
            tracing::warn!(service = intent.name, "cannot remove what is left of a failed create: {error}");
            Unfinished::with(Some(intent), reason)
        }
    }
}

/// Changes a service.
///
/// If new replicas do not become ready, or the document is refused, what was committed before is put back. If the run is
/// interrupted, the change stays under way, uncommitted, and is returned so; the next update continues it.
pub async fn update(cluster: &dyn Cluster, change: Change<'_>, limits: &Limits) -> Result<Service, Unfinished> {
    let Change { present, mut wanted, keys, catalogue } = change;
    let name = present.name.clone();
    let committed = committed_before(&present);
    let unchanged = |reason: Error| Unfinished::with(Some(present.clone()), reason);
    for version in wanted.versions.values() {
        cluster.prepare(catalogue, &version.template).await.map_err(unchanged)?;
    }
    let mut generations = Vec::new();
    for keys in &keys {
        generations.push(cluster.put_keys(&name, keys).await.map_err(unchanged)?);
    }
    wanted.auth.keys = present.auth.keys;
    wanted.created_time.clone_from(&present.created_time);

    let mut current = present.clone();
    // The first write carries all of the change and the first new key, each further one the next key.
    for (step, generation) in
        generations.iter().copied().map(Some).chain(generations.is_empty().then_some(None)).enumerate()
    {
        let mut next = wanted.clone();
        next.generation = current.generation + 1;
        next.committed = false;
        next.auth.keys = generation.or(wanted.auth.keys);
        next.updated_time = now();
        remember(&mut next, committed.as_ref());
        next.versions.values_mut().for_each(|version| bound_progress(cluster, version, limits));
        let goal = if step == 0 && needs_replicas(cluster, &present, &wanted) { Goal::Settled } else { Goal::Served };
        if let Err(reason) = put(cluster, catalogue, &next, Some(current.generation)).await {
            let written = matches!(cluster.service(&name).await, Ok(Some(found)) if found == next);
            return Err(if written {
                roll_back(cluster, catalogue, next, committed, reason.into()).await
            } else {
                Unfinished::with(Some(current), reason)
            });
        }
        current = next;
        if let Err(reason) = wait::until(cluster, &name, current.generation, goal, limits).await {
            if matches!(reason, Stopped::Cancelled { .. } | Stopped::Cluster(_)) {
                return Err(Unfinished::with(Some(current), reason));
            }
            return Err(roll_back(cluster, catalogue, current, committed, reason).await);
        }
    }
    wanted.auth = current.auth.clone();
    commit(cluster, catalogue, &current, wanted, limits).await
}

/// Removes a service and waits until nothing of it runs any more.
pub async fn remove(cluster: &dyn Cluster, name: &str, keep_logs: bool, limits: &Limits) -> Result<(), Stopped> {
    cluster.delete_service(name).await?;
    wait::until_gone(cluster, name, None, limits).await?;
    cluster.forget_service(name, keep_logs).await?;
    sweep(cluster).await;
    Ok(())
}

/// The document that was committed last, if any was: this one, or the one that an uncommitted one remembers.
#[must_use]
pub fn committed_before(service: &Service) -> Option<Service> {
    if service.committed {
        return Some(service.clone());
    }
    let former = service.unknown.get(Reserved::Revisions.field())?.get(COMMITTED)?;
    serde_json::from_value(former.clone()).ok()
}

fn remember(service: &mut Service, committed: Option<&Service>) {
    let field = Reserved::Revisions.field();
    service.unknown.remove(field);
    let Some(former) = committed.and_then(|former| serde_json::to_value(former).ok()) else { return };
    let extension = serde_json::Map::from_iter([
        ("version".to_owned(), Value::from(REVISIONS_FORMAT)),
        (COMMITTED.to_owned(), former),
    ]);
    service.unknown.insert(field.to_owned(), Value::Object(extension));
}

/// Lets the router give up on `init()` before this operation's time is over, because only the router knows where the
/// script hangs. The commit writes the configured value again. Not where the value is a part of what runs: there it would
/// replace all replicas twice.
pub(super) fn bound_progress(cluster: &dyn Cluster, version: &mut Version, limits: &Limits) {
    if cluster.replicas() == Replicas::Pods {
        return;
    }
    let remaining = limits.remaining().as_secs();
    let bound = remaining.saturating_sub((remaining / 10).max(2)).max(1);
    let seconds = &mut version.rollout.progress_deadline_seconds;
    *seconds = (*seconds).min(bound);
}

/// Whether replicas start or stop, so that they must be waited for. An uncommitted document may not be settled.
fn needs_replicas(cluster: &dyn Cluster, present: &Service, wanted: &Service) -> bool {
    !present.committed
        || present.versions.keys().ne(wanted.versions.keys())
        || wanted.versions.iter().any(|(name, version)| cluster.moves_replicas(present, name, version))
}

/// Writes a document whose templates are prepared; prepares them again if somebody swept them away in between.
pub(super) async fn put(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    service: &Service,
    expected: Option<u64>,
) -> Result<(), Error> {
    for _ in 1..PUT_TRIES {
        match cluster.put_service(service, expected).await {
            Err(Error::Unprepared { revision }) => {
                tracing::debug!(revision, "prepared again, because it was swept away");
                for template in service.templates() {
                    cluster.prepare(catalogue, template).await?;
                }
            }
            outcome => return outcome,
        }
    }
    cluster.put_service(service, expected).await
}

async fn commit(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    current: &Service,
    mut done: Service,
    limits: &Limits,
) -> Result<Service, Unfinished> {
    let left = |reason: Stopped| Unfinished::with(Some(current.clone()), reason);
    done.generation = current.generation + 1;
    done.committed = true;
    done.updated_time = now();
    remember(&mut done, None);
    put(cluster, catalogue, &done, Some(current.generation)).await.map_err(|reason| left(reason.into()))?;
    wait::until(cluster, &done.name, done.generation, Goal::Served, limits)
        .await
        .map_err(|reason| Unfinished::with(Some(done.clone()), reason))?;
    retire(cluster, &done).await;
    Ok(done)
}

async fn roll_back(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    current: Service,
    committed: Option<Service>,
    reason: Stopped,
) -> Unfinished {
    let Some(mut former) = committed else { return Unfinished::with(Some(current), reason) };
    former.generation = current.generation + 1;
    former.committed = true;
    former.updated_time = now();
    remember(&mut former, None);
    let limits = Limits::new(ROLL_BACK_TIME, CancellationToken::new());
    let back = async {
        for version in former.versions.values() {
            cluster.prepare(catalogue, &version.template).await?;
        }
        put(cluster, catalogue, &former, Some(current.generation)).await?;
        Ok::<_, Error>(())
    };
    if let Err(error) = back.await {
        tracing::warn!(service = current.name, "cannot go back to what was committed before: {error}");
        return Unfinished::with(Some(current), reason);
    }
    // Failing replicas of the new template stop; those of the old one were never touched, so this is short.
    match wait::until(cluster, &former.name, former.generation, Goal::Settled, &limits).await {
        Ok(_) => retire(cluster, &former).await,
        Err(error) => tracing::warn!(service = former.name, "going back to what was committed before: {error}"),
    }
    Unfinished { reason, left: Some(Box::new(former)), rolled_back: true }
}

/// Removes what the served document has replaced. What cannot be removed now is removed by a later call.
pub(super) async fn retire(cluster: &dyn Cluster, served: &Service) {
    if let Some(keep) = served.auth.keys
        && let Err(error) = cluster.retire_keys(&served.name, keep).await
    {
        tracing::warn!(service = served.name, "cannot remove replaced keys: {error}");
    }
    sweep(cluster).await;
}

pub(super) async fn sweep(cluster: &dyn Cluster) {
    if let Err(error) = cluster.sweep().await {
        tracing::warn!(compute = cluster.id(), "cannot remove what is not used any more: {error}");
    }
}

#[cfg(test)]
#[path = "deploy_tests.rs"]
mod tests;
