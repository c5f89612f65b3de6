//! A run of the student's program against one scripted peer.

use std::collections::VecDeque;
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

/// How long the program may take to end after the last thing that it waited for.
pub(crate) const END: Duration = Duration::from_secs(4);

/// So long nothing must come before a check takes the program for waiting.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// The program, which downloads one piece, and the peer that it does so from.
pub(crate) struct Session<'c, 'p> {
    pub(crate) context: &'c mut Context<'p>,
    pub(crate) torrent: Rc<Torrent>,
    pub(crate) peers: Peers,
    pub(crate) handshake: [u8; Handshake::LENGTH],
    index: u32,
    program: Running,
    out: String,
}

/// The only peer of a session.
pub(crate) const PEER: usize = 0;

/// Starts `PROGRAM [--timeout SECONDS] TORRENT HOST PORT INDEX OUT` and waits for its handshake. The
/// peer has not answered yet.
pub(crate) fn start<'c, 'p>(
    context: &'c mut Context<'p>,
    torrent: Rc<Torrent>,
    index: u32,
    options: &[&str],
) -> Result<Session<'c, 'p>, Stop> {
    context.write_file(TORRENT, &torrent.metainfo)?;
    let mut peers = Peers::new(Rc::clone(&torrent))?;
    let port = peers.listen()?.to_string();
    let out = format!("piece-at-{port}");
    let number = index.to_string();
    let arguments = [options, &[TORRENT, "127.0.0.1", &port, &number, &out]].concat();
    let mut program = context.start(&arguments, "")?;
    let deadline = context.within(START);
    let handshake = loop {
        let ended = program.ended()?;
        // What it sent before its end is there when the end is known.
        let look = deadline.min(Instant::now() + Duration::from_millis(50));
        match peers.next(look)? {
            Some(Heard { what: What::Handshake(bytes), .. }) => break bytes,
            Some(Heard { what, .. }) => {
                return Err(Failure::new("68 bytes of handshake", said(&what)).into());
            }
            None => {}
        }
        if ended.is_some() || Instant::now() >= deadline {
            let expected = format!("a connection and 68 bytes of handshake within {START:?}");
            let got = match ended {
                Some(status) => format!("no handshake; the program has exited ({status})"),
                None => "no handshake; the program is still running".to_owned(),
            };
            return Err(Failure::new(expected, got).hint(hints::DIALER_FIRST).into());
        }
    };
    Ok(Session { context, torrent, peers, handshake, index, program, out })
}

impl Session<'_, '_> {
    /// Answers the handshake, tells of all pieces, and unchokes at once.
    ///
    /// Without waiting for interest, which a check of its own asks for: a program that forgets it loses
    /// the points of that check only.
    pub(crate) fn open(&mut self) {
        let all = 0..self.torrent.geometry.piece_count();
        self.peers.greet(PEER, all);
        self.peers.say(PEER, &[Message::Unchoke]);
    }

    /// The next thing that the program does, but keep-alives; `None` if it does nothing for this long.
    pub(crate) fn next(&mut self, time: Duration) -> Result<Option<What>, Stop> {
        let deadline = self.context.within(time);
        loop {
            let heard = self.peers.next(deadline)?;
            debug_assert!(heard.iter().all(|heard| heard.peer == PEER), "it is the only one");
            match heard.map(|heard| heard.what) {
                Some(What::Message(Message::KeepAlive)) => {}
                Some(What::Invalid(text)) => {
                    let expected = "messages as the sheet describes them, for bytes that exist";
                    return Err(Failure::new(expected, text).hint(hints::BLOCKS).into());
                }
                what => return Ok(what),
            }
        }
    }

    /// The requests that come until the program has been quiet for a while; the first one may take as
    /// long as an answer.
    pub(crate) fn requests(&mut self) -> Result<Vec<Block>, Stop> {
        loop {
            match self.next(ANSWER)? {
                Some(What::Message(Message::Request(block))) => {
                    let mut requests = vec![block];
                    requests.extend(self.unwanted_requests()?);
                    return Ok(requests);
                }
                Some(What::Ended) | None => return Ok(Vec::new()),
                Some(_) => {}
            }
        }
    }

    /// The requests that come until the program has been quiet for a while, where none should.
    pub(crate) fn unwanted_requests(&mut self) -> Result<Vec<Block>, Stop> {
        let mut requests = Vec::new();
        while let Some(what) = self.next(QUIET)? {
            match what {
                What::Message(Message::Request(block)) => requests.push(block),
                What::Ended => break,
                _ => {}
            }
        }
        Ok(requests)
    }

    /// Answers every request with the right block until the program closes the connection.
    pub(crate) fn serve(&mut self) -> Result<(), Stop> {
        self.serve_with(VecDeque::new(), |peers, block| peers.send_block(PEER, block))
    }

    /// As [`Self::serve`], with an answer of the check's own, first to these requests.
    pub(crate) fn serve_with(
        &mut self,
        mut requests: VecDeque<Block>,
        mut answer: impl FnMut(&mut Peers, Block),
    ) -> Result<(), Stop> {
        loop {
            while let Some(block) = requests.pop_front() {
                answer(&mut self.peers, block);
            }
            match self.next(ANSWER)? {
                Some(What::Message(Message::Request(block))) => requests.push_back(block),
                Some(What::Ended) => return Ok(()),
                Some(_) => {}
                // It may be silent because it has everything, and ends without closing first.
                None => return Ok(()),
            }
        }
    }

    /// Waits for the program to end, while the peer sends what it has to send.
    fn wait(&mut self, time: Duration) -> Result<Option<ExitStatus>, Stop> {
        let deadline = self.context.within(time);
        while self.program.ended()?.is_none() && Instant::now() < deadline {
            self.peers.next(deadline.min(Instant::now() + Duration::from_millis(20)))?;
        }
        Ok(self.program.wait(Instant::now())?)
    }

    /// The program ends with exit status 0, and OUT is the piece.
    pub(crate) fn judge_piece(mut self, hint: &'static str) -> Result<(), Stop> {
        let piece = self.torrent.geometry.whole_piece(self.torrent.piece(self.index));
        let length = piece.length() as usize;
        let expected = format!("piece {}, {length} bytes, in OUT, and exit status 0", self.index);
        let Some(status) = self.wait(END)? else {
            let got = format!("the program still runs {END:?} after its last request was answered");
            return Err(Failure::new(expected, got).hint(hint).into());
        };
        let out = self.context.read_file(&self.out, length + 1)?;
        let got = match &out {
            None => format!("no OUT, and {status}"),
            Some(bytes) if bytes != self.torrent.bytes(piece) => {
                let same = bytes.iter().zip(self.torrent.bytes(piece)).take_while(|(a, b)| a == b);
                let (length, same) = (bytes.len(), same.count());
                format!("{length} bytes, of which the first {same} are right, and {status}")
            }
            Some(_) if !status.success() => format!("the piece, but {status}"),
            Some(_) => return Ok(()),
        };
        Err(Failure::new(expected, got).hint(hint).into())
    }

    /// Within this time the program ends with exit status 1 and a message, and there is no OUT.
    pub(crate) fn judge_refusal(
        mut self,
        why: &str,
        time: Duration,
        hint: &'static str,
    ) -> Result<(), Stop> {
        let expected = format!("{why}: a message, exit status 1, and no OUT");
        let Some(status) = self.wait(time)? else {
            let got = format!("the program is still running after {time:?}");
            return Err(Failure::new(expected, got).hint(hint).into());
        };
        let out = self.context.read_file(&self.out, 1)?.is_some();
        let silent = self.program.stderr().text().trim().is_empty();
        let got = match (out, status.code(), silent) {
            (true, ..) => format!("OUT is there, and {status}"),
            (_, _, true) => format!("no message, and {status}"),
            (_, Some(1), _) => return Ok(()),
            (_, _, false) => status.to_string(),
        };
        Err(Failure::new(expected, got).hint(hint).into())
    }
}

/// What the program did, for failures.
pub(crate) fn said(what: &What) -> String {
    match what {
        What::Handshake(bytes) => format!("a handshake: {}", show(bytes)),
        What::Message(message) => format!("the message {message:?}"),
        What::Block(block, bytes) => {
            format!("{} bytes of piece {} at {}", bytes.len(), block.piece(), block.begin())
        }
        What::Invalid(text) => text.clone(),
        What::Ended => "the program closed the connection".to_owned(),
    }
}
