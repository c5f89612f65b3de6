//! A run of the student's peer among scripted neighbors that connect to it.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::geometry::{Block, PieceIndex};
use common::wire::Message;

use crate::check::{Context, Failure, START, Server, Stop};
use crate::hints;
use crate::lab::tit_for_tat::slots::Change;
use crate::peers::{Heard, Peers, What};
use crate::sockets::connect;
use crate::torrent::Torrent;

const TORRENT: &str = "lab.torrent";
const DATA: &str = "data.bin";

/// The program, and the neighbors that have connected to it.
pub(crate) struct Scene<'c, 'p> {
    context: &'c mut Context<'p>,
    pub(crate) torrent: Rc<Torrent>,
    pub(crate) peers: Peers,
    pub(crate) neighbors: Vec<Neighbor>,
    /// In the order of their arrival.
    pub(crate) changes: Vec<Change>,
    server: Server,
}

/// A neighbor, and what the program has told it.
pub(crate) struct Neighbor {
    /// The time of a block that it sends; it sends none without.
    pub(crate) every: Option<Duration>,
    /// What the program has, by its bitfield and its haves.
    pub(crate) told: BTreeSet<u32>,
    pub(crate) unchoked: bool,
    pub(crate) ended: bool,
    /// Blocks that came from the program, with whether their bytes are right.
    pub(crate) blocks: Vec<(Block, bool)>,
    greeted: bool,
    in_flight: VecDeque<Block>,
    next_block: Instant,
}

/// Starts `PROGRAM --rechoke SECONDS --optimistic SECONDS TORRENT DATA PORT`, where DATA begins with these
/// bytes, or does not exist.
pub(crate) fn start<'c, 'p>(
    context: &'c mut Context<'p>,
    torrent: Rc<Torrent>,
    data: Option<&[u8]>,
    [rechoke, optimistic]: [f64; 2],
) -> Result<Scene<'c, 'p>, Stop> {
    context.write_file(TORRENT, &torrent.metainfo)?;
    if let Some(data) = data {
        context.write_file(DATA, data)?;
    }
    let [rechoke, optimistic] = [rechoke.to_string(), optimistic.to_string()];
    let options = ["--rechoke", &rechoke, "--optimistic", &optimistic, TORRENT, DATA];
    let server = context.server(&options, &[])?;
    let peers = Peers::new(Rc::clone(&torrent))?;
    Ok(Scene { context, torrent, peers, neighbors: Vec::new(), changes: Vec::new(), server })
}

impl Scene<'_, '_> {
    /// One more neighbor connects and sends its handshake, then a bitfield if it has a piece.
    pub(crate) fn join(&mut self, has: impl IntoIterator<Item = u32>) -> Result<usize, Stop> {
        let number = self.connect()?;
        let has: Vec<_> = has.into_iter().collect();
        if has.is_empty() {
            self.peers.shake_hands(number, self.torrent.info_hash);
        } else {
            self.peers.greet(number, has);
        }
        if self.until(START, |scene| scene.neighbors[number].greeted)? {
            return Ok(number);
        }
        let got = format!("none; {}", self.server.state()?);
        let expected = format!("an answer to the handshake within {START:?}");
        Err(Failure::new(expected, got).hint(hints::HANDSHAKE).into())
    }

    /// One more neighbor connects, and says nothing yet.
    pub(crate) fn connect(&mut self) -> Result<usize, Stop> {
        let deadline = self.context.within(START);
        let Some(connection) = connect(&mut self.server, deadline)? else {
            return Err(self.server.not_ready("accepts TCP connections")?);
        };
        self.neighbors.push(Neighbor {
            every: None,
            told: BTreeSet::new(),
            unchoked: false,
            ended: false,
            blocks: Vec::new(),
            greeted: false,
            in_flight: VecDeque::new(),
            next_block: Instant::now(),
        });
        Ok(self.peers.adopt(connection.into_stream())?)
    }

    /// Runs until this holds; whether it does before the time is over.
    pub(crate) fn until(
        &mut self,
        time: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<bool, Stop> {
        let deadline = self.context.within(time);
        while !holds(self) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.turn(deadline)?;
        }
        Ok(true)
    }

    /// Runs for this long; its beginning and its end.
    pub(crate) fn watch(&mut self, time: Duration) -> Result<[Instant; 2], Stop> {
        let from = Instant::now();
        self.until(time, |_| false)?;
        if let Some(status) = self.server.ended()? {
            let expected = "the program runs until it is stopped";
            let got = format!("it has exited ({status})");
            return Err(Failure::new(expected, got).hint(hints::ENDED).into());
        }
        Ok([from, Instant::now()])
    }

    /// What is in DATA.
    pub(crate) fn data(&self) -> Result<Option<Vec<u8>>, Stop> {
        Ok(self.context.read_file(DATA, self.torrent.content.len() + 1)?)
    }

    /// One event, or a block that is due.
    fn turn(&mut self, deadline: Instant) -> Result<(), Stop> {
        let now = Instant::now();
        let mut wake = deadline;
        for (number, neighbor) in self.neighbors.iter_mut().enumerate() {
            let Some(time) = neighbor.every else { continue };
            let Some(&block) = neighbor.in_flight.front() else { continue };
            if neighbor.next_block <= now {
                // Behind the last one and not behind now: what a stall delays is made up for.
                neighbor.next_block += time;
                neighbor.in_flight.pop_front();
                self.peers.send_block(number, block);
            }
            wake = wake.min(neighbor.next_block);
        }
        let Some(Heard { peer, at, what }) = self.peers.next(wake)? else { return Ok(()) };
        let neighbor = &mut self.neighbors[peer];
        match what {
            What::Handshake(_) => neighbor.greeted = true,
            What::Message(Message::Bitfield(bitfield)) => {
                neighbor.told.extend(bitfield.iter().map(PieceIndex::get));
            }
            What::Message(Message::Have(piece)) => _ = neighbor.told.insert(piece.get()),
            What::Message(message @ (Message::Choke | Message::Unchoke)) => {
                let unchoked = message == Message::Unchoke;
                neighbor.unchoked = unchoked;
                self.changes.push(Change { at, neighbor: peer, unchoked });
            }
            What::Message(Message::Request(block)) => {
                if neighbor.in_flight.is_empty() {
                    neighbor.next_block = neighbor.next_block.max(at);
                }
                neighbor.in_flight.push_back(block);
            }
            What::Message(Message::Cancel(block)) => {
                neighbor.in_flight.retain(|requested| *requested != block);
            }
            What::Message(_) => {}
            What::Block(block, bytes) => {
                let right = bytes == self.torrent.bytes(block);
                neighbor.blocks.push((block, right));
            }
            What::Invalid(text) => {
                let expected = "messages as the sheet describes them, for bytes that exist";
                return Err(Failure::new(expected, text).hint(hints::BLOCKS).into());
            }
            What::Ended => {
                neighbor.ended = true;
                if neighbor.unchoked {
                    neighbor.unchoked = false;
                    self.changes.push(Change { at, neighbor: peer, unchoked: false });
                }
            }
        }
        Ok(())
    }
}
