//! What one thread of the data path has for itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serving::error::RouterError;
use serving::picker::Picker;
use serving::service::Kind;

use super::Clock;
use super::access::AccessLog;
use super::auth::{Credential, attempts::Attempts, tokens::Tokens};
use super::issuers::Issuers;
use super::pool::Pool;
use super::table::{Service, Table};
use crate::config::Config;

/// State of one thread. Shared between its tasks, never with another thread but for the table.
pub(super) struct Thread {
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    table: Arc<ArcSwap<Table>>,
    /// Failed credentials, of all threads.
    pub(super) attempts: Arc<Attempts>,
    /// Tokens that were verified.
    pub(super) tokens: RefCell<Tokens>,
    /// Issuers of access tokens, of all threads.
    pub(super) issuers: Arc<Issuers>,
    /// Answers to failed credentials that are held back.
    pub(super) delayed: Cell<usize>,
    pub(super) pool: RefCell<Pool>,
    pub(super) log: RefCell<AccessLog>,
    /// By [`Service::index`]: the activation that the picker counts for, and the picker.
    pub(super) pickers: RefCell<Vec<Option<(u64, Picker)>>>,
    time: RefCell<Texts>,
    random: Cell<u128>,
    rotation: Cell<usize>,
    /// While stopping: how long an unused client connection is kept.
    pub(super) stopping: Cell<Option<Duration>>,
    /// Open client connections.
    pub(super) connections: Rc<Cell<usize>>,
}

/// The present second, as text.
#[derive(Default)]
struct Texts {
    second: i64,
    date: String,
    stamp: String,
}

impl Thread {
    pub(super) fn new(
        config: Arc<Config>,
        clock: Clock,
        table: Arc<ArcSwap<Table>>,
        attempts: Arc<Attempts>,
        issuers: Arc<Issuers>,
    ) -> std::io::Result<Self> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        Ok(Self {
            log: RefCell::new(AccessLog::new(config.log.access)),
            config,
            clock,
            table,
            attempts,
            tokens: RefCell::default(),
            issuers,
            delayed: Cell::new(0),
            pool: RefCell::default(),
            pickers: RefCell::default(),
            time: RefCell::default(),
            random: Cell::new(u128::from_ne_bytes(seed)),
            rotation: Cell::new(0),
            stopping: Cell::new(None),
            connections: Rc::default(),
        })
    }

    /// The table in force. Not to be held over a wait.
    pub(super) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Finds the service of a path, if the caller may use it.
    pub(super) fn service(
        &self,
        name: &str,
        kind: Kind,
        credential: &Credential<'_>,
    ) -> Result<Arc<Service>, RouterError> {
        let table = self.table.load();
        match table.service(name).filter(|service| service.kind == kind) {
            Some(service) => credential.check(self, &table, service).map(|()| Arc::clone(service)),
            None => Err(credential.unknown(self, &table, name, kind == Kind::Endpoint)),
        }
    }

    /// Numbers that differ, for request ids: unique, not secret. PCG of 128 bits.
    pub(super) fn random(&self) -> u128 {
        const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
        let state = self.random.get().wrapping_mul(MULTIPLIER).wrapping_add(0x5851_f42d_4c95_7f2d_1405_7b7e_f767_814f);
        self.random.set(state);
        state ^ (state >> 64)
    }

    /// Where the search for the least loaded replica starts, so that equal ones take turns.
    pub(super) fn rotate(&self) -> usize {
        let turn = self.rotation.get().wrapping_add(1);
        self.rotation.set(turn);
        turn
    }

    /// Appends a `date` field with the present second.
    pub(super) fn date(&self, out: &mut Vec<u8>) {
        crate::http1::encode::field(out, b"date", self.now_text().date.as_bytes());
    }

    /// The present second in RFC 3339.
    pub(super) fn stamp(&self) -> std::cell::Ref<'_, str> {
        std::cell::Ref::map(self.now_text(), |texts| texts.stamp.as_str())
    }

    fn now_text(&self) -> std::cell::Ref<'_, Texts> {
        let now = Timestamp::now();
        if self.time.borrow().second != now.as_second() {
            let mut time = self.time.borrow_mut();
            time.second = now.as_second();
            time.date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            time.stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
        self.time.borrow()
    }
}
