//! A run of the student's program among several scripted neighbors.

use std::collections::{BTreeSet, VecDeque};
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::geometry::Block;
use common::wire::{Handshake, Message};

use crate::check::{ANSWER, Context, Failure, START, Stop, show};
use crate::hints;
use crate::peers::{Heard, Peers, What};
use crate::process::Running;
use crate::torrent::Torrent;

const TORRENT: &str = "lab.torrent";

/// How often to look at the program while its neighbors have nothing to do.
const LOOK: Duration = Duration::from_millis(20);

/// The program, which downloads the file, and its neighbors.
pub(crate) struct Scene<'c, 'p> {
    context: &'c mut Context<'p>,
    pub(crate) torrent: Rc<Torrent>,
    pub(crate) peers: Peers,
    pub(crate) neighbors: Vec<Neighbor>,
    program: Running,
    status: Option<ExitStatus>,
    out: &'static str,
    /// Every request to a neighbor that did not choke: when, to which, for what.
    pub(crate) requests: Vec<(Instant, usize, Block)>,
}

/// How a neighbor behaves, and what the program has done to it.
pub(crate) struct Neighbor {
    pub(crate) has: Vec<u32>,
    pub(crate) choking: bool,
    mute: bool,
    pub(crate) answers: Answer,
    /// The program has sent its handshake.
    greeted: bool,
    interested: bool,
    /// The program has closed the connection.
    pub(crate) ended: bool,
    /// Requests without an answer, in order.
    pub(crate) in_flight: VecDeque<Block>,
    pub(crate) most_in_flight: usize,
    pub(crate) sent: u32,
    next_block: Instant,
}

/// What a neighbor does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    AtOnce,
    /// One block in this time.
    Every(Duration),
    /// Nothing, until the check changes it.
    Later,
    /// With a block in which one bit is false.
    False,
}

impl Neighbor {
    /// A neighbor with these pieces that unchokes at once and answers at once.
    pub(crate) fn with(has: impl IntoIterator<Item = u32>) -> Self {
        Self {
            has: has.into_iter().collect(),
            choking: false,
            mute: false,
            answers: Answer::AtOnce,
            greeted: false,
            interested: false,
            ended: false,
            in_flight: VecDeque::new(),
            most_in_flight: 0,
            sent: 0,
            next_block: Instant::now(),
        }
    }

    pub(crate) fn choking(self) -> Self {
        Self { choking: true, ..self }
    }

    /// Does not even answer the handshake.
    pub(crate) fn mute(self) -> Self {
        Self { mute: true, choking: true, ..self }
    }

    pub(crate) fn answers(self, answers: Answer) -> Self {
        Self { answers, ..self }
    }
}

/// Starts `PROGRAM [--timeout SECONDS] TORRENT OUT HOST:PORT...` and waits until it has shaken hands
/// with every neighbor.
pub(crate) fn start<'c, 'p>(
    context: &'c mut Context<'p>,
    torrent: &Rc<Torrent>,
    neighbors: Vec<Neighbor>,
    out: &'static str,
    options: &[&str],
) -> Result<Scene<'c, 'p>, Stop> {
    context.write_file(TORRENT, &torrent.metainfo)?;
    let mut peers = Peers::new(Rc::clone(torrent))?;
    let mut addresses = Vec::new();
    for _ in &neighbors {
        addresses.push(format!("127.0.0.1:{}", peers.listen()?));
    }
    let mut arguments = [options, &[TORRENT, out]].concat();
    arguments.extend(addresses.iter().map(String::as_str));
    let program = context.start(&arguments, "")?;
    let mut scene = Scene {
        context,
        torrent: Rc::clone(torrent),
        peers,
        neighbors,
        program,
        status: None,
        out,
        requests: Vec::new(),
    };
    let met = |scene: &Scene<'_, '_>| scene.neighbors.iter().all(|neighbor| neighbor.greeted);
    if scene.until(START, met)? {
        return Ok(scene);
    }
    let count = scene.neighbors.iter().filter(|neighbor| neighbor.greeted).count();
    let expected =
        format!("a handshake with each of {} peers within {START:?}", scene.neighbors.len());
    let got = format!("{count}; {}", scene.state());
    Err(Failure::new(expected, got).hint(hints::ALL_PEERS).into())
}

impl Scene<'_, '_> {
    /// Runs until this holds; whether it does, before the time is over or the program has ended.
    pub(crate) fn until(
        &mut self,
        time: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<bool, Stop> {
        let deadline = self.context.within(time);
        while !holds(self) {
            if self.status.is_some() || Instant::now() >= deadline {
                return Ok(false);
            }
            self.turn(deadline)?;
        }
        Ok(true)
    }

    /// Runs until no request has come for a while.
    pub(crate) fn until_quiet(&mut self) -> Result<(), Stop> {
        const QUIET: Duration = Duration::from_millis(300);
        loop {
            let count = self.requests.len();
            if !self.until(QUIET, |scene| scene.requests.len() > count)? {
                return Ok(());
            }
        }
    }

    /// Waits until the program has taken in what each neighbor has, which its interest shows.
    pub(crate) fn until_interested(&mut self) -> Result<(), Stop> {
        let interested = |neighbor: &Neighbor| neighbor.interested || neighbor.has.is_empty();
        // Without the message the checks go on: it has a check of its own in lab 7.
        self.until(ANSWER, |scene| scene.neighbors.iter().all(interested))?;
        self.until_quiet()
    }

    /// Unchokes the program.
    pub(crate) fn unchoke(&mut self, number: usize) {
        self.neighbors[number].choking = false;
        self.peers.say(number, &[Message::Unchoke]);
    }

    /// Chokes the program and forgets its requests.
    pub(crate) fn choke(&mut self, number: usize) {
        self.neighbors[number].choking = true;
        self.neighbors[number].in_flight.clear();
        self.peers.say(number, &[Message::Choke]);
    }

    /// The neighbor leaves.
    pub(crate) fn leave(&mut self, number: usize) {
        self.neighbors[number].in_flight.clear();
        self.peers.close(number);
    }

    /// Sends the blocks that were requested first.
    pub(crate) fn answer(&mut self, number: usize, count: usize) {
        for _ in 0..count {
            if let Some(block) = self.neighbors[number].in_flight.pop_front() {
                self.neighbors[number].sent += 1;
                self.peers.send_block(number, block);
            }
        }
    }

    /// The pieces in the order in which their first blocks were requested.
    pub(crate) fn begun(&self) -> Vec<u32> {
        let mut seen = BTreeSet::new();
        let pieces = self.requests.iter().map(|(_, _, block)| block.piece().get());
        pieces.filter(|piece| seen.insert(*piece)).collect()
    }

    /// Whether the program has ended, for failures.
    pub(crate) fn state(&self) -> String {
        match self.status {
            Some(status) => format!("the program has exited ({status})"),
            None => "the program is still running".to_owned(),
        }
    }

    /// Within this time the program ends with exit status 0, and OUT is the file.
    pub(crate) fn judge_file(&mut self, time: Duration, hint: &'static str) -> Result<(), Stop> {
        let length = self.torrent.content.len();
        let expected = format!("{length} bytes in OUT, and exit status 0, within {time:?}");
        self.until(time, |_| false)?;
        let Some(status) = self.status else {
            let sent: Vec<_> =
                self.neighbors.iter().map(|neighbor| neighbor.sent.to_string()).collect();
            let got =
                format!("it is still running; its peers have sent {} blocks", sent.join(", "));
            return Err(Failure::new(expected, got).hint(hint).into());
        };
        let got = match self.context.read_file(self.out, length + 1)? {
            None => format!("no OUT, and {status}"),
            Some(bytes) if bytes != self.torrent.content => {
                let same = bytes.iter().zip(&self.torrent.content).take_while(|(a, b)| a == b);
                let (length, same) = (bytes.len(), same.count());
                format!("{length} bytes, of which the first {same} are right, and {status}")
            }
            Some(_) if !status.success() => format!("the file, but {status}"),
            Some(_) => return Ok(()),
        };
        Err(Failure::new(expected, got).hint(hint).into())
    }

    /// One event, or a block that is due, or a look at the program.
    fn turn(&mut self, deadline: Instant) -> Result<(), Stop> {
        let now = Instant::now();
        let mut wake = deadline.min(now + LOOK);
        for number in 0..self.neighbors.len() {
            let neighbor = &mut self.neighbors[number];
            let Answer::Every(time) = neighbor.answers else { continue };
            if neighbor.in_flight.is_empty() {
                continue;
            }
            if neighbor.next_block <= now {
                // Behind the last one and not behind now: what a stall delays is made up for.
                neighbor.next_block += time;
                self.answer(number, 1);
            }
            wake = wake.min(self.neighbors[number].next_block);
        }
        match self.peers.next(wake)? {
            Some(heard) => self.hear(heard)?,
            None if self.program.ended()?.is_some() => {
                // What it sent before its end has been heard, or nobody waits for it.
                self.status = self.program.wait(Instant::now())?;
            }
            None => {}
        }
        Ok(())
    }

    fn hear(&mut self, Heard { peer, at, what }: Heard) -> Result<(), Stop> {
        let neighbor = &mut self.neighbors[peer];
        match what {
            What::Handshake(bytes) => {
                let handshake = Handshake::decode(&bytes);
                if handshake.is_err()
                    || handshake.is_ok_and(|it| it.info_hash != self.torrent.info_hash)
                {
                    let expected = "the handshake of lab 7, with the info hash";
                    return Err(Failure::new(expected, show(&bytes)).hint(hints::HANDSHAKE).into());
                }
                neighbor.greeted = true;
                if !neighbor.mute {
                    self.peers.greet(peer, neighbor.has.iter().copied());
                    if !neighbor.choking {
                        self.peers.say(peer, &[Message::Unchoke]);
                    }
                }
            }
            What::Message(Message::Interested) => neighbor.interested = true,
            What::Message(Message::NotInterested) => neighbor.interested = false,
            What::Message(Message::Cancel(block)) => {
                neighbor.in_flight.retain(|requested| *requested != block);
            }
            What::Message(Message::Request(block)) => {
                if !neighbor.has.contains(&block.piece().get()) {
                    let expected = format!("requests for the pieces {:?}", neighbor.has);
                    let got = format!("a request for piece {}", block.piece());
                    return Err(Failure::new(expected, got).hint(hints::HAVES).into());
                }
                // It may have been in flight when the choke came.
                if neighbor.choking {
                    return Ok(());
                }
                if neighbor.in_flight.is_empty() {
                    neighbor.next_block = neighbor.next_block.max(at);
                }
                self.requests.push((at, peer, block));
                neighbor.in_flight.push_back(block);
                neighbor.most_in_flight = neighbor.most_in_flight.max(neighbor.in_flight.len());
                match neighbor.answers {
                    Answer::AtOnce => self.answer(peer, 1),
                    Answer::False => {
                        neighbor.in_flight.pop_back();
                        neighbor.sent += 1;
                        self.peers.send_false_block(peer, block);
                    }
                    Answer::Every(_) | Answer::Later => {}
                }
            }
            What::Message(_) | What::Block(..) => {}
            What::Invalid(text) => {
                let expected = "messages as the sheet describes them, for bytes that exist";
                return Err(Failure::new(expected, text).hint(hints::BLOCKS).into());
            }
            What::Ended => {
                neighbor.ended = true;
                neighbor.in_flight.clear();
            }
        }
        Ok(())
    }
}
