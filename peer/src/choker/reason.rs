//! Why a peer is unchoked or choked. A reason prints as part of a sentence; in JSON it is the
//! field `why` and its numbers. Rates are in bytes per second.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::{Candidate, Choice};
use crate::units;

/// Why a peer is unchoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum UnchokeReason {
    /// One of the fastest.
    Top {
        /// How many of the fastest are unchoked.
        slots: usize,
        /// Its place among them; 1 is the fastest.
        rank: usize,
        /// Its rate.
        rate: u64,
    },
    /// It gets a chance whatever its rate.
    Optimistic,
    /// It gets a chance as well, because too few peers earned a slot.
    OptimisticFill,
    /// It is not interested and takes no slot, but can start at once when it is.
    RidesAlong,
    /// A slot was free between two rounds.
    FreeSlot,
    /// A seed keeps serving it.
    KeptAsSeed {
        /// 1 is the last that would lose its slot.
        rank: usize,
    },
    /// It is the next in turn at a seed.
    TurnAsSeed,
    /// As before: the core keeps the reason that the peer had.
    Kept,
    /// The choker's own words.
    Other {
        /// Part of a sentence.
        text: Cow<'static, str>,
    },
}

/// Why a peer is choked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum ChokeReason {
    /// It wants nothing that we have.
    NotInterested,
    /// It had its chance, and now another peer has.
    OptimisticOver {
        /// How it stands among those that compete; `None` if no slot is earned by rate, or if it
        /// does not compete because it snubs us.
        #[serde(flatten)]
        standing: Option<Standing>,
    },
    /// It sent no block for too long.
    Snubbed {
        /// Seconds since its last block; `None` if it never sent one.
        silent_s: Option<u64>,
    },
    /// Other peers are faster.
    BelowCut(Standing),
    /// Rank played no part, and the choker chose other peers.
    NotChosen {
        /// The name of the choker.
        by: Cow<'static, str>,
    },
}

/// How a peer stands that did not earn a slot by its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Its place among all that compete; 1 is the fastest.
    pub rank: usize,
    /// Its rate.
    pub rate: u64,
    /// The rate of the slowest peer that earned a slot.
    pub cut: u64,
}

impl Choice {
    /// Why a candidate that is not unchoked is choked.
    ///
    /// `until_now` is the reason for which it was unchoked, `None` if it was choked already; `by`
    /// is the name of the choker.
    pub fn choke_reason(
        &self,
        candidate: &Candidate,
        until_now: Option<&UnchokeReason>,
        candidates: &[Candidate],
        by: impl Into<Cow<'static, str>>,
    ) -> ChokeReason {
        if !candidate.interested {
            return ChokeReason::NotInterested;
        }
        let ranking = self.ranking.as_ref();
        let rank = ranking.map(|ranking| ranking.rank(candidate.peer));
        let cut = ranking.and_then(|ranking| ranking.cut(candidates));
        let standing = rank.flatten().zip(cut);
        let standing = standing.map(|(rank, cut)| Standing { rank, rate: candidate.rate, cut });
        match (until_now, rank, standing) {
            (Some(UnchokeReason::Optimistic | UnchokeReason::OptimisticFill), ..) => {
                ChokeReason::OptimisticOver { standing }
            }
            (_, Some(None), _) => {
                let silent_s = candidate.since_block.map(|time| time.as_secs());
                ChokeReason::Snubbed { silent_s }
            }
            (.., Some(standing)) => ChokeReason::BelowCut(standing),
            // No slot is earned by rate.
            (.., None) => ChokeReason::NotChosen { by: by.into() },
        }
    }
}

impl fmt::Display for UnchokeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top { slots, rank, rate } => {
                write!(f, "top {}, rank {rank} at {}", in_words(*slots), units::rate(*rate))
            }
            Self::Optimistic => f.write_str("optimistic"),
            Self::OptimisticFill => f.write_str("optimistic fill"),
            Self::RidesAlong => f.write_str("not interested, rides along"),
            Self::FreeSlot => f.write_str("free slot"),
            Self::KeptAsSeed { rank } => write!(f, "kept as seed, rank {rank}"),
            Self::TurnAsSeed => f.write_str("next in turn as seed"),
            Self::Kept => f.write_str("as before"),
            Self::Other { text } => f.write_str(text),
        }
    }
}

impl fmt::Display for ChokeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInterested => f.write_str("not interested"),
            Self::OptimisticOver { standing: None } => f.write_str("turn is over"),
            Self::OptimisticOver { standing: Some(standing) } => {
                write!(f, "turn is over, {standing}")
            }
            Self::Snubbed { silent_s: Some(seconds) } => {
                write!(f, "snubbed: no block for {seconds} s")
            }
            Self::Snubbed { silent_s: None } => f.write_str("snubbed: no block yet"),
            Self::BelowCut(standing) => standing.fmt(f),
            Self::NotChosen { by } => write!(f, "not chosen by {by}"),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rank, rate, cut } = *self;
        write!(f, "rank {rank} at {}, the cut is {}", units::rate(rate), units::rate(cut))
    }
}

/// A small number as a word: the "four" of the top four.
fn in_words(number: usize) -> String {
    const WORDS: [&str; 10] =
        ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    WORDS.get(number).map_or_else(|| number.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{a_to_h, interested, uninterested};
    use super::*;

    #[test]
    fn reasons_print_as_part_of_a_sentence() {
        use UnchokeReason::{Kept, KeptAsSeed, Other, RidesAlong, Top, TurnAsSeed};
        let unchoked = [
            (Top { slots: 4, rank: 2, rate: 412_300 }, "top four, rank 2 at 412 kB/s"),
            (Top { slots: 12, rank: 1, rate: 999 }, "top 12, rank 1 at 999 B/s"),
            (UnchokeReason::Optimistic, "optimistic"),
            (UnchokeReason::OptimisticFill, "optimistic fill"),
            (RidesAlong, "not interested, rides along"),
            (UnchokeReason::FreeSlot, "free slot"),
            (KeptAsSeed { rank: 1 }, "kept as seed, rank 1"),
            (TurnAsSeed, "next in turn as seed"),
            (Kept, "as before"),
            (Other { text: "paid back in full".into() }, "paid back in full"),
        ];
        for (reason, sentence) in unchoked {
            assert_eq!(reason.to_string(), sentence);
        }
        use ChokeReason::{BelowCut, NotChosen, NotInterested, OptimisticOver, Snubbed};
        let choked = [
            (NotInterested, "not interested"),
            (OptimisticOver { standing: None }, "turn is over"),
            (
                OptimisticOver { standing: Some(Standing { rank: 9, rate: 0, cut: 57_000 }) },
                "turn is over, rank 9 at 0 B/s, the cut is 57 kB/s",
            ),
            (Snubbed { silent_s: Some(61) }, "snubbed: no block for 61 s"),
            (Snubbed { silent_s: None }, "snubbed: no block yet"),
            (
                BelowCut(Standing { rank: 6, rate: 41_000, cut: 57_000 }),
                "rank 6 at 41 kB/s, the cut is 57 kB/s",
            ),
            (NotChosen { by: "random".into() }, "not chosen by random"),
        ];
        for (reason, sentence) in choked {
            assert_eq!(reason.to_string(), sentence);
        }
    }

    #[test]
    fn reasons_are_flat_json_objects_that_name_themselves() {
        let json = |reason| serde_json::to_string(&reason).expect("a reason is plain data");
        assert_eq!(json(UnchokeReason::RidesAlong), r#"{"why":"rides_along"}"#);
        assert_eq!(
            json(UnchokeReason::Other { text: "new here".into() }),
            r#"{"why":"other","text":"new here"}"#
        );
        let json = |reason| serde_json::to_string(&reason).expect("a reason is plain data");
        assert_eq!(
            json(ChokeReason::BelowCut(Standing { rank: 6, rate: 12, cut: 40 })),
            r#"{"why":"below_cut","rank":6,"rate":12,"cut":40}"#
        );
        let over = |standing| json(ChokeReason::OptimisticOver { standing });
        assert_eq!(over(None), r#"{"why":"optimistic_over"}"#);
        assert_eq!(
            over(Some(Standing { rank: 6, rate: 12, cut: 40 })),
            r#"{"why":"optimistic_over","rank":6,"rate":12,"cut":40}"#
        );
        assert_eq!(
            json(ChokeReason::NotChosen { by: "random".into() }),
            r#"{"why":"not_chosen","by":"random"}"#
        );
    }

    /// Why E is choked while A to D are unchoked, of A to H.
    fn why(ranking_slots: Option<usize>, until_now: Option<&UnchokeReason>) -> ChokeReason {
        let candidates = a_to_h();
        let ranked: Vec<_> = candidates.iter().collect();
        let mut choice = Choice::top(4, ranking_slots.unwrap_or(4), &ranked);
        if ranking_slots.is_none() {
            choice.ranking = None;
        }
        choice.choke_reason(&candidates[4], until_now, &candidates, "some choker")
    }

    #[test]
    fn a_ranked_peer_is_choked_because_it_is_below_the_cut() {
        let below = ChokeReason::BelowCut(Standing { rank: 5, rate: 40, cut: 50 });
        assert_eq!(why(Some(4), None), below);
        assert_eq!(why(Some(4), Some(&UnchokeReason::FreeSlot)), below);
        let below_two = ChokeReason::BelowCut(Standing { rank: 5, rate: 40, cut: 70 });
        assert_eq!(why(Some(2), None), below_two);
    }

    #[test]
    fn where_no_slot_is_earned_by_rate_the_choker_chose_others() {
        let not_chosen = ChokeReason::NotChosen { by: "some choker".into() };
        assert_eq!(why(None, None), not_chosen);
        assert_eq!(why(None, Some(&UnchokeReason::Kept)), not_chosen);
        assert_eq!(why(Some(0), None), not_chosen);
    }

    #[test]
    fn an_optimistic_turn_ends_whatever_the_rank_which_is_told_if_there_is_one() {
        let over = |standing| ChokeReason::OptimisticOver { standing };
        for until_now in [UnchokeReason::Optimistic, UnchokeReason::OptimisticFill] {
            let standing = Standing { rank: 5, rate: 40, cut: 50 };
            assert_eq!(why(Some(4), Some(&until_now)), over(Some(standing)));
            assert_eq!(why(Some(0), Some(&until_now)), over(None));
            assert_eq!(why(None, Some(&until_now)), over(None));
            let snubs = interested('A');
            let choice = Choice::top(4, 4, &[]);
            let why = choice.choke_reason(&snubs, Some(&until_now), &[snubs], "some choker");
            assert_eq!(why, over(None));
        }
    }

    #[test]
    fn a_peer_that_ranks_nowhere_snubs_us() {
        let choice = Choice::top(4, 4, &[]);
        let why = |candidate| choice.choke_reason(&candidate, None, &[candidate], "some choker");
        let silent = |since_block| Candidate { since_block, ..interested('A') };
        let almost_62 = Some(Duration::from_millis(61_999));
        assert_eq!(why(silent(almost_62)), ChokeReason::Snubbed { silent_s: Some(61) });
        assert_eq!(why(silent(None)), ChokeReason::Snubbed { silent_s: None });
    }

    #[test]
    fn a_peer_that_wants_nothing_is_choked_for_that() {
        let why = |until_now| {
            let candidate = uninterested('A');
            Choice::top(4, 4, &[]).choke_reason(&candidate, until_now, &[candidate], "some choker")
        };
        assert_eq!(why(None), ChokeReason::NotInterested);
        assert_eq!(why(Some(&UnchokeReason::Optimistic)), ChokeReason::NotInterested);
    }
}
