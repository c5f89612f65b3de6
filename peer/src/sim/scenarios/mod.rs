//! Published and derived results about BitTorrent, reproduced with the core in virtual time.
//!
//! | File | What it reproduces |
//! |---|---|
//! | `kurose_ross.rs` | the distribution time of client-server and P2P (Kurose & Ross 2.5) |
//! | `free_rider.rs` | what a peer gets that gives nothing |
//! | `clustering.rs` | peers of similar bandwidth trade with each other |
//! | `rarest.rs` | rarest first brings out a first copy in about the least possible time |
//! | `fluid.rs` | the steady state of a swarm that peers join and leave |
//! | `diversity.rs` | with rarest first every neighbor has something of interest |
//! | `riders.rs` | how much later peers finish that give nothing |
//! | `cohen_2003.rs` | leechers and seeds of a deployment over time |
//! | `synchronised.rs` | equal peers that arrive one after another leave together |
//! | `flash_crowd.rs` | the more chunks a file has, the sooner many peers have it |
//! | `missing_piece.rs` | almost all peers lack the same chunk |
//! | `seed_capture.rs` | a fast peer that gives nothing holds a seed that serves the fastest |
//! | `demo.rs` | what `peer swarm` shows |
//! | `crowd.rs` | nothing: a swarm of any size, for what a run costs |
//! | `tournament.rs` | chokers against each other |
//! | `parameters.rs` | what a scenario can be run with |
//! | `measure.rs` | what it measures, and the verdict |
//! | `plan/` | a swarm as data, in a file too |
//! | `plot.rs` | what its plot shows |
//! | `visits.rs` | peers that come and go |
//! | `rare.rs` | chunks that only the seed has |
//! | `swarm.rs` | its world |
//! | `books.rs` | what every run records, and what must hold in it |
//! | `stories.rs` | smaller worlds, without a formula |
//! | `places.rs` | more peers than each may have as neighbors |
//! | `duplicates.rs` | two peers that dial each other |
//! | `liars.rs` | liars that come back under new peer ids |
//!
//! A scenario has parameters, `run`, which measures with one seed for all randomness, bands around
//! what a formula predicts, and variations: other parameters with which the bands hold as well, and
//! controls that must miss them, with the mechanism switched off or another rule in its place.

mod books;
pub mod clustering;
pub mod cohen_2003;
pub mod crowd;
pub mod demo;
pub mod diversity;
#[cfg(test)]
mod duplicates;
pub mod flash_crowd;
pub mod fluid;
pub mod free_rider;
pub mod kurose_ross;
#[cfg(test)]
mod liars;
mod measure;
pub mod missing_piece;
mod parameters;
#[cfg(test)]
mod places;
mod plan;
mod plot;
mod rare;
pub mod rarest;
pub mod riders;
pub mod seed_capture;
#[cfg(test)]
mod stories;
mod swarm;
pub mod synchronised;
pub mod tournament;
mod visits;

use crate::named::{Named, Table};

pub use measure::{Accept, Band, Measure, Row, Run, Spread, rows};
pub use parameters::{Kind, Overrides, Parameter, ParameterError, Parameters};
pub use plan::{Arrivals, Begins, ChunkSize, Class, FileError, Measured, Plan, Rate, Stay, Time};
pub use plot::{Bar, Figure, HeatMap, Panel, Series, Timeline};
pub use swarm::{Context, Follow, Progress};

/// Every scenario by its name.
const SCENARIOS: &[Scenario] = &[
    kurose_ross::SCENARIO,
    free_rider::SCENARIO,
    clustering::SCENARIO,
    rarest::SCENARIO,
    fluid::SCENARIO,
    diversity::SCENARIO,
    riders::SCENARIO,
    cohen_2003::SCENARIO,
    synchronised::SCENARIO,
    flash_crowd::SCENARIO,
    missing_piece::SCENARIO,
    seed_capture::SCENARIO,
    demo::SCENARIO,
    crowd::SCENARIO,
];

/// A published or derived result, as `peer simulate NAME` reproduces it.
pub type Scenario = Named<Entry>;

/// What the name of a scenario stands for.
#[derive(Clone, Copy)]
pub struct Entry {
    anchor: Anchor,
    /// The text of its file, which begins with what there is to say about it.
    source: &'static str,
    parameters: &'static [Parameter],
    /// Its swarm, at the first value of each sweep; `None` if a plan cannot express it.
    plan: Option<fn(&Parameters) -> Plan>,
    run: fn(&Parameters, &mut Context<'_>) -> Result<Run, Stopped>,
    /// With how many random seeds its bands are checked.
    runs: u64,
    variations: &'static [Variation],
    /// What makes it short, where the bands still hold.
    short: Overrides,
}

impl Table for Entry {
    const WHAT: &'static str = "scenario";
    const ROWS: &'static [Scenario] = SCENARIOS;
}

/// What a scenario reproduces.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// Where it is published.
    pub source: &'static str,
    /// What of it was read.
    pub read: Read,
    /// What it says, or the formula that follows.
    pub says: &'static str,
}

/// What was read of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The text, or the source code.
    Text,
    /// The abstract alone.
    Abstract,
    /// Nothing: the prediction follows from a formula.
    Derived,
}

/// A scenario with other parameters.
#[derive(Clone, Copy, Debug)]
pub struct Variation {
    /// What is different.
    pub about: &'static str,
    /// The other parameters.
    pub overrides: Overrides,
    /// With how many random seeds.
    pub runs: u64,
    /// What is to come of it.
    pub expect: &'static [Expect],
}

impl Variation {
    /// A scenario with other parameters.
    pub const fn new(
        about: &'static str,
        overrides: Overrides,
        runs: u64,
        expect: &'static [Expect],
    ) -> Self {
        Self { about, overrides, runs, expect }
    }

    /// Whether all that was expected has come of it.
    pub fn is_met(self, rows: &[Row]) -> bool {
        self.expect.iter().all(|expect| expect.is_met(rows))
    }
}

/// What is to come of a variation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expect {
    /// All is as it should be.
    Holds,
    /// It is a control: every row whose name begins so misses its band.
    Misses(&'static str),
    /// It is a control: in every row whose name begins so the mean over the predicted value is here.
    Ratio(&'static str, Band),
}

impl Expect {
    /// A control that comes out at least so many times greater than what is predicted.
    pub const fn exceeds(times: f64, what: &'static str) -> Self {
        Self::Ratio(what, Band::new(times, f64::INFINITY))
    }

    /// Whether it has come so, and there was something to judge by.
    pub fn is_met(self, rows: &[Row]) -> bool {
        let is_so = |row: &Row| match self {
            Self::Holds => row.holds == Some(true),
            Self::Misses(_) => row.misses,
            Self::Ratio(_, band) => row.ratio().is_some_and(|ratio| band.contains(ratio)),
        };
        self.judged(rows).next().is_some() && self.judged(rows).all(is_so)
    }

    /// The rows that it judges by.
    pub fn judged(self, rows: &[Row]) -> impl Iterator<Item = &Row> {
        rows.iter().filter(move |row| match self {
            Self::Holds => row.holds.is_some(),
            Self::Misses(what) => row.what.starts_with(what) && row.holds.is_some(),
            Self::Ratio(what, _) => row.what.starts_with(what) && row.predicted.is_some(),
        })
    }
}

impl Scenario {
    /// What it reproduces.
    pub fn anchor(self) -> Anchor {
        self.rule.anchor
    }

    /// What the documentation of its file says after the first paragraph, in Markdown.
    pub fn notes(self) -> String {
        let lines = self.rule.source.lines().map_while(|line| line.strip_prefix("//!"));
        let lines: Vec<_> = lines.map(str::trim).skip_while(|line| !line.is_empty()).collect();
        lines.join("\n").trim().to_owned()
    }

    /// What it can be run with, and the defaults.
    pub fn parameters(self) -> &'static [Parameter] {
        self.rule.parameters
    }

    /// Its swarm, at the first value of each parameter that has several; `None` if a plan cannot
    /// express it.
    pub fn plan(self, parameters: &Parameters) -> Option<Plan> {
        self.rule.plan.map(|plan| plan(parameters))
    }

    /// With how many random seeds its bands are checked.
    pub fn runs(self) -> u64 {
        self.rule.runs
    }

    /// Other parameters to check it with.
    pub fn variations(self) -> &'static [Variation] {
        self.rule.variations
    }

    /// What makes it short, where the bands still hold: for a first look, and for tests.
    pub fn short(self) -> Parameters {
        Parameters::of(self.parameters()).with(self.rule.short)
    }

    /// Runs it once.
    ///
    /// # Errors
    /// If the parameters allow no run, or if the run was interrupted.
    pub fn run(self, parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
        (self.rule.run)(parameters, context)
    }
}

/// Why a run gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// These parameters allow no run.
    #[error("{0}")]
    Impossible(String),
    /// [`Follow::progress`] ended it.
    #[error("interrupted")]
    Interrupted,
}

/// The last of these times.
fn last(times: impl IntoIterator<Item = f64>) -> f64 {
    times.into_iter().fold(0.0, f64::max)
}

/// Runs with each seed, each on a thread of its own.
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "only tests run worlds side by side")]
fn runs<T: Send>(seeds: std::ops::Range<u64>, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = seeds.map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a run panicked")).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use common::moment::Moment;

    use super::*;
    use crate::decision::Decision;
    use crate::sim::HostId;

    /// Checks a scenario and its variations as a debug build can, and prints what was measured.
    fn check(scenario: Scenario) {
        let fast = scenario.short();
        let itself = Variation::new("as it is", &[], scenario.runs(), &[Expect::Holds]);
        for variation in std::iter::once(&itself).chain(scenario.variations()) {
            let parameters = fast.with(variation.overrides);
            let runs = runs(0..variation.runs.min(most_runs(scenario)), |seed| {
                scenario.run(&parameters, &mut Context { seed, follow: &mut () }).unwrap()
            });
            let rows = rows(&runs);
            println!("{scenario}, {}:", variation.about);
            for Row { what, unit, predicted, measured, accept, holds, misses: _ } in &rows {
                println!(
                    "  {what}: {measured} {unit}, predicted {predicted:?}, {accept:?}, {holds:?}"
                );
            }
            assert!(variation.is_met(&rows), "{scenario}, {}", variation.about);
        }
    }

    /// With how many seeds a debug build checks it at most: those that take longest with few.
    /// `peer simulate all --check` has them all.
    fn most_runs(scenario: Scenario) -> u64 {
        match scenario.name {
            "clustering" | "cohen-2003" | "diversity" | "kurose-ross" | "riders" => 1,
            "rarest" => 2,
            _ => scenario.runs(),
        }
    }

    macro_rules! each_holds {
        ($($name:ident)*) => {
            $(#[test]
            fn $name() {
                check(super::$name::SCENARIO);
            })*

            #[test]
            fn every_scenario_has_its_test() {
                let tested = [$(super::$name::SCENARIO),*];
                assert_eq!(tested.as_slice(), Scenario::ALL);
            }
        };
    }

    each_holds!(kurose_ross free_rider clustering rarest fluid diversity riders cohen_2003 synchronised flash_crowd missing_piece seed_capture demo crowd);

    #[test]
    fn every_plan_has_the_neighbors_the_choker_and_the_order_that_a_user_names() {
        for scenario in Scenario::ALL.iter().filter(|scenario| scenario.rule.plan.is_some()) {
            let mut parameters = Parameters::of(scenario.parameters());
            parameters.set("choker", "random").unwrap();
            parameters.set("order", "in-order").unwrap();
            // In `free-rider` every peer is a neighbor of every other.
            let few = parameters.set("neighbors", "7").is_ok();
            assert!(few || scenario.name == "free-rider", "{scenario}");
            let classes = scenario.plan(&parameters).unwrap().classes;
            let named = |class: &Class| class.choker.name == "random";
            assert!(classes.iter().any(named), "{scenario}");
            let leechers =
                || classes.iter().filter(|class| class.begins_with != Begins::Everything);
            assert!(leechers().all(|class| class.order.name == "in-order"), "{scenario}");
            assert!(!few || leechers().all(|class| class.neighbors == 7), "{scenario}");
        }
    }

    /// A digest of the time, the peer and the text of every decision.
    #[derive(Default)]
    struct Decisions(u64);

    impl Follow for Decisions {
        fn decision(&mut self, at: Moment, host: HostId, decision: &Decision) {
            let line = serde_json::to_string(&(at, host.0, decision)).unwrap();
            // FNV-1a.
            self.0 = line.bytes().fold(self.0, |digest, byte| {
                (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        }

        fn progress(&mut self, _: Progress) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }

    /// A change of this number is a change of what peers decide: say why in the commit.
    #[test]
    fn the_decisions_of_a_crowd_are_those_of_the_last_commit_to_the_byte() {
        let mut decisions = Decisions::default();
        let small = crowd::SCENARIO.short();
        crowd::SCENARIO.run(&small, &mut Context { seed: 1, follow: &mut decisions }).unwrap();
        assert_eq!(decisions.0, 0xb7b9_d0fd_60cb_08f4, "{:#x}", decisions.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_seed_another() {
        for scenario in Scenario::ALL {
            let mut fast = scenario.short();
            let _ = fast.set("chunks", "30");
            let runs = runs(1..4, |seed| {
                scenario.run(&fast, &mut Context { seed: seed / 2, follow: &mut () }).unwrap()
            });
            assert!(runs[0] != runs[1] && runs[0].digest != runs[1].digest, "{scenario}");
            assert_eq!(runs[1], runs[2], "{scenario}");
        }
    }
}
