//! `peer swarm`: a tracker, a seed and some peers in this process, over real sockets on loopback.

#![allow(clippy::disallowed_methods, reason = "the shell is where the clock is read")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use common::id::PeerId;
use common::metainfo::{CreateOptions, Metainfo, create};
use fastrand::Rng;
use indicatif::{MultiProgress, ProgressBar};
use peer::torrent::Config;
use tempfile::TempDir;
use tracker::server::Server;

use crate::listen;
use crate::options;
use crate::reactor::Ended;
use crate::report::{EventFile, Names, Reporter, Verbosity, print_result, say, size};
use crate::session::{self, Session};
use crate::stop::Stop;
use crate::storage::Storage;

/// The sample: 128 chunks. With the default limit it takes five peers the better part of a
/// minute, and so several rounds.
const SAMPLE_LENGTH: usize = 32 * 1024 * 1024;
const SAMPLE_NAME: &str = "sample.bin";

/// K&R 2.5: a chunk has 256 KiB.
const CHUNK_SIZE: u32 = 256 * 1024;

/// Soon enough for peers to hear of those who came after them.
const TRACKER_INTERVAL: Duration = Duration::from_secs(10);

/// How often is looked whether a peer gave up.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Shares a file among peers on this machine; ends when all have it and every copy was checked.
pub(crate) fn run(options: &options::Swarm) -> Result<Ended> {
    let start = Instant::now();
    let stop = Stop::on_ctrl_c().context("listen for Ctrl-C")?;
    let scratch = tempfile::tempdir().context("make a folder for the copies")?;
    let mut rng = options.trading.rng_seed.map_or_else(Rng::new, Rng::with_seed);
    let file = match &options.file {
        Some(file) => file.canonicalize().with_context(|| format!("find {}", file.display()))?,
        None => make_sample(scratch.path(), &mut rng)?,
    };
    let (tracker, url) = start_tracker()?;
    let (completed, completions) = mpsc::channel();
    let members = Member::all(options.peers, &mut rng);
    let name_of = |member: &Member| (member.peer_id.to_string(), member.name.clone());
    let mut swarm = Swarm {
        options,
        metainfo: Arc::new(make_torrent(&file, url)?),
        names: members.iter().map(name_of).collect(),
        events: options.telling.events.as_deref().map(EventFile::create).transpose()?,
        bars: MultiProgress::new(),
        start,
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
        let thread = thread::Builder::new().name(member.name.clone());
        threads.push(thread.spawn(move || session.run()).context("start a peer's thread")?);
    }
    let ended = swarm.wait(&completions, &threads);
    swarm.stop.stop();
    for thread in threads {
        thread.join().unwrap_or_else(|_| bail!("a peer's thread panicked"))?;
    }
    tracker.stop();
    if ended == Ended::Complete {
        swarm.verify_copies(&members)?;
        print_result(format_args!(
            "{} verified copies of {} in {:.1} s",
            options.peers,
            swarm.metainfo.name,
            start.elapsed().as_secs_f64()
        ))?;
    }
    Ok(ended)
}

/// What all who take part have in common.
struct Swarm<'a> {
    options: &'a options::Swarm,
    metainfo: Arc<Metainfo>,
    /// By peer id.
    names: BTreeMap<String, String>,
    events: Option<EventFile>,
    bars: MultiProgress,
    start: Instant,
    stop: Stop,
    /// What the seed has.
    file: PathBuf,
    /// Where the copies go; it is removed in the end.
    scratch: TempDir,
    /// Each says its name here when it has every chunk.
    completed: Sender<String>,
    rng: Rng,
}

impl Swarm<'_> {
    /// One of the peers, ready to run; `None` if the user had no patience.
    fn session(&mut self, member: &Member) -> Result<Option<Session>> {
        let storage = match member.role {
            Role::Seed => {
                let folder = self.file.parent().context("the file is in no folder")?;
                Storage::for_seed(&self.metainfo, folder)?
            }
            Role::Peer { .. } => Storage::for_download(&self.metainfo, &self.copy_of(member))?,
        };
        let Some(have) = session::check(&storage, &self.metainfo, &self.stop)? else {
            return Ok(None);
        };
        let config = Config {
            upload_limit: self.options.upload_limit.0.map(|limit| member.share_of(limit)),
            ..session::trading_config(&self.options.trading, member.peer_id)
        };
        let verbosity = match (member.role, self.options.telling.verbose) {
            (Role::Peer { number: 1 }, false) => Verbosity::Choices,
            (Role::Peer { number: 1 }, true) => Verbosity::All,
            (Role::Seed | Role::Peer { .. }, _) => Verbosity::Quiet,
        };
        let bar = self.bars.add(ProgressBar::new(0));
        let total = self.metainfo.geometry.total_length();
        Ok(Some(Session {
            reporter: Reporter::new(total, bar, verbosity, self.start)
                .with_events(self.events.clone())
                .with_names(Names::new(member.name.clone(), self.names.clone()))
                .with_completed(self.completed.clone()),
            listeners: vec![listen::bind(LOOPBACK).context("listen on 127.0.0.1")?],
            call_from: None,
            named: Vec::new(),
            rng: self.rng.fork(),
            metainfo: Arc::clone(&self.metainfo),
            storage,
            have,
            config,
            leave: false,
            stop: self.stop.clone(),
        }))
    }

    /// Waits until all have it, or somebody stops.
    fn wait(
        &self,
        completions: &Receiver<String>,
        threads: &[thread::JoinHandle<Result<Ended>>],
    ) -> Ended {
        let mut missing = self.options.peers;
        while missing > 0 {
            if self.stop.is_stopped() || threads.iter().any(thread::JoinHandle::is_finished) {
                return Ended::Incomplete;
            }
            if let Ok(name) = completions.recv_timeout(LOOK_INTERVAL) {
                missing -= 1;
                let took = self.start.elapsed().as_secs_f64();
                let line = format_args!("{took:7.1} s  {name} has every chunk");
                self.bars.suspend(|| say(line));
            }
        }
        Ended::Complete
    }

    /// Reads every copy from the disk again, and checks it against the torrent.
    fn verify_copies(&self, members: &[Member]) -> Result<()> {
        for member in members.iter().filter(|member| matches!(member.role, Role::Peer { .. })) {
            let check = || {
                let storage = Storage::for_seed(&self.metainfo, &self.copy_of(member))?;
                storage.check(&self.metainfo, &mut |_| ControlFlow::Continue(()))
            };
            check().with_context(|| format!("verify the copy of {}", member.name))?;
        }
        Ok(())
    }

    fn copy_of(&self, member: &Member) -> PathBuf {
        self.scratch.path().join(&member.name)
    }
}

fn make_torrent(file: &Path, tracker: String) -> Result<Metainfo> {
    let options = CreateOptions { trackers: &[tracker], piece_length: CHUNK_SIZE, private: false };
    let torrent = create(file, &options, &mut |_| {})
        .with_context(|| format!("make a torrent of {}", file.display()))?;
    Metainfo::from_bytes(&torrent).context("read our own torrent")
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// One of those who take part.
struct Member {
    name: String,
    peer_id: PeerId,
    role: Role,
    of: u16,
}

#[derive(Clone, Copy)]
enum Role {
    Seed,
    /// Counts from 1.
    Peer {
        number: u16,
    },
}

impl Member {
    fn all(peers: u16, rng: &mut Rng) -> Vec<Self> {
        let with_role = |role| {
            let name = match role {
                Role::Seed => "seed".to_owned(),
                Role::Peer { number } => format!("peer-{number}"),
            };
            // The name stands in the peer id, so that the events and a capture show it too.
            let mut random = std::array::from_fn(|_| session::alphanumeric(rng));
            random[..name.len()].copy_from_slice(name.as_bytes());
            random[name.len()] = b'-';
            Self { name, peer_id: PeerId::from_random(random), role, of: peers }
        };
        let roles =
            std::iter::once(Role::Seed).chain((1..=peers).map(|number| Role::Peer { number }));
        roles.map(with_role).collect()
    }

    /// The seed sends at twice the limit, the peers at half to one and a half times of it, so that
    /// the choker has a difference to see.
    fn share_of(&self, limit: u64) -> u64 {
        match self.role {
            Role::Seed => limit.saturating_mul(2),
            Role::Peer { number } => {
                let steps = (self.of - 1).max(1);
                limit / 2 + limit.saturating_mul(u64::from(number - 1)) / u64::from(steps)
            }
        }
        .max(1)
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

/// A tracker on a thread of its own.
struct TrackerThread {
    stop: tracker::server::StopHandle,
    thread: thread::JoinHandle<()>,
}

fn start_tracker() -> Result<(TrackerThread, String)> {
    let config = tracker::server::Config {
        addresses: vec![LOOPBACK.ip()],
        port: 0,
        interval: TRACKER_INTERVAL,
        ..tracker::server::Config::default()
    };
    let server = Server::bind(&config).context("start the tracker")?;
    let url = format!("http://127.0.0.1:{}/announce", server.port());
    let stop = server.stop_handle();
    let thread = thread::Builder::new().name("tracker".to_owned()).spawn(move || {
        if let Err(error) = server.run() {
            say(format_args!("the tracker failed: {error}"));
        }
    });
    let thread = thread.context("start the tracker's thread")?;
    Ok((TrackerThread { stop, thread }, url))
}

impl TrackerThread {
    fn stop(self) {
        self.stop.stop();
        if self.thread.join().is_err() {
            log::error!("the tracker's thread panicked");
        }
    }
}
