//! One HTTP connection: read a request, write the response, and close so that it arrives.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::ops::ControlFlow;

use mio::net::TcpStream;

use common::moment::Moment;

use crate::http::{MAX_HEAD_LENGTH, parse};
use crate::responder::Responder;

/// Most bytes read after the request, while waiting for the client to close.
const MAX_DRAIN: usize = 64 * 1024;

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
    Writing { response: Vec<u8>, sent: usize },
    /// The response is sent. Closing with unread bytes in the socket would reset the connection,
    /// and the client could lose the response; so the rest is read until the client closes, too.
    Draining { read: usize },
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, ip: IpAddr, deadline: Moment) -> Self {
        Self { stream, ip, deadline, state: State::Reading(Vec::new()) }
    }

    /// Reads and writes until the socket would block, or breaks if the client has disconnected or
    /// has its answer. The total is bounded, so a turn needs no budget.
    pub(crate) fn turn(&mut self, responder: &mut Responder, now: Moment) -> ControlFlow<()> {
        loop {
            match self.advance(responder, now) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return ControlFlow::Continue(());
                }
                // An error concerns this client only: it has reset the connection, for instance.
                Err(_) | Ok(()) => return ControlFlow::Break(()),
            }
        }
    }

    fn advance(&mut self, responder: &mut Responder, now: Moment) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match &mut self.state {
                State::Reading(head) => {
                    let room = buffer.len().min(MAX_HEAD_LENGTH - head.len());
                    let length = self.stream.read(&mut buffer[..room])?;
                    if length == 0 {
                        return Ok(());
                    }
                    head.extend(&buffer[..length]);
                    if let Some(request) = parse(head).transpose() {
                        let response = responder.http(request, self.ip, now);
                        self.state = State::Writing { response, sent: 0 };
                    }
                }
                State::Writing { response, sent } => {
                    if *sent == response.len() {
                        self.stream.shutdown(Shutdown::Write)?;
                        self.state = State::Draining { read: 0 };
                        continue;
                    }
                    let length = self.stream.write(&response[*sent..])?;
                    if length == 0 {
                        return Ok(());
                    }
                    *sent += length;
                }
                State::Draining { read: total } => {
                    let length = self.stream.read(&mut buffer)?;
                    *total += length;
                    if length == 0 || *total > MAX_DRAIN {
                        return Ok(());
                    }
                }
            }
        }
    }
}
