//! The tracker of a student, and peers that announce to it over HTTP.
//!
//! ureq does the protocol, as in our own peer: a student's HTTP library may send chunked answers, or
//! end an answer by closing the connection.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use common::announce::http::{MAX_RESPONSE_LENGTH, ResponseError, announce_url, decode_response};
use common::announce::{AnnounceRequest, AnnounceResponse, Event};
use common::id::{InfoHash, PeerId};
use fastrand::Rng;
use ureq::Agent;

use crate::check::{ANSWER, Context, Failure, START, Server, Stop, show};
use crate::hints;

/// A running tracker.
pub(super) struct Tracker {
    pub(super) server: Server,
    agent: Agent,
    /// It has accepted a connection.
    ready: bool,
}

/// What it answered to a request.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A peer that exists only for the tracker.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) info_hash: InfoHash,
    pub(super) id: PeerId,
    pub(super) port: u16,
    /// Bytes that it lacks; 0 makes it a seed.
    pub(super) left: u64,
}

/// Makes peers of one torrent, with ports of their own.
pub(super) struct Torrent {
    info_hash: InfoHash,
    port: u16,
}

impl Tracker {
    /// Starts the student's program with this interval in seconds.
    pub(super) fn start(context: &mut Context<'_>, interval: u64) -> Result<Self, Stop> {
        let server = context.server(&[], &[&interval.to_string()])?;
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            // Each request has a connection of its own, as announces that are minutes apart.
            .max_idle_connections(0)
            .build();
        Ok(Self { server, agent: Agent::new_with_config(config), ready: false })
    }

    /// The tracker's announce URL.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/announce", self.server.port)
    }

    /// Requests a path with its query.
    pub(super) fn get(&mut self, context: &Context<'_>, path: &str) -> Result<Answer, Stop> {
        /// Between two attempts to connect to a program that starts.
        const RETRY: Duration = Duration::from_millis(10);
        let url = format!("http://127.0.0.1:{}{path}", self.server.port);
        let ready_by = context.within(START);
        loop {
            match self.fetch(context, &url) {
                Ok(answer) => {
                    self.ready = true;
                    return Ok(answer);
                }
                Err(ureq::Error::Io(error))
                    if !self.ready
                        && error.kind() == ErrorKind::ConnectionRefused
                        && Instant::now() < ready_by
                        && self.server.ended()?.is_none() =>
                {
                    thread::sleep(RETRY);
                }
                Err(ureq::Error::Io(error))
                    if !self.ready && error.kind() == ErrorKind::ConnectionRefused =>
                {
                    return Err(self.server.not_ready("accepts TCP connections")?);
                }
                Err(error) => {
                    let got = match error {
                        ureq::Error::Timeout(_) => format!("no complete answer within {ANSWER:?}"),
                        other => other.to_string(),
                    };
                    let got = format!("{got}; {}", self.server.state()?);
                    let expected = format!("an HTTP answer to GET {path}");
                    return Err(Failure::new(expected, got).hint(hints::HTTP_ANSWER).into());
                }
            }
        }
    }

    fn fetch(&self, context: &Context<'_>, url: &str) -> Result<Answer, ureq::Error> {
        let time = context.within(ANSWER).saturating_duration_since(Instant::now());
        let request = self.agent.get(url).header("connection", "close");
        let mut answer = request.config().timeout_global(Some(time)).build().call()?;
        let limit = MAX_RESPONSE_LENGTH as u64;
        let body = answer.body_mut().with_config().limit(limit).read_to_vec()?;
        Ok(Answer { status: answer.status().as_u16(), body })
    }

    /// Announces a peer; `more` is appended to the query.
    pub(super) fn announce(
        &mut self,
        context: &Context<'_>,
        peer: &Peer,
        event: Option<Event>,
        more: &str,
    ) -> Result<AnnounceResponse, Stop> {
        let path = peer.announce(event) + more;
        let answer = self.get(context, &path)?;
        let read = decode_response(&answer.body);
        read.map_err(|error| {
            let got = format!("status {} and {}: {error}", answer.status, show(&answer.body));
            let (expected, hint) = match error {
                ResponseError::Failure(_) => ("counts and peers in", hints::VALID_REQUEST),
                _ => ("a bencoded", hints::TRACKER_ANSWER),
            };
            let expected = format!("{expected} answer to GET {path}");
            Failure::new(expected, got).hint(hint).into()
        })
    }

    /// Announces a peer, which is told exactly these others. Whether it is told its own address as well
    /// is for the check `not-itself` to judge, so that this mistake costs its points once.
    pub(super) fn names(
        &mut self,
        context: &Context<'_>,
        peer: &Peer,
        others: &[&Peer],
        hint: &'static str,
    ) -> Result<AnnounceResponse, Stop> {
        let answer = self.announce(context, peer, None, "")?;
        let mut named = ports(&answer)?;
        named.remove(&peer.port);
        let right: BTreeSet<_> = others.iter().map(|other| other.port).collect();
        if named == right {
            return Ok(answer);
        }
        let port = peer.port;
        let expected = format!("for the peer at port {port}: {}", list(&right));
        Err(Failure::new(expected, list(&named)).hint(hint).into())
    }
}

/// The ports of the peers in an answer, all of which are at 127.0.0.1.
pub(super) fn ports(answer: &AnnounceResponse) -> Result<BTreeSet<u16>, Stop> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ports: BTreeSet<_> = answer.peers.iter().map(SocketAddr::port).collect();
    let elsewhere = answer.peers.iter().find(|peer| peer.ip() != here);
    let got = match elsewhere {
        Some(peer) => format!("the peer {peer}"),
        None if ports.len() < answer.peers.len() => "a peer twice".to_owned(),
        None => return Ok(ports),
    };
    let expected = "peers at 127.0.0.1, where they announced from, each once";
    Err(Failure::new(expected, got).hint(hints::PEER_ADDRESS).into())
}

fn list(ports: &BTreeSet<u16>) -> String {
    if ports.is_empty() {
        return "no peers".to_owned();
    }
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    format!("peers at the ports {}", ports.join(", "))
}

impl Peer {
    /// The path of its announce, with the query.
    pub(super) fn announce(&self, event: Option<Event>) -> String {
        let request = AnnounceRequest {
            info_hash: self.info_hash,
            peer_id: self.id,
            port: self.port,
            uploaded: 0,
            downloaded: 0,
            left: self.left,
            event,
            num_want: None,
            key: 0,
            tracker_id: None,
        };
        // The sheet does not name a key, and a check of its own sends one.
        announce_url("/announce", &request).replace("&key=00000000", "")
    }

    /// The same peer with the whole file.
    pub(super) fn completed(&self) -> Self {
        Self { left: 0, ..self.clone() }
    }
}

impl Torrent {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let info_hash = InfoHash([(); 20].map(|()| rng.u8(..)));
        Self::of_hash(info_hash, rng)
    }

    pub(super) fn of_hash(info_hash: InfoHash, rng: &mut Rng) -> Self {
        Self { info_hash, port: rng.u16(2_000..20_000) }
    }

    /// Another peer that lacks so much.
    pub(super) fn peer(&mut self, rng: &mut Rng, left: u64) -> Peer {
        // Both bytes of a port matter, so ports are not neighbors.
        self.port += 97;
        let id = PeerId::from_random([(); 12].map(|()| rng.alphanumeric() as u8));
        Peer { info_hash: self.info_hash, id, port: self.port, left }
    }
}
