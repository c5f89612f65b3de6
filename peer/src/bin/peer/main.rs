//! The `peer` program: a BitTorrent peer for the command line.
//!
//! | File | Its part |
//! |---|---|
//! | `options.rs` | the command line |
//! | `commands/` | what each command does |
//! | `node/` | the mio loop and its sockets |
//! | `listen.rs` | the sockets on which peers connect to us |
//! | `storage/`, `disk.rs` | files, and the thread that hashes and writes |
//! | `announcer/` | the thread that talks to trackers |
//! | `choker_program.rs` | the program of `--choker-cmd` |
//! | `digest.rs` | chunks in one line a round |
//! | `report.rs` | progress, decisions and events for the user; the record of a run |
//! | `waiting.rs` | what a peer without progress waits for |
//! | `url.rs` | what a URL says of the server |
//! | `io_error.rs` | errors of the network as words |
//! | `http_client/` | HTTP, for announces and .torrent files |
//! | `torrent_file.rs` | .torrent files |
//! | `stop.rs` | Ctrl-C and signals |

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks, files, threads and sockets are"
)]

mod announcer;
mod choker_program;
mod commands;
mod digest;
mod disk;
mod http_client;
mod io_error;
mod listen;
mod node;
mod options;
mod report;
mod stop;
mod storage;
mod torrent_file;
mod url;
mod waiting;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use commands::{create, replay, share, show, simulate, swarm};
use node::Ended;
use options::{Command, Options};

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        .format_timestamp(None)
        .init();
    match run(&Options::parse()) {
        Ok(Ended::Complete) => ExitCode::SUCCESS,
        Ok(Ended::Incomplete) => ExitCode::from(stop::exit_code()),
        Err(error) => {
            report::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Ended> {
    match &options.command {
        Command::Create(options) => create::run(options).map(|()| Ended::Complete),
        Command::Show(options) => show::run(options).map(|()| Ended::Complete),
        Command::Get(options) => share::get(options),
        Command::Seed(options) => share::seed(options),
        Command::Swarm(options) => swarm::run(options),
        Command::Replay(options) => replay::run(options).map(|()| Ended::Complete),
        Command::Simulate(options) => simulate::run(options),
    }
}
