//! Chunks in a digest: instead of a line for each chunk, one for each round of choking.

use std::collections::BTreeMap;

use peer::decision::Decision;
use peer::picker::PickReason;
use peer::units::count;

/// What happened to chunks since the last round.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    /// Chunks begun, by the rule that chose them.
    begun: BTreeMap<&'static str, usize>,
    /// The fewest neighbors that had one of them, and how many neighbors there were.
    rarest: Option<(u32, usize)>,
}

impl Digest {
    /// Takes in a decision; before a round it returns the line about the time since the last one.
    pub(crate) fn after(&mut self, decision: &Decision) -> Option<String> {
        match decision {
            Decision::BeginChunk { reason: PickReason { rule, held_by }, neighbors, .. } => {
                *self.begun.entry(rule).or_default() += 1;
                let rarest = held_by.map(|held_by| (held_by, *neighbors));
                self.rarest = self.rarest.into_iter().chain(rarest).min();
                None
            }
            Decision::Round { .. } => std::mem::take(self).line(),
            Decision::Connect { .. }
            | Decision::Refuse { .. }
            | Decision::Disconnect { .. }
            | Decision::Unchoke { .. }
            | Decision::KeepUnchoked { .. }
            | Decision::Choke { .. }
            | Decision::KeepChoked { .. }
            | Decision::Endgame { .. }
            | Decision::RequestTimedOut { .. }
            | Decision::Verified { .. }
            | Decision::HashFailed { .. }
            | Decision::Complete { .. } => None,
        }
    }

    /// Such as `began 12 chunks (rarest first 11, random first 1); the rarest is at 2 of 16`.
    fn line(self) -> Option<String> {
        if self.begun.is_empty() {
            return None;
        }
        let all = count(self.begun.values().sum(), "chunk");
        let rules = self.begun.iter().map(|(rule, n)| format!("{} {n}", rule.replace('_', " ")));
        let rules = rules.collect::<Vec<_>>().join(", ");
        let mut line = format!("began {all} ({rules})");
        if let Some((held_by, neighbors)) = self.rarest {
            line.push_str(&format!("; the rarest is at {held_by} of {neighbors}"));
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use common::id::{PeerId, PeerKey};
    use common::report::Identity;

    use super::*;

    fn begin(rule: &'static str, held_by: Option<u32>) -> Decision {
        let peer = Identity {
            key: PeerKey(1),
            address: SocketAddr::from(([127, 0, 0, 1], 6881)),
            peer_id: PeerId([1; 20]),
            name: None,
        };
        let reason = PickReason { rule, held_by };
        Decision::BeginChunk { chunk: 3, peer, reason, neighbors: 16 }
    }

    #[test]
    fn a_round_tells_which_chunks_were_begun_since_the_last_one_and_how_rare_they_were() {
        let round = Decision::Round { round: 1, interested: 0, neighbors: 16, cut: None };
        let mut digest = Digest::default();
        assert_eq!(digest.after(&round), None);
        for decision in [
            begin("random_first", None),
            begin("rarest_first", Some(3)),
            begin("rarest_first", Some(2)),
        ] {
            assert_eq!(digest.after(&decision), None);
        }
        let line = "began 3 chunks (random first 1, rarest first 2); the rarest is at 2 of 16";
        assert_eq!(digest.after(&round).as_deref(), Some(line));
        assert_eq!(digest.after(&round), None);
    }
}
