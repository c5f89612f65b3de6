//! `rarest`: how soon the chunks of a lone, slow seed are all in the swarm.
//!
//! Sources: Bharambe, Herley, Padmanabhan, "Analyzing and Improving a BitTorrent Network's
//! Performance Mechanisms" (2006), and Legout, Urvoy-Keller, Michiardi, "Rarest First and Choke
//! Algorithms Are Enough" (2006), of both the abstract: rarest first is near the ideal, other
//! orders waste the upload of the seed. The bounds are derived: a first copy has left the seed
//! after F/u_s at the earliest, and N equal peers have all of it after N·F/(u_s + N·u).

use common::geometry::BLOCK_LENGTH;

use super::{Band, Swarm, last};
use crate::picker::{Order, StrictPriority};
use crate::sim::Link;

/// The set-up.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// N; each leaves when it has everything.
    pub peers: u32,
    /// Chunks in the file.
    pub chunks: u32,
    /// Blocks of 16 KiB in a chunk.
    pub blocks: u32,
    /// u and u_s, in bytes a second.
    pub upload: u64,
    /// In which order the peers begin chunks.
    pub order: Order,
    /// Which chunks in progress go first.
    pub strict_priority: StrictPriority,
}

impl Default for Parameters {
    fn default() -> Self {
        let (order, strict_priority) = Default::default();
        Self { peers: 60, chunks: 200, blocks: 16, upload: UPLOAD, order, strict_priority }
    }
}

/// Times over their bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// When the peers together had everything.
    pub first_copy: f64,
    /// When each of them had.
    pub all: f64,
    /// The same for two runs only if they are the same.
    pub digest: u64,
}

/// The first copy in the swarm with rarest first, over F/u_s.
pub const FIRST_COPY: Band = Band::new(1.0, 1.3);

/// The last completion with rarest first, over the bound, as a mean over runs. In a run the last
/// chunk that the seed sends may be one that all others lack; a peer that gets it is complete and
/// leaves with it, and the seed sends it once to each: up to N/chunks of F/u_s more.
pub const ALL: Band = Band::new(1.0, 1.45);

/// The random order is later by this factor at least, in both.
pub const RANDOM_LATER: f64 = 1.08;

/// The last completion in order, over the bound, is later than this.
pub const IN_ORDER_LATER: f64 = 3.5;

/// u and u_s: a peer that serves five sends each of them a chunk of 16 blocks in 8 s, less than a
/// round. The longer a chunk takes, the more of them a choke leaves in pieces.
const UPLOAD: u64 = 10 * BLOCK_LENGTH as u64;

/// Distributes the file once.
#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
pub fn run(parameters: &Parameters, seed: u64) -> Measured {
    let Parameters { peers, chunks, blocks, upload, order, strict_priority } = *parameters;
    let mut swarm = Swarm::new(chunks, blocks, seed);
    let link = Link::new(upload, 10 * upload);
    swarm.join(swarm.everything(), link, |_| {});
    let joined = (0..peers).map(|_| {
        let peer = swarm.join(swarm.nothing(), link, |config| {
            (config.order, config.strict_priority) = (order, strict_priority);
        });
        swarm.world.leave_when_complete(peer);
        peer
    });
    let joined: Vec<_> = joined.collect();
    swarm.run_until_complete();

    let (n, f_u) = (f64::from(peers), swarm.geometry.total_length() as f64 / upload as f64);
    let books = &swarm.world.observer;
    let first_copy = books.first_copy.expect("all have everything").since_start();
    let all = last(joined.iter().map(|&peer| swarm.completed_at(peer)));
    Measured {
        first_copy: first_copy.as_secs_f64() / f_u,
        all: all / (n * f_u / (1.0 + n)),
        digest: books.digest,
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::{Spread, assert_repeatable, runs};
    use super::*;

    fn measure(parameters: Parameters, seeds: Range<u64>) -> [Spread; 2] {
        let runs = runs(seeds, |seed| run(&parameters, seed));
        let first_copy = Spread::of(runs.iter().map(|run| run.first_copy));
        let all = Spread::of(runs.iter().map(|run| run.all));
        let Parameters { order, strict_priority, .. } = parameters;
        println!("{order}, strict priority {strict_priority}: first copy {first_copy}, all {all}");
        [first_copy, all]
    }

    #[test]
    fn rarest_first_is_near_the_bounds_and_other_rules_are_not() {
        let rarest = Parameters::default();
        let [first_copy, all] = measure(rarest, 0..8);
        assert!(first_copy.least >= FIRST_COPY.least, "{first_copy}");
        assert!(first_copy.most <= FIRST_COPY.most, "{first_copy}");
        assert!(all.least >= ALL.least && ALL.contains(all.mean), "{all}");

        let order = Order::RANDOM;
        let [random_first_copy, random_all] = measure(Parameters { order, ..rarest }, 0..3);
        assert!(random_first_copy.mean > RANDOM_LATER * first_copy.mean, "{random_first_copy}");
        assert!(random_all.mean > RANDOM_LATER * all.mean, "{random_all}");

        let order = Order::IN_ORDER;
        let [_, in_order_all] = measure(Parameters { order, ..rarest }, 0..3);
        assert!(in_order_all.least > IN_ORDER_LATER, "{in_order_all}");

        // The control: the same order, with the first rule of strict priority.
        let strict_priority = StrictPriority::ALWAYS;
        let [first_copy, all] = measure(Parameters { strict_priority, ..rarest }, 0..3);
        assert!(first_copy.least > FIRST_COPY.most && all.least > ALL.most, "{first_copy}, {all}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let parameters = Parameters { peers: 10, chunks: 40, ..Parameters::default() };
        assert_repeatable(|seed| run(&parameters, seed));
    }
}
