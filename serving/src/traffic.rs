//! What versions declare of the traffic, the table that is served, and the rule that makes one of the other.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::service::{Service, Version};
use crate::slots::{SlotMap, reassign};

/// The whole traffic, in basis points.
pub const WHOLE: u16 = 10_000;

/// The most versions that one service has.
pub const MAX_VERSIONS: usize = 6;

/// A share of the traffic in hundredths of a percent: 0..=10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BasisPoints(#[schemars(range(max = 10_000))] pub u16);

/// Why a number is not a percentage of traffic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    /// Below 0, above 100, or not a number at all.
    #[error("{0} is not a percentage: it must be a number from 0 to 100")]
    Range(String),
    /// More than two decimals.
    #[error("{0} is too fine a percentage: at most two decimals are allowed, for example 33.33")]
    TooFine(String),
}

impl BasisPoints {
    /// From percent: 0 to 100, at most two decimals.
    pub fn from_percent(percent: f64) -> Result<Self, PercentError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(PercentError::Range(percent.to_string()));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=10,000 was checked above")]
        let points = Self((percent * 100.0).round() as u16);
        // The nearest double of a number with two decimals is that number of hundredths divided by 100, exactly.
        if (points.percent() - percent).abs() > 0.0 {
            return Err(PercentError::TooFine(percent.to_string()));
        }
        Ok(points)
    }

    /// As percent.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl FromStr for BasisPoints {
    type Err = PercentError;

    /// From a decimal percent text such as `33.33`. Exact; trailing zeros do not count as decimals.
    fn from_str(text: &str) -> Result<Self, PercentError> {
        let range = || PercentError::Range(text.to_owned());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(decimals) || text.ends_with('.') {
            return Err(range());
        }
        let decimals = decimals.trim_end_matches('0');
        let whole: u32 = whole.parse().map_err(|_| range())?;
        if whole > 100 || (whole == 100 && !decimals.is_empty()) {
            return Err(range());
        }
        let hundredths: u32 = match decimals.len() {
            0 => 0,
            1 | 2 => format!("{decimals:0<2}").parse().map_err(|_| range())?,
            _ => return Err(PercentError::TooFine(text.to_owned())),
        };
        u16::try_from(whole * 100 + hundredths).map(Self).map_err(|_| range())
    }
}

impl fmt::Display for BasisPoints {
    /// Percent without superfluous zeros and without a sign: `33.33`, `20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        match (hundredths, hundredths % 10) {
            (0, _) => write!(f, "{whole}"),
            (_, 0) => write!(f, "{whole}.{}", hundredths / 10),
            _ => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

/// What one version declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Declaration {
    /// `traffic_percentile`.
    pub traffic: BasisPoints,
    /// `is_default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    /// `is_control_version_type`; otherwise the version is a treatment. A label without effect on the traffic.
    #[serde(default)]
    pub is_control: bool,
}

/// The whole split of an endpoint, declared as one value instead of by its versions.
///
/// Names of versions that do not exist (any more) count for nothing: their shares go to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assignment {
    /// Share by version; a version that is not listed has none of its own.
    pub shares: BTreeMap<String, BasisPoints>,
    /// The version that gets what is not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The control version; a label without effect on the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
}

impl Assignment {
    /// Whether a version of this name gets traffic because of the assignment.
    #[must_use]
    pub fn routes_to(&self, version: &str) -> bool {
        self.shares.get(version).is_some_and(|share| share.0 > 0) || self.default.as_deref() == Some(version)
    }
}

/// The traffic table in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// The version that gets what no version claims.
    pub default: String,
    /// Effective shares by version, of every version that may be served; they add up to 10,000.
    pub shares: BTreeMap<String, BasisPoints>,
    /// Which version owns which of the 10,000 slots of sticky requests.
    #[serde(default)]
    pub slots: SlotMap,
}

/// One version as [`settle`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// [`Version::sequence`]: the lowest number is the oldest version.
    pub sequence: u64,
    /// What it declares.
    pub declaration: Declaration,
}

impl From<&Version> for Declared {
    fn from(version: &Version) -> Self {
        Self { sequence: version.sequence, declaration: version.declared }
    }
}

/// Why a declared set cannot be served as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts {
    /// Every version's declared share.
    pub shares: BTreeMap<String, BasisPoints>,
    /// What is in conflict, at least one.
    pub conflicts: Vec<Conflict>,
}

/// One conflict of a declared set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// There is no version.
    NoVersion,
    /// There are more versions than [`MAX_VERSIONS`]: this many.
    TooManyVersions(usize),
    /// The shares add up to more than 100 %: to this many basis points.
    OverWhole(u32),
    /// These versions all claim to be the default.
    Defaults(Vec<String>),
    /// These versions are all the control.
    Controls(Vec<String>),
    /// These versions declare traffic or the default, beside an [`Assignment`] that does.
    Beside(Vec<String>),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion => f.write_str("there is no version to serve"),
            Self::TooManyVersions(count) => {
                write!(f, "there are {count} versions, but at most {MAX_VERSIONS} are allowed")
            }
            Self::OverWhole(sum) => {
                write!(f, "the traffic percentages add up to {}.{:02}, but must not exceed 100", sum / 100, sum % 100)
            }
            Self::Defaults(names) => write!(f, "several versions are declared the default: {}", names.join(", ")),
            Self::Controls(names) => write!(f, "several versions are declared the control: {}", names.join(", ")),
            Self::Beside(names) => write!(
                f,
                "the whole split of the endpoint is declared as one, but these versions declare a share or the default, too: {}",
                names.join(", ")
            ),
        }
    }
}

impl fmt::Display for Conflicts {
    /// All conflicts, then every version's share.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, conflict) in self.conflicts.iter().enumerate() {
            let gap = if index == 0 { "" } else { "; " };
            write!(f, "{gap}{conflict}")?;
        }
        for (index, (name, share)) in self.shares.iter().enumerate() {
            let gap = if index == 0 { " (declared: " } else { ", " };
            write!(f, "{gap}{name} {share} %")?;
        }
        if self.shares.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl std::error::Error for Conflicts {}

/// The table that a declared set leads to, given the table that is served now.
///
/// A valid set (shares add up to at most 100 %, at most one default claim, at most one control, one to six versions)
/// becomes the table: each version its own share, and what none claims goes to the default on top of its own. The
/// effective default is the version that claims it; without a claim the present default, if it still exists; else the
/// version of the largest declared share; of equal shares the oldest. `is_default = false` is the same as no claim. Slots
/// move as little as possible.
///
/// A set that is not valid is refused with everything that is in conflict; what is served stays as it is.
pub fn settle(declared: &BTreeMap<String, Declared>, served: Option<&Table>) -> Result<Table, Conflicts> {
    let names_where = |wanted: &dyn Fn(&Declaration) -> bool| -> Vec<String> {
        declared.iter().filter(|(_, version)| wanted(&version.declaration)).map(|(name, _)| name.clone()).collect()
    };
    let sum: u32 = declared.values().map(|version| u32::from(version.declaration.traffic.0)).sum();
    let defaults = names_where(&|declaration| declaration.is_default == Some(true));
    let controls = names_where(&|declaration| declaration.is_control);

    let mut conflicts = Vec::new();
    if declared.len() > MAX_VERSIONS {
        conflicts.push(Conflict::TooManyVersions(declared.len()));
    }
    if sum > u32::from(WHOLE) {
        conflicts.push(Conflict::OverWhole(sum));
    }
    if defaults.len() > 1 {
        conflicts.push(Conflict::Defaults(defaults));
    }
    if controls.len() > 1 {
        conflicts.push(Conflict::Controls(controls));
    }
    let shares = || declared.iter().map(|(name, version)| (name.clone(), version.declaration.traffic)).collect();
    let Some(default) = effective_default(declared, served) else {
        return Err(Conflicts { shares: shares(), conflicts: vec![Conflict::NoVersion] });
    };
    if !conflicts.is_empty() {
        return Err(Conflicts { shares: shares(), conflicts });
    }
    let mut shares: BTreeMap<String, BasisPoints> = shares();
    give_rest_to(&mut shares, &default);
    let slots = reassign(served.map_or(&SlotMap::default(), |table| &table.slots), &shares);
    Ok(Table { default, shares, slots })
}

/// The default of a declared set; none if it is empty. Of several claims, which are a conflict, none counts.
fn effective_default(declared: &BTreeMap<String, Declared>, served: Option<&Table>) -> Option<String> {
    let mut claims = declared.iter().filter(|(_, version)| version.declaration.is_default == Some(true));
    if let (Some((name, _)), None) = (claims.next(), claims.next()) {
        return Some(name.clone());
    }
    if let Some(present) = served.map(|table| &table.default).filter(|name| declared.contains_key(*name)) {
        return Some(present.clone());
    }
    declared
        .iter()
        .max_by_key(|(_, version)| (version.declaration.traffic, std::cmp::Reverse(version.sequence)))
        .map(|(name, _)| name.clone())
}

fn give_rest_to(shares: &mut BTreeMap<String, BasisPoints>, default: &str) {
    let claimed: u16 = shares.values().map(|share| share.0).sum();
    if let Some(share) = shares.get_mut(default) {
        share.0 += WHOLE.saturating_sub(claimed);
    }
}

impl Table {
    /// The table without the versions that are not declared any more: their shares go to the default, and if that is
    /// one of them, to the version that becomes the default by the rule of [`settle`]. None if nothing is left to serve.
    ///
    /// This is what a removal does at once, also while the declared set is in conflict.
    #[must_use]
    pub fn retain(&self, declared: &BTreeMap<String, Declared>) -> Option<Self> {
        let mut shares = self.shares.clone();
        shares.retain(|name, _| declared.contains_key(name));
        let served = declared
            .iter()
            .filter(|(name, _)| shares.contains_key(*name))
            .map(|(name, version)| (name.clone(), *version));
        let default = effective_default(&served.collect(), Some(self))?;
        // A claim that is not settled yet must not move traffic by the removal of another version.
        let default = if shares.contains_key(&self.default) { self.default.clone() } else { default };
        give_rest_to(&mut shares, &default);
        let slots = reassign(&self.slots, &shares);
        Some(Self { default, shares, slots })
    }
}

impl Service {
    /// Whether a version of this name gets traffic because of the endpoint's assignment.
    #[must_use]
    pub fn routes_to(&self, version: &str) -> bool {
        self.assignment.as_ref().is_some_and(|assignment| assignment.routes_to(version))
    }

    /// What counts of the versions' declarations: that of each version whose create has finished, or what the assignment
    /// says of it. A destroyed version counts for as long as an assignment routes to it.
    #[must_use]
    pub fn declared(&self) -> BTreeMap<String, Declared> {
        let counts = |(name, version): &(&String, &Version)| {
            version.committed && (version.retiring_until.is_none() || self.routes_to(name))
        };
        let declared = |(name, version): (&String, &Version)| {
            let mut declared = Declared::from(version);
            if let Some(assignment) = &self.assignment {
                declared.declaration = Declaration {
                    traffic: assignment.shares.get(name).copied().unwrap_or_default(),
                    is_default: Some(assignment.default.as_ref() == Some(name)),
                    is_control: match &assignment.control {
                        Some(control) => control == name,
                        None => version.declared.is_control,
                    },
                };
            }
            (name.clone(), declared)
        };
        self.versions.iter().filter(counts).map(declared).collect()
    }

    /// Brings the served table in line with what is [declared](Self::declared): removed versions leave it at once, and a
    /// valid declared set becomes the table. A set in conflict leaves the table as it is otherwise, and is returned.
    /// Without versions nothing is served, and that is no conflict.
    pub fn settle(&mut self) -> Result<(), Conflicts> {
        let declared = self.declared();
        if declared.is_empty() {
            self.served = None;
            return Ok(());
        }
        let settled = self.beside_assignment(&declared).and_then(|()| settle(&declared, self.served.as_ref()));
        match settled {
            Ok(table) => {
                self.served = Some(table);
                for version in self.versions.values_mut().filter(|version| version.committed) {
                    version.settled = Some(version.declared);
                }
                Ok(())
            }
            Err(conflicts) => {
                self.served = self.served.take().and_then(|table| table.retain(&declared));
                Err(conflicts)
            }
        }
    }

    /// Takes the versions out whose time to [retire](Version::retired) is over, and their shares out of the served table.
    /// True if there were any.
    pub fn drop_retired(&mut self, now: jiff::Timestamp) -> bool {
        let before = self.versions.len();
        self.versions.retain(|_, version| !version.retired(now));
        if self.versions.len() == before {
            return false;
        }
        // Of what is left, what is declared decides on the default alone; versions of the table keep their shares.
        let left = self.versions.iter().map(|(name, version)| (name.clone(), version.into())).collect();
        self.served = self.served.take().and_then(|table| table.retain(&left));
        true
    }

    /// A version may declare nothing of what the assignment declares.
    fn beside_assignment(&self, declared: &BTreeMap<String, Declared>) -> Result<(), Conflicts> {
        let claims = |(_, version): &(&String, &Version)| {
            let Declaration { traffic, is_default, .. } = version.declared;
            version.committed && version.retiring_until.is_none() && (traffic.0 > 0 || is_default == Some(true))
        };
        let names: Vec<String> = match &self.assignment {
            Some(_) => self.versions.iter().filter(claims).map(|(name, _)| name.clone()).collect(),
            None => Vec::new(),
        };
        if names.is_empty() {
            return Ok(());
        }
        let shares = declared.keys().map(|name| (name.clone(), self.versions[name].declared.traffic)).collect();
        Err(Conflicts { shares, conflicts: vec![Conflict::Beside(names)] })
    }
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "settle_tests.rs"]
mod settle_tests;
