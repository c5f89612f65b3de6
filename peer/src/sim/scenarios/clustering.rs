//! `clustering`: peers of similar bandwidth trade with each other, unless the seed is slow.
//!
//! Source: Legout, Liogkas, Kohler, Zhang, "Clustering and Sharing Incentives in BitTorrent
//! Systems" (2007), the abstract: peers of similar bandwidth cluster, which rewards those that
//! contribute, as long as the first seed is provisioned well enough; with a slow one they do not,
//! and all complete at about the same time. The classes, rates and bands are
//! ours: the abstract gives no numbers.

use super::plot::cumulated;
use super::visits::Visit;
use super::{
    Accept, Anchor, Band, Class, Context, Entry, Expect, Figure, HeatMap, Kind, Measure, Panel,
    Parameter, Parameters, Plan, Read, Run, Scenario, Series, Spread, Stay, Stopped, Time,
    Variation,
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "clustering",
    about: "peers of similar bandwidth trade with each other, unless the seed is slow",
    rule: Entry {
        anchor: Anchor {
            source: "Legout, Liogkas, Kohler, Zhang, Clustering and Sharing Incentives in \
                     BitTorrent Systems, 2007",
            read: Read::Abstract,
            says: "peers of similar bandwidth cluster, which rewards those that contribute; with an \
                   underprovisioned first seed they do not, and complete at about the same time",
        },
        source: include_str!("clustering.rs"),
        parameters: PARAMETERS,
        plan: Some(plan),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("seed-upload", "What the seed uploads", "200KB", Kind::Rate),
    Parameter::new("chunks", "Chunks of 256 KiB in the file", "453", Kind::Count(1, 100_000)),
    Parameter::CHOKER,
    Parameter::new("strict-priority", "Which chunks in progress go before new ones", "seeds", Kind::StrictPriority),
    Parameter::neighbors("80"),
    Parameter::ORDER,
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("a choker without tit-for-tat", &[("choker", "random")], 3, &[Expect::Misses("kept by")]),
    Variation::new("the first rule of strict priority", &[("strict-priority", "always")], 3, &[Expect::Misses("kept by")]),
    Variation::new(
        "a slow seed",
        &[("seed-upload", "100KB")],
        3,
        &[Expect::Misses("time of"), Expect::Ratio("the slowest class", Band::new(1.0, 1.05))],
    ),
];

/// How many peers there are of each class, and how many bytes a second they upload. They leave when
/// they have everything.
const CLASSES: [(&str, u32, u64); 3] =
    [("slow", 13, 20_000), ("medium", 14, 50_000), ("fast", 13, 200_000)];

/// Bytes a second that every peer can download: more than any gets.
const DOWN: u64 = 2_000_000;

/// Rates and chunks are twice what the parameters say, so that a slow peer, too, sends each of five
/// neighbors five blocks a round; times are the same.
pub(super) const SCALE: u32 = 2;

fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let seed = context.seed;
    let (mut swarm, joined) = plan(parameters).swarm(context)?;
    swarm.run_until_complete()?;

    let (books, joined) = (&swarm.world.observer, &joined[1..]);
    let rounds = |from: &[Visit], to: &[Visit]| -> u32 {
        let pairs = from.iter().flat_map(|by| to.iter().map(move |of| (by.host, of.host)));
        pairs.map(|(by, of)| books.regular_unchokes(by, of)).sum()
    };
    // Of the time for which a class unchokes peers for their rate, the part that goes to each class.
    let unchoked = [0, 1, 2].map(|from| {
        let rounds = [0, 1, 2].map(|to| f64::from(rounds(&joined[from], &joined[to])));
        rounds.map(|to| to / rounds.iter().sum::<f64>())
    });
    let times = [0, 1, 2].map(|class: usize| {
        Spread::of(joined[class].iter().map(|peer| peer.completes(&swarm))).mean
    });
    let mut measures = Vec::new();
    let in_band =
        |what: String, value, band| Measure::new(what, "", value).accept(Accept::Each(band));
    for (class, (name, ..)) in CLASSES.iter().enumerate() {
        let largest = unchoked[class].iter().copied().fold(0.0, f64::max);
        let band = Band::new(largest.max(0.6), 1.0);
        measures.push(in_band(format!("kept by the {name} class"), unchoked[class][class], band));
    }
    let [slow, medium, fast] = times;
    measures.push(in_band("given to slow by fast".into(), unchoked[2][0], Band::new(0.0, 0.1)));
    measures.push(in_band("time of fast over medium".into(), fast / medium, Band::new(0.0, 0.55)));
    measures.push(in_band("time of medium over slow".into(), medium / slow, Band::new(0.0, 0.6)));
    let spread = Spread::of(times);
    let alike = Measure::new("the slowest class over the fastest", "", spread.most / spread.least);
    measures.push(alike.predicted(1.0));
    for ((name, ..), time) in CLASSES.iter().zip(times) {
        measures.push(Measure::new(format!("mean time of the {name} class"), "s", time));
    }
    let names = CLASSES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let cells = unchoked.iter().map(|to| to.to_vec()).collect();
    let completed = CLASSES.iter().zip(joined).map(|((name, ..), peers)| {
        let times = peers.iter().map(|peer| peer.completes(&swarm) / 60.0);
        Series::measured(format!("{name} class"), cumulated(times.collect()))
    });
    let plot = vec![
        Panel::new(
            "time (minutes)",
            "part of the class that is complete",
            Figure::Lines(completed.collect()),
        ),
        Panel::new(
            "unchoked class",
            "class that unchokes",
            Figure::HeatMap(HeatMap { names, cells }),
        ),
    ];
    Ok(Run { seed, measures, plot, digest: books.digest })
}

/// A seed, and the peers of each class.
pub(super) fn plan(parameters: &Parameters) -> Plan {
    let scaled = |rate| u64::from(SCALE) * rate;
    let peers = CLASSES.iter().map(|&(name, count, upload)| Class {
        count: Some(count),
        strict_priority: parameters.strict_priority("strict-priority"),
        stays: Stay::For(Time::ZERO),
        ..Class::of(parameters, name, scaled(upload), scaled(DOWN))
    });
    let seed = Class::seed_of(parameters, scaled(parameters.rate("seed-upload")), scaled(DOWN));
    Plan::new(parameters.count("chunks"), SCALE * 256 * 1024)
        .classes([seed].into_iter().chain(peers).collect::<Vec<_>>())
}
