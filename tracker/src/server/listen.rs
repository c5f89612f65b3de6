//! Listening sockets; for the tracker TCP and UDP on the same port of every address.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use log::warn;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Socket, Type};

use super::ServerError;

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

/// Listens on this port of these addresses, or of all that the machine has if there are none.
/// Port 0 is a free one, the same for all.
pub(super) fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<Endpoint>, ServerError> {
    for _ in 1..PORT_ATTEMPTS {
        match listen_once(addresses, port) {
            Err(ServerError::Listen { source, .. })
                if port == 0 && source.kind() == ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    listen_once(addresses, port)
}

fn listen_once(addresses: &[IpAddr], port: u16) -> Result<Vec<Endpoint>, ServerError> {
    const ALL: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let asked_for_all = addresses.is_empty();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for &ip in if asked_for_all { ALL } else { addresses } {
        // All share the port of the first.
        let port = endpoints.first().map_or(port, |first| first.address.port());
        let address = SocketAddr::new(ip, port);
        match endpoint(address) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(error) if asked_for_all && ip.is_ipv6() && error.kind() != ErrorKind::AddrInUse => {
                warn!("continuing without IPv6: {error}");
            }
            Err(source) => return Err(ServerError::Listen { address, source }),
        }
    }
    Ok(endpoints)
}

fn endpoint(address: SocketAddr) -> io::Result<Endpoint> {
    let tcp = bind(address)?;
    tcp.set_nonblocking(true)?;
    let address = tcp.local_addr()?;
    let udp = socket(address, Type::DGRAM)?;
    udp.bind(&address.into())?;
    udp.set_nonblocking(true)?;
    let (tcp, udp) = (TcpListener::from_std(tcp), UdpSocket::from_std(udp.into()));
    Ok(Endpoint { address, tcp, udp })
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
