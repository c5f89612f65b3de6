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

use super::plot::in_hours;
use super::visits;
use super::{
    Accept, Anchor, Arrivals, Band, Class, Context, Entry, Expect, Figure, Kind, Measure, Panel,
    Parameter, Parameters, Plan, Read, Run, Scenario, Series, Spread, Stay, Stopped, Time,
    Variation,
};

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
        plan: Some(plan),
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
    Parameter::neighbors("20"),
    Parameter::new("seed-upload", "What the first seed uploads, in u; it stays", "4", Kind::Number(0.1, 1e4)),
    Parameter::new("time", "Seconds of the whole run", "28800", Kind::Number(600.0, 1e6)),
    Parameter::CHOKER,
    Parameter::ORDER,
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

fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (seed, time) = (context.seed, parameters.number("time"));
    let (mut swarm, joined) = plan(parameters).swarm(context)?;

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
    let downloads = visits::downloads(&joined[1], &swarm, time) / 3600.0;
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

/// A seed, and peers that arrive at a rate that falls from λ0 to λ0·exp(-t/τ).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive")]
fn plan(parameters: &Parameters) -> Plan {
    let (chunks, chunk_size) = (parameters.count("chunks"), parameters.chunk_size("chunk-size"));
    let time = parameters.seconds("time");
    let upload = f64::from(chunks) * f64::from(chunk_size) / parameters.number("file-time");
    let of_upload = |times: f64| (times * upload).ceil() as u64;
    let down = of_upload(parameters.number("download"));
    let seed = Class::seed_of(parameters, of_upload(parameters.number("seed-upload")), down);
    let peer = Class {
        arrives: Arrivals::Poisson {
            rate: parameters.number("arrivals"),
            until: Time(time),
            decay: Some(Time(parameters.seconds("decay"))),
        },
        stays: Stay::Exponential(Time(parameters.seconds("stays"))),
        ..Class::of(parameters, "peer", of_upload(1.0), down)
    };
    Plan::new(chunks, chunk_size).classes([seed, peer]).lasts(time)
}
