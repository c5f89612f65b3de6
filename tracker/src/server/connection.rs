//! One HTTP connection: read a request, write the response, and close so that it arrives.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::ops::ControlFlow;
use std::time::Duration;

use mio::net::TcpStream;

use common::moment::Moment;

use super::Outcome;
use crate::http::{MAX_HEAD_LENGTH, Response, parse};
use crate::responder::Responder;

/// Most bytes read after the request, while waiting for the client to close.
const MAX_DRAIN: usize = 64 * 1024;

/// Most bytes sent in one turn. Many may download at once, and the others wait for their turns.
const TURN_BYTES: usize = 64 * 1024;

/// Bytes per second at which a client must be able to receive a file: a class shares its network.
const SLOWEST: u64 = 16 * 1024;

/// A client's connection, from accept to close.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) ip: IpAddr,
    /// When it is closed, in whatever state.
    pub(crate) deadline: Moment,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The part of the request head received so far.
    Reading(Vec<u8>),
    /// The response, and how many of its bytes are sent.
    Writing { response: Response, sent: usize },
    /// The response is sent. Closing with unread bytes in the socket would reset the connection,
    /// and the client could lose the response; so the rest is read until the client closes, too.
    Draining { read: usize },
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, ip: IpAddr, deadline: Moment) -> Self {
        Self { stream, ip, deadline, state: State::Reading(Vec::new()) }
    }

    /// Reads and writes until the socket would block or the turn's bytes are sent, or breaks if the
    /// client has disconnected or has its answer.
    pub(super) fn turn(
        &mut self,
        responder: &mut Responder,
        now: Moment,
    ) -> ControlFlow<(), Outcome> {
        loop {
            match self.advance(responder, now) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return ControlFlow::Continue(Outcome::Waits);
                }
                // An error concerns this client only: it has reset the connection, for instance.
                Err(_) => return ControlFlow::Break(()),
                Ok(flow) => return flow,
            }
        }
    }

    /// Whether it sends a file, which may take long.
    pub(super) fn sends_file(&self) -> bool {
        match &self.state {
            State::Writing { response, .. } => response.file_length().is_some(),
            State::Reading(_) | State::Draining { .. } => false,
        }
    }

    fn advance(
        &mut self,
        responder: &mut Responder,
        now: Moment,
    ) -> io::Result<ControlFlow<(), Outcome>> {
        const OVER: io::Result<ControlFlow<(), Outcome>> = Ok(ControlFlow::Break(()));
        let mut buffer = [0; 4096];
        let mut budget = TURN_BYTES;
        loop {
            match &mut self.state {
                State::Reading(head) => {
                    let room = buffer.len().min(MAX_HEAD_LENGTH - head.len());
                    let length = self.stream.read(&mut buffer[..room])?;
                    if length == 0 {
                        return OVER;
                    }
                    head.extend(&buffer[..length]);
                    if let Some(request) = parse(head).transpose() {
                        let response = responder.http(request, self.ip, now);
                        if let Some(length) = response.file_length() {
                            self.deadline += Duration::from_secs(length as u64 / SLOWEST);
                        }
                        self.state = State::Writing { response, sent: 0 };
                    }
                }
                State::Writing { response, sent } => {
                    let unsent = response.unsent(*sent);
                    if unsent.is_empty() {
                        self.stream.shutdown(Shutdown::Write)?;
                        self.state = State::Draining { read: 0 };
                        continue;
                    }
                    if budget == 0 {
                        return Ok(ControlFlow::Continue(Outcome::HasMore));
                    }
                    let length = self.stream.write(&unsent[..unsent.len().min(budget)])?;
                    if length == 0 {
                        return OVER;
                    }
                    *sent += length;
                    budget -= length;
                }
                State::Draining { read: total } => {
                    let length = self.stream.read(&mut buffer)?;
                    *total += length;
                    if length == 0 || *total > MAX_DRAIN {
                        return OVER;
                    }
                }
            }
        }
    }
}
