//! The `peer` program: a BitTorrent peer for the command line.
//!
//! | File | What it holds |
//! |---|---|
//! | `options.rs` | the command line |
//! | `create.rs`, `show.rs`, `torrent_file.rs` | .torrent files |
//! | `session.rs` | `get` and `seed` |
//! | `swarm.rs` | `swarm`: all parts in one process |
//! | `reactor.rs`, `connection.rs`, `listen.rs` | the mio loop and its sockets |
//! | `storage`, `disk.rs` | files, and the thread that hashes and writes |
//! | `announcer` | the thread that talks to trackers |
//! | `report.rs` | what the user sees |
//! | `stop.rs` | Ctrl-C |

mod announcer;
mod connection;
mod create;
mod disk;
mod listen;
mod options;
mod reactor;
mod report;
mod session;
mod show;
mod stop;
mod storage;
mod swarm;
mod torrent_file;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use options::{Command, Options};
use reactor::Ended;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        .format_timestamp(None)
        .init();
    match run(&Options::parse()) {
        Ok(Ended::Complete) => ExitCode::SUCCESS,
        Ok(Ended::Incomplete) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            report::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// As shells say of a program that Ctrl-C ended: 128 and the number of the signal.
const INTERRUPTED: u8 = 130;

fn run(options: &Options) -> Result<Ended> {
    match &options.command {
        Command::Create(options) => create::run(options).map(|()| Ended::Complete),
        Command::Show(options) => show::run(options).map(|()| Ended::Complete),
        Command::Get(options) => session::get(options),
        Command::Seed(options) => session::seed(options),
        Command::Swarm(options) => swarm::run(options),
    }
}
