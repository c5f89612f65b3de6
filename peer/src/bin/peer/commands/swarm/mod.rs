//! `peer swarm`: a tracker, a seed and some peers in this process, over real sockets on loopback.
//!
//! [`peer::demo`] says who takes part, and with what.
//!
//! | File | Its part |
//! |---|---|
//! | `mod.rs` | starts the members, waits for them, checks the copies |
//! | `board.rs` | how far each member is, on a few lines |
//! | `table.rs` | the table at the end |

mod board;
pub(super) mod table;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use common::metainfo::{CreateOptions, Metainfo};
use common::moment::Moment;
use fastrand::Rng;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use peer::demo::{Ledger, Member, Role, SAMPLE_LENGTH, Setup};
use peer::record::Start;
use peer::units::{rate, size};
use tempfile::TempDir;
use tracker::server::Server;

use super::share;
use crate::choker_program::ChokerProgram;
use crate::listen;
use crate::node::{self, Clock, Ended, Session};
use crate::options;
use crate::report::{EventFile, Part, RecordFile, Reporter, Verbosity, lock, print_result, say};
use crate::stop::Stop;
use crate::storage::Storage;
use crate::torrent_file;
use board::Board;

const SAMPLE_NAME: &str = "sample.bin";

/// How often to draw the board, and to see whether the swarm has finished.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Shares a file among peers on this machine; ends when all have it and every copy was checked.
pub(crate) fn run(options: &options::Swarm) -> Result<Ended> {
    let stop = Stop::on_ctrl_c().context("cannot listen for Ctrl-C")?;
    let scratch = tempfile::tempdir().context("cannot make a folder for the copies")?;
    let mut rng = options.trading.rng_seed.map_or_else(Rng::new, Rng::with_seed);
    let file = match &options.file {
        Some(file) => {
            file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?
        }
        None => make_sample(scratch.path(), &mut rng)?,
    };
    let tracker = bind_tracker()?;
    let metainfo = Arc::new(make_torrent(&file, &tracker, options.chunk_size)?);
    let setup = options.setup();
    let members = setup.members(&metainfo.geometry, &mut rng);
    let watched = watched(&members, options.watch.as_deref(), &setup)?;
    let swarm = Swarm {
        options,
        ledger: Arc::new(Mutex::new(Ledger::new(metainfo.geometry, members.clone()))),
        events: options.telling.events.as_deref().map(EventFile::create).transpose()?,
        record: options.telling.record.as_deref().map(RecordFile::create).transpose()?,
        bars: MultiProgress::new(),
        metainfo,
        watched,
        stop,
        file,
        scratch,
        members,
    };
    swarm.introduce(&setup);
    let Some(threads) = swarm.start(tracker, &mut rng)? else { return Ok(Ended::Incomplete) };
    let ended = swarm.wait(&threads);
    swarm.stop.stop();
    let results = threads.into_iter().map(|thread| {
        thread.join().unwrap_or_else(|_| Err(anyhow!("the thread of a peer panicked")))
    });
    // An error of one must not keep the others from being checked.
    let failed = results.collect::<Vec<_>>().into_iter().find_map(Result::err);
    if ended == Ended::Complete {
        swarm.verify_copies()?;
        print_result(table::text(&lock(&swarm.ledger)))?;
        let copies = swarm.members.len() - 1;
        print_result(format_args!("{copies} verified copies of {}", swarm.metainfo.name))?;
    }
    failed.map_or(Ok(ended), Err)
}

/// The place of the member whose decisions are shown.
fn watched(members: &[Member], name: Option<&str>, setup: &Setup) -> Result<usize> {
    let Some(name) = name else { return Ok(setup.watched().into()) };
    members.iter().position(|member| &*member.name == name).with_context(|| {
        let names: Vec<_> = members.iter().map(|member| &*member.name).collect();
        format!("cannot watch {name}: the members are {}", names.join(", "))
    })
}

struct Swarm<'a> {
    options: &'a options::Swarm,
    metainfo: Arc<Metainfo>,
    /// The seed first.
    members: Vec<Member>,
    /// The place of the member whose decisions are shown.
    watched: usize,
    ledger: Arc<Mutex<Ledger>>,
    events: Option<EventFile>,
    record: Option<RecordFile>,
    bars: MultiProgress,
    stop: Stop,
    /// The file that the seed has.
    file: PathBuf,
    /// The folder for the copies; it is removed at the end.
    scratch: TempDir,
}

impl Swarm<'_> {
    /// Says what is set up.
    fn introduce(&self, setup: &Setup) {
        let geometry = &self.metainfo.geometry;
        let limit = |limit: Option<u64>| {
            limit.map_or("without limit".to_owned(), |l| format!("at {}", rate(l)))
        };
        let has = match setup.head_start {
            0 => "nothing at first".to_owned(),
            percent => format!("{percent} % of the chunks at first, drawn at random"),
        };
        let uploads = match (setup.slowest(), setup.upload_limit) {
            (Some(slowest), Some(fastest)) if setup.peers > 1 => {
                format!("at {} to {}", rate(slowest), rate(fastest))
            }
            (_, fastest) => limit(fastest),
        };
        let mut lines = vec![
            format!(
                "{}: {} in {} chunks, shared through a tracker by",
                self.metainfo.name,
                size(geometry.total_length()),
                geometry.piece_count(),
            ),
            format!("  seed, which has every chunk and uploads {}", limit(setup.slowest())),
            format!("  {}, which upload {uploads}", names("peer", setup.peers)),
        ];
        if setup.free_riders > 0 {
            lines.push(format!("  {}, which only downloads", names("rider", setup.free_riders)));
        }
        lines.push(format!("All but the seed have {has}."));
        let watched = &self.members[self.watched].name;
        lines.push(format!("The decisions of {watched} (others: --watch NAME; all of them: -v):"));
        lines.iter().for_each(say);
    }

    /// Starts a thread for each member, and one for the tracker. `None` if the user interrupted it.
    fn start(
        &self,
        tracker: Server,
        rng: &mut Rng,
    ) -> Result<Option<Vec<JoinHandle<Result<Ended>>>>> {
        let mut prepared = Vec::new();
        for member in &self.members {
            let Some(storage) = self.storage(member)? else { return Ok(None) };
            let listener = listen::bind(LOOPBACK).context("cannot listen on 127.0.0.1")?;
            prepared.push((member, storage, listener));
        }
        let trading = self.members.iter().filter(|member| member.role != Role::FreeRider);
        let mut chokers = share::start_choker(&self.options.trading, trading.count())?.into_iter();
        start_tracker(tracker)?;
        let clock = Clock::start();
        let sessions = prepared.into_iter().map(|(member, storage, listener)| {
            let rides = member.role == Role::FreeRider;
            let choker = if rides { None } else { chokers.next() };
            self.session(member, storage, choker, listener, clock, rng.fork())
        });
        let threads = sessions.collect::<Vec<_>>().into_iter().map(|(name, session)| {
            thread::Builder::new().name(name).spawn(move || node::run(session))
        });
        threads.collect::<Result<_, _>>().map(Some).context("cannot start the thread of a peer")
    }

    /// The files of a member, with the chunks that it begins with.
    fn storage(&self, member: &Member) -> Result<Option<Storage>> {
        let folder = self.file.parent().context("cannot share a file that is in no folder")?;
        let original = Storage::for_seed(&self.metainfo, folder)?;
        if member.role == Role::Seed {
            return Ok(Some(original));
        }
        let copy = Storage::for_download(&self.metainfo, &self.copy_of(member))?;
        let mut chunk = Vec::new();
        for piece in member.have.iter() {
            if self.stop.is_stopped() {
                return Ok(None);
            }
            let block = self.metainfo.geometry.whole_piece(piece);
            chunk.resize(block.length() as usize, 0);
            original.read(block, &mut chunk)?;
            copy.write(block, &[&chunk])?;
        }
        Ok(Some(copy))
    }

    fn session(
        &self,
        member: &Member,
        storage: Storage,
        choker: Option<ChokerProgram>,
        listener: TcpListener,
        clock: Clock,
        mut rng: Rng,
    ) -> (String, Session) {
        let is_watched = *member.name == *self.members[self.watched].name;
        let verbosity = match (is_watched, self.options.telling.verbose) {
            (true, false) => Verbosity::Choking,
            (true, true) => Verbosity::All,
            (false, _) => Verbosity::Quiet,
        };
        let bar = if is_watched {
            self.bars.add(ProgressBar::new(0))
        } else {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        };
        let geometry = self.metainfo.geometry;
        let part = Part {
            own: Arc::clone(&member.name),
            peer_id: member.peer_id,
            ledger: Arc::clone(&self.ledger),
        };
        let common = share::trading_config(&self.options.trading, member.peer_id);
        let session = Session {
            storage: Arc::new(storage),
            start: Start {
                config: member.config(&common),
                geometry,
                have: member.have.clone(),
                seed: rng.u64(..),
                at: Moment::START,
            },
            choker,
            listeners: vec![listener],
            dial_from: None,
            named: Vec::new(),
            names: self.members.iter().map(|m| (m.peer_id, Arc::clone(&m.name))).collect(),
            rng,
            leave: false,
            clock,
            reporter: Reporter::new(geometry.total_length(), bar, verbosity, self.events.clone())
                .in_swarm(part),
            record: self.record.as_ref().map(|file| file.of(Arc::clone(&member.name))),
            stop: self.stop.clone(),
        };
        (member.name.to_string(), session)
    }

    /// Waits until all peers have every chunk, or one stops.
    fn wait(&self, threads: &[JoinHandle<Result<Ended>>]) -> Ended {
        let mut board = Board::new(&self.bars);
        let ended = loop {
            let unfinished = {
                let ledger = lock(&self.ledger);
                board.draw(&ledger);
                ledger.unfinished()
            };
            if unfinished == 0 {
                break Ended::Complete;
            }
            if self.stop.is_stopped() || threads.iter().any(JoinHandle::is_finished) {
                break Ended::Incomplete;
            }
            thread::sleep(LOOK_INTERVAL);
        };
        board.end();
        ended
    }

    /// Reads every copy from the disk again, and checks it against the torrent.
    fn verify_copies(&self) -> Result<()> {
        for member in self.members.iter().filter(|member| member.role != Role::Seed) {
            let check = || {
                let storage = Storage::for_seed(&self.metainfo, &self.copy_of(member))?;
                storage.check(&mut |_| ControlFlow::Continue(()))
            };
            check().with_context(|| format!("cannot verify the copy of {}", member.name))?;
        }
        Ok(())
    }

    fn copy_of(&self, member: &Member) -> PathBuf {
        self.scratch.path().join(&*member.name)
    }
}

/// `peer-1 to peer-16`.
fn names(what: &str, count: u16) -> String {
    if count == 1 { format!("{what}-1") } else { format!("{what}-1 to {what}-{count}") }
}

fn make_torrent(file: &Path, tracker: &Server, piece_length: u32) -> Result<Metainfo> {
    let tracker = format!("http://127.0.0.1:{}/announce", tracker.port());
    let options = CreateOptions { trackers: &[tracker], piece_length, private: false };
    let torrent = torrent_file::create(file, &options, &mut |_| {})
        .with_context(|| format!("cannot make a .torrent of {}", file.display()))?;
    Metainfo::from_bytes(&torrent).context("cannot read our own .torrent")
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A file of random bytes, so that no chunk is like another.
fn make_sample(dir: &Path, rng: &mut Rng) -> Result<PathBuf> {
    let path = dir.join(SAMPLE_NAME);
    let mut write = || {
        let mut file = BufWriter::new(File::create_new(&path)?);
        let mut bytes = vec![0; 64 * 1024];
        for _ in 0..SAMPLE_LENGTH / bytes.len() as u64 {
            rng.fill(&mut bytes);
            file.write_all(&bytes)?;
        }
        file.flush()
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn bind_tracker() -> Result<Server> {
    let config = tracker::server::Config {
        addresses: vec![LOOPBACK.ip()],
        port: 0,
        ..tracker::server::Config::default()
    };
    Server::bind(&config).context("cannot start the tracker")
}

/// Starts the tracker, which ends with the process.
fn start_tracker(tracker: Server) -> Result<()> {
    let run = move || {
        if let Err(error) = tracker.run() {
            say(format_args!("the tracker failed: {error}"));
        }
    };
    let thread = thread::Builder::new().name("tracker".to_owned()).spawn(run);
    thread.map(drop).context("cannot start the tracker's thread")
}
