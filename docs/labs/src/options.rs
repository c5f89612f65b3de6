//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::lab::{self, Lab};

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
}

/// The options of `labs check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_NOTES)]
pub(crate) struct Check {
    /// Name or number of the lab
    #[arg(value_name = "NAME", value_parser = lab::find)]
    pub(crate) lab: &'static Lab,
    /// Command that starts the program, with its arguments, quoted as in a shell
    #[arg(long, value_name = "CMD")]
    pub(crate) program: String,
    /// Seed of the texts that the checks send; any string
    #[arg(long, value_name = "ID", default_value = "practice")]
    pub(crate) student: String,
    /// Run only the check with this id; can be given more than once
    #[arg(long, value_name = "ID")]
    pub(crate) only: Vec<String>,
    /// Form of the report
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

/// The form of a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For other programs
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
        assert!(error.contains("no such lab; the labs are datagrams, streams"), "{error}");
    }
}
