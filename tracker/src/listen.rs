//! Listening sockets; for the tracker TCP and UDP on the same port of every address.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a shell: it opens sockets"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use log::warn;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Socket, Type};

/// Connections that wait to be accepted; a class that connects all at once fits.
const BACKLOG: i32 = 1024;

/// How often another port is tried when the system's choice is free for TCP but not for UDP.
const PORT_ATTEMPTS: u32 = 20;

/// Two sockets on one address.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) tcp: TcpListener,
    pub(crate) udp: UdpSocket,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// As asked for; a port of 0 stands for any.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// Listens on this port of these addresses, or of all that the machine has if there are none.
/// Port 0 is a free one, the same for all.
pub(crate) fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<Endpoint>, ListenError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match listen_once(addresses, port) {
            Err(error)
                if port == 0
                    && attempts < PORT_ATTEMPTS
                    && error.source.kind() == io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
}

fn listen_once(addresses: &[IpAddr], port: u16) -> Result<Vec<Endpoint>, ListenError> {
    if addresses.is_empty() {
        let v4 = endpoint(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
        let port = v4.address.port();
        return match endpoint(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Ok(v6) => Ok(vec![v4, v6]),
            Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(error) => {
                warn!("going on without IPv6: {}", error.source);
                Ok(vec![v4])
            }
        };
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for &ip in addresses {
        // All share the port of the first.
        let port = endpoints.first().map_or(port, |first| first.address.port());
        endpoints.push(endpoint(SocketAddr::new(ip, port))?);
    }
    Ok(endpoints)
}

fn endpoint(address: SocketAddr) -> Result<Endpoint, ListenError> {
    let open = || -> io::Result<Endpoint> {
        let tcp = bind(address)?;
        tcp.set_nonblocking(true)?;
        let address = tcp.local_addr()?;
        let udp = socket(address, Type::DGRAM)?;
        udp.bind(&address.into())?;
        udp.set_nonblocking(true)?;
        let (tcp, udp) = (TcpListener::from_std(tcp), UdpSocket::from_std(udp.into()));
        Ok(Endpoint { address, tcp, udp })
    };
    open().map_err(|source| ListenError { address, source })
}

/// A listening TCP socket on this address, blocking. Port 0 is a free one.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address, Type::STREAM)?;
    // A program that restarts need not wait for connections of its last run to expire. On Windows
    // the option means something else: that another program may take over the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own, so that no address comes in two forms.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}
