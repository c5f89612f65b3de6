//! `free-rider`: how much a peer gets that gives nothing.
//!
//! Source: Kurose & Ross, the problem on Bob, who joins a torrent and does not upload (the text was
//! read); the rate is derived. Each contributor uploads u to s peers at a time, u/s to each, of
//! which it chooses k by their rates. Bob is one of the other d - k interested neighbors, from
//! which it draws for the rest of its slots, so he gets u/s for 1/(d - k) of the time: of n
//! contributors that all are neighbors of each other and of him (s - k) n/(n - k) · u/s, where
//! s - k = 1. That leaves (n - his rate/u)/n · u to each contributor.
//!
//! The book's choker has k = 4 and s = 5, mainline's k = 3 and s = 4: of 50 contributors Bob gets
//! 0.2174 u or 0.2660 u. The number of contributors and the time are ours. A single run varies more
//! than the bands are wide, so the mean of all runs has to be in them.

use common::geometry::BLOCK_LENGTH;

use super::visits::Visit;
use super::{
    Accept, Anchor, Band, Begins, Class, Context, Entry, Expect, Figure, Kind, Measure, Panel,
    Parameter, Parameters, Plan, Read, Run, Scenario, Series, Stopped, Variation,
};
use crate::choker::free_rider;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "free-rider",
    about: "what a peer gets that gives nothing: what the optimistic unchoke leaves it",
    rule: Entry {
        anchor: Anchor {
            source: "Kurose & Ross, chapter 2, the problem on Bob, who does not upload",
            read: Read::Text,
            says: "of n contributors that choose k of the s they serve by rate, he gets \
                   (s - k) n/(n - k) u/s",
        },
        source: include_str!("free_rider.rs"),
        parameters: PARAMETERS,
        plan: Some(plan),
        run,
        runs: 8,
        variations: VARIATIONS,
        short: &[("contributors", "20"), ("time", "3000")],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("contributors", "n; each brings a random half of the chunks", "50", Kind::Count(5, 1000)),
    Parameter::new("riders", "How many give nothing", "1", Kind::Count(1, 100)),
    Parameter::new("choker", "Choker of the contributors", "textbook", Kind::Choker),
    Parameter::new("by-rate", "k, the peers that it chooses by their rates", "4", Kind::Count(0, 100)),
    Parameter::new("serves", "s, the peers that it serves", "5", Kind::Count(1, 1000)),
    Parameter::new("band", "Half the width of the band around what is predicted", "0.08", Kind::Number(0.0, 1.0)),
    Parameter::new("time", "Seconds to trade", "6000", Kind::Number(60.0, 1e6)),
    Parameter::ORDER,
];

/// 1500 s are too short, but where nothing is drawn.
#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new(
        "the choker of the reference client",
        &[("choker", "mainline"), ("by-rate", "3"), ("serves", "4"), ("band", "0.04")],
        8,
        &[Expect::Holds],
    ),
    Variation::new("two identities", &[("riders", "2")], 4, &[Expect::Holds]),
    Variation::new(
        "the reference client's choker held against the formula for the book's",
        &[("choker", "mainline")],
        8,
        &[Expect::Misses("a rider"), Expect::exceeds(1.15, "a rider")],
    ),
    Variation::new(
        "contributors that unchoke everybody, of which a rider gets u",
        &[("choker", "unchoke-all"), ("by-rate", "0"), ("band", "0.02"), ("time", "1500")],
        3,
        &[Expect::Holds],
    ),
];

/// What the contributors get, over what is predicted.
const CONTRIBUTORS: Band = Band::within(0.005);

/// u: a peer that serves five sends each five blocks a round.
const UPLOAD: u64 = 5 * BLOCK_LENGTH as u64 / 2;

/// Blocks of a chunk.
const BLOCKS: u32 = 64;

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (contributors, riders) = (parameters.count("contributors"), parameters.count("riders"));
    let (k, s) = (parameters.count("by-rate"), parameters.count("serves"));
    if k >= s || k >= contributors {
        let why =
            format!("by-rate {k} must be less than serves {s} and contributors {contributors}");
        return Err(Stopped::Impossible(why));
    }
    let time = parameters.number("time");
    let (n, k, s) = (f64::from(contributors), f64::from(k), f64::from(s));
    let predicted = (s - k) * n / (n + f64::from(riders - 1) - k) / s;
    let left = (n - f64::from(riders) * predicted) / n;
    let seed = context.seed;
    let (mut swarm, joined) = plan(parameters).swarm(context)?;
    swarm.run_for(parameters.seconds("time"))?;

    let rate = |peers: &[Visit]| {
        let bytes: u64 = peers.iter().map(|peer| swarm.downloaded(peer.host)).sum();
        bytes as f64 / peers.len() as f64 / (UPLOAD as f64 * time)
    };
    let band = Band::within(parameters.number("band")).times(predicted);
    let measures = vec![
        Measure::new("a rider gets", "u", rate(&joined[1]))
            .predicted(predicted)
            .accept(Accept::Mean(band)),
        Measure::new("a contributor gets", "u", rate(&joined[0]))
            .predicted(left)
            .accept(Accept::Mean(CONTRIBUTORS.times(left))),
    ];
    let u = |bytes: u64| bytes as f64 / (UPLOAD as f64 * time);
    let given_and_taken = |peers: &[Visit]| {
        let totals = peers.iter().map(|peer| swarm.world.peer(peer.host).totals());
        totals.map(|totals| (u(totals.uploaded), u(totals.downloaded))).collect()
    };
    let points = Figure::Points(vec![
        Series::measured("contributors", given_and_taken(&joined[0])),
        Series::predicted("predicted", vec![(1.0, left)]),
        Series::measured("riders", given_and_taken(&joined[1])),
        Series::predicted("predicted", vec![(0.0, predicted)]),
    ]);
    let plot = vec![Panel::new("given (u)", "taken (u)", points)];
    Ok(Run { seed, measures, plot, digest: swarm.world.observer.digest })
}

/// Contributors with a random half of the chunks, and riders.
#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn plan(parameters: &Parameters) -> Plan {
    let (contributors, riders) = (parameters.count("contributors"), parameters.count("riders"));
    // No peer finishes: half of the file is a third more than any peer can download.
    let most = parameters.number("time") * UPLOAD as f64 * 4.0 / 3.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let wanted = (most / f64::from(BLOCKS * BLOCK_LENGTH)) as u32 + 1;
    let peer = |name| {
        let usual = Class::new(name, UPLOAD, 20 * UPLOAD);
        // Every peer is a neighbor of every other.
        let neighbors = usual.neighbors.max((contributors + riders) * 4 / 3 + 1);
        Class { neighbors, order: parameters.order("order"), ..usual }
    };
    let contributor = Class {
        count: Some(contributors),
        begins_with: Begins::Random(0.5),
        choker: parameters.choker("choker"),
        ..peer("contributor")
    };
    let rider = Class { count: Some(riders), choker: free_rider::STRATEGY, ..peer("rider") };
    Plan::new(2 * wanted, BLOCKS * BLOCK_LENGTH)
        .classes([contributor, rider])
        .lasts(parameters.seconds("time"))
}
