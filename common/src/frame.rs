//! Framing: where one message ends and the next begins in a byte stream (K&R 2.7, BEP 3).
//!
//! TCP keeps the order of the bytes but not the cuts between them: one `send` may arrive in many
//! `read`s, many in one. So each message is preceded by its length, a big-endian u32, and the
//! receiver collects bytes until a whole frame has arrived. [`FrameReader`] does that for a loop
//! that must never wait.

/// Bytes of the length in front of each frame.
pub const PREFIX_LENGTH: usize = 4;

/// What a reader's buffer holds at first: a block with its head, twice.
const INITIAL_CAPACITY: usize = 36 * 1024;

/// Cuts a stream into frames; the bytes may come in any pieces.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// The bytes received and not taken yet are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// How many bytes the last [`Self::take`] needs at `start`; the buffer grows to hold them.
    wanted: usize,
    /// Bytes of the stream to drop when they come.
    skipping: usize,
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
        Self { buffer: Vec::new(), start: 0, end: 0, wanted: 0, skipping: 0, max_frame }
    }

    /// Where to put the next bytes of the stream; then call [`Self::filled`]. Take what is here
    /// first: the space is never empty after a [`Self::frame_length`] or [`Self::take`]
    /// that found too little.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let capacity = self.buffer.len().max(self.wanted).max(INITIAL_CAPACITY);
        self.buffer.resize(capacity, 0);
        &mut self.buffer[self.end..]
    }

    /// The first `length` bytes of [`Self::space`] now hold bytes of the stream.
    pub fn filled(&mut self, length: usize) {
        self.end += length;
        debug_assert!(self.end <= self.buffer.len(), "only the space can be filled");
        self.drop_skipped();
    }

    /// Length of the next frame, once its prefix has arrived.
    pub fn frame_length(&self) -> Result<Option<usize>, FrameTooLong> {
        let Some(prefix) = self.peek().first_chunk::<PREFIX_LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix);
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.max_frame => Ok(Some(bytes)),
            _ => Err(FrameTooLong { length, max: self.max_frame }),
        }
    }

    /// Takes `length` bytes, whatever the framing (a handshake), once all have arrived. The buffer
    /// grows for them, so the caller has checked the length.
    pub fn take(&mut self, length: usize) -> Option<&[u8]> {
        let here = self.end - self.start >= length;
        self.wanted = if here { 0 } else { length };
        here.then(|| self.take_up_to(length))
    }

    /// Takes at most `length` bytes, whatever the framing: as much of a block as has arrived.
    pub fn take_up_to(&mut self, length: usize) -> &[u8] {
        let start = self.start;
        self.start += length.min(self.end - start);
        &self.buffer[start..self.start]
    }

    /// Drops the next `length` bytes of the stream, those to come as well, without keeping them.
    pub fn skip(&mut self, length: usize) {
        self.skipping += length;
        self.drop_skipped();
    }

    /// The bytes received and not taken yet.
    pub fn peek(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the reader is empty: no byte is waiting to be taken or still to be skipped.
    pub fn is_empty(&self) -> bool {
        self.start == self.end && self.skipping == 0
    }

    fn drop_skipped(&mut self) {
        let dropped = self.take_up_to(self.skipping).len();
        self.skipping -= dropped;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl FrameReader {
        /// The next whole frame without its prefix, or `None` until more bytes come.
        fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
            let Some(length) = self.frame_length()? else { return Ok(None) };
            Ok(self.take(PREFIX_LENGTH + length).map(|frame| &frame[PREFIX_LENGTH..]))
        }
    }

    /// Puts bytes of the stream into the reader.
    fn feed(reader: &mut FrameReader, bytes: &[u8]) {
        reader.space()[..bytes.len()].copy_from_slice(bytes);
        reader.filled(bytes.len());
    }

    /// Feeds the stream in the given cuts and collects the frames.
    fn frames_of(stream: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
        let mut reader = FrameReader::new(1000);
        let mut frames = Vec::new();
        let mut rest = stream;
        let mut cuts = cuts.chain(std::iter::repeat(usize::MAX));
        while !rest.is_empty() {
            let longest = rest.len().min(reader.space().len());
            let length = cuts.next().expect("endless").clamp(1, longest);
            feed(&mut reader, &rest[..length]);
            rest = &rest[length..];
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame.to_vec());
            }
        }
        assert!(reader.is_empty());
        frames
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_the_buffer_grows() {
        let mut reader = FrameReader::new(1000);
        feed(&mut reader, &[0xff; 4]);
        let error = FrameTooLong { length: u32::MAX, max: 1000 };
        assert_eq!(reader.next_frame(), Err(error));
        assert_eq!(reader.space().len(), INITIAL_CAPACITY - 4);

        let mut reader = FrameReader::new(1000);
        feed(&mut reader, &1001_u32.to_be_bytes());
        assert_eq!(reader.next_frame(), Err(FrameTooLong { length: 1001, max: 1000 }));
    }

    #[test]
    fn the_buffer_grows_to_the_announced_frame_and_no_further() {
        let mut reader = FrameReader::new(1 << 20);
        feed(&mut reader, &(1_u32 << 20).to_be_bytes());
        assert_eq!(reader.space().len(), INITIAL_CAPACITY - 4);
        assert_eq!(reader.next_frame(), Ok(None));
        assert_eq!(reader.space().len(), 1 << 20);
    }

    #[test]
    fn bytes_outside_the_framing_are_taken_whole() {
        let mut reader = FrameReader::new(10);
        feed(&mut reader, b"abc\0\0\0\0");
        assert_eq!(reader.take(8), None);
        assert_eq!(reader.take(3), Some(&b"abc"[..]));
        assert_eq!(reader.next_frame(), Ok(Some(&b""[..])));
    }

    #[test]
    fn a_body_is_taken_as_it_comes() {
        let mut reader = FrameReader::new(10);
        assert_eq!(reader.take_up_to(3), b"");
        feed(&mut reader, b"abcde");
        assert!(!reader.is_empty());
        assert_eq!(reader.take_up_to(2), b"ab");
        assert_eq!(reader.take_up_to(4), b"cde");
        assert!(reader.is_empty());
    }

    #[test]
    fn skipped_bytes_are_dropped_when_they_come_and_the_buffer_does_not_grow() {
        let mut reader = FrameReader::new(10);
        feed(&mut reader, b"abc");
        reader.skip(2);
        assert_eq!(reader.peek(), b"c");
        reader.skip(100_001);
        for _ in 0..10 {
            assert!(reader.peek().is_empty() && !reader.is_empty());
            feed(&mut reader, &[b'x'; 10_000]);
        }
        assert!(reader.is_empty());
        feed(&mut reader, b"d");
        assert_eq!(reader.peek(), b"d");
        assert!(reader.space().len() < INITIAL_CAPACITY);
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_frames(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1000), 0..60),
            cuts in prop::collection::vec(1_usize..3000, 0..200),
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                stream.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
                stream.extend(frame);
            }
            prop_assert_eq!(&frames_of(&stream, cuts.into_iter()), &frames);
            prop_assert_eq!(&frames_of(&stream, std::iter::repeat(1)), &frames);
        }
    }
}
