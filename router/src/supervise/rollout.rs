//! The rolling-update planner: which replicas of one version start, start again and retire now.
//!
//! A pure function of what is wanted and what is there, called again after every change, so that it needs no memory of
//! its own: a supervisor that was replaced in the middle of a rollout goes on with it. The rules are those of a
//! Kubernetes Deployment, with one difference: a draining process still counts against the surge, because what the
//! surge bounds on one machine is memory.

/// What one version wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Wanted replicas; 0 for a version that is being removed.
    pub desired: u32,
    /// Places that may exist above `desired`.
    pub max_surge: u32,
    /// Ready replicas that may be missing from `desired` while old ones are replaced.
    pub max_unavailable: u32,
    /// Old replicas are gone before the first new one starts.
    pub recreate: bool,
}

/// One place of a version: a process, or one that died and will be started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Names the place in [`Action`].
    pub id: u64,
    /// Whether it runs the wanted revision.
    pub current: bool,
    /// Where it stands.
    pub phase: Phase,
}

/// Where a place stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The process runs and does not take requests yet.
    Starting,
    /// The router sends it requests.
    Ready,
    /// It takes no new requests and will exit; the place then disappears.
    Draining,
    /// It died; its next start has to wait.
    BackOff,
    /// It died and may be started now.
    Due,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a replica of the wanted revision in a new place.
    Start,
    /// Start the replica of this place again, with the revision that it had.
    Restart(u64),
    /// Drain and stop this place.
    Retire(u64),
}

/// What has to be done now. Places are given from the oldest to the newest.
#[must_use]
pub fn plan(goal: &Goal, places: &[Place]) -> Vec<Action> {
    let mut plan = Plan { goal: *goal, places: places.to_vec(), actions: Vec::new() };
    plan.retire_surplus();
    if goal.recreate {
        plan.retire_all_old();
    } else {
        plan.retire_replaced();
    }
    plan.start();
    plan.restart();
    plan.actions
}

struct Plan {
    goal: Goal,
    places: Vec<Place>,
    actions: Vec<Action>,
}

impl Plan {
    fn count(&self, select: impl Fn(&Place) -> bool) -> u32 {
        u32::try_from(self.places.iter().filter(|place| select(place)).count()).unwrap_or(u32::MAX)
    }

    fn retire(&mut self, id: u64) {
        self.actions.push(Action::Retire(id));
        if let Some(place) = self.places.iter_mut().find(|place| place.id == id) {
            place.phase = Phase::Draining;
        }
    }

    /// Of the wanted revision: what is not ready goes first, then the newest.
    fn retire_surplus(&mut self) {
        let mut alive: Vec<(bool, u64)> = self
            .places
            .iter()
            .filter(|place| place.current && place.phase != Phase::Draining)
            .map(|place| (place.phase == Phase::Ready, place.id))
            .collect();
        let surplus = alive.len().saturating_sub(self.goal.desired as usize);
        alive.reverse();
        alive.sort_by_key(|(ready, _)| *ready);
        for (_, id) in alive.into_iter().take(surplus) {
            self.retire(id);
        }
    }

    fn retire_all_old(&mut self) {
        for id in self.old(|_| true) {
            self.retire(id);
        }
    }

    fn old(&self, select: impl Fn(Phase) -> bool) -> Vec<u64> {
        let old = |place: &&Place| !place.current && place.phase != Phase::Draining && select(place.phase);
        self.places.iter().filter(old).map(|place| place.id).collect()
    }

    /// Old places that are not needed to keep the promised number ready.
    fn retire_replaced(&mut self) {
        let promised = self.goal.desired.saturating_sub(self.max_unavailable());
        let alive = self.count(|place| place.phase != Phase::Draining);
        let new_unready = self.count(|place| place.current && !matches!(place.phase, Phase::Draining | Phase::Ready));
        let not_needed = alive.saturating_sub(promised).saturating_sub(new_unready);
        // One that is not ready serves nobody, but an old one that died is needed while the new ones are not ready.
        for id in self.old(|phase| phase != Phase::Ready).into_iter().take(not_needed as usize) {
            self.retire(id);
        }
        let ready = self.count(|place| place.phase == Phase::Ready);
        for id in self.old(|phase| phase == Phase::Ready).into_iter().take(ready.saturating_sub(promised) as usize) {
            self.retire(id);
        }
    }

    /// With neither surge nor unavailability a rollout could not move; then one may be missing.
    fn max_unavailable(&self) -> u32 {
        if self.goal.max_surge == 0 { self.goal.max_unavailable.max(1) } else { self.goal.max_unavailable }
    }

    fn start(&mut self) {
        if self.goal.recreate && self.places.iter().any(|place| !place.current) {
            return;
        }
        let existing = self.count(|_| true);
        let new = self.count(|place| place.current && place.phase != Phase::Draining);
        let surge = if self.goal.recreate { 0 } else { self.goal.max_surge };
        let room = self.goal.desired.saturating_add(surge).saturating_sub(existing);
        let missing = self.goal.desired.saturating_sub(new);
        self.actions.extend(std::iter::repeat_n(Action::Start, missing.min(room) as usize));
    }

    fn restart(&mut self) {
        let due = self.places.iter().filter(|place| place.phase == Phase::Due);
        self.actions.extend(due.map(|place| Action::Restart(place.id)));
    }
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
