//! `synchronised`: equal peers that arrive one after another and leave together.
//!
//! Source: Murai, Rocha, Figueiredo, de Souza e Silva, "Heterogeneous download times in a
//! homogeneous BitTorrent swarm" (2011), the abstract: in a swarm of few peers with equal upload
//! capacities, a peer that arrives later downloads faster, so that all get to have the same content
//! and leave in a burst. The numbers are ours.
//!
//! A peer downloads what it lacks and others have at up to the sum of their uplinks, so a late peer
//! catches up with the first. From then on all wait for what the seed sends next: each chunk to one
//! peer, which passes it on. While u_s < u, the N peers can do so at once, since N·u exceeds
//! (N - 1)·u_s. The last chunk leaves the seed after F/u_s, and all leave then, whenever they
//! arrived, if the last to arrive has caught up by then. With a seed that is faster than the peers
//! each has everything before the next has caught up, and departures are as far apart as arrivals.

use super::{
    Accept, Anchor, Arrivals, Band, Class, Context, Entry, Expect, Figure, Kind, Measure, Panel,
    Parameter, Parameters, Plan, Read, Run, Scenario, Series, Spread, Stay, Stopped, Time,
    Variation,
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "synchronised",
    about: "equal peers that arrive one after another and leave together",
    rule: Entry {
        anchor: Anchor {
            source: "Murai, Rocha, Figueiredo, de Souza e Silva, Heterogeneous download times in \
                     a homogeneous BitTorrent swarm, 2011",
            read: Read::Abstract,
            says: "peers with equal uplinks have unequal download times, the same content, and \
                   bursty departures: with u_s < u, all leave just after F/u_s",
        },
        source: include_str!("synchronised.rs"),
        parameters: PARAMETERS,
        plan: Some(plan),
        run,
        runs: 8,
        variations: VARIATIONS,
        short: &[],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "Peers; each leaves when it has everything", "5", Kind::Count(2, 1000)),
    Parameter::new("apart", "Seconds from one arrival to the next", "300", Kind::Number(1.0, 1e6)),
    Parameter::new("upload", "u, what each peer uploads", "100KB", Kind::Rate),
    Parameter::new("seed-upload", "u_s, what the seed uploads", "50KB", Kind::Rate),
    Parameter::new("chunks", "Chunks of 256 KiB in the file", "400", Kind::Count(1, 100_000)),
    Parameter::CHOKER,
    Parameter::neighbors("80"),
    Parameter::ORDER,
];

/// The greater u_s, the less time the last peer has to get what the first has: until F/u_s.
#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("a seed of 0.3 u", &[("seed-upload", "30KB")], 3, &[Expect::Holds]),
    Variation::new("a seed of 0.4 u", &[("seed-upload", "40KB")], 3, &[Expect::Holds]),
    Variation::new("the choker of the reference client", &[("choker", "mainline")], 3, &[Expect::Holds]),
    Variation::new(
        "a seed of 2 u",
        &[("seed-upload", "200KB")],
        3,
        &[Expect::Misses("from the first departure"), Expect::Ratio("departures over", Band::new(0.5, 2.0))],
    ),
];

/// The last departure, over F/u_s.
const LAST: Band = Band::new(1.0, 1.15);

/// From the first departure to the last, over F/u_s.
const BURST: Band = Band::new(0.0, 0.02);

/// What every peer can download, over u: more than all others upload.
const DOWN: u64 = 20;

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (upload, seed_upload) = (parameters.rate("upload"), parameters.rate("seed-upload"));
    let seed = context.seed;
    let (mut swarm, joined) = plan(parameters).swarm(context)?;
    swarm.run_until_complete()?;

    let arrivals: Vec<_> = joined[1].iter().map(|peer| peer.arrives).collect();
    let departures: Vec<_> = joined[1].iter().map(|peer| peer.completes(&swarm)).collect();
    let f_us = swarm.geometry.total_length() as f64 / seed_upload as f64;
    let is_slow = seed_upload < upload;
    let [arrived, left] = [&arrivals, &departures].map(|times| Spread::of(times.iter().copied()));
    let width = |spread: Spread| spread.most - spread.least;
    let last = arrivals.len() - 1;
    let measures = vec![
        Measure::new("the last departure", "s", left.most)
            .predicted(f_us)
            .accept(Accept::Each(LAST.times(f_us))),
        Measure::new("from the first departure to the last", "s", width(left))
            .predicted(if is_slow { 0.0 } else { width(arrived) })
            .accept(Accept::Each(BURST.times(f_us))),
        Measure::new(
            "departures over arrivals, from the first to the last",
            "",
            width(left) / width(arrived),
        )
        .predicted(if is_slow { 0.0 } else { 1.0 }),
        Measure::new("download time of the peer that came first", "s", departures[0] - arrivals[0]),
        Measure::new(
            "download time of the peer that came last",
            "s",
            departures[last] - arrivals[last],
        ),
    ];
    let lines = Figure::Lines(vec![
        Series::measured("arrived", counted(&arrivals)),
        Series::measured("complete", counted(&departures)),
        Series::predicted(
            "predicted: all complete after F/u_s",
            counted(&vec![f_us; arrivals.len()]),
        ),
    ]);
    let plot = vec![Panel::new("time (minutes)", "peers", lines)];
    Ok(Run { seed, measures, plot, digest: swarm.world.observer.digest })
}

fn plan(parameters: &Parameters) -> Plan {
    let upload = parameters.rate("upload");
    let peer = Class {
        count: Some(parameters.count("peers")),
        arrives: Arrivals::Every(Time(parameters.seconds("apart"))),
        stays: Stay::For(Time::ZERO),
        ..Class::of(parameters, "peer", upload, DOWN * upload)
    };
    Plan::new(parameters.count("chunks"), 256 * 1024)
        .classes([Class::seed_of(parameters, parameters.rate("seed-upload"), DOWN * upload), peer])
}

/// How many peers have done something, after each time.
fn counted(times: &[f64]) -> Vec<(f64, f64)> {
    let mut minutes: Vec<f64> = times.iter().map(|time| time / 60.0).collect();
    minutes.sort_by(f64::total_cmp);
    minutes.into_iter().zip((1..).map(f64::from)).collect()
}
