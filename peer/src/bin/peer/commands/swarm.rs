//! `peer swarm`: a tracker, a seed and some peers in this process, over real sockets on loopback.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use common::id::PeerId;
use common::metainfo::{CreateOptions, Metainfo};
use common::moment::Moment;
use fastrand::Rng;
use indicatif::{MultiProgress, ProgressBar};
use peer::record::Start;
use peer::torrent::Config;
use peer::units::size;
use tempfile::TempDir;
use tracker::server::Server;

use super::share;
use crate::listen;
use crate::node::{self, Clock, Ended, Session};
use crate::options;
use crate::report::{EventFile, RecordFile, Reporter, Verbosity, print_result, say};
use crate::stop::Stop;
use crate::storage::Storage;
use crate::torrent_file;

/// The sample: 128 chunks. With the default limit it takes five peers the better part of a
/// minute, and so several rounds.
const SAMPLE_LENGTH: usize = 32 * 1024 * 1024;
const SAMPLE_NAME: &str = "sample.bin";

/// K&R 2.5: a chunk has 256 KiB.
const CHUNK_SIZE: u32 = 256 * 1024;

/// Short, so that peers soon hear of those that join after them.
const TRACKER_INTERVAL: Duration = Duration::from_secs(10);

/// How often to check whether a peer has stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Shares a file among peers on this machine; ends when all have it and every copy was checked.
pub(crate) fn run(options: &options::Swarm) -> Result<Ended> {
    let clock = Clock::start();
    let stop = Stop::on_ctrl_c().context("listen for Ctrl-C")?;
    let scratch = tempfile::tempdir().context("make a folder for the copies")?;
    let mut rng = options.trading.rng_seed.map_or_else(Rng::new, Rng::with_seed);
    let file = match &options.file {
        Some(file) => file.canonicalize().with_context(|| format!("find {}", file.display()))?,
        None => make_sample(scratch.path(), &mut rng)?,
    };
    let url = start_tracker()?;
    let (completed, completions) = mpsc::channel();
    let members: Vec<_> =
        (SEED..=options.peers).map(|number| Member::new(number, &mut rng)).collect();
    let name_of = |member: &Member| (member.peer_id, Arc::clone(&member.name));
    let mut swarm = Swarm {
        options,
        metainfo: Arc::new(make_torrent(&file, url)?),
        names: members.iter().map(name_of).collect(),
        events: options.telling.events.as_deref().map(EventFile::create).transpose()?,
        record: options.telling.record.as_deref().map(RecordFile::create).transpose()?,
        bars: MultiProgress::new(),
        clock,
        stop,
        file,
        scratch,
        completed,
        rng,
    };
    say(format_args!(
        "{}: {} in {} chunks, from one seed to {} peers",
        swarm.metainfo.name,
        size(swarm.metainfo.geometry.total_length()),
        swarm.metainfo.geometry.piece_count(),
        options.peers,
    ));

    let mut threads = Vec::new();
    for member in &members {
        let Some(session) = swarm.session(member)? else { return Ok(Ended::Incomplete) };
        let thread = thread::Builder::new().name(member.name.to_string());
        threads.push(thread.spawn(move || node::run(session)).context("start a peer's thread")?);
    }
    let ended = swarm.wait(&completions, &threads);
    swarm.stop.stop();
    for thread in threads {
        thread.join().unwrap_or_else(|_| bail!("a peer's thread panicked"))?;
    }
    if ended == Ended::Complete {
        swarm.verify_copies(&members)?;
        print_result(format_args!(
            "{} verified copies of {} in {:.1} s",
            options.peers,
            swarm.metainfo.name,
            clock.now().since_start().as_secs_f64()
        ))?;
    }
    Ok(ended)
}

/// The settings that all members share.
struct Swarm<'a> {
    options: &'a options::Swarm,
    metainfo: Arc<Metainfo>,
    names: BTreeMap<PeerId, Arc<str>>,
    events: Option<EventFile>,
    record: Option<RecordFile>,
    bars: MultiProgress,
    clock: Clock,
    stop: Stop,
    /// The file that the seed has.
    file: PathBuf,
    /// The folder for the copies; it is removed at the end.
    scratch: TempDir,
    /// Each peer sends its name here when it has every chunk.
    completed: Sender<Arc<str>>,
    rng: Rng,
}

impl Swarm<'_> {
    /// One of the peers, ready to run; `None` if the user interrupted it.
    fn session(&mut self, member: &Member) -> Result<Option<Session>> {
        let storage = if member.number == SEED {
            let folder = self.file.parent().context("the file is in no folder")?;
            Storage::for_seed(&self.metainfo, folder)?
        } else {
            Storage::for_download(&self.metainfo, &self.copy_of(member))?
        };
        let Some(have) = share::check(&storage, &self.stop)? else {
            return Ok(None);
        };
        let config = Config {
            upload_limit: self.options.upload_limit.0.map(|limit| self.share_of(member, limit)),
            ..share::trading_config(&self.options.trading, member.peer_id)
        };
        let verbosity = match (member.number, self.options.telling.verbose) {
            (1, false) => Verbosity::Choices,
            (1, true) => Verbosity::All,
            _ => Verbosity::Quiet,
        };
        let bar = self.bars.add(ProgressBar::new(0));
        let geometry = self.metainfo.geometry;
        let reporter = Reporter::new(geometry.total_length(), bar, verbosity, self.events.clone())
            .in_swarm(Arc::clone(&member.name), self.completed.clone());
        let mut rng = self.rng.fork();
        Ok(Some(Session {
            storage: Arc::new(storage),
            start: Start { config, geometry, have, seed: rng.u64(..), at: Moment::START },
            listeners: vec![listen::bind(LOOPBACK).context("listen on 127.0.0.1")?],
            dial_from: None,
            named: Vec::new(),
            names: self.names.clone(),
            rng,
            leave: false,
            clock: self.clock,
            reporter,
            record: self.record.as_ref().map(|file| file.of(Arc::clone(&member.name))),
            stop: self.stop.clone(),
        }))
    }

    /// Waits until all peers have every chunk, or one stops.
    fn wait(
        &self,
        completions: &Receiver<Arc<str>>,
        threads: &[thread::JoinHandle<Result<Ended>>],
    ) -> Ended {
        let mut missing = self.options.peers;
        while missing > 0 {
            if self.stop.is_stopped() || threads.iter().any(thread::JoinHandle::is_finished) {
                return Ended::Incomplete;
            }
            if let Ok(name) = completions.recv_timeout(LOOK_INTERVAL) {
                missing -= 1;
                let took = self.clock.now().since_start().as_secs_f64();
                let line = format_args!("{took:7.1} s  {name} has every chunk");
                self.bars.suspend(|| say(line));
            }
        }
        Ended::Complete
    }

    /// Reads every copy from the disk again, and checks it against the torrent.
    fn verify_copies(&self, members: &[Member]) -> Result<()> {
        for member in members.iter().filter(|member| member.number != SEED) {
            let check = || {
                let storage = Storage::for_seed(&self.metainfo, &self.copy_of(member))?;
                storage.check(&mut |_| ControlFlow::Continue(()))
            };
            check().with_context(|| format!("verify the copy of {}", member.name))?;
        }
        Ok(())
    }

    /// The seed sends at twice the limit, the peers at half to one and a half times of it, so that
    /// the choker has a difference to see.
    fn share_of(&self, member: &Member, limit: u64) -> u64 {
        let share = if member.number == SEED {
            limit.saturating_mul(2)
        } else {
            let (step, steps) = (member.number - 1, (self.options.peers - 1).max(1));
            limit / 2 + limit.saturating_mul(step.into()) / u64::from(steps)
        };
        share.max(1)
    }

    fn copy_of(&self, member: &Member) -> PathBuf {
        self.scratch.path().join(&*member.name)
    }
}

fn make_torrent(file: &Path, tracker: String) -> Result<Metainfo> {
    let options = CreateOptions { trackers: &[tracker], piece_length: CHUNK_SIZE, private: false };
    let torrent = torrent_file::create(file, &options, &mut |_| {})
        .with_context(|| format!("make a torrent of {}", file.display()))?;
    Metainfo::from_bytes(&torrent).context("read our own torrent")
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A member of the swarm.
struct Member {
    /// The peers count from 1.
    number: u16,
    name: Arc<str>,
    peer_id: PeerId,
}

const SEED: u16 = 0;

impl Member {
    fn new(number: u16, rng: &mut Rng) -> Self {
        let name = if number == SEED { "seed".to_owned() } else { format!("peer-{number}") };
        // The name stands in the peer id, so that the events and a capture show it too.
        let mut random = std::array::from_fn(|_| share::alphanumeric(rng));
        random[..name.len()].copy_from_slice(name.as_bytes());
        random[name.len()] = b'-';
        Self { number, name: name.into(), peer_id: PeerId::from_random(random) }
    }
}

/// A file of random bytes, so that no chunk is like another.
fn make_sample(dir: &Path, rng: &mut Rng) -> Result<PathBuf> {
    let path = dir.join(SAMPLE_NAME);
    let mut write = || {
        let mut file = BufWriter::new(File::create_new(&path)?);
        let mut bytes = vec![0; 64 * 1024];
        for _ in 0..SAMPLE_LENGTH / bytes.len() {
            rng.fill(&mut bytes);
            file.write_all(&bytes)?;
        }
        file.flush()
    };
    write().with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Starts a tracker, which ends with the process, and returns its URL.
fn start_tracker() -> Result<String> {
    let config = tracker::server::Config {
        addresses: vec![LOOPBACK.ip()],
        port: 0,
        interval: TRACKER_INTERVAL,
        ..tracker::server::Config::default()
    };
    let server = Server::bind(&config).context("start the tracker")?;
    let url = format!("http://127.0.0.1:{}/announce", server.port());
    let thread = thread::Builder::new().name("tracker".to_owned()).spawn(move || {
        if let Err(error) = server.run() {
            say(format_args!("the tracker failed: {error}"));
        }
    });
    thread.context("start the tracker's thread")?;
    Ok(url)
}
