//! Issuers of access tokens, as the configuration names them, and what their tokens are good for.
//!
//! Each issuer's keys are fetched by a thread of its own ([`fetch`]) and kept in memory; judging a token waits for that thread
//! only when the token's key is not known.

mod fetch;

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serving::token::access::{Claims, Decision, KeySet, Presented};
use serving::token::{Invalid, Issuer};

use self::fetch::Place;
use super::event_loop::{oneshot, race, sleep};
use super::{ApiServer, Clock};
use crate::config::{Config, Issuers as Times, ms};

/// Requests that wait for the keys of one issuer; above it they are refused.
const WAITING: usize = 1_024;

/// All configured issuers.
#[derive(Debug)]
pub(super) struct Issuers {
    remotes: Vec<Remote>,
    clock: Clock,
    times: Times,
    skew_seconds: u64,
}

/// One issuer.
#[derive(Debug)]
struct Remote {
    /// Literally; none of the cluster's own, which is found with its keys.
    issuer: Option<String>,
    /// What its tokens are good for: its entries in the configuration.
    grants: Vec<Issuer>,
    known: Arc<ArcSwap<Known>>,
    demands: mpsc::SyncSender<Demand>,
}

/// A request that waits for newer keys: dropped when there are some, or none to be had.
type Demand = oneshot::Sender<()>;

/// What is known of an issuer's keys. Times are of the worker's clock, 0 for never.
#[derive(Debug, Default)]
struct Known {
    /// Who it says that it is, where that was not said before.
    issuer: Option<String>,
    keys: Option<Arc<KeySet>>,
    /// When the keys were fetched.
    fetched: u64,
    /// When they were to be fetched last.
    tried: u64,
    /// That failed.
    failing: bool,
}

/// Why no token is given for an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not valid here.
    Invalid,
    /// It is valid, but does not allow this.
    Forbidden,
    /// That cannot be told without its issuer.
    Unavailable { retry_after: u32 },
}

impl Issuers {
    /// Starts to fetch everybody's keys.
    pub(super) fn start(config: &Config, clock: &Clock, api: Option<ApiServer>) -> io::Result<Self> {
        let mut remotes: Vec<Remote> = Vec::new();
        let start = |place: Place, issuer: Option<&str>, grant: Issuer| {
            let known: Arc<ArcSwap<Known>> = Arc::default();
            let (demands, received) = mpsc::sync_channel(WAITING);
            fetch::start(place, &config.issuers, (clock.clone(), Arc::clone(&known)), received)?;
            io::Result::Ok(Remote { issuer: issuer.map(str::to_owned), grants: vec![grant], known, demands })
        };
        for entry in &config.tokens.issuers {
            match remotes.iter_mut().find(|remote| remote.issuer.as_ref() == Some(&entry.issuer)) {
                Some(remote) => remote.grants.push(entry.clone()),
                None => remotes.push(start(Place::of(entry), Some(&entry.issuer), entry.clone())?),
            }
        }
        if let (Some(accounts), Some(api)) = (&config.tokens.service_accounts, api) {
            remotes.push(start(Place::Cluster(api), None, accounts.grant())?);
        }
        let skew_seconds = config.tokens.clock_skew_seconds;
        Ok(Self { remotes, clock: clock.clone(), times: config.issuers.clone(), skew_seconds })
    }

    /// The subject of an access token whose bearer may have a token of the service.
    pub(super) async fn judge(&self, token: &[u8], service: &str) -> Result<String, Refusal> {
        let presented = Presented::read(token).map_err(|_| Refusal::Invalid)?;
        let remote = self.remote(presented.issuer()).await?;
        let verified = match self.verify(remote, &presented) {
            Err(Undecided::UnknownKey) => {
                self.demand(remote).await?;
                self.verify(remote, &presented)
            }
            decided => decided,
        };
        match verified {
            Ok(claims) => remote.decide(claims, service),
            Err(Undecided::UnknownKey) if remote.known.load().failing => Err(self.unavailable()),
            // An issuer that answers has no such key.
            Err(Undecided::Invalid | Undecided::UnknownKey) => Err(Refusal::Invalid),
        }
    }

    /// The issuer of this name.
    async fn remote(&self, issuer: &str) -> Result<&Remote, Refusal> {
        let named = |remote: &&Remote| remote.issuer.as_deref() == Some(issuer);
        if let Some(remote) = self.remotes.iter().find(named) {
            return Ok(remote);
        }
        let cluster = self.remotes.iter().find(|remote| remote.issuer.is_none()).ok_or(Refusal::Invalid)?;
        if cluster.known.load().issuer.is_none() {
            self.demand(cluster).await?;
        }
        let known = cluster.known.load();
        match &known.issuer {
            Some(found) if found == issuer => Ok(cluster),
            None if known.failing => Err(self.unavailable()),
            _ => Err(Refusal::Invalid),
        }
    }

    fn verify(&self, remote: &Remote, presented: &Presented<'_>) -> Result<Claims, Undecided> {
        let known = remote.known.load();
        let fresh = self.clock.now().saturating_sub(known.fetched) <= self.times.stale_ms;
        let keys = known.keys.as_ref().filter(|_| fresh).ok_or(Undecided::UnknownKey)?;
        presented.verify(keys, self.skew_seconds, Timestamp::now()).map_err(|invalid| match invalid {
            Invalid::UnknownKey => Undecided::UnknownKey,
            _ => Undecided::Invalid,
        })
    }

    /// Waits for the newest keys that can be had, unless they were asked for just now.
    async fn demand(&self, remote: &Remote) -> Result<(), Refusal> {
        let tried = remote.known.load().tried;
        if tried > 0 && self.clock.now().saturating_sub(tried) < self.times.refetch_ms {
            return Ok(());
        }
        let (demand, met) = oneshot::channel();
        remote.demands.try_send(demand).map_err(|_| self.unavailable())?;
        // Discovery and keys are two answers, and both may wait behind a fetch that has just begun.
        race(met, sleep(4 * ms(self.times.answer_ms) + Duration::from_secs(1))).await;
        Ok(())
    }

    fn unavailable(&self) -> Refusal {
        let seconds = ms(self.times.refetch_ms).as_secs().clamp(1, 60);
        Refusal::Unavailable { retry_after: u32::try_from(seconds).unwrap_or(60) }
    }
}

/// Why a token is not good, so far.
enum Undecided {
    Invalid,
    /// Newer keys may have its key.
    UnknownKey,
}

impl Remote {
    /// The best that any entry says of the bearer.
    fn decide(&self, claims: Claims, service: &str) -> Result<String, Refusal> {
        let best = self.grants.iter().map(|grant| claims.decide(grant, service)).max();
        match best.unwrap_or(Decision::OtherAudience) {
            Decision::OtherAudience => Err(Refusal::Invalid),
            Decision::Forbidden => Err(Refusal::Forbidden),
            Decision::Allowed => Ok(claims.sub.unwrap_or_default()),
        }
    }
}
