//! The socket on which the host connects: private to the user, gone when the process ends.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::environment::Environment;
use super::handshake::Address;

#[cfg(unix)]
pub(crate) mod unix;

/// Why there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The path of a unix socket would be longer than the system allows.
    #[error(
        "cannot make a socket in {directory}: the path would be longer than a socket's may be; set TMPDIR to a shorter one"
    )]
    PathTooLong {
        /// The directory for the socket.
        directory: String,
    },
    /// `PLUGIN_UNIX_SOCKET_GROUP` names no group of this machine.
    #[error("PLUGIN_UNIX_SOCKET_GROUP names the group {0:?}, which is neither a number nor in /etc/group")]
    Group(String),
    /// The system refused the socket.
    #[error("cannot listen on {address}: {error}")]
    Socket {
        /// The path or address.
        address: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// No port of the range is free.
    #[error("no port of 127.0.0.1 between {low} and {high} (PLUGIN_MIN_PORT, PLUGIN_MAX_PORT) is free: {error}")]
    NoPort {
        /// The lowest port tried.
        low: u16,
        /// The highest port tried.
        high: u16,
        /// The last refusal.
        #[source]
        error: io::Error,
    },
}

/// The kind of socket to listen on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// A unix socket, or TCP where the platform has none that suit (Windows).
    #[default]
    Platform,
    /// TCP on 127.0.0.1, on any platform.
    Tcp,
}

/// A bound socket. Dropping it removes a unix socket's file.
pub(crate) enum Listener {
    #[cfg(unix)]
    Unix(unix::PrivateSocket),
    Tcp(TcpListener, SocketAddr),
}

impl Listener {
    /// Binds what the host's variables ask for. Needs a tokio runtime.
    pub(crate) fn bind(environment: &Environment, network: Network) -> Result<Self, ListenError> {
        match network {
            #[cfg(unix)]
            Network::Platform => unix::PrivateSocket::bind(environment).map(Self::Unix),
            #[cfg(not(unix))]
            Network::Platform => Self::bind_tcp(environment),
            Network::Tcp => Self::bind_tcp(environment),
        }
    }

    fn bind_tcp(environment: &Environment) -> Result<Self, ListenError> {
        let (low, high) = environment.ports();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for port in low..=high {
            match bind_port(port) {
                Ok((listener, address)) => return Ok(Self::Tcp(listener, address)),
                Err(error) => last = error,
            }
        }
        let error = last;
        Err(ListenError::NoPort { low, high, error })
    }

    pub(crate) fn address(&self) -> Address {
        match self {
            #[cfg(unix)]
            Self::Unix(socket) => Address::Unix(socket.path().to_owned()),
            Self::Tcp(_, address) => Address::Tcp(*address),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Connection> {
        match self {
            #[cfg(unix)]
            Self::Unix(socket) => Ok(Connection::Unix(socket.accept().await?)),
            Self::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream))
            }
        }
    }
}

fn bind_port(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// An accepted or opened connection of either kind.
pub(crate) enum Connection {
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    /// Connects to a plugin, as the host does.
    #[cfg(feature = "testing")]
    pub(crate) async fn open(address: &Address) -> io::Result<Self> {
        match address {
            #[cfg(unix)]
            Address::Unix(path) => Ok(Self::Unix(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
            Address::Tcp(address) => Ok(Self::Tcp(TcpStream::connect(address).await?)),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tcp_takes_the_first_free_port_of_the_hosts_range() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let low = taken.local_addr().unwrap().port();
        let environment = Environment::from_iter([
            ("PLUGIN_MIN_PORT", low.to_string()),
            ("PLUGIN_MAX_PORT", low.saturating_add(50).to_string()),
        ]);
        let listener = Listener::bind(&environment, Network::Tcp).unwrap();
        let Address::Tcp(address) = listener.address() else {
            panic!("not TCP: {}", listener.address());
        };
        assert!(address.ip().is_loopback());
        assert!(address.port() > low);
    }

    #[tokio::test]
    async fn a_range_without_a_free_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let environment =
            Environment::from_iter([("PLUGIN_MIN_PORT", port.clone()), ("PLUGIN_MAX_PORT", port.clone())]);
        let Err(refused) = Listener::bind(&environment, Network::Tcp) else {
            panic!("bound a port that is taken");
        };
        assert!(refused.to_string().contains(&port), "{refused}");
    }
}
