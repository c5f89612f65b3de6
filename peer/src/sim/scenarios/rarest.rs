//! `rarest`: how soon the chunks of a lone, slow seed are all in the swarm.
//!
//! Sources: Bharambe, Herley, Padmanabhan, "Analyzing and Improving a BitTorrent Network's
//! Performance Mechanisms" (2006), and Legout, Urvoy-Keller, Michiardi, "Rarest First and Choke
//! Algorithms Are Enough" (2006), of both the abstract: rarest first is near the ideal, other
//! orders waste the upload of the seed. The bounds are derived: a first copy has left the seed
//! after F/u_s at the earliest, and N equal peers have all of it after N·F/(u_s + N·u). How close
//! rarest first comes to that follows from no formula: the upper ends of the bands are ours, as all
//! numbers are.

use std::time::Duration;

use super::rare;
use super::{
    Accept, Anchor, Band, Class, Context, Entry, Expect, Kind, Measure, Parameter, Parameters,
    Plan, Read, Run, Scenario, Stay, Stopped, Time, Variation, last,
};
use crate::sim::HostId;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "rarest",
    about: "how soon the chunks of a lone, slow seed are all in the swarm",
    rule: Entry {
        anchor: Anchor {
            source: "Bharambe, Herley, Padmanabhan 2006; Legout, Urvoy-Keller, Michiardi 2006",
            read: Read::Abstract,
            says: "rarest first is near the ideal: a first copy after F/u_s, all after \
                   N F/(u_s + N u); other orders waste the upload of the seed",
        },
        source: include_str!("rarest.rs"),
        parameters: PARAMETERS,
        plan: Some(plan),
        run,
        runs: 8,
        variations: VARIATIONS,
        short: &[("peers", "40")],
    },
};

/// u is u_s. A peer that serves five sends each of them a chunk of 16 blocks in 8 s, less than a
/// round. The longer a chunk takes, the more of them a choke leaves in pieces.
#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "N; each leaves when it has everything", "60", Kind::Count(2, 1000)),
    Parameter::new("chunks", "Chunks in the file", "200", Kind::Count(1, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk", "256KiB", Kind::ChunkSize),
    Parameter::new("upload", "u = u_s, what each peer and the seed upload", "163840B", Kind::Rate),
    Parameter::ORDER,
    Parameter::new("strict-priority", "Which chunks in progress go before new ones", "seeds", Kind::StrictPriority),
    Parameter::neighbors("80"),
    Parameter::CHOKER,
];

/// Random order has to be 8 % later than rarest first, which over eight runs takes 1.156 times F/u_s
/// and 1.408 times the bound in the mean.
#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("chunks in random order", &[("order", "random")], 3, &[Expect::exceeds(1.25, "a first copy"), Expect::exceeds(1.52, "all have")]),
    Variation::new("chunks in order", &[("order", "in-order")], 3, &[Expect::exceeds(3.5, "all have")]),
    Variation::new("the first rule of strict priority", &[("strict-priority", "always")], 3, &[Expect::Misses("")]),
];

/// The first copy in the swarm with rarest first, over F/u_s.
const FIRST_COPY: Band = Band::new(1.0, 1.3);

/// The last completion with rarest first, over the bound, as a mean over runs. In a run the last
/// chunk that the seed sends may be one that all others lack; a peer that gets it is complete and
/// leaves with it, and the seed sends it once to each: up to N/chunks of F/u_s more.
const ALL: Band = Band::new(1.0, 1.45);

/// How often the plot looks at the swarm.
const EVERY: Duration = Duration::from_secs(5);

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (peers, upload) = (parameters.count("peers"), parameters.rate("upload"));
    let seed = context.seed;
    let (mut swarm, joined) = plan(parameters).swarm(context)?;
    let leechers: Vec<HostId> = joined[1].iter().map(|peer| peer.host).collect();
    let mut looks = Vec::new();
    swarm.watch_until_complete(EVERY, |swarm| looks.push(rare::look(swarm, &leechers)))?;

    let (n, f_u) = (f64::from(peers), swarm.geometry.total_length() as f64 / upload as f64);
    let books = &swarm.world.observer;
    let first_copy = books.first_copy.expect("all have everything").since_start().as_secs_f64();
    let all = last(joined[1].iter().map(|peer| peer.completes(&swarm)));
    let bound = n * f_u / (1.0 + n);
    let measures = vec![
        Measure::new("a first copy is out", "s", first_copy)
            .predicted(f_u)
            .accept(Accept::Each(FIRST_COPY.times(f_u))),
        Measure::new("all have everything", "s", all)
            .predicted(bound)
            .accept(Accept::Mean(ALL.times(bound))),
    ];
    let plot = vec![rare::plot(&swarm, &looks, upload as f64)];
    Ok(Run { seed, measures, plot, digest: books.digest })
}

fn plan(parameters: &Parameters) -> Plan {
    let upload = parameters.rate("upload");
    let peer = Class {
        count: Some(parameters.count("peers")),
        strict_priority: parameters.strict_priority("strict-priority"),
        stays: Stay::For(Time::ZERO),
        ..Class::of(parameters, "peer", upload, 10 * upload)
    };
    Plan::new(parameters.count("chunks"), parameters.chunk_size("chunk-size"))
        .classes([Class::seed_of(parameters, upload, 10 * upload), peer])
}
