//! One connection: a socket, the bytes received of unfinished messages, and the bytes to send.

use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use common::frame::FrameReader;
use common::geometry::{BLOCK_LENGTH, Block, Geometry};
use common::moment::Moment;
use common::report::Direction;
use common::wire::{Handshake, Message, MessageError};
use mio::net::TcpStream;
use peer::decision::DisconnectReason;
use socket2::{Domain, Socket, Type};

use crate::io_error;
use crate::storage::{OpenFile, Segment, Storage, read_at};

/// A connection, from the dial or the accept to its end.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) stage: Stage,
    /// The deadline of this stage.
    pub(crate) deadline: Option<Moment>,
    pub(crate) reader: FrameReader,
    /// The piece message that is arriving.
    body: Option<Body>,
    /// The block that has arrived, if its bytes were accepted.
    pub(crate) arrived: Option<Vec<u8>>,
    /// The core may have a block to send.
    pub(crate) upload_ready: bool,
    /// The system may have bytes for us.
    pub(crate) readable: bool,
    /// The system may take bytes from us.
    pub(crate) writable: bool,
    /// Sent first.
    before: Vec<u8>,
    /// The block that is being sent; its head is in `before`.
    block: Option<Outgoing>,
    /// Sent after the block.
    after: Vec<u8>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// We dialed, and the connection is not established yet.
    Dialing,
    /// The other side's handshake has not arrived yet.
    Handshaking,
    /// Messages flow.
    Open,
}

/// What [`Connection::next_arrival`] found.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A message; of a piece message only the head.
    Message(Message),
    /// The last byte of a piece message.
    Block(Block),
}

/// The bytes of a block that is arriving.
#[derive(Debug)]
struct Body {
    block: Block,
    /// Bytes that have arrived.
    came: usize,
    /// Where they go; `None` if they are dropped.
    buffer: Option<Vec<u8>>,
}

/// A block of which some bytes are still unsent.
#[derive(Debug)]
struct Outgoing {
    block: Block,
    /// Bytes of it that were sent.
    sent: u64,
}

/// How far [`Connection::flush`] got.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// Nothing is left to send.
    Empty,
    /// A block was sent.
    Sent(Block),
    /// The system takes no more for now.
    Blocked,
    /// The budget is spent: other connections have their turn.
    BudgetSpent,
}

/// The time for a dial (as in libtorrent), and again for the handshake.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that the other side lets wait: a bitfield of the most pieces, and requests and haves
/// beyond number. A peer that reads so little is not worth the memory.
const MAX_QUEUED: usize = 1024 * 1024;

/// Bytes read behind the end of a block: the heads of what follows. What is read of the next block
/// is copied once more, so it should be little.
const READ_AHEAD: usize = 1024;

impl Connection {
    /// Dials a peer, from the given address if there is one.
    pub(crate) fn dial(
        address: SocketAddr,
        from: Option<IpAddr>,
        geometry: &Geometry,
        now: Moment,
    ) -> io::Result<Self> {
        let stream = match from.filter(|from| from.is_ipv4() == address.is_ipv4()) {
            None => TcpStream::connect(address)?,
            Some(from) => dial_from(from, address)?,
        };
        Ok(Self {
            stage: Stage::Dialing,
            deadline: Some(now + DIAL_TIMEOUT),
            direction: Direction::Outgoing,
            ..Self::accepted(stream, address, geometry, now)
        })
    }

    /// A peer connected to us.
    pub(crate) fn accepted(
        stream: TcpStream,
        address: SocketAddr,
        geometry: &Geometry,
        now: Moment,
    ) -> Self {
        // A request must not wait for the answer to the one before (Nagle's algorithm).
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!("{address}: no TCP_NODELAY: {error}");
        }
        Self {
            stream,
            address,
            direction: Direction::Incoming,
            stage: Stage::Handshaking,
            deadline: Some(now + HANDSHAKE_TIMEOUT),
            reader: FrameReader::new(Message::max_frame(geometry)),
            body: None,
            arrived: None,
            upload_ready: false,
            readable: false,
            writable: false,
            before: Vec::new(),
            block: None,
            after: Vec::new(),
        }
    }

    /// Whether a dial has succeeded. A writable event says that it is decided.
    pub(crate) fn is_established(&mut self, now: Moment) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.stage = Stage::Handshaking;
                self.deadline = Some(now + HANDSHAKE_TIMEOUT);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads once. `None`: nothing to read now. `Some(0)`: the other side has closed.
    ///
    /// The rest of a block goes straight to its buffer, and what follows it to the reader.
    pub(crate) fn receive(&mut self) -> io::Result<Option<usize>> {
        loop {
            let rest = match &mut self.body {
                Some(Body { came, buffer: Some(buffer), .. }) if self.reader.is_empty() => {
                    &mut buffer[*came..]
                }
                Some(_) | None => &mut [],
            };
            let missing = rest.len();
            let mut space = self.reader.space();
            if missing > 0 {
                let length = space.len().min(READ_AHEAD);
                space = &mut space[..length];
            }
            match self.stream.read_vectored(&mut [IoSliceMut::new(rest), IoSliceMut::new(space)]) {
                Ok(length) => {
                    let to_body = length.min(missing);
                    if let Some(body) = &mut self.body {
                        body.came += to_body;
                    }
                    self.reader.filled(length - to_body);
                    return Ok(Some(length));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message or the end of a block, if it has arrived.
    pub(crate) fn next_arrival(
        &mut self,
        geometry: &Geometry,
    ) -> Result<Option<Arrival>, MessageError> {
        if let Some(body) = &mut self.body {
            let length = body.block.length() as usize;
            let bytes = self.reader.take_up_to(length - body.came);
            if let Some(buffer) = &mut body.buffer {
                buffer[body.came..body.came + bytes.len()].copy_from_slice(bytes);
            }
            body.came += bytes.len();
            if body.came < length {
                return Ok(None);
            }
            let block = body.block;
            self.arrived = self.body.take().and_then(|body| body.buffer);
            return Ok(Some(Arrival::Block(block)));
        }
        let message = Message::next(&mut self.reader, geometry)?;
        if let Some(Message::Piece(block)) = message {
            self.body = Some(Body { block, came: 0, buffer: None });
        }
        Ok(message.map(Arrival::Message))
    }

    /// The bytes of the block that is arriving are to be kept in this buffer, which has the length
    /// of a block or more.
    pub(crate) fn accept_body(&mut self, mut buffer: Vec<u8>) {
        if let Some(body) = &mut self.body {
            buffer.truncate(body.block.length() as usize);
            body.buffer = Some(buffer);
        }
    }

    pub(crate) fn queue_handshake(&mut self, handshake: &Handshake) {
        self.before.extend_from_slice(&handshake.encode());
    }

    /// Queues a message. Fails if the other side has not read for long.
    pub(crate) fn queue(&mut self, message: &Message) -> io::Result<()> {
        let buffer = if self.block.is_some() { &mut self.after } else { &mut self.before };
        message.encode(buffer);
        if buffer.len() > MAX_QUEUED {
            return Err(io::Error::new(ErrorKind::TimedOut, "the peer does not read what we send"));
        }
        Ok(())
    }

    /// Queues a block, when no other is queued.
    pub(crate) fn queue_block(&mut self, block: Block) {
        Message::Piece(block).encode(&mut self.before);
        self.block = Some(Outgoing { block, sent: 0 });
    }

    /// Sends what is queued, up to a block's end, as far as the system and `budget` allow. The
    /// bytes of blocks come from `storage`; failing to read them ends the run.
    pub(crate) fn flush(
        &mut self,
        storage: &Storage,
        budget: &mut usize,
    ) -> Result<Flushed, Fault> {
        loop {
            if *budget == 0 {
                return Ok(Flushed::BudgetSpent);
            }
            let sent = if !self.before.is_empty() {
                let sent = send_head(&mut self.stream, &self.before, self.block.is_some());
                self.before.drain(..*sent.as_ref().unwrap_or(&0));
                sent
            } else if let Some(outgoing) = &mut self.block {
                let block = outgoing.block;
                if outgoing.sent == u64::from(block.length()) {
                    self.block = None;
                    std::mem::swap(&mut self.before, &mut self.after);
                    return Ok(Flushed::Sent(block));
                }
                let sent = match storage.segment(block, outgoing.sent)? {
                    Segment::File { file, offset, length } => {
                        send_file(&self.stream, &file, offset, length)?
                    }
                    Segment::Zeros { length } => send_zeros(&self.stream, length),
                };
                outgoing.sent += *sent.as_ref().unwrap_or(&0) as u64;
                sent
            } else {
                return Ok(Flushed::Empty);
            };
            match sent {
                Ok(length) => *budget = budget.saturating_sub(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Sends bytes. If more will follow at once, as after the head of a block, Linux does not let them
/// travel in a packet of their own.
fn send_head(stream: &mut TcpStream, bytes: &[u8], more: bool) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if more {
        const MSG_MORE: i32 = 0x8000; // linux/socket.h
        let socket = socket2::SockRef::from(&*stream);
        return stream.try_io(|| socket.send_with_flags(bytes, MSG_MORE));
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = more;
    stream.write(bytes)
}

/// Sends bytes of a file, on Linux straight from the system's cache. The outer error is the file's,
/// the inner one the socket's.
fn send_file(
    mut stream: &TcpStream,
    file: &OpenFile,
    offset: u64,
    rest: u64,
) -> Result<io::Result<usize>> {
    let rest = usize::try_from(rest).unwrap_or(usize::MAX);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let (Ok(start), length) = (usize::try_from(offset), std::num::NonZeroUsize::new(rest)) {
        let socket = socket2::SockRef::from(stream);
        match stream.try_io(|| socket.sendfile(&file.file, start, length)) {
            Ok(length) if length > 0 => return Ok(Ok(length)),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(Err(error));
            }
            // The file system cannot do it, the file cannot be read or became shorter, or the
            // connection has failed: the calls below say which.
            Ok(_) | Err(_) => {}
        }
    }
    let mut buffer = [0; BLOCK_LENGTH as usize];
    let bytes = &mut buffer[..rest.min(BLOCK_LENGTH as usize)];
    read_at(&file.file, bytes, offset)
        .with_context(|| format!("cannot read {}", file.path.display()))?;
    Ok(stream.write(bytes))
}

/// Padding files are not on disk, but their bytes are asked for (BEP 47).
fn send_zeros(mut stream: &TcpStream, rest: u64) -> io::Result<usize> {
    let zeros = [0; BLOCK_LENGTH as usize];
    stream.write(&zeros[..zeros.len().min(usize::try_from(rest).unwrap_or(usize::MAX))])
}

/// Dials from the given address, as in a lab where each peer has its own address.
fn dial_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    // Without any time it does not wait, and a dial that is not refused at once is in progress.
    match socket.connect_timeout(&to.into(), Duration::ZERO) {
        Err(error) if error.kind() == ErrorKind::TimedOut => {}
        dialed => dialed?,
    }
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}

/// Why a turn of a connection failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection failed; it ends.
    Peer(DisconnectReason),
    /// Our own files failed; the run ends.
    Ours(anyhow::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Peer(DisconnectReason::Failed(io_error::describe(&error)))
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Ours(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::Arc;

    use common::metainfo::{CreateOptions, Metainfo};
    use tempfile::TempDir;

    use super::*;
    use crate::torrent_file::create;

    /// A folder to serve, with two files of 20000 and 30000 bytes; one block lies across both.
    fn content() -> (Arc<Metainfo>, TempDir, Storage) {
        let dir = TempDir::new().unwrap();
        let folder = dir.path().join("two");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), vec![b'a'; 20_000]).unwrap();
        fs::write(folder.join("b"), vec![b'b'; 30_000]).unwrap();
        let options = CreateOptions { trackers: &[], piece_length: 50_000, private: false };
        let torrent = create(&folder, &options, &mut |_| {}).unwrap();
        let metainfo = Arc::new(Metainfo::from_bytes(&torrent).unwrap());
        let storage = Storage::for_seed(&metainfo, dir.path()).unwrap();
        (metainfo, dir, storage)
    }

    /// A connection that was accepted, and the other side's end.
    fn pair() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let dialer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, address) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(stream);
        let geometry = Geometry::new(50_000, 50_000).unwrap();
        (Connection::accepted(stream, address, &geometry, Moment::START), dialer)
    }

    #[test]
    fn a_message_goes_out_behind_the_block_that_is_being_sent() {
        let (metainfo, _dir, storage) = content();
        let block = metainfo.geometry.block(0, BLOCK_LENGTH, BLOCK_LENGTH).unwrap();
        let (mut connection, mut dialer) = pair();
        connection.queue(&Message::Unchoke).unwrap();
        let mut budget = usize::MAX;
        assert!(matches!(connection.flush(&storage, &mut budget), Ok(Flushed::Empty)));
        connection.queue_block(block);
        // Enough for the head of the block.
        let mut budget = 13;
        assert!(matches!(connection.flush(&storage, &mut budget), Ok(Flushed::BudgetSpent)));
        connection.queue(&Message::Choke).unwrap();
        let mut budget = usize::MAX;
        let Ok(Flushed::Sent(sent)) = connection.flush(&storage, &mut budget) else {
            panic!("a block fits into the buffers of a socket")
        };
        assert_eq!(sent, block);
        assert!(matches!(connection.flush(&storage, &mut budget), Ok(Flushed::Empty)));
        drop(connection);

        let mut expected = Vec::new();
        Message::Unchoke.encode(&mut expected);
        Message::Piece(block).encode(&mut expected);
        expected.extend([b'a'; 20_000 - 16_384]);
        expected.extend([b'b'; 2 * 16_384 - 20_000]);
        Message::Choke.encode(&mut expected);
        let mut came = Vec::new();
        dialer.read_to_end(&mut came).unwrap();
        assert!(came == expected, "{} bytes, expected {}", came.len(), expected.len());
    }

    /// Other systems have only one loopback address.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_dial_comes_from_the_chosen_address_and_is_not_waited_for() {
        let geometry = Geometry::new(50_000, 50_000).unwrap();
        let us = IpAddr::from([127, 0, 0, 5]);
        let dial = |to| Connection::dial(to, Some(us), &geometry, Moment::START).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut connection = dial(listener.local_addr().unwrap());
        assert_eq!(listener.accept().unwrap().1.ip(), us);
        assert!(connection.is_established(Moment::START).unwrap());

        // With its queue full a listener leaves further dials without an answer.
        let busy = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        busy.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        busy.listen(0).unwrap();
        let address = busy.local_addr().unwrap().as_socket().unwrap();
        let mut dials: Vec<_> = (0..4).map(|_| dial(address)).collect();
        assert!(!dials[3].is_established(Moment::START).unwrap());
    }

    #[test]
    fn the_queue_for_a_peer_that_does_not_read_is_bounded() {
        let (mut connection, _dialer) = pair();
        let fits = MAX_QUEUED / 5;
        (0..fits).for_each(|_| connection.queue(&Message::Choke).unwrap());
        let error = connection.queue(&Message::Choke).unwrap_err();
        assert_eq!(error.to_string(), "the peer does not read what we send");
    }

    #[test]
    fn a_file_that_became_shorter_is_our_fault_and_not_the_peers() {
        let (metainfo, dir, storage) = content();
        let (mut connection, _dialer) = pair();
        File::options().write(true).open(dir.path().join("two/b")).unwrap().set_len(5).unwrap();
        connection.queue_block(metainfo.geometry.block(0, 2 * BLOCK_LENGTH, 5_000).unwrap());
        let mut budget = usize::MAX;
        let Err(Fault::Ours(error)) = connection.flush(&storage, &mut budget) else {
            panic!("nothing can be read there")
        };
        let path = dir.path().join("two").join("b");
        let expected = format!("cannot read {}: the file is shorter than it was", path.display());
        assert_eq!(format!("{error:#}"), expected);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_our_fault_and_is_named() {
        let (_metainfo, dir, _storage) = content();
        let (connection, _dialer) = pair();
        let path = dir.path().join("two").join("a");
        let write_only = File::options().write(true).open(&path).unwrap();
        let file = OpenFile { file: write_only, path };
        let Err(error) = send_file(&connection.stream, &file, 0, 10) else {
            panic!("the file is not open for reading")
        };
        let expected = format!("cannot read {}: ", file.path.display());
        assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
    }

    #[test]
    fn a_closed_socket_is_the_fault_of_the_connection() {
        let (_metainfo, dir, _storage) = content();
        let (connection, _dialer) = pair();
        connection.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let path = dir.path().join("two").join("a");
        let file = OpenFile { file: File::open(&path).unwrap(), path };
        let Ok(Err(error)) = send_file(&connection.stream, &file, 0, 10) else {
            panic!("nothing can be sent anymore")
        };
        // std has no kind for the error of Windows.
        const WSAESHUTDOWN: i32 = 10058;
        let windows = error.raw_os_error() == Some(WSAESHUTDOWN);
        assert!(windows || error.kind() == ErrorKind::BrokenPipe, "{error:?}");
    }
}
