//! One remote peer, as we know it: the four flags of BEP 3, its pieces, and what is on the way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::bitfield::Bitfield;
use common::geometry::Block;
use common::id::PeerId;
use serde::Serialize;

use crate::rate::{Rate, TokenBucket};

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It called us; its port is one that its system chose.
    Incoming,
    /// We called it, where it listens.
    Outgoing,
}

/// One remote peer while it is connected.
#[derive(Debug)]
pub struct Remote {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// Who called whom.
    pub direction: Direction,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// It has something that we lack.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// We have something that it lacks.
    pub peer_interested: bool,
    /// The pieces that it told us of.
    pub has: Bitfield,
    /// Bytes of blocks that it sent us and that we had asked for.
    pub downloaded: u64,
    /// Bytes of blocks that we sent it.
    pub uploaded: u64,
    /// Where to call it, as far as we know; differs from `address` if it called us.
    pub(crate) contacts: Vec<SocketAddr>,
    /// How many pieces it has that we lack; we are interested while there are any.
    pub(crate) wanted: u32,
    /// What we asked it for, in that order.
    pub(crate) requests: VecDeque<Request>,
    /// What we asked it for and gave up; it may come all the same.
    pub(crate) given_up: VecDeque<Block>,
    /// What it asked us for.
    pub(crate) uploads: VecDeque<Block>,
    /// Blocks that came and were never asked for.
    pub(crate) unrequested: u32,
    /// It let a request time out and sent nothing since.
    pub(crate) stalled: bool,
    /// Blocks that went to the connection and are not out yet.
    pub(crate) sending: u32,
    /// Its messages that cost us work and cost it nothing.
    pub(crate) control_messages: TokenBucket,
    pub(crate) download_rate: Rate,
    pub(crate) upload_rate: Rate,
    pub(crate) connected_at: Instant,
    pub(crate) last_block: Option<Instant>,
    pub(crate) last_received: Instant,
    pub(crate) last_sent: Instant,
    pace: Pace,
}

/// A block that we asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) block: Block,
    pub(crate) since: Instant,
}

/// Fewest requests on the way to a peer that answers (Cohen's paper: "typically five").
const MIN_REQUESTS: usize = 5;

/// Most requests on the way: what clients take in if they do not say otherwise (BEP 10, `reqq`).
const MAX_REQUESTS: usize = 250;

/// Requests that we keep for a peer: twice what clients usually send at once; then we drop some.
const MAX_UPLOADS: usize = 500;

/// Given-up requests that we remember; more than this a peer was never asked for.
const MAX_GIVEN_UP: usize = MAX_REQUESTS;

/// Control messages a second, and at once. A well-behaved peer sends a few in ten seconds.
const CONTROL_MESSAGES: (u64, u64) = (100, 500);

impl Remote {
    pub(crate) fn new(
        address: SocketAddr,
        peer_id: PeerId,
        direction: Direction,
        piece_count: u32,
        now: Instant,
    ) -> Self {
        Self {
            address,
            peer_id,
            direction,
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            has: Bitfield::empty(piece_count),
            downloaded: 0,
            uploaded: 0,
            contacts: match direction {
                Direction::Incoming => Vec::new(),
                Direction::Outgoing => vec![address],
            },
            wanted: 0,
            requests: VecDeque::new(),
            given_up: VecDeque::new(),
            uploads: VecDeque::new(),
            unrequested: 0,
            stalled: false,
            sending: 0,
            control_messages: TokenBucket::new(CONTROL_MESSAGES.0, CONTROL_MESSAGES.1, now),
            download_rate: Rate::new(now),
            upload_rate: Rate::new(now),
            connected_at: now,
            last_block: None,
            last_received: now,
            last_sent: now,
            pace: Pace::new(now),
        }
    }

    /// Queues what the peer asked for; what it asked for twice, and what is too much, is dropped.
    pub(crate) fn queue_upload(&mut self, block: Block) {
        if self.uploads.len() < MAX_UPLOADS && !self.uploads.contains(&block) {
            self.uploads.push_back(block);
        }
    }

    /// A block came that we had asked for.
    pub(crate) fn block_arrived(&mut self, block: Block, now: Instant) {
        self.downloaded += u64::from(block.length());
        self.download_rate.add(block.length(), now);
        self.last_block = Some(now);
        self.stalled = false;
        self.pace.count(now);
    }

    /// Takes a request off the list; `None` if there is no such request.
    pub(crate) fn take_request(&mut self, block: Block) -> Option<Request> {
        // Peers answer in order, so it is nearly always the first.
        let place = self.requests.iter().position(|request| request.block == block)?;
        self.requests.remove(place)
    }

    /// Remembers that the peer may still send this block, though we no longer count on it.
    pub(crate) fn give_up(&mut self, block: Block) {
        if self.given_up.len() == MAX_GIVEN_UP {
            self.given_up.pop_front();
        }
        self.given_up.push_back(block);
    }

    /// Whether this block was asked for and given up; each counts once.
    pub(crate) fn was_given_up(&mut self, block: Block) -> bool {
        let place = self.given_up.iter().position(|&other| other == block);
        place.and_then(|place| self.given_up.remove(place)).is_some()
    }

    /// How many requests should be on the way, so that the peer never waits for the next.
    pub(crate) fn request_depth(&self, now: Instant) -> usize {
        if self.stalled {
            return 1;
        }
        (2 * self.pace.recent(now)).clamp(MIN_REQUESTS, MAX_REQUESTS)
    }

    /// Gives up the requests that waited too long, and returns their blocks.
    pub(crate) fn take_timed_out(&mut self, now: Instant) -> Vec<Block> {
        let mut blocks = Vec::new();
        // Peers answer in order: while blocks come, the requests behind them wait for their turn.
        let last_sign = |since: Instant| self.last_block.map_or(since, |last| last.max(since));
        while let Some(request) = self.requests.front()
            && now >= last_sign(request.since) + REQUEST_TIMEOUT
        {
            blocks.push(request.block);
            self.requests.pop_front();
        }
        blocks.iter().for_each(|&block| self.give_up(block));
        self.stalled |= !blocks.is_empty();
        blocks
    }

    /// Since its last block, or since it connected.
    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_block.unwrap_or(self.connected_at))
    }
}

/// Until a request that was not answered is given to others.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Blocks in this second and the one before. Twice as many requests are kept on the way: about
/// three seconds of the present rate, and from the start on twice as many with every answer.
#[derive(Debug)]
struct Pace {
    second: Instant,
    this: usize,
    before: usize,
}

const SECOND: Duration = Duration::from_secs(1);

impl Pace {
    fn new(now: Instant) -> Self {
        Self { second: now, this: 0, before: 0 }
    }

    fn count(&mut self, now: Instant) {
        (self.before, self.this) = self.at(now);
        if now >= self.second + SECOND {
            self.second = now;
        }
        self.this += 1;
    }

    fn recent(&self, now: Instant) -> usize {
        let (before, this) = self.at(now);
        before + this
    }

    fn at(&self, now: Instant) -> (usize, usize) {
        match now.saturating_duration_since(self.second) {
            age if age < SECOND => (self.before, self.this),
            age if age < 2 * SECOND => (self.this, 0),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use common::geometry::Geometry;

    use super::*;

    fn remote(now: Instant) -> Remote {
        let address = SocketAddr::from(([127, 0, 0, 1], 6881));
        Remote::new(address, PeerId([1; 20]), Direction::Outgoing, 10, now)
    }

    fn block(number: u32) -> Block {
        Geometry::new(1 << 30, 1 << 26).unwrap().block(0, number * 16_384, 16_384).unwrap()
    }

    #[test]
    fn everybody_starts_choked_and_not_interested() {
        let remote = remote(Instant::now());
        assert!(remote.am_choking && remote.peer_choking);
        assert!(!remote.am_interested && !remote.peer_interested);
    }

    #[test]
    fn the_queue_deepens_with_every_answer_and_follows_the_rate() {
        let start = Instant::now();
        let mut remote = remote(start);
        assert_eq!(remote.request_depth(start), MIN_REQUESTS);
        (0..10).for_each(|n| remote.block_arrived(block(n), start));
        assert_eq!(remote.request_depth(start), 20);
        assert_eq!(remote.request_depth(start + SECOND), 20);
        assert_eq!(remote.request_depth(start + 2 * SECOND), MIN_REQUESTS);
        (0..1000).for_each(|n| remote.block_arrived(block(n), start + SECOND));
        assert_eq!(remote.request_depth(start + SECOND), MAX_REQUESTS);
    }

    #[test]
    fn a_peer_that_does_not_answer_is_asked_for_one_block_at_a_time() {
        let start = Instant::now();
        let mut remote = remote(start);
        remote.requests.push_back(Request { block: block(0), since: start });
        assert_eq!(remote.take_timed_out(start + REQUEST_TIMEOUT - SECOND), []);
        assert_eq!(remote.take_timed_out(start + REQUEST_TIMEOUT), [block(0)]);
        assert_eq!(remote.request_depth(start + REQUEST_TIMEOUT), 1);
        // The block may come after all, and then all is well again.
        assert!(remote.was_given_up(block(0)));
        remote.block_arrived(block(0), start + REQUEST_TIMEOUT);
        assert_eq!(remote.request_depth(start + REQUEST_TIMEOUT), MIN_REQUESTS);
    }

    #[test]
    fn the_uploads_queued_for_a_peer_are_bounded() {
        let mut remote = remote(Instant::now());
        (0..3000).for_each(|n| remote.queue_upload(block(n)));
        remote.queue_upload(block(0));
        assert_eq!(remote.uploads.len(), MAX_UPLOADS);
    }

    #[test]
    fn a_block_given_up_may_come_once() {
        let mut remote = remote(Instant::now());
        remote.give_up(block(1));
        assert!(remote.was_given_up(block(1)));
        assert!(!remote.was_given_up(block(1)));
        (0..1000).for_each(|n| remote.give_up(block(n)));
        assert_eq!(remote.given_up.len(), MAX_GIVEN_UP);
    }
}
