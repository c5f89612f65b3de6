//! Whether the lists of peers that a tracker gave are random subsets.
//!
//! The statistic has two parts: every peer was named at least once, and many different subsets were.
//! A tracker that draws at random fails in fewer than 1 of 10,000 runs: a peer is missed in all draws
//! with probability 20 * (15/20)^60 < 1e-6, and 30 of 60 draws from 15,504 subsets are hardly ever
//! the same. A tracker that always gives the first peers never names the others, and one that goes
//! around its list, from one place to the next or from random places, has at most 20 subsets.

use std::collections::BTreeSet;

use crate::check::Failure;

/// The peers that there are, besides the one that asks.
pub(super) const PEERS: usize = 20;
/// The peers that it wants.
pub(super) const WANTED: usize = 5;
/// How often it asks.
pub(super) const DRAWS: usize = 60;

/// The least number of different subsets.
const DIFFERENT: usize = 30;

/// Judges what was drawn: for each draw, a bit for each peer that was named.
///
/// # Errors
/// When it is not random.
pub(super) fn judge(drawn: &[u32]) -> Result<(), Failure> {
    let named = drawn.iter().fold(0, |all: u32, draw| all | draw).count_ones() as usize;
    if named < PEERS {
        let expected = format!("each of {PEERS} peers named at least once in {DRAWS} announces");
        return Err(Failure::new(expected, format!("only {named} of them were named")));
    }
    let different = drawn.iter().collect::<BTreeSet<_>>().len();
    if different < DIFFERENT {
        let expected = format!("{DIFFERENT} or more different subsets in {DRAWS} announces");
        return Err(Failure::new(expected, format!("{different} different subsets")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn failures(runs: u32, mut draw: impl FnMut(&mut Rng, usize) -> u32) -> u32 {
        let mut rng = Rng::with_seed(6);
        let run = |rng: &mut Rng, draw: &mut dyn FnMut(&mut Rng, usize) -> u32| {
            let drawn: Vec<_> = (0..DRAWS).map(|number| draw(rng, number)).collect();
            u32::from(judge(&drawn).is_err())
        };
        (0..runs).map(|_| run(&mut rng, &mut draw)).sum()
    }

    /// Consecutive peers from one on, around the end of the list.
    fn window(from: usize) -> u32 {
        (from..from + WANTED).map(|peer| 1 << (peer % PEERS)).sum()
    }

    #[test]
    fn a_tracker_that_draws_at_random_passes_in_100_000_runs() {
        let failed = failures(100_000, |rng, _| {
            let mut subset: u32 = 0;
            while (subset.count_ones() as usize) < WANTED {
                subset |= 1 << rng.usize(..PEERS);
            }
            subset
        });
        assert!(failed < 10, "{failed}");
    }

    #[test]
    fn trackers_that_do_not_draw_at_random_fail_in_100_000_runs() {
        assert_eq!(failures(100_000, |_, _| window(0)), 100_000);
        assert_eq!(failures(100_000, |_, number| window(number)), 100_000);
        assert_eq!(failures(100_000, |_, number| window(number * WANTED)), 100_000);
        assert_eq!(failures(100_000, |rng, _| window(rng.usize(..PEERS))), 100_000);
    }
}
