//! The sockets that a server begins with: TCP and UDP on the same port of every address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use log::warn;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted; a class that starts at once fits.
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
        // The first one's port is everybody's.
        let port = endpoints.first().map_or(port, |first| first.address.port());
        endpoints.push(endpoint(SocketAddr::new(ip, port))?);
    }
    Ok(endpoints)
}

fn endpoint(address: SocketAddr) -> Result<Endpoint, ListenError> {
    let bind = || -> io::Result<Endpoint> {
        let tcp = socket(address, Type::STREAM, Protocol::TCP)?;
        // Lets a tracker start again at once. On Windows the option means something else: that
        // another program may take over the port.
        #[cfg(unix)]
        tcp.set_reuse_address(true)?;
        tcp.bind(&address.into())?;
        tcp.listen(BACKLOG)?;
        let tcp = TcpListener::from_std(tcp.into());
        let address = tcp.local_addr()?;

        let udp = socket(address, Type::DGRAM, Protocol::UDP)?;
        udp.bind(&address.into())?;
        Ok(Endpoint { address, tcp, udp: UdpSocket::from_std(udp.into()) })
    };
    bind().map_err(|source| ListenError { address, source })
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own, so that nobody's address comes in two forms.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
