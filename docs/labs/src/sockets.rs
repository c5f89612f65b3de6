//! UDP and TCP on loopback, with a deadline for every call.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::check::Server;

/// How long to wait before trying again to connect, accept or probe.
const RETRY: Duration = Duration::from_millis(10);

/// A port that no socket uses, for a program that the grader starts; another one each time.
///
/// # Errors
/// When there is none.
pub(crate) fn free_port() -> io::Result<u16> {
    static BLOCK: Mutex<Option<Block>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    if block.is_none() {
        *block = Some(Block::claim()?);
    }
    let ports = &mut block.as_mut().expect("it was claimed").ports;
    ports.find(|port| is_free(*port)).ok_or_else(no_port)
}

/// Ports for the programs of one grader. A program binds its port some time after it was chosen, so
/// graders that run at once must not choose from the same ports.
struct Block {
    /// Bound to the first port, which tells other graders that the block is taken.
    _claim: UdpSocket,
    ports: Range<u16>,
}

impl Block {
    /// Below the ports that systems give to clients (from 32768 on Linux, from 49152 elsewhere): the
    /// port of some connection must not be the one that a program is told to use.
    const FIRST: u16 = 20_000;
    const BLOCKS: u16 = 120;
    /// Far more than the checks of a lab need.
    const SIZE: u16 = 100;

    fn claim() -> io::Result<Self> {
        // Not from the student's seed: two runs at once must not want the same.
        let start = fastrand::u16(..Self::BLOCKS);
        for number in (start..Self::BLOCKS).chain(0..start) {
            let first = Self::FIRST + number * Self::SIZE;
            if let Ok(claim) = UdpSocket::bind(local(first)) {
                return Ok(Self { _claim: claim, ports: first + 1..first + Self::SIZE });
            }
        }
        Err(no_port())
    }
}

fn is_free(port: u16) -> bool {
    let everywhere = (Ipv4Addr::UNSPECIFIED, port);
    UdpSocket::bind(everywhere).is_ok() && TcpListener::bind(everywhere).is_ok()
}

fn no_port() -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, "no free port from 20000 to 31999")
}

fn local(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn left(deadline: Instant) -> Duration {
    // A socket takes no time limit of zero.
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// A UDP socket that exchanges datagrams with any address.
#[derive(Debug)]
pub(crate) struct Udp(UdpSocket);

impl Udp {
    pub(crate) fn bind() -> io::Result<Self> {
        Self::bind_at(0)
    }

    pub(crate) fn bind_at(port: u16) -> io::Result<Self> {
        UdpSocket::bind(local(port)).map(Self)
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }

    pub(crate) fn send(&self, datagram: &[u8], port: u16) -> io::Result<()> {
        self.0.send_to(datagram, local(port)).map(|_| ())
    }

    /// The next datagram and the port that it came from, if one is there.
    pub(crate) fn try_receive(&self) -> io::Result<Option<(Vec<u8>, u16)>> {
        self.0.set_nonblocking(true)?;
        let received = self.receive(Instant::now());
        self.0.set_nonblocking(false)?;
        received
    }

    /// As [`Self::receive`], but not for longer than the program runs that should send.
    pub(crate) fn receive_while(
        &self,
        deadline: Instant,
        mut ended: impl FnMut() -> io::Result<Option<ExitStatus>>,
    ) -> io::Result<Option<(Vec<u8>, u16)>> {
        loop {
            // What it sent before its end is there when the end is known.
            let last = ended()?.is_some() || Instant::now() >= deadline;
            let received = self.receive(deadline.min(Instant::now() + LOOK))?;
            if last || received.is_some() {
                return Ok(received);
            }
        }
    }

    /// The next datagram and the port that it came from; `None` if none has come by the deadline.
    pub(crate) fn receive(&self, deadline: Instant) -> io::Result<Option<(Vec<u8>, u16)>> {
        let mut buffer = vec![0; 65_536];
        loop {
            self.0.set_read_timeout(Some(left(deadline)))?;
            match self.0.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    buffer.truncate(length);
                    return Ok(Some((buffer, from.port())));
                }
                // The second is how Windows reports that an earlier datagram found no socket.
                Err(error) if is_interrupted(&error) || is_reset(&error) => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }
}

/// How often to look whether the program that should send still runs.
const LOOK: Duration = Duration::from_millis(50);

/// Whether a program receives UDP at this port before the deadline, and does not end before.
///
/// A connected socket hears from the system when there is no socket at the port. So the probe, an
/// ordinary text, is repeated until that stops; then an answer shows that the program is ready. One
/// that is silent counts as ready after a while: the checks will tell.
pub(crate) fn udp_ready(
    port: u16,
    deadline: Instant,
    mut ended: impl FnMut() -> io::Result<Option<ExitStatus>>,
) -> io::Result<bool> {
    const SILENT: Duration = Duration::from_secs(1);
    let socket = UdpSocket::bind(local(0))?;
    socket.connect(local(port))?;
    socket.set_read_timeout(Some(SILENT))?;
    while Instant::now() < deadline && ended()?.is_none() {
        // The send may report the fate of the datagram before.
        let answer = socket.send(b"are you ready?").and_then(|_| socket.recv(&mut [0; 2048]));
        match answer {
            Ok(_) => return Ok(true),
            Err(error) if is_timeout(&error) => return Ok(ended()?.is_none()),
            Err(error) if is_refused(&error) || is_interrupted(&error) => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// A TCP connection with a program.
#[derive(Debug)]
pub(crate) struct Tcp(TcpStream);

/// What a connection did until it had what was wanted, ended, or was silent for too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

/// Why a receive stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All bytes that were wanted are there.
    Complete,
    /// The program closed its side.
    Closed,
    /// The connection was reset.
    Reset,
    /// The deadline came.
    Silent,
}

/// Connects to a server; `None` if it does not accept before the deadline, or ends.
pub(crate) fn connect(server: &mut Server, deadline: Instant) -> io::Result<Option<Tcp>> {
    loop {
        match TcpStream::connect_timeout(&local(server.port).into(), left(deadline)) {
            Ok(stream) => return Tcp::new(stream).map(Some),
            Err(error) if is_refused(&error) || is_timeout(&error) || is_interrupted(&error) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline || server.ended()?.is_some() {
            return Ok(None);
        }
        thread::sleep(RETRY);
    }
}

/// Accepts the next connection; `None` if there is none before the deadline, or the program has ended
/// that should connect.
pub(crate) fn accept(
    listener: &TcpListener,
    deadline: Instant,
    mut ended: impl FnMut() -> io::Result<Option<ExitStatus>>,
) -> io::Result<Option<Tcp>> {
    listener.set_nonblocking(true)?;
    loop {
        // A connection that it made before its end is there when the end is known.
        let last = ended()?.is_some() || Instant::now() >= deadline;
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Tcp::new(stream).map(Some);
            }
            // A client may have gone before it was accepted.
            Err(error) if is_timeout(&error) || is_interrupted(&error) || is_reset(&error) => {}
            Err(error) => return Err(error),
        }
        if last {
            return Ok(None);
        }
        thread::sleep(RETRY);
    }
}

impl Tcp {
    fn new(stream: TcpStream) -> io::Result<Self> {
        // Every send becomes a segment of its own at once, so that a check decides the cuts.
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends all of it, as far as the program takes it before the deadline: what it does not take,
    /// its answer will show.
    pub(crate) fn send(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        self.0.set_write_timeout(Some(left(deadline)))?;
        match self.0.write_all(bytes) {
            Err(error) if is_gone(&error) || is_timeout(&error) => Ok(()),
            other => other,
        }
    }

    /// Receives until there are `wanted` bytes, the connection ends, or the deadline comes.
    pub(crate) fn receive(&mut self, wanted: usize, deadline: Instant) -> io::Result<Received> {
        let mut bytes = vec![0; wanted];
        let mut length = 0;
        let end = loop {
            if length == wanted {
                break End::Complete;
            }
            if Instant::now() >= deadline {
                break End::Silent;
            }
            self.0.set_read_timeout(Some(left(deadline)))?;
            match self.0.read(&mut bytes[length..]) {
                Ok(0) => break End::Closed,
                Ok(more) => length += more,
                Err(error) if is_gone(&error) => break End::Reset,
                Err(error) if is_timeout(&error) || is_interrupted(&error) => {}
                Err(error) => return Err(error),
            }
        };
        bytes.truncate(length);
        Ok(Received { bytes, end })
    }

    /// Ends the sending side; the program can go on sending.
    pub(crate) fn half_close(&self) -> io::Result<()> {
        match self.0.shutdown(Shutdown::Write) {
            Err(error) if is_gone(&error) || error.kind() == ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }

    /// The socket, for a loop that waits for several.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.0
    }

    /// Closes the connection with a reset, as a client does that crashes with unread data.
    pub(crate) fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    // Unix reports the one, Windows the other.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Interrupted
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

/// The other side has closed or reset the connection.
fn is_gone(error: &io::Error) -> bool {
    is_reset(error) || error.kind() == ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graders_that_run_at_once_choose_from_different_ports() {
        let blocks = [(); 5].map(|()| Block::claim().unwrap());
        let mut firsts = blocks.each_ref().map(|block| block.ports.start);
        firsts.sort_unstable();
        assert!(firsts.windows(2).all(|pair| pair[1] - pair[0] >= Block::SIZE), "{firsts:?}");
    }

    #[test]
    fn no_port_is_given_twice() {
        let (first, second) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(first, second);
        assert!(is_free(first) && is_free(second));
    }
}
