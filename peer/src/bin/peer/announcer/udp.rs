//! Announces in packets (BEP 15): first a connection id, then the announce with it.

#![allow(clippy::disallowed_methods, reason = "a shell: packets are sent again after a time")]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use common::announce::udp::{Request, Response};
use common::announce::{AnnounceRequest, AnnounceResponse, Family};
use fastrand::Rng;
use log::debug;

/// The connections with one tracker, by its addresses.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<SocketAddr, Session>);

impl Sessions {
    /// Announces to the first address of `server`, a host and a port, that answers.
    ///
    /// Sends a packet as often as there are `waits`, and waits that long each time.
    pub(super) fn announce(
        &mut self,
        server: &str,
        bind: Option<IpAddr>,
        announce: &AnnounceRequest,
        waits: &[Duration],
        rng: &mut Rng,
    ) -> Result<AnnounceResponse> {
        let mut addresses: Vec<_> =
            server.to_socket_addrs().with_context(|| format!("cannot find {server}"))?.collect();
        addresses.retain(|address| bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4()));
        // What it had under another address is worth nothing any more.
        self.0.retain(|address, _| addresses.contains(address));

        let mut last_error = anyhow!("{server} has no address of our family");
        for address in addresses {
            let answer = self
                .session(address, bind)
                .and_then(|session| session.announce(announce, waits, rng));
            match answer {
                Ok(response) => return Ok(response),
                Err(error) => {
                    self.0.remove(&address);
                    last_error = error;
                }
            }
        }
        Err(last_error)
    }

    fn session(&mut self, address: SocketAddr, bind: Option<IpAddr>) -> Result<&mut Session> {
        match self.0.entry(address) {
            Entry::Occupied(session) => Ok(session.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Session::open(address, bind)?)),
        }
    }
}

/// A socket for one address of a tracker.
#[derive(Debug)]
struct Session {
    /// Connected: what others send does not reach us.
    socket: UdpSocket,
    address: SocketAddr,
    /// The id that the tracker gave, and until when it can be used.
    connection: Option<(u64, Instant)>,
}

/// BEP 15: "a client can use a connection ID until one minute after it has received it".
const CONNECTION_ID_LIFE: Duration = Duration::from_secs(60);

/// Any datagram fits.
const BUFFER_LENGTH: usize = 64 * 1024;

impl Session {
    fn open(address: SocketAddr, bind: Option<IpAddr>) -> Result<Self> {
        let local = bind.unwrap_or(match Family::of(address) {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        });
        let socket =
            UdpSocket::bind((local, 0)).with_context(|| format!("cannot send from {local}"))?;
        socket.connect(address).with_context(|| format!("cannot reach {address}"))?;
        Ok(Self { socket, address, connection: None })
    }

    fn announce(
        &mut self,
        announce: &AnnounceRequest,
        waits: &[Duration],
        rng: &mut Rng,
    ) -> Result<AnnounceResponse> {
        for &wait in waits {
            if let Some(response) = self.try_once(announce, Instant::now() + wait, rng)? {
                return Ok(response);
            }
            // A packet was lost, or the tracker has forgotten the id: begin again.
            self.connection = None;
        }
        bail!("no answer within {:?}", waits.iter().sum::<Duration>())
    }

    /// Connects if need be, and announces; `None` if an answer is not there at the deadline.
    fn try_once(
        &mut self,
        announce: &AnnounceRequest,
        deadline: Instant,
        rng: &mut Rng,
    ) -> Result<Option<AnnounceResponse>> {
        let usable = self.connection.filter(|&(_, until)| Instant::now() < until);
        let connection_id = match usable {
            Some((connection_id, _)) => connection_id,
            None => {
                let Some(connection_id) = self.connect(deadline, rng)? else { return Ok(None) };
                self.connection = Some((connection_id, Instant::now() + CONNECTION_ID_LIFE));
                connection_id
            }
        };
        let sent = rng.u32(..);
        let announce = announce.clone();
        let request = Request::Announce { connection_id, transaction_id: sent, announce };
        self.exchange(&request, sent, deadline, |answer| match answer {
            Response::Announce { transaction_id, response } if transaction_id == sent => {
                Some(response)
            }
            Response::Connect { .. }
            | Response::Announce { .. }
            | Response::Scrape { .. }
            | Response::Error { .. } => None,
        })
    }

    fn connect(&self, deadline: Instant, rng: &mut Rng) -> Result<Option<u64>> {
        let sent = rng.u32(..);
        let request = Request::Connect { transaction_id: sent };
        self.exchange(&request, sent, deadline, |answer| match answer {
            Response::Connect { transaction_id, connection_id } if transaction_id == sent => {
                Some(connection_id)
            }
            Response::Connect { .. }
            | Response::Announce { .. }
            | Response::Scrape { .. }
            | Response::Error { .. } => None,
        })
    }

    /// Sends a request, and returns the first packet that `accept` makes something of.
    fn exchange<T>(
        &self,
        request: &Request,
        sent: u32,
        deadline: Instant,
        accept: impl Fn(Response) -> Option<T>,
    ) -> Result<Option<T>> {
        self.socket.send(&request.encode()).context("cannot send")?;
        let mut buffer = vec![0; BUFFER_LENGTH];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left)).context("cannot set a timeout")?;
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if is_no_answer_yet(&error) => continue,
                Err(error) => return Err(error).context("cannot receive"),
            };
            match Response::decode(&buffer[..length], Family::of(self.address)) {
                Ok(Response::Error { transaction_id, message }) if transaction_id == sent => {
                    bail!("the tracker says: {message}")
                }
                Ok(answer) => {
                    if let Some(accepted) = accept(answer) {
                        return Ok(Some(accepted));
                    }
                    debug!("{}: an answer to something else", self.address);
                }
                Err(error) => debug!("{}: {error}", self.address),
            }
        }
    }
}

fn is_no_answer_yet(error: &io::Error) -> bool {
    // Unix and Windows disagree on what a timeout is.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use common::id::{InfoHash, PeerId};

    use super::*;

    const PATIENT: &[Duration] = &[Duration::from_secs(20)];

    /// A tracker that answers a request with what `respond` makes of it: its address, and the
    /// requests that it got.
    fn scripted(
        mut respond: impl FnMut(Request) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (String, Receiver<Request>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap().to_string();
        let (got, requests) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let request = Request::decode(&buffer[..length]).unwrap();
                // A test may not care.
                let _ = got.send(request.clone());
                for packet in respond(request) {
                    socket.send_to(&packet, from).unwrap();
                }
            }
        });
        (server, requests)
    }

    /// What a tracker should answer.
    fn answer(request: &Request) -> Response {
        match *request {
            Request::Connect { transaction_id } => {
                Response::Connect { transaction_id, connection_id: 42 }
            }
            Request::Announce { transaction_id, .. } => {
                Response::Announce { transaction_id, response: response(9) }
            }
            Request::Scrape { .. } => panic!("nobody asked for a scrape"),
        }
    }

    fn response(interval: u32) -> AnnounceResponse {
        AnnounceResponse {
            interval,
            min_interval: None,
            seeders: Some(0),
            leechers: Some(1),
            peers: vec!["127.0.0.1:6881".parse().unwrap()],
            warning: None,
            tracker_id: None,
        }
    }

    fn ask(sessions: &mut Sessions, server: &str, waits: &[Duration]) -> Result<AnnounceResponse> {
        let announce = AnnounceRequest {
            info_hash: InfoHash([b'h'; 20]),
            peer_id: PeerId(*b"-KR0001-abcdefghijkl"),
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: None,
            num_want: Some(50),
            key: 1,
            tracker_id: None,
        };
        sessions.announce(server, None, &announce, waits, &mut Rng::with_seed(1))
    }

    fn is_connect(request: &Request) -> bool {
        matches!(request, Request::Connect { .. })
    }

    #[test]
    fn a_connection_id_is_used_again() {
        let (server, requests) = scripted(|request| vec![answer(&request).encode(Family::V4)]);
        let mut sessions = Sessions::default();
        assert_eq!(ask(&mut sessions, &server, PATIENT).unwrap(), response(9));
        assert_eq!(ask(&mut sessions, &server, PATIENT).unwrap(), response(9));
        let connects: Vec<_> = requests.try_iter().map(|request| is_connect(&request)).collect();
        assert_eq!(connects, [true, false, false]);
    }

    #[test]
    fn a_connection_id_is_not_used_for_longer_than_a_minute() {
        let (server, requests) = scripted(|request| vec![answer(&request).encode(Family::V4)]);
        let mut sessions = Sessions::default();
        ask(&mut sessions, &server, PATIENT).unwrap();
        let session = sessions.0.values_mut().next().unwrap();
        let Some((_, until)) = &mut session.connection else { panic!("it is connected") };
        assert!(*until <= Instant::now() + Duration::from_secs(60));
        *until = Instant::now();
        ask(&mut sessions, &server, PATIENT).unwrap();
        let connects = requests.try_iter().filter(is_connect).count();
        assert_eq!(connects, 2);
    }

    #[test]
    fn a_lost_packet_is_sent_again() {
        for lost in 0..2 {
            let mut count = 0;
            let (server, _) = scripted(move |request| {
                count += 1;
                if count == lost + 1 { vec![] } else { vec![answer(&request).encode(Family::V4)] }
            });
            let waits = [50, 200, 1_000, 20_000].map(Duration::from_millis);
            assert_eq!(ask(&mut Sessions::default(), &server, &waits).unwrap(), response(9));
        }
    }

    #[test]
    fn what_answers_nothing_that_was_asked_is_ignored() {
        let (server, _) = scripted(|request| {
            let other = match answer(&request) {
                Response::Connect { transaction_id, .. } => {
                    // The wrong answer to the right number.
                    Response::Announce { transaction_id, response: response(1) }
                }
                Response::Announce { transaction_id, .. } => {
                    let transaction_id = transaction_id.wrapping_add(1);
                    Response::Announce { transaction_id, response: response(1) }
                }
                Response::Scrape { .. } | Response::Error { .. } => panic!("no such answer"),
            };
            let error = Response::Error { transaction_id: 0, message: "not for you".into() };
            let garbage = vec![0xff; 3];
            let true_one = answer(&request).encode(Family::V4);
            vec![garbage, other.encode(Family::V4), error.encode(Family::V4), true_one]
        });
        assert_eq!(ask(&mut Sessions::default(), &server, PATIENT).unwrap(), response(9));
    }

    #[test]
    fn an_error_of_the_tracker_is_shown_and_ends_the_session() {
        let (server, requests) = scripted(|request| {
            let response = match request {
                Request::Announce { transaction_id, .. } => {
                    Response::Error { transaction_id, message: "go away".into() }
                }
                Request::Connect { .. } | Request::Scrape { .. } => answer(&request),
            };
            vec![response.encode(Family::V4)]
        });
        let mut sessions = Sessions::default();
        for _ in 0..2 {
            let error = ask(&mut sessions, &server, PATIENT).unwrap_err().to_string();
            assert_eq!(error, "the tracker says: go away");
        }
        assert_eq!(requests.try_iter().filter(is_connect).count(), 2);
    }

    #[test]
    fn a_silent_tracker_is_given_up() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap().to_string();
        let waits = [Duration::from_millis(10), Duration::from_millis(20)];
        let error = ask(&mut Sessions::default(), &server, &waits).unwrap_err().to_string();
        assert_eq!(error, "no answer within 30ms");
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        let packets = std::iter::from_fn(|| socket.recv(&mut buffer).ok());
        assert_eq!(packets.collect::<Vec<_>>(), [16, 16]);
    }
}
