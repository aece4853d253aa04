//! The host's end of the connection: its certificate, the handshake line, mutual TLS on the real socket.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::{Signature, SigningKey};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey as TlsKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureAlgorithm, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::certificate;
use super::error::CoreError;
use crate::process::server::Plugin;
use crate::process::tls::{PinnedPeer, crypto};
use crate::process::{Address, Connection, Environment, Handshake, Network};
use crate::proto::provider_server::Provider as PluginService;

const GRACE: Duration = Duration::from_secs(5);

/// A host's identity.
#[derive(Clone, Debug)]
pub struct Host {
    key: Arc<SigningKey>,
    certificate: CertificateDer<'static>,
}

impl Host {
    /// A host with a new key.
    pub fn new() -> Result<Self, CoreError> {
        // Half of all 521-bit numbers are below the order of the group once the top bits are cleared.
        let key = loop {
            let mut bytes = [0; 66];
            getrandom::fill(&mut bytes).map_err(|error| CoreError::Start(error.to_string()))?;
            bytes[0] &= 1;
            if let Ok(key) = SigningKey::from_slice(&bytes) {
                break key;
            }
        };
        let serial = getrandom::u64().map_err(|error| CoreError::Start(error.to_string()))?;
        let certificate = certificate::self_signed(&key, serial.to_be_bytes()).into();
        Ok(Self { key: Arc::new(key), certificate })
    }

    /// The certificate as `PLUGIN_CLIENT_CERT` carries it.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        let encoded = STANDARD.encode(&self.certificate);
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// The variables with which this host starts a plugin.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TF_PLUGIN_MAGIC_COOKIE", crate::process::MAGIC_COOKIE.to_owned()),
            ("PLUGIN_PROTOCOL_VERSIONS", "5,6".to_owned()),
            ("PLUGIN_CLIENT_CERT", self.certificate_pem()),
        ]
    }

    /// Connects to a plugin with that handshake, over TLS if it has a certificate.
    pub async fn connect(&self, handshake: &Handshake) -> Result<Channel, CoreError> {
        let tls = handshake.certificate.as_ref().map(|certificate| self.tls(certificate)).transpose()?;
        self.open(handshake.address.clone(), tls).await
    }

    /// Connects over TLS without presenting a certificate, as no host does.
    pub async fn connect_anonymously(&self, handshake: &Handshake) -> Result<Channel, CoreError> {
        let certificate = handshake.certificate.clone().unwrap_or_default();
        let mut config = Self::tls_builder(&certificate)?.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        self.open(handshake.address.clone(), Some(TlsConnector::from(Arc::new(config)))).await
    }

    async fn open(&self, address: Address, tls: Option<TlsConnector>) -> Result<Channel, CoreError> {
        Endpoint::from_static("http://localhost")
            .initial_stream_window_size(1 << 20)
            .connect_with_connector(Opener { address, tls })
            .await
            .map_err(|error| CoreError::Connect(crate::testing::error::chain(&error)))
    }

    fn tls(&self, certificate: &[u8]) -> Result<TlsConnector, CoreError> {
        let key = CertifiedKey::new(vec![self.certificate.clone()], Arc::new(P521Key(Arc::clone(&self.key))));
        let mut config =
            Self::tls_builder(certificate)?.with_client_cert_resolver(Arc::new(OneIdentity(Arc::new(key))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn tls_builder(
        certificate: &[u8],
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, CoreError> {
        let pinned = PinnedPeer(CertificateDer::from(certificate.to_vec()));
        Ok(ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .map_err(|error| CoreError::Start(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned)))
    }
}

/// A provider that serves inside this process, and how to reach it.
#[derive(Debug)]
pub struct Served {
    /// What the handshake line says.
    pub handshake: Handshake,
    shutdown: CancellationToken,
}

impl Served {
    /// Serves any implementation of the protocol on a real socket, in the environment given. Ends when dropped.
    pub fn start<P: PluginService>(service: P, environment: &Environment, network: Network) -> Result<Self, CoreError> {
        let plugin = Plugin::bind(environment, network).map_err(|error| CoreError::Start(error.to_string()))?;
        // Through the text, so that what a real host would parse is what is used.
        let handshake =
            plugin.handshake().to_string().parse::<Handshake>().map_err(|e| CoreError::Start(e.to_string()))?;
        let shutdown = CancellationToken::new();
        tokio::spawn(plugin.serve(service, shutdown.clone(), GRACE));
        Ok(Self { handshake, shutdown })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl ServerCertVerifier for PinnedPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

#[derive(Debug)]
struct OneIdentity(Arc<CertifiedKey>);

impl ResolvesClientCert for OneIdentity {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

struct P521Key(Arc<SigningKey>);

impl std::fmt::Debug for P521Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("P521Key")
    }
}

impl TlsKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP521_SHA512)
            .then(|| Box::new(Self(Arc::clone(&self.0))) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: Signature = self.0.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// Opens connections for the gRPC client, whatever the URI says.
#[derive(Clone)]
struct Opener {
    address: Address,
    tls: Option<TlsConnector>,
}

impl Service<Uri> for Opener {
    type Response = TokioIo<Opened>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, tls } = self.clone();
        Box::pin(async move {
            let connection = Connection::open(&address).await?;
            let Some(tls) = tls else {
                return Ok(TokioIo::new(Opened::Plain(connection)));
            };
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            Ok(TokioIo::new(Opened::Secure(Box::new(tls.connect(name, connection).await?))))
        })
    }
}

enum Opened {
    Plain(Connection),
    Secure(Box<TlsStream<Connection>>),
}

impl tokio::io::AsyncRead for Opened {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl tokio::io::AsyncWrite for Opened {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
