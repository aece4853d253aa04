//! The worker: its threads, and the channel on which the supervisor tells it what to serve.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use serving::snapshot::{FromWorker, Snapshot, ToWorker};

use super::connection;
use super::event_loop::{self, Counted, Either, Instant, Listener, Task, mpsc, race, sleep};
use super::table::{Registry, Table};
use super::thread::Thread;
use super::{Clock, RouteError};
use crate::config::{Config, ms};

/// A thread takes a connection at once only while it has at most so many more than the one with the fewest; otherwise it
/// lets the others go first for a moment.
const LEAD: usize = 4;

/// A stopping worker keeps unused connections for so long: a caller that is about to use one then gets an answer, which
/// closes the connection, and not an error.
const LINGER: Duration = Duration::from_secs(1);

/// An order to one thread.
enum Order {
    /// Look at the new table, then say so.
    Swap(blocking::Sender<()>),
    /// Take no new connections, finish the requests in flight.
    Drain,
    /// End now.
    Stop,
}

struct Member {
    orders: mpsc::UnboundedSender<Order>,
    handle: JoinHandle<()>,
}

fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> RouteError {
    move |source| RouteError::Io { action, source }
}

pub(super) fn run(config: Config, listener: TcpListener, control: &UnixStream) -> Result<(), RouteError> {
    let config = Arc::new(config);
    let clock = Clock::new();
    let table: Arc<ArcSwap<Table>> = Arc::default();
    let count = config.effective_threads();
    let loads: Arc<[AtomicUsize]> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    let mut members = Vec::with_capacity(count);
    for index in 0..count {
        let listener = listener.try_clone().map_err(io("share the listening socket"))?;
        let guard = Ended(control.try_clone().map_err(io("share the control channel"))?);
        let (config, clock, table, loads) =
            (Arc::clone(&config), clock.clone(), Arc::clone(&table), Arc::clone(&loads));
        let (orders, received) = mpsc::unbounded_channel();
        let body = move || {
            let _guard = guard;
            let thread = Thread::new(config, clock, table).expect("the operating system gives random numbers");
            event_loop::run_thread(serve(Rc::new(thread), listener, received, loads, index))
                .expect("the operating system gives an event queue");
        };
        let handle =
            std::thread::Builder::new().name(format!("route-{index}")).spawn(body).map_err(io("start a thread"))?;
        members.push(Member { orders, handle });
    }
    drop(listener);
    let mut registry = Registry::new(clock, config.upstream.clone());
    let drain = obey(control, &members, &table, &mut registry);
    for member in &members {
        // A thread that is gone is reported below.
        let _ = member.orders.send(if drain { Order::Drain } else { Order::Stop });
    }
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

/// Ends the control channel when a thread ends by a panic, so that the worker does not go on with fewer threads.
struct Ended(UnixStream);

impl Drop for Ended {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A channel that is closed already has the same effect.
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
}

/// Follows the supervisor until it wants the worker to end: true if requests in flight are to be finished.
fn obey(control: &UnixStream, members: &[Member], table: &ArcSwap<Table>, registry: &mut Registry) -> bool {
    for line in BufReader::new(control).lines() {
        let Ok(line) = line else { return false };
        let order = match serde_json::from_str(&line) {
            Ok(order) => order,
            Err(error) => {
                tracing::error!(%error, "the supervisor sent what is not an order; it is ignored");
                continue;
            }
        };
        let answer = match order {
            ToWorker::Snapshot(snapshot) => {
                if !swap(&snapshot, members, table, registry) {
                    continue;
                }
                FromWorker::Serving { sequence: snapshot.sequence }
            }
            ToWorker::Stats { id } => FromWorker::Stats { id, services: registry.stats() },
            ToWorker::Drain => return true,
        };
        let mut text = serde_json::to_vec(&answer).expect("an answer has only string keys and serialises");
        text.push(b'\n');
        if (&*control).write_all(&text).is_err() {
            return false;
        }
    }
    false
}

/// Puts a snapshot in force; true when every thread routes by it.
fn swap(snapshot: &Snapshot, members: &[Member], table: &ArcSwap<Table>, registry: &mut Registry) -> bool {
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
    let asked = members.iter().filter(|member| member.orders.send(Order::Swap(done.clone())).is_ok()).count();
    drop(done);
    let confirmed = seen.iter().count();
    confirmed == asked && asked == members.len()
}

/// The connections of one thread, each with the flag that says that it waits for a request.
type Open = Rc<RefCell<HashMap<u64, (Task, Rc<Cell<bool>>)>>>;

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
    loop {
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
            Some(Order::Drain) => break,
            Some(Order::Stop) | None => return,
        }
    }
    drop(waiting);
    if let Some(accepting) = accepting {
        accepting.abort();
    }
    thread.stopping.set(true);
    let start = Instant::now();
    let deadline = start + ms(thread.config.timeouts.drain_ms);
    let mut swept = false;
    while thread.connections.get() > 0 && Instant::now() < deadline {
        if !swept && start.elapsed() >= LINGER {
            swept = true;
            for (task, idle) in open.borrow().values() {
                if idle.get() {
                    task.abort();
                }
            }
        }
        match race(sleep(Duration::from_millis(10)), orders.recv()).await {
            Either::Second(Some(Order::Stop) | None) => break,
            Either::Second(Some(Order::Swap(done))) => drop(done),
            _ => {}
        }
    }
    keeping.abort();
    thread.log.borrow_mut().flush();
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
        let counted = Counted::new(&thread.connections);
        let idle = Rc::new(Cell::new(true));
        let (thread, flag, entry) = (Rc::clone(&thread), Rc::clone(&idle), Entry(Rc::clone(&open), next));
        let task = event_loop::spawn(async move {
            let _held = (counted, entry);
            connection::serve(thread, stream, peer, flag).await;
        });
        open.borrow_mut().insert(next, (task, idle));
        next += 1;
    }
}

/// A place in [`Open`].
struct Entry(Open, u64);

impl Drop for Entry {
    fn drop(&mut self) {
        // While draining, the map is being walked when a task is aborted; the place then goes with the map.
        if let Ok(mut open) = self.0.try_borrow_mut() {
            open.remove(&self.1);
        }
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
