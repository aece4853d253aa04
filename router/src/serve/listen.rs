//! The socket that callers come to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted; the kernel's own limit applies, too.
const BACKLOG: i32 = 4096;

/// Listens. The unspecified address, of either family, means every address of both families where the system has both.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let port = address.port();
    let bound = if address.ip().is_unspecified() {
        let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        // Without IPv6 there is no such socket, or no such address.
        open(both).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            _ => open(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        })
    } else {
        open(address)
    };
    bound.map_err(|error| format!("cannot listen on {address}: {error}; set another `address` or `port`"))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Closed connections of a predecessor do not count as use; a listener does.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn the_unspecified_address_is_every_address_of_this_machine() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let listener = bind(any.parse().expect("an address")).expect("bound");
            let port = listener.local_addr().expect("an address").port();
            TcpStream::connect(("127.0.0.1", port)).expect("IPv4");
            if listener.local_addr().expect("an address").is_ipv6() {
                // A machine may know IPv6 and have no address of it.
                let _ = TcpStream::connect(("::1", port));
            }
        }
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_it() {
        let taken = bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let address = taken.local_addr().expect("an address");
        let error = bind(address).expect_err("in use");
        assert!(error.contains(&address.to_string()) && error.contains("set another"), "{error}");
    }
}
