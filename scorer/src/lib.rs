//! The scorer's core: sockets, HTTP, slots, deadlines and health in a thread of its own, beside the Python thread
//! that runs user code.

mod collect;
mod control;
mod grpc;
mod http;
mod job;
mod log;
mod pool;
mod server;
mod slots;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use serving::admin::{FailureReason, ScorerEvent};
use tokio::sync::mpsc as channel;

use crate::control::Alarm;
use crate::job::{Job, Queue, Reply};
use crate::pool::News;
use crate::server::{Server, Settings};

/// Takes over a descriptor that the parent process handed to this one by number.
#[allow(unsafe_code, reason = "the environment variable is the parent's statement that the number is ours alone")]
fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: the supervisor opened the descriptor for this process, and `Core::new` adopts each number once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

enum Listener {
    Tcp(TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// An order to the IO thread.
enum Order {
    /// Start so many worker processes with this interpreter, and say how they stand.
    Feed { python: String, workers: usize, news: mpsc::Sender<News> },
    /// Start answering, with Swagger documents by version.
    Ready(BTreeMap<String, String>),
}

/// The running core.
#[pyclass(module = "azureml_scorer._core")]
struct Core {
    queue: Arc<Queue>,
    orders: channel::UnboundedSender<Order>,
    control: Option<Arc<UnixStream>>,
}

#[pymethods]
impl Core {
    /// Listens and starts the IO thread. Until [`ready`](Self::ready) only health and refusals are answered.
    #[new]
    #[pyo3(signature = (*, host, port, listen_fd, control_fd, init_timeout, trace_path, script, scoring_timeout_ms, max_body, server_version, grace_ms))]
    #[allow(clippy::too_many_arguments, reason = "Python gives them by name")]
    fn new(
        host: &str,
        port: u16,
        listen_fd: Option<i32>,
        control_fd: Option<i32>,
        init_timeout: u64,
        trace_path: PathBuf,
        script: String,
        scoring_timeout_ms: u64,
        max_body: usize,
        server_version: String,
        grace_ms: Option<u64>,
    ) -> PyResult<Self> {
        keep_memory();
        log::start()?;
        let listener = match listen_fd {
            Some(fd) => Listener::Unix(adopt(fd).into()),
            None => Listener::Tcp(
                TcpListener::bind((host, port))
                    .map_err(|error| PyOSError::new_err(format!("cannot listen on {host}:{port}: {error}")))?,
            ),
        };
        let control = control_fd.map(|fd| Arc::new(UnixStream::from(adopt(fd))));
        let queue = Arc::new(Queue::default());
        let (orders, received) = channel::unbounded_channel();
        let settings = Settings {
            scoring_timeout_ms,
            max_body,
            server_version,
            grace: grace_ms.map(Duration::from_millis),
            alarm: Alarm::of_this_thread(),
        };
        let watch = Watch { init_timeout, trace_path, script, control: control.clone() };
        let io_queue = queue.clone();
        std::thread::Builder::new()
            .name("io".into())
            .spawn(move || run_io(listener, settings, io_queue, received, watch))?;
        Ok(Self { queue, orders, control })
    }

    /// `init()` has returned: start answering. `swagger` maps versions (`2`, `3`, `3.1`) to documents.
    fn ready(&self, swagger: BTreeMap<String, String>) {
        let _ = self.orders.send(Order::Ready(swagger));
    }

    /// The script cannot be served; the caller exits with code 3.
    fn failed(&self, reason: &str, message: String, traceback: Option<String>) {
        let reason = serde_json::from_value(reason.into()).unwrap_or(FailureReason::Crashed);
        control::send(self.control.as_deref(), &ScorerEvent::Failed { reason, message, traceback });
    }

    /// The next request, or `None` when the scorer has drained. Waits without the GIL.
    fn next(&self, py: Python<'_>) -> Option<Request> {
        // While requests wait, the GIL is kept: giving it up and taking it back costs as much as a short score.
        let job = self.queue.try_pop().or_else(|| py.detach(|| self.queue.pop()));
        job.map(Request::from)
    }

    /// Writes the log lines that wait; the last thing before the process ends.
    #[allow(clippy::unused_self, reason = "Python finds it where the rest is")]
    fn flush(&self, py: Python<'_>) {
        py.detach(log::flush);
    }

    /// Serves with `workers` processes until the scorer has drained: 0, or 3 when the script cannot be served.
    fn serve_pool(&self, py: Python<'_>, python: &str, workers: usize) -> i32 {
        let (sender, news) = mpsc::channel();
        let _ = self.orders.send(Order::Feed { python: python.to_owned(), workers, news: sender });
        py.detach(|| {
            let mut ready = 0;
            // Until every worker has ended.
            for news in news {
                match news {
                    News::Ready(swagger) => {
                        ready += 1;
                        if ready == workers {
                            self.ready(swagger);
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

/// One request, as the Python side sees it.
#[pyclass(module = "azureml_scorer._core")]
#[allow(clippy::struct_field_names, reason = "the names are Python's attributes")]
struct Request {
    job: Option<Job>,
    #[pyo3(get)]
    method: String,
    #[pyo3(get)]
    query: String,
    #[pyo3(get)]
    request_id: String,
}

impl From<Job> for Request {
    fn from(job: Job) -> Self {
        let (method, query, request_id) = (job.method.clone(), job.query.clone(), job.request_id.clone());
        Self { job: Some(job), method, query, request_id }
    }
}

#[pymethods]
impl Request {
    /// Header names and values in the order of arrival.
    fn headers(&self) -> Vec<(String, String)> {
        self.job.as_ref().map(|job| job.headers.clone()).unwrap_or_default()
    }

    /// The body, which the IO thread has found to be UTF-8.
    #[getter]
    fn text(&self) -> Cow<'_, str> {
        self.job.as_ref().map(|job| String::from_utf8_lossy(&job.body)).unwrap_or_default()
    }

    /// Milliseconds of the time-out that the deadline comes from.
    #[getter]
    fn timeout_ms(&self) -> u64 {
        self.job.as_ref().map_or(0, |job| job.timeout_ms)
    }

    /// Seconds until the scoring time-out; not negative.
    #[getter]
    fn seconds_left(&self) -> f64 {
        self.job.as_ref().map_or(0.0, |job| job.deadline.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    /// Answers; a second answer is ignored.
    fn reply(
        &mut self,
        status: u16,
        headers: Option<Vec<(String, String)>>,
        body: Vec<u8>,
        failed: bool,
        run_ms: Option<f64>,
    ) {
        if let Some(job) = self.job.take() {
            job.answer(Reply { status, headers, body, failed, run_ms });
        }
    }
}

struct Watch {
    init_timeout: u64,
    trace_path: PathBuf,
    script: String,
    control: Option<Arc<UnixStream>>,
}

fn run_io(
    listener: Listener,
    settings: Settings,
    queue: Arc<Queue>,
    orders: channel::UnboundedReceiver<Order>,
    watch: Watch,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { control::end_now() };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        if let Some(Ok(control)) = watch.control.as_ref().map(|control| control.try_clone()) {
            tokio::task::spawn_local(control::die_with(control));
        }
        let server = Server::new(settings, queue.clone());
        tokio::task::spawn_local(server.replies().deliver());
        tokio::task::spawn_local(accept(listener, server.clone()));
        tokio::task::spawn_local(begin(orders, server.clone(), queue.clone(), watch));
        terminated().await;
        if !server.is_ready() {
            // Nothing runs that could be finished, and `init()` may take for ever.
            control::exit_now(0);
        }
        server.drain().await;
        queue.close();
        // The process ends with its main thread; until then newcomers are refused.
        std::future::pending::<()>().await;
    });
}

/// Carries out orders until the server is ready, for as long as `init()` may take.
async fn begin(
    mut orders: channel::UnboundedReceiver<Order>,
    server: std::rc::Rc<Server>,
    queue: Arc<Queue>,
    watch: Watch,
) {
    let limit = Duration::from_secs(watch.init_timeout) + Duration::from_millis(500);
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        match tokio::time::timeout_at(deadline, orders.recv()).await {
            Ok(Some(Order::Feed { python, workers, news })) => {
                for _ in 0..workers {
                    tokio::task::spawn_local(pool::feed(python.clone(), queue.clone(), news.clone()));
                }
            }
            Ok(Some(Order::Ready(swagger))) => {
                server.ready(swagger);
                return control::send(watch.control.as_deref(), &ScorerEvent::Ready);
            }
            Ok(None) => return,
            Err(_) => {
                let trace = std::fs::read_to_string(&watch.trace_path).unwrap_or_default();
                let event = control::init_timeout(watch.init_timeout, &trace, &watch.script);
                if let ScorerEvent::Failed { message, .. } = &event {
                    log::line('E', &format!("{message}\n{trace}"));
                }
                control::send(watch.control.as_deref(), &event);
                let _ = std::fs::remove_file(&watch.trace_path);
                control::exit_now(3);
            }
        }
    }
}

/// Resolves on SIGTERM or SIGINT.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// How long a TCP connection may wait for its next request. Of a unix socket's connections only the router, its peer,
/// closes the idle ones.
const IDLE: Duration = Duration::from_secs(75);
/// Pause after an accept that failed, for example for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

async fn accept(listener: Listener, server: std::rc::Rc<Server>) {
    let accepting = async {
        match listener {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            let _ = stream.set_nodelay(true);
                            tokio::task::spawn_local(server.clone().connection(stream, Some(IDLE)));
                        }
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
            }
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::UnixListener::from_std(listener)?;
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            tokio::task::spawn_local(server.clone().connection(stream, None));
                        }
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
            }
        }
        #[allow(unreachable_code, reason = "names the error type of the block")]
        Ok::<(), std::io::Error>(())
    };
    if let Err(error) = accepting.await {
        log::line('E', &format!("The listening socket cannot be used: {error}"));
        control::end_now();
    }
}

/// Lets the allocator keep the memory of large bodies for the next ones, instead of asking the kernel for it each time.
#[allow(unsafe_code, reason = "the C library has no safe interface for it")]
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 * 1024 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    }
}

/// In a worker process: ends it when the other end of the socket `fd` closes, whatever user code does.
#[pyfunction]
fn die_with_parent(fd: i32) -> PyResult<()> {
    keep_memory();
    Ok(control::die_with_parent(adopt(fd))?)
}

/// Rust core of the scorer.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(die_with_parent, module)?)?;
    module.add_function(wrap_pyfunction!(collect::collect_open, module)?)?;
    module.add_function(wrap_pyfunction!(collect::collect, module)?)?;
    module.add_function(wrap_pyfunction!(collect::collect_close, module)?)?;
    module.add_class::<Core>()?;
    module.add_class::<Request>()
}
