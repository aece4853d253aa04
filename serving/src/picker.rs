//! Which version the next request goes to: exact weights, not random ones.
//!
//! After every request since a table's activation, each version's count is within one of its exact share of the requests
//! so far. This is Tijdeman's solution of the chairman assignment problem (R. Tijdeman, "The chairman assignment problem",
//! Discrete Mathematics 32, 1980): for `m` versions with a share, only versions that lag behind their share by at least
//! `1/(2m-2)` of a request are eligible, and of these the one whose lag would be the first to reach `1 - 1/(2m-2)` is
//! chosen. The deviation never exceeds `1 - 1/(2m-2)`.
//!
//! A picker belongs to one router thread, so with `t` threads each version is within `t` of its share. Versions are
//! indices in the order of the table's names; a pick touches one small array and allocates nothing.

use crate::traffic::{BasisPoints, Table};

/// A stateful, exact chooser of versions for one table.
#[derive(Clone, Debug)]
pub struct Picker {
    shares: Quota,
    default: usize,
    spread: Option<Spread>,
}

/// What replaces the default while it cannot serve: the versions that can, in proportion to their shares.
#[derive(Clone, Debug)]
struct Spread {
    eligible: u64,
    quota: Quota,
}

impl Picker {
    /// A picker for shares that add up to 10,000, of which one is the default's. Fresh: nothing was picked yet.
    ///
    /// # Panics
    /// If `default` is not an index of `shares`, or there are more than 64 versions.
    #[must_use]
    pub fn new(shares: &[BasisPoints], default: usize) -> Self {
        assert!(default < shares.len(), "the default must be one of the versions");
        assert!(shares.len() <= 64, "a service has at most six versions");
        Self { shares: Quota::new(shares.iter().map(|share| u32::from(share.0))), default, spread: None }
    }

    /// A picker for a table. Index `i` is the `i`-th name of `table.shares` in order; see [`Picker::names`].
    ///
    /// None if the table's default is not among its shares, which validation refuses.
    #[must_use]
    pub fn for_table(table: &Table) -> Option<Self> {
        let default = table.shares.keys().position(|name| *name == table.default)?;
        let shares: Vec<BasisPoints> = table.shares.values().copied().collect();
        (shares.len() <= 64).then(|| Self::new(&shares, default))
    }

    /// The names that the indices of a table's picker stand for.
    pub fn names(table: &Table) -> impl Iterator<Item = &str> {
        table.shares.keys().map(String::as_str)
    }

    /// The version of the next request.
    pub fn pick(&mut self) -> usize {
        self.shares.next()
    }

    /// The version of the next request among those for which `ready` holds, none if there is none.
    ///
    /// The shares are kept as in [`Picker::pick`]; a request that falls to a version without a ready replica goes to the
    /// default, and while that has none either, to the ready versions in proportion to their shares (evenly if none of
    /// them has one). So a version that is ready gets exactly what it would get otherwise, plus that.
    pub fn pick_ready(&mut self, mut ready: impl FnMut(usize) -> bool) -> Option<usize> {
        let choice = self.pick();
        if ready(choice) { Some(choice) } else { self.divert(ready) }
    }

    /// Where a request goes whose version is not ready: to the default, and while that is not ready either, to the ready
    /// versions in proportion to their shares; none if there is none. The second half of [`Picker::pick_ready`].
    pub fn divert(&mut self, mut ready: impl FnMut(usize) -> bool) -> Option<usize> {
        if ready(self.default) {
            return Some(self.default);
        }
        let eligible =
            (0..self.shares.len()).filter(|version| ready(*version)).fold(0_u64, |set, version| set | 1 << version);
        if eligible == 0 {
            return None;
        }
        if self.spread.as_ref().is_none_or(|spread| spread.eligible != eligible) {
            self.spread = Some(Spread { eligible, quota: self.shares.restricted(eligible) });
        }
        self.spread.as_mut().map(|spread| spread.quota.next())
    }
}

/// Tijdeman's algorithm over integer weights.
#[derive(Clone, Debug)]
struct Quota {
    entries: Box<[Entry]>,
    total: i64,
    /// `2m - 2`, or 0 when at most one entry has a weight.
    scale: i64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    weight: i64,
    /// How far the count is behind the exact share, in `total`ths of a request.
    lag: i64,
}

impl Quota {
    fn new(weights: impl Iterator<Item = u32>) -> Self {
        let mut entries: Box<[Entry]> = weights.map(|weight| Entry { weight: i64::from(weight), lag: 0 }).collect();
        if entries.iter().all(|entry| entry.weight == 0) {
            for entry in &mut entries {
                entry.weight = 1;
            }
        }
        let total = entries.iter().map(|entry| entry.weight).sum();
        let with_share = entries.iter().filter(|entry| entry.weight > 0).count();
        let scale = i64::try_from(with_share).unwrap_or(i64::MAX / 2) * 2 - 2;
        Self { entries, total, scale }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    /// A fresh quota over a subset; weights of its members are even if none has one.
    fn restricted(&self, members: u64) -> Self {
        let member = |index: usize| members >> index & 1 == 1;
        let even = (0..self.len()).filter(|index| member(*index)).all(|index| self.entries[index].weight == 0);
        let weight = |(index, entry): (usize, &Entry)| {
            let own = if even { 1 } else { u32::try_from(entry.weight).unwrap_or(u32::MAX) };
            if member(index) { own } else { 0 }
        };
        Self::new(self.entries.iter().enumerate().map(weight))
    }

    fn next(&mut self) -> usize {
        let mut best: Option<(usize, i64, i64)> = None;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if entry.weight == 0 {
                continue;
            }
            entry.lag += entry.weight;
            if self.scale * entry.lag < self.total {
                continue;
            }
            // Requests until the lag reaches its bound, times `scale`, as a fraction over the weight.
            let slack = (self.scale - 1) * self.total - self.scale * entry.lag;
            let sooner = |(_, other, weight): (usize, i64, i64)| slack * weight < other * entry.weight;
            if best.is_none_or(sooner) {
                best = Some((index, slack, entry.weight));
            }
        }
        // With a single weight the scale is 0 and nothing qualifies above: it is that one.
        let index =
            best.map_or_else(|| self.entries.iter().position(|entry| entry.weight > 0).unwrap_or(0), |best| best.0);
        self.entries[index].lag -= self.total;
        index
    }
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
