//! What a plugin serves beside the provider: orderly end, output streams, health.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::Health;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};
use crate::proto::plugin::grpc_controller_server::GrpcController;
use crate::proto::plugin::grpc_stdio_server::GrpcStdio;
use crate::proto::plugin::{Empty, StdioData};

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers `Shutdown`, `StreamStdio` and health checks. `shutdown` ends the process and every open stream.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) shutdown: CancellationToken,
}

impl Services {
    /// A stream of `first`, open until the process ends.
    fn open_stream<T: Send + 'static>(&self, first: Option<T>) -> Response<Streamed<T>> {
        let ended = self.shutdown.clone().cancelled_owned();
        let rest = stream::pending().take_until(ended);
        Response::new(stream::iter(first.map(Ok)).chain(rest).boxed())
    }
}

#[tonic::async_trait]
impl GrpcController for Services {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.shutdown.cancel();
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Services {
    type StreamStdioStream = Streamed<StdioData>;

    /// Stays open and empty: whatever the provider has to say goes through the log on stderr.
    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(self.open_stream(None))
    }
}

#[tonic::async_trait]
impl Health for Services {
    type WatchStream = Streamed<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match health_of(&request.into_inner().service) {
            ServingStatus::Serving => Ok(Response::new(answer(ServingStatus::Serving))),
            _ => Err(Status::not_found("there is no such service")),
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let status = health_of(&request.into_inner().service);
        Ok(self.open_stream(Some(answer(status))))
    }
}

/// `plugin` is the name that hosts ask for; the empty name means the whole server.
fn health_of(service: &str) -> ServingStatus {
    match service {
        "" | "plugin" => ServingStatus::Serving,
        _ => ServingStatus::ServiceUnknown,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
