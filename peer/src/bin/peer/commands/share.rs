//! `peer get` and `peer seed`: checks what is on the disk, then runs the peer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use common::bitfield::Bitfield;
use common::id::PeerId;
use common::moment::Moment;
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use peer::demo::alphanumeric;
use peer::record::Start;
use peer::torrent::Config;

use crate::choker_program::{self, ChokerProgram};
use crate::listen;
use crate::node::{self, Clock, Ended, Session};
use crate::options::{Get, Seed, Sharing, Trading};
use crate::report::{EventFile, RecordFile, Reporter, Verbosity, print_result, say};
use crate::stop::Stop;
use crate::storage::Storage;
use crate::torrent_file::read_torrent;

/// `peer get`: downloads, then shares until Ctrl-C or leaves at once.
pub(crate) fn get(options: &Get) -> Result<Ended> {
    let metainfo = Arc::new(read_torrent(&options.torrent)?);
    let stop = Stop::on_ctrl_c().context("cannot listen for Ctrl-C")?;
    check_folder(&options.dir)?;
    let storage = Storage::for_download(&metainfo, &options.dir)?;
    let Some(have) = check(&storage, &stop)? else { return Ok(Ended::Incomplete) };
    if !have.is_empty() {
        let (count, all) = (have.count(), have.piece_count());
        say(format_args!("{count} of {all} chunks already on disk"));
    }
    if have.is_full() {
        print_result(storage.finish()?.display())?;
        if options.leave {
            return Ok(Ended::Complete);
        }
    }
    run(storage, have, &options.sharing, options.leave, stop)
}

/// `peer seed`: shares data that is complete.
pub(crate) fn seed(options: &Seed) -> Result<Ended> {
    let metainfo = Arc::new(read_torrent(&options.torrent)?);
    let stop = Stop::on_ctrl_c().context("cannot listen for Ctrl-C")?;
    check_folder(&options.dir)?;
    let storage = Storage::for_seed(&metainfo, &options.dir)?;
    let Some(have) = check(&storage, &stop)? else { return Ok(Ended::Incomplete) };
    run(storage, have, &options.sharing, false, stop)
}

/// `--dir` may not exist yet, but it must not be a file.
fn check_folder(dir: &Path) -> Result<()> {
    ensure!(!dir.is_file(), "cannot use --dir {}: it is a file, not a folder", dir.display());
    Ok(())
}

/// Which chunks are on the disk; `None` if the user interrupted the check.
pub(crate) fn check(storage: &Storage, stop: &Stop) -> Result<Option<Bitfield>> {
    let bar = ProgressBar::new(storage.metainfo.geometry.total_length());
    bar.set_style(
        ProgressStyle::with_template("checking {bar:30} {bytes} of {total_bytes}")
            .expect("a valid template"),
    );
    let have = storage.check(&mut |done| {
        bar.set_position(done);
        if stop.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    have
}

fn run(
    storage: Storage,
    have: Bitfield,
    sharing: &Sharing,
    leave: bool,
    stop: Stop,
) -> Result<Ended> {
    let Sharing { trading, telling, .. } = sharing;
    let mut rng = trading.rng_seed.map_or_else(Rng::new, Rng::with_seed);
    // The peer id must differ from run to run, even if the decisions are to be the same.
    let mut entropy = Rng::new();
    let peer_id = PeerId::from_random(std::array::from_fn(|_| alphanumeric(&mut entropy)));
    let config = Config {
        upload_limit: sharing.upload_limit.0,
        download_limit: sharing.download_limit.0,
        max_neighbors: sharing.max_neighbors.into(),
        has_tracker: !storage.metainfo.trackers.is_empty(),
        ..trading_config(trading, peer_id)
    };
    let verbosity = if telling.verbose { Verbosity::All } else { Verbosity::Quiet };
    let geometry = storage.metainfo.geometry;
    let total = geometry.total_length();
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let events = telling.events.as_deref().map(EventFile::create).transpose()?;
    let record = telling.record.as_deref().map(RecordFile::create).transpose()?;
    node::run(Session {
        storage: Arc::new(storage),
        start: Start { config, geometry, have, seed: rng.u64(..), at: Moment::START },
        choker: start_choker(trading, 1)?.pop(),
        listeners: listen::listen(sharing.listen)?,
        dial_from: listen::dial_from(sharing.listen),
        named: sharing.peers.clone(),
        names: BTreeMap::new(),
        rng,
        leave,
        clock: Clock::start(),
        reporter: Reporter::new(total, bar, verbosity, events),
        record,
        stop,
    })
}

/// The program of `--choker-cmd`, so many times; none without that option.
pub(crate) fn start_choker(trading: &Trading, count: usize) -> Result<Vec<ChokerProgram>> {
    let Trading { choker_cmd, choker_cmd_timeout, .. } = trading;
    choker_program::start_all(choker_cmd.as_ref(), *choker_cmd_timeout, count)
        .context("cannot use --choker-cmd")
}

/// The user's options for trading.
pub(crate) fn trading_config(trading: &Trading, peer_id: PeerId) -> Config {
    Config {
        choker: trading.choker,
        order: trading.order,
        strict_priority: trading.strict_priority,
        slots: trading.slots.into(),
        rechoke: trading.rechoke,
        optimistic: trading.optimistic.0,
        ..Config::new(peer_id)
    }
}
