//! The grader of the labs in docs/labs: runs a student's program and checks what it does, or compares
//! a student's numbers with its own.
//!
//! | File | Its part |
//! |---|---|
//! | `options.rs` | the command line |
//! | `lab/` | the table of the labs, and each lab with the table of its checks |
//! | `check.rs` | what a check is, what it gets, and how it fails |
//! | `grade.rs` | runs the checks of a lab |
//! | `submission.rs` | what a student hands in: a program or answers |
//! | `program.rs` | the student's command |
//! | `answers.rs` | the student's numbers |
//! | `process.rs` | a running program: its input, output and end |
//! | `conversation.rs` | a program that answers line by line |
//! | `reaper.rs` | ends a program and all of its children |
//! | `limits.rs` | files and memory that a program can use |
//! | `sockets.rs` | UDP and TCP with a time limit on every call |
//! | `relay.rs` | a UDP echo behind a link that loses, delays and duplicates |
//! | `peers.rs` | scripted peers, the other side of a BitTorrent program |
//! | `capture/` | a swarm of the simulator as packets for Wireshark |
//! | `torrent.rs` | a torrent for one check |
//! | `seed.rs` | seeds from a student's ID |
//! | `hints.rs` | one text for each known mistake |
//! | `table.rs` | the reports of a class side by side |
//! | `uf/` | the logs of the CNT5106C project |
//! | `bundle.rs` | an autograder for Gradescope |
//! | `report/` | the result of a run and its formats |

mod answers;
mod bundle;
mod capture;
mod check;
mod conversation;
mod grade;
mod hints;
mod lab;
mod limits;
mod options;
mod peers;
mod process;
mod program;
mod reaper;
mod relay;
mod report;
mod seed;
mod sockets;
mod submission;
mod table;
mod torrent;
mod uf;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use fastrand::Rng;

use options::{Check, Command, Options};

/// The exit code when the grader could not grade; clap exits with the same on wrong usage.
const NOT_GRADED: u8 = 2;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(NOT_GRADED)
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    match &options.command {
        Command::List => {
            print(&lab::list())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(options) => check(options),
        Command::Key(options) => {
            let key = options.lab.key.with_context(|| {
                format!("{}: all students have the same task, so there is no key", options.lab.name)
            })?;
            print(&key(&options.student))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Relay(options) => {
            let rng = Rng::with_seed(seed::seed(&options.student, "relay"));
            relay::run(options.port, options.link(), rng).context("relay")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Capture(options) => {
            capture::write(options)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bundle(options) => {
            bundle::bundle(options)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Table(options) => {
            print(&table::table(&options.reports)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::UfLogs(options) => {
            let (text, all_hold) = uf::check(&options.folder)?;
            print(&text)?;
            Ok(if options.strict && !all_hold { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}

fn check(options: &Check) -> Result<ExitCode> {
    limits::apply()?;
    let report = grade::grade(options)?;
    let text = options.format.write(&report)?;
    match &options.output {
        Some(file) => {
            fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
        }
        None => print(&text)?,
    }
    let complete = report.score() == report.max_score();
    Ok(if options.strict && !complete { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints a result; a reader that has gone is an error, not a panic.
fn print(text: &str) -> Result<()> {
    io::stdout().write_all(text.as_bytes()).context("write to stdout")
}
