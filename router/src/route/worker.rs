//! The worker: its threads, and the channel on which the supervisor tells it what to serve.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use serving::snapshot::{FromWorker, Snapshot, ToWorker};

use super::auth::attempts::Attempts;
use super::connection;
use super::event_loop::{self, Bell, Counted, Either, Instant, Listener, mpsc, race, sleep};
use super::issuers::Issuers;
use super::table::{Registry, Table};
use super::thread::Thread;
use super::{ApiServer, Clock, RouteError};
use crate::config::{Config, ms};

/// A thread takes a connection at once only while it has at most so many more than the one with the fewest; otherwise it
/// lets the others go first for a moment.
const LEAD: usize = 4;

/// An order to one thread.
enum Order {
    /// Look at the new table, then say so.
    Swap(blocking::Sender<()>),
    /// Take no new connections, finish the requests in flight, and keep unused connections for so long.
    Finish(Duration),
    /// End now.
    End,
}

struct Member {
    orders: mpsc::UnboundedSender<Order>,
    handle: JoinHandle<()>,
}

fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> RouteError {
    move |source| RouteError::Io { action, source }
}

pub(super) fn run(
    config: Config,
    listener: TcpListener,
    control: &UnixStream,
    api: Option<ApiServer>,
) -> Result<(), RouteError> {
    let config = Arc::new(config);
    let clock = Clock::new();
    let table: Arc<ArcSwap<Table>> = Arc::default();
    let attempts = Arc::new(Attempts::new(&config.attempts));
    let issuers = Arc::new(Issuers::start(&config, &clock, api).map_err(io("start a thread"))?);
    let count = config.effective_threads();
    let loads: Arc<[AtomicUsize]> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    let running = Arc::new(AtomicUsize::new(count));
    let mut members = Vec::with_capacity(count);
    for index in 0..count {
        let listener = listener.try_clone().map_err(io("share the listening socket"))?;
        let control = control.try_clone().map_err(io("share the control channel"))?;
        let guard = Ended { control, running: Arc::clone(&running) };
        let (config, clock, table, loads) =
            (Arc::clone(&config), clock.clone(), Arc::clone(&table), Arc::clone(&loads));
        let (attempts, issuers) = (Arc::clone(&attempts), Arc::clone(&issuers));
        let (orders, received) = mpsc::unbounded_channel();
        let body = move || {
            let _guard = guard;
            let thread = Thread::new(config, clock, table, attempts, issuers)
                .expect("the operating system gives random numbers");
            event_loop::run_thread(serve(Rc::new(thread), listener, received, loads, index))
                .expect("the operating system gives an event queue");
        };
        let handle =
            std::thread::Builder::new().name(format!("route-{index}")).spawn(body).map_err(io("start a thread"))?;
        members.push(Member { orders, handle });
    }
    drop(listener);
    obey(control, &members, &table, &mut Registry::new(clock, config.upstream.clone(), config.tokens.clone()), &config);
    tell(&members, || Order::End);
    let failed: Vec<usize> = members
        .into_iter()
        .enumerate()
        .filter_map(|(index, member)| member.handle.join().is_err().then_some(index))
        .collect();
    match failed.first() {
        Some(index) => Err(RouteError::Thread(*index)),
        None => Ok(()),
    }
}

/// Ends the control channel when a thread ends by a panic, so that the worker does not go on with fewer threads; and when
/// the last one ends, because there is nothing left to control.
struct Ended {
    control: UnixStream,
    running: Arc<AtomicUsize>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let last = self.running.fetch_sub(1, Relaxed) == 1;
        if last || std::thread::panicking() {
            // A channel that is closed already has the same effect.
            let _ = self.control.shutdown(Shutdown::Both);
        }
    }
}

/// Gives all threads an order; the number of those that are there to get it.
fn tell(members: &[Member], order: impl Fn() -> Order) -> usize {
    members.iter().filter(|member| member.orders.send(order()).is_ok()).count()
}

/// Follows the supervisor until the control channel ends.
fn obey(control: &UnixStream, members: &[Member], table: &ArcSwap<Table>, registry: &mut Registry, config: &Config) {
    let mut finishing = false;
    for line in BufReader::new(control).lines() {
        let Ok(line) = line else { return };
        let order = match serde_json::from_str(&line) {
            Ok(order) => order,
            Err(error) => {
                // The error's own text could quote a key.
                let (kind, column) = (error.classify(), error.column());
                tracing::error!(?kind, column, "the supervisor sent what is not an order; it is ignored");
                continue;
            }
        };
        let answer = match order {
            ToWorker::Snapshot(snapshot) => {
                if !swap(&snapshot, members, table, registry, finishing) {
                    continue;
                }
                FromWorker::Serving { sequence: snapshot.sequence }
            }
            ToWorker::Stats { id } => FromWorker::Stats { id, services: registry.stats() },
            ToWorker::Drain | ToWorker::Stop => {
                finishing = true;
                let stop = matches!(order, ToWorker::Stop);
                let kept = if stop { Duration::ZERO } else { ms(config.timeouts.drain_idle_ms) };
                tell(members, || Order::Finish(kept));
                continue;
            }
        };
        let mut text = serde_json::to_vec(&answer).expect("an answer has only string keys and serialises");
        text.push(b'\n');
        if (&*control).write_all(&text).is_err() {
            return;
        }
    }
}

/// Puts a snapshot in force; true when every thread routes by it. Threads that are `finishing` may have ended.
fn swap(
    snapshot: &Snapshot,
    members: &[Member],
    table: &ArcSwap<Table>,
    registry: &mut Registry,
    finishing: bool,
) -> bool {
    let new = match registry.build(snapshot) {
        Ok(new) => Arc::new(new),
        Err(error) => {
            tracing::error!(sequence = snapshot.sequence, %error, "snapshot refused; the previous one stays in force");
            return false;
        }
    };
    table.store(Arc::clone(&new));
    registry.commit(&new);
    let (done, seen) = blocking::channel();
    tell(members, || Order::Swap(done.clone()));
    drop(done);
    // Counts until no thread holds the order any more.
    let confirmed = seen.iter().count();
    finishing || confirmed == members.len()
}

/// The connections of one thread.
type Open = Rc<RefCell<HashMap<u64, Rc<Bell>>>>;

/// One thread of the data path.
async fn serve(
    thread: Rc<Thread>,
    listener: TcpListener,
    mut orders: mpsc::UnboundedReceiver<Order>,
    loads: Arc<[AtomicUsize]>,
    index: usize,
) {
    let listener = match Listener::new(listener) {
        Ok(listener) => listener,
        Err(error) => panic!("the listening socket cannot be used: {error}"),
    };
    let open = Open::default();
    let keeping = event_loop::spawn(keep_house(Rc::clone(&thread)));
    // Before the first table every service would be unknown; callers wait in the backlog until there is one.
    let mut waiting = Some((listener, loads));
    let mut accepting = None;
    let kept = loop {
        match orders.recv().await {
            Some(Order::Swap(done)) => {
                thread.pool.borrow_mut().retain(&thread.table().replicas);
                if let Some((listener, loads)) = waiting.take() {
                    let accepted = accept(Rc::clone(&thread), listener, Rc::clone(&open), loads, index);
                    accepting = Some(event_loop::spawn(accepted));
                }
                // The control thread waits for all of them, or has gone.
                let _ = done.send(());
            }
            Some(Order::Finish(kept)) => break kept,
            Some(Order::End) | None => return,
        }
    };
    drop(waiting);
    if let Some(accepting) = accepting {
        accepting.abort();
    }
    finish(&thread, &open, &mut orders, kept).await;
    keeping.abort();
    thread.log.borrow_mut().flush();
}

/// Waits until there is no connection any more, or no time.
async fn finish(thread: &Thread, open: &Open, orders: &mut mpsc::UnboundedReceiver<Order>, kept: Duration) {
    let deadline = Instant::now() + ms(thread.config.timeouts.drain_ms);
    let keep = |kept| {
        thread.stopping.set(Some(kept));
        for bell in open.borrow().values() {
            bell.ring();
        }
    };
    keep(kept);
    while thread.connections.get() > 0 && Instant::now() < deadline {
        match race(sleep(Duration::from_millis(10)), orders.recv()).await {
            Either::Second(Some(Order::Swap(done))) => {
                thread.pool.borrow_mut().retain(&thread.table().replicas);
                let _ = done.send(());
            }
            Either::Second(Some(Order::Finish(kept))) => keep(kept),
            Either::Second(Some(Order::End) | None) => return,
            Either::First(()) => {}
        }
    }
}

/// Takes connections.
async fn accept(thread: Rc<Thread>, listener: Listener, open: Open, loads: Arc<[AtomicUsize]>, index: usize) {
    let most = thread.config.limits.connections_per_thread;
    let mut next = 0_u64;
    loop {
        let mine = thread.connections.get();
        loads[index].store(mine, Relaxed);
        if mine >= most {
            sleep(Duration::from_millis(10)).await;
            continue;
        }
        let fewest = loads.iter().map(|load| load.load(Relaxed)).min().unwrap_or(0);
        if mine > fewest + LEAD {
            sleep(Duration::from_millis(1)).await;
        }
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or memory, or a connection that ended in the backlog.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        // IPv4 on a socket of both families.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let counted = Counted::new(&thread.connections);
        let bell = Rc::<Bell>::default();
        open.borrow_mut().insert(next, Rc::clone(&bell));
        let (thread, entry) = (Rc::clone(&thread), Entry(Rc::clone(&open), next));
        event_loop::spawn(async move {
            let _held = (counted, entry);
            connection::serve(thread, stream, peer, bell).await;
        });
        next += 1;
    }
}

/// A place in [`Open`].
struct Entry(Open, u64);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.borrow_mut().remove(&self.1);
    }
}

/// Writes the log and closes unused connections from time to time.
async fn keep_house(thread: Rc<Thread>) {
    loop {
        sleep(Duration::from_millis(250)).await;
        thread.log.borrow_mut().flush();
        thread.pool.borrow_mut().expire(ms(thread.config.upstream.idle_ms));
    }
}
