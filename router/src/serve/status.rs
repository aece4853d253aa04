//! `/livez`, `/readyz` and `/metrics`, read-only and on a port of their own. The data path is not touched: its counters
//! are asked for on the control channel.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::metrics::{self, Facts};

/// Connections at once; further ones wait.
const CONNECTIONS: usize = 32;
/// Longest time of one connection: one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a question.
const ANSWER: Duration = Duration::from_secs(5);

/// A question to the one who knows.
pub(super) enum Question {
    /// Is the process well?
    Live(oneshot::Sender<Result<(), String>>),
    /// May callers come?
    Ready(oneshot::Sender<Result<(), String>>),
    /// All numbers.
    Metrics(oneshot::Sender<Facts>),
}

/// Answers for ever.
pub(super) async fn serve(listener: TcpListener, questions: mpsc::Sender<Question>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the status port could not be accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let questions = questions.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &questions));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // A prober that breaks off is no news.
            let _ = timeout(PATIENCE, connection).await;
            drop(place);
        });
    }
}

/// Listens on the port of every address.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = super::listen::bind(address)?;
    let nonblocking = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    nonblocking.map_err(|error| format!("cannot listen on {address}: {error}"))
}

async fn answer(
    request: Request<Incoming>,
    questions: &mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let (status, kind, body) = match path {
        "/livez" | "/readyz" | "/metrics" if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is allowed\n".to_owned())
        }
        "/livez" => verdict(ask(questions, Question::Live).await),
        "/readyz" => verdict(ask(questions, Question::Ready).await),
        "/metrics" => match ask(questions, Question::Metrics).await {
            Some(facts) => (StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&facts)),
            None => (StatusCode::SERVICE_UNAVAILABLE, TEXT, SILENT.to_owned()),
        },
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

const TEXT: &str = "text/plain; charset=utf-8";
const SILENT: &str = "the router does not answer\n";

async fn ask<T>(questions: &mpsc::Sender<Question>, question: fn(oneshot::Sender<T>) -> Question) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    questions.try_send(question(reply)).ok()?;
    timeout(ANSWER, answer).await.ok()?.ok()
}

fn verdict(answer: Option<Result<(), String>>) -> (StatusCode, &'static str, String) {
    match answer {
        Some(Ok(())) => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        Some(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        None => (StatusCode::SERVICE_UNAVAILABLE, TEXT, SILENT.to_owned()),
    }
}
