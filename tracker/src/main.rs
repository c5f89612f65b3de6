//! The command `tracker`: reads the command line, serves until Ctrl-C.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program")]

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use log::LevelFilter;

use tracker::server::{Config, Server};

/// A BitTorrent tracker: tells the peers of a torrent about each other.
///
/// It answers announces and scrapes over HTTP and UDP on the same port. Its state is in memory
/// only and is lost when it stops.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE, after_long_help = EXAMPLE)]
struct Args {
    /// Address to listen on; may be repeated [default: all, IPv4 and IPv6]
    #[arg(long, value_name = "ADDR")]
    bind: Vec<IpAddr>,

    /// Port for HTTP and UDP; 0 chooses a free one
    #[arg(long, default_value_t = 6969)]
    port: u16,

    /// Time between two announces of a peer, from 1s to 7days
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_interval)]
    interval: Duration,

    /// Log each request
    #[arg(short, long)]
    verbose: bool,
}

const EXAMPLE: &str = "Example:
  tracker --bind 127.0.0.1 --interval 30s
  Its URL in a .torrent is then http://127.0.0.1:6969/announce or udp://127.0.0.1:6969/announce";

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let level = if args.verbose { LevelFilter::Debug } else { LevelFilter::Warn };
    env_logger::Builder::new().filter_level(level).init();

    let config = Config {
        addresses: args.bind,
        port: args.port,
        interval: args.interval,
        ..Config::default()
    };
    let server = Server::bind(&config)?;
    let stop = server.stop_handle();
    ctrlc::set_handler(move || stop.stop()).context("cannot watch for Ctrl-C")?;
    for address in server.local_addresses() {
        eprintln!("listening on {address}");
    }
    Ok(server.run()?)
}

fn parse_interval(text: &str) -> Result<Duration> {
    let interval = humantime::parse_duration(text)?;
    let seconds = 1..=u64::from(common::announce::MAX_INTERVAL);
    ensure!(seconds.contains(&interval.as_secs()), "must be between 1s and 7days");
    Ok(interval)
}
