//! `fluid`: the steady state of a swarm that peers join and leave.
//!
//! Source: Qiu & Srikant, "Modeling and Performance Analysis of BitTorrent-Like Peer-to-Peer
//! Networks" (2004), the abstract; the formula is derived. Peers arrive at random, λ a second,
//! download content of F bytes, and stay for a time of mean 1/γ. Each uploads u, as a seed all of
//! it, as a leecher the part η that finds a taker. In the steady state λ peers a second become
//! seeds, so there are y = λ/γ of those, and what x leechers and y seeds upload is what arrives:
//! λ·F = u·(η·x + y). By Little's law a download takes T = x/λ = (1/η)(F/u - 1/γ): more peers
//! bring as much as they take. A server alone would be the slower the more there are.
//!
//! λ, F/u and 1/γ are ours; so are the seed of the start, which leaves before we measure, and a
//! downlink that is never full. η is measured, as λ and the mean stay are: they are drawn.

use std::time::Duration;

use super::plot::in_hours;
use super::visits::{self, Seen};
use super::{
    Accept, Anchor, Arrivals, Band, Class, Context, Entry, Expect, Figure, Kind, Measure, Panel,
    Parameter, Parameters, Plan, Read, Run, Scenario, Series, Stay, Stopped, Time, Variation,
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "fluid",
    about: "the steady state of a swarm that peers join and leave: more peers make it no slower",
    rule: Entry {
        anchor: Anchor {
            source: "Qiu & Srikant, Modeling and Performance Analysis of BitTorrent-Like \
                     Peer-to-Peer Networks, 2004",
            read: Read::Abstract,
            says: "a download takes (1/η)(F/u - 1/γ), whatever the rate λ of arrivals; there are \
                   λ/γ seeds",
        },
        source: include_str!("fluid.rs"),
        parameters: PARAMETERS,
        plan: Some(|parameters| {
            plan(parameters, parameters.numbers("arrivals")[0], parameters.numbers("stays")[0])
        }),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[
            ("file-time", "600"),
            ("stays", "150"),
            ("chunks", "48"),
            ("chunk-size", "64KiB"),
            ("neighbors", "12"),
            ("seed-leaves", "1100"),
            ("warm-up", "1200"),
            ("time", "2400"),
        ],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("arrivals", "λ, peers that arrive a second", "0.05,0.1", Kind::Numbers(1e-4, 100.0)),
    Parameter::new("stays", "1/γ, mean seconds that a peer stays once it has everything", "150,300,450", Kind::Numbers(1.0, 1e5)),
    Parameter::new("file-time", "F/u, seconds in which a peer uploads as much as the file", "1200", Kind::Number(10.0, 1e5)),
    Parameter::new("chunks", "Chunks in the file", "96", Kind::Count(1, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk", "128KiB", Kind::ChunkSize),
    Parameter::new("download", "What a peer can download, in u", "20", Kind::Number(1.0, 1000.0)),
    Parameter::neighbors("20"),
    Parameter::CHOKER,
    Parameter::new("seed-upload", "What the seed of the start uploads, in u", "4", Kind::Number(0.1, 1e4)),
    Parameter::new("seed-leaves", "Seconds from the start to its departure", "3600", Kind::Number(1.0, 1e6)),
    Parameter::new("warm-up", "Seconds from the start that are not measured", "5400", Kind::Number(0.0, 1e6)),
    Parameter::new("time", "Seconds of the whole run", "14400", Kind::Number(60.0, 1e6)),
    Parameter::ORDER,
];

/// The server of the control uploads the file 50 times in F/u, in which λ·F/u peers arrive: 60 and 120.
#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new(
        "a server, and peers that upload nothing",
        &[("choker", "free-rider"), ("stays", "300"), ("seed-upload", "50"), ("seed-leaves", "14400")],
        3,
        &[Expect::exceeds(1.5, "T, the last")],
    ),
];

/// The part of their uplinks that leechers use.
const EFFECTIVENESS: Band = Band::new(0.85, 1.0);

/// T and y over what is predicted.
const STEADY: Band = Band::within(0.08);

/// T with the last λ over T with the first.
const ALIKE: Band = Band::within(0.12);

fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (arrivals, stays) = (parameters.numbers("arrivals"), parameters.numbers("stays"));
    let (warm_up, time) = (parameters.number("warm-up"), parameters.number("time"));
    let file_time = parameters.number("file-time");
    if warm_up >= time {
        let why = format!("warm-up {warm_up} must be less than time {time}");
        return Err(Stopped::Impossible(why));
    }
    if let Some(stay) = stays.iter().find(|&&stay| stay >= file_time) {
        // The seeds alone would be enough.
        let why = format!("stays {stay} must be less than file-time {file_time}");
        return Err(Stopped::Impossible(why));
    }
    let (mut measures, mut plot, mut digest) = (Vec::new(), Vec::new(), 0_u64);
    for &stay in &stays {
        let mut times = Vec::new();
        for &rate in &arrivals {
            let steady = steady_state(parameters, &plan(parameters, rate, stay), context)?;
            let Steady { seen, effectiveness, .. } = &steady;
            // Leechers that upload nothing have no steady state; a report has no infinite numbers.
            let download = (file_time - seen.stay) / effectiveness.max(0.01);
            let (leechers, seeds) = (seen.arrivals * download, seen.arrivals * seen.stay);
            let measure = |what, unit, value| {
                Measure::new(format!("{what}, λ = {rate}, 1/γ = {stay}"), unit, value)
            };
            let steady_at = |value| Accept::Mean(STEADY.times(value));
            measures.extend([
                measure("η", "", *effectiveness).accept(Accept::Each(EFFECTIVENESS)),
                measure("T", "s", seen.download).predicted(download).accept(steady_at(download)),
                measure("y", "", seen.seeds).predicted(seeds).accept(steady_at(seeds)),
            ]);
            times.push(seen.download);
            digest = digest.rotate_left(1) ^ steady.digest;
            // The plot shows the last swarm.
            let lines = lines(steady.population, [leechers, seeds], [warm_up, time]);
            let y = format!("peers, with λ = {rate}/s, 1/γ = {stay} s");
            plot = vec![Panel::new("time (hours)", &y, Figure::Lines(lines))];
        }
        if let [first, .., last] = times[..] {
            let what = format!("T, the last λ over the first, 1/γ = {stay}");
            let alike = Measure::new(what, "", last / first).predicted(1.0);
            measures.push(alike.accept(Accept::Mean(ALIKE)));
        }
    }
    Ok(Run { seed: context.seed, measures, plot, digest })
}

/// Leechers and seeds over time, and what is predicted for the steady state.
fn lines(population: [Vec<(f64, f64)>; 2], predicted: [f64; 2], measured: [f64; 2]) -> Vec<Series> {
    let names = ["leechers", "seeds"].into_iter().zip(population).zip(predicted);
    let lines = names.flat_map(|((name, points), predicted)| {
        let level = measured.map(|at| (at, predicted)).to_vec();
        [Series::measured(name, in_hours(points)), Series::predicted("predicted", in_hours(level))]
    });
    lines.collect()
}

/// What was measured of a swarm in its steady state.
struct Steady {
    seen: Seen,
    /// η.
    effectiveness: f64,
    /// Leechers over time, and seeds.
    population: [Vec<(f64, f64)>; 2],
    digest: u64,
}

/// u, in bytes a second.
fn upload(parameters: &Parameters) -> f64 {
    let f = f64::from(parameters.count("chunks")) * f64::from(parameters.chunk_size("chunk-size"));
    f / parameters.number("file-time")
}

/// The seed of the start, and peers that come at this rate and stay for a time with this mean.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive")]
fn plan(parameters: &Parameters, rate: f64, stay: f64) -> Plan {
    let time = parameters.seconds("time");
    let of_upload = |times: f64| (times * upload(parameters)) as u64;
    let down = of_upload(parameters.number("download"));
    let seed = Class {
        stays: Stay::For(Time(parameters.seconds("seed-leaves"))),
        ..Class::seed_of(parameters, of_upload(parameters.number("seed-upload")), down)
    };
    let peer = Class {
        arrives: Arrivals::Poisson { rate, until: Time(time), decay: None },
        stays: Stay::Exponential(Time(Duration::from_secs_f64(stay))),
        ..Class::of(parameters, "peer", of_upload(1.0), down)
    };
    Plan::new(parameters.count("chunks"), parameters.chunk_size("chunk-size"))
        .classes([seed, peer])
        .lasts(time)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn steady_state(
    parameters: &Parameters,
    plan: &Plan,
    context: &mut Context<'_>,
) -> Result<Steady, Stopped> {
    let (warm_up, time) = (parameters.number("warm-up"), parameters.number("time"));
    let (mut swarm, joined) = plan.swarm(context)?;
    let visits = &joined[1];
    swarm.run_for(parameters.seconds("warm-up"))?;
    let before = swarm.world.observer.from_leechers;
    swarm.run_for(parameters.seconds("time") - parameters.seconds("warm-up"))?;

    let seen = Seen::between(visits, &swarm, warm_up, time).ok_or_else(|| {
        Stopped::Impossible(format!("no peer completed between {warm_up} and {time} seconds"))
    })?;
    let books = &swarm.world.observer;
    let sent = (books.from_leechers - before) as f64;
    let effectiveness = sent / (upload(parameters) * seen.leechers * (time - warm_up));
    let population = visits::population(visits, &swarm, time, POINTS);
    Ok(Steady { seen, effectiveness, population, digest: books.digest })
}

/// In a line over time.
const POINTS: u32 = 241;
