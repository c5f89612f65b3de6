//! One connection: a socket, what came and is not a whole message yet, and what is to go out.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::frame::FrameReader;
use common::geometry::{BLOCK_LENGTH, Block};
use common::message::{Handshake, Message};
use mio::net::TcpStream;
use peer::remote::Direction;
use socket2::{Domain, SockRef, Socket, Type};

use crate::storage::{Segment, Storage, read_at};

/// A connection from the call or the accept to its end.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) stage: Stage,
    pub(crate) reader: FrameReader,
    /// The system may have bytes for us.
    pub(crate) readable: bool,
    /// The system may take bytes from us.
    pub(crate) writable: bool,
    /// Goes out first.
    before: Vec<u8>,
    /// The block that is going out; its head is in `before`.
    block: Option<Outgoing>,
    /// Goes out after the block.
    after: Vec<u8>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// We called and wait for the system to say that the other side took the call.
    Calling { deadline: Instant },
    /// The other side's handshake is not here yet.
    Handshaking { deadline: Instant },
    /// Messages flow.
    Open,
}

/// A block of which some bytes are not out yet.
#[derive(Debug)]
struct Outgoing {
    block: Block,
    /// Bytes of it that are out.
    sent: u64,
}

/// How far [`Connection::flush`] got.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// Nothing is left to send.
    Empty,
    /// A block is out.
    Sent(Block),
    /// The system takes no more for now.
    Blocked,
    /// Others are to have their turn.
    BudgetSpent,
}

/// Why bytes could not be sent.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection is at fault, and ends.
    Connection(io::Error),
    /// Our own data cannot be read, which is the end of everything.
    Storage(anyhow::Error),
}

/// Until a call counts as not taken (libtorrent has the same), and until a handshake is due.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that the other side lets wait: a bitfield of the most pieces, and requests and haves
/// beyond number. Who reads so little is not worth the memory.
const MAX_QUEUED: usize = 1024 * 1024;

impl Connection {
    /// Calls a peer, from a certain address if there is one.
    pub(crate) fn call(
        address: SocketAddr,
        from: Option<IpAddr>,
        max_frame: usize,
        now: Instant,
    ) -> io::Result<Self> {
        let stream = match from.filter(|from| from.is_ipv4() == address.is_ipv4()) {
            None => TcpStream::connect(address)?,
            Some(from) => call_from(from, address)?,
        };
        let stage = Stage::Calling { deadline: now + CALL_TIMEOUT };
        Ok(Self::new(stream, address, Direction::Outgoing, stage, max_frame))
    }

    /// A peer called us.
    pub(crate) fn accepted(
        stream: TcpStream,
        address: SocketAddr,
        max_frame: usize,
        now: Instant,
    ) -> Self {
        let stage = Stage::Handshaking { deadline: now + HANDSHAKE_TIMEOUT };
        Self::new(stream, address, Direction::Incoming, stage, max_frame)
    }

    fn new(
        stream: TcpStream,
        address: SocketAddr,
        direction: Direction,
        stage: Stage,
        max_frame: usize,
    ) -> Self {
        // A request must not wait for the answer to the one before (Nagle's algorithm).
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!("{address}: no TCP_NODELAY: {error}");
        }
        Self {
            stream,
            address,
            direction,
            stage,
            reader: FrameReader::new(max_frame),
            readable: false,
            writable: false,
            before: Vec::new(),
            block: None,
            after: Vec::new(),
        }
    }

    /// Whether the call was taken. The system tells by an event, and then what came of it.
    pub(crate) fn call_taken(&mut self, now: Instant) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.stage = Stage::Handshaking { deadline: now + HANDSHAKE_TIMEOUT };
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// When this stage must be over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Calling { deadline } | Stage::Handshaking { deadline } => Some(deadline),
            Stage::Open => None,
        }
    }

    /// Reads once. `None`: nothing is here for now. `Some(0)`: the other side has closed.
    pub(crate) fn receive(&mut self) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(self.reader.space()) {
                Ok(length) => {
                    self.reader.filled(length);
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

    pub(crate) fn queue_handshake(&mut self, handshake: &Handshake) {
        self.before.extend_from_slice(&handshake.encode());
    }

    /// Puts a message behind what is to go out. Fails if the other side has not read for long.
    pub(crate) fn queue(&mut self, message: &Message) -> io::Result<()> {
        let buffer = if self.block.is_some() { &mut self.after } else { &mut self.before };
        message.encode(buffer);
        if buffer.len() > MAX_QUEUED {
            return Err(io::Error::new(ErrorKind::TimedOut, "it does not read what we send"));
        }
        Ok(())
    }

    /// Puts a block behind what is to go out, when nothing else is.
    pub(crate) fn queue_block(&mut self, block: Block) {
        Message::Piece(block).encode(&mut self.before);
        self.block = Some(Outgoing { block, sent: 0 });
    }

    /// Sends what is to go out, up to a block's end, as far as the system and `budget` allow. The
    /// bytes of blocks come from `storage`.
    pub(crate) fn flush(
        &mut self,
        storage: &Storage,
        budget: &mut usize,
    ) -> Result<Flushed, SendError> {
        loop {
            if *budget == 0 {
                return Ok(Flushed::BudgetSpent);
            }
            let result = if !self.before.is_empty() {
                self.send_before()
            } else if let Some(outgoing) = &mut self.block {
                let block = outgoing.block;
                if outgoing.sent == u64::from(block.length()) {
                    self.block = None;
                    std::mem::swap(&mut self.before, &mut self.after);
                    return Ok(Flushed::Sent(block));
                }
                outgoing.send(&self.stream, storage)
            } else {
                return Ok(Flushed::Empty);
            };
            match result {
                Ok(length) => *budget = budget.saturating_sub(length),
                Err(SendError::Connection(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Ok(Flushed::Blocked);
                }
                Err(SendError::Connection(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn send_before(&mut self) -> Result<usize, SendError> {
        let sent = if self.block.is_some() {
            send_more(&mut self.stream, &self.before)
        } else {
            self.stream.write(&self.before)
        };
        let length = sent.map_err(SendError::Connection)?;
        self.before.drain(..length);
        Ok(length)
    }
}

impl Outgoing {
    /// Sends some of the bytes that are not out yet.
    fn send(&mut self, stream: &TcpStream, storage: &Storage) -> Result<usize, SendError> {
        let segment = storage.segment(self.block, self.sent).map_err(SendError::Storage)?;
        let length = match segment {
            Segment::File { file, offset, length } => send_file(stream, &file, offset, length)?,
            Segment::Zeros { length } => send_zeros(stream, length)?,
        };
        self.sent += length as u64;
        Ok(length)
    }
}

/// Sends bytes after which more will follow at once, so that the head of a block does not travel
/// in a packet of its own.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_more(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    const MSG_MORE: i32 = 0x8000; // linux/socket.h
    stream.try_io(|| SockRef::from(&*stream).send_with_flags(bytes, MSG_MORE))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send_more(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.write(bytes)
}

/// Sends bytes of a file straight from the system's cache, where the system can do that.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_file(stream: &TcpStream, file: &File, offset: u64, rest: u64) -> Result<usize, SendError> {
    let (Ok(start), Some(length)) =
        (usize::try_from(offset), NonZeroUsize::new(usize::try_from(rest).unwrap_or(usize::MAX)))
    else {
        return send_copied(stream, file, offset, rest);
    };
    match stream.try_io(|| SockRef::from(stream).sendfile(file, start, Some(length))) {
        // The file is shorter than it was; reading it says so.
        Ok(0) => send_copied(stream, file, offset, rest),
        Ok(length) => Ok(length),
        // Not every file system has it.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            send_copied(stream, file, offset, rest)
        }
        Err(error) => Err(SendError::Connection(error)),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send_file(stream: &TcpStream, file: &File, offset: u64, rest: u64) -> Result<usize, SendError> {
    send_copied(stream, file, offset, rest)
}

/// Sends bytes of a file by way of a buffer.
fn send_copied(
    mut stream: &TcpStream,
    file: &File,
    offset: u64,
    rest: u64,
) -> Result<usize, SendError> {
    let mut buffer = [0; BLOCK_LENGTH as usize];
    let length = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
    read_at(file, &mut buffer[..length], offset)
        .context("read a block to send")
        .map_err(SendError::Storage)?;
    stream.write(&buffer[..length]).map_err(SendError::Connection)
}

/// Padding files are not on disk, but their bytes are asked for (BEP 47).
fn send_zeros(mut stream: &TcpStream, rest: u64) -> Result<usize, SendError> {
    let zeros = [0; BLOCK_LENGTH as usize];
    let length = zeros.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
    stream.write(&zeros[..length]).map_err(SendError::Connection)
}

/// A call that leaves from a certain address, as a peer of a lab with an address of its own does.
fn call_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// A call that is not refused at once is under way: EINPROGRESS on Unix, for which std has no
/// stable name; elsewhere it "would block".
fn in_progress(error: &io::Error) -> bool {
    const EINPROGRESS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        115 // asm-generic/errno.h
    } else {
        36 // sys/errno.h of the BSDs and macOS
    };
    error.kind() == ErrorKind::WouldBlock
        || (cfg!(unix) && error.raw_os_error() == Some(EINPROGRESS))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a deadline counts from now")]
mod tests {
    use std::fs;
    use std::net::{Ipv4Addr, TcpListener};

    use common::metainfo::{CreateOptions, Metainfo, create};
    use tempfile::TempDir;

    use super::*;

    /// A folder with two files of 20000 and 30000 bytes, to be served; one block lies across both.
    fn content() -> (Metainfo, TempDir, Storage) {
        let dir = TempDir::new().unwrap();
        let folder = dir.path().join("two");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), vec![b'a'; 20_000]).unwrap();
        fs::write(folder.join("b"), vec![b'b'; 30_000]).unwrap();
        let options = CreateOptions { trackers: &[], piece_length: 50_000, private: false };
        let torrent = create(&folder, &options, &mut |_| {}).unwrap();
        let metainfo = Metainfo::from_bytes(&torrent).unwrap();
        let storage = Storage::for_seed(&metainfo, dir.path()).unwrap();
        (metainfo, dir, storage)
    }

    /// A connection that was accepted, and the caller's end.
    fn pair() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let caller = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, address) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(stream);
        (Connection::accepted(stream, address, 1 << 17, Instant::now()), caller)
    }

    #[test]
    fn a_message_goes_out_behind_the_block_that_is_under_way() {
        let (metainfo, _dir, storage) = content();
        let block = metainfo.geometry.block(0, BLOCK_LENGTH, BLOCK_LENGTH).unwrap();
        let (mut connection, mut caller) = pair();
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
        caller.read_to_end(&mut came).unwrap();
        assert!(came == expected, "{} bytes, expected {}", came.len(), expected.len());
    }

    #[test]
    fn what_waits_for_a_peer_that_does_not_read_is_bounded() {
        let (mut connection, _caller) = pair();
        let fits = MAX_QUEUED / 5;
        (0..fits).for_each(|_| connection.queue(&Message::Choke).unwrap());
        let error = connection.queue(&Message::Choke).unwrap_err();
        assert_eq!(error.to_string(), "it does not read what we send");
    }

    #[test]
    fn a_file_that_became_shorter_is_our_fault_and_not_the_peers() {
        let (metainfo, dir, storage) = content();
        let (mut connection, _caller) = pair();
        File::options().write(true).open(dir.path().join("two/b")).unwrap().set_len(5).unwrap();
        connection.queue_block(metainfo.geometry.block(0, 2 * BLOCK_LENGTH, 5_000).unwrap());
        let mut budget = usize::MAX;
        let Err(SendError::Storage(error)) = connection.flush(&storage, &mut budget) else {
            panic!("nothing can be read there")
        };
        assert!(format!("{error:#}").ends_with("the file is shorter than it was"), "{error:#}");
    }
}
