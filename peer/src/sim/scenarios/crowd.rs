//! `crowd`: a swarm of any size, for what a run costs.
//!
//! It reproduces nothing that is published; the set-up is ours. N peers arrive evenly over ten
//! minutes, and each leaves five minutes after it has everything.
//!
//! Source: Kurose & Ross 2.5, whose bound is derived here for peers that arrive over time. Until the
//! last of them has everything, N·F bytes have to be uploaded, and a peer uploads at most u from its
//! arrival on. So T is at least the time at which u_s·T + (the sum over the peers of
//! u·(T - arrival)) = N·F, and the last peer takes at least F/d from its arrival on.

use std::time::Duration;

use super::{
    Accept, Anchor, Arrivals, Band, Class, Context, Entry, Figure, Kind, Measure, Panel, Parameter,
    Parameters, Plan, Read, Run, Scenario, Series, Spread, Stay, Stopped, Time, last,
};

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
        source: include_str!("crowd.rs"),
        parameters: PARAMETERS,
        run,
        plan: Some(plan),
        runs: 3,
        variations: &[],
        short: &[("peers", "40"), ("seeds", "1"), ("chunks", "64"), ("arrivals", "60")],
    },
};

/// At the defaults a run takes some seconds; docs/performance.md has larger ones.
#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "N, the peers that arrive", "300", Kind::Count(1, 15_000)),
    Parameter::new("seeds", "Peers that have everything from the start on", "2", Kind::Count(1, 1000)),
    Parameter::new("chunks", "Chunks in the file", "128", Kind::Count(1, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk", "256KiB", Kind::ChunkSize),
    Parameter::neighbors("55"),
    Parameter::new("upload", "u, what each peer uploads", "100KB", Kind::Rate),
    Parameter::new("download", "What each peer can download", "800KB", Kind::Rate),
    Parameter::new("seed-upload", "What each seed uploads", "1MB", Kind::Rate),
    Parameter::new("arrivals", "Seconds in which the peers arrive, evenly", "600", Kind::Number(0.0, 1e6)),
    Parameter::new("stays", "Seconds that a peer stays once it has everything", "300", Kind::Number(0.0, 1e6)),
    Parameter::CHOKER,
    Parameter::ORDER,
];

/// When the last peer has everything, over the bound.
const LAST: Band = Band::new(1.0, 1.3);

/// How often the population is looked at.
const EVERY: Duration = Duration::from_secs(20);

fn plan(parameters: &Parameters) -> Plan {
    let down = parameters.rate("download");
    let seed = Class {
        count: Some(parameters.count("seeds")),
        ..Class::seed_of(parameters, parameters.rate("seed-upload"), down)
    };
    let peer = Class {
        count: Some(parameters.count("peers")),
        arrives: Arrivals::Evenly(Time(parameters.seconds("arrivals"))),
        stays: Stay::For(Time(parameters.seconds("stays"))),
        ..Class::of(parameters, "peer", parameters.rate("upload"), down)
    };
    Plan::new(parameters.count("chunks"), parameters.chunk_size("chunk-size")).classes([seed, peer])
}

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let seed = context.seed;
    let (mut swarm, joined) = plan(parameters).swarm(context)?;
    let [mut leechers, mut seeds] = [Vec::new(), Vec::new()];
    swarm.watch_until_complete(EVERY, |swarm| {
        let at = swarm.world.elapsed().as_secs_f64();
        let counts = swarm.world.counts();
        leechers.push((at, f64::from(counts.leechers)));
        seeds.push((at, f64::from(counts.seeders)));
    })?;

    let peers = &joined[1];
    let completed: Vec<_> = peers.iter().map(|peer| peer.completes(&swarm)).collect();
    let download = Spread::of(peers.iter().zip(&completed).map(|(peer, done)| done - peer.arrives));
    let arrivals = peers.iter().map(|peer| peer.arrives);
    let (n, u) = (peers.len() as f64, parameters.rate("upload") as f64);
    let down = parameters.rate("download") as f64;
    let u_s = f64::from(parameters.count("seeds")) * parameters.rate("seed-upload") as f64;
    let f = swarm.geometry.total_length() as f64;
    let alone = last(arrivals.clone()) + f / down;
    let bound = (n * f + u * arrivals.sum::<f64>()) / (u_s + n * u);
    let bound = bound.max(alone);
    let measures = vec![
        Measure::new("the last peer has everything", "s", last(completed))
            .predicted(bound)
            .accept(Accept::Each(LAST.times(bound))),
        Measure::new("download time, mean", "s", download.mean),
        Measure::new("download time, longest", "s", download.most),
    ];
    let lines = Figure::Lines(vec![
        Series::measured("leechers", leechers),
        Series::measured("seeds", seeds),
    ]);
    let plot = vec![Panel::new("time (seconds)", "peers", lines)];
    Ok(Run { seed, measures, plot, digest: swarm.world.observer.digest })
}
