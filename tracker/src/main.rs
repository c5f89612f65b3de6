//! The command `tracker`: reads the command line, serves until Ctrl-C.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program")]

use std::io::{Write, stderr};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use log::LevelFilter;

use tracker::notices::MAX_PER_SECOND;
use tracker::server::{Config, Server};

/// A BitTorrent tracker: tells the peers of a torrent about each other.
///
/// It answers announces and scrapes over HTTP and UDP on the same port. Its state is in memory
/// only and is lost when it stops. A browser that opens its address sees the swarms. It prints which
/// peers join, complete and leave.
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

    /// Folder whose .torrent files peers can download from this tracker
    #[arg(long, value_name = "DIR")]
    torrents: Option<PathBuf>,

    /// Do not print which peers join, complete and leave
    #[arg(short, long)]
    quiet: bool,

    /// Log each request
    #[arg(short, long)]
    verbose: bool,
}

const EXAMPLE: &str = "Example:
  tracker --bind 127.0.0.1 --interval 30s
  Its URL in a .torrent is then http://127.0.0.1:6969/announce or udp://127.0.0.1:6969/announce
  With --torrents DIR, the file DIR/lecture.torrent is at http://127.0.0.1:6969/lecture.torrent";

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
        torrents: args.torrents,
        notices: if args.quiet { None } else { Some(start_printer()?) },
        ..Config::default()
    };
    let server = Server::bind(&config)?;
    let stop = server.stop_handle();
    ctrlc::set_handler(move || stop.stop()).context("cannot watch for Ctrl-C")?;
    for address in server.local_addresses() {
        print(&format!("listening on {address}"));
    }
    Ok(server.run()?)
}

/// Starts a thread that prints each line that it gets, and so can wait for a terminal that is
/// stopped. It ends with the process.
fn start_printer() -> Result<SyncSender<String>> {
    let (sender, lines) = sync_channel(MAX_PER_SECOND);
    let printer = move || lines.iter().for_each(|line: String| print(&line));
    thread::Builder::new().name("printer".into()).spawn(printer).context("start a thread")?;
    Ok(sender)
}

/// Prints a line on stderr. That it is closed is no reason to stop serving.
fn print(line: &str) {
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}

fn parse_interval(text: &str) -> Result<Duration> {
    let interval = humantime::parse_duration(text)?;
    let seconds = 1..=u64::from(common::announce::MAX_INTERVAL);
    ensure!(seconds.contains(&interval.as_secs()), "must be between 1s and 7days");
    Ok(interval)
}
