//! The loop that waits for the network: one mio poll for HTTP and UDP, on as many addresses as
//! asked for (K&R 2.7).
//!
//! | File | What |
//! |---|---|
//! | `mod.rs` | the loop |
//! | `listen.rs` | listening sockets |
//! | `connection.rs` | one HTTP connection: read, answer, close |
//! | `folder.rs` | the thread that reads the folder of .torrent files |
//!
//! Every resource that strangers can exhaust has a bound in [`Limits`] or in [`swarms::Limits`].

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a shell: it reads the clock and owns the sockets"
)]

mod connection;
mod folder;
pub mod listen;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use fastrand::Rng;
use log::{debug, warn};
use mio::{Events, Interest, Poll, Token, Waker};

use common::moment::Moment;

use crate::responder::Responder;
use crate::swarms::{self, Swarms};
use connection::Connection;
use folder::Watch;
use listen::{Endpoint, listen};

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on; none means all of the machine.
    pub addresses: Vec<IpAddr>,
    /// The port for HTTP and UDP; 0 means any that is free for both.
    pub port: u16,
    /// How often peers are asked to announce, in whole seconds.
    pub interval: Duration,
    /// A folder whose .torrent files are offered for download.
    pub torrents: Option<PathBuf>,
    /// Gets a line for each peer that joins, completes or leaves. The server never waits for its
    /// receiver; see [`crate::notices`].
    pub notices: Option<SyncSender<String>>,
    /// Bounds on connections.
    pub limits: Limits,
    /// Bounds on the swarms.
    pub swarm_limits: swarms::Limits,
}

impl Default for Config {
    /// Port 6969 of all addresses, an interval of two minutes.
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            port: 6969,
            interval: Duration::from_secs(120),
            torrents: None,
            notices: None,
            limits: Limits::default(),
            swarm_limits: swarms::Limits::default(),
        }
    }
}

/// Bounds on HTTP connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; above, the oldest is closed.
    pub connections: usize,
    /// The same for one IPv4 address, or one IPv6 network of 64 bits.
    pub connections_per_ip: usize,
    /// How long a connection may last, from accept to close; one that downloads a file has more
    /// time.
    pub request_time: Duration,
}

impl Default for Limits {
    /// Below the 1024 descriptors that many systems allow a process; enough from one address for a
    /// class behind a NAT that downloads and announces.
    fn default() -> Self {
        Self { connections: 900, connections_per_ip: 300, request_time: Duration::from_secs(10) }
    }
}

/// Why a server does not start, or stops by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// As configured; port 0 stands for any.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// A folder of .torrent files that cannot be read.
    #[error("cannot read the folder {}", path.display())]
    Folder {
        /// As configured.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The system's poll fails.
    #[error("cannot wait for network events")]
    Poll(#[from] io::Error),
}

/// A tracker that is listening; what arrives before [`Server::run`] waits.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    /// The start of its clock.
    started: Instant,
    stop: StopHandle,
    endpoints: Vec<Endpoint>,
    connections: BTreeMap<Token, Connection>,
    /// The token of the next connection; none is used twice.
    next_token: usize,
    /// Sockets that may be ready.
    ready: BTreeSet<Token>,
    /// Sockets that failed for lack of something that may become free again, such as descriptors.
    resting: BTreeSet<Token>,
    rest_until: Option<Moment>,
    next_expiry: Moment,
    responder: Responder,
    torrents: Option<Watch>,
    limits: Limits,
    buffer: Vec<u8>,
}

/// Stops a server from another thread.
#[derive(Clone, Debug)]
pub struct StopHandle {
    stopped: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl StopHandle {
    /// Makes [`Server::run`] return soon.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            warn!("cannot wake the tracker: {error}");
        }
    }
}

const WAKER: Token = Token(0);

/// Datagrams and new connections taken from one socket in one turn, so that a flood on one does
/// not starve the others.
const BUDGET: usize = 32;

/// Enough for any datagram: none is cut, which on some systems is an error.
const BUFFER_LENGTH: usize = 64 * 1024;

/// How often silent peers are removed.
const EXPIRY_PERIOD: Duration = Duration::from_secs(10);

/// How long a socket rests after an error that may pass.
const REST: Duration = Duration::from_millis(200);

impl Server {
    /// Reads the folder of .torrent files and binds the addresses. From here on clients can connect.
    pub fn bind(config: &Config) -> Result<Self, ServerError> {
        let mut endpoints = listen(&config.addresses, config.port)?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        for (number, endpoint) in endpoints.iter_mut().enumerate() {
            let [tcp, udp] = tokens(number);
            poll.registry().register(&mut endpoint.tcp, tcp, Interest::READABLE)?;
            poll.registry().register(&mut endpoint.udp, udp, Interest::READABLE)?;
        }
        let swarms = Swarms::new(config.interval, config.swarm_limits);
        let mut responder = Responder::new(swarms, Rng::new(), config.notices.clone());
        let torrents = match &config.torrents {
            None => None,
            Some(path) => {
                let (watch, catalog) = Watch::start(path, Arc::clone(&waker))
                    .map_err(|source| ServerError::Folder { path: path.clone(), source })?;
                responder.set_catalog(catalog);
                Some(watch)
            }
        };
        let [next_token, _] = tokens(endpoints.len());
        Ok(Self {
            poll,
            started: Instant::now(),
            stop: StopHandle { stopped: Arc::default(), waker },
            endpoints,
            connections: BTreeMap::new(),
            next_token: next_token.0,
            ready: BTreeSet::new(),
            resting: BTreeSet::new(),
            rest_until: None,
            next_expiry: Moment::START + EXPIRY_PERIOD,
            responder,
            torrents,
            limits: config.limits,
            buffer: vec![0; BUFFER_LENGTH],
        })
    }

    /// The addresses that it listens on, each for TCP and UDP.
    pub fn local_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints.iter().map(|endpoint| endpoint.address)
    }

    /// The port, the same for all addresses.
    pub fn port(&self) -> u16 {
        self.local_addresses().next().expect("a server has an address").port()
    }

    /// Ends [`Self::run`].
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Serves until it is stopped.
    pub fn run(mut self) -> Result<(), ServerError> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                done => done?,
            }
            if self.stop.stopped.load(Ordering::Acquire) {
                return Ok(());
            }
            let now = self.now();
            self.ready.extend(events.iter().map(mio::event::Event::token));
            if self.rest_until.is_some_and(|until| until <= now) {
                self.rest_until = None;
                self.ready.append(&mut self.resting);
            }
            if let Some(catalog) = self.torrents.as_ref().and_then(Watch::news) {
                self.responder.set_catalog(catalog);
            }
            self.serve_ready(now);
            self.drop_late_connections(now);
            if self.next_expiry <= now {
                self.next_expiry = now + EXPIRY_PERIOD;
                self.responder.expire(now);
            }
            self.responder.flush_notices(now);
        }
    }

    /// The poll timeout.
    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let notices = self.responder.next_timeout();
        let moments = [self.first_deadline(), self.rest_until, notices, Some(self.next_expiry)];
        let next = moments.into_iter().flatten().min()?;
        Some(next - self.now())
    }

    fn now(&self) -> Moment {
        Moment::START + self.started.elapsed()
    }

    /// Gives each ready socket one turn; one that has more to do after it stays ready.
    fn serve_ready(&mut self, now: Moment) {
        for token in std::mem::take(&mut self.ready) {
            if self.resting.contains(&token) {
                // More clients have come meanwhile: no reason to fail, and to warn, once for each.
                continue;
            }
            // As `tokens` numbers them.
            let outcome = match token.0.checked_sub(1) {
                None => Outcome::Waits,
                Some(number) if number / 2 >= self.endpoints.len() => self.turn(token, now),
                Some(number) if number % 2 == 0 => self.accept(number / 2, now),
                Some(number) => self.answer_datagrams(number / 2, now),
            };
            match outcome {
                Outcome::Waits => {}
                Outcome::HasMore => {
                    self.ready.insert(token);
                }
                Outcome::Rests => {
                    self.resting.insert(token);
                    self.rest_until.get_or_insert(now + REST);
                }
            }
        }
    }

    fn accept(&mut self, number: usize, now: Moment) -> Outcome {
        for _ in 0..BUDGET {
            let (mut stream, from) = match self.endpoints[number].tcp.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Outcome::Waits,
                Err(error) if is_of_one_client(&error) => continue,
                Err(error) => {
                    // Out of descriptors, most likely.
                    warn!("cannot accept a connection, trying again soon: {error}");
                    return Outcome::Rests;
                }
            };
            let ip = from.ip().to_canonical();
            if let Some(token) = self.to_evict(ip)
                && let Some(evicted) = self.connections.remove(&token)
            {
                debug!("{}: evicted, too many connections", evicted.ip);
            }
            let token = Token(self.next_token);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = self.poll.registry().register(&mut stream, token, interest) {
                warn!("cannot watch a connection, trying again soon: {error}");
                return Outcome::Rests;
            }
            self.next_token += 1;
            let deadline = now + self.limits.request_time;
            self.connections.insert(token, Connection::new(stream, ip, deadline));
            // Its first event comes by itself.
        }
        Outcome::HasMore
    }

    /// The connection to evict, if any, so that one more from this address is within the limits.
    fn to_evict(&self, ip: IpAddr) -> Option<Token> {
        let all = self.connections.iter();
        let same_network = all.clone().filter(|(_, other)| network(other.ip) == network(ip));
        to_evict(same_network, self.limits.connections_per_ip)
            .or_else(|| to_evict(all, self.limits.connections))
    }

    fn answer_datagrams(&mut self, number: usize, now: Moment) -> Outcome {
        let socket = &self.endpoints[number].udp;
        for _ in 0..BUDGET {
            let (length, from) = match socket.recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Outcome::Waits,
                Err(error) if is_of_one_client(&error) => continue,
                Err(error) => {
                    warn!("cannot receive datagrams, trying again soon: {error}");
                    return Outcome::Rests;
                }
            };
            if let Some(answer) = self.responder.udp(&self.buffer[..length], from, now)
                // A datagram may be lost anyway; the client asks again.
                && let Err(error) = socket.send_to(&answer, from)
            {
                debug!("{from}: answer not sent: {error}");
            }
        }
        Outcome::HasMore
    }

    fn turn(&mut self, token: Token, now: Moment) -> Outcome {
        // It may have ended since the event.
        let Some(connection) = self.connections.get_mut(&token) else { return Outcome::Waits };
        match connection.turn(&mut self.responder, now) {
            ControlFlow::Continue(outcome) => outcome,
            ControlFlow::Break(()) => {
                self.connections.remove(&token);
                Outcome::Waits
            }
        }
    }

    fn first_deadline(&self) -> Option<Moment> {
        self.connections.values().map(|connection| connection.deadline).min()
    }

    fn drop_late_connections(&mut self, now: Moment) {
        if self.first_deadline().is_some_and(|first| first <= now) {
            self.connections.retain(|_, connection| {
                let late = connection.deadline <= now;
                if late {
                    debug!("{}: took too long, closed", connection.ip);
                }
                !late
            });
        }
    }
}

/// The one of these connections to evict if they have reached the limit.
///
/// It is the oldest: a request takes a client a moment, so that one has either been answered or
/// sends its request slowly on purpose. To refuse the new connection instead would let one client
/// of an address lock out all others there. A download may take long, so it is spared as long as
/// downloads leave half of the places to others.
fn to_evict<'a>(
    connections: impl Iterator<Item = (&'a Token, &'a Connection)> + Clone,
    limit: usize,
) -> Option<Token> {
    if connections.clone().count() < limit {
        return None;
    }
    let downloads = connections.clone().filter(|(_, connection)| connection.sends_file()).count();
    let evict_download = downloads > limit / 2;
    // Tokens are given out in order: the oldest come first.
    connections
        .filter(|(_, connection)| connection.sends_file() == evict_download)
        .map(|(&token, _)| token)
        .next()
}

/// How a turn of a socket ended.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// It would block.
    Waits,
    /// The budget is used up.
    HasMore,
    /// It failed in a way that concerns all clients and may pass.
    Rests,
}

/// Errors of a shared socket that concern one client: a connection aborted before it was accepted,
/// or an earlier answer to a closed port (on Windows, a reset of the socket).
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

/// The tokens of an endpoint's TCP and UDP sockets. The waker's comes before the first, and those
/// of connections after the last.
fn tokens(endpoint: usize) -> [Token; 2] {
    [Token(1 + 2 * endpoint), Token(2 + 2 * endpoint)]
}

/// What one customer of a provider has: an IPv4 address, or 64 bits of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_an_ipv6_customer_count_as_one() {
        let network = |ip: &str| network(ip.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
