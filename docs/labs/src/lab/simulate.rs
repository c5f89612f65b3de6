//! What `peer simulate` measures, for the keys of the labs that use it.

use std::collections::BTreeMap;

use peer::sim::scenarios::{Context, Parameters, Scenario};

/// What a scenario measures with these parameters, the mean over its runs, by the name of the row in its
/// table: `peer simulate NAME --runs RUNS --rng-seed SEED` and the parameters as options.
///
/// # Panics
/// If there is no such scenario, or it cannot run so: the labs name both.
pub(crate) fn simulate(
    name: &str,
    parameters: &[(&str, &str)],
    runs: u64,
    seed: u64,
) -> BTreeMap<String, f64> {
    let scenario: Scenario = name.parse().expect("a scenario");
    let mut chosen = Parameters::of(scenario.parameters());
    for (name, text) in parameters {
        chosen.set(name, text).expect("a parameter");
    }
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for seed in seed..seed + runs {
        let run = scenario.run(&chosen, &mut Context { seed, follow: &mut () }).expect("a run");
        for measure in run.measures {
            *sums.entry(measure.what).or_default() += measure.measured;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    sums.values_mut().for_each(|sum| *sum /= runs as f64);
    sums
}
