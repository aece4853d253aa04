//! The one line that tells the host where and how to connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The major version of the provider protocol that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 6;

/// Where a plugin listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port of the loopback interface.
    Tcp(SocketAddr),
}

impl Address {
    /// The name of the network in the handshake line and in `TF_REATTACH_PROVIDERS`.
    #[must_use]
    pub fn network(&self) -> &'static str {
        match self {
            Self::Unix(_) => "unix",
            Self::Tcp(_) => "tcp",
        }
    }

    /// The path of the socket, for a unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// The content of the handshake line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Where the plugin listens.
    pub address: Address,
    /// The plugin's certificate (DER) if it speaks TLS.
    pub certificate: Option<Vec<u8>>,
    /// Whether to answer a host that asks for several streams over one connection.
    pub answer_multiplexing: bool,
}

impl fmt::Display for Handshake {
    /// The line, without the line feed: `1|6|unix|/path|grpc|<certificate>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.certificate.as_ref().map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
        let (network, address) = (self.address.network(), &self.address);
        write!(f, "1|{PROTOCOL_VERSION}|{network}|{address}|grpc|{certificate}")?;
        if self.answer_multiplexing {
            // An honest no: "true" would promise that gRPC connections are carried in yamux streams.
            f.write_str("|false")?;
        }
        Ok(())
    }
}

/// Why a handshake line cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HandshakeError {
    /// The line has another form than `1|6|network|address|grpc|certificate`.
    #[error("the plugin's first line is no handshake of core protocol 1 over gRPC: {0:?}")]
    Malformed(String),
    /// The plugin speaks another version of the provider protocol.
    #[error("the plugin speaks version {0} of the provider protocol, not {PROTOCOL_VERSION}")]
    Protocol(String),
}

impl std::str::FromStr for Handshake {
    type Err = HandshakeError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let malformed = || HandshakeError::Malformed(line.chars().take(200).collect());
        let fields: Vec<&str> = line.trim_end_matches('\n').split('|').collect();
        let ["1", protocol, network, address, "grpc", certificate, rest @ ..] = fields.as_slice() else {
            return Err(malformed());
        };
        if *protocol != PROTOCOL_VERSION.to_string() {
            return Err(HandshakeError::Protocol((*protocol).to_owned()));
        }
        let address = match *network {
            "unix" => Address::Unix(PathBuf::from(address)),
            "tcp" => Address::Tcp(address.parse().map_err(|_| malformed())?),
            _ => return Err(malformed()),
        };
        let certificate = match *certificate {
            "" => None,
            encoded => Some(STANDARD_NO_PAD.decode(encoded).map_err(|_| malformed())?),
        };
        Ok(Self { address, certificate, answer_multiplexing: !rest.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake {
            address: Address::Unix("/tmp/plugin1".into()),
            certificate: Some(vec![1, 2, 3, 4]),
            answer_multiplexing: false,
        }
    }

    #[test]
    fn the_certificate_is_written_without_padding() {
        assert_eq!(handshake().to_string(), "1|6|unix|/tmp/plugin1|grpc|AQIDBA");
    }

    #[test]
    fn without_tls_the_last_field_is_empty() {
        let plain =
            Handshake { certificate: None, address: Address::Tcp("127.0.0.1:10000".parse().unwrap()), ..handshake() };
        assert_eq!(plain.to_string(), "1|6|tcp|127.0.0.1:10000|grpc|");
    }

    #[test]
    fn a_host_that_asks_for_multiplexing_is_told_no() {
        let asked = Handshake { answer_multiplexing: true, ..handshake() };
        assert!(asked.to_string().ends_with("|AQIDBA|false"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(handshake().to_string().parse(), Ok(handshake()));
    }

    #[test]
    fn another_protocol_is_refused_by_name() {
        let refused = "1|5|unix|/tmp/p|grpc|".parse::<Handshake>();
        assert_eq!(refused, Err(HandshakeError::Protocol("5".into())));
    }

    #[test]
    fn a_line_that_is_no_handshake_is_quoted() {
        let refused = "hello\n".parse::<Handshake>().unwrap_err();
        assert!(refused.to_string().contains("hello"));
    }
}
