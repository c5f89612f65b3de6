//! What a program's chokes and unchokes say about how it chooses the neighbors that it serves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A choke or an unchoke, as it arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    pub(crate) neighbor: usize,
    pub(crate) unchoked: bool,
}

/// A choke of one neighbor and the unchoke of another travel on two connections, so the second may be
/// seen first. What lasts for less than this is not held against a program.
const SETTLE: Duration = Duration::from_millis(100);

/// Periods of the optimistic neighbor that the check `optimistic` watches.
pub(crate) const PERIODS: u32 = 20;

/// Neighbors that wait in it for the optimistic slot.
pub(crate) const WAITING: usize = 2;

/// For how long in all each of these neighbors was unchoked between the two instants.
pub(crate) fn unchoked_for(changes: &[Change], neighbor: usize, span: [Instant; 2]) -> Duration {
    let [from, to] = span;
    let mut total = Duration::ZERO;
    let mut since = None;
    for change in changes.iter().filter(|change| change.neighbor == neighbor) {
        match (since, change.unchoked) {
            (None, true) => since = Some(change.at),
            (Some(start), false) => {
                total += change.at.min(to).saturating_duration_since(start.max(from));
                since = None;
            }
            _ => {}
        }
    }
    total + since.map_or(Duration::ZERO, |start| to.saturating_duration_since(start.max(from)))
}

/// The most of these neighbors that were unchoked together after `from`, leaving out what did not last.
pub(crate) fn most_at_once(
    changes: &[Change],
    among: impl Fn(usize) -> bool,
    span: [Instant; 2],
) -> usize {
    let [from, to] = span;
    let mut unchoked = BTreeMap::new();
    let mut most = 0;
    let mut changes = changes.iter().filter(|change| among(change.neighbor)).peekable();
    while let Some(change) = changes.next() {
        unchoked.insert(change.neighbor, change.unchoked);
        let until = changes.peek().map_or(to, |next| next.at).min(to);
        if until.saturating_duration_since(change.at.max(from)) > SETTLE {
            most = most.max(unchoked.values().filter(|unchoked| **unchoked).count());
        }
    }
    most
}

/// How many chokes came away from the rounds, if that is too many. They are given in rounds.
///
/// The null hypothesis is a program that chokes at any time: then the places of its chokes in the round are
/// independent and uniform. The best 0.3 of a round then holds all of ten but one with probability 0.4 %, and
/// five sixths of more chokes hardly more often. Fewer than ten prove nothing, and are not held against
/// the program; in 17 rounds, each of which draws among six neighbors, there are some 14. A right program
/// chokes at the same place of every round, but for the delays of the machine: 0.3 of a round is 150 ms
/// here, and one choke of six may be later.
pub(crate) fn off_rounds(chokes: &[f64]) -> Option<usize> {
    const ARC: f64 = 0.3;
    const LEAST: usize = 10;
    let behind =
        |from: f64| chokes.iter().filter(move |choke| (*choke - from).rem_euclid(1.0) <= ARC);
    let most = chokes.iter().map(|choke| behind(*choke).count()).max()?;
    let off = chokes.len() - most;
    (chokes.len() >= LEAST && off > chokes.len() / 6).then_some(off)
}

/// What is wrong with a sequence of optimistic neighbors: which of the [`WAITING`] ones each was, and how
/// many rounds after the start it was unchoked, two rounds being a period.
///
/// The null hypotheses: a program whose fifth neighbor stays, or goes by rate or age, never gives one of
/// the two a turn; one that draws at every round, as for the four, replaces it after one round in half of
/// the cases. A right program draws [`PERIODS`] times, from two, perhaps the same again: that one of them
/// never has a turn has probability 2^-19. Its replacements are two rounds apart; a few may be closer when
/// the machine delays a round. One that draws at every round has some ten that close, and
/// two or fewer with probability 0.5 %.
pub(crate) fn not_optimistic(turns: &[(usize, f64)]) -> Option<String> {
    const TOO_SOON: f64 = 1.5;
    const MOST_TOO_SOON: usize = 2;
    for waiting in 0..WAITING {
        if !turns.iter().any(|(who, _)| *who == waiting) {
            return Some("one of the two waiting neighbors was never unchoked".to_owned());
        }
    }
    let soon = turns.windows(2).filter(|pair| pair[1].1 - pair[0].1 < TOO_SOON).count();
    (soon > MOST_TOO_SOON).then(|| format!("{soon} changes after less than a period"))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use fastrand::Rng;

    use super::super::CROWD;
    use super::*;

    const SAMPLES: u32 = 100_000;
    /// Of the samples: 1 in 10,000, and 1 in 100.
    const RIGHT_LOSES: u32 = SAMPLES / 10_000;
    const WRONG_KEEPS: u32 = SAMPLES / 100;

    /// The turns of a program that draws every `rounds` rounds; each round is up to 0.1 late.
    fn draws(rng: &mut Rng, rounds: u32) -> Vec<(usize, f64)> {
        let mut turns: Vec<(usize, f64)> = Vec::new();
        for round in (0..2 * PERIODS).step_by(rounds as usize) {
            let who = rng.usize(..WAITING);
            // The same again is no change, and cannot be seen.
            if turns.last().is_none_or(|(last, _)| *last != who) {
                turns.push((who, f64::from(round) + 0.1 * rng.f64()));
            }
        }
        turns
    }

    #[test]
    fn a_draw_each_period_keeps_the_points_and_none_or_one_each_round_loses_them() {
        let mut rng = Rng::with_seed(1);
        let mut kept = [0; 3];
        for _ in 0..SAMPLES {
            let programs =
                [draws(&mut rng, 2), draws(&mut rng, 1), vec![(rng.usize(..WAITING), 0.0)]];
            for (kept, turns) in kept.iter_mut().zip(programs) {
                *kept += u32::from(not_optimistic(&turns).is_none());
            }
        }
        assert!(SAMPLES - kept[0] < RIGHT_LOSES, "{kept:?}");
        assert!(kept[1..].iter().all(|kept| *kept < WRONG_KEEPS), "{kept:?}");
    }

    #[test]
    fn chokes_at_rounds_keep_the_points_and_chokes_at_any_time_lose_them() {
        let mut rng = Rng::with_seed(2);
        let mut kept = [0; 2];
        for _ in 0..SAMPLES {
            let start = rng.f64();
            let at_rounds: Vec<_> =
                (0..12).map(|round| start + f64::from(round) + 0.1 * rng.f64()).collect();
            let count = rng.usize(10..=17);
            let at_any_time: Vec<_> = (0..count).map(|_| 17.0 * rng.f64()).collect();
            kept[0] += u32::from(off_rounds(&at_rounds).is_none());
            kept[1] += u32::from(off_rounds(&at_any_time).is_none());
        }
        assert!(SAMPLES - kept[0] < RIGHT_LOSES, "{kept:?}");
        assert!(kept[1] < WRONG_KEEPS, "{kept:?}");
    }

    #[test]
    fn five_at_random_are_the_fastest_four_too_seldom_to_keep_the_points() {
        // Five of the crowd, chosen once, as by age, or again in each of the five rounds that `top-four`
        // watches. It wants the four to be served for three quarters of the time.
        let mut rng = Rng::with_seed(3);
        let mut kept = [0; 2];
        for _ in 0..SAMPLES {
            let draws: Vec<_> = (0..5).map(|_| rng.choose_multiple(0..CROWD, 5)).collect();
            kept[0] += u32::from((0..4).all(|fast| draws[0].contains(&fast)));
            let rounds = |fast| draws.iter().filter(|served| served.contains(&fast)).count();
            kept[1] += u32::from((0..4).all(|fast| rounds(fast) >= 4));
        }
        assert!(kept.iter().all(|kept| *kept < WRONG_KEEPS), "{kept:?}");
    }

    /// The choices at the end of each round: the four with the highest scores, ties by chance, and an
    /// optimistic neighbor, which stays until it is one of the four. A score sees the blocks that each
    /// neighbor has sent in each round.
    fn choices(
        rng: &mut Rng,
        rates: &[Vec<f64>],
        score: impl Fn(&[Vec<u32>], usize) -> u32,
    ) -> Vec<Vec<usize>> {
        let mut blocks: Vec<Vec<u32>> = Vec::new();
        let mut choices = Vec::new();
        let mut optimistic = usize::MAX;
        for rates in rates {
            // A round begins anywhere between two blocks, and is up to a tenth longer.
            let long = 1.0 + 0.1 * rng.f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole blocks"
            )]
            let count = |rate: &f64| (rate * long + rng.f64()) as u32;
            blocks.push(rates.iter().map(count).collect());
            let mut ranked: Vec<_> = (0..rates.len()).collect();
            ranked.sort_by_cached_key(|&who| (u32::MAX - score(&blocks, who), rng.u32(..)));
            if !ranked[4..].contains(&optimistic) {
                optimistic = ranked[rng.usize(4..rates.len())];
            }
            ranked.truncate(4);
            ranked.push(optimistic);
            choices.push(ranked);
        }
        choices
    }

    fn by_the_last_two_rounds(blocks: &[Vec<u32>], who: usize) -> u32 {
        blocks.iter().rev().take(2).map(|round| round[who]).sum()
    }

    /// In how many of these rounds it was served. A choice at the end of a round holds in the next one.
    fn times(choices: &[Vec<usize>], rounds: Range<usize>, who: usize) -> usize {
        let before = rounds.start - 1..rounds.end - 1;
        choices[before].iter().filter(|served| served.contains(&who)).count()
    }

    #[test]
    fn the_fastest_four_by_their_blocks_keep_the_points() {
        // The rates of `top-four` in blocks per round of 0.6 s; it watches five rounds after four.
        let mut rates = vec![vec![2.4; CROWD]; 9];
        rates.iter_mut().for_each(|round| round[..4].fill(14.4));
        let mut rng = Rng::with_seed(4);
        let mut kept = 0;
        for _ in 0..SAMPLES {
            let choices = choices(&mut rng, &rates, by_the_last_two_rounds);
            kept += u32::from((0..4).all(|fast| times(&choices, 4..9, fast) >= 4));
        }
        assert!(SAMPLES - kept < RIGHT_LOSES, "{kept}");
    }

    #[test]
    fn rates_of_late_follow_and_totals_or_the_first_rates_do_not() {
        // Of `follows-rates`, with rounds of 0.6 s: 0 and 1 stop, 4 and 5 begin; two rounds are watched.
        let (before, after) =
            ([12.0, 12.0, 12.0, 12.0, 0.0, 0.0, 0.0], [0.0, 0.0, 12.0, 12.0, 12.0, 12.0, 0.0]);
        let rates: Vec<_> =
            (0..11).map(|round| if round < 5 { before } else { after }.to_vec()).collect();
        let by_total =
            |blocks: &[Vec<u32>], who: usize| blocks.iter().map(|round| round[who]).sum::<u32>();
        let by_the_first = |blocks: &[Vec<u32>], who: usize| blocks[0][who];
        let mut rng = Rng::with_seed(5);
        let mut kept = [0; 3];
        for _ in 0..SAMPLES {
            let programs = [
                choices(&mut rng, &rates, by_the_last_two_rounds),
                choices(&mut rng, &rates, by_total),
                choices(&mut rng, &rates, by_the_first),
            ];
            for (kept, choices) in kept.iter_mut().zip(programs) {
                let served = |who| times(&choices, 9..11, who);
                let fast = [4, 5].iter().all(|&who| served(who) == 2);
                let slow = [0, 1].iter().any(|&who| served(who) == 0);
                *kept += u32::from(fast && slow);
            }
        }
        assert!(SAMPLES - kept[0] < RIGHT_LOSES, "{kept:?}");
        assert!(kept[1..].iter().all(|kept| *kept < WRONG_KEEPS), "{kept:?}");
    }

    #[test]
    fn unchoked_times_are_added_up_within_the_span() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let change = |ms, neighbor, unchoked| Change { at: at(ms), neighbor, unchoked };
        let changes = [
            change(0, 0, true),
            change(500, 1, true),
            change(600, 0, false),
            change(650, 1, false),
            change(900, 0, true),
        ];
        let span = [at(100), at(1000)];
        assert_eq!(unchoked_for(&changes, 0, span), Duration::from_millis(600));
        assert_eq!(unchoked_for(&changes, 1, span), Duration::from_millis(150));
        // Both together for 100 ms, which counts as the order of two messages.
        assert_eq!(most_at_once(&changes, |_| true, span), 1);
    }
}
