//! `riders`: what peers that give nothing do to themselves and to the others.
//!
//! Sources: Sirivianos et al., "Free-riding in BitTorrent Networks with the Large View Exploit"
//! (2007), Locher et al., "Free Riding in BitTorrent is Cheap" (2006), and Jun & Ahamad,
//! "Incentives in BitTorrent Induce Free Riding" (2005), of all three the abstract: riders get the
//! file, the sooner the more seeds there are. All numbers are ours: equal peers that all begin at
//! the same time and stay as seeds, and riders with the same links that upload nothing.
//!
//! Together the peers receive N·F, which takes the uploaders N·F/(sum of uploads); the mean time is
//! about that, a little less where some finish before others. How much later riders have everything
//! than honest peers follows from no formula: these bands are fitted to eight runs. With a choker
//! that does not look at rates it is not later at all, and with a lone, slow seed neither: all wait
//! for its last chunks.

use super::visits::Visit;
use super::{
    Accept, Anchor, Band, Class, Context, Entry, Expect, Figure, Kind, Measure, Panel, Parameter,
    Parameters, Plan, Read, Run, Scenario, Series, Spread, Stopped, Variation,
};
use crate::choker::free_rider;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "riders",
    about: "how much later peers finish that give nothing, and what they cost the others",
    rule: Entry {
        anchor: Anchor {
            source: "Sirivianos et al. 2007; Locher et al. 2006; Jun & Ahamad 2005",
            read: Read::Abstract,
            says: "riders get the file, later than the others if seeds are not what all wait for; \
                   the mean time is about N F/(sum of uploads)",
        },
        source: include_str!("riders.rs"),
        parameters: PARAMETERS,
        plan: Some(|parameters| plan(parameters, parameters.counts("riders")[0])),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[("riders", "30"), ("chunks", "120")],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "N, riders and honest peers", "60", Kind::Count(2, 1000)),
    Parameter::new("riders", "How many of them upload nothing", "0,10,20,30", Kind::Counts(0, 999)),
    Parameter::new("seeds", "Seeds", "5", Kind::Count(1, 1000)),
    Parameter::new("upload", "u, what an honest peer uploads", "81920B", Kind::Rate),
    Parameter::new("seed-upload", "What a seed uploads", "81920B", Kind::Rate),
    Parameter::new("chunks", "Chunks in the file", "200", Kind::Count(1, 100_000)),
    Parameter::new("chunk-size", "Size of a chunk", "128KiB", Kind::ChunkSize),
    Parameter::CHOKER,
    Parameter::neighbors("80"),
    Parameter::ORDER,
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new(
        "a lone seed that uploads half of what a peer does",
        &[("seeds", "1"), ("seed-upload", "40960B"), ("riders", "10,30")],
        3,
        &[Expect::Ratio("rider over honest", Band::within(0.02))],
    ),
    Variation::new(
        "a choker without tit-for-tat",
        &[("choker", "random"), ("riders", "10,30")],
        3,
        &[Expect::Misses("rider over honest"), Expect::Ratio("rider over honest", Band::within(0.05))],
    ),
];

/// The time of riders over that of honest peers, by the part of the peers that ride, in sixths.
/// Fitted: eight runs give 1.139 (1.129 to 1.149), 1.275 (1.263 to 1.291), 1.497 (1.470 to 1.515).
const FITTED: [(u32, f64); 3] = [(1, 1.139), (2, 1.275), (3, 1.497)];

/// Around those.
const RIDERS: Band = Band::within(0.1);

/// The mean time over N·F/(sum of uploads). Fitted: eight runs give means of 1.034 without riders,
/// .962 with 10 of them, .880 with 20, .831 with 30.
const MEAN_TIME: Band = Band::new(0.78, 1.1);

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let (peers, seeds) = (parameters.count("peers"), parameters.count("seeds"));
    let (upload, seed_upload) = (parameters.rate("upload"), parameters.rate("seed-upload"));
    let (mut measures, mut plot, mut digest) = (Vec::new(), Vec::new(), 0_u64);
    for riders in parameters.counts("riders") {
        if riders >= peers {
            let why = format!("riders {riders} must be less than peers {peers}");
            return Err(Stopped::Impossible(why));
        }
        let (mut swarm, joined) = plan(parameters, riders).swarm(context)?;
        swarm.run_until_complete()?;

        let mean = |classes: &[Vec<Visit>]| {
            Spread::of(classes.iter().flatten().map(|peer| peer.completes(&swarm))).mean
        };
        let uploads = u64::from(peers - riders) * upload + u64::from(seeds) * seed_upload;
        let bound = f64::from(peers) * swarm.geometry.total_length() as f64 / uploads as f64;
        measures.push(
            Measure::new(format!("mean time, {riders} riders"), "s", mean(&joined[1..]))
                .predicted(bound)
                .accept(Accept::Each(MEAN_TIME.times(bound))),
        );
        if riders > 0 {
            let ratio = mean(&joined[2..]) / mean(&joined[1..2]);
            let what = format!("rider over honest, {riders} riders");
            // Without tit-for-tat they are alike.
            let measure = Measure::new(what, "", ratio).predicted(1.0);
            let fitted = FITTED.iter().find(|(sixths, _)| 6 * riders == sixths * peers);
            let band = fitted.map(|&(_, fitted)| RIDERS.times(fitted));
            measures.push(Measure { accept: band.map(Accept::Each), ..measure });
        }
        digest = digest.rotate_left(1) ^ swarm.world.observer.digest;
        // The plot shows the last swarm.
        let f = swarm.geometry.total_length() as f64;
        let points = |class: &[Visit]| {
            let points = class.iter().map(|peer| {
                let given = swarm.uploaded(peer.host) as f64 / f;
                (given, f / peer.completes(&swarm) / upload as f64)
            });
            points.collect()
        };
        let points = Figure::Points(vec![
            Series::measured(format!("{} honest peers", peers - riders), points(&joined[1])),
            Series::measured(format!("{riders} riders"), points(&joined[2])),
        ]);
        let (x, y) = ("given (copies of the file)", "taken: mean download rate (u)");
        plot = vec![Panel::new(x, y, points)];
    }
    Ok(Run { seed: context.seed, measures, plot, digest })
}

/// Seeds, honest peers, and so many riders.
fn plan(parameters: &Parameters, riders: u32) -> Plan {
    let (seed_upload, upload) = (parameters.rate("seed-upload"), parameters.rate("upload"));
    let down = 20 * upload;
    let seed = Class {
        count: Some(parameters.count("seeds")),
        ..Class::seed_of(parameters, seed_upload, down)
    };
    let honest = Class {
        count: Some(parameters.count("peers").saturating_sub(riders)),
        ..Class::of(parameters, "honest", upload, down)
    };
    let rider = Class {
        count: Some(riders),
        choker: free_rider::STRATEGY,
        ..Class::of(parameters, "rider", upload, down)
    };
    Plan::new(parameters.count("chunks"), parameters.chunk_size("chunk-size"))
        .classes([seed, honest, rider])
}
