//! `missing-piece`: a swarm in which almost all lack the same chunk.
//!
//! Source: Hajek, Zhu, "The Missing Piece Syndrome in Peer-to-Peer Communication" (2010), the
//! abstract: if peers leave as soon as they have everything, a swarm is stable while the seed sends
//! more chunks a second than peers arrive, and unstable if it sends fewer, whatever the order of
//! chunks: one chunk may become rare, and then the peers that get it leave with it. What follows
//! is derived: a club of peers lacks only that chunk. A peer that arrives gets all others from the
//! club, and joins it. Only the seed has the chunk: it sends U_s chunks a second, and with each a
//! peer leaves. So the population changes by λ - U_s a second.
//!
//! The second control: Zhu, Hajek, "Stability of a Peer-to-Peer Communication System" (2012), the
//! abstract: the swarm is stable if each peer stays long enough to upload one chunk more.
//!
//! Arrivals are a Poisson process. If departures were one as well, the growth over a time T would
//! have the standard deviation sqrt((λ + U_s)·T)/T; the band is three of those on each side. The
//! numbers are ours.
//!
//! Measured growth is a little above the prediction. What the seed has sent at the end includes
//! chunks of which peers have only a part, and a peer that arrives sometimes gets another chunk of
//! the seed: for each chunk of the seed 0.9 to 1 peers leave. With λ = 0.5 U_s the seed is idle for
//! 8 % of the time, but not with a club of 70, of which it can have all as neighbors.

use std::time::Duration;

use super::plan::MOST_NEIGHBORS;
use super::{
    Accept, Anchor, Arrivals, Band, Begins, Class, Context, Entry, Expect, Figure, Kind, Measure,
    Panel, Parameter, Parameters, Plan, Read, Run, Scenario, Series, Stay, Stopped, Time,
    Variation,
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "missing-piece",
    about: "almost all peers lack the same chunk: the swarm grows if peers arrive faster than the \
            seed sends chunks",
    rule: Entry {
        anchor: Anchor {
            source: "Hajek, Zhu, The Missing Piece Syndrome in Peer-to-Peer Communication, 2010",
            read: Read::Abstract,
            says: "the swarm is unstable if peers arrive faster than the seed sends chunks: the \
                   population grows by lambda - U_s, whatever the order of chunks",
        },
        source: include_str!("missing_piece.rs"),
        parameters: PARAMETERS,
        plan: Some(|parameters| {
            let lambda = parameters.numbers("load")[0] * parameters.number("seed-upload");
            plan(parameters, lambda)
        }),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[
            ("load", "0.5,2"),
            ("club", "40"),
            ("chunks", "10"),
            ("chunk-size", "128KiB"),
            ("time", "400"),
        ],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("load", "λ/U_s, arrivals for each chunk that the seed sends", "0.5,0.9,1.5,2", Kind::Numbers(0.01, 100.0)),
    Parameter::new("club", "Peers that lack only one chunk, at the start", "150", Kind::Count(1, 10_000)),
    Parameter::new("chunks", "Chunks in the file", "20", Kind::Count(2, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk", "256KiB", Kind::ChunkSize),
    Parameter::new("seed-upload", "U_s, chunks a second that the seed uploads", "0.1", Kind::Number(0.001, 1000.0)),
    Parameter::new("upload", "Chunks a second that each peer uploads", "0.5", Kind::Number(0.001, 1000.0)),
    Parameter::new("stays", "For how many uploads a peer stays when it has everything", "0", Kind::Number(0.0, 1e6)),
    Parameter::ORDER,
    Parameter::new("time", "Seconds", "1500", Kind::Number(60.0, 1e6)),
    Parameter::neighbors("80"),
    Parameter::CHOKER,
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("chunks in random order", &[("order", "random")], 3, &[Expect::Holds]),
    Variation::new(
        "peers that stay for one more upload",
        &[("load", "1.5"), ("stays", "1")],
        3,
        &[Expect::Misses("growth"), Expect::Ratio("growth", Band::new(-100.0, 0.0))],
    ),
];

/// What a peer can download, over what it uploads.
const DOWN: u64 = 10;

fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (time, u_s) = (parameters.number("time"), parameters.number("seed-upload"));
    let club = f64::from(parameters.count("club"));
    let (mut measures, mut series, mut digest) = (Vec::new(), Vec::new(), 0_u64);
    for load in parameters.numbers("load") {
        let lambda = load * u_s;
        let Outcome { population, departures, sent, digest: delivered } =
            evolve(parameters, lambda, context)?;
        digest = digest.rotate_left(1) ^ delivered;
        let (_, after) = population[population.len() - 1];
        let predicted = lambda - u_s;
        let deviation = ((lambda + u_s) * time).sqrt() / time;
        let band = Band::new(predicted - 3.0 * deviation, predicted + 3.0 * deviation);
        let what = format!("growth, λ = {load} U_s");
        let measure = Measure::new(what, "peers/s", (after - club) / time);
        measures.push(measure.predicted(predicted).accept(Accept::Each(band)));
        let what = format!("the seed sends, λ = {load} U_s");
        measures.push(Measure::new(what, "chunks/s", sent / time).predicted(u_s));
        let what = format!("departures for each chunk of the seed, λ = {load} U_s");
        measures.push(Measure::new(what, "", departures / sent).predicted(1.0));
        let name = format!("λ = {load} U_s");
        let line = vec![(0.0, club), (time, club + predicted * time)];
        series.push(Series::measured(name, population));
        series.push(Series::predicted("predicted", line));
    }
    let plot =
        vec![Panel::new("time (seconds)", "peers that lack something", Figure::Lines(series))];
    Ok(Run { seed: context.seed, measures, plot, digest })
}

/// What comes of one λ.
struct Outcome {
    /// How many peers lack something, over time.
    population: Vec<(f64, f64)>,
    departures: f64,
    /// Chunks that the seed sent.
    sent: f64,
    digest: u64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn evolve(
    parameters: &Parameters,
    lambda: f64,
    context: &mut Context<'_>,
) -> Result<Outcome, Stopped> {
    let (mut swarm, joined) = plan(parameters, lambda).swarm(context)?;
    swarm.run_for(parameters.seconds("time"))?;

    let [source, club, later] = &joined[..] else { unreachable!("the plan has three classes") };
    let completed = club.iter().chain(later).map(|peer| peer.completes(&swarm));
    let mut changes: Vec<_> = completed.filter(|at| at.is_finite()).map(|at| (at, -1.0)).collect();
    let departures = changes.len() as f64;
    changes.extend(later.iter().map(|peer| (peer.arrives, 1.0)));
    changes.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut population = vec![(0.0, club.len() as f64)];
    for (at, change) in changes {
        let (_, before) = population[population.len() - 1];
        population.push((at, before + change));
    }
    let chunk_size = f64::from(parameters.chunk_size("chunk-size"));
    let sent = swarm.uploaded(source[0].host) as f64 / chunk_size;
    Ok(Outcome { population, departures, sent, digest: swarm.world.observer.digest })
}

/// A seed, a club of peers that lack only one chunk, and peers that come at this rate.
fn plan(parameters: &Parameters, lambda: f64) -> Plan {
    let (chunk_size, upload) = (parameters.chunk_size("chunk-size"), parameters.number("upload"));
    let seed_up = rate(parameters.number("seed-upload"), chunk_size);
    // Any peer may be a neighbor of the seed.
    let seed = Class { neighbors: MOST_NEIGHBORS, ..Class::seed(seed_up, DOWN * seed_up) };
    let up = rate(upload, chunk_size);
    let stays = Duration::from_secs_f64(parameters.number("stays") / upload);
    let peer = |name| Class {
        stays: Stay::For(Time(stays)),
        ..Class::of(parameters, name, up, DOWN * up)
    };
    let club = Class {
        count: Some(parameters.count("club")),
        begins_with: Begins::AllButOne,
        ..peer("club")
    };
    let time = parameters.seconds("time");
    let arrives = Arrivals::Poisson { rate: lambda, until: Time(time), decay: None };
    let newcomer = Class { arrives, ..peer("newcomer") };
    Plan::new(parameters.count("chunks"), chunk_size).classes([seed, club, newcomer]).lasts(time)
}

/// Bytes a second, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number")]
fn rate(chunks_a_second: f64, chunk_size: u32) -> u64 {
    ((chunks_a_second * f64::from(chunk_size)) as u64).max(1)
}
