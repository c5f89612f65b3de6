//! A tournament of chokers: which one makes a swarm fast, and which one does best among others.
//!
//! Source: Rahman, Vinkó, Hales, Pouwelse and Sips, "Design Space Analysis for Modeling Incentives
//! in Distributed Systems" (2011), of which the abstract was read. It judges a protocol by its
//! performance, robustness and aggressiveness; the games below, and all their numbers, are ours.
//!
//! | Game | Peers | What counts |
//! |---|---|---|
//! | alone | 30 of X | performance: mean completion over the book's bound; less is better |
//! | even | 15 of X, 15 of Y | robustness: the part of its opponents that X beats |
//! | few | 3 of X, 27 of Y | aggressiveness: the part of its opponents that X beats |
//!
//! Peers come in pairs with the same upload rate, and X beats Y if its peers complete
//! sooner, in the mean, than those of Y in the same pairs. So a win is due to the choker and not to
//! the rates, and a choker that plays against itself wins about half of its games. Every peer begins
//! with some chunks, the two of a pair with the same, and leaves as soon as it is complete; one slow
//! seed stays to the end, so that every game ends.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use common::bitfield::Bitfield;
use fastrand::Rng;
use serde::Serialize;

use super::swarm::Swarm;
use super::{Context, Spread, Stopped};
use crate::choker::{AskChoker, Strategy};
use crate::demo::GATHERING;
use crate::sim::{HostId, Link};

/// Upload rates in kB/s, one for each pair of peers. Drawn once, in Python 3:
/// `r = random.Random(2011); sorted(round(30 * r.lognormvariate(0, 0.6)) for _ in range(15))`.
/// Uplinks are long-tailed like that: many slow, few fast.
pub const UPLOADS: [u64; 15] = [15, 17, 17, 21, 21, 24, 24, 37, 37, 42, 43, 49, 72, 88, 97];

/// What the seed uploads, in kB/s: about as much as the fastest peer, so that trade decides.
pub const SEED_UPLOAD: u64 = 100;

/// What every peer can download, in kB/s: no limit that counts.
const DOWNLOAD: u64 = 2000;

const CHUNKS: u32 = 100;
const CHUNK_SIZE: u32 = 64 * 1024;

/// The chunks that each peer begins with, drawn for each pair. Peers with nothing to trade would all
/// wait for the seed, whatever their choker.
const HEAD_START: usize = 30;

/// In a game of few, X has one of so many pairs in a row. As many runs give X every rate once.
const PAIRS_OF_FEW: usize = 5;

/// As many runs as it takes for the few to have had every rate.
pub const RUNS: u64 = PAIRS_OF_FEW as u64;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lineup {
    /// All peers are of X.
    Alone,
    /// Half of the peers are of X, half of Y.
    Even,
    /// Three peers are of X, all others of Y.
    Few,
}

/// One game, between entries that have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Game {
    /// What is played.
    pub lineup: Lineup,
    /// X and Y. Alone, both are the same.
    pub entries: [usize; 2],
    /// For all that is drawn.
    pub seed: u64,
}

/// What decides for the peers of one side.
pub enum Side {
    /// A choker of the library.
    Named(Strategy),
    /// Chokers outside of it, one for each peer.
    Asked(Vec<Box<dyn AskChoker>>),
}

/// A game that was played.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Played {
    /// Which.
    #[serde(flatten)]
    pub game: Game,
    /// The mean completion of X and of Y in the pairs that count, in seconds. Alone, both are of all
    /// peers.
    pub seconds: [f64; 2],
}

/// How an entry did. What it has not played yet is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Its number.
    #[serde(skip)]
    pub entry: usize,
    /// The part of its even games that it won, a draw as half a win, over the runs.
    pub robustness: Option<Spread>,
    /// The same of those in which it had few peers.
    pub aggressiveness: Option<Spread>,
    /// Its mean completion alone over the bound, over the runs.
    pub performance: Option<Spread>,
}

/// All games of so many entries with one random seed.
pub fn games(entries: usize, seed: u64) -> Vec<Game> {
    let mut games = Vec::new();
    for x in 0..entries {
        games.push(Game { lineup: Lineup::Alone, entries: [x, x], seed });
        for y in (0..entries).filter(|&y| y != x) {
            // An even game is one for both.
            if x < y {
                games.push(Game { lineup: Lineup::Even, entries: [x, y], seed });
            }
            games.push(Game { lineup: Lineup::Few, entries: [x, y], seed });
        }
    }
    games
}

impl Game {
    /// How many peers X and Y have. Alone, X has all.
    pub fn peers(self) -> [usize; 2] {
        let of_x = self.seats().flatten().filter(|&side| side == 0).count();
        [of_x, 2 * UPLOADS.len() - of_x]
    }

    /// Plays it.
    ///
    /// # Errors
    /// If it was interrupted.
    ///
    /// # Panics
    /// If a side has not as many chokers as peers.
    pub fn play(self, mut sides: [Side; 2], context: &mut Context<'_>) -> Result<Played, Stopped> {
        let mut rng = Rng::with_seed(self.seed);
        let mut swarm = Swarm::new(CHUNKS, CHUNK_SIZE, context)?;
        let link = |upload| Link::new(1000 * upload, 1000 * DOWNLOAD);
        let all = Bitfield::full(CHUNKS);
        swarm.join_at(Duration::ZERO, all, link(SEED_UPLOAD), |_| {});
        let mut hosts: [Vec<HostId>; 2] = Default::default();
        for (seats, upload) in self.seats().zip(UPLOADS) {
            let mut have = Bitfield::empty(CHUNKS);
            for piece in rng.choose_multiple(swarm.geometry.pieces(), HEAD_START) {
                have.insert(piece);
            }
            let pair = seats.map(|side| {
                let side = &mut sides[side];
                let host = swarm.join_at(Duration::ZERO, have.clone(), link(upload), |config| {
                    config.gathering = Some(GATHERING);
                    if let Side::Named(strategy) = side {
                        config.choker = *strategy;
                    }
                });
                if let Side::Asked(chokers) = side {
                    let choker = chokers.pop().expect("there is one for each peer");
                    swarm.world.ask_choker(host, choker);
                }
                swarm.world.leave_when_complete(host);
                host
            });
            for (side, host) in seats.into_iter().zip(pair) {
                if self.lineup == Lineup::Alone || seats.contains(&(1 - side)) {
                    hosts[side].push(host);
                }
            }
        }
        swarm.run_until_complete()?;
        let completed = |host| {
            let time = swarm.world.completed_at(host).expect("all peers are complete");
            time.as_secs_f64()
        };
        let mean = |hosts: &[HostId]| Spread::of(hosts.iter().copied().map(completed)).mean;
        let x = mean(&hosts[0]);
        let y = if self.lineup == Lineup::Alone { x } else { mean(&hosts[1]) };
        Ok(Played { game: self, seconds: [x, y] })
    }

    /// Which side has the two peers of each pair, in the order in which they join.
    fn seats(self) -> impl Iterator<Item = [usize; 2]> {
        let turn = usize::try_from(self.seed % 10).expect("below 10");
        (0..UPLOADS.len()).map(move |pair| match self.lineup {
            Lineup::Alone => [0, 0],
            Lineup::Few if pair % PAIRS_OF_FEW != turn % PAIRS_OF_FEW => [1, 1],
            // Neither side always joins first.
            Lineup::Even | Lineup::Few if (pair + turn).is_multiple_of(2) => [0, 1],
            Lineup::Even | Lineup::Few => [1, 0],
        })
    }
}

/// How so many entries did, the most robust first; among equals the most aggressive.
pub fn scores(entries: usize, played: &[Played]) -> Vec<Score> {
    let mut scores: Vec<_> = (0..entries).map(|entry| score(entry, played)).collect();
    let won = |spread: Option<Spread>| spread.map_or(-1.0, |spread| spread.mean);
    scores.sort_by(|a, b| {
        let robustness = won(b.robustness).total_cmp(&won(a.robustness));
        robustness.then(won(b.aggressiveness).total_cmp(&won(a.aggressiveness)))
    });
    scores
}

fn score(entry: usize, played: &[Played]) -> Score {
    let over_runs = |lineup, score: &dyn Fn(&Played) -> Option<f64>| {
        let mut runs: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for played in played.iter().filter(|played| played.game.lineup == lineup) {
            if let Some(score) = score(played) {
                runs.entry(played.game.seed).or_default().push(score);
            }
        }
        let means = runs.into_values().map(|scores| Spread::of(scores).mean);
        (means.len() > 0).then(|| Spread::of(means))
    };
    let won = |Played { game, seconds: [x, y] }: &Played| {
        let x_won = match x.total_cmp(y) {
            Ordering::Less => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Greater => 0.0,
        };
        let [of_x, of_y] = game.entries.map(|of| of == entry);
        if of_x {
            Some(x_won)
        } else if of_y && game.lineup == Lineup::Even {
            Some(1.0 - x_won)
        } else {
            None
        }
    };
    let bound = bound();
    Score {
        entry,
        robustness: over_runs(Lineup::Even, &won),
        aggressiveness: over_runs(Lineup::Few, &won),
        performance: over_runs(Lineup::Alone, &|played| {
            (played.game.entries[0] == entry).then(|| played.seconds[0] / bound)
        }),
    }
}

/// The least time in which all peers can have what they lack, in seconds, where all uplinks together
/// are the limit (K&R 2.5).
#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
fn bound() -> f64 {
    let lacked = 2 * UPLOADS.len() * (CHUNKS as usize - HEAD_START) * CHUNK_SIZE as usize;
    let uploads = 1000 * (SEED_UPLOAD + 2 * UPLOADS.iter().sum::<u64>());
    lacked as f64 / uploads as f64
}

#[cfg(test)]
mod tests {
    use super::super::runs;
    use super::*;
    use crate::choker::{free_rider, textbook, unchoke_all};

    /// All games of these in so many runs, and their scores by number.
    fn tournament(
        strategies: &[Strategy],
        seeds: std::ops::Range<u64>,
    ) -> (Vec<Played>, Vec<Score>) {
        let played = runs(seeds, |seed| {
            let context = &mut Context { seed, follow: &mut () };
            let games = games(strategies.len(), seed).into_iter();
            let play = |game: Game| {
                game.play(game.entries.map(|entry| Side::Named(strategies[entry])), context)
                    .unwrap()
            };
            games.map(play).collect::<Vec<_>>()
        });
        let played = played.concat();
        let mut scores = scores(strategies.len(), &played);
        scores.sort_by_key(|score| score.entry);
        (played, scores)
    }

    fn mean(spread: Option<Spread>) -> f64 {
        spread.expect("it was played").mean
    }

    #[test]
    fn a_free_rider_loses_to_the_textbook_and_waits_for_the_seed_when_alone() {
        let (_, scores) = tournament(&[textbook::STRATEGY, free_rider::STRATEGY], 0..2);
        let [textbook, rider] = scores.as_slice() else { unreachable!("there are two") };
        assert_eq!((mean(textbook.robustness), mean(rider.robustness)), (1.0, 0.0));
        assert_eq!((mean(textbook.aggressiveness), mean(rider.aggressiveness)), (1.0, 0.0));
        assert!(mean(textbook.performance) < 2.0, "{textbook:?}");
        assert!(mean(rider.performance) > 10.0, "{rider:?}");
    }

    #[test]
    fn a_choker_against_itself_takes_as_long_as_itself() {
        let strategies = [unchoke_all::STRATEGY, unchoke_all::STRATEGY];
        let (played, _) = tournament(&strategies, 0..4);
        let ratios = played.iter().filter(|played| played.game.lineup == Lineup::Even);
        let ratio = Spread::of(ratios.map(|played| played.seconds[0] / played.seconds[1]));
        assert!((0.95..1.05).contains(&ratio.mean) && ratio.least != ratio.most, "{ratio}");
    }

    #[test]
    fn the_few_have_every_rate_once_over_the_runs() {
        let mut had = [0; UPLOADS.len()];
        for seed in 7..7 + RUNS {
            let game = Game { lineup: Lineup::Few, entries: [0, 1], seed };
            assert_eq!(game.peers(), [3, 27]);
            for (pair, seats) in game.seats().enumerate() {
                had[pair] += seats.iter().filter(|&&side| side == 0).count();
            }
        }
        assert_eq!(had, [1; UPLOADS.len()]);
        let even = Game { lineup: Lineup::Even, entries: [0, 1], seed: 1 };
        assert!(even.seats().all(|seats| seats == [0, 1] || seats == [1, 0]));
        assert_eq!(even.peers(), [15, 15]);
    }

    #[test]
    fn the_scores_are_parts_of_the_opponents_and_the_table_begins_with_the_most_robust() {
        let played =
            |lineup, entries, seconds| Played { game: Game { lineup, entries, seed: 3 }, seconds };
        let games = [
            played(Lineup::Even, [0, 1], [20.0, 10.0]),
            played(Lineup::Even, [0, 2], [10.0, 20.0]),
            played(Lineup::Even, [1, 2], [10.0, 10.0]),
            played(Lineup::Few, [0, 1], [10.0, 20.0]),
            played(Lineup::Alone, [0, 0], [3.0 * bound(), 3.0 * bound()]),
        ];
        let scores = scores(3, &games);
        let robustness: Vec<_> =
            scores.iter().map(|score| (score.entry, mean(score.robustness))).collect();
        assert_eq!(robustness, [(1, 0.75), (0, 0.5), (2, 0.25)]);
        assert_eq!((mean(scores[1].aggressiveness), mean(scores[1].performance)), (1.0, 3.0));
        assert_eq!((scores[0].aggressiveness, scores[0].performance), (None, None));
    }
}
