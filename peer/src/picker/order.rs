//! In which order pieces are begun, and why one was: names for the command line and the log.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// In which order pieces are begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The piece that the fewest neighbours have (K&R 2.5).
    #[default]
    RarestFirst,
    /// Any piece.
    Random,
    /// The piece with the lowest index, as a player that wants to start early would ask.
    InOrder,
}

/// Why a piece was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum PickReason {
    /// Fewer neighbours have it than any other piece that this peer could give.
    RarestFirst {
        /// Neighbours that have it.
        held_by: u32,
    },
    /// We have too little to trade to be choosy.
    RandomFirst,
    /// [`Order::Random`].
    Random,
    /// [`Order::InOrder`].
    InOrder,
}

impl fmt::Display for PickReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RarestFirst { held_by } => write!(f, "rarest, held by {held_by}"),
            Self::RandomFirst => f.write_str("random first"),
            Self::Random => f.write_str("random"),
            Self::InOrder => f.write_str("in order"),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RarestFirst => "rarest-first",
            Self::Random => "random",
            Self::InOrder => "in-order",
        })
    }
}

impl FromStr for Order {
    type Err = UnknownOrder;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::RarestFirst, Self::Random, Self::InOrder]
            .into_iter()
            .find(|order| order.to_string() == name)
            .ok_or(UnknownOrder)
    }
}

/// A name that is no [`Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected rarest-first, random or in-order")]
pub struct UnknownOrder;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_orders_read_back() {
        for order in [Order::RarestFirst, Order::Random, Order::InOrder] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        assert_eq!("rarest".parse::<Order>(), Err(UnknownOrder));
    }
}
