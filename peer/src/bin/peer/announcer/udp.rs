//! Announces in packets (BEP 15): first a connection id, then the announce with it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use common::announce::udp::{Request, Response};
use common::announce::{AnnounceRequest, AnnounceResponse, Family};
use fastrand::Rng;
use log::debug;

use crate::io_error;

/// Most addresses of one tracker that are tried.
const MAX_ADDRESSES: usize = 4;

/// Any datagram fits.
const BUFFER_LENGTH: usize = 64 * 1024;

/// Announces to the tracker of a URL, given without `udp://`.
///
/// Sends a packet as often as there are `waits`, and waits that long each time.
pub(super) fn announce(
    url: &str,
    bind: Option<IpAddr>,
    announce: &AnnounceRequest,
    waits: &[Duration],
    rng: &mut Rng,
) -> Result<AnnounceResponse> {
    let server = url.split(['/', '?', '#']).next().filter(|server| !server.is_empty());
    let server = server.context("missing host")?;
    let addresses = server.to_socket_addrs().with_context(|| format!("cannot resolve {server}"))?;
    let addresses: Vec<_> = addresses
        .filter(|address| bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4()))
        .take(MAX_ADDRESSES)
        .collect();
    announce_to(&addresses, bind, announce, waits, rng)
}

/// Announces to the first address that answers. The addresses share each wait, so that one that is
/// silent leaves time for the others.
fn announce_to(
    addresses: &[SocketAddr],
    bind: Option<IpAddr>,
    announce: &AnnounceRequest,
    waits: &[Duration],
    rng: &mut Rng,
) -> Result<AnnounceResponse> {
    let mut last_error = anyhow!("the tracker has no address of our family");
    let mut usable = addresses.to_vec();
    for wait in waits {
        let mut silent = Vec::new();
        for &address in &usable {
            let deadline = Instant::now()
                + *wait / u32::try_from(usable.len()).expect("at most MAX_ADDRESSES");
            let answer = Exchange::open(address, bind, deadline)
                .and_then(|exchange| exchange.announce(announce, rng));
            match answer {
                Ok(Some(response)) => return Ok(response),
                Ok(None) => silent.push(address),
                Err(error) => last_error = error,
            }
        }
        if silent.is_empty() {
            return Err(last_error);
        }
        usable = silent;
    }
    bail!("no answer within {:?}", waits.iter().sum::<Duration>())
}

/// One try with one address of a tracker.
#[derive(Debug)]
struct Exchange {
    /// Connected: packets from other addresses do not reach us.
    socket: UdpSocket,
    address: SocketAddr,
    deadline: Instant,
}

impl Exchange {
    fn open(address: SocketAddr, bind: Option<IpAddr>, deadline: Instant) -> Result<Self> {
        let local = bind.unwrap_or(match Family::of(address) {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        });
        let socket =
            UdpSocket::bind((local, 0)).with_context(|| format!("cannot send from {local}"))?;
        socket.connect(address).with_context(|| format!("cannot reach {address}"))?;
        Ok(Self { socket, address, deadline })
    }

    /// Connects and announces; `None` if there is no answer at the deadline.
    ///
    /// A lost packet costs both steps: the connection id may have expired meanwhile.
    fn announce(
        &self,
        announce: &AnnounceRequest,
        rng: &mut Rng,
    ) -> Result<Option<AnnounceResponse>> {
        let sent = rng.u32(..);
        let request = Request::Connect { transaction_id: sent };
        let connection_id = self.send(&request, sent, |answer| match answer {
            Response::Connect { transaction_id, connection_id } => {
                Some((transaction_id, connection_id))
            }
            Response::Announce { .. } | Response::Scrape { .. } | Response::Error { .. } => None,
        })?;
        let Some(connection_id) = connection_id else { return Ok(None) };

        let sent = rng.u32(..);
        let announce = announce.clone();
        let request = Request::Announce { connection_id, transaction_id: sent, announce };
        self.send(&request, sent, |answer| match answer {
            Response::Announce { transaction_id, response } => Some((transaction_id, response)),
            Response::Connect { .. } | Response::Scrape { .. } | Response::Error { .. } => None,
        })
    }

    /// Sends a request, and returns its answer. `read` takes the transaction id and the content out
    /// of a packet of the right kind.
    fn send<T>(
        &self,
        request: &Request,
        sent: u32,
        read: impl Fn(Response) -> Option<(u32, T)>,
    ) -> Result<Option<T>> {
        self.socket.send(&request.encode()).context("cannot send")?;
        let mut buffer = vec![0; BUFFER_LENGTH];
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left)).context("cannot set a timeout")?;
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if is_no_answer_yet(&error) => continue,
                Err(error) => bail!("cannot receive: {}", io_error::describe(&error)),
            };
            match Response::decode(&buffer[..length], Family::of(self.address)) {
                Ok(Response::Error { transaction_id, message }) if transaction_id == sent => {
                    bail!("the tracker says: {message}")
                }
                Ok(answer) => match read(answer) {
                    Some((transaction_id, content)) if transaction_id == sent => {
                        return Ok(Some(content));
                    }
                    Some(_) | None => debug!("{}: not an answer to our request", self.address),
                },
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

    use super::super::tests::{announce, response};
    use super::*;

    const LONG: &[Duration] = &[Duration::from_secs(20)];

    /// A tracker that answers each request with the packets of `respond`: its address, and the
    /// requests that it received.
    fn scripted(
        mut respond: impl FnMut(Request) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (SocketAddr, Receiver<Request>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (got, requests) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let request = Request::decode(&buffer[..length]).unwrap();
                // A test may ignore them.
                let _ = got.send(request.clone());
                for packet in respond(request) {
                    socket.send_to(&packet, from).unwrap();
                }
            }
        });
        (address, requests)
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
            Request::Scrape { .. } => panic!("no test scrapes"),
        }
    }

    fn ask(addresses: &[SocketAddr], waits: &[Duration]) -> Result<AnnounceResponse> {
        announce_to(addresses, None, &announce(None), waits, &mut Rng::with_seed(1))
    }

    #[test]
    fn a_lost_packet_is_sent_again() {
        for lost in 0..2 {
            let mut count = 0;
            let (tracker, _) = scripted(move |request| {
                count += 1;
                if count == lost + 1 { vec![] } else { vec![answer(&request).encode(Family::V4)] }
            });
            let waits = [50, 200, 1_000, 20_000].map(Duration::from_millis);
            assert_eq!(ask(&[tracker], &waits).unwrap(), response(9));
        }
    }

    #[test]
    fn packets_that_answer_no_request_of_ours_are_ignored() {
        let (tracker, _) = scripted(|request| {
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
            let right = answer(&request).encode(Family::V4);
            vec![garbage, other.encode(Family::V4), error.encode(Family::V4), right]
        });
        assert_eq!(ask(&[tracker], LONG).unwrap(), response(9));
    }

    #[test]
    fn an_error_of_the_tracker_is_shown() {
        let (tracker, requests) = scripted(|request| {
            let response = match request {
                Request::Announce { transaction_id, .. } => {
                    Response::Error { transaction_id, message: "go away".into() }
                }
                Request::Connect { .. } | Request::Scrape { .. } => answer(&request),
            };
            vec![response.encode(Family::V4)]
        });
        let error = ask(&[tracker], &LONG.repeat(2)).unwrap_err().to_string();
        assert_eq!(error, "the tracker says: go away");
        assert_eq!(requests.try_iter().count(), 2);
    }

    #[test]
    fn a_silent_tracker_is_asked_again_and_then_times_out() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let waits = [10, 20].map(Duration::from_millis);
        let error = ask(&[socket.local_addr().unwrap()], &waits).unwrap_err().to_string();
        assert_eq!(error, "no answer within 30ms");
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        let packets = std::iter::from_fn(|| socket.recv(&mut buffer).ok());
        assert_eq!(packets.collect::<Vec<_>>(), [16, 16]);
    }

    #[test]
    fn a_silent_address_leaves_time_for_the_next() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (tracker, _) = scripted(|request| vec![answer(&request).encode(Family::V4)]);
        let waits = [100, 20_000].map(Duration::from_millis);
        let addresses = [silent.local_addr().unwrap(), tracker];
        assert_eq!(ask(&addresses, &waits).unwrap(), response(9));
    }

    #[test]
    fn a_url_may_lack_a_host() {
        for url in ["", "/announce"] {
            let answer = super::announce(url, None, &announce(None), LONG, &mut Rng::with_seed(1));
            assert_eq!(answer.unwrap_err().to_string(), "missing host");
        }
    }
}
