//! The command line of `peer simulate`: a subcommand for each scenario, with the scenario's own
//! parameters as options, from the table of scenarios.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use peer::choker::Strategy;
use peer::sim::scenarios::{Parameter, Parameters, Scenario};

use crate::choker_program::{CommandLine, parse_timeout};
use crate::commands::simulate::wrap;

/// Run many peers in virtual time, and hold what comes out against what is published
///
/// Without a scenario: the swarm of `peer swarm`, in a second instead of a minute and a half.
#[derive(Debug)]
pub(crate) struct Simulate {
    pub(crate) what: What,
    pub(crate) flags: Flags,
}

/// What to run.
#[derive(Debug)]
pub(crate) enum What {
    /// The swarm of `peer swarm`.
    Swarm,
    /// One scenario.
    Scenario(Scenario, Parameters),
    /// Every scenario at its defaults.
    All,
    /// A swarm from a file.
    File(SwarmFile),
    /// Print the swarm of a scenario as a file.
    Print(Scenario, Parameters),
    /// Chokers against each other.
    Tournament(Tournament),
}

/// A file with a swarm.
#[derive(Debug)]
pub(crate) struct SwarmFile {
    pub(crate) path: PathBuf,
    /// `None`: the one that it names.
    pub(crate) rng_seed: Option<u64>,
}

/// Chokers against each other: which one makes a swarm fast, and which one does best among others
///
/// Each plays alone (performance: mean completion over the book's bound), as 15 peers among 15 of
/// each other (robustness: the part of its opponents that it beats), and as 3 among 27
/// (aggressiveness). Peers come in pairs with the same upload rate, and a choker beats another if its
/// peers complete sooner than those of the other in the same pairs.
#[derive(Clone, Debug, Args)]
#[command(after_help = TOURNAMENT_EXAMPLE)]
pub(crate) struct Tournament {
    /// Chokers by their names, and programs with their arguments [default: all chokers]
    #[arg(value_name = "CHOKER")]
    pub(crate) entries: Vec<Entrant>,
}

/// One entry in a tournament.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entrant {
    /// A choker of the library.
    Named(Strategy),
    /// A program of the user.
    Program(CommandLine),
}

impl FromStr for Entrant {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self::Named).or_else(|_| text.parse().map(Self::Program))
    }
}

/// What goes with every scenario.
#[derive(Clone, Debug, Args)]
pub(crate) struct Flags {
    /// List the scenarios
    #[arg(long)]
    pub(crate) list: bool,

    /// Join the results that --json wrote, of runs with different random seeds: docs/job-arrays.md
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) merge: Vec<PathBuf>,

    /// Run the variations as well, and exit with 1 if anything is not as it has to be
    #[arg(long, global = true)]
    pub(crate) check: bool,

    /// Number of runs, each with another random seed [default: as the scenario or the file says]
    #[arg(long, global = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) runs: Option<u64>,

    /// Seed of the first run; the same seed gives the same run, and the next has the next
    #[arg(long, global = true, value_name = "SEED", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=u64::MAX / 2))]
    pub(crate) rng_seed: u64,

    /// Program that chooses in place of the choker of all peers but seeds and free riders, with its
    /// arguments: docs/write-a-choker.md
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) choker_cmd: Option<CommandLine>,

    /// How long a program may take to answer, from 1ms to 10s; else it loses the round
    #[arg(long, global = true, value_name = "TIME", default_value = "10ms")]
    #[arg(value_parser = parse_timeout)]
    pub(crate) choker_cmd_timeout: Duration,

    /// Write every measured value of every run to FILE as JSON
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write what the first run measured to FILE as a picture, in SVG
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Write a page about the results to DIR/reproductions.md, with pictures
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) write_docs: Option<PathBuf>,

    /// Write the decisions of all peers in the first run to FILE, as JSON lines
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,

    /// Print the number of events, the time that they took, and the memory
    #[arg(long, global = true)]
    pub(crate) stats: bool,
}

/// The name that stands for every scenario.
const ALL: &str = "all";

/// The argument that is a file.
const FILE: &str = "FILE.toml";

const PRINT_TOML: &str = "print-toml";

/// The name that stands for the tournament.
const TOURNAMENT: &str = "tournament";

const TOURNAMENT_EXAMPLE: &str = "Example:
  peer simulate tournament
  peer simulate tournament textbook free-rider 'python3 my_choker.py --greedy'";

const EXAMPLE: &str = "Example:
  peer simulate                                   # the swarm of `peer swarm`
  peer simulate kurose-ross --peers 5,50 --runs 3
  peer simulate kurose-ross --help                # the parameters of a scenario
  peer simulate all --check                       # every scenario, held against its bands
  peer simulate rarest --print-toml               # its swarm as a file, to be changed
  peer simulate swarm.toml --runs 8               # the swarm of a file
  peer simulate tournament                        # the chokers against each other";

impl Args for Simulate {
    fn augment_args(command: Command) -> Command {
        let scenarios = Scenario::ALL.iter().map(|scenario| {
            let parameters = scenario.parameters().iter().map(option);
            let anchor = scenario.anchor();
            let source = wrap(&format!("{}: {}", anchor.source, anchor.says), 0);
            Command::new(scenario.name)
                .about(scenario.about)
                .long_about(format!("{}\n\n{source}", scenario.about))
                .args(parameters)
                .arg(
                    Arg::new(PRINT_TOML)
                        .long(PRINT_TOML)
                        .help("Print its swarm as a file in TOML, and run nothing")
                        .action(ArgAction::SetTrue),
                )
        });
        let all = Command::new(ALL).about("every scenario at its defaults");
        let tournament = Tournament::augment_args(Command::new(TOURNAMENT));
        Flags::augment_args(command)
            .about("Run many peers in virtual time, and hold what comes out against what is published")
            .long_about(
                "Run many peers in virtual time, and hold what comes out against what is published\n\n\
                 Without a scenario: the swarm of `peer swarm`, in a second instead of a minute and \
                 a half.",
            )
            .arg(
                Arg::new(FILE)
                    .help("Run the swarm of this file in TOML (docs/swarm-files.md)")
                    .value_parser(is_file)
                    .conflicts_with_all(["check", "write_docs", "list"]),
            )
            .after_help(EXAMPLE)
            .subcommand_value_name("SCENARIO")
            .subcommand_help_heading("Scenarios")
            .disable_help_subcommand(true)
            .subcommands(scenarios)
            .subcommand(all)
            .subcommand(tournament)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What is no scenario may be a file.
fn is_file(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    is_toml.then(|| path.to_owned()).ok_or("neither a scenario (--list) nor a file FILE.toml")
}

/// The option of a parameter.
fn option(parameter: &Parameter) -> Arg {
    let (name, kind) = (parameter.name, parameter.kind);
    Arg::new(name)
        .long(name)
        .help(parameter.about)
        .value_name("VALUE")
        .help_heading("Parameters")
        .default_value(parameter.default)
        .value_parser(move |text: &str| kind.check(text).map(|()| text.to_owned()))
}

impl FromArgMatches for Simulate {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = Flags::from_arg_matches(matches)?;
        let what = match matches.subcommand() {
            None => match matches.get_one::<PathBuf>(FILE).cloned() {
                None => What::Swarm,
                Some(path) => {
                    let is_set = matches.value_source("rng_seed") == Some(ValueSource::CommandLine);
                    What::File(SwarmFile { path, rng_seed: is_set.then_some(flags.rng_seed) })
                }
            },
            Some((name, _)) if matches.contains_id(FILE) => {
                let error = format!("a scenario ({name}) and a file cannot be run together\n");
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, error));
            }
            Some((ALL, _)) => What::All,
            Some((TOURNAMENT, chosen)) => What::Tournament(Tournament::from_arg_matches(chosen)?),
            Some((name, chosen)) => {
                let broken = |error: &dyn std::fmt::Display| {
                    clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"))
                };
                let scenario: Scenario = name.parse().map_err(|error| broken(&error))?;
                let mut parameters = Parameters::of(scenario.parameters());
                for Parameter { name, .. } in scenario.parameters() {
                    let text = chosen.get_one::<String>(name).expect("it has a default");
                    parameters.set(name, text).map_err(|error| broken(&error))?;
                }
                if chosen.get_flag(PRINT_TOML) {
                    What::Print(scenario, parameters)
                } else {
                    What::Scenario(scenario, parameters)
                }
            }
        };
        Ok(Self { what, flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
