//! Framing: where one message ends and the next begins in a byte stream (K&R 2.7, BEP 3).
//!
//! TCP keeps the order of the bytes but not the cuts between them: one `send` may arrive in many
//! `read`s, many in one. So each message is preceded by its length, a big-endian u32, and the
//! receiver collects bytes until a whole frame is there. [`FrameReader`] does that for a loop that
//! must never wait; [`read_frame`] and [`write_frame`] do it for a blocking socket.

use std::io::{self, Read, Write};

/// Bytes of the length in front of each frame.
pub const PREFIX_LENGTH: usize = 4;

/// What a reader's buffer holds at first: a block with its head, twice.
const INITIAL_CAPACITY: usize = 36 * 1024;

/// Cuts a stream into frames; the bytes may come in any pieces.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// What came and was not taken yet is `buffer[start..end]`.
    start: usize,
    end: usize,
    max_frame: usize,
}

/// A length that no message of ours has; what follows in the stream cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {length} bytes, at most {max} expected")]
pub struct FrameTooLong {
    /// What the prefix says.
    pub length: u32,
    /// The reader's limit.
    pub max: usize,
}

impl FrameReader {
    /// A reader that refuses frames of more than `max_frame` bytes (without the prefix).
    pub fn new(max_frame: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, max_frame }
    }

    /// Where to put the next bytes of the stream. Then call [`Self::filled`]. Never empty if the
    /// whole frames that have come were taken before.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        // The longest frame announced so far was checked before it counts here, so the buffer
        // never grows beyond `max_frame` on a stranger's word.
        let wanted = self.wanted().max(INITIAL_CAPACITY);
        if self.buffer.len() - self.start < wanted || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// The first `length` bytes of [`Self::space`] now hold bytes of the stream.
    pub fn filled(&mut self, length: usize) {
        self.end += length;
        debug_assert!(self.end <= self.buffer.len(), "only the space can be filled");
    }

    /// The next whole frame without its prefix, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        let Some(prefix) = self.peek().first_chunk::<PREFIX_LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix);
        let whole = self.check(length)? + PREFIX_LENGTH;
        Ok(self.take(whole).map(|frame| &frame[PREFIX_LENGTH..]))
    }

    /// Takes `length` bytes that stand outside the framing (a handshake), once they are there.
    pub fn take(&mut self, length: usize) -> Option<&[u8]> {
        let start = self.start;
        (self.end - start >= length).then(|| {
            self.start += length;
            &self.buffer[start..start + length]
        })
    }

    /// What came and was not taken yet.
    pub fn peek(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Bytes of the frame that has begun, as far as its prefix is here and lawful.
    fn wanted(&self) -> usize {
        let prefix = self.peek().first_chunk::<PREFIX_LENGTH>();
        let length = prefix.and_then(|prefix| self.check(u32::from_be_bytes(*prefix)).ok());
        length.map_or(0, |length| length + PREFIX_LENGTH)
    }

    fn check(&self, length: u32) -> Result<usize, FrameTooLong> {
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.max_frame => Ok(bytes),
            _ => Err(FrameTooLong { length, max: self.max_frame }),
        }
    }
}

/// Waits for the next frame; `None` when the stream ends between two frames.
///
/// # Errors
/// As the reader; `InvalidData` for a frame of more than `max_frame` bytes; `UnexpectedEof` when
/// the stream ends inside a frame.
pub fn read_frame(stream: &mut impl Read, max_frame: usize) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; PREFIX_LENGTH];
    // A stream may end here and only here, so the first byte is read by itself.
    let first = loop {
        match stream.read(&mut prefix[..1]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut prefix[1..])?;
    let length = FrameReader::new(max_frame)
        .check(u32::from_be_bytes(prefix))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// Writes a frame with its length in front, in one `write` where the system takes it all.
///
/// # Errors
/// As the writer; `InvalidInput` for a frame whose length does not fit a u32.
pub fn write_frame(stream: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut bytes = Vec::with_capacity(PREFIX_LENGTH + frame.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(frame);
    stream.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the stream in the given cuts and collects the frames.
    fn frames_of(stream: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
        let mut reader = FrameReader::new(1000);
        let mut frames = Vec::new();
        let mut rest = stream;
        let mut cuts = cuts.chain(std::iter::repeat(usize::MAX));
        while !rest.is_empty() {
            let space = reader.space();
            let length = cuts.next().expect("endless").clamp(1, rest.len().min(space.len()));
            space[..length].copy_from_slice(&rest[..length]);
            reader.filled(length);
            rest = &rest[length..];
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame.to_vec());
            }
        }
        assert!(reader.peek().is_empty());
        frames
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_the_buffer_grows() {
        let mut reader = FrameReader::new(1000);
        reader.space()[..4].copy_from_slice(&[0xff; 4]);
        reader.filled(4);
        let error = FrameTooLong { length: u32::MAX, max: 1000 };
        assert_eq!(reader.next_frame(), Err(error));
        assert!(reader.space().len() <= INITIAL_CAPACITY);
    }

    #[test]
    fn the_buffer_grows_to_the_announced_frame_and_no_further() {
        let mut reader = FrameReader::new(1 << 20);
        reader.space()[..4].copy_from_slice(&(1_u32 << 20).to_be_bytes());
        reader.filled(4);
        assert_eq!(reader.next_frame(), Ok(None));
        assert_eq!(reader.space().len(), 1 << 20);
    }

    #[test]
    fn bytes_outside_the_framing_are_taken_whole() {
        let mut reader = FrameReader::new(10);
        reader.space()[..7].copy_from_slice(b"abc\0\0\0\0");
        reader.filled(7);
        assert_eq!(reader.take(8), None);
        assert_eq!(reader.take(3), Some(&b"abc"[..]));
        assert_eq!(reader.next_frame(), Ok(Some(&b""[..])));
    }

    #[test]
    fn a_blocking_reader_tells_an_end_between_frames_from_one_inside() {
        let read = |bytes: &[u8]| read_frame(&mut &bytes[..], 4).map_err(|error| error.kind());
        assert_eq!(read(b""), Ok(None));
        assert_eq!(read(b"\0\0\0\x02hi"), Ok(Some(b"hi".to_vec())));
        assert_eq!(read(b"\0\0"), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(read(b"\0\0\0\x02h"), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(read(b"\0\0\0\x05hello"), Err(io::ErrorKind::InvalidData));
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_frames(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1000), 0..60),
            cuts in prop::collection::vec(1_usize..3000, 0..200),
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                write_frame(&mut stream, frame).unwrap();
            }
            prop_assert_eq!(&frames_of(&stream, cuts.into_iter()), &frames);
            prop_assert_eq!(&frames_of(&stream, std::iter::repeat(1)), &frames);
            let mut rest = stream.as_slice();
            for frame in &frames {
                let read = read_frame(&mut rest, 1000).unwrap();
                prop_assert_eq!(read.as_ref(), Some(frame));
            }
        }
    }
}
