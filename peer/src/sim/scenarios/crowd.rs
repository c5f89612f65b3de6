//! `crowd`: a swarm of any size, for what a run costs.
//!
//! It reproduces nothing that is published; the set-up is ours. N peers arrive evenly over ten
//! minutes, and each leaves five minutes after it has everything. The bound of K&R 2.5 for peers
//! that arrive over time: until the last of them has everything, N·F bytes have to be uploaded, and a
//! peer uploads at most u from its arrival on. So T is at least the time at which
//! u_s·T + (the sum over the peers of u·(T - arrival)) = N·F, and no less than the last peer takes
//! at the rate of its downlink.

use std::time::Duration;

use super::swarm::Swarm;
use super::{
    Accept, Anchor, Band, Context, Entry, Kind, Measure, Parameter, Parameters, Read, Run,
    Scenario, Series, Spread, Stopped, last,
};
use crate::sim::Link;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "crowd",
    about: "a swarm of any size, for what a run costs (--stats)",
    rule: Entry {
        anchor: Anchor {
            source: "Kurose & Ross, section 2.5",
            read: Read::Derived,
            says: "the last peer has everything when all uplinks together can have sent N·F bytes, \
                   and no earlier",
        },
        parameters: PARAMETERS,
        run,
        runs: 3,
        variations: &[],
        short: &[("peers", "40"), ("seeds", "1"), ("chunks", "64"), ("arrivals", "60")],
    },
};

/// At the defaults a run takes a second or two; SIMULATION has the large ones.
#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "N, the peers that arrive", "300", Kind::Count(1, 100_000)),
    Parameter::new("seeds", "Peers that have everything from the start on", "2", Kind::Count(1, 10_000)),
    Parameter::new("chunks", "Chunks in the file", "128", Kind::Count(1, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk", "256KiB", Kind::ChunkSize),
    Parameter::new("neighbors", "Neighbors that a peer may have", "55", Kind::Count(2, 1000)),
    Parameter::new("upload", "u, what each peer uploads", "100KB", Kind::Rate),
    Parameter::new("download", "What each peer can download", "800KB", Kind::Rate),
    Parameter::new("seed-upload", "What each seed uploads", "1MB", Kind::Rate),
    Parameter::new("arrivals", "Seconds in which the peers arrive, evenly", "600", Kind::Number(0.0, 1e6)),
    Parameter::new("stays", "Seconds that a peer stays once it has everything", "300", Kind::Number(0.0, 1e6)),
    Parameter::new("choker", "Choker of the peers", "textbook", Kind::Choker),
];

/// When the last peer has everything, over the bound.
const LAST: Band = Band::new(1.0, 1.3);

/// How often the population is looked at.
const EVERY: Duration = Duration::from_secs(20);

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let seed = context.seed;
    let (chunks, chunk_size) = (parameters.count("chunks"), parameters.chunk_size("chunk-size"));
    let mut swarm = Swarm::new(chunks, chunk_size, context)?;
    let neighbors = parameters.count("neighbors") as usize;
    let (upload, down) = (parameters.rate("upload"), parameters.rate("download"));
    let seed_upload = parameters.rate("seed-upload");
    let seeds = parameters.count("seeds");
    for _ in 0..seeds {
        swarm.join(swarm.everything(), Link::new(seed_upload, down), |config| {
            config.max_neighbors = neighbors;
        });
    }
    let peers = parameters.count("peers");
    let apart = parameters.seconds("arrivals") / peers;
    let joined = (0..peers).map(|number| {
        let link = Link::new(upload, down);
        let peer = swarm.join_at(number * apart, swarm.nothing(), link, |config| {
            (config.choker, config.max_neighbors) = (parameters.choker("choker"), neighbors);
        });
        swarm.world.leave_after_completion(peer, parameters.seconds("stays"));
        peer
    });
    let joined: Vec<_> = joined.collect();
    let mut lines = [Vec::new(), Vec::new()];
    swarm.watch_until_complete(EVERY, |swarm| {
        let at = swarm.world.elapsed().as_secs_f64();
        let counts = swarm.world.counts();
        for (line, count) in lines.iter_mut().zip([counts.leechers, counts.seeders]) {
            line.push((at, f64::from(count)));
        }
    })?;

    let completed: Vec<_> = joined.iter().map(|&peer| swarm.completed_at(peer)).collect();
    let arrivals = (0..peers).map(|number| (number * apart).as_secs_f64());
    let download =
        Spread::of(completed.iter().zip(arrivals.clone()).map(|(done, came)| done - came));
    let (u, u_s) = (upload as f64, f64::from(seeds) * seed_upload as f64);
    let needed = f64::from(peers) * swarm.geometry.total_length() as f64;
    let alone = last(arrivals.clone()) + swarm.geometry.total_length() as f64 / down as f64;
    let bound = (needed + u * arrivals.sum::<f64>()) / (u_s + f64::from(peers) * u);
    let bound = bound.max(alone);
    let measures = vec![
        Measure::new("the last peer has everything", "s", last(completed))
            .predicted(bound)
            .accept(Accept::Each(LAST.times(bound))),
        Measure::new("download time, mean", "s", download.mean),
        Measure::new("download time, longest", "s", download.most),
    ];
    let series = ["leechers", "seeds"].into_iter().zip(lines);
    let series =
        series.map(|(name, points)| Series { name: name.to_owned(), predicted: false, points });
    let series = series.collect();
    Ok(Run { seed, measures, series, digest: swarm.world.observer.digest })
}
