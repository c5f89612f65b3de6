//! A recorded run in the words of CNT5106C, a project of the University of Florida in which students
//! write a BitTorrent of their own, and which is graded by the logs of its peers. `peer replay RECORD
//! --uf-log DIR` writes them.
//!
//! That project gives every peer a number, knows no partial files at the start, and takes a piece from
//! one peer; of a chunk whose blocks came from several, the log names the one that sent the most.

use std::collections::BTreeMap;
use std::fmt::Write;

use common::geometry::{Geometry, PieceIndex};
use common::id::{PeerId, PeerKey};
use common::moment::Moment;
use common::report::Direction;
use common::wire::Message;

use crate::choker::UnchokeReason;
use crate::decision::{Decision, DisconnectReason};
use crate::record::{Start, Watch};
use crate::torrent::{Config, Input, Output};

/// The ID of the first peer, as in the project's examples; the others have the next ones.
const FIRST_ID: u32 = 1001;

/// The logs of all peers of a record.
#[derive(Debug, Default)]
pub struct UfLogs {
    ids: BTreeMap<PeerId, u32>,
    /// By the names of their peers.
    logs: BTreeMap<String, Log>,
    /// `Common.cfg`, by the settings of the first peer.
    common: String,
}

/// The project has no such run.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} begins with some of the chunks, but in CNT5106C a peer begins with all or none: \
     record a swarm with --head-start 0"
)]
pub struct PartialFile(String);

#[derive(Debug)]
struct Log {
    id: u32,
    begins_with: Begins,
    /// IDs of the neighbors.
    neighbors: BTreeMap<PeerKey, u32>,
    /// For each chunk in progress, the bytes that each neighbor sent.
    parts: BTreeMap<PieceIndex, BTreeMap<u32, u32>>,
    preferred: Vec<u32>,
    optimistic: Option<u32>,
    lines: Vec<String>,
    /// The line that tells of a connection.
    connections: BTreeMap<PeerKey, usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Nothing,
    Some,
    All,
}

impl UfLogs {
    /// `Common.cfg`, `PeerInfo.cfg` and the log of each peer, by their names.
    ///
    /// # Errors
    /// When a peer began with a part of the file.
    pub fn files(&self) -> Result<Vec<(String, String)>, PartialFile> {
        let mut files = vec![("Common.cfg".to_owned(), self.common.clone())];
        let mut peers = BTreeMap::new();
        for (own, log) in &self.logs {
            let has_file = match log.begins_with {
                Begins::Nothing => 0,
                Begins::All => 1,
                Begins::Some => return Err(PartialFile(own.clone())),
            };
            // The host is a name here, and a record has no port.
            peers.insert(log.id, format!("{} {own} 0 {has_file}\n", log.id));
            files.push((format!("log_peer_{}.log", log.id), log.lines.concat()));
        }
        files.push(("PeerInfo.cfg".to_owned(), peers.into_values().collect()));
        Ok(files)
    }

    fn id(&mut self, peer_id: PeerId) -> u32 {
        let next = FIRST_ID + u32::try_from(self.ids.len()).expect("a record has fewer peers");
        *self.ids.entry(peer_id).or_insert(next)
    }
}

impl Watch for UfLogs {
    fn start(&mut self, own: &str, start: &Start) {
        let id = self.id(start.config.peer_id);
        if self.common.is_empty() {
            self.common = common_cfg(&start.config, &start.geometry);
        }
        let begins_with = match () {
            () if start.have.is_empty() => Begins::Nothing,
            () if start.have.is_full() => Begins::All,
            () => Begins::Some,
        };
        self.logs.insert(own.to_owned(), Log::new(id, begins_with));
    }

    fn step(&mut self, own: &str, at: Moment, input: &Input, outputs: &[Output]) {
        if let Input::Connected { neighbor, .. } = input {
            let id = self.id(neighbor.peer_id);
            if let Some(log) = self.logs.get_mut(own) {
                log.neighbors.insert(neighbor.key, id);
            }
        }
        if let Some(log) = self.logs.get_mut(own) {
            log.input(at, input);
            outputs.iter().for_each(|output| log.output(at, output));
            log.choices(at, outputs);
        }
    }
}

impl Log {
    fn new(id: u32, begins_with: Begins) -> Self {
        Self {
            id,
            begins_with,
            neighbors: BTreeMap::new(),
            parts: BTreeMap::new(),
            preferred: Vec::new(),
            optimistic: None,
            lines: Vec::new(),
            connections: BTreeMap::new(),
        }
    }

    /// Times count from the start of the swarm.
    fn write(&mut self, at: Moment, what: &str) {
        let ms = at.since_start().as_millis();
        let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
        let (seconds, ms) = (ms / 1000 % 60, ms % 1000);
        let own = self.id;
        self.lines.push(format!(
            "[{hours:02}:{minutes:02}:{seconds:02}.{ms:03}]: Peer [{own}] {what}.\n"
        ));
    }

    fn input(&mut self, at: Moment, input: &Input) {
        let Input::Received { peer, message } = input else { return };
        let Some(id) = self.neighbors.get(peer) else { return };
        let what = match message {
            Message::Choke => format!("is choked by [{id}]"),
            Message::Unchoke => format!("is unchoked by [{id}]"),
            Message::Interested => format!("received the 'interested' message from [{id}]"),
            Message::NotInterested => format!("received the 'not interested' message from [{id}]"),
            Message::Have(piece) => {
                let piece = piece.get();
                format!("received the 'have' message from [{id}] for the piece [{piece}]")
            }
            Message::KeepAlive
            | Message::Bitfield(_)
            | Message::Request(_)
            | Message::Piece(_)
            | Message::Cancel(_)
            | Message::Port(_)
            | Message::Extended(_)
            | Message::Unknown(_) => return,
        };
        self.write(at, &what);
    }

    fn output(&mut self, at: Moment, output: &Output) {
        match output {
            Output::KeepBlock { peer, block } => {
                if let Some(&id) = self.neighbors.get(peer) {
                    *self.parts.entry(block.piece()).or_default().entry(id).or_default() +=
                        block.length();
                }
            }
            Output::DropPiece(piece) => drop(self.parts.remove(piece)),
            Output::Explain(decision) => self.decision(at, decision),
            _ => (),
        }
    }

    fn decision(&mut self, at: Moment, decision: &Decision) {
        match decision {
            Decision::Connect { peer, direction } => {
                let Some(id) = self.neighbors.get(&peer.key) else { return };
                let what = match direction {
                    Direction::Outgoing => format!("makes a connection to Peer [{id}]"),
                    Direction::Incoming => format!("is connected from Peer [{id}]"),
                };
                self.connections.insert(peer.key, self.lines.len());
                self.write(at, &what);
            }
            Decision::Disconnect { peer, reason, .. } => {
                let Some(id) = self.neighbors.remove(&peer.key) else { return };
                let line = self.connections.remove(&peer.key);
                if let (DisconnectReason::Duplicate, Some(line)) = (reason, line) {
                    // Both dialed; the other end may not have taken this connection at all.
                    self.lines[line].clear();
                } else {
                    self.preferred.retain(|&other| other != id);
                }
            }
            Decision::Verified { chunk, have, .. } => {
                let parts = self.parts.iter().find(|(piece, _)| piece.get() == *chunk);
                let Some((&piece, senders)) = parts else { return };
                let most = senders.iter().max_by_key(|&(_, bytes)| bytes);
                let id = most.map_or(0, |(id, _)| *id);
                self.parts.remove(&piece);
                self.write(
                    at,
                    &format!(
                        "has downloaded the piece [{chunk}] from [{id}]. \
                         Now the number of pieces it has is [{have}]"
                    ),
                );
            }
            Decision::HashFailed { chunk, .. } => {
                self.parts.retain(|piece, _| piece.get() != *chunk);
            }
            Decision::Complete { .. } => self.write(at, "has downloaded the complete file"),
            _ => (),
        }
    }

    /// The project tells of its choices when they change.
    fn choices(&mut self, at: Moment, outputs: &[Output]) {
        let (mut preferred, mut optimistic) = (self.preferred.clone(), self.optimistic);
        for output in outputs {
            let Output::Explain(decision) = output else { continue };
            let (peer, reason) = match decision {
                Decision::Unchoke { peer, reason } => (peer, Some(reason)),
                Decision::KeepUnchoked { peer, reason, .. } => (peer, Some(reason)),
                Decision::Choke { peer, .. } | Decision::KeepChoked { peer, .. } => (peer, None),
                _ => continue,
            };
            let Some(&id) = self.neighbors.get(&peer.key) else { continue };
            preferred.retain(|&other| other != id);
            match reason {
                Some(UnchokeReason::Optimistic) => optimistic = Some(id),
                Some(_) => preferred.push(id),
                None => (),
            }
        }
        preferred.sort_unstable();
        if preferred != self.preferred {
            let ids: Vec<_> = preferred.iter().map(u32::to_string).collect();
            self.write(at, &format!("has the preferred neighbors [{}]", ids.join(",")));
            self.preferred = preferred;
        }
        if let Some(id) = optimistic.filter(|_| optimistic != self.optimistic) {
            self.write(at, &format!("has the optimistically unchoked neighbor [{id}]"));
            self.optimistic = optimistic;
        }
    }
}

fn common_cfg(config: &Config, geometry: &Geometry) -> String {
    let mut text = String::new();
    let optimistic = config.optimistic.unwrap_or_default();
    for (setting, value) in [
        ("NumberOfPreferredNeighbors", config.slots as u64),
        ("UnchokingInterval", config.rechoke.as_secs()),
        ("OptimisticUnchokingInterval", optimistic.as_secs()),
        ("FileSize", geometry.total_length()),
        ("PieceSize", geometry.piece_length().into()),
    ] {
        let _ = writeln!(text, "{setting} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use common::bitfield::Bitfield;

    use super::*;

    fn start(id: u8, have: Bitfield) -> Start {
        Start {
            config: Config::new(PeerId([id; 20])),
            geometry: Geometry::new(100_000, 16_384).unwrap(),
            have,
            seed: 0,
            at: Moment::START,
        }
    }

    #[test]
    fn the_settings_are_those_of_the_first_peer_and_each_has_a_log() {
        let mut logs = UfLogs::default();
        logs.start("seed", &start(1, Bitfield::full(7)));
        logs.start("peer-1", &start(2, Bitfield::empty(7)));
        let files: BTreeMap<_, _> = logs.files().unwrap().into_iter().collect();
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        let expected = ["Common.cfg", "PeerInfo.cfg", "log_peer_1001.log", "log_peer_1002.log"];
        assert_eq!(names, expected);
        assert_eq!(
            files["Common.cfg"],
            "NumberOfPreferredNeighbors 4\nUnchokingInterval 10\nOptimisticUnchokingInterval 30\n\
             FileSize 100000\nPieceSize 16384\n"
        );
        assert_eq!(files["PeerInfo.cfg"], "1001 seed 0 1\n1002 peer-1 0 0\n");
    }

    #[test]
    fn the_project_has_no_peer_with_a_part_of_the_file() {
        let mut have = Bitfield::empty(7);
        have.insert(start(1, Bitfield::empty(7)).geometry.piece(3).unwrap());
        let mut logs = UfLogs::default();
        logs.start("peer-1", &start(1, have));
        assert!(logs.files().unwrap_err().to_string().starts_with("peer-1 begins with some"));
    }
}
