//! The gRPC server of a plugin, from the listening socket to the last answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::ServeError;
use super::environment::Environment;
use super::handshake::{Address, Handshake};
use super::listener::{Connection, Listener, Network};
use super::services::Services;
use super::tls;
use crate::proto::health::health_server::HealthServer;
use crate::proto::plugin::grpc_controller_server::GrpcControllerServer;
use crate::proto::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::proto::provider_server::{Provider, ProviderServer};

/// The largest message either way. State of many MiB is legitimate; what Go providers take.
pub(crate) const MESSAGE_LIMIT: usize = 256 << 20;

/// Calls that the host may have open at once; it makes ten at a time unless told otherwise.
const CALLS: u32 = 1024;

/// Connections in the middle of the TLS handshake.
const HANDSHAKES: usize = 32;

/// A host on the same machine needs milliseconds.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// The window for one message in flight: larger than gRPC's 64 KiB, so that big values are not paced by round trips.
const STREAM_WINDOW: u32 = 1 << 20;

/// A plugin that listens but does not answer yet.
pub(crate) struct Plugin {
    listener: Listener,
    acceptor: Option<TlsAcceptor>,
    handshake: Handshake,
}

impl Plugin {
    /// Binds the socket and makes the certificate. Needs a tokio runtime.
    pub(crate) fn bind(environment: &Environment, network: Network) -> Result<Self, ServeError> {
        let tls = environment.client_certificate().map(tls::server).transpose()?;
        let listener = Listener::bind(environment, network)?;
        let handshake = Handshake {
            address: listener.address(),
            certificate: tls.as_ref().map(|tls| tls.certificate.to_vec()),
            answer_multiplexing: environment.asks_for_multiplexing(),
        };
        Ok(Self { listener, acceptor: tls.map(|tls| TlsAcceptor::from(tls.config)), handshake })
    }

    pub(crate) fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    pub(crate) fn address(&self) -> &Address {
        &self.handshake.address
    }

    /// Answers until `shutdown` is cancelled, then lets the calls under way finish for at most `grace`.
    pub(crate) async fn serve<P: Provider>(
        self,
        provider: P,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> Result<(), ServeError> {
        let services = Services { shutdown: shutdown.clone() };
        let provider = ProviderServer::new(provider)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let (connections, mut incoming) = mpsc::channel(HANDSHAKES);
        // The listener lives here, so that its socket goes also when this future is dropped.
        let accepting = accept(&self.listener, self.acceptor, connections);
        let incoming =
            stream::poll_fn(move |context| incoming.poll_recv(context).map(|next| next.map(Ok::<_, io::Error>)));
        let serving = Server::builder()
            .max_concurrent_streams(CALLS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(4 * STREAM_WINDOW)
            .add_service(provider)
            .add_service(GrpcControllerServer::new(services.clone()))
            .add_service(GrpcStdioServer::new(services.clone()))
            .add_service(HealthServer::new(services))
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            served = serving => served.map_err(ServeError::from),
            () = overdue => Ok(()),
            () = accepting => Ok(()),
        }
    }
}

/// Accepts for ever; each connection shakes hands on its own, so that a silent one holds up nobody.
async fn accept(listener: &Listener, acceptor: Option<TlsAcceptor>, connections: mpsc::Sender<Link>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                // Mostly a lack of descriptors, which passes when some close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let (acceptor, connections) = (acceptor.clone(), connections.clone());
        tokio::spawn(async move {
            let link = match acceptor {
                None => Some(Link(Box::new(connection))),
                Some(acceptor) => secure(&acceptor, connection).await,
            };
            drop(permit);
            if let Some(link) = link {
                let _ = connections.send(link).await;
            }
        });
    }
}

async fn secure(acceptor: &TlsAcceptor, connection: Connection) -> Option<Link> {
    match tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(connection)).await {
        Ok(Ok(stream)) => Some(Link(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::warn!(%error, "refused a connection");
            None
        }
        Err(_) => {
            tracing::warn!("refused a connection that did not finish the TLS handshake in time");
            None
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection that is ready for gRPC.
struct Link(Box<dyn Duplex>);

impl Connected for Link {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

mod io_impl {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::Link;

    impl AsyncRead for Link {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Link {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }
    }
}
