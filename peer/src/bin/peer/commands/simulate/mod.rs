//! `peer simulate`: scenarios in virtual time, held against what is published.
//!
//! | File | Its part |
//! |---|---|
//! | `mod.rs` | what to run, and what comes of it |
//! | `runner.rs` | the runs, on all cores |
//! | `results.rs` | the results, as a table and as JSON |
//! | `merge.rs` | the results of several commands, joined |
//! | `swarm_file.rs` | a swarm from a file |
//! | `plot.rs` | the plot of a run, as an SVG picture |
//! | `page.rs` | the results as a page in Markdown |
//! | `tournament.rs` | chokers against each other |

mod merge;
mod page;
mod plot;
mod results;
mod runner;
mod swarm_file;
mod tournament;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use peer::demo::Setup;
use peer::sim::scenarios::{Parameters, Scenario, demo};
use peer::torrent::Config;

use super::swarm::table;
use crate::choker_program::Starter;
use crate::node::Ended;
use crate::options::{Flags, Simulate, What};
use crate::report::{EventFile, print_result};
use crate::stop::Stop;
use results::{Outcome, Results};
use runner::{Job, Runner, Subject};

/// Runs what the options say.
pub(crate) fn run(options: &Simulate) -> Result<Ended> {
    let Simulate { what, flags } = options;
    if flags.list {
        return list().map(|()| Ended::Complete);
    }
    if flags.plot.is_some() && matches!(what, What::Swarm | What::All | What::Print(..)) {
        bail!("cannot plot more than one scenario into a file: name one, or use --write-docs");
    }
    let stop = Stop::on_ctrl_c().context("cannot listen for Ctrl-C")?;
    let events = flags.events.as_deref().map(EventFile::create).transpose()?;
    let starter = flags.choker_cmd.as_ref().map(|command| {
        let starter = Starter::new(command, "choker-cmd".to_owned(), flags.choker_cmd_timeout);
        // A wrong name is an error at once.
        starter.start(1).map(|_| starter)
    });
    let mut runner = Runner::new(stop, events, starter.transpose()?);
    let ended = match what {
        What::Swarm if !flags.merge.is_empty() => merged(&runner, flags),
        What::Swarm if flags.check => check_all(&mut runner, flags),
        What::Swarm => swarm(&mut runner, flags),
        What::Scenario(scenario, parameters) => {
            let results = results_of(&mut runner, flags, *scenario, parameters)?;
            finish(&[results], &runner, flags)
        }
        What::All => check_all(&mut runner, flags),
        What::File(file) => swarm_file::run(&mut runner, flags, file),
        What::Print(scenario, parameters) => {
            swarm_file::print(*scenario, parameters).map(|()| Ended::Complete)
        }
        What::Tournament(options) => tournament::run(&mut runner, flags, options),
    }?;
    runner.finish_events()?;
    if flags.stats {
        print_result(runner.stats())?;
    }
    Ok(ended)
}

fn list() -> Result<()> {
    let longest = Scenario::ALL.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    Scenario::ALL.iter().try_for_each(|scenario| {
        let about = wrap(scenario.about, longest + 2);
        print_result(format_args!("{:<longest$}  {about}", scenario.name))
    })
}

/// Breaks a line so that with an indentation it fits 80 columns.
pub(crate) fn wrap(text: &str, indent: usize) -> String {
    lines_of(text, 80 - indent).join(&format!("\n{}", " ".repeat(indent)))
}

/// The lines of a text that has so many columns.
fn lines_of(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// The swarm of `peer swarm`, and its table.
fn swarm(runner: &mut Runner, flags: &Flags) -> Result<Ended> {
    let first = flags.rng_seed;
    for seed in first..first + flags.runs.unwrap_or(1) {
        let mut watch = runner.watch(seed == first);
        let common = Config::new(common::id::PeerId([0; 20]));
        let mut rng = Rng::with_seed(seed);
        match demo::swarm(&Setup::default(), &common, &mut rng, &mut watch) {
            Ok(shown) => print_result(table::text(&shown.ledger))?,
            Err(_) if runner.stop().is_stopped() => return Ok(Ended::Incomplete),
            Err(error) => return Err(error).context("cannot simulate the swarm"),
        }
        let handled = watch.handled();
        runner.count(handled);
    }
    Ok(Ended::Complete)
}

fn check_all(runner: &mut Runner, flags: &Flags) -> Result<Ended> {
    let mut all = Vec::new();
    for &scenario in Scenario::ALL {
        let parameters = Parameters::of(scenario.parameters());
        all.push(results_of(runner, flags, scenario, &parameters)?);
        if runner.stop().is_stopped() {
            break;
        }
    }
    finish(&all, runner, flags)
}

/// Runs a scenario, with its variations if they are to be checked, and prints what came of it.
fn results_of(
    runner: &mut Runner,
    flags: &Flags,
    scenario: Scenario,
    parameters: &Parameters,
) -> Result<Results> {
    let mut results = Results::new(scenario, parameters);
    print_result(results.heading())?;
    let first = flags.rng_seed;
    let jobs = |parameters: &Parameters, runs: u64| -> Vec<Job> {
        let seeds = first..first + flags.runs.unwrap_or(runs);
        let subject = Subject::Scenario(scenario, parameters.clone());
        seeds.map(|seed| Job { subject: subject.clone(), seed }).collect()
    };
    let runs = runner.run(&scenario.to_string(), jobs(parameters, scenario.runs()))?;
    results.outcome = Outcome::new(runs);
    print_result(results.table())?;
    let variations = scenario.variations().iter().filter(|_| flags.check);
    for variation in variations {
        if runner.stop().is_stopped() {
            break;
        }
        let parameters = parameters.with(variation.overrides);
        let what = format!("{scenario}, {}", variation.about);
        let runs = runner.run(&what, jobs(&parameters, variation.runs))?;
        print_result(results.vary(variation, parameters, Outcome::new(runs)).table())?;
    }
    Ok(results)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints the results of several commands as those of one.
fn merged(runner: &Runner, flags: &Flags) -> Result<Ended> {
    let all = merge::merge(&flags.merge)?;
    for results in &all {
        print_result(results.heading())?;
        print_result(results.table())?;
        results.variations.iter().try_for_each(|varied| print_result(varied.table()))?;
    }
    finish(&all, runner, flags)
}

/// Writes the results, and says whether all is as it has to be.
fn finish(all: &[Results], runner: &Runner, flags: &Flags) -> Result<Ended> {
    if let Some(path) = &flags.json {
        results::write_json(path, all)?;
    }
    if let (Some(path), [results]) = (&flags.plot, all)
        && let Some(svg) = plot::of(results)?
    {
        write(path, &svg)?;
    }
    if let Some(folder) = &flags.write_docs {
        page::write(folder, all)?;
    }
    if runner.stop().is_stopped() {
        return Ok(Ended::Incomplete);
    }
    let missed: Vec<_> = all.iter().flat_map(Results::missed).collect();
    if flags.check && !missed.is_empty() {
        bail!("cannot reproduce {}", missed.join("; "));
    }
    Ok(Ended::Complete)
}
