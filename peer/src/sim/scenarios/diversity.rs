//! `diversity`: with rarest first every neighbor has something of interest, and the last pieces
//! come as fast as others.
//!
//! Source: Legout, Urvoy-Keller, Michiardi, "Rarest First and Choke Algorithms Are Enough" (2006),
//! the abstract: rarest first gives close to ideal diversity of the pieces, and there is no problem
//! of last pieces. Measured is a/b: of the time for which a leecher has another as its neighbor
//! (b), the part for which it is interested in it (a); ideal is 1. The swarm is that of
//! `clustering`, and ours as that is. No formula gives a number for a/b: its bands are fitted to
//! runs.
//!
//! As long as a slow seed has chunks that no other peer has (the transient state), most peers lack
//! the same ones, and a/b is low. How slow that is depends on the rule of strict priority: with the
//! rule that a seed's chunks are finished first a seed of 200 kB/s is fast enough; with the first
//! rule, which wastes what it uploads, it is not. A seed of 100 kB/s is too slow with either.

use std::time::Duration;

use super::clustering::{self, SCALE};
use super::plot::cumulated;
use super::rare;
use super::swarm::Swarm;
use super::{
    Accept, Anchor, Band, Context, Entry, Expect, Figure, Kind, Measure, Panel, Parameter,
    Parameters, Read, Run, Scenario, Series, Stopped, Variation,
};
use crate::sim::HostId;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "diversity",
    about: "with rarest first every neighbor has something of interest",
    rule: Entry {
        anchor: Anchor {
            source: "Legout, Urvoy-Keller, Michiardi, Rarest First and Choke Algorithms Are \
                     Enough, 2006",
            read: Read::Abstract,
            says: "rarest first gives close to ideal diversity of the pieces, and there is no \
                   problem of last pieces",
        },
        source: include_str!("diversity.rs"),
        parameters: PARAMETERS,
        plan: Some(clustering::plan),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("seed-upload", "What the seed uploads", "2MB", Kind::Rate),
    Parameter::new("chunks", "Chunks of 256 KiB in the file", "453", Kind::Count(20, 100_000)),
    Parameter::ORDER,
    Parameter::new("strict-priority", "Which chunks in progress go before new ones", "seeds", Kind::StrictPriority),
    Parameter::neighbors("80"),
    Parameter::CHOKER,
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("a tenth of the seed's rate", &[("seed-upload", "200KB")], 3, &[Expect::Ratio("a/b", STEADY)]),
    Variation::new("a seed that is too slow", &[("seed-upload", "100KB")], 3, &[Expect::Ratio("a/b", TRANSIENT)]),
    Variation::new(
        "a tenth of the seed's rate, with the first rule of strict priority",
        &[("seed-upload", "200KB"), ("strict-priority", "always")],
        3,
        &[Expect::Ratio("a/b", TRANSIENT)],
    ),
    Variation::new("chunks in order", &[("order", "in-order")], 3, &[Expect::Ratio("a/b", Band::new(0.0, 0.6))]),
];

/// a/b if the seed is fast, over the whole time, with the start in which a peer has nothing yet.
/// Fitted: eight runs with 2 MB/s give .920 to .928, and with 200 kB/s .915 to .938.
const STEADY: Band = Band::new(0.9, 1.0);

/// a/b if the seed is slow. Fitted: eight runs with 100 kB/s give .674 to .719, and with 200 kB/s and the first rule
/// .620 to .657.
const TRANSIENT: Band = Band::new(0.0, 0.8);

/// The time of the last twentieth of the blocks, over that of any.
const LAST: Band = Band::new(0.0, 2.0);

/// The time of the first twentieth: a peer has nothing to give yet.
const FIRST: Band = Band::new(2.0, 20.0);

/// How often the swarm is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What is seen of a leecher.
struct Watched {
    host: HostId,
    /// For each host, how often it was a neighbor, and how often an interesting one.
    neighbors: Vec<(u32, u32)>,
    /// How often it had less than a twentieth of the content, and how often it lacked no more.
    first: u32,
    last: u32,
    looks: u32,
}

impl Watched {
    fn look(&mut self, swarm: &Swarm<'_>) {
        let core = swarm.world.peer(self.host);
        if core.is_complete() {
            return;
        }
        let (total, left) = (swarm.geometry.total_length(), core.left());
        self.looks += 1;
        self.first += u32::from((total - left) * 20 < total);
        self.last += u32::from(left * 20 <= total);
        for neighbor in core.neighbors() {
            let other = swarm.world.host_at(neighbor.identity().address);
            let (present, interesting) =
                &mut self.neighbors[other.expect("all neighbors are hosts").0 as usize];
            *present += 1;
            *interesting += u32::from(neighbor.am_interested);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let seed = context.seed;
    let (mut swarm, joined) = clustering::plan(parameters).swarm(context)?;
    let leechers: Vec<HostId> = joined[1..].iter().flatten().map(|peer| peer.host).collect();
    let watch = |&host: &HostId| Watched {
        host,
        neighbors: vec![(0, 0); leechers.len() + 1],
        first: 0,
        last: 0,
        looks: 0,
    };
    let mut watched: Vec<Watched> = leechers.iter().map(watch).collect();
    let mut rare = Vec::new();
    swarm.watch_until_complete(EVERY, |swarm| {
        watched.iter_mut().for_each(|leecher| leecher.look(swarm));
        rare.push(rare::look(swarm, &leechers));
    })?;

    // The seed, host 0, interests every leecher.
    let pairs = watched.iter().flat_map(|leecher| &leecher.neighbors[1..]);
    let ratios = pairs.filter(|&&(present, _)| present > 0);
    let ratios: Vec<f64> = ratios.map(|&(b, a)| f64::from(a) / f64::from(b)).collect();
    let ratio = median(ratios.iter().copied());
    let pace = |looks: fn(&Watched) -> u32| {
        let over_mean = |leecher| f64::from(20 * looks(leecher)) / f64::from(leecher.looks.max(1));
        median(watched.iter().map(over_mean))
    };
    let each = Accept::Each;
    let measures = vec![
        Measure::new("a/b, the median", "", ratio).predicted(1.0).accept(each(STEADY)),
        Measure::new("last blocks over the mean time", "", pace(|leecher| leecher.last))
            .accept(each(LAST)),
        Measure::new("first blocks over the mean time", "", pace(|leecher| leecher.first))
            .accept(each(FIRST)),
    ];
    let pairs = Figure::Lines(vec![Series::measured("measured", cumulated(ratios))]);
    let plot = vec![
        rare::plot(&swarm, &rare, f64::from(SCALE) * parameters.rate("seed-upload") as f64),
        Panel::new("a/b, interesting part of the time", "part of the pairs of neighbors", pairs),
    ];
    Ok(Run { seed, measures, plot, digest: swarm.world.observer.digest })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
