//! The state of a torrent as a value: for the bar, the page and the tests.

use common::moment::Moment;
use common::report::{ChunkReport, DialReport, NeighborReport, Snapshot};

use super::Torrent;
use super::neighbor::{Extensions, Neighbor, Reason};
use super::upload::is_snubbed_by;

impl Torrent {
    /// The state at this moment.
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        Snapshot {
            peer_id: self.config.peer_id,
            have: self.have().clone(),
            left: self.left(),
            totals: self.totals,
            round: self.uploads.round,
            endgame: self.downloads.picker.in_endgame(),
            neighbors: self.neighbors.iter().map(|neighbor| self.report(neighbor, now)).collect(),
            in_progress: self
                .downloads
                .picker
                .in_progress()
                .map(|(piece, received, blocks)| ChunkReport {
                    chunk: piece.get(),
                    received,
                    blocks,
                })
                .collect(),
            dials: DialReport { next: self.next_dial(), ..self.sources.book.report() },
            tracker: self.sources.tracker.report(self.need()),
        }
    }

    fn report(&self, neighbor: &Neighbor, now: Moment) -> NeighborReport {
        let (connection, exchange) = (&neighbor.connection, neighbor.exchange());
        NeighborReport {
            identity: connection.identity.clone(),
            client: match &connection.extensions {
                Extensions::Told(theirs) => theirs.client.clone(),
                Extensions::Awaited | Extensions::Unknown => None,
            },
            direction: connection.direction,
            am_choking: neighbor.am_choking,
            am_interested: neighbor.am_interested,
            peer_choking: neighbor.peer_choking,
            peer_interested: neighbor.peer_interested,
            snubbed: !self.is_complete() && is_snubbed_by(neighbor, now),
            on_parole: self.downloads.is_on_parole(neighbor),
            chunks: neighbor.has.count(),
            download_rate: exchange.download_rate.per_second(now),
            upload_rate: exchange.upload_rate.per_second(now),
            downloaded: exchange.downloaded,
            uploaded: exchange.uploaded,
            rank: connection.last_choice.rank,
            reason: connection.last_choice.reason.as_ref().map(|reason| match reason {
                Reason::Unchoke(reason) => reason.to_string(),
                Reason::Choke(reason) => reason.to_string(),
            }),
            requests: exchange.requests.len(),
            queued_uploads: exchange.uploads.len(),
        }
    }
}
