//! `kurose-ross`: the time to distribute a file, client-server against P2P.
//!
//! Source: Kurose & Ross 2.5, the figure that compares the two architectures (the text was read).
//! With content of F bits, a server that uploads u_s, N peers that upload u_i and download at least
//! d_min:
//!
//! - client-server: D = max{N·F/u_s, F/d_min}
//! - P2P: D >= max{F/u_s, F/d_min, N·F/(u_s + sum of u_i)}
//!
//! The book's figure has F/u = 1 hour, u_s = 10 u, and d too large to matter. A swarm of this core
//! must come close to the bound, and cannot be below it. The number of chunks and their size are
//! ours.

use super::{
    Accept, Anchor, Band, Class, Context, Entry, Expect, Figure, Kind, Measure, Panel, Parameter,
    Parameters, Plan, Read, Run, Scenario, Series, Stopped, Variation, last,
};
use crate::choker::{Strategy, free_rider};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "kurose-ross",
    about: "the time to distribute a file: client-server grows with N, P2P does not",
    rule: Entry {
        anchor: Anchor {
            source: "Kurose & Ross, section 2.5, the figure of client-server against P2P",
            read: Read::Text,
            says: "client-server takes max{N F/u_s, F/d}; P2P at least \
                   max{F/u_s, F/d, N F/(u_s + N u)}",
        },
        source: include_str!("kurose_ross.rs"),
        parameters: PARAMETERS,
        plan: Some(|parameters| {
            plan(parameters, parameters.counts("peers")[0], parameters.choker("choker"))
        }),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[("peers", "1,10,30"), ("chunks", "400")],
    },
};

/// Chunks of 192 KiB: each of five neighbors that a peer serves gets five blocks a round.
#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "N, the peers beside the seed", "1,5,10,20,30", Kind::Counts(1, 1000)),
    Parameter::new("chunks", "Chunks in the file", "800", Kind::Count(1, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk; F is all of them", "192KiB", Kind::ChunkSize),
    Parameter::new("upload", "u, what each peer uploads; by default F/u is an hour", "43690B", Kind::Rate),
    Parameter::new("seed-upload", "u_s, what the seed uploads", "436900B", Kind::Rate),
    Parameter::new("download", "d, what each peer can download", "4369000B", Kind::Rate),
    Parameter::CHOKER,
    Parameter::ORDER,
    Parameter::neighbors("80"),
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("the choker of the reference client", &[("choker", "mainline")], 3, &[Expect::Holds]),
    Variation::new("chunks in order", &[("order", "in-order"), ("peers", "30")], 3, &[Expect::exceeds(1.2, "P2P")]),
    Variation::new("peers that upload nothing", &[("choker", "free-rider"), ("peers", "30")], 3, &[Expect::exceeds(2.0, "P2P")]),
];

/// P2P, measured over the bound.
const P2P: Band = Band::new(1.0, 1.04);

/// Client-server, measured over predicted.
const CLIENT_SERVER: Band = Band::new(1.0, 1.02);

fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (mut measures, mut digest) = (Vec::new(), 0_u64);
    let mut points: [Vec<(f64, f64)>; 4] = Default::default();
    for peers in parameters.counts("peers") {
        let predicted = predict(parameters, peers);
        let n = f64::from(peers);
        let mut measure = |architecture: &str, choker, bound: f64, band: Band| {
            let (time, delivered) = distribute(&plan(parameters, peers, choker), context)?;
            digest = digest.rotate_left(1) ^ delivered;
            let what = format!("{architecture}, N = {peers}");
            let accept = Accept::Each(band.times(bound));
            measures.push(Measure::new(what, "s", time).predicted(bound).accept(accept));
            Ok::<_, Stopped>(time)
        };
        let p2p = measure("P2P", parameters.choker("choker"), predicted.p2p, P2P)?;
        let client_server =
            measure("client-server", free_rider::STRATEGY, predicted.client_server, CLIENT_SERVER)?;
        for (line, time) in
            points.iter_mut().zip([p2p, predicted.p2p, client_server, predicted.client_server])
        {
            line.push((n, time / 3600.0));
        }
    }
    let [p2p, bound, client_server, predicted] = points;
    let lines = Figure::Lines(vec![
        Series::measured("client-server", client_server),
        Series::predicted("predicted by the formulas", predicted),
        Series::measured("P2P", p2p),
        Series::predicted("predicted by the formulas", bound),
    ]);
    let plot = vec![Panel::new("N, the number of peers", "distribution time (hours)", lines)];
    Ok(Run { seed: context.seed, measures, plot, digest })
}

/// Seconds.
struct Predicted {
    p2p: f64,
    client_server: f64,
}

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn predict(parameters: &Parameters, peers: u32) -> Predicted {
    let rate = |name| parameters.rate(name) as f64;
    let (n, u, u_s, d) = (f64::from(peers), rate("upload"), rate("seed-upload"), rate("download"));
    let f = f64::from(parameters.count("chunks")) * f64::from(parameters.chunk_size("chunk-size"));
    Predicted {
        p2p: (f / u_s).max(f / d).max(n * f / (u_s + n * u)),
        client_server: (n * f / u_s).max(f / d),
    }
}

/// A server, or a seed, and so many peers with this choker.
fn plan(parameters: &Parameters, peers: u32, choker: Strategy) -> Plan {
    let down = parameters.rate("download");
    let peer = Class {
        count: Some(peers),
        choker,
        ..Class::of(parameters, "peer", parameters.rate("upload"), down)
    };
    Plan::new(parameters.count("chunks"), parameters.chunk_size("chunk-size"))
        .classes([Class::seed_of(parameters, parameters.rate("seed-upload"), down), peer])
}

/// When the last peer had everything, in seconds, and the digest of the run.
fn distribute(plan: &Plan, context: &mut Context<'_>) -> Result<(f64, u64), Stopped> {
    let (mut swarm, joined) = plan.swarm(context)?;
    swarm.run_until_complete()?;
    let time = last(joined[1].iter().map(|peer| peer.completes(&swarm)));
    Ok((time, swarm.world.observer.digest))
}

#[cfg(test)]
mod tests {
    use super::super::{Spread, runs};
    use super::*;

    #[test]
    fn dividing_the_content_and_all_rates_by_two_changes_little() {
        let whole = Parameters::of(PARAMETERS).with(&[
            ("peers", "10"),
            ("chunk-size", "384KiB"),
            ("upload", "87380B"),
            ("seed-upload", "873800B"),
            ("download", "8738000B"),
        ]);
        let half = Parameters::of(PARAMETERS).with(&[("peers", "10")]);
        let [whole, half] = [whole, half].map(|parameters| {
            let runs = runs(0..3, |seed| {
                run(&parameters, &mut Context { seed, follow: &mut () }).unwrap()
            });
            Spread::of(runs.iter().map(|run| run.measures[0].measured)).mean
        });
        println!("{whole:.1} s, with half of all {half:.1} s");
        assert!(Band::within(0.03).contains(half / whole), "{half} instead of {whole}");
    }
}
