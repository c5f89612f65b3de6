//! Why a peer is unchoked or choked, for the log, the event file and whoever wants to know.

use std::fmt;

use crate::rate::PerSecond;

/// Why a peer is unchoked or choked. Prints as part of a sentence; rates are in bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Reason {
    /// Unchoked: one of the fastest.
    Top {
        /// How many of the fastest are unchoked.
        slots: usize,
        /// Its place among them; 1 is the fastest.
        rank: usize,
        /// Its rate.
        rate: u64,
    },
    /// Unchoked: the one that is given a chance whatever its rate.
    Optimistic,
    /// Unchoked: given a chance as well, because too few earned a slot.
    OptimisticFill,
    /// Unchoked although not interested: it may start at once when it is, and takes no slot.
    RidesAlong,
    /// Unchoked between two rounds, because a slot was free.
    FreeSlot,
    /// Unchoked by a seed, and stays so.
    KeptAsSeed {
        /// Its place among those a seed has unchoked; 1 is the last to go.
        rank: usize,
    },
    /// Unchoked by a seed: the next one in turn.
    TurnAsSeed,
    /// Choked: others are faster.
    BelowCut {
        /// Its place among all that compete; 1 is the fastest.
        rank: usize,
        /// Its rate.
        rate: u64,
        /// The rate of the slowest that is in.
        cut: u64,
    },
    /// Choked: it wants nothing that we have.
    NotInterested,
    /// Choked: it gave us nothing for too long.
    Snubbed {
        /// Seconds since its last block; `None` if none ever came.
        silent_s: Option<u64>,
    },
    /// Choked: it had its chance, and now another has.
    RotatedOut,
    /// Choked: every slot is taken.
    NoSlot,
}

impl Reason {
    /// Whether this is a reason to unchoke.
    pub fn unchokes(self) -> bool {
        match self {
            Self::Top { .. }
            | Self::Optimistic
            | Self::OptimisticFill
            | Self::RidesAlong
            | Self::FreeSlot
            | Self::KeptAsSeed { .. }
            | Self::TurnAsSeed => true,
            Self::BelowCut { .. }
            | Self::NotInterested
            | Self::Snubbed { .. }
            | Self::RotatedOut
            | Self::NoSlot => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Top { slots, rank, rate } => {
                write!(f, "top {}, rank {rank}, {}", InWords(slots), PerSecond(rate))
            }
            Self::Optimistic => f.write_str("optimistic"),
            Self::OptimisticFill => f.write_str("optimistic fill"),
            Self::RidesAlong => f.write_str("not interested, rides along"),
            Self::FreeSlot => f.write_str("free slot"),
            Self::KeptAsSeed { rank } => write!(f, "kept as seed, rank {rank}"),
            Self::TurnAsSeed => f.write_str("next in turn as seed"),
            Self::BelowCut { rank, rate, cut } => {
                write!(f, "rank {rank}, {}, cut at {}", PerSecond(rate), PerSecond(cut))
            }
            Self::NotInterested => f.write_str("not interested"),
            Self::Snubbed { silent_s: Some(seconds) } => {
                write!(f, "snubbed: no block for {seconds} s")
            }
            Self::Snubbed { silent_s: None } => f.write_str("snubbed: no block yet"),
            Self::RotatedOut => f.write_str("rotated out"),
            Self::NoSlot => f.write_str("no slot"),
        }
    }
}

/// A small number as a word: the "four" of the top four.
struct InWords(usize);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WORDS: [&str; 10] =
            ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
        match WORDS.get(self.0) {
            Some(word) => f.write_str(word),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_print_as_part_of_a_sentence() {
        let cases = [
            (Reason::Top { slots: 4, rank: 2, rate: 412_300 }, "top four, rank 2, 412 kB/s"),
            (Reason::Top { slots: 12, rank: 1, rate: 999 }, "top 12, rank 1, 999 B/s"),
            (Reason::Optimistic, "optimistic"),
            (Reason::OptimisticFill, "optimistic fill"),
            (Reason::RidesAlong, "not interested, rides along"),
            (Reason::FreeSlot, "free slot"),
            (Reason::KeptAsSeed { rank: 1 }, "kept as seed, rank 1"),
            (Reason::TurnAsSeed, "next in turn as seed"),
            (
                Reason::BelowCut { rank: 6, rate: 12_000, cut: 40_000 },
                "rank 6, 12 kB/s, cut at 40 kB/s",
            ),
            (Reason::NotInterested, "not interested"),
            (Reason::Snubbed { silent_s: Some(60) }, "snubbed: no block for 60 s"),
            (Reason::Snubbed { silent_s: None }, "snubbed: no block yet"),
            (Reason::RotatedOut, "rotated out"),
            (Reason::NoSlot, "no slot"),
        ];
        for (reason, sentence) in cases {
            assert_eq!(reason.to_string(), sentence);
        }
    }

    #[test]
    fn reasons_are_json_objects_that_name_themselves() {
        let json = |reason: Reason| serde_json::to_string(&reason).expect("a reason is plain data");
        assert_eq!(
            json(Reason::BelowCut { rank: 6, rate: 12, cut: 40 }),
            r#"{"why":"below_cut","rank":6,"rate":12,"cut":40}"#
        );
        assert_eq!(json(Reason::RidesAlong), r#"{"why":"rides_along"}"#);
    }
}
