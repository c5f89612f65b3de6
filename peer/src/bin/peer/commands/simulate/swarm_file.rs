//! `peer simulate FILE.toml`: a swarm from a file; and the file of a scenario's swarm.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use peer::sim::scenarios::{Kind, Parameters, Plan, Scenario};
use peer::units::count;
use serde::Serialize;

use super::plot;
use super::results::{Outcome, table, write_json};
use super::runner::{Job, Runner, Subject};
use super::write;
use crate::node::Ended;
use crate::options::{Flags, SwarmFile};
use crate::report::print_result;

/// What came of a file.
#[derive(Serialize)]
struct Results<'a> {
    file: &'a Path,
    plan: &'a Plan,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Runs the swarm of a file.
pub(super) fn run(runner: &mut Runner, flags: &Flags, file: &SwarmFile) -> Result<Ended> {
    let SwarmFile { path, rng_seed } = file;
    let name = path.display().to_string();
    let plan = read(path).with_context(|| format!("cannot read {name}"))?;
    let (classes, chunks) = (plan.classes.len(), plan.chunks);
    let classes = if classes == 1 { "1 class".to_owned() } else { format!("{classes} classes") };
    let chunks = format!("{} of {}", count(chunks as usize, "chunk"), plan.chunk_size);
    print_result(format_args!("{name}: {classes} of peers, {chunks}"))?;

    let first = rng_seed.unwrap_or(plan.rng_seed.into());
    let seeds = first..first + flags.runs.unwrap_or(plan.runs.into());
    let jobs = seeds.map(|seed| Job { subject: Subject::Plan(plan.clone()), seed });
    let outcome = Outcome::new(runner.run(&name, jobs.collect())?);
    print_result(table(&outcome.rows, outcome.runs.len(), |_| ""))?;
    if let (Some(picture), Some(run)) = (&flags.plot, outcome.runs.first()) {
        ensure!(!run.plot.is_empty(), "{name} measures no population, so there is nothing to plot");
        write(picture, &plot::of_run(run, &name, "")?)?;
    }
    if let Some(json) = &flags.json {
        write_json(json, &[Results { file: path, plan: &plan, outcome }])?;
    }
    Ok(if runner.stop().is_stopped() { Ended::Incomplete } else { Ended::Complete })
}

fn read(path: &Path) -> Result<Plan> {
    let mut text = String::new();
    let length = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)? as u64;
    ensure!(length <= LONGEST, "it is longer than {LONGEST} bytes");
    Ok(Plan::from_toml(&text)?)
}

/// Prints the swarm of a scenario as a file.
pub(super) fn print(scenario: Scenario, parameters: &Parameters) -> Result<()> {
    let plan = scenario.plan(parameters).ok_or_else(|| {
        anyhow!("cannot print {scenario} as a file: its swarm is not one of classes of peers")
    })?;
    let mut text = format!("# A swarm of `peer simulate {scenario}`: {}.\n", scenario.about);
    for (parameter, values) in parameters.iter() {
        let is_sweep = matches!(parameter.kind, Kind::Counts(..) | Kind::Numbers(..));
        if let (true, Some((first, _))) = (is_sweep, values.split_once(',')) {
            let name = parameter.name;
            writeln!(text, "# The scenario runs for each of {name} {values}; this is {first}.")
                .expect("a String takes all");
        }
    }
    print_result(text + &plan.to_toml())
}

/// Bytes: room for a class of 10,000 peers that come at times of their own.
const LONGEST: u64 = 1024 * 1024;
