//! The order in which pieces are started: a table of names and rules, and the reason for each pick.
//!
//! To add an order, write a constant like those below and list it in `ROWS`; the command
//! line, the errors and the tests take it from there.

use std::collections::BTreeSet;
use std::fmt;

use common::bitfield::Bitfield;
use common::geometry::{Geometry, PieceIndex};
use fastrand::Rng;
use serde::Serialize;

use super::availability::Availability;
use super::progress::Progress;
use crate::named::{Named, Table};

/// The order in which pieces are started, as `--order` takes it.
pub type Order = Named<Choose>;

/// How an order chooses a piece from an offer.
#[derive(Clone, Copy)]
pub struct Choose(pub(super) fn(&mut Offer<'_>, &mut Rng) -> Option<(PieceIndex, PickReason)>);

impl Table for Choose {
    const WHAT: &'static str = "order";
    const ROWS: &'static [Order] = &[Order::RAREST_FIRST, Order::RANDOM, Order::IN_ORDER];
}

impl Order {
    /// K&R 2.5. Random first: with little to trade any piece will do, and a rare one comes slowly.
    pub const RAREST_FIRST: Self = Self {
        name: "rarest-first",
        about: "the chunk that the fewest neighbors have",
        rule: Choose(|offer, rng| {
            if offer.have < RANDOM_FIRST_PIECES {
                return Some((offer.any(rng)?, PickReason::of("random_first")));
            }
            let piece = offer.rarest_first().next()?;
            let held_by = Some(offer.availability.count(piece));
            Some((piece, PickReason { held_by, ..PickReason::of("rarest_first") }))
        }),
    };

    /// Any piece: shows what rarest first is good for.
    pub const RANDOM: Self = Self {
        name: "random",
        about: "any chunk",
        rule: Choose(|offer, rng| Some((offer.any(rng)?, PickReason::of("random")))),
    };

    /// As a media player requests them, to start playing before the download is complete.
    pub const IN_ORDER: Self = Self {
        name: "in-order",
        about: "the chunk with the lowest number",
        rule: Choose(|offer, _| Some((offer.lowest()?, PickReason::of("in_order")))),
    };
}

/// With fewer pieces than this we take any (mainline since July 2003; Cohen's paper says 1).
const RANDOM_FIRST_PIECES: u32 = 4;

/// What an order chooses from: the pieces that one peer has and that may be asked of it.
#[derive(Debug)]
pub(super) struct Offer<'a> {
    pub(super) availability: &'a mut Availability,
    /// The pieces of the peer.
    pub(super) has: &'a Bitfield,
    /// Pieces that this peer is not to be asked for.
    pub(super) except: &'a BTreeSet<PieceIndex>,
    /// How many pieces we have.
    pub(super) have: u32,
    pub(super) geometry: Geometry,
}

impl Offer<'_> {
    /// All of them, by how many neighbors have them; equals are in random order.
    fn rarest_first(&self) -> impl DoubleEndedIterator<Item = PieceIndex> {
        let pieces = self.availability.rarest_first(self.has);
        pieces.filter(|piece| !self.except.contains(piece))
    }

    /// One of them at random.
    fn any(&self, rng: &mut Rng) -> Option<PieceIndex> {
        self.availability.any(self.has, self.except, rng)
    }

    /// The one with the lowest index.
    fn lowest(&mut self) -> Option<PieceIndex> {
        let except = self.except;
        self.availability.in_order(self.has, self.geometry).find(|piece| !except.contains(piece))
    }
}

/// Why a piece was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PickReason {
    /// The rule of the order that chose it.
    pub rule: &'static str,
    /// How many neighbors have the piece, if that was the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<u32>,
}

impl PickReason {
    fn of(rule: &'static str) -> Self {
        Self { rule, held_by: None }
    }
}

impl fmt::Display for PickReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule.replace('_', " "))?;
        self.held_by.map_or(Ok(()), |count| write!(f, ", held by {count}"))
    }
}

/// How far strict priority goes, the rule that finishes a piece in progress before it starts
/// another.
pub type StrictPriority = Named<SeedContinues>;

/// Whether a seed is asked first for this piece in progress. Every other peer is.
#[derive(Clone, Copy)]
pub struct SeedContinues(pub(super) fn(&Progress) -> bool);

impl Table for SeedContinues {
    const WHAT: &'static str = "strict priority";
    const ROWS: &'static [StrictPriority] = &[StrictPriority::SEEDS, StrictPriority::ALWAYS];
}

impl StrictPriority {
    /// A seed is asked first for pieces that a seed was asked for; all others, in progress or not,
    /// stand in the chosen order (mainline from October 2003 on). So a seed does not spend its
    /// upload on the rest of pieces that others have as well.
    pub const SEEDS: Self = Self {
        name: "seeds",
        about: "yes, but ask seeds for the chunk that --order says",
        rule: SeedContinues(|progress| progress.from_seed),
    };

    /// Every peer is asked first for pieces in progress (mainline in May 2003).
    pub const ALWAYS: Self = Self {
        name: "always",
        about: "yes, as in the first versions of BitTorrent",
        rule: SeedContinues(|_| true),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_part_of_a_sentence_and_as_json() {
        let reason = PickReason { held_by: Some(2), ..PickReason::of("rarest_first") };
        assert_eq!(reason.to_string(), "rarest first, held by 2");
        let json = serde_json::to_string(&reason).unwrap();
        assert_eq!(json, r#"{"rule":"rarest_first","held_by":2}"#);
        assert_eq!(PickReason::of("in_order").to_string(), "in order");
        assert_eq!(
            serde_json::to_string(&PickReason::of("random")).unwrap(),
            r#"{"rule":"random"}"#
        );
    }
}
