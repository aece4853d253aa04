//! The HTTP client of object storage, on the libraries that are in the programs anyway.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use tokio::time::{Sleep, timeout};

const CONNECT: Duration = Duration::from_secs(10);
/// Longest time from the beginning of a request, its body included, to the head of the answer.
const ANSWER: Duration = Duration::from_mins(1);
/// Longest time without a byte of an answer's body.
const IDLE: Duration = Duration::from_secs(30);
/// Connections that are kept for the next request.
const KEPT: usize = 16;
/// Most of what a store says about a failure.
const REFUSAL: usize = 64 << 10;

/// A client for `object_store`: of the storage, and of whatever gives out its credentials. Cheap to clone; clones share
/// their connections.
#[derive(Clone, Debug)]
pub struct Client(HttpClient);

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client without connections.
    ///
    /// A system without root certificates is no error here, since a store may need none; there, TLS fails.
    ///
    /// # Panics
    /// Never: ring has all that TLS 1.2 and 1.3 need.
    #[must_use]
    pub fn new() -> Self {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let hyper = Hyper::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .build(https);
        Self(HttpClient::new(Plain(hyper)))
    }
}

impl HttpConnector for Client {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

#[derive(Debug)]
struct Plain(Hyper<HttpsConnector<Tcp>, HttpRequestBody>);

#[async_trait]
impl HttpService for Plain {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchange = async {
            self.0.request(request).await.map_err(|error| {
                let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
                HttpError::new(kind, error)
            })
        };
        let late = |late| Err(HttpError::new(HttpErrorKind::Timeout, late));
        let (head, body) = timeout(ANSWER, exchange).await.unwrap_or_else(late)?.into_parts();
        let body = Patient { body, idle: Box::pin(tokio::time::sleep(IDLE)) };
        let body = if head.status.is_success() {
            HttpResponseBody::new(body)
        } else {
            let interrupted = |error| HttpError::new_boxed(HttpErrorKind::Interrupted, error);
            HttpResponseBody::from(Limited::new(body, REFUSAL).collect().await.map_err(interrupted)?.to_bytes())
        };
        Ok(HttpResponse::from_parts(head, body))
    }
}

/// A body that fails when nothing of it comes for too long.
struct Patient {
    body: Incoming,
    idle: Pin<Box<Sleep>>,
}

#[derive(Debug, thiserror::Error)]
#[error("no byte came for {} s", IDLE.as_secs())]
struct Stalled;

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.idle.as_mut().reset(tokio::time::Instant::now() + IDLE);
                Poll::Ready(frame.map(|frame| frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))))
            }
            Poll::Pending => {
                self.idle.as_mut().poll(context).map(|()| Some(Err(HttpError::new(HttpErrorKind::Timeout, Stalled))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
