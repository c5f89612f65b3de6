//! The command line of `peer`. What students read here says "chunk" for a piece, as the book does.
//!
//! Values that no program could use are refused here, as usage errors.

mod simulate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytesize::ByteSize;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, value_parser};
use common::announce::is_dialable;
use common::geometry::{BLOCK_LENGTH, MAX_PIECE_LENGTH};
use peer::choker::{Entry, Strategy};
use peer::demo::Setup;
use peer::named::{Named, Table};
use peer::picker::{Choose, Order, SeedContinues, StrictPriority};

use crate::choker_program::{CommandLine, parse_timeout};
use crate::url::{self, Parts};
pub(crate) use simulate::{Entrant, Flags, Simulate, SwarmFile, Tournament, What};

/// A BitTorrent peer: shares files in chunks, rarest first, tit-for-tat.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLE: &str = "Example:
  peer swarm                  # a whole swarm on this machine, without any setup
  peer get hello.txt.torrent  # download, then share until Ctrl-C
  peer get --help             # all options of a command";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),
    Show(Show),
    Get(Get),
    Seed(Seed),
    Swarm(Swarm),
    Replay(Replay),
    Simulate(Simulate),
}

/// Make a .torrent of a file or a folder
///
/// Prints the info-hash, which identifies the swarm, and the name of the .torrent.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer create lecture.mp4 --tracker http://127.0.0.1:6969/announce")]
pub(crate) struct Create {
    /// File or folder to share
    pub(crate) path: PathBuf,

    /// URL of a tracker (http, https or udp); repeat it to add more, the preferred one first
    #[arg(long = "tracker", value_name = "URL", required = true, value_parser = parse_tracker)]
    pub(crate) trackers: Vec<String>,

    /// Name of the .torrent to write [default: NAME.torrent in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Size of a chunk, from 16KiB to 64MiB; some clients need a power of two
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = parse_chunk_size)]
    pub(crate) chunk_size: u32,

    /// Ask clients to find peers only through these trackers
    #[arg(long)]
    pub(crate) private: bool,
}

/// Show what is in a .torrent: its files, chunks and trackers
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer show --json lecture.mp4.torrent")]
pub(crate) struct Show {
    /// The .torrent file, or its URL (http or https)
    #[arg(value_name = "TORRENT")]
    pub(crate) file: PathBuf,

    /// Print JSON, for other programs to read
    #[arg(long)]
    pub(crate) json: bool,
}

/// Download, then share until Ctrl-C
///
/// Each chunk is verified with its hash in the .torrent. Chunks that an earlier run has downloaded
/// are verified too, and only the rest is downloaded. If nothing arrives for a few seconds, the
/// peer says what it waits for.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer get lecture.mp4.torrent --dir Downloads --download-limit 2MB")]
pub(crate) struct Get {
    /// The .torrent file, or its URL (http or https)
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: PathBuf,

    /// Folder to download to; it is created if it does not exist
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Exit as soon as the download is complete, without sharing it any longer
    #[arg(long)]
    pub(crate) leave: bool,

    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

/// Share a complete file or folder until Ctrl-C
///
/// Each chunk is verified first.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer seed lecture.mp4.torrent --dir Videos --upload-limit 500KB")]
pub(crate) struct Seed {
    /// The .torrent file, or its URL (http or https)
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: PathBuf,

    /// Folder that contains the file or folder to share
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

/// Run a whole swarm on this machine: a tracker, a seed, peers and a free rider
///
/// Shows what one peer decides and why, and at the end who gave, who got, and how long it took.
#[derive(Debug, Args)]
#[command(after_help = WHAT_IF)]
pub(crate) struct Swarm {
    /// File to share [default: a sample of random bytes]
    pub(crate) file: Option<PathBuf>,

    /// Number of peers that download it and upload as well, from 1 to 50
    #[arg(long, value_name = "N", default_value_t = Setup::default().peers)]
    #[arg(value_parser = value_parser!(u16).range(1..=50))]
    pub(crate) peers: u16,

    /// Number of peers that only download, from 0 to 10: what do they get?
    #[arg(long, value_name = "N", default_value_t = Setup::default().free_riders)]
    #[arg(value_parser = value_parser!(u16).range(0..=10))]
    pub(crate) free_riders: u16,

    /// Upload limit of the fastest peer in bytes per second, or `none` for no limits
    ///
    /// The other peers have less, in equal steps; the slowest peer and the seed have a fifth of it.
    #[arg(long, value_name = "RATE", default_value = "360KB")]
    pub(crate) upload_limit: Limit,

    /// Part of the chunks, drawn at random, that each peer begins with: from 0 to 90 percent
    ///
    /// With 0, all peers wait for the seed and finish together: the book's F/u_s. That takes
    /// minutes.
    #[arg(long, value_name = "PERCENT", default_value_t = Setup::default().head_start)]
    #[arg(value_parser = value_parser!(u8).range(0..=90))]
    pub(crate) head_start: u8,

    /// Size of a chunk, a power of two from 16KiB to 64MiB
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = parse_chunk_size)]
    pub(crate) chunk_size: u32,

    /// Name of the peer whose decisions are shown, such as peer-3, seed or rider-1
    #[arg(long, value_name = "NAME")]
    pub(crate) watch: Option<String>,

    #[command(flatten)]
    pub(crate) trading: Trading,

    #[command(flatten)]
    pub(crate) telling: Telling,
}

const WHAT_IF: &str = "What if (Kurose & Ross 2.5)
  --choker random     uploading did not pay?
  --free-riders 5     many peers only downloaded?
  --slots 0           no neighbor earned a slot by its rate?
  --optimistic none   no neighbor ever got a chance?
  --order random      no peer began with the rarest chunks?
  --head-start 0      all peers began with nothing?

Example:
  peer swarm --watch peer-16 --choker mainline --events decisions.jsonl";

impl Swarm {
    /// The members of the swarm.
    pub(crate) fn setup(&self) -> Setup {
        let Self { peers, free_riders, upload_limit, head_start, .. } = *self;
        Setup { peers, free_riders, upload_limit: upload_limit.0, head_start }
    }
}

/// Make the decisions of a recorded run again, and check that they are the same
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer swarm --record run.jsonl
  peer replay run.jsonl")]
pub(crate) struct Replay {
    /// File that `get`, `seed` or `swarm` wrote with --record
    pub(crate) record: PathBuf,

    /// Write the run to this folder as logs of the project CNT5106C, which `labs uf-logs` checks
    #[arg(long, value_name = "DIR")]
    pub(crate) uf_log: Option<PathBuf>,
}

/// The options that `get` and `seed` share.
#[derive(Debug, Args)]
pub(crate) struct Sharing {
    /// Address and port where other peers connect [default: the first free port from 6881, all
    /// addresses]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Peer to connect to, besides those that the tracker knows; may be repeated
    #[arg(long = "peer", value_name = "ADDR:PORT", value_parser = parse_peer)]
    pub(crate) peers: Vec<SocketAddr>,

    /// Most bytes to send per second, such as 500KB, or `none` for no limit
    #[arg(long, value_name = "RATE", default_value = "none")]
    pub(crate) upload_limit: Limit,

    /// Most bytes to receive per second, such as 2MiB, or `none` for no limit
    #[arg(long, value_name = "RATE", default_value = "none")]
    pub(crate) download_limit: Limit,

    /// Most peers to be connected to at a time, from 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 55)]
    #[arg(value_parser = value_parser!(u16).range(1..=1000))]
    pub(crate) max_neighbors: u16,

    #[command(flatten)]
    pub(crate) trading: Trading,

    #[command(flatten)]
    pub(crate) telling: Telling,
}

/// How peers trade chunks.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Trading")]
pub(crate) struct Trading {
    /// Algorithm that chooses which neighbors may download from us (are unchoked)
    #[arg(long, value_name = "NAME", default_value_t, value_parser = by_name::<Entry>())]
    pub(crate) choker: Strategy,

    /// Program that chooses in place of --choker, with its arguments: docs/write-a-choker.md
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["choker", "record"])]
    pub(crate) choker_cmd: Option<CommandLine>,

    /// How long the program may take to answer, from 1ms to 10s; else it loses the round
    #[arg(long, value_name = "TIME", default_value = "10ms", requires = "choker_cmd")]
    #[arg(value_parser = parse_timeout)]
    pub(crate) choker_cmd_timeout: Duration,

    /// Rule that chooses which chunk to begin next
    #[arg(long, value_name = "NAME", default_value_t, value_parser = by_name::<Choose>())]
    pub(crate) order: Order,

    /// Whether to finish the chunks in progress before beginning another
    #[arg(long, value_name = "NAME", default_value_t, value_parser = by_name::<SeedContinues>())]
    pub(crate) strict_priority: StrictPriority,

    /// How many neighbors may download from us at a time, from 0 to 100; some chokers add one
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = value_parser!(u16).range(0..=100))]
    pub(crate) slots: u16,

    /// Time until the choker chooses again, from 1s to 1h
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_period)]
    pub(crate) rechoke: Duration,

    /// Time until another neighbor is unchoked at random, from 1s to 1h, or `none` for never
    ///
    /// This is the optimistic unchoke. The time is rounded down to whole rounds of --rechoke.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) optimistic: Optimistic,

    /// Number that fixes the random choices; the timing still differs from run to run
    #[arg(long, value_name = "N")]
    pub(crate) rng_seed: Option<u64>,
}

/// Where the decisions are reported.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Telling {
    /// Write each decision with its reason to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,

    /// Write all that happens to the peer to this file, for `peer replay`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Print the decisions with their reasons; those that change nothing are left out
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Bytes a second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<u64>);

/// The time between two optimistic unchokes, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Optimistic(pub(crate) Option<Duration>);

impl FromStr for Optimistic {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self(None));
        }
        Ok(Self(Some(parse_period(text).context("must be `none` or a time from 1s to 1h")?)))
    }
}

/// Below this a block of 16 KiB takes longer than most neighbors wait.
const LOWEST_LIMIT: u64 = 1000;

impl FromStr for Limit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self(None));
        }
        let rate = parse_size(text)?;
        ensure!(rate >= LOWEST_LIMIT, "must be `none` or at least 1KB");
        Ok(Self(Some(rate)))
    }
}

fn by_name<T: Table + Send + Sync>() -> impl TypedValueParser<Value = Named<T>> {
    let rows = Named::<T>::ALL.iter().map(|row| PossibleValue::new(row.name).help(row.about));
    PossibleValuesParser::new(rows).try_map(|name| name.parse::<Named<T>>())
}

fn parse_size(text: &str) -> Result<u64> {
    let size: ByteSize =
        text.parse().map_err(|_| anyhow!("must be a size such as 500KB or 256KiB"))?;
    Ok(size.as_u64())
}

fn parse_chunk_size(text: &str) -> Result<u32> {
    let size = u32::try_from(parse_size(text)?).unwrap_or(u32::MAX);
    let bounds = BLOCK_LENGTH..=MAX_PIECE_LENGTH;
    ensure!(bounds.contains(&size), "must be between 16KiB and 64MiB");
    Ok(size)
}

fn parse_period(text: &str) -> Result<Duration> {
    let period = humantime::parse_duration(text)?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    ensure!(bounds.contains(&period), "must be between 1s and 1h");
    Ok(period)
}

fn parse_peer(text: &str) -> Result<SocketAddr> {
    let address = parse_address(text)?;
    ensure!(is_dialable(address), "not an address that can be dialed");
    Ok(address)
}

fn parse_address(text: &str) -> Result<SocketAddr> {
    const FORM: &str = "must be like 192.0.2.1:6881 or [2001:db8::1]:6881, with a port up to 65535";
    text.parse().context(FORM)
}

fn parse_tracker(text: &str) -> Result<String> {
    let Some(Parts { scheme, host, port }) = Parts::of(text) else {
        bail!("must be a URL such as http://127.0.0.1:6969/announce");
    };
    ensure!(!host.is_empty(), "missing host");
    ensure!(!text.contains(|c: char| c.is_control() || c.is_whitespace()), "contains a space");
    url::check_port(text)?;
    match (scheme, port) {
        ("udp", None) => bail!("missing port, which a udp URL needs"),
        ("http" | "https" | "udp", _) => Ok(text.to_owned()),
        _ => bail!("must begin with http://, https:// or udp://"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Options::try_parse_from(line.split(' ')).map(|options| options.command)
    }

    #[test]
    fn the_definitions_agree_with_each_other() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_book_and_bep_3() {
        let Ok(Command::Get(get)) = parse("peer get x.torrent") else { panic!("get") };
        let Sharing { listen, upload_limit, max_neighbors, trading, .. } = get.sharing;
        assert_eq!((listen, upload_limit, max_neighbors), (None, Limit(None), 55));
        assert_eq!((trading.choker.name, trading.order.name), ("textbook", "rarest-first"));
        assert_eq!(trading.strict_priority, StrictPriority::SEEDS);
        assert_eq!(trading.slots, 4);
        assert_eq!(trading.rechoke.as_secs(), 10);
        assert_eq!(trading.optimistic, Optimistic(Some(Duration::from_secs(30))));
        assert_eq!((get.dir, get.leave), (PathBuf::from("."), false));

        let Ok(Command::Create(create)) = parse("peer create x --tracker http://a/announce") else {
            panic!("create")
        };
        assert_eq!((create.chunk_size, create.private), (256 * 1024, false));
        let Ok(Command::Swarm(swarm)) = parse("peer swarm") else { panic!("swarm") };
        assert_eq!((swarm.setup(), swarm.watch), (Setup::default(), None));
    }

    #[test]
    fn the_help_of_every_command_ends_with_an_example() {
        let mut top = Options::command();
        top.build();
        let commands: Vec<_> = top.get_subcommands().cloned().collect();
        for mut command in commands.into_iter().filter(|c| c.get_name() != "help").chain([top]) {
            let help = command.render_long_help().to_string();
            let last = help.trim_end().rsplit("\n\n").next().unwrap();
            assert!(last.starts_with("Example:\n  peer "), "{help}");
            // The scenario has the name of what it shows in the literature.
            let help = help.replace("missing-piece", "");
            assert!(!help.contains("piece"), "students read \"chunk\": {help}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_usage_errors() {
        for line in [
            "get x --slots 101",
            "get x --choker-cmd a --choker-cmd-timeout 11s",
            "get x --max-neighbors 0",
            "get x --max-neighbors 1001",
            "get x --rechoke 999ms",
            "get x --optimistic 2h",
            "get x --upload-limit 0",
            "get x --upload-limit fast",
            "get x --peer 127.0.0.1:0",
            "get x --peer 127.0.0.1",
            "get x --listen 6881",
            "swarm --peers 0",
            "create x --tracker http://a --chunk-size 16383",
            "create x --tracker http://a --chunk-size 65MiB",
            "create x --tracker http://a --chunk-size 5GiB",
        ] {
            let error = parse(&format!("peer {line}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}: {error}");
        }
        let error = parse("peer seed x --choker kind").unwrap_err().to_string();
        assert!(error.contains("[possible values: textbook, mainline, "), "{error}");
        let error = parse("peer create x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        for line in ["get x --choker seed", "seed x --record y", "swarm --choker-cmd b"] {
            let error = parse(&format!("peer {line} --choker-cmd a")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line}");
        }
        assert!(parse("peer swarm --choker-cmd ./a --choker-cmd-timeout 1s").is_ok());
    }

    #[test]
    fn a_limit_is_a_size_or_none() {
        for (text, limit) in [
            ("none", None),
            ("1000", Some(1000)),
            ("500KB", Some(500_000)),
            ("2MiB", Some(2_097_152)),
        ] {
            assert_eq!(text.parse::<Limit>().unwrap(), Limit(limit));
        }
    }

    #[test]
    fn the_optimistic_unchoke_may_be_left_out() {
        let Ok(Command::Get(get)) = parse("peer get x --optimistic none") else { panic!("get") };
        assert_eq!(get.sharing.trading.optimistic, Optimistic(None));
    }

    #[test]
    fn a_tracker_is_a_url_that_a_peer_can_announce_to() {
        for good in [
            "http://127.0.0.1:6969/announce",
            "https://tracker.example/announce?passkey=1",
            "udp://[::1]:6969",
            "http://[::1]/announce",
        ] {
            assert_eq!(parse_tracker(good).unwrap(), good);
        }
        for (bad, error) in [
            ("127.0.0.1:6969", "must be a URL such as http://127.0.0.1:6969/announce"),
            ("ftp://host/announce", "must begin with http://, https:// or udp://"),
            ("http:///announce", "missing host"),
            ("udp://host/announce", "missing port, which a udp URL needs"),
            ("udp://[::1]/announce", "missing port, which a udp URL needs"),
            ("http://host:99999/", "invalid port 99999: must be a number from 1 to 65535"),
            ("udp://host:0", "invalid port 0: must be a number from 1 to 65535"),
            ("http://host:/", "invalid port : must be a number from 1 to 65535"),
            ("http://host/ann ounce", "contains a space"),
        ] {
            assert_eq!(parse_tracker(bad).unwrap_err().to_string(), error, "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_an_error_that_shows_the_form() {
        for option in ["--peer", "--listen"] {
            let line = format!("peer get x {option} 127.0.0.1:99999");
            let error = parse(&line).unwrap_err().to_string();
            let form = "must be like 192.0.2.1:6881 or [2001:db8::1]:6881, with a port up to 65535";
            assert!(error.contains(form), "{error}");
        }
    }
}
