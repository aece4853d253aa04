//! The gRPC form of the Open Inference Protocol, on a port of its own.
//!
//! A pure transcoder: each call becomes a request of the REST form, which the HTTP server answers over a pipe within
//! this process. So slots, deadlines, limits, ids and draining are those of every other request.

mod deadline;
mod pipe;
mod tensors;
mod transcode;

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tower::limit::GlobalConcurrencyLimitLayer;

use self::deadline::Deadline;
pub(crate) use self::pipe::Door;
use self::pipe::{Answer, Pipes};
use self::proto::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use self::proto::{
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ModelReadyResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse,
    ServerReadyRequest, ServerReadyResponse,
};

#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    reason = "generated from proto/grpc_predict_v2.proto"
)]
mod proto {
    tonic::include_proto!("inference");
}

/// What a message may have beside its tensors, in bytes.
const HEADROOM: usize = 1024 * 1024;
/// How long answers that are on their way may take to leave when the scorer ends.
const LEAVE: Duration = Duration::from_secs(5);
/// Calls beyond those that the HTTP server takes, which refuses them; so health never waits for a running score.
const SPARE: usize = 64;
/// Most calls of one connection at once; further ones wait.
const CALLS: u32 = 1024;

/// A running gRPC server.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Lets the calls that are on their way finish; call it after the HTTP server has drained.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = tokio::time::timeout(LEAVE, self.ended).await;
    }
}

/// Serves `listener` on the running runtime. The HTTP server's ends of pipes go through `door`. Messages may be
/// `max_body` bytes long, and those of at most `max_calls` calls are read at once.
pub(crate) fn serve(listener: TcpListener, door: Door, max_body: usize, max_calls: usize) -> std::io::Result<Running> {
    listener.set_nonblocking(true)?;
    let incoming = tonic::transport::server::TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?);
    let service = GrpcInferenceServiceServer::new(Service { pipes: Pipes::new(door, max_body) })
        .max_decoding_message_size(max_body.saturating_add(HEADROOM))
        .max_encoding_message_size(usize::MAX);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tonic::transport::Server::builder()
        .max_concurrent_streams(CALLS)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .http2_keepalive_interval(Some(Duration::from_mins(1)))
        .layer(tower::layer::layer_fn(Deadline))
        .layer(GlobalConcurrencyLimitLayer::new(max_calls.saturating_add(SPARE).min(Semaphore::MAX_PERMITS)))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming.with_nodelay(Some(true)), async {
            let _ = stopped.await;
        });
    let ended = tokio::spawn(async {
        if let Err(error) = serving.await {
            crate::log::later('E', format_args!("The gRPC server has ended: {error}"));
        }
    });
    Ok(Running { stop, ended })
}

struct Service {
    pipes: Pipes,
}

impl Service {
    async fn get(&self, path: &str, metadata: &MetadataMap) -> Result<Answer, Status> {
        self.pipes.send(http::Method::GET, path, pipe::forwarded(metadata)?, Bytes::new()).await
    }
}

/// The path of a model. Names are one segment of it.
fn path(name: &str, version: &str) -> Result<String, Status> {
    let plain = |part: &str| {
        let plain = part.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#%\"<>\\^`{|}".contains(&byte));
        if plain { Ok(()) } else { Err(Status::not_found(format!("there is no model {part:?}"))) }
    };
    plain(name)?;
    plain(version)?;
    Ok(if version.is_empty() { format!("/v2/models/{name}") } else { format!("/v2/models/{name}/versions/{version}") })
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, request: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        let live = self.get("/v2/health/live", request.metadata()).await?.status == 200;
        Ok(Response::new(ServerLiveResponse { live }))
    }

    async fn server_ready(
        &self,
        request: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        let ready = self.get("/v2/health/ready", request.metadata()).await?.status == 200;
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let (metadata, _, ModelReadyRequest { name, version }) = request.into_parts();
        let answer = self.get(&format!("{}/ready", path(&name, &version)?), &metadata).await?;
        // A model that is not ready is an answer, one that does not exist an error.
        if answer.status == 404 {
            return Err(answer.error());
        }
        Ok(Response::new(ModelReadyResponse { ready: answer.status == 200 }))
    }

    async fn server_metadata(
        &self,
        request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        transcode::server(&self.get("/v2", request.metadata()).await?.good()?.body).map(Response::new)
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let (metadata, _, ModelMetadataRequest { name, version }) = request.into_parts();
        transcode::model(&self.get(&path(&name, &version)?, &metadata).await?.good()?.body).map(Response::new)
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let mut headers = pipe::forwarded(request.metadata())?;
        let message = request.into_inner();
        let path = format!("{}/infer", path(&message.model_name, &message.model_version)?);
        let body = transcode::body(&message)?;
        drop(message);
        headers.insert(pipe::JSON_LENGTH, body.header.into());
        let answer = self.pipes.send(http::Method::POST, &path, headers, body.bytes.into()).await?.good()?;
        let header = answer.json_length.unwrap_or(answer.body.len());
        let mut response = Response::new(transcode::response(header, answer.body, body.typed)?);
        pipe::give_back(&answer.headers, response.metadata_mut());
        Ok(response)
    }
}
