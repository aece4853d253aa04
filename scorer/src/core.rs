//! The running core, as Python holds it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use rustix::event::EventfdFlags;
use serving::admin::{FailureReason, ScorerEvent};
use tokio::sync::oneshot;

use crate::batch::Gather;
use crate::call::Job;
use crate::control::{self, Alarm};
use crate::hop::Hop;
use crate::listen::{self, adopt};
use crate::log;
use crate::pool::{self, News};
use crate::preload::Preloaded;
use crate::process::{self, Limits, Starter};
use crate::request::Request;
use crate::serve::Script;
use crate::server::{Ready, Server, Settings};
use crate::socket::Socket;
use crate::turns::Turns;
use crate::{grpc, v2};

/// How long requests that wait are run without a look at the I/O. Well below the guardian's patience, which so steps in
/// only where a single `run()` lasts.
const UNSEEN: Duration = Duration::from_millis(1);

/// The running core.
#[pyclass(module = "azureml_scorer._core")]
pub(crate) struct Core {
    server: Arc<Server>,
    turns: Arc<Turns>,
    control: Option<Arc<UnixStream>>,
    /// Tells the watch over `init()` that it has returned.
    started: Mutex<Option<oneshot::Sender<()>>>,
}

#[pymethods]
impl Core {
    /// Answers on the listening sockets `listen_fds`, and gRPC calls on `grpc_fd`, which become the core's. Until
    /// [`ready`](Self::ready) only health and refusals are answered. Must be called on Python's main thread. Raises
    /// `ValueError` when the file of the hop secret cannot be used.
    #[new]
    #[pyo3(signature = (
        *, listen_fds, control_fd, init_timeout, trace_path, script, scoring_timeout_ms, max_body, max_requests,
        server_version, grace_ms, memory, strict, cors, grpc_fd=None, hop_secret_file=None,
    ))]
    #[allow(clippy::too_many_arguments, reason = "Python gives them by name")]
    fn new(
        listen_fds: Vec<i32>,
        control_fd: Option<i32>,
        init_timeout: u64,
        trace_path: PathBuf,
        script: String,
        scoring_timeout_ms: u64,
        max_body: usize,
        max_requests: u32,
        server_version: Option<String>,
        grace_ms: Option<u64>,
        memory: Option<u64>,
        strict: bool,
        cors: Vec<String>,
        grpc_fd: Option<i32>,
        hop_secret_file: Option<PathBuf>,
    ) -> PyResult<Self> {
        let hop = hop_secret_file.map(|path| Hop::read(&path)).transpose().map_err(PyValueError::new_err)?;
        keep_memory();
        log::start()?;
        let control = control_fd.map(|fd| Arc::new(UnixStream::from(adopt(fd))));
        let server = Server::new(Settings {
            scoring_timeout_ms,
            max_body,
            max_requests,
            server_version,
            grace: grace_ms.map(Duration::from_millis),
            alarm: Alarm::of_this_thread(),
            strict,
            cors,
            hop: hop.map(Arc::new),
        });
        let relieved = Arc::downgrade(&server);
        let turns = Turns::start(move || {
            if let Some(server) = relieved.upgrade() {
                server.deliver();
            }
        })?;
        server.set_turns(turns.clone());
        if let Some(control) = &control {
            turns.spawn(control::die_with(control.try_clone()?));
        }
        for fd in listen_fds {
            turns.spawn(listen::accept(adopt(fd), server.clone()));
        }
        let (started, has_started) = oneshot::channel();
        let watch = Watch { init_timeout, trace_path, script, control: control.clone() };
        turns.spawn(watch.over(has_started));
        turns.spawn(end_in_order(server.clone(), grpc_fd.map(adopt)));
        if let Some(memory) = memory {
            turns.spawn(outgrow(server.clone(), Limits { memory: Some(memory), processes: None }));
        }
        Ok(Self { server, turns, control, started: Mutex::new(Some(started)) })
    }

    /// `init()` has returned: start answering. `swagger` maps versions (`2`, `3`, `3.1`) to documents; with `raw`, every
    /// method of the scoring route is the script's to answer. `v2` describes the model for the Open Inference Protocol.
    #[pyo3(signature = (swagger, *, v2, raw=false))]
    fn ready(&self, swagger: BTreeMap<String, String>, v2: v2::Documents, raw: bool) {
        self.server.set_ready(Ready { swagger, raw, v2 });
        if let Some(started) = self.started.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = started.send(());
        }
        control::send(self.control.as_deref(), &ScorerEvent::Ready);
    }

    /// The script cannot be served; the caller exits with code 3.
    fn failed(&self, reason: &str, message: String, traceback: Option<String>) {
        let reason = serde_json::from_value(reason.into()).unwrap_or(FailureReason::Crashed);
        control::send(self.control.as_deref(), &ScorerEvent::Failed { reason, message, traceback });
    }

    /// Gives requests to a `Script` until the scorer has drained. With `batch`, most rows and most seconds that they are
    /// waited for, `run` takes a list.
    #[pyo3(signature = (script, batch=None))]
    fn serve(&self, py: Python<'_>, script: &Bound<'_, PyAny>, batch: Option<(usize, f64)>) -> PyResult<()> {
        let functions = Script::new(script)?;
        if let Some(batch) = batch {
            return self.serve_batches(py, &functions, &script.getattr("run_batch")?, Gather::new(batch));
        }
        let mut looked = Instant::now();
        loop {
            // While requests wait, the GIL is kept: giving it up and taking it back costs as much as a short score.
            if looked.elapsed() >= UNSEEN {
                py.detach(|| self.look());
                looked = Instant::now();
            }
            let job = if let Some(job) = self.server.queue.try_pop() {
                job
            } else {
                let Some(job) = py.detach(|| self.wait()) else { return Ok(()) };
                looked = Instant::now();
                job
            };
            functions.run(py, job)?;
        }
    }

    /// A descriptor that is readable when [`try_next`](Self::try_next) has something new to give, for an event loop of
    /// Python's, and whether it is an event counter that is silenced by reading it. It belongs to the caller.
    fn bell(&self) -> PyResult<(i32, bool)> {
        use std::os::fd::IntoRawFd as _;
        let os = |error: rustix::io::Errno| PyOSError::new_err(error.to_string());
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(os)?;
        let ours = rustix::io::fcntl_dupfd_cloexec(&bell, 0).map_err(os)?;
        self.server.queue.set_bell(ours);
        Ok((bell.into_raw_fd(), true))
    }

    /// The next request if one waits.
    fn try_next(&self) -> Option<Request> {
        self.server.queue.try_pop().map(|job| Request::new(job, None))
    }

    /// The scorer has drained: no request will come.
    fn ended(&self) -> bool {
        self.server.queue.ended()
    }

    /// Writes what was collected and the log lines that wait; the last thing before the process ends.
    #[allow(clippy::unused_self, reason = "Python finds it where the rest is")]
    fn flush(&self, py: Python<'_>) {
        py.detach(|| {
            crate::collect::close();
            log::flush();
        });
    }

    /// Serves with `workers` processes until the scorer has drained: 0, or 3 when the script cannot be served.
    ///
    /// With `preload`, they are forked from one that has run `init()`. A worker that holds more than `memory` bytes, or
    /// that has grown to more than `processes` processes, is replaced.
    #[pyo3(signature = (python, workers, *, preload=false, memory=None, processes=None))]
    fn serve_pool(
        &self,
        py: Python<'_>,
        python: String,
        workers: usize,
        preload: bool,
        memory: Option<u64>,
        processes: Option<usize>,
    ) -> i32 {
        let (sender, news) = mpsc::channel();
        let starter = if preload { Starter::Preloaded(Preloaded::new(python)) } else { Starter::Interpreter(python) };
        let starter = Arc::new(starter);
        for _ in 0..workers {
            let limits = Limits { memory, processes };
            self.turns.spawn(pool::feed(starter.clone(), limits, self.server.clone(), sender.clone()));
        }
        drop(sender);
        py.detach(|| {
            let mut ready = 0;
            // Until every worker has ended. Meanwhile the guardian drives the I/O.
            for news in news {
                match news {
                    News::Ready(script) => {
                        ready += 1;
                        if ready == workers {
                            self.ready(script.swagger, script.v2, script.raw);
                        }
                    }
                    News::Failed(event) => {
                        if let ScorerEvent::Failed { message, traceback, .. } = &event {
                            log::line('E', &format!("{message}\n{}", traceback.as_deref().unwrap_or_default()));
                        }
                        control::send(self.control.as_deref(), &event);
                        return 3;
                    }
                }
            }
            0
        })
    }
}

impl Core {
    fn serve_batches<'py>(
        &self,
        py: Python<'py>,
        script: &Script<'py>,
        run: &Bound<'py, PyAny>,
        mut gather: Gather,
    ) -> PyResult<()> {
        loop {
            let Some(job) = self.server.queue.try_pop().or_else(|| py.detach(|| self.wait())) else { return Ok(()) };
            let mut jobs = vec![job];
            let others = py.detach(|| {
                self.turns.drive(async {
                    self.server.deliver();
                    gather.fill(&self.server.queue, &mut jobs).await
                })
            });
            let size = jobs.len();
            let took = script.run_batch(py, run, jobs)?;
            gather.note(size, took);
            for job in others {
                script.run(py, job)?;
            }
        }
    }

    /// Drives what I/O there is to do now.
    fn look(&self) {
        self.turns.drive(async {
            self.server.deliver();
            tokio::task::yield_now().await;
        });
    }

    /// Drives the I/O until there is a request.
    fn wait(&self) -> Option<Job> {
        self.turns.drive(async {
            self.server.deliver();
            self.server.queue.taken().await
        })
    }
}

/// How long `init()` may take.
struct Watch {
    init_timeout: u64,
    trace_path: PathBuf,
    script: String,
    control: Option<Arc<UnixStream>>,
}

impl Watch {
    /// What `faulthandler` has written; a worker process looks at its own clock, which began later.
    async fn trace(&self) -> String {
        let written = async {
            loop {
                match std::fs::read_to_string(&self.trace_path) {
                    Ok(trace) if trace.ends_with('\n') => return trace,
                    _ => tokio::time::sleep(TRACE.1).await,
                }
            }
        };
        tokio::time::timeout(TRACE.0, written).await.unwrap_or_default()
    }

    async fn over(self, started: oneshot::Receiver<()>) {
        let limit = Duration::from_secs(self.init_timeout) + Duration::from_millis(500);
        if tokio::time::timeout(limit, started).await.is_ok() {
            return;
        }
        let trace = self.trace().await;
        let event = control::init_timeout(self.init_timeout, &trace, &self.script);
        if let ScorerEvent::Failed { message, .. } = &event {
            log::line('E', &format!("{message}\n{trace}"));
        }
        control::send(self.control.as_deref(), &event);
        let _ = std::fs::remove_file(&self.trace_path);
        control::exit_now(3);
    }
}

/// How long the trace of a process that began late is waited for, and the pause between two looks.
const TRACE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(50));

/// Waits for SIGTERM or SIGINT, then for the requests that run. Meanwhile gRPC calls are served, whose answers leave
/// after the requests that they became have ended.
async fn end_in_order(server: Arc<Server>, grpc_fd: Option<OwnedFd>) {
    use tokio::signal::unix::{SignalKind, signal};
    let grpc = grpc_fd.map(|fd| {
        let Settings { max_body, max_requests, .. } = server.settings;
        grpc::serve(fd.into(), door(server.clone()), max_body, max_requests as usize).unwrap_or_else(|error| {
            log::line('E', &format!("The gRPC socket cannot be used: {error}"));
            control::end_now()
        })
    });
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    if server.ready().is_none() {
        // Nothing runs that could be finished, and `init()` may take for ever.
        control::exit_now(0);
    }
    server.drain().await;
    if let Some(grpc) = grpc {
        grpc.stop().await;
    }
    server.queue.close();
}

/// Lets gRPC calls in as connections of their own.
fn door(server: Arc<Server>) -> grpc::Door {
    Box::new(move |stream| drop(tokio::spawn(server.clone().connection(Socket::Unix(stream), None))))
}

/// Exit code of a process that held more memory than it may.
const OUTGROWN: i32 = 5;

/// Ends a process that runs user code itself and holds too much memory: in order, or at once when it holds far too much.
async fn outgrow(server: Arc<Server>, limits: Limits) {
    let this = rustix::process::getpid();
    let over = async {
        while !limits.outgrown(this) {
            tokio::time::sleep(process::LOOK).await;
        }
        log::line('W', "The process holds more memory than it may, and ends so that another takes its place");
        server.drain().await;
    };
    tokio::select! {
        () = over => {}
        error = limits.exceeded(this) => log::line('E', &format!("The process ends so that another takes its place: {error}")),
    }
    server.give_back();
    control::exit_now(OUTGROWN);
}

/// Lets the allocator keep the memory of large bodies for the next ones, instead of asking the kernel for it each time.
#[allow(unsafe_code, reason = "the C library has no safe interface for it")]
pub(crate) fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 * 1024 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    }
}
