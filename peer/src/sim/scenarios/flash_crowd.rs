//! `flash-crowd`: one seed, many peers at once, and a file in more and more chunks.
//!
//! Source: Mundinger, Weber, Weiss, "Optimal Scheduling of Peer-to-Peer File Dissemination" (2008),
//! the abstract and the formula: a server and N peers that all upload u need at least
//! (1 + floor(log2 N)/M)·F/u for a file of M chunks. A chunk takes τ = F/(M·u), in which each of its
//! holders can send it to one peer more, so it has at most 2^floor(t/τ) holders, the server included.
//!
//! The formula is about chunks that a peer gets from one other. Here it may get the blocks of a
//! chunk from several, and k peers could have it after τ·(1 + 1/2 + … + 1/k), a little sooner. But
//! a peer serves several at a time, so that the first copies of a chunk are complete only after
//! several τ; that costs far more. The lower ends of the bands follow from the formula; the upper
//! ends are ours, and so are the numbers.
//!
//! A chunk must not take longer than a peer is unchoked, a few rounds. Else all get parts of it, and
//! none has a chunk to pass on before almost all have everything: with one chunk for which the seed
//! needs 41 rounds, P2P takes as long as client-server, 30 F/u.

use std::ops::ControlFlow;

use common::moment::Moment;

use super::{
    Accept, Anchor, Band, Class, Context, Entry, Expect, Figure, Follow, Kind, Measure, Panel,
    Parameter, Parameters, Plan, Progress, Read, Run, Scenario, Series, Stopped, Variation, last,
};
use crate::choker::AskChoker;
use crate::decision::Decision;
use crate::sim::HostId;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "flash-crowd",
    about: "many peers at once: the more chunks a file has, the sooner all have it",
    rule: Entry {
        anchor: Anchor {
            source: "Mundinger, Weber, Weiss, Optimal Scheduling of Peer-to-Peer File \
                     Dissemination, 2008",
            read: Read::Abstract,
            says: "the makespan is at least (1 + floor(log2 N)/M) F/u, and a chunk has at most \
                   2^floor(t M u/F) holders",
        },
        source: include_str!("flash_crowd.rs"),
        parameters: PARAMETERS,
        plan: Some(|parameters| plan(parameters, parameters.counts("chunks")[0])),
        run,
        runs: 3,
        variations: VARIATIONS,
        short: &[("chunks", "1,16,64"), ("chunk-size", "64KiB")],
    },
};

/// τ is 6.4 s; each of five neighbors that a peer serves gets five blocks a round.
#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "N, the peers beside the seed", "31", Kind::Count(1, 1000)),
    Parameter::new("chunks", "M, in how many chunks the file is divided", "1,4,16,64,256", Kind::Counts(1, 1 << 20)),
    Parameter::new("chunk-size", "Size of a chunk; F is all of them", "256KiB", Kind::ChunkSize),
    Parameter::new("upload", "u, what the seed and each peer upload", "40960B", Kind::Rate),
    Parameter::CHOKER,
    Parameter::neighbors("80"),
    Parameter::ORDER,
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("the choker of the reference client", &[("choker", "mainline")], 3, &[Expect::Holds]),
    Variation::new("fewer peers", &[("peers", "20")], 3, &[Expect::Holds]),
    Variation::new(
        "peers that upload nothing",
        &[("choker", "free-rider"), ("chunks", "64")],
        3,
        &[Expect::exceeds(1.6, "makespan")],
    ),
    Variation::new(
        "one chunk that takes 41 rounds",
        &[("chunks", "1"), ("chunk-size", "16MiB")],
        3,
        &[Expect::exceeds(2.6, "makespan")],
    ),
];

/// The makespan over the bound, for a file of few chunks.
const FEW_CHUNKS: Band = Band::new(1.0, 2.6);

/// The same for a file of many.
const MANY_CHUNKS: Band = Band::new(1.0, 1.6);

/// How many chunks are many.
const MANY: u32 = 64;

/// The makespan in units of F/u, over that for the M before.
const FALLS: Band = Band::new(0.0, 0.999);

/// The holders of a chunk, over the most that there can be.
const HOLDERS: Band = Band::new(0.0, 1.0);

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let chunk_time =
        f64::from(parameters.chunk_size("chunk-size")) / parameters.rate("upload") as f64;
    let doublings = f64::from(parameters.count("peers").ilog2());
    let (mut measures, mut digest) = (Vec::new(), 0_u64);
    let (mut times, mut bounds) = (Vec::new(), Vec::new());
    let mut holders: f64 = 0.0;
    for chunks in parameters.counts("chunks") {
        let m = f64::from(chunks);
        let outcome = distribute(&plan(parameters, chunks), chunk_time, context)?;
        let bound = (m + doublings) * chunk_time;
        let band = if chunks < MANY { FEW_CHUNKS } else { MANY_CHUNKS };
        let measure = Measure::new(format!("makespan, M = {chunks}"), "s", outcome.makespan);
        measures.push(measure.predicted(bound).accept(Accept::Each(band.times(bound))));
        let f_u = m * chunk_time;
        times.push((m, outcome.makespan / f_u));
        bounds.push((m, bound / f_u));
        holders = holders.max(outcome.holders);
        digest = digest.rotate_left(1) ^ outcome.digest;
    }
    let ratios = times.windows(2).map(|pair| pair[1].1 / pair[0].1);
    if let Some(greatest) = ratios.reduce(f64::max) {
        let what = "of makespan·u/F, what the next M leaves, at most";
        measures.push(Measure::new(what, "", greatest).accept(Accept::Each(FALLS)));
    }
    let what = "holders of a chunk over 2^floor(t/τ), the greatest";
    measures.push(Measure::new(what, "", holders).accept(Accept::Each(HOLDERS)));
    let lines = Figure::LinesOverDoublings(vec![
        Series::measured("makespan", times),
        Series::predicted("predicted: at least", bounds),
    ]);
    let plot = vec![Panel::new("M, the chunks in the file", "makespan (F/u)", lines)];
    Ok(Run { seed: context.seed, measures, plot, digest })
}

/// What comes of a file in so many chunks.
struct Outcome {
    /// When the last peer had everything, in seconds.
    makespan: f64,
    /// Of any chunk at any time, over the most that there can be.
    holders: f64,
    digest: u64,
}

fn plan(parameters: &Parameters, chunks: u32) -> Plan {
    let upload = parameters.rate("upload");
    let peer = Class {
        count: Some(parameters.count("peers")),
        ..Class::of(parameters, "peer", upload, DOWN * upload)
    };
    Plan::new(chunks, parameters.chunk_size("chunk-size"))
        .classes([Class::seed_of(parameters, upload, DOWN * upload), peer])
}

fn distribute(plan: &Plan, chunk_time: f64, context: &mut Context<'_>) -> Result<Outcome, Stopped> {
    let mut holders = Holders::new(plan.chunks, chunk_time, context.follow);
    let mut context = Context { seed: context.seed, follow: &mut holders };
    let (mut swarm, joined) = plan.swarm(&mut context)?;
    swarm.run_until_complete()?;
    let makespan = last(joined[1].iter().map(|peer| peer.completes(&swarm)));
    let digest = swarm.world.observer.digest;
    drop(swarm);
    Ok(Outcome { makespan, holders: holders.greatest, digest })
}

/// What every peer can download, over u: more than it ever gets.
const DOWN: u64 = 20;

/// Counts the holders of each chunk.
struct Holders<'a> {
    /// The seed included.
    counts: Vec<u32>,
    /// τ, in seconds.
    chunk_time: f64,
    /// The greatest count over the most that there can be at the time.
    greatest: f64,
    follow: &'a mut dyn Follow,
}

impl<'a> Holders<'a> {
    fn new(chunks: u32, chunk_time: f64, follow: &'a mut dyn Follow) -> Self {
        Self { counts: vec![1; chunks as usize], chunk_time, greatest: 0.0, follow }
    }
}

impl Follow for Holders<'_> {
    fn decision(&mut self, at: Moment, host: HostId, decision: &Decision) {
        self.follow.decision(at, host, decision);
        if let Decision::Verified { chunk, .. } = decision {
            let count = &mut self.counts[*chunk as usize];
            *count += 1;
            let most = (at.since_start().as_secs_f64() / self.chunk_time).floor().exp2();
            self.greatest = self.greatest.max(f64::from(*count) / most);
        }
    }

    fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        self.follow.progress(progress)
    }

    fn choker(&mut self) -> Option<Box<dyn AskChoker>> {
        self.follow.choker()
    }
}
