//! `peer get` and `peer seed`: checks what is on the disk, then runs the peer.

#![allow(clippy::disallowed_methods, reason = "the shell is where the clock is read")]

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use common::bitfield::Bitfield;
use common::id::PeerId;
use common::message::Handshake;
use common::metainfo::Metainfo;
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use peer::torrent::{Config, Torrent};

use crate::listen;
use crate::options::{Get, Seed, Sharing, Trading};
use crate::reactor::{self, Ended};
use crate::report::{EventFile, Reporter, Verbosity, print_result, say};
use crate::stop::Stop;
use crate::storage::Storage;
use crate::torrent_file::read_torrent;

/// What a peer is run with, besides its torrent and its data.
pub(crate) struct Session {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) storage: Storage,
    pub(crate) have: Bitfield,
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) call_from: Option<IpAddr>,
    pub(crate) named: Vec<SocketAddr>,
    pub(crate) leave: bool,
    pub(crate) reporter: Reporter,
    pub(crate) stop: Stop,
}

/// `peer get`: downloads, then shares on until Ctrl-C or leaves at once.
pub(crate) fn get(options: &Get) -> Result<Ended> {
    let metainfo = Arc::new(read_torrent(&options.torrent)?);
    let stop = Stop::on_ctrl_c().context("listen for Ctrl-C")?;
    let storage = Storage::for_download(&metainfo, &options.dir)?;
    let Some(have) = check(&storage, &metainfo, &stop)? else { return Ok(Ended::Incomplete) };
    if !have.is_empty() {
        let (count, all) = (have.count(), have.piece_count());
        say(format_args!("{count} of {all} chunks are here already"));
    }
    if have.is_full() {
        print_result(storage.finish()?.display())?;
        if options.leave {
            return Ok(Ended::Complete);
        }
    }
    run(metainfo, storage, have, &options.sharing, options.leave, stop)
}

/// `peer seed`: shares data that is complete.
pub(crate) fn seed(options: &Seed) -> Result<Ended> {
    let metainfo = Arc::new(read_torrent(&options.torrent)?);
    let stop = Stop::on_ctrl_c().context("listen for Ctrl-C")?;
    let storage = Storage::for_seed(&metainfo, &options.dir)?;
    let Some(have) = check(&storage, &metainfo, &stop)? else { return Ok(Ended::Incomplete) };
    run(metainfo, storage, have, &options.sharing, false, stop)
}

/// Which chunks are on the disk; `None` if the user had no patience.
pub(crate) fn check(
    storage: &Storage,
    metainfo: &Metainfo,
    stop: &Stop,
) -> Result<Option<Bitfield>> {
    let bar = ProgressBar::new(metainfo.geometry.total_length());
    bar.set_style(
        ProgressStyle::with_template("checking {bar:30} {bytes} of {total_bytes}")
            .expect("a valid template"),
    );
    let have = storage.check(metainfo, &mut |done| {
        bar.set_position(done);
        if stop.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    have
}

fn run(
    metainfo: Arc<Metainfo>,
    storage: Storage,
    have: Bitfield,
    sharing: &Sharing,
    leave: bool,
    stop: Stop,
) -> Result<Ended> {
    let Sharing { trading, telling, .. } = sharing;
    let mut rng = trading.rng_seed.map_or_else(Rng::new, Rng::with_seed);
    // The peer id must differ from run to run, even if the decisions are to be the same.
    let mut anew = Rng::new();
    let peer_id = PeerId::from_random(std::array::from_fn(|_| alphanumeric(&mut anew)));
    let config = Config {
        upload_limit: sharing.upload_limit.0,
        download_limit: sharing.download_limit.0,
        max_neighbors: sharing.max_neighbors.into(),
        has_tracker: !metainfo.trackers.is_empty(),
        ..trading_config(trading, peer_id)
    };
    let verbosity = if telling.verbose { Verbosity::All } else { Verbosity::Quiet };
    let total = metainfo.geometry.total_length();
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let events = telling.events.as_deref().map(EventFile::create).transpose()?;
    let session = Session {
        reporter: Reporter::new(total, bar, verbosity, Instant::now()).with_events(events),
        listeners: listen::listen(sharing.listen)?,
        call_from: listen::call_from(sharing.listen),
        named: sharing.peers.clone(),
        rng: rng.fork(),
        metainfo,
        storage,
        have,
        config,
        leave,
        stop,
    };
    session.run()
}

/// A byte of a peer id that can be read in a log.
pub(crate) fn alphanumeric(rng: &mut Rng) -> u8 {
    u8::try_from(rng.alphanumeric()).expect("letters and digits are ASCII")
}

/// What the user chose of how to trade.
pub(crate) fn trading_config(trading: &Trading, peer_id: PeerId) -> Config {
    Config {
        choker: trading.choker,
        order: trading.order,
        slots: trading.slots.into(),
        rechoke: trading.rechoke,
        optimistic: trading.optimistic,
        ..Config::new(peer_id)
    }
}

impl Session {
    /// Runs the peer until it is told to stop, or is complete and is to leave then.
    pub(crate) fn run(mut self) -> Result<Ended> {
        let handshake = Handshake {
            reserved: [0; 8],
            info_hash: self.metainfo.info_hash,
            peer_id: self.config.peer_id,
        };
        let (geometry, seed) = (self.metainfo.geometry, self.rng.u64(..));
        let torrent = Torrent::new(self.config, geometry, self.have, seed, Instant::now());
        reactor::run(reactor::Setup {
            metainfo: self.metainfo,
            storage: Arc::new(self.storage),
            torrent,
            handshake,
            listeners: self.listeners,
            call_from: self.call_from,
            named: self.named,
            tracker_key: self.rng.u32(..),
            leave: self.leave,
            reporter: self.reporter,
            stop: self.stop,
        })
    }
}
