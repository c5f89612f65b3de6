//! TCP connections for ureq from an address that we choose.
//!
//! A tracker lists the address that it sees, so a peer that listens on one address must announce
//! from it. ureq leaves the choice to the system, but accepts a connector of ours.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Opens TCP connections from one address, or from any.
#[derive(Debug)]
pub(super) struct BoundConnector(pub(super) Option<IpAddr>);

impl BoundConnector {
    fn open(&self, address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bind) = self.0 {
            socket.bind(&SocketAddr::new(bind, 0).into())?;
        }
        socket.connect_timeout(&address.into(), timeout)?;
        Ok(socket.into())
    }
}

impl Connector for BoundConnector {
    type Out = TcpTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<TcpTransport>, ureq::Error> {
        let addresses = details.addrs.iter().copied();
        let addresses: Vec<SocketAddr> = addresses
            .filter(|address| self.0.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4()))
            .collect();
        // A silent address, as IPv6 ones often are, must leave time for the others.
        let parts = u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let timeout = *details.timeout.after / parts;

        let config = details.config;
        let (input, output) = (config.input_buffer_size(), config.output_buffer_size());
        let mut error = io::Error::new(ErrorKind::AddrNotAvailable, "no address of our family");
        for address in addresses {
            match self.open(address, timeout) {
                Ok(stream) => {
                    let buffers = LazyBuffers::new(input, output);
                    return Ok(Some(TcpTransport { stream, buffers }));
                }
                Err(failed) => error = failed,
            }
        }
        Err(ureq_error(error, details.timeout))
    }
}

/// A TCP connection with the buffers and timeouts that ureq expects.
#[derive(Debug)]
pub(crate) struct TcpTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| ureq_error(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        self.stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let read = self.stream.read(self.buffers.input_append_buf());
        let length = read.map_err(|error| ureq_error(error, timeout))?;
        self.buffers.input_appended(length);
        Ok(length > 0)
    }

    fn is_open(&mut self) -> bool {
        // ureq asks this before it reuses a connection, which our agent never does.
        false
    }
}

fn ureq_error(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    // Unix and Windows disagree on what a timeout is.
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}
