//! Creates that survive a kill: intent first, commit last, adoption in between.

use serde::Serialize;

use super::blob::Digest;
use super::document::{Body, Document, FORMAT, Header};
use super::error::Error;
use super::revisions::{ATTEMPTS, Head, Revision, now};
use super::store::Catalogue;

/// Where a create stands after [`Catalogue::begin`].
#[derive(Clone, Debug, PartialEq)]
pub enum Begun<T> {
    /// The intent is written, now or by an interrupted run; do the work, then [`Catalogue::commit`].
    Intent(Revision<T>),
    /// An earlier run of the same owner finished exactly this create and nobody changed the object since, but the
    /// caller's state does not know: it is the caller's.
    Adopted(Revision<T>),
}

/// Digest of what a create was asked for.
///
/// # Panics
/// Never for structs with string keys, which always serialise.
#[must_use]
pub fn spec_digest(spec: &impl Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(spec).expect("a specification serialises"))
}

impl Catalogue {
    /// Begins to create an object, or takes up a create that was interrupted.
    ///
    /// An object of that name is adopted if owner and `spec` are equal and nothing has changed it since. An unfinished
    /// create of the same owner is taken up, also with another `spec`: nobody's state knows it. Otherwise
    /// [`Error::Exists`] or [`Error::Unfinished`].
    pub async fn begin<T: Body>(&self, name: &str, owner: &str, spec: Digest, body: T) -> Result<Begun<T>, Error> {
        self.check_alive(T::KIND).await?;
        for _ in 0..ATTEMPTS {
            let (number, created_time) = match self.head::<T>(name).await? {
                Head::Absent(number) => (number, now()),
                Head::Present(found) if !found.header.committed && found.header.owner == owner => {
                    if found.header.spec == spec {
                        return Ok(Begun::Intent(found));
                    }
                    (found.number + 1, found.header.created_time)
                }
                Head::Present(found) => return self.adopt(found, owner, &spec),
            };
            let header = Header {
                format: FORMAT,
                owner: owner.to_owned(),
                spec,
                committed: false,
                removed: false,
                changed: false,
                updated_time: now(),
                created_time,
            };
            let intent = Document { header: header.clone(), body: Some(body.clone()) };
            if self.claim(name, number, &intent).await? {
                return Ok(Begun::Intent(Revision { name: name.to_owned(), number, header, body }));
            }
        }
        Err(self.contended::<T>(name))
    }

    fn adopt<T: Body>(&self, found: Revision<T>, owner: &str, spec: &Digest) -> Result<Begun<T>, Error> {
        let header = &found.header;
        if header.committed && header.owner == owner && header.spec == *spec && !header.changed {
            return Ok(Begun::Adopted(found));
        }
        let (kind, id, owner) = (T::KIND, T::KIND.id(&self.workspace, &found.name), header.owner.clone());
        Err(if header.committed { Error::Exists { kind, id, owner } } else { Error::Unfinished { kind, id, owner } })
    }

    /// Takes an intent back after its create has failed, so that nothing half-made is left. A failure of this only leaves
    /// an intent, which the next create takes up.
    pub async fn abandon<T: Body>(&self, intent: &Revision<T>) {
        let Ok(Head::Present(head)) = self.head::<T>(&intent.name).await else { return };
        if head.number != intent.number || head.header.committed {
            return;
        }
        if let Err(error) = self.remove::<T>(&intent.name).await {
            tracing::warn!(%error, "An unfinished object was left in the workspace.");
        }
    }

    /// Writes an intermediate state of an unfinished create.
    pub async fn proceed<T: Body>(&self, intent: Revision<T>, body: T) -> Result<Revision<T>, Error> {
        self.follow(intent, body, false).await
    }

    /// Finishes a create: the object is there from now on.
    pub async fn commit<T: Body>(&self, intent: Revision<T>, body: T) -> Result<Revision<T>, Error> {
        let committed = self.follow(intent, body, true).await?;
        // A removal of the workspace that began before sees this object now, or it is seen here.
        if let Err(error) = self.check_alive(T::KIND).await {
            self.remove::<T>(&committed.name).await?;
            return Err(error);
        }
        Ok(committed)
    }

    async fn follow<T: Body>(&self, intent: Revision<T>, body: T, committed: bool) -> Result<Revision<T>, Error> {
        let header = Header { committed, updated_time: now(), ..intent.header };
        let number = intent.number + 1;
        let document = Document { header: header.clone(), body: Some(body.clone()) };
        if self.claim(&intent.name, number, &document).await? {
            return Ok(Revision { name: intent.name, number, header, body });
        }
        Err(self.contended::<T>(&intent.name))
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
