//! `clustering`: peers of similar bandwidth trade with each other, unless the seed is slow.
//!
//! Source: Legout, Liogkas, Kohler, Zhang, "Clustering and Sharing Incentives in BitTorrent
//! Systems" (2007), the abstract: peers of similar bandwidth cluster, which rewards those that
//! contribute, as long as the first seed is provisioned well enough; with a slow one they do not,
//! and all complete at about the same time. The classes and rates are ours.

use common::geometry::BLOCK_LENGTH;

use super::{Band, Swarm};
use crate::choker::Strategy;
use crate::picker::StrictPriority;
use crate::sim::{HostId, Link};

/// The set-up.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Bytes a second that the seed uploads.
    pub seed_upload: u64,
    /// The choker of the peers.
    pub choker: Strategy,
    /// Which chunks in progress go first.
    pub strict_priority: StrictPriority,
    /// Chunks of 256 KiB in the file.
    pub chunks: u32,
}

impl Parameters {
    /// A seed that is as fast as the fastest class.
    pub fn fast_seed() -> Self {
        let (choker, strict_priority) = Default::default();
        Self { seed_upload: 200_000, choker, strict_priority, chunks: 453 }
    }

    /// A seed of half that rate.
    pub fn slow_seed() -> Self {
        Self { seed_upload: 100_000, ..Self::fast_seed() }
    }
}

/// How many peers there are of each class, and how many bytes a second they upload: slow, medium
/// and fast. They leave when they have everything.
pub const CLASSES: [(u32, u64); 3] = [(13, 20_000), (14, 50_000), (13, 200_000)];

/// What a run gives, by class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Of the time for which a class unchokes peers for their rate, the part that goes to each
    /// class.
    pub unchoked: [[f64; 3]; 3],
    /// When the peers had everything, on average, in seconds.
    pub completion: [f64; 3],
    /// The same for two runs only if they are the same.
    pub digest: u64,
}

/// With a fast seed, what a class keeps to itself.
pub const OWN_CLASS: Band = Band::new(0.6, 1.0);

/// With a fast seed, what the fast give to the slow.
pub const FAST_TO_SLOW: Band = Band::new(0.0, 0.1);

/// With a fast seed, the mean completion of the fast over that of the medium.
pub const FAST_TO_MEDIUM_TIME: Band = Band::new(0.0, 0.55);

/// With a fast seed, the mean completion of the medium over that of the slow.
pub const MEDIUM_TO_SLOW_TIME: Band = Band::new(0.0, 0.6);

/// With a slow seed, the greatest mean completion over the least.
pub const ALIKE: Band = Band::new(1.0, 1.05);

impl Measured {
    /// Whether the classes cluster.
    pub fn clusters(&self) -> bool {
        let [slow, medium, fast] = self.completion;
        let largest = |row: &[f64; 3]| row.iter().copied().fold(0.0, f64::max);
        let own = |class: usize| {
            let row = &self.unchoked[class];
            OWN_CLASS.contains(row[class]) && row[class] >= largest(row)
        };
        (0..3).all(own)
            && FAST_TO_SLOW.contains(self.unchoked[2][0])
            && FAST_TO_MEDIUM_TIME.contains(fast / medium)
            && MEDIUM_TO_SLOW_TIME.contains(medium / slow)
    }

    /// Whether all complete at about the same time.
    pub fn alike(&self) -> bool {
        let most = self.completion.into_iter().fold(0.0, f64::max);
        let least = self.completion.into_iter().fold(f64::INFINITY, f64::min);
        ALIKE.contains(most / least)
    }
}

/// Distributes the file once.
pub fn run(parameters: &Parameters, seed: u64) -> Measured {
    let Parameters { seed_upload, choker, strict_priority, chunks } = *parameters;
    let mut swarm = Swarm::new(chunks, SCALE * 256 * 1024 / BLOCK_LENGTH, seed);
    let scaled = |rate| Link::new(u64::from(SCALE) * rate, u64::from(SCALE) * DOWN);
    swarm.join(swarm.everything(), scaled(seed_upload), |_| {});
    let mut joined: [Vec<HostId>; 3] = Default::default();
    // The classes come mixed, since the order of joining is also that of the first connections.
    let most = CLASSES.iter().map(|&(count, _)| count).max().unwrap_or(0);
    for number in 0..most {
        for (class, &(count, upload)) in CLASSES.iter().enumerate() {
            if number < count {
                let peer = swarm.join(swarm.nothing(), scaled(upload), |config| {
                    (config.choker, config.strict_priority) = (choker, strict_priority);
                });
                swarm.world.leave_when_complete(peer);
                joined[class].push(peer);
            }
        }
    }
    swarm.run_until_complete();

    let books = &swarm.world.observer;
    let rounds = |from: &[HostId], to: &[HostId]| -> u32 {
        let pairs = from.iter().flat_map(|&by| to.iter().map(move |&of| (by, of)));
        pairs.map(|(by, of)| books.regular_unchokes(by, of)).sum()
    };
    let row = |from: &Vec<HostId>| {
        let rounds = [0, 1, 2].map(|to| f64::from(rounds(from, &joined[to])));
        rounds.map(|to| to / rounds.iter().sum::<f64>())
    };
    let mean = |class: &Vec<HostId>| {
        super::Spread::of(class.iter().map(|&peer| swarm.completed_at(peer))).mean
    };
    Measured {
        unchoked: [row(&joined[0]), row(&joined[1]), row(&joined[2])],
        completion: [mean(&joined[0]), mean(&joined[1]), mean(&joined[2])],
        digest: books.digest,
    }
}

/// Bytes a second that every peer can download: more than any gets.
const DOWN: u64 = 2_000_000;

/// Rates and chunks are twice what the parameters say, so that a slow peer, too, sends each of five
/// neighbors five blocks a round; times are the same.
const SCALE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::super::{assert_repeatable, runs};
    use super::*;
    use crate::choker::random;

    fn measure(what: &str, parameters: &Parameters) -> Vec<Measured> {
        let runs = runs(0..3, |seed| run(parameters, seed));
        for Measured { unchoked, completion, .. } in &runs {
            println!("{what}: unchoked {unchoked:.2?}, completed after {completion:.0?} s");
        }
        runs
    }

    #[test]
    fn peers_of_similar_bandwidth_cluster_unless_the_seed_is_slow() {
        let fast_seed = Parameters::fast_seed();
        let runs = measure("fast seed", &fast_seed);
        assert!(runs.iter().all(|run| run.clusters() && !run.alike()), "{runs:?}");
        let runs = measure("slow seed", &Parameters::slow_seed());
        assert!(runs.iter().all(|run| run.alike() && !run.clusters()), "{runs:?}");

        // The controls: a choker without tit-for-tat, and the first rule of strict priority.
        let choker = random::STRATEGY;
        let runs = measure("random choker", &Parameters { choker, ..fast_seed });
        assert!(!runs.iter().any(Measured::clusters), "{runs:?}");
        let strict_priority = StrictPriority::ALWAYS;
        let runs = measure("strict priority always", &Parameters { strict_priority, ..fast_seed });
        assert!(!runs.iter().any(Measured::clusters), "{runs:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let parameters = Parameters { chunks: 20, ..Parameters::fast_seed() };
        assert_repeatable(|seed| run(&parameters, seed));
    }
}
