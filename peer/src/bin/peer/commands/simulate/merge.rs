//! Joins the results of several runs of `peer simulate`, such as the jobs of an array.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use peer::sim::scenarios::{Parameters, Run, Scenario};
use serde::Deserialize;

use super::results::{Outcome, Results};

/// What `--json` wrote of a scenario. Its rows are not read: they follow from the runs.
#[derive(Deserialize)]
struct Stored {
    scenario: Scenario,
    parameters: BTreeMap<String, String>,
    runs: Vec<Run>,
    #[serde(default)]
    variations: Vec<StoredVariation>,
}

#[derive(Deserialize)]
struct StoredVariation {
    about: String,
    runs: Vec<Run>,
}

/// All runs of a scenario in the files so far.
struct Joined {
    scenario: Scenario,
    parameters: Parameters,
    runs: Vec<Run>,
    /// Those of each variation, in the order of the scenario's variations.
    variations: Vec<Vec<Run>>,
}

/// The results of all these files together.
///
/// # Errors
/// If a file holds no results, or some that do not go together with those before it.
pub(super) fn merge(paths: &[PathBuf]) -> Result<Vec<Results>> {
    let mut all = Vec::new();
    for path in paths {
        add(&mut all, path).with_context(|| format!("cannot merge {}", path.display()))?;
    }
    Ok(all.into_iter().map(Joined::results).collect())
}

fn add(all: &mut Vec<Joined>, path: &Path) -> Result<()> {
    let file = BufReader::new(File::open(path)?);
    let stored: Vec<Stored> =
        serde_json::from_reader(file).context("not a file that --json wrote")?;
    for Stored { scenario, parameters: texts, runs, variations } in stored {
        let mut parameters = Parameters::of(scenario.parameters());
        texts.iter().try_for_each(|(name, text)| parameters.set(name, text))?;
        let place = all.iter().position(|joined| joined.scenario == scenario);
        let place = place.unwrap_or_else(|| {
            all.push(Joined::new(scenario, parameters.clone()));
            all.len() - 1
        });
        let joined = &mut all[place];
        let texts = |parameters: &Parameters| {
            parameters.iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>()
        };
        ensure!(
            texts(&joined.parameters) == texts(&parameters),
            "{scenario} has other parameters than in a file before"
        );
        join(&mut joined.runs, runs).with_context(|| scenario.to_string())?;
        for StoredVariation { about, runs } in variations {
            let what = || format!("{scenario}, {about}");
            let place = scenario.variations().iter().position(|known| known.about == about);
            let place = place.with_context(|| format!("unknown variation: {}", what()))?;
            join(&mut joined.variations[place], runs).with_context(what)?;
        }
    }
    Ok(())
}

fn join(all: &mut Vec<Run>, runs: Vec<Run>) -> Result<()> {
    for run in runs {
        let seed = run.seed;
        ensure!(
            all.iter().all(|other| other.seed != seed),
            "a run with seed {seed} was there before"
        );
        let measured = |run: &Run| run.measures.iter().map(|m| m.what.clone()).collect::<Vec<_>>();
        ensure!(
            all.first().is_none_or(|first| measured(first) == measured(&run)),
            "the run with seed {seed} measured something else than the runs before"
        );
        all.push(run);
    }
    Ok(())
}

impl Joined {
    fn new(scenario: Scenario, parameters: Parameters) -> Self {
        let variations = scenario.variations().iter().map(|_| Vec::new()).collect();
        Self { scenario, parameters, runs: Vec::new(), variations }
    }

    fn results(self) -> Results {
        let mut results = Results::new(self.scenario, &self.parameters);
        results.outcome = outcome(self.runs);
        for (variation, runs) in self.scenario.variations().iter().zip(self.variations) {
            if !runs.is_empty() {
                let parameters = self.parameters.with(variation.overrides);
                results.vary(variation, parameters, outcome(runs));
            }
        }
        results
    }
}

fn outcome(mut runs: Vec<Run>) -> Outcome {
    runs.sort_by_key(|run| run.seed);
    Outcome::new(runs)
}
