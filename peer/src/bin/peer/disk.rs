//! The thread that hashes and writes, so that the loop never waits for either (BEP 3).
//!
//! Bytes are copied once: the loop copies each block from its socket buffer to the place in a
//! buffer of the whole piece. When the piece is complete, the buffer goes to the thread, which
//! hashes it while it is in the cache and, if the hash is right, writes it in one go. So what a
//! liar sends normally never reaches the disk.
//!
//! If too many pieces are begun at a time, the oldest one goes to disk as it is, its later blocks
//! follow one by one, and it is read back to be hashed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use common::geometry::{Block, Geometry, MAX_PIECE_LENGTH, PieceIndex};
use common::metainfo::Metainfo;
use peer::torrent::Verdict;
use sha1::{Digest, Sha1};

use crate::storage::Storage;

/// With as many bytes on the way to the thread, the loop should read no more: it is the disk that
/// is slow, and TCP then slows the senders down.
pub(crate) const BACKLOG_LIMIT: usize = 16 * 1024 * 1024;

/// Bytes of pieces that are being put together: 256 pieces of 256 KiB, or one of the longest.
const ASSEMBLY_LIMIT: usize = 64 * 1024 * 1024;
const _: () = assert!(ASSEMBLY_LIMIT >= MAX_PIECE_LENGTH as usize);

/// Bytes of buffers that are kept for reuse.
const SPARE_LIMIT: usize = 16 * 1024 * 1024;

/// What the thread reports.
#[derive(Debug)]
pub(crate) enum Done {
    /// A piece was hashed, and is on disk if it is good.
    Checked {
        /// The piece.
        piece: PieceIndex,
        /// Whether its hash is that of the torrent.
        verdict: Verdict,
    },
    /// The backlog is below [`BACKLOG_LIMIT`] again: sockets can be read.
    CaughtUp,
    /// Files cannot be read or written, or the thread died. Nothing more will be done.
    Failed(anyhow::Error),
}

/// The loop's end. Dropping it waits until what was handed over is done.
#[derive(Debug)]
pub(crate) struct Disk {
    geometry: Geometry,
    begun: BTreeMap<PieceIndex, Begun>,
    /// Bytes of the buffers in `begun`.
    assembled: usize,
    assembly_limit: usize,
    /// Counts pieces, to tell which one is the oldest.
    clock: u64,
    spare: Vec<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
    backlog: Arc<AtomicUsize>,
    /// `None` only while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A piece of which some blocks have come.
#[derive(Debug)]
enum Begun {
    InMemory(Assembly),
    /// It had to give way: what has come is on disk, or on its way there.
    OnDisk,
}

#[derive(Debug)]
struct Assembly {
    since: u64,
    /// Of a whole piece; where no block has come, anything.
    buffer: Vec<u8>,
    blocks: Vec<Block>,
}

#[derive(Debug)]
enum Job {
    /// Hash the piece, which the buffer begins with, and write it if it is good.
    CheckInMemory(PieceIndex, Vec<u8>),
    /// Write what has come of a piece.
    WriteBlocks(Assembly),
    /// Write one block more of such a piece.
    WriteBlock(Block, Vec<u8>),
    /// Read such a piece back and hash it.
    CheckOnDisk(PieceIndex),
}

impl Disk {
    /// Starts the thread, which calls `done`: it is to put the report where the loop finds it, and
    /// then to wake the loop.
    pub(crate) fn spawn(
        storage: Arc<Storage>,
        metainfo: Arc<Metainfo>,
        done: impl Fn(Done) + Send + 'static,
    ) -> Result<Self> {
        Self::with_assembly_limit(storage, metainfo, ASSEMBLY_LIMIT, done)
    }

    fn with_assembly_limit(
        storage: Arc<Storage>,
        metainfo: Arc<Metainfo>,
        assembly_limit: usize,
        done: impl Fn(Done) + Send + 'static,
    ) -> Result<Self> {
        let geometry = metainfo.geometry;
        let (jobs, queue) = mpsc::channel();
        let (returning, returned) = mpsc::channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            storage,
            metainfo,
            backlog: Arc::clone(&backlog),
            returning,
            scratch: Vec::new(),
            done,
        };
        let thread = thread::Builder::new().name("disk".to_owned());
        let thread = thread.spawn(move || worker.run(&queue)).context("start the disk thread")?;
        Ok(Self {
            geometry,
            begun: BTreeMap::new(),
            assembled: 0,
            assembly_limit,
            clock: 0,
            spare: Vec::new(),
            returned,
            backlog,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Keeps the bytes of a block that has come; they have the block's length.
    pub(crate) fn write(&mut self, block: Block, bytes: &[u8]) {
        let piece = block.piece();
        if !self.begun.contains_key(&piece) {
            self.begin(piece);
        }
        match self.begun.get_mut(&piece).expect("it was begun") {
            Begun::InMemory(assembly) => {
                assembly.buffer[bounds(block)].copy_from_slice(bytes);
                assembly.blocks.push(block);
            }
            Begun::OnDisk => self.send(Job::WriteBlock(block, bytes.to_vec())),
        }
    }

    /// All blocks of the piece have come: [`Done::Checked`] will follow. Should one be missing
    /// after all, the hash shows it.
    pub(crate) fn check(&mut self, piece: PieceIndex) {
        let job = match self.begun.remove(&piece) {
            Some(Begun::InMemory(assembly)) => {
                self.assembled -= assembly.buffer.len();
                Job::CheckInMemory(piece, assembly.buffer)
            }
            Some(Begun::OnDisk) | None => Job::CheckOnDisk(piece),
        };
        self.send(job);
    }

    /// Bytes that the thread has not dealt with yet.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    fn begin(&mut self, piece: PieceIndex) {
        let length = self.buffer_length();
        while self.assembled + length > self.assembly_limit {
            let Some(oldest) = self.oldest_in_memory() else { break };
            self.give_way(oldest);
        }
        self.clock += 1;
        let blocks = Vec::with_capacity(self.geometry.block_count(piece) as usize);
        let assembly = Assembly { since: self.clock, buffer: self.buffer(), blocks };
        self.assembled += length;
        self.begun.insert(piece, Begun::InMemory(assembly));
    }

    fn oldest_in_memory(&self) -> Option<PieceIndex> {
        let in_memory = self.begun.iter().filter_map(|(&piece, begun)| match begun {
            Begun::InMemory(assembly) => Some((assembly.since, piece)),
            Begun::OnDisk => None,
        });
        in_memory.min().map(|(_, piece)| piece)
    }

    fn give_way(&mut self, piece: PieceIndex) {
        if let Some(Begun::InMemory(assembly)) = self.begun.insert(piece, Begun::OnDisk) {
            self.assembled -= assembly.buffer.len();
            self.send(Job::WriteBlocks(assembly));
        }
    }

    /// A buffer of a piece, the one used last if there is one: it may still be in the cache.
    fn buffer(&mut self) -> Vec<u8> {
        let length = self.buffer_length();
        while let Ok(buffer) = self.returned.try_recv() {
            if (self.spare.len() + 1) * length <= SPARE_LIMIT {
                self.spare.push(buffer);
            }
        }
        self.spare.pop().unwrap_or_else(|| vec![0; length])
    }

    /// All buffers are of one length, that of the longest piece.
    fn buffer_length(&self) -> usize {
        let first = self.geometry.pieces().next().expect("a torrent has a piece");
        self.geometry.piece_size(first) as usize
    }

    fn send(&self, job: Job) {
        self.backlog.fetch_add(job.bytes(), Ordering::Relaxed);
        // If the thread has ended, it has said so.
        let _ = self.jobs.as_ref().expect("only dropping takes it").send(job);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The end of the queue ends the thread.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so.
            let _ = thread.join();
        }
    }
}

impl Job {
    /// What it adds to the backlog.
    fn bytes(&self) -> usize {
        match self {
            Self::CheckInMemory(_, buffer) => buffer.len(),
            Self::WriteBlocks(assembly) => assembly.buffer.len(),
            Self::WriteBlock(_, bytes) => bytes.len(),
            Self::CheckOnDisk(_) => 0,
        }
    }
}

/// The thread's end.
struct Worker<D: Fn(Done)> {
    storage: Arc<Storage>,
    metainfo: Arc<Metainfo>,
    backlog: Arc<AtomicUsize>,
    returning: Sender<Vec<u8>>,
    /// For reading pieces back.
    scratch: Vec<u8>,
    done: D,
}

impl<D: Fn(Done)> Worker<D> {
    fn run(mut self, queue: &Receiver<Job>) {
        for job in queue {
            let bytes = job.bytes();
            let result = self.carry_out(job);
            let before = self.backlog.fetch_sub(bytes, Ordering::Relaxed);
            if before >= BACKLOG_LIMIT && before - bytes < BACKLOG_LIMIT {
                (self.done)(Done::CaughtUp);
            }
            match result {
                Ok(None) => {}
                Ok(Some((piece, verdict))) => (self.done)(Done::Checked { piece, verdict }),
                Err(error) => {
                    (self.done)(Done::Failed(error));
                    return;
                }
            }
        }
    }

    fn carry_out(&mut self, job: Job) -> Result<Option<(PieceIndex, Verdict)>> {
        let geometry = self.metainfo.geometry;
        match job {
            Job::CheckInMemory(piece, buffer) => {
                let block = geometry.whole_piece(piece);
                let bytes = &buffer[bounds(block)];
                let verdict = self.verdict(piece, &Sha1::digest(bytes).into());
                if verdict == Verdict::Good {
                    self.storage.write(block, bytes)?;
                }
                self.give_back(buffer);
                Ok(Some((piece, verdict)))
            }
            Job::WriteBlocks(assembly) => {
                for &block in &assembly.blocks {
                    self.storage.write(block, &assembly.buffer[bounds(block)])?;
                }
                self.give_back(assembly.buffer);
                Ok(None)
            }
            Job::WriteBlock(block, bytes) => {
                self.storage.write(block, &bytes)?;
                Ok(None)
            }
            Job::CheckOnDisk(piece) => {
                let hash = self.storage.hash_piece(piece, &mut self.scratch)?;
                Ok(Some((piece, self.verdict(piece, &hash))))
            }
        }
    }

    fn verdict(&self, piece: PieceIndex, hash: &[u8; 20]) -> Verdict {
        if *hash == self.metainfo.piece_hashes[piece.as_usize()] {
            Verdict::Good
        } else {
            Verdict::Bad
        }
    }

    fn give_back(&self, buffer: Vec<u8>) {
        // Once the loop's end is being dropped, nobody needs it.
        let _ = self.returning.send(buffer);
    }
}

impl<D: Fn(Done)> Drop for Worker<D> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.done)(Done::Failed(anyhow!("the disk thread panicked: this is a bug")));
        }
    }
}

/// Where a block is in the buffer of its piece.
fn bounds(block: Block) -> Range<usize> {
    let begin = block.begin() as usize;
    begin..begin + block.length() as usize
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::AtomicBool;

    use common::metainfo::{CreateOptions, create};
    use fastrand::Rng;
    use tempfile::TempDir;

    use super::*;

    /// A torrent, its content, and a folder to download it to.
    struct Rig {
        metainfo: Arc<Metainfo>,
        content: Vec<u8>,
        dir: TempDir,
        storage: Arc<Storage>,
    }

    impl Rig {
        fn new(length: usize, piece_length: u32) -> Self {
            let mut content = vec![0; length];
            Rng::with_seed(1).fill(&mut content);
            let dir = TempDir::new().unwrap();
            let original = dir.path().join("content");
            fs::write(&original, &content).unwrap();
            let options = CreateOptions { trackers: &[], piece_length, private: false };
            let torrent = create(&original, &options, &mut |_| {}).unwrap();
            fs::remove_file(original).unwrap();
            let metainfo = Arc::new(Metainfo::from_bytes(&torrent).unwrap());
            let storage = Arc::new(Storage::for_download(&metainfo, dir.path()).unwrap());
            Self { metainfo, content, dir, storage }
        }

        fn disk(&self, assembly_limit: usize) -> (Disk, Receiver<Done>) {
            let (sender, reports) = mpsc::channel();
            let done = move |done| sender.send(done).unwrap();
            let (storage, metainfo) = (Arc::clone(&self.storage), Arc::clone(&self.metainfo));
            (Disk::with_assembly_limit(storage, metainfo, assembly_limit, done).unwrap(), reports)
        }

        fn piece(&self, index: u32) -> PieceIndex {
            self.metainfo.geometry.piece(index).unwrap()
        }

        fn blocks(&self, index: u32) -> impl Iterator<Item = Block> {
            self.metainfo.geometry.blocks(self.piece(index))
        }

        fn bytes(&self, block: Block) -> &[u8] {
            let begin = usize::try_from(self.metainfo.geometry.block_offset(block)).unwrap();
            &self.content[begin..begin + block.length() as usize]
        }

        fn send_piece(&self, disk: &mut Disk, index: u32) {
            self.blocks(index).for_each(|block| disk.write(block, self.bytes(block)));
            disk.check(self.piece(index));
        }

        fn part(&self) -> Vec<u8> {
            fs::read(self.dir.path().join("content.part")).unwrap()
        }
    }

    fn verdict(reports: &Receiver<Done>) -> (u32, Verdict) {
        match reports.recv().unwrap() {
            Done::Checked { piece, verdict } => (piece.get(), verdict),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn good_pieces_reach_the_disk_whichever_way_they_take() {
        // Pieces of two and a half blocks. In memory: all of them; one; none.
        for assembly_limit in [ASSEMBLY_LIMIT, 40_000, 0] {
            let rig = Rig::new(1_000_001, 40_000);
            let (mut disk, reports) = rig.disk(assembly_limit);
            let mut missing: Vec<_> = (0..26).map(|index| rig.blocks(index).count()).collect();
            let mut blocks: Vec<_> = (0..26).flat_map(|index| rig.blocks(index)).collect();
            Rng::with_seed(2).shuffle(&mut blocks);
            for block in blocks {
                disk.write(block, rig.bytes(block));
                missing[block.piece().as_usize()] -= 1;
                if missing[block.piece().as_usize()] == 0 {
                    disk.check(block.piece());
                }
            }
            let mut verdicts: Vec<_> = (0..26).map(|_| verdict(&reports)).collect();
            verdicts.sort_by_key(|&(piece, _)| piece);
            assert_eq!(verdicts, (0..26).map(|n| (n, Verdict::Good)).collect::<Vec<_>>());
            assert_eq!((disk.assembled, disk.backlog()), (0, 0));
            assert!(rig.part() == rig.content, "limit {assembly_limit}");
        }
    }

    #[test]
    fn a_false_piece_does_not_reach_the_disk_and_can_come_again() {
        let rig = Rig::new(100_000, 50_000);
        let (mut disk, reports) = rig.disk(ASSEMBLY_LIMIT);
        for block in rig.blocks(0) {
            disk.write(block, &vec![7; block.length() as usize]);
        }
        disk.check(rig.piece(0));
        assert_eq!(verdict(&reports), (0, Verdict::Bad));
        assert_eq!(rig.part(), vec![0; 100_000]);
        rig.send_piece(&mut disk, 0);
        assert_eq!(verdict(&reports), (0, Verdict::Good));
        assert_eq!(rig.part()[..50_000], rig.content[..50_000]);
    }

    #[test]
    fn a_false_piece_that_had_to_give_way_is_found_out_too() {
        let rig = Rig::new(100_000, 50_000);
        let (mut disk, reports) = rig.disk(50_000);
        for (number, block) in rig.blocks(0).enumerate() {
            let bytes = if number == 0 { vec![7; 16_384] } else { rig.bytes(block).to_vec() };
            disk.write(block, &bytes);
            // The other piece takes the room of this one.
            disk.write(rig.blocks(1).nth(number).unwrap(), &[7; 16_384][..bytes.len()]);
        }
        disk.check(rig.piece(0));
        assert_eq!(verdict(&reports), (0, Verdict::Bad));
        rig.send_piece(&mut disk, 0);
        assert_eq!(verdict(&reports), (0, Verdict::Good));
        rig.send_piece(&mut disk, 1);
        assert_eq!(verdict(&reports), (1, Verdict::Good));
        assert!(rig.part() == rig.content);
    }

    #[test]
    fn the_loop_hears_when_the_disk_has_caught_up() {
        let rig = Rig::new(BACKLOG_LIMIT + (4 << 20), 4 << 20);
        let (sender, reports) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let done = move |done| {
            sender.send(done).unwrap();
            // Until the test lets go of its end, the thread gets no further.
            let _ = gate.recv();
        };
        let mut disk =
            Disk::spawn(Arc::clone(&rig.storage), Arc::clone(&rig.metainfo), done).unwrap();
        rig.send_piece(&mut disk, 0);
        assert_eq!(verdict(&reports), (0, Verdict::Good));
        (1..5).for_each(|index| rig.send_piece(&mut disk, index));
        assert_eq!(disk.backlog(), BACKLOG_LIMIT);
        drop(go);
        assert!(matches!(reports.recv().unwrap(), Done::CaughtUp));
        (1..5).for_each(|index| assert_eq!(verdict(&reports), (index, Verdict::Good)));
        assert_eq!(disk.backlog(), 0);
    }

    #[test]
    fn dropping_it_waits_for_what_was_handed_over() {
        let rig = Rig::new(1 << 20, 1 << 18);
        let (mut disk, reports) = rig.disk(ASSEMBLY_LIMIT);
        (0..4).for_each(|index| rig.send_piece(&mut disk, index));
        drop(disk);
        assert_eq!(reports.try_iter().count(), 4);
        assert!(rig.part() == rig.content);
    }

    #[test]
    fn a_disk_that_cannot_be_written_to_is_reported() {
        let rig = Rig::new(50_000, 50_000);
        fs::remove_file(rig.dir.path().join("content.part")).unwrap();
        let (mut disk, reports) = rig.disk(ASSEMBLY_LIMIT);
        rig.send_piece(&mut disk, 0);
        let Done::Failed(error) = reports.recv().unwrap() else { panic!("not a failure") };
        assert!(format!("{error:#}").contains("content.part: "), "{error:#}");
        // Whatever comes after that goes nowhere, and does no harm.
        rig.send_piece(&mut disk, 0);
    }

    #[test]
    fn the_death_of_the_thread_is_reported() {
        let rig = Rig::new(50_000, 50_000);
        let (sender, reports) = mpsc::channel();
        let first = AtomicBool::new(true);
        let done = move |done| {
            sender.send(done).unwrap();
            assert!(!first.swap(false, Ordering::Relaxed), "a panic on purpose");
        };
        let mut disk =
            Disk::spawn(Arc::clone(&rig.storage), Arc::clone(&rig.metainfo), done).unwrap();
        rig.send_piece(&mut disk, 0);
        assert_eq!(verdict(&reports), (0, Verdict::Good));
        let Done::Failed(error) = reports.recv().unwrap() else { panic!("not a failure") };
        assert!(error.to_string().contains("panicked"), "{error}");
    }
}
