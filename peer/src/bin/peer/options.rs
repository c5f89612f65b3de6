//! The command line of `peer`. What students read here says "chunk" for a piece, as the book does.
//!
//! What no program could make sense of is refused here, as a usage error.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, value_parser};
use common::announce::is_dialable;
use common::geometry::{BLOCK_LENGTH, MAX_PIECE_LENGTH};
use peer::choker::Strategy;
use peer::picker::Order;

/// A BitTorrent peer: shares files in chunks, rarest first, tit-for-tat.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLE: &str = "Example:
  peer swarm                  # a whole swarm on this machine, nothing to set up
  peer get hello.txt.torrent  # download, then share until Ctrl-C
  peer get --help             # all the options of one command";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),
    Show(Show),
    Get(Get),
    Seed(Seed),
    Swarm(Swarm),
}

/// Make a .torrent of a file or a folder
///
/// Prints its info-hash, which names the swarm, and the file that it wrote.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer create lecture.mp4 --tracker http://127.0.0.1:6969/announce")]
pub(crate) struct Create {
    /// The file or the folder to share
    pub(crate) path: PathBuf,

    /// Where the peers meet: an http, https or udp URL; can be given several times, best first
    #[arg(long = "tracker", value_name = "URL", required = true, value_parser = parse_tracker)]
    pub(crate) trackers: Vec<String>,

    /// The file to write [default: NAME.torrent in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Bytes of a chunk, from 16KiB to 64MiB; best a power of two, for some clients take no other
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = parse_chunk_size)]
    pub(crate) chunk_size: u32,

    /// Peers are to be learnt from the trackers only
    #[arg(long)]
    pub(crate) private: bool,
}

/// Show what a .torrent says
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer show --json lecture.mp4.torrent")]
pub(crate) struct Show {
    /// The .torrent
    pub(crate) file: PathBuf,

    /// For programs: as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Download, checking every chunk; then share until Ctrl-C
///
/// What an earlier run left is checked and taken up again.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer get lecture.mp4.torrent --dir Downloads --download-limit 2MB")]
pub(crate) struct Get {
    /// The .torrent
    pub(crate) torrent: PathBuf,

    /// Where to put the file or the folder
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Leave as soon as all is here, as a selfish peer does
    #[arg(long)]
    pub(crate) leave: bool,

    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

/// Share what is complete until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer seed lecture.mp4.torrent --dir Videos --upload-limit 500KB")]
pub(crate) struct Seed {
    /// The .torrent
    pub(crate) torrent: PathBuf,

    /// Where the file or the folder is
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

/// Watch a whole swarm on this machine: a tracker, a seed and some peers
#[derive(Debug, Args)]
#[command(after_help = "Example:
  peer swarm --peers 8 --choker mainline --rechoke 5s")]
pub(crate) struct Swarm {
    /// What to share [default: a sample made for it]
    pub(crate) file: Option<PathBuf>,

    /// How many peers download it, from 1 to 50
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = value_parser!(u16).range(1..=50))]
    pub(crate) peers: u16,

    /// Bytes a second that each peer sends at most; `none` for no limit
    #[arg(long, value_name = "RATE", default_value = "600KB")]
    pub(crate) upload_limit: Limit,

    #[command(flatten)]
    pub(crate) trading: Trading,

    #[command(flatten)]
    pub(crate) telling: Telling,
}

/// What `get` and `seed` have in common.
#[derive(Debug, Args)]
pub(crate) struct Sharing {
    /// Where to accept peers [default: the first free port of 6881 to 6889 on all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// A neighbour to call without a tracker; can be given several times
    #[arg(long = "peer", value_name = "ADDR:PORT", value_parser = parse_peer)]
    pub(crate) peers: Vec<SocketAddr>,

    /// Bytes a second to send at most, such as 500KB; `none` for no limit
    #[arg(long, value_name = "RATE", default_value = "none")]
    pub(crate) upload_limit: Limit,

    /// Bytes a second to receive at most, such as 2MiB; `none` for no limit
    #[arg(long, value_name = "RATE", default_value = "none")]
    pub(crate) download_limit: Limit,

    /// Neighbours at a time, from 1 to 1000
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
    /// Who may download from us
    #[arg(long, value_name = "NAME", default_value_t, value_parser = strategies())]
    pub(crate) choker: Strategy,

    /// Which chunk is next
    #[arg(long, value_name = "NAME", default_value_t, value_parser = orders())]
    pub(crate) order: Order,

    /// How many neighbours may download because they are the fastest, from 1 to 100
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = value_parser!(u16).range(1..=100))]
    pub(crate) slots: u16,

    /// How often the fastest are chosen anew, from 1s to 1h
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_period)]
    pub(crate) rechoke: Duration,

    /// How often chance chooses one more, from 1s to 1h, in whole rounds of --rechoke
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_period)]
    pub(crate) optimistic: Duration,

    /// Let the chance in the decisions come from this number; time and network add their own
    #[arg(long, value_name = "N")]
    pub(crate) rng_seed: Option<u64>,
}

/// What is said about the decisions.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Explaining")]
pub(crate) struct Telling {
    /// Write each decision with its reason to this file, as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,

    /// Print each decision with its reason
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Bytes a second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<u64>);

/// Below this a block of 16 KiB takes longer than most neighbours wait.
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

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => write!(f, "{}/s", ByteSize(rate).display().si()),
            None => f.write_str("none"),
        }
    }
}

fn strategies() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(["textbook", "mainline"]).try_map(|name| name.parse::<Strategy>())
}

fn orders() -> impl TypedValueParser<Value = Order> {
    PossibleValuesParser::new(["rarest-first", "random", "in-order"])
        .try_map(|name| name.parse::<Order>())
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
    let address = text.parse().context("must be like 192.0.2.1:6881 or [2001:db8::1]:6881")?;
    ensure!(is_dialable(address), "nobody can be reached there");
    Ok(address)
}

fn parse_tracker(text: &str) -> Result<String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        bail!("must be a URL such as http://127.0.0.1:6969/announce");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port: Option<u16> =
        port.map(str::parse).transpose().map_err(|_| anyhow!("has a port that is none"))?;
    ensure!(!host.is_empty(), "names no host");
    ensure!(!text.contains(|c: char| c.is_control() || c.is_whitespace()), "has a space in it");
    match (scheme, port) {
        (_, Some(0)) => bail!("has a port that is none"),
        ("udp", None) => bail!("names no port, which a udp URL must"),
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
        assert_eq!((trading.choker, trading.order), (Strategy::Textbook, Order::RarestFirst));
        assert_eq!(trading.slots, 4);
        assert_eq!((trading.rechoke.as_secs(), trading.optimistic.as_secs()), (10, 30));
        assert_eq!((get.dir, get.leave), (PathBuf::from("."), false));

        let Ok(Command::Create(create)) = parse("peer create x --tracker http://a/announce") else {
            panic!("create")
        };
        assert_eq!((create.chunk_size, create.private), (256 * 1024, false));
        let Ok(Command::Swarm(swarm)) = parse("peer swarm") else { panic!("swarm") };
        assert_eq!((swarm.peers, swarm.upload_limit), (5, Limit(Some(600_000))));
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
            assert!(!help.contains("piece"), "students read \"chunk\": {help}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_usage_errors() {
        for line in [
            "get x --slots 0",
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
        assert!(error.contains("[possible values: textbook, mainline]"), "{error}");
        let error = parse("peer create x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn a_limit_is_a_size_or_none() {
        for (text, limit, shown) in [
            ("none", None, "none"),
            ("1000", Some(1000), "1.0 kB/s"),
            ("500KB", Some(500_000), "500.0 kB/s"),
            ("2MiB", Some(2_097_152), "2.1 MB/s"),
        ] {
            let parsed: Limit = text.parse().unwrap();
            assert_eq!((parsed, parsed.to_string()), (Limit(limit), shown.to_owned()));
        }
    }

    #[test]
    fn a_tracker_is_a_url_that_somebody_can_announce_to() {
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
            ("http:///announce", "names no host"),
            ("udp://host/announce", "names no port, which a udp URL must"),
            ("udp://[::1]/announce", "names no port, which a udp URL must"),
            ("http://host:99999/", "has a port that is none"),
            ("udp://host:0", "has a port that is none"),
            ("http://host/ann ounce", "has a space in it"),
        ] {
            assert_eq!(parse_tracker(bad).unwrap_err().to_string(), error, "{bad}");
        }
    }
}
