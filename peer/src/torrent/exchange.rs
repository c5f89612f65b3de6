//! The blocks that pass between a neighbor and us: what is requested, on its way or queued, and how
//! fast it goes.

use std::collections::VecDeque;
use std::time::Duration;

use common::geometry::Block;
use common::moment::Moment;

use crate::rate::Rate;

/// The exchange of blocks with one neighbor. It begins when one side unchokes the other.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Bytes of requested blocks that it sent us.
    pub(super) downloaded: u64,
    /// Bytes of blocks that we sent it.
    pub(super) uploaded: u64,
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
    stalled: bool,
    /// Blocks that went to the connection and have not been sent yet.
    pub(super) sending: u32,
    /// How many requests it holds, if it said so (BEP 10, `reqq`).
    pub(super) request_queue: Option<u32>,
    /// Its weight in turns at our uplink.
    pub(super) share: u32,
    /// Since the last round.
    pub(super) this_round: Traffic,
    pub(super) download_rate: Rate,
    pub(super) upload_rate: Rate,
    pub(super) last_block: Option<Moment>,
    pace: Pace,
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

/// Bytes of blocks that passed between a neighbor and us in a round of choking.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
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

/// How long a request may stay unanswered before others are asked.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

impl Exchange {
    /// An exchange that begins now, with a neighbor that connected earlier. Its rates are what they
    /// would be if it had begun then; `last_round` is the time of the last round of choking.
    pub(super) fn beginning(connected_at: Moment, last_round: Moment) -> Self {
        let mut exchange = Self::new(connected_at);
        exchange.round(last_round);
        exchange
    }

    /// The exchange with a neighbor that connects at this time.
    pub(super) const fn new(connected_at: Moment) -> Self {
        Self {
            downloaded: 0,
            uploaded: 0,
            requests: VecDeque::new(),
            abandoned: VecDeque::new(),
            receiving: None,
            uploads: VecDeque::new(),
            unrequested: 0,
            stalled: false,
            sending: 0,
            request_queue: None,
            share: 1,
            this_round: Traffic { received: 0, sent: 0 },
            download_rate: Rate::new(connected_at),
            upload_rate: Rate::new(connected_at),
            last_block: None,
            pace: Pace::new(connected_at),
        }
    }

    /// A round of choking begins.
    pub(super) fn round(&mut self, now: Moment) {
        // Mainline's estimator moves its window whenever it is asked, so silence counts.
        self.download_rate.add(0, now);
        self.upload_rate.add(0, now);
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
        let held = self.request_queue.map_or(USUAL_REQUESTS, |queue| {
            usize::try_from(queue).unwrap_or(MAX_REQUESTS).clamp(1, MAX_REQUESTS)
        });
        (2 * self.pace.recent(now)).max(MIN_REQUESTS).min(held)
    }

    /// Whether it was asked for nothing that is still to come.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.receiving.is_none()
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
    const fn new(now: Moment) -> Self {
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
    use fastrand::Rng;

    use super::*;

    const START: Moment = Moment::START;

    fn block(number: u32) -> Block {
        let geometry = Geometry::new(1 << 30, 1 << 26).unwrap();
        geometry.block(number / 4096, number % 4096 * 16_384, 16_384).unwrap()
    }

    #[test]
    fn the_queue_deepens_with_every_answer_and_follows_the_rate() {
        let mut exchange = Exchange::new(START);
        assert_eq!(exchange.request_depth(START), MIN_REQUESTS);
        (0..10).for_each(|n| exchange.block_arrived(block(n), START));
        assert_eq!(exchange.request_depth(START), 20);
        assert_eq!(exchange.request_depth(START + SECOND), 20);
        assert_eq!(exchange.request_depth(START + 2 * SECOND), MIN_REQUESTS);
        (0..1000).for_each(|n| exchange.block_arrived(block(n), START + SECOND));
        assert_eq!(exchange.request_depth(START + SECOND), USUAL_REQUESTS);
    }

    #[test]
    fn the_queue_follows_the_blocks_of_this_second_and_the_one_before() {
        let mut exchange = Exchange::new(START);
        for (second, blocks) in [(0, 10), (1, 20), (2, 30)] {
            (0..blocks).for_each(|n| exchange.block_arrived(block(n), START + second * SECOND));
        }
        let depths = [2, 3, 4].map(|second| exchange.request_depth(START + second * SECOND));
        assert_eq!(depths, [2 * (20 + 30), 2 * 30, MIN_REQUESTS]);
    }

    #[test]
    fn a_peer_that_says_how_many_requests_it_holds_gets_no_more_and_may_get_more_than_usual() {
        let mut exchange = Exchange::new(START);
        (0..5000).for_each(|n| exchange.block_arrived(block(n), START));
        for (said, depth) in [(3, 3), (0, 1), (400, 400), (u32::MAX, MAX_REQUESTS)] {
            exchange.request_queue = Some(said);
            assert_eq!(exchange.request_depth(START), depth, "reqq {said}");
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_is_asked_for_one_block_at_a_time() {
        let mut exchange = Exchange::new(START);
        exchange.requests.push_back(Request { block: block(0), since: START });
        let timeout = START + REQUEST_TIMEOUT;
        assert_eq!(exchange.take_timed_out(START + (REQUEST_TIMEOUT - SECOND)), []);
        assert_eq!(exchange.take_timed_out(timeout), [block(0)]);
        assert_eq!(exchange.request_depth(timeout), 1);
        // If the block arrives after all, the peer is trusted again.
        assert!(exchange.take_abandoned(block(0)));
        exchange.block_arrived(block(0), timeout);
        assert_eq!(exchange.request_depth(timeout), MIN_REQUESTS);
    }

    #[test]
    fn a_block_that_trickles_in_times_out_like_one_that_does_not_come() {
        let mut exchange = Exchange::new(START);
        let request = Some(Request { block: block(0), since: START });
        exchange.receiving = Some(Receiving { block: block(0), request, accepted: true });
        assert_eq!(exchange.take_timed_out(START + (REQUEST_TIMEOUT - SECOND)), []);
        assert_eq!(exchange.take_timed_out(START + REQUEST_TIMEOUT), [block(0)]);
        assert_eq!(exchange.take_timed_out(START + 2 * REQUEST_TIMEOUT), [], "each once");
    }

    #[test]
    fn the_uploads_queued_for_a_peer_are_bounded() {
        let mut exchange = Exchange::new(START);
        (0..2 * 4096).for_each(|n| exchange.queue_upload(block(n % 4100)));
        exchange.queue_upload(block(0));
        assert_eq!(exchange.uploads.len(), MAX_UPLOADS);
    }

    #[test]
    fn an_abandoned_block_may_come_once() {
        let mut exchange = Exchange::new(START);
        exchange.abandon(block(1));
        assert!(exchange.take_abandoned(block(1)));
        assert!(!exchange.take_abandoned(block(1)));
        (0..3000).for_each(|n| exchange.abandon(block(n)));
        assert_eq!(exchange.abandoned.len(), MAX_ABANDONED);
    }

    #[test]
    fn an_exchange_that_begins_late_has_the_rates_of_one_that_is_as_old_as_the_connection() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..1000 {
            let connected_at = START + rng.u32(..60) * SECOND;
            let (mut now, mut last_round) = (connected_at, START);
            let mut old = Exchange::new(connected_at);
            for _ in 0..rng.u32(..8) {
                now += rng.u32(1..20) * SECOND;
                last_round = now;
                old.round(now);
            }
            let mut late = Exchange::beginning(connected_at, last_round);
            for _ in 0..10 {
                now += Duration::from_millis(rng.u64(..5000));
                for exchange in [&mut old, &mut late] {
                    exchange.block_arrived(block(0), now);
                }
                let read = |exchange: &Exchange| {
                    (exchange.download_rate.per_second(now), exchange.request_depth(now))
                };
                assert_eq!(read(&old), read(&late));
            }
        }
    }
}
