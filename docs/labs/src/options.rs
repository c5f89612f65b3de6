//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::lab::{self, Lab};
use crate::relay::Link;

/// Grade the labs that go with Kurose & Ross, chapter 2
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLE: &str = "Example: labs check datagrams --program 'python3 my_datagrams.py'";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the labs with their points
    List,
    /// Run a program through the checks of a lab
    Check(Check),
    /// Print what a student's answers are compared with
    Key(Key),
    /// Echo UDP datagrams through a link that loses, delays and duplicates them
    Relay(Relay),
    /// Write what a small swarm sends to a file for Wireshark (lab 4)
    Capture(Capture),
    /// Write an autograder for Gradescope
    Bundle(Bundle),
    /// Print the reports of a class as a table
    Table(Table),
    /// Check the logs of a run of the CNT5106C project (`peerProcess`)
    UfLogs(UfLogs),
}

/// The options of `labs check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_NOTES)]
pub(crate) struct Check {
    /// Name or number of the lab
    #[arg(value_name = "NAME", value_parser = lab::find)]
    pub(crate) lab: &'static Lab,
    /// Command that starts the program, with its arguments; quote it as in a shell
    #[arg(long, value_name = "CMD", conflicts_with = "answers")]
    pub(crate) program: Option<String>,
    /// File of answers, for labs without a program
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
    /// Seed of the texts that the checks send; any string
    #[arg(long, value_name = "ID", default_value = "practice")]
    pub(crate) student: String,
    /// Run only the check with this id; may be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) only: Vec<String>,
    /// Format of the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Write the report to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Exit with 1 if a point is missing
    #[arg(long)]
    pub(crate) strict: bool,
}

const CHECK_NOTES: &str = "\
The program runs in an empty folder that is removed afterwards. Words of CMD that name a file are
looked up in the current folder. On Windows, write paths with forward slashes.

Exit codes: 0 graded, whatever the points; 1 a point is missing, with --strict; 2 not graded.

Example: labs check datagrams --program 'python3 my_datagrams.py' --only unicode";

/// The options of `labs key`.
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// Name or number of the lab
    #[arg(value_name = "NAME", value_parser = lab::find)]
    pub(crate) lab: &'static Lab,
    /// The student's ID
    #[arg(long, value_name = "ID")]
    pub(crate) student: String,
}

/// The options of `labs bundle`.
#[derive(Debug, Args)]
#[command(after_help = BUNDLE_NOTES)]
pub(crate) struct Bundle {
    /// Name or number of the lab
    #[arg(value_name = "NAME", value_parser = lab::find)]
    pub(crate) lab: &'static Lab,
    /// Zip file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Command that starts a submission's program, in the folder of the submission [default:
    /// ./student.sh if there is one, else python3 with the only .py file]
    #[arg(long, value_name = "CMD")]
    pub(crate) program: Option<String>,
}

const BUNDLE_NOTES: &str = "\
The bundle holds this program as built. A statically linked one runs in any image:
RUSTFLAGS='-C target-feature=+crt-static' cargo build --release -p labs -p peer \\
    --target x86_64-unknown-linux-gnu

Example: labs bundle bencode -o bencode.zip";

/// The options of `labs capture`.
#[derive(Debug, Args)]
#[command(after_help = "Example: labs capture --student alice -o alice.pcapng")]
pub(crate) struct Capture {
    /// The swarm is that of this ID
    #[arg(long, value_name = "ID", default_value = "practice")]
    pub(crate) student: String,
    /// File to write, in the format pcapng
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// The options of `labs table`.
#[derive(Debug, Args)]
#[command(after_help = "Example: labs table reports/*.json")]
pub(crate) struct Table {
    /// Reports of one lab, written by `labs check --format json -o FILE`
    #[arg(value_name = "FILE", required = true)]
    pub(crate) reports: Vec<PathBuf>,
}

/// The options of `labs uf-logs`.
#[derive(Debug, Args)]
#[command(after_help = UF_LOGS_NOTES)]
pub(crate) struct UfLogs {
    /// Folder with Common.cfg, PeerInfo.cfg, and log_peer_ID.log of each peer
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Exit with 1 if a rule is broken
    #[arg(long)]
    pub(crate) strict: bool,
}

const UF_LOGS_NOTES: &str = "\
Exit codes: 0 checked, whatever was found; 1 a rule is broken, with --strict; 2 not checked.

Example: labs uf-logs ~/project";

/// The options of `labs relay`.
#[derive(Debug, Args)]
#[command(after_help = "Example: labs relay --port 12000 --loss 0.2 --delay 50ms --jitter 30ms")]
pub(crate) struct Relay {
    /// UDP port at 127.0.0.1; 0 lets the system choose
    #[arg(long, default_value_t = 12000)]
    pub(crate) port: u16,
    /// ID whose link is used, except for what the other options change
    #[arg(long, value_name = "ID", default_value = "practice")]
    pub(crate) student: String,
    /// Probability that a datagram is lost, in each direction
    #[arg(long, value_name = "P", value_parser = probability)]
    loss: Option<f64>,
    /// Delay from the arrival of a datagram until its echo is sent, such as 50ms
    #[arg(long, value_name = "TIME", value_parser = delay)]
    delay: Option<Duration>,
    /// Maximum additional delay, random for each echo
    #[arg(long, value_name = "TIME", value_parser = delay)]
    jitter: Option<Duration>,
    /// Probability that an echo is sent twice
    #[arg(long, value_name = "P", value_parser = probability)]
    duplicate: Option<f64>,
}

impl Relay {
    /// The student's link with the changes.
    pub(crate) fn link(&self) -> Link {
        let link = Link::of_student(&self.student);
        Link {
            loss: self.loss.unwrap_or(link.loss),
            delay: self.delay.unwrap_or(link.delay),
            jitter: self.jitter.unwrap_or(link.jitter),
            duplicate: self.duplicate.unwrap_or(link.duplicate),
        }
    }
}

fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn delay(text: &str) -> Result<Duration, String> {
    /// No link that is worth the name takes longer, and a held datagram takes memory.
    const LONGEST: Duration = Duration::from_secs(10);
    let delay = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if delay <= LONGEST { Ok(delay) } else { Err("must be at most 10s".to_owned()) }
}

/// The format of a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    Text,
    /// JSON for other programs
    Json,
    /// Gradescope's results.json
    Gradescope,
    /// Classroom 50's result.json; needs the variables that its runner sets
    Classroom50,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_lab_has_a_name_and_a_number() {
        for name in ["datagrams", "1", "01"] {
            let line = ["labs", "check", name, "--program", "x"];
            let options = Options::try_parse_from(line).unwrap();
            let Command::Check(check) = options.command else { panic!("check") };
            assert_eq!(check.lab.name, "datagrams");
        }
        let line = ["labs", "check", "diagrams", "--program", "x"];
        let error = Options::try_parse_from(line).unwrap_err().to_string();
        assert!(error.contains("no such lab; the labs are datagrams, streams, "), "{error}");
    }

    #[test]
    fn a_relay_has_the_link_of_the_student_except_for_what_is_changed() {
        let relay = |options: &str| {
            let line = format!("labs relay --student alice {options}");
            Options::try_parse_from(line.split_whitespace()).map(|options| match options.command {
                Command::Relay(relay) => relay.link(),
                other => panic!("{other:?}"),
            })
        };
        let alice = Link::of_student("alice");
        assert_eq!(relay("").unwrap(), alice);
        assert_eq!(relay("--loss 1").unwrap(), Link { loss: 1.0, ..alice });
        for bad in ["--loss 1.1", "--loss -1", "--loss NaN", "--delay 11s", "--duplicate x"] {
            assert!(relay(bad).is_err(), "{bad}");
        }
    }
}
