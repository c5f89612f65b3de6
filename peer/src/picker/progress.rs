//! One piece in progress: which blocks were requested, which have arrived, and which peers sent
//! them.

use super::Sender;
use crate::PeerKey;

/// A piece of which we requested a block.
#[derive(Debug)]
pub(super) struct Progress {
    blocks: Vec<BlockState>,
    /// No block before this one is unrequested.
    first_unrequested: usize,
    unrequested: u32,
    not_received: u32,
    /// Every peer that sent a block that has arrived.
    pub(super) senders: Vec<Sender>,
    /// A seed was asked for a block of it.
    pub(super) from_seed: bool,
    /// The peer on parole that is to send all of it.
    pub(super) owner: Option<PeerKey>,
    /// Another peer took it over once, and it was started again.
    pub(super) restarted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockState {
    Unrequested,
    /// Requested from this many peers; more than one only in the endgame.
    Requested(u16),
    Received,
}

impl Progress {
    pub(super) fn new(blocks: u32, owner: Option<PeerKey>) -> Self {
        Self {
            blocks: vec![BlockState::Unrequested; blocks as usize],
            first_unrequested: 0,
            unrequested: blocks,
            not_received: blocks,
            senders: Vec::new(),
            from_seed: false,
            owner,
            restarted: false,
        }
    }

    /// Requests the first block that has neither arrived nor been requested; returns its number.
    pub(super) fn request_next(&mut self) -> Option<usize> {
        let rest = &self.blocks[self.first_unrequested..];
        let ahead = rest.iter().position(|&state| state == BlockState::Unrequested)?;
        let number = self.first_unrequested + ahead;
        self.blocks[number] = BlockState::Requested(1);
        self.unrequested -= 1;
        self.first_unrequested = number;
        Some(number)
    }

    /// Requests a block once more.
    pub(super) fn request_again(&mut self, number: usize) {
        if let BlockState::Requested(times) = &mut self.blocks[number] {
            *times += 1;
        }
    }

    /// One request for the block will not be answered.
    pub(super) fn release(&mut self, number: usize) {
        match &mut self.blocks[number] {
            BlockState::Unrequested | BlockState::Received => {}
            BlockState::Requested(1) => self.set_unrequested(number),
            BlockState::Requested(times) => *times -= 1,
        }
    }

    /// A block has arrived. Returns how many requests for it were open; `None` if it is a
    /// duplicate.
    pub(super) fn receive(&mut self, number: usize, from: Sender) -> Option<u16> {
        let times = match self.blocks[number] {
            BlockState::Received => return None,
            BlockState::Requested(times) => times,
            BlockState::Unrequested => {
                self.unrequested -= 1;
                0
            }
        };
        self.blocks[number] = BlockState::Received;
        self.not_received -= 1;
        let same = |other: &&mut Sender| (other.ip, other.peer_id) == (from.ip, from.peer_id);
        match self.senders.iter_mut().find(same) {
            // It reconnected and has a new key.
            Some(known) => *known = from,
            None => self.senders.push(from),
        }
        Some(times)
    }

    /// Forgets the blocks that have arrived, unless this peer sent all of them.
    pub(super) fn restart(&mut self, peer: Option<PeerKey>) {
        if self.senders.iter().all(|sender| Some(sender.peer) == peer) {
            return;
        }
        for number in 0..self.blocks.len() {
            if self.blocks[number] == BlockState::Received {
                self.not_received += 1;
                self.set_unrequested(number);
            }
        }
        self.senders.clear();
        self.restarted = true;
    }

    pub(super) fn is_received(&self, number: usize) -> bool {
        self.blocks[number] == BlockState::Received
    }

    pub(super) fn has_unrequested(&self) -> bool {
        self.unrequested > 0
    }

    pub(super) fn is_complete(&self) -> bool {
        self.not_received == 0
    }

    /// Whether blocks are missing and no peer was asked for any of them.
    pub(super) fn is_idle(&self) -> bool {
        self.unrequested > 0 && self.unrequested == self.not_received
    }

    /// How many blocks have arrived, and how many the piece has.
    pub(super) fn received(&self) -> (u32, u32) {
        let count = u32::try_from(self.blocks.len()).expect("at most 4096 blocks");
        (count - self.not_received, count)
    }

    /// The blocks in flight, and from how many peers each was requested.
    pub(super) fn requested(&self) -> impl Iterator<Item = (usize, u16)> {
        self.blocks.iter().enumerate().filter_map(|(number, state)| match *state {
            BlockState::Unrequested | BlockState::Received => None,
            BlockState::Requested(times) => Some((number, times)),
        })
    }

    fn set_unrequested(&mut self, number: usize) {
        self.blocks[number] = BlockState::Unrequested;
        self.unrequested += 1;
        self.first_unrequested = self.first_unrequested.min(number);
    }
}
