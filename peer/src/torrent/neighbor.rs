//! One neighbor as we know it: the four flags of BEP 3, its pieces, and what is in flight; and the
//! table of all of them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::{Block, PieceIndex};
use common::moment::Moment;
use common::report::{Direction, Identity};
use common::wire::ExtendedHandshake;

use crate::PeerKey;
use crate::choker::{ChokeReason, UnchokeReason};
use crate::rate::{Rate, TokenBucket};

/// One remote peer while it is connected.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the four flags of BEP 3, and one of ours")]
pub struct Neighbor {
    /// Its identity.
    pub identity: Identity,
    /// Which side dialed.
    pub direction: Direction,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// It has something that we lack.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// It wants something that we have.
    pub peer_interested: bool,
    /// The pieces that it announced.
    pub has: Bitfield,
    /// Bytes of requested blocks that it sent us.
    pub downloaded: u64,
    /// Bytes of blocks that we sent it.
    pub uploaded: u64,
    /// Where it listens, as far as we know.
    pub(super) listens_at: Vec<SocketAddr>,
    pub(super) extensions: Extensions,
    /// One of the pieces that it has and we lack; we are interested while there is one.
    pub(super) wanted: Option<PieceIndex>,
    /// What we requested, in order.
    pub(super) requests: VecDeque<Request>,
    /// Requests that we abandoned; their blocks may still arrive.
    pub(super) abandoned: VecDeque<Block>,
    /// The piece message that is arriving.
    pub(super) receiving: Option<Receiving>,
    /// What it requested of us.
    pub(super) uploads: VecDeque<Block>,
    /// Blocks that came and were never requested.
    pub(super) unrequested: u32,
    /// It let a request time out and has sent nothing since.
    pub(super) stalled: bool,
    /// Blocks that went to the connection and have not been sent yet.
    pub(super) sending: u32,
    /// Its weight in turns at our uplink.
    pub(super) share: u32,
    /// The last decision of the choker about it.
    pub(super) last_choice: LastChoice,
    /// Bytes and haves since the last round.
    pub(super) this_round: Traffic,
    /// Its messages that cost us work and cost it nothing.
    pub(super) control_messages: TokenBucket,
    pub(super) download_rate: Rate,
    pub(super) upload_rate: Rate,
    pub(super) connected_at: Moment,
    pub(super) last_block: Option<Moment>,
    pub(super) last_received: Moment,
    pub(super) last_sent: Moment,
    pace: Pace,
}

/// Whether a neighbor knows the extension protocol (BEP 10), and what it said in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extensions {
    Unknown,
    /// It set the bit; its extended handshake has not come yet.
    Awaited,
    Told(ExtendedHandshake),
}

/// A block that we requested.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) block: Block,
    pub(super) since: Moment,
}

/// A piece message whose head has come, and perhaps a part of its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiving {
    pub(super) block: Block,
    /// The request that it answers, if that still stood when the head came.
    pub(super) request: Option<Request>,
    /// Whether the shell keeps the body.
    pub(super) accepted: bool,
}

/// The last decision of the choker about a neighbor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LastChoice {
    pub(super) reason: Option<Reason>,
    /// Its place in the ranking, from 1.
    pub(super) rank: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Unchoke(UnchokeReason),
    Choke(ChokeReason),
}

/// What passed between a neighbor and us in a round of choking.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) haves: u32,
}

/// Fewest requests in flight to a peer that answers (Cohen's paper: "typically five").
const MIN_REQUESTS: usize = 5;

/// Most requests in flight if the peer does not say how many it holds (BEP 10, `reqq`).
const USUAL_REQUESTS: usize = 250;

/// Most requests in flight, whatever a peer says that it holds (as in libtorrent): 8 MiB.
const MAX_REQUESTS: usize = 500;

/// Requests that we queue for a neighbor. Transmission can send 650 in a tenth of a
/// second, and waits for all of them; 48 KiB bound what one neighbor costs.
pub(super) const MAX_UPLOADS: usize = 4096;

/// Abandoned requests that we remember; a peer was never asked for more than this.
const MAX_ABANDONED: usize = MAX_REQUESTS;

/// Control messages a second, and at once. A well-behaved peer sends a few in ten seconds.
const CONTROL_MESSAGES: (u64, u64) = (100, 500);

/// How long a request may stay unanswered before others are asked.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

impl Neighbor {
    /// A neighbor of a torrent with so many pieces, of which nothing is known yet. `extensions`:
    /// whether it set the bit of BEP 10 in its handshake.
    pub(super) fn new(
        identity: Identity,
        direction: Direction,
        extensions: bool,
        piece_count: u32,
        now: Moment,
    ) -> Self {
        Self {
            listens_at: match direction {
                Direction::Incoming => Vec::new(),
                Direction::Outgoing => vec![identity.address],
            },
            identity,
            direction,
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            has: Bitfield::empty(piece_count),
            downloaded: 0,
            uploaded: 0,
            extensions: if extensions { Extensions::Awaited } else { Extensions::Unknown },
            wanted: None,
            requests: VecDeque::new(),
            abandoned: VecDeque::new(),
            receiving: None,
            uploads: VecDeque::new(),
            unrequested: 0,
            stalled: false,
            sending: 0,
            share: 1,
            last_choice: LastChoice::default(),
            this_round: Traffic::default(),
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

    pub(super) fn key(&self) -> PeerKey {
        self.identity.key
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.identity.address.ip()
    }

    /// Whether blocks may be requested now.
    pub(super) fn answers(&self) -> bool {
        !self.peer_choking && self.am_interested
    }

    /// Whether a block was ever exchanged, in either direction.
    pub(super) fn has_traded(&self) -> bool {
        self.downloaded > 0 || self.uploaded > 0
    }

    /// Queues what the peer requested; duplicates, and requests beyond [`MAX_UPLOADS`], are
    /// dropped.
    pub(super) fn queue_upload(&mut self, block: Block) {
        if self.uploads.len() < MAX_UPLOADS && !self.uploads.contains(&block) {
            self.uploads.push_back(block);
        }
    }

    /// A block has been sent.
    pub(super) fn block_sent(&mut self, block: Block, now: Moment) {
        self.sending -= 1;
        self.last_sent = now;
        self.uploaded += u64::from(block.length());
        self.this_round.sent += u64::from(block.length());
        self.upload_rate.add(block.length(), now);
    }

    /// A block that we requested has arrived.
    pub(super) fn block_arrived(&mut self, block: Block, now: Moment) {
        self.downloaded += u64::from(block.length());
        self.this_round.received += u64::from(block.length());
        self.download_rate.add(block.length(), now);
        self.last_block = Some(now);
        self.stalled = false;
        self.pace.count(now);
    }

    /// Removes a request; `None` if there is no such request.
    pub(super) fn take_request(&mut self, block: Block) -> Option<Request> {
        // Peers answer in order, so it is nearly always the first.
        let place = self.requests.iter().position(|request| request.block == block)?;
        self.requests.remove(place)
    }

    /// Remembers that the peer may still send this block.
    pub(super) fn abandon(&mut self, block: Block) {
        if self.abandoned.len() == MAX_ABANDONED {
            self.abandoned.pop_front();
        }
        self.abandoned.push_back(block);
    }

    /// Whether the request of this block was abandoned; each counts once.
    pub(super) fn take_abandoned(&mut self, block: Block) -> bool {
        let place = self.abandoned.iter().position(|&other| other == block);
        place.and_then(|place| self.abandoned.remove(place)).is_some()
    }

    /// Ends all requests, and returns their blocks; one that is arriving does not count.
    pub(super) fn abandon_requests(&mut self) -> Vec<Block> {
        // Most neighbors choke us most of the time: they hold no memory for requests then.
        let requests = std::mem::take(&mut self.requests);
        let blocks: Vec<_> = requests.into_iter().map(|request| request.block).collect();
        blocks.iter().for_each(|&block| self.abandon(block));
        blocks
    }

    /// How many requests should be in flight, so that the peer never waits for the next.
    pub(super) fn request_depth(&self, now: Moment) -> usize {
        if self.stalled {
            return 1;
        }
        let held = match &self.extensions {
            Extensions::Told(ExtendedHandshake { request_queue: Some(queue), .. }) => {
                usize::try_from(*queue).unwrap_or(MAX_REQUESTS).clamp(1, MAX_REQUESTS)
            }
            Extensions::Told(_) | Extensions::Awaited | Extensions::Unknown => USUAL_REQUESTS,
        };
        (2 * self.pace.recent(now)).max(MIN_REQUESTS).min(held)
    }

    /// Abandons the requests that waited too long, and returns their blocks.
    pub(super) fn take_timed_out(&mut self, now: Moment) -> Vec<Block> {
        let mut blocks = Vec::new();
        // Peers answer in order: while blocks come, the requests behind them wait for their turn.
        let last_block = self.last_block;
        let last_sign = |since: Moment| last_block.map_or(since, |last| last.max(since));
        if let Some(receiving) = &mut self.receiving
            && let Some(request) = receiving.request
            && now >= last_sign(request.since) + REQUEST_TIMEOUT
        {
            // If the rest of it arrives, it is as good as any late block.
            receiving.request = None;
            blocks.push(request.block);
        }
        let timed_out = |request: &&Request| now >= last_sign(request.since) + REQUEST_TIMEOUT;
        let count = self.requests.iter().take_while(timed_out).count();
        let requests = self.requests.drain(..count).map(|request| request.block);
        let late: Vec<_> = requests.collect();
        late.iter().for_each(|&block| self.abandon(block));
        blocks.extend(late);
        self.stalled |= !blocks.is_empty();
        blocks
    }

    /// Since its last block, or since it connected.
    pub(super) fn silent_for(&self, now: Moment) -> Duration {
        now - self.last_block.unwrap_or(self.connected_at)
    }
}

/// All neighbors, in the order in which they connected, which is that of their keys.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    keys: Vec<PeerKey>,
    /// At the same places as their keys.
    #[expect(clippy::vec_box, reason = "neighbors come and go; a place must not cost a neighbor")]
    table: Vec<Box<Neighbor>>,
    /// Those that we dialed.
    outgoing: usize,
}

impl Neighbors {
    pub(super) fn insert(&mut self, neighbor: Neighbor) {
        self.outgoing += usize::from(neighbor.direction == Direction::Outgoing);
        let place = self.place(neighbor.key()).expect_err("the key of a connection is unique");
        self.keys.insert(place, neighbor.key());
        self.table.insert(place, Box::new(neighbor));
    }

    pub(super) fn remove(&mut self, peer: PeerKey) -> Option<Neighbor> {
        let place = self.place(peer).ok()?;
        self.keys.remove(place);
        let neighbor = self.table.remove(place);
        self.outgoing -= usize::from(neighbor.direction == Direction::Outgoing);
        Some(*neighbor)
    }

    pub(super) fn get(&self, peer: PeerKey) -> Option<&Neighbor> {
        self.place(peer).ok().map(|place| &*self.table[place])
    }

    pub(super) fn get_mut(&mut self, peer: PeerKey) -> Option<&mut Neighbor> {
        self.place(peer).ok().map(|place| &mut *self.table[place])
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn outgoing(&self) -> usize {
        self.outgoing
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Neighbor> {
        self.table.iter().map(|neighbor| &**neighbor)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Neighbor> {
        self.table.iter_mut().map(|neighbor| &mut **neighbor)
    }

    /// Where the key is, or else where it belongs.
    fn place(&self, peer: PeerKey) -> Result<usize, usize> {
        self.keys.binary_search(&peer)
    }

    /// The keys of the neighbors that match, for changes that need the whole table.
    pub(super) fn keys_where(&self, holds: impl Fn(&Neighbor) -> bool) -> Vec<PeerKey> {
        self.iter().filter(|neighbor| holds(neighbor)).map(Neighbor::key).collect()
    }
}

/// Blocks in this second and the one before. Twice as many requests are kept in flight: about
/// three seconds of the present rate, and from the start on twice as many with every answer.
#[derive(Debug)]
struct Pace {
    second: Moment,
    this: usize,
    before: usize,
}

const SECOND: Duration = Duration::from_secs(1);

impl Pace {
    fn new(now: Moment) -> Self {
        Self { second: now, this: 0, before: 0 }
    }

    fn count(&mut self, now: Moment) {
        (self.before, self.this) = self.at(now);
        if now >= self.second + SECOND {
            self.second = now;
        }
        self.this += 1;
    }

    fn recent(&self, now: Moment) -> usize {
        let (before, this) = self.at(now);
        before + this
    }

    fn at(&self, now: Moment) -> (usize, usize) {
        match now - self.second {
            age if age < SECOND => (self.before, self.this),
            age if age < 2 * SECOND => (self.this, 0),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use common::geometry::Geometry;
    use common::id::PeerId;

    use super::*;

    const START: Moment = Moment::START;

    fn neighbor() -> Neighbor {
        let identity = Identity {
            key: PeerKey(0),
            address: SocketAddr::from(([127, 0, 0, 1], 6881)),
            peer_id: PeerId([1; 20]),
            name: None,
        };
        Neighbor::new(identity, Direction::Outgoing, true, 10, START)
    }

    fn block(number: u32) -> Block {
        let geometry = Geometry::new(1 << 30, 1 << 26).unwrap();
        geometry.block(number / 4096, number % 4096 * 16_384, 16_384).unwrap()
    }

    #[test]
    fn a_new_neighbor_is_choked_and_not_interested_on_both_sides() {
        let neighbor = neighbor();
        assert!(neighbor.am_choking && neighbor.peer_choking);
        assert!(!neighbor.am_interested && !neighbor.peer_interested);
    }

    #[test]
    fn the_queue_deepens_with_every_answer_and_follows_the_rate() {
        let mut neighbor = neighbor();
        assert_eq!(neighbor.request_depth(START), MIN_REQUESTS);
        (0..10).for_each(|n| neighbor.block_arrived(block(n), START));
        assert_eq!(neighbor.request_depth(START), 20);
        assert_eq!(neighbor.request_depth(START + SECOND), 20);
        assert_eq!(neighbor.request_depth(START + 2 * SECOND), MIN_REQUESTS);
        (0..1000).for_each(|n| neighbor.block_arrived(block(n), START + SECOND));
        assert_eq!(neighbor.request_depth(START + SECOND), USUAL_REQUESTS);
    }

    #[test]
    fn the_queue_follows_the_blocks_of_this_second_and_the_one_before() {
        let mut neighbor = neighbor();
        for (second, blocks) in [(0, 10), (1, 20), (2, 30)] {
            (0..blocks).for_each(|n| neighbor.block_arrived(block(n), START + second * SECOND));
        }
        let depths = [2, 3, 4].map(|second| neighbor.request_depth(START + second * SECOND));
        assert_eq!(depths, [2 * (20 + 30), 2 * 30, MIN_REQUESTS]);
    }

    #[test]
    fn a_peer_that_says_how_many_requests_it_holds_gets_no_more_and_may_get_more_than_usual() {
        let mut neighbor = neighbor();
        (0..5000).for_each(|n| neighbor.block_arrived(block(n), START));
        for (said, depth) in [(3, 3), (0, 1), (400, 400), (u32::MAX, MAX_REQUESTS)] {
            neighbor.extensions = Extensions::Told(ExtendedHandshake {
                request_queue: Some(said),
                ..ExtendedHandshake::default()
            });
            assert_eq!(neighbor.request_depth(START), depth, "reqq {said}");
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_is_asked_for_one_block_at_a_time() {
        let mut neighbor = neighbor();
        neighbor.requests.push_back(Request { block: block(0), since: START });
        let timeout = START + REQUEST_TIMEOUT;
        assert_eq!(neighbor.take_timed_out(START + (REQUEST_TIMEOUT - SECOND)), []);
        assert_eq!(neighbor.take_timed_out(timeout), [block(0)]);
        assert_eq!(neighbor.request_depth(timeout), 1);
        // If the block arrives after all, the peer is trusted again.
        assert!(neighbor.take_abandoned(block(0)));
        neighbor.block_arrived(block(0), timeout);
        assert_eq!(neighbor.request_depth(timeout), MIN_REQUESTS);
    }

    #[test]
    fn a_block_that_trickles_in_times_out_like_one_that_does_not_come() {
        let mut neighbor = neighbor();
        let request = Some(Request { block: block(0), since: START });
        neighbor.receiving = Some(Receiving { block: block(0), request, accepted: true });
        assert_eq!(neighbor.take_timed_out(START + (REQUEST_TIMEOUT - SECOND)), []);
        assert_eq!(neighbor.take_timed_out(START + REQUEST_TIMEOUT), [block(0)]);
        assert_eq!(neighbor.take_timed_out(START + 2 * REQUEST_TIMEOUT), [], "each once");
    }

    #[test]
    fn the_uploads_queued_for_a_peer_are_bounded() {
        let mut neighbor = neighbor();
        (0..2 * 4096).for_each(|n| neighbor.queue_upload(block(n % 4100)));
        neighbor.queue_upload(block(0));
        assert_eq!(neighbor.uploads.len(), MAX_UPLOADS);
    }

    #[test]
    fn an_abandoned_block_may_come_once() {
        let mut neighbor = neighbor();
        neighbor.abandon(block(1));
        assert!(neighbor.take_abandoned(block(1)));
        assert!(!neighbor.take_abandoned(block(1)));
        (0..3000).for_each(|n| neighbor.abandon(block(n)));
        assert_eq!(neighbor.abandoned.len(), MAX_ABANDONED);
    }
}
