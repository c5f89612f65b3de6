//! TCP connections for ureq from an address that we choose.
//!
//! A tracker takes the address that it sees, so a peer that listens on one address has to announce
//! from it. ureq leaves that to the system; its chain of connectors lets us put in our own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Opens TCP connections from one address, or from any.
#[derive(Debug)]
pub(super) struct BoundConnector {
    bind: Option<IpAddr>,
}

impl BoundConnector {
    pub(super) fn new(bind: Option<IpAddr>) -> Self {
        Self { bind }
    }

    fn open(&self, address: SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bind) = self.bind {
            socket.bind(&SocketAddr::new(bind, 0).into())?;
        }
        match timeout {
            Some(timeout) => socket.connect_timeout(&address.into(), timeout)?,
            None => socket.connect(&address.into())?,
        }
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
            .filter(|address| self.bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4()))
            .collect();
        // An address that is silent, as IPv6 ones often are, leaves time for the others.
        let parts = u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let timeout = details.timeout.not_zero().map(|left| *left / parts);

        let mut error = io::Error::new(ErrorKind::AddrNotAvailable, "no address of our family");
        for address in addresses {
            match self.open(address, timeout) {
                Ok(stream) => return Ok(Some(TcpTransport::new(stream, details))),
                Err(failed) => error = failed,
            }
        }
        Err(in_ureqs_words(error, details.timeout))
    }
}

/// A TCP connection as ureq wants it: with buffers and changing timeouts.
#[derive(Debug)]
pub(super) struct TcpTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl TcpTransport {
    fn new(stream: TcpStream, details: &ConnectionDetails<'_>) -> Self {
        let (input, output) =
            (details.config.input_buffer_size(), details.config.output_buffer_size());
        Self { stream, buffers: LazyBuffers::new(input, output) }
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| in_ureqs_words(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        self.stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let read = self.stream.read(self.buffers.input_append_buf());
        let length = read.map_err(|error| in_ureqs_words(error, timeout))?;
        self.buffers.input_appended(length);
        Ok(length > 0)
    }

    fn is_open(&mut self) -> bool {
        // For keeping connections for later, which we do not.
        false
    }
}

fn in_ureqs_words(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    // Unix and Windows disagree on what a timeout is.
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}
