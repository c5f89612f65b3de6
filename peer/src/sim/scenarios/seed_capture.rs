//! `seed-capture`: a fast peer that gives nothing, at a seed that serves the fastest.
//!
//! Sources: the two rules are those of the reference client as a seed, in 2003 and in version 4.0.
//! Legout, Urvoy-Keller, Michiardi, "Rarest First and Choke Algorithms Are Enough" (2006), the
//! abstract: the latest version is robust to free riders. The shares are derived, and the numbers
//! ours: a seed with the uplink U serves s of n leechers at a time. Each leecher can download d,
//! except one, the rider, which can download more than the seed has left for it.
//!
//! The uplink is shared by turns. A leecher that is served takes its part, U/s, but no more than d,
//! and the rider takes what the others leave: R = U - (s - 1)·min(d, U/s). While the rider is not
//! served the seed sends S = min(U, s·d).
//!
//! - The old rule serves the k fastest and s - k in turn. The rider is always the fastest: it gets
//!   R/U of all that the seed sends.
//! - The new rule gives each of the n leechers the same time, as long as all of them keep asking. The
//!   rider is served for p = s/n of the time, and gets p·R/(p·U + (1 - p)·S).
//!
//! With U = 180, d = 40, s = 4 and n = 20 that is 0.333 or 0.073. Measured shares are some 10 %
//! less: when the turn of a leecher begins, what it requests first passes the uplink faster than
//! its downlink, so it gets a little more than d. The old rule must also find the rider first, by
//! its turns.
//!
//! Where leechers do not keep asking, the new rule is no turn for each either. Between its requests
//! a leecher that is slowed down by its downlink wants nothing at the moment, and the seed
//! displaces such a peer before the rider, which always wants more. With six slots and slower
//! leechers the rider stays for good, as with the old rule.

use common::geometry::BLOCK_LENGTH;

use std::time::Duration;

use super::{
    Accept, Anchor, Band, Class, Context, Entry, Expect, Figure, Kind, Measure, Panel, Parameter,
    Parameters, Plan, Read, Run, Scenario, Series, Stopped, Variation,
};
use crate::choker::free_rider;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "seed-capture",
    about: "a fast peer that gives nothing holds a seed that serves the fastest",
    rule: Entry {
        anchor: Anchor {
            source: "the reference client's chokers of a seed, 2003 and 4.0; Legout, Urvoy-Keller, \
                     Michiardi, Rarest First and Choke Algorithms Are Enough, 2006",
            read: Read::Derived,
            says: "with the old choker the fastest peer gets R/U of the seed's bytes, with the new \
                   one p R/(p U + (1 - p) S), where p = s/n",
        },
        source: include_str!("seed_capture.rs"),
        parameters: PARAMETERS,
        plan: Some(plan),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[("time", "4000")],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("leechers", "n, the leechers with the rider; none uploads anything", "20", Kind::Count(2, 80)),
    Parameter::new("seed-upload", "U, what the seed uploads", "180KB", Kind::Rate),
    Parameter::new("download", "d, what each leecher can download, except the rider", "40KB", Kind::Rate),
    Parameter::new("rider-download", "What the rider can download", "400KB", Kind::Rate),
    Parameter::new("choker", "Choker of the seed", "seed", Kind::Choker),
    Parameter::new("serves", "s, the peers that it serves", "4", Kind::Count(1, 80)),
    Parameter::new("by-rate", "k, the peers that it chooses by their rates, among them the rider", "0", Kind::Count(0, 80)),
    Parameter::new("time", "Seconds", "6000", Kind::Number(60.0, 1e6)),
    Parameter::neighbors("80"),
    Parameter::ORDER,
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("the old choker of a seed", &[("choker", "seed-by-rate"), ("by-rate", "3")], 3, &[Expect::Holds]),
    Variation::new("twice as many leechers", &[("leechers", "40")], 3, &[Expect::Holds]),
    Variation::new("half as many leechers", &[("leechers", "10")], 3, &[Expect::Holds]),
    Variation::new(
        "six slots and slower leechers: the new choker serves the rider all the time",
        &[("serves", "6"), ("download", "25KB"), ("by-rate", "1")],
        3,
        &[Expect::Holds],
    ),
    Variation::new("the new choker held against the formula for the old", &[("by-rate", "3")], 3, &[Expect::Misses("the rider")]),
    Variation::new("the old choker held against the formula for the new", &[("choker", "seed-by-rate")], 3, &[Expect::Misses("the rider")]),
];

/// The rider's share, over what is predicted. The bands of the two rules do not touch. In eight
/// runs the share was 0.286 to 0.308 with the old one, and 0.062 to 0.066 with the new one.
const SHARE: Band = Band::within(0.25);

/// In how many parts the plot shows the run.
const PARTS: u32 = 60;

/// Bytes of a chunk.
const CHUNK: u32 = 16 * BLOCK_LENGTH;

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (leechers, slots) = (parameters.count("leechers"), parameters.count("serves"));
    let by_rate = parameters.count("by-rate");
    if slots > leechers || by_rate > slots {
        let why = format!(
            "serves {slots} must be at most leechers {leechers} and least by-rate {by_rate}"
        );
        return Err(Stopped::Impossible(why));
    }
    let rate = |name| parameters.rate(name) as f64;
    let (n, s, up, down) =
        (f64::from(leechers), f64::from(slots), rate("seed-upload"), rate("download"));
    let rider_gets = (up - (s - 1.0) * down.min(up / s)).min(rate("rider-download"));
    let without = up.min(s * down);
    let served = if by_rate > 0 { 1.0 } else { s / n };
    let with = rider_gets + (up - rider_gets).min((s - 1.0) * down);
    let predicted = served * rider_gets / (served * with + (1.0 - served) * without);
    let (seed, time) = (context.seed, parameters.number("time"));
    let (mut swarm, joined) = plan(parameters).swarm(context)?;
    let (source, rider) = (&joined[0][0], &joined[1][0]);
    // After each part of the run: the time, and what the rider has of all that the seed has sent.
    let mut shares = Vec::new();
    for _ in 0..PARTS {
        swarm.run_for(Duration::from_secs_f64(time / f64::from(PARTS)))?;
        let sent = swarm.uploaded(source.host).max(1) as f64;
        let at = swarm.world.elapsed().as_secs_f64();
        shares.push((at, swarm.downloaded(rider.host) as f64 / sent));
    }

    let sent = swarm.uploaded(source.host) as f64;
    let share = swarm.downloaded(rider.host) as f64 / sent;
    let measures = vec![
        Measure::new("the rider's share of what the seed sends", "", share)
            .predicted(predicted)
            .accept(Accept::Each(SHARE.times(predicted))),
        Measure::new("what the seed sends", "kB/s", sent / time / 1000.0)
            .predicted((served * with + (1.0 - served) * without) / 1000.0),
    ];
    let lines = Figure::Lines(vec![
        Series::measured("the rider", shares),
        Series::predicted("predicted", vec![(0.0, predicted), (time, predicted)]),
    ]);
    let plot =
        vec![Panel::new("time (seconds)", "part of what the seed has sent until then", lines)];
    Ok(Run { seed, measures, plot, digest: swarm.world.observer.digest })
}

/// A seed, the rider, and the other leechers.
#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn plan(parameters: &Parameters) -> Plan {
    let (upload, time) = (parameters.rate("seed-upload"), parameters.number("time"));
    // No leecher finishes.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let chunks = (time * upload as f64 / f64::from(CHUNK)) as u32 + 1;
    let source = Class {
        choker: parameters.choker("choker"),
        slots: parameters.count("serves"),
        ..Class::seed_of(parameters, upload, parameters.rate("download"))
    };
    let leecher = |name, down| Class {
        choker: free_rider::STRATEGY,
        ..Class::of(parameters, name, down, down)
    };
    let rider = leecher("rider", parameters.rate("rider-download"));
    let others = Class {
        count: Some(parameters.count("leechers") - 1),
        ..leecher("leecher", parameters.rate("download"))
    };
    Plan::new(chunks, CHUNK).classes([source, rider, others]).lasts(parameters.seconds("time"))
}
