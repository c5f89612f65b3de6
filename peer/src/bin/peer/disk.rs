//! The thread that hashes and writes, so that the loop never waits for either (BEP 3).
//!
//! A connection receives each block into a buffer of its own, which becomes a part of its piece
//! without being copied. A complete piece goes to the thread as a list of blocks. The thread hashes
//! them in order and writes them only if the hash is right, so a false piece never reaches the
//! disk. The buffers return to a pool that the loop and the thread share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use common::geometry::{BLOCK_LENGTH, Block, PieceIndex};
use peer::torrent::Verdict;
use sha1::{Digest, Sha1};

use crate::storage::Storage;

/// With as many bytes queued for the thread, the loop should read no more: the disk is slow, and
/// TCP then slows the senders down.
pub(crate) const BACKLOG_LIMIT: usize = 16 * 1024 * 1024;

/// Bytes of spare buffers. A whole backlog may come back before the loop needs a buffer again;
/// more than that never comes back at once, so a steady download allocates nothing.
const SPARE_LIMIT: usize = BACKLOG_LIMIT;

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
    /// Files cannot be read or written, or the thread died. No more pieces are processed.
    Failed(anyhow::Error),
}

/// The loop's end. Dropping it waits until all pieces handed over are done.
#[derive(Debug)]
pub(crate) struct Disk {
    /// For each piece in progress its blocks, by where they begin.
    in_progress: BTreeMap<PieceIndex, BTreeMap<u32, Vec<u8>>>,
    pool: Arc<Mutex<Spare>>,
    backlog: Arc<AtomicUsize>,
    /// `None` only while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A piece to hash, and to write if it is good: its blocks in order.
#[derive(Debug)]
struct Job {
    piece: PieceIndex,
    blocks: Vec<Vec<u8>>,
}

impl Disk {
    /// Starts the thread, which calls `done` with each report; `done` hands it to the loop and
    /// wakes the loop.
    pub(crate) fn spawn(
        storage: Arc<Storage>,
        done: impl Fn(Done) + Send + 'static,
    ) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let limit = SPARE_LIMIT / BLOCK_LENGTH as usize;
        let pool = Arc::new(Mutex::new(Spare { buffers: Vec::new(), limit }));
        let backlog = Arc::new(AtomicUsize::new(0));
        let worker =
            Worker { storage, pool: Arc::clone(&pool), backlog: Arc::clone(&backlog), done };
        let thread = thread::Builder::new().name("disk".to_owned());
        let thread =
            thread.spawn(move || worker.run(&queue)).context("cannot start the disk thread")?;
        Ok(Self {
            in_progress: BTreeMap::new(),
            pool,
            backlog,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// A buffer of the length of a block, with arbitrary content.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let spare = lock(&self.pool).buffers.pop();
        spare.unwrap_or_else(|| vec![0; BLOCK_LENGTH as usize])
    }

    /// Makes the bytes of a block, all of them, a part of its piece. They replace those of the same
    /// block that came before.
    pub(crate) fn keep(&mut self, block: Block, bytes: Vec<u8>) {
        assert_eq!(
            bytes.len(),
            block.length() as usize,
            "a block is kept when all of it has arrived"
        );
        let blocks = self.in_progress.entry(block.piece()).or_default();
        if let Some(replaced) = blocks.insert(block.begin(), bytes) {
            self.recycle(replaced);
        }
    }

    /// Takes back a buffer whose bytes are not needed.
    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        lock(&self.pool).put([buffer]);
    }

    /// All blocks of the piece have arrived: [`Done::Checked`] will follow. If one is missing after
    /// all, the hash does not match.
    pub(crate) fn check(&mut self, piece: PieceIndex) {
        let blocks = self.in_progress.remove(&piece).unwrap_or_default();
        let job = Job { piece, blocks: blocks.into_values().collect() };
        self.backlog.fetch_add(job.bytes(), Ordering::Relaxed);
        // If the thread has ended, it has reported why.
        let _ = self.jobs.as_ref().expect("only dropping takes it").send(job);
    }

    /// The piece is no longer in progress: its blocks are not needed.
    pub(crate) fn forget(&mut self, piece: PieceIndex) {
        let blocks = self.in_progress.remove(&piece).unwrap_or_default();
        lock(&self.pool).put(blocks.into_values());
    }

    /// Nothing more will be downloaded: frees the spare buffers, and keeps none from now on.
    pub(crate) fn trim(&mut self) {
        *lock(&self.pool) = Spare { buffers: Vec::new(), limit: 0 };
    }

    /// Bytes that the thread has not processed yet.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The end of the queue ends the thread.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has reported that.
            let _ = thread.join();
        }
    }
}

impl Job {
    /// What it adds to the backlog.
    fn bytes(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }
}

/// Buffers for reuse.
#[derive(Debug)]
struct Spare {
    /// The one used last stands last: it may still be in the cache.
    buffers: Vec<Vec<u8>>,
    /// The most buffers that it keeps.
    limit: usize,
}

impl Spare {
    /// Keeps the buffers that have the length of a block, as many as may be here. Others are those
    /// of the short last blocks of a torrent.
    fn put(&mut self, buffers: impl IntoIterator<Item = Vec<u8>>) {
        for buffer in buffers {
            if self.buffers.len() < self.limit && buffer.len() == BLOCK_LENGTH as usize {
                self.buffers.push(buffer);
            }
        }
    }
}

fn lock(pool: &Mutex<Spare>) -> MutexGuard<'_, Spare> {
    pool.lock().expect("nothing panics while it has the lock")
}

/// The thread's end.
struct Worker<D: Fn(Done)> {
    storage: Arc<Storage>,
    pool: Arc<Mutex<Spare>>,
    backlog: Arc<AtomicUsize>,
    done: D,
}

impl<D: Fn(Done)> Worker<D> {
    fn run(self, queue: &Receiver<Job>) {
        for job in queue {
            let (piece, bytes) = (job.piece, job.bytes());
            let result = self.check(piece, &job.blocks);
            lock(&self.pool).put(job.blocks);
            let before = self.backlog.fetch_sub(bytes, Ordering::Relaxed);
            if before >= BACKLOG_LIMIT && before - bytes < BACKLOG_LIMIT {
                (self.done)(Done::CaughtUp);
            }
            match result {
                Ok(verdict) => (self.done)(Done::Checked { piece, verdict }),
                Err(error) => {
                    (self.done)(Done::Failed(error));
                    return;
                }
            }
        }
    }

    /// Hashes a piece and writes it if it is good.
    fn check(&self, piece: PieceIndex, blocks: &[Vec<u8>]) -> Result<Verdict> {
        let mut hasher = Sha1::new();
        blocks.iter().for_each(|bytes| hasher.update(bytes));
        let hash: [u8; 20] = hasher.finalize().into();
        if hash != self.storage.metainfo.piece_hashes[piece.as_usize()] {
            return Ok(Verdict::Bad);
        }
        let whole = self.storage.metainfo.geometry.whole_piece(piece);
        self.storage.write(whole, blocks)?;
        Ok(Verdict::Good)
    }
}

impl<D: Fn(Done)> Drop for Worker<D> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.done)(Done::Failed(anyhow!(
                "cannot go on: the disk thread panicked, which is a bug"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::AtomicBool;

    use common::metainfo::{CreateOptions, Metainfo};
    use fastrand::Rng;
    use tempfile::TempDir;

    use super::*;
    use crate::torrent_file::create;

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

        fn disk(&self) -> (Disk, Receiver<Done>) {
            let (sender, reports) = mpsc::channel();
            let done = move |done| sender.send(done).unwrap();
            (Disk::spawn(Arc::clone(&self.storage), done).unwrap(), reports)
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
            self.blocks(index).for_each(|block| keep(disk, block, self.bytes(block)));
            disk.check(self.piece(index));
        }

        fn part(&self) -> Vec<u8> {
            fs::read(self.dir.path().join("content.part")).unwrap()
        }
    }

    /// Receives a block as a connection does.
    fn keep(disk: &mut Disk, block: Block, bytes: &[u8]) {
        let mut buffer = disk.buffer();
        buffer.truncate(bytes.len());
        buffer.copy_from_slice(bytes);
        disk.keep(block, buffer);
    }

    fn spare_bytes(disk: &Disk) -> usize {
        lock(&disk.pool).buffers.iter().map(Vec::capacity).sum()
    }

    fn verdict(reports: &Receiver<Done>) -> (u32, Verdict) {
        match reports.recv().unwrap() {
            Done::Checked { piece, verdict } => (piece.get(), verdict),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blocks_in_any_order_become_pieces_on_disk() {
        // Pieces of two and a half blocks.
        let rig = Rig::new(1_000_001, 40_000);
        let (mut disk, reports) = rig.disk();
        let mut missing: Vec<_> = (0..26).map(|index| rig.blocks(index).count()).collect();
        let mut blocks: Vec<_> = (0..26).flat_map(|index| rig.blocks(index)).collect();
        Rng::with_seed(2).shuffle(&mut blocks);
        for block in blocks {
            keep(&mut disk, block, rig.bytes(block));
            missing[block.piece().as_usize()] -= 1;
            if missing[block.piece().as_usize()] == 0 {
                disk.check(block.piece());
            }
        }
        let mut verdicts: Vec<_> = (0..26).map(|_| verdict(&reports)).collect();
        verdicts.sort_by_key(|&(piece, _)| piece);
        assert_eq!(verdicts, (0..26).map(|n| (n, Verdict::Good)).collect::<Vec<_>>());
        assert_eq!((disk.in_progress.len(), disk.backlog()), (0, 0));
        assert!(rig.part() == rig.content);
    }

    #[test]
    fn a_piece_longer_than_one_write_is_written_whole() {
        let rig = Rig::new(1_500_000, 700_000);
        let (mut disk, reports) = rig.disk();
        for index in [2, 0, 1] {
            rig.send_piece(&mut disk, index);
            assert_eq!(verdict(&reports), (index, Verdict::Good));
        }
        assert!(rig.part() == rig.content);
    }

    #[test]
    fn a_false_piece_does_not_reach_the_disk_and_can_come_again() {
        let rig = Rig::new(100_000, 50_000);
        let (mut disk, reports) = rig.disk();
        for block in rig.blocks(0) {
            keep(&mut disk, block, &vec![7; block.length() as usize]);
        }
        disk.check(rig.piece(0));
        assert_eq!(verdict(&reports), (0, Verdict::Bad));
        assert_eq!(rig.part(), vec![0; 100_000]);
        rig.send_piece(&mut disk, 0);
        assert_eq!(verdict(&reports), (0, Verdict::Good));
        assert_eq!(rig.part()[..50_000], rig.content[..50_000]);
    }

    #[test]
    fn a_piece_that_lacks_a_block_is_bad() {
        let rig = Rig::new(100_000, 50_000);
        let (mut disk, reports) = rig.disk();
        for kept in 0..4 {
            rig.blocks(0).take(kept).for_each(|block| keep(&mut disk, block, rig.bytes(block)));
            disk.check(rig.piece(0));
            assert_eq!(verdict(&reports), (0, Verdict::Bad), "{kept} blocks of 4");
        }
        assert_eq!(rig.part(), vec![0; 100_000]);
    }

    #[test]
    fn the_block_that_comes_last_replaces_those_before() {
        let rig = Rig::new(50_000, 50_000);
        let (mut disk, reports) = rig.disk();
        for block in rig.blocks(0) {
            keep(&mut disk, block, &vec![7; block.length() as usize]);
        }
        rig.send_piece(&mut disk, 0);
        assert_eq!(verdict(&reports), (0, Verdict::Good));
        assert!(rig.part() == rig.content);
    }

    #[test]
    fn spare_buffers_are_bounded_and_none_is_left_after_the_download() {
        let rig = Rig::new(SPARE_LIMIT + (4 << 20), 4 << 20);
        let (mut disk, reports) = rig.disk();
        // All of it is in memory at a time.
        for block in (0..5).flat_map(|index| rig.blocks(index)) {
            keep(&mut disk, block, rig.bytes(block));
        }
        assert_eq!(spare_bytes(&disk), 0);
        (0..5).for_each(|index| disk.check(rig.piece(index)));
        let checked = reports.iter().filter(|done| matches!(done, Done::Checked { .. }));
        assert_eq!(checked.take(5).count(), 5);
        assert_eq!(spare_bytes(&disk), SPARE_LIMIT);

        disk.trim();
        assert_eq!(spare_bytes(&disk), 0);
        let buffer = disk.buffer();
        disk.recycle(buffer);
        assert_eq!(spare_bytes(&disk), 0);
    }

    #[test]
    fn a_buffer_is_used_again_only_with_the_length_of_a_block() {
        let rig = Rig::new(50_000, 50_000);
        let (mut disk, _reports) = rig.disk();
        let buffer = disk.buffer();
        let place = buffer.as_ptr();
        disk.recycle(buffer);
        disk.recycle(Vec::new());
        disk.recycle(vec![0; 1 << 20]);
        let again = disk.buffer();
        assert_eq!((again.len(), again.as_ptr()), (BLOCK_LENGTH as usize, place));
        assert_eq!(spare_bytes(&disk), 0);
    }

    #[test]
    fn the_loop_is_woken_when_the_disk_has_caught_up() {
        let rig = Rig::new(BACKLOG_LIMIT + (4 << 20), 4 << 20);
        let (sender, reports) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let done = move |done| {
            sender.send(done).unwrap();
            // The thread waits here until the test drops `go`.
            let _ = gate.recv();
        };
        let mut disk = Disk::spawn(Arc::clone(&rig.storage), done).unwrap();
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
    fn dropping_it_waits_for_the_pieces_handed_over() {
        let rig = Rig::new(1 << 20, 1 << 18);
        let (mut disk, reports) = rig.disk();
        (0..4).for_each(|index| rig.send_piece(&mut disk, index));
        drop(disk);
        assert_eq!(reports.try_iter().count(), 4);
        assert!(rig.part() == rig.content);
    }

    #[test]
    fn a_disk_that_cannot_be_written_to_is_reported() {
        let rig = Rig::new(50_000, 50_000);
        fs::remove_file(rig.dir.path().join("content.part")).unwrap();
        let (mut disk, reports) = rig.disk();
        rig.send_piece(&mut disk, 0);
        let Done::Failed(error) = reports.recv().unwrap() else { panic!("not a failure") };
        assert!(format!("{error:#}").contains("content.part: "), "{error:#}");
        // A later piece is dropped.
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
        let mut disk = Disk::spawn(Arc::clone(&rig.storage), done).unwrap();
        rig.send_piece(&mut disk, 0);
        assert_eq!(verdict(&reports), (0, Verdict::Good));
        let Done::Failed(error) = reports.recv().unwrap() else { panic!("not a failure") };
        assert!(error.to_string().contains("panicked"), "{error}");
    }
}
