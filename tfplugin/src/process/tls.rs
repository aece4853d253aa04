//! Mutual TLS between host and plugin, pinned to the one certificate that the host announced.
//!
//! The host's certificate is a fresh, self-signed P-521 one that is its own authority. A chain check refuses such a
//! leaf, and would accept more than is wanted; here the certificate must be the announced one, byte for byte.

use std::sync::Arc;

use p521::ecdsa::signature::Verifier as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivateKeyDer, PrivatePkcs8KeyDer,
    SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName as Name, Error, ServerConfig, SignatureScheme,
};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `PLUGIN_CLIENT_CERT` holds no certificate.
    #[error("PLUGIN_CLIENT_CERT holds no PEM certificate")]
    ClientCertificate,
    /// The plugin's own certificate could not be made.
    #[error("cannot make the plugin's own certificate")]
    OwnCertificate(#[from] rcgen::Error),
    /// The pieces do not fit together.
    #[error("cannot set up TLS")]
    Configuration(#[from] Error),
}

/// A server's TLS settings and the certificate that the host must be told.
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificate: CertificateDer<'static>,
}

/// Settings for a server that accepts exactly the client with the certificate `host` (PEM).
pub(crate) fn server(host: &str) -> Result<ServerTls, TlsError> {
    let pinned = CertificateDer::from_pem_slice(host.as_bytes()).map_err(|_| TlsError::ClientCertificate)?.into_owned();
    let (certificate, key) = own_certificate()?;
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(PinnedPeer(pinned)))
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(ServerTls { config: Arc::new(config), certificate })
}

pub(crate) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A new self-signed certificate for `localhost`, usable as the only root of whoever is told it.
fn own_certificate() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), TlsError> {
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.der().clone();
    Ok((certificate, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

/// Accepts the peer that presents this very certificate and proves to hold its key.
#[derive(Debug)]
pub(crate) struct PinnedPeer(pub(crate) CertificateDer<'static>);

impl PinnedPeer {
    pub(crate) fn check(&self, presented: &CertificateDer<'_>) -> Result<(), Error> {
        if presented.as_ref() == self.0.as_ref() {
            return Ok(());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    pub(crate) fn check_tls12(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms(signed))
    }

    pub(crate) fn check_tls13(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms(signed))
    }

    pub(crate) fn schemes() -> Vec<SignatureScheme> {
        let mut schemes = vec![SignatureScheme::ECDSA_NISTP521_SHA512];
        schemes.extend(ring::default_provider().signature_verification_algorithms.supported_schemes());
        schemes
    }
}

impl ClientCertVerifier for PinnedPeer {
    fn root_hint_subjects(&self) -> &[Name] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity)?;
        Ok(ClientCertVerified::assertion())
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

/// ring knows no P-521, so that one scheme goes to another implementation.
fn algorithms(signed: &DigitallySignedStruct) -> WebPkiSupportedAlgorithms {
    const P521: &dyn SignatureVerificationAlgorithm = &P521Sha512;
    if signed.scheme == SignatureScheme::ECDSA_NISTP521_SHA512 {
        return WebPkiSupportedAlgorithms {
            all: &[P521],
            mapping: &[(SignatureScheme::ECDSA_NISTP521_SHA512, &[P521])],
        };
    }
    ring::default_provider().signature_verification_algorithms
}

#[derive(Debug)]
struct P521Sha512;

impl SignatureVerificationAlgorithm for P521Sha512 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }

    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_certificate_that_is_no_pem_is_an_error_that_names_the_variable() {
        let Err(refused) = server("nonsense") else {
            panic!("nonsense was accepted as a certificate");
        };
        assert!(refused.to_string().contains("PLUGIN_CLIENT_CERT"));
    }

    #[test]
    fn every_plugin_makes_a_certificate_of_its_own() {
        let (one, _) = own_certificate().unwrap();
        let (other, _) = own_certificate().unwrap();
        assert_ne!(one, other);
    }
}
