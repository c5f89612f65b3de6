//! `cohen-2003`: leechers and seeds of a deployment over time.
//!
//! Source: Cohen, "Incentives Build Robustness in BitTorrent" (2003), the abstract, and of its plot
//! of a large deployment only the shape: peers come in a crowd at first and fewer and fewer later;
//! the leechers reach their peak early and become few, and there are more seeds than leechers after
//! that. All numbers are ours: λ0·exp(-t/τ) peers arrive a second and stay for a time of mean half
//! an hour once they have everything.
//!
//! The numbers of leechers and seeds are those that the tracker counts. Their integral must be the
//! sum of all download times (Little's law). With arrivals that do not fade the leechers may have
//! an early peak as well, before the first of them become seeds; but they do not become few.

use std::time::Duration;

use fastrand::Rng;

use super::plot::in_hours;
use super::swarm::Swarm;
use super::visits::{self, Visit, exponential};
use super::{
    Accept, Anchor, Band, Context, Entry, Expect, Figure, Kind, Measure, Panel, Parameter,
    Parameters, Read, Run, Scenario, Series, Spread, Stopped, Variation,
};
use crate::sim::Link;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "cohen-2003",
    about: "leechers and seeds of a deployment over time, from the first crowd to the last peers",
    rule: Entry {
        anchor: Anchor {
            source: "Cohen, Incentives Build Robustness in BitTorrent, 2003",
            read: Read::Abstract,
            says: "leechers reach their peak early and become few; there are more seeds than \
                   leechers after that",
        },
        source: include_str!("cohen_2003.rs"),
        parameters: PARAMETERS,
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[
            ("arrivals", "0.06"),
            ("chunks", "20"),
            ("chunk-size", "64KiB"),
            ("neighbors", "10"),
        ],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("arrivals", "λ0, peers that arrive a second at the start", "0.2", Kind::Number(1e-4, 100.0)),
    Parameter::new("decay", "τ, seconds in which the rate of arrivals falls to 37 percent", "7200", Kind::Number(1.0, 1e9)),
    Parameter::new("stays", "Mean seconds that a peer stays once it has everything", "1800", Kind::Number(1.0, 1e6)),
    Parameter::new("file-time", "F/u, seconds in which a peer uploads as much as the file", "1200", Kind::Number(10.0, 1e5)),
    Parameter::new("chunks", "Chunks in the file", "64", Kind::Count(1, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk", "128KiB", Kind::ChunkSize),
    Parameter::new("download", "What a peer can download, in u", "2", Kind::Number(1.0, 1000.0)),
    Parameter::new("neighbors", "Neighbors that a peer may have", "20", Kind::Count(2, 1000)),
    Parameter::new("seed-upload", "What the first seed uploads, in u; it stays", "4", Kind::Number(0.1, 1e4)),
    Parameter::new("time", "Seconds of the whole run", "28800", Kind::Number(600.0, 1e6)),
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new(
        "arrivals that do not fade",
        &[("arrivals", "0.02"), ("decay", "1e9")],
        3,
        &[Expect::Misses("leechers in the last quarter")],
    ),
];

/// When there are the most leechers, and from when on there are more seeds, as a part of the run.
const EARLY: f64 = 0.35;

/// The mean number of seeds after that over that of leechers.
const MORE_SEEDS: Band = Band::new(1.0, 100.0);

/// Leechers in the last quarter, over the most there ever are. The rate of arrivals is then below
/// exp(-3), a twentieth, of the first.
const FEW: Band = Band::new(0.0, 0.15);

/// The integral of the leechers over the sum of download times.
const LITTLE: Band = Band::within(0.02);

/// Seconds from one look at the tracker to the next.
const EVERY: f64 = 30.0;

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (chunks, chunk_size) = (parameters.count("chunks"), parameters.chunk_size("chunk-size"));
    let (seed, time) = (context.seed, parameters.number("time"));
    let mut rng = Rng::with_seed(seed);
    let mut swarm = Swarm::new(chunks, chunk_size, context)?;
    let upload = swarm.geometry.total_length() as f64 / parameters.number("file-time");
    let down = parameters.number("download") * upload;
    let link = |up: f64| Link::new(up.ceil() as u64, down.ceil() as u64);
    let neighbors = parameters.count("neighbors") as usize;
    let first = link(parameters.number("seed-upload") * upload);
    swarm.join(swarm.everything(), first, |config| config.max_neighbors = neighbors);
    let mut visits = Vec::new();
    for arrives in arrivals(parameters, &mut rng) {
        let stays = exponential(parameters.number("stays"), &mut rng);
        visits.push(Visit::new(&mut swarm, arrives, stays, link(upload), |config| {
            config.max_neighbors = neighbors;
        }));
    }

    // At each look: the time, leechers, seeds.
    let mut looks: Vec<(f64, f64, f64)> = Vec::new();
    while swarm.world.elapsed().as_secs_f64() < time {
        swarm.run_for(Duration::from_secs_f64(EVERY))?;
        let counts = swarm.world.counts();
        let at = swarm.world.elapsed().as_secs_f64();
        looks.push((at, counts.leechers.into(), counts.seeders.into()));
    }

    let most = looks.iter().map(|&(_, leechers, _)| leechers).fold(0.0, f64::max);
    let peak = looks.iter().find(|&&(_, leechers, _)| leechers == most);
    let peak = peak.map_or(f64::NAN, |&(at, ..)| at / time);
    let after = || looks.iter().filter(|&&(at, ..)| at > EARLY * time);
    let leechers_after = Spread::of(after().map(|&(_, leechers, _)| leechers)).mean;
    let seeds_after = Spread::of(after().map(|&(.., seeds)| seeds)).mean;
    let last = looks.iter().filter(|&&(at, ..)| at > 0.75 * time);
    let last = Spread::of(last.map(|&(_, leechers, _)| leechers)).mean / most;
    let leechers: f64 = looks.iter().map(|&(_, leechers, _)| leechers * EVERY / 3600.0).sum();
    let downloads = visits::downloads(&visits, &swarm, time) / 3600.0;
    let each = Accept::Each;
    let measures = vec![
        Measure::new("peak of leechers, of the run", "", peak).accept(each(Band::new(0.0, EARLY))),
        Measure::new("seeds over leechers after that", "", seeds_after / leechers_after)
            .accept(each(MORE_SEEDS)),
        Measure::new("leechers in the last quarter, over the peak", "", last).accept(each(FEW)),
        Measure::new("integral of leechers", "peer-hours", leechers)
            .predicted(downloads)
            .accept(each(LITTLE.times(downloads))),
    ];
    let (leechers, seeds) =
        looks.iter().map(|&(at, leechers, seeds)| ((at, leechers), (at, seeds))).unzip();
    let lines = Figure::Lines(vec![
        Series::measured("leechers", in_hours(leechers)),
        Series::measured("seeds", in_hours(seeds)),
    ]);
    let plot = vec![Panel::new("time (hours)", "peers", lines)];
    Ok(Run { seed, measures, plot, digest: swarm.world.observer.digest })
}

/// When peers arrive, in seconds: at a rate that falls from λ0 to λ0·exp(-t/τ).
fn arrivals(parameters: &Parameters, rng: &mut Rng) -> Vec<f64> {
    let (rate, decay) = (parameters.number("arrivals"), parameters.number("decay"));
    let (mut expected, mut times) = (0.0, Vec::new());
    loop {
        // λ0·τ·(1 - exp(-t/τ)) arrivals are expected until t; that number grows by 1 on average.
        expected += exponential(1.0, rng);
        let at = -decay * (-expected / (rate * decay)).ln_1p();
        // NaN if more come than ever will.
        if at.is_nan() || at >= parameters.number("time") {
            return times;
        }
        times.push(at);
    }
}
