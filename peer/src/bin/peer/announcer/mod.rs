//! Announces to trackers, on threads that may block while the loop runs (K&R 2.5; BEP 3).
//!
//! | File | Content |
//! |---|---|
//! | `trackers.rs` | which tracker to ask, and when |
//! | `http.rs` | `http://` and `https://` trackers |
//! | `udp.rs` | `udp://` trackers |
//!
//! One thread decides; each attempt to reach a tracker runs on a short-lived thread of its own,
//! because even resolving a name blocks.

mod http;
mod trackers;
mod udp;

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use common::announce::{AnnounceRequest, AnnounceResponse, Event};
use fastrand::Rng;
use log::{debug, warn};

use crate::http_client;
use crate::node::Clock;
use trackers::{Stagger, Trackers};

/// Timeouts for trackers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    stagger: Stagger,
    /// From resolving a name to the last byte of an HTTP answer.
    http: Duration,
    /// For the answer to each UDP packet; it is sent as often as there are durations.
    udp: [Duration; 3],
    /// The longest time to wait for trackers on leaving. A tracker that misses `stopped` drops us
    /// later.
    leaving: Duration,
}

impl Timeouts {
    pub(crate) const USUAL: Self = Self {
        stagger: Stagger { first: Duration::from_secs(3), further: Duration::from_secs(1) },
        http: Duration::from_secs(20),
        // BEP 15 doubles the wait up to an hour, but there are other trackers.
        udp: [Duration::from_secs(15), Duration::from_secs(30), Duration::from_secs(60)],
        leaving: Duration::from_secs(2),
    };

    /// The time for an attempt to announce `stopped`.
    fn leaving(self) -> Self {
        Self { http: self.leaving, udp: [self.leaving / 3; 3], ..self }
    }
}

/// The thread that announces, as the loop sees it. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Announcer {
    inbox: Sender<Message>,
    leaving: Duration,
    /// Closed when the thread ends.
    ended: Receiver<()>,
}

/// What the thread receives.
#[derive(Debug)]
enum Message {
    Announce(AnnounceRequest),
    /// From the thread of an attempt.
    Ended {
        url: String,
        result: Result<AnnounceResponse>,
    },
    Quit,
}

impl Announcer {
    /// Starts the thread, which calls `outcome` once for each [`Self::announce`]: with the first
    /// answer, or with what each tracker said or did.
    ///
    /// Announces come from the address `bind`, since trackers list the address that they see;
    /// `None` or an unspecified one leaves the choice to the system.
    pub(crate) fn spawn(
        tiers: Vec<Vec<String>>,
        bind: Option<IpAddr>,
        timeouts: Timeouts,
        mut rng: Rng,
        outcome: impl Fn(Result<AnnounceResponse, String>) + Send + 'static,
    ) -> io::Result<Self> {
        let (inbox, messages) = channel();
        let (ends, ended) = channel();
        let trackers = Trackers::new(tiers, timeouts.stagger, &mut rng);
        // Binding to an unspecified address would tie us to its family.
        let bind = bind.filter(|ip| !ip.is_unspecified());
        let http = http_client::agent(bind);
        let attempts = Attempts { bind, http, timeouts, rng, ended: inbox.clone() };
        thread::Builder::new().name("announcer".into()).spawn(move || {
            run(trackers, attempts, &messages, outcome);
            drop(ends);
        })?;
        Ok(Self { inbox, leaving: timeouts.leaving, ended })
    }

    /// Starts an announce, once the last one has had its outcome. `stopped` has no outcome: it
    /// tells the trackers that know us that we leave, and returns within [`Timeouts::leaving`].
    pub(crate) fn announce(&self, request: AnnounceRequest) {
        let is_leaving = request.event == Some(Event::Stopped);
        // The thread ends before us only if it panicked, which stderr shows.
        if self.inbox.send(Message::Announce(request)).is_err() {
            warn!("cannot announce: the announcer's thread has ended");
        } else if is_leaving
            && self.ended.recv_timeout(self.leaving) == Err(RecvTimeoutError::Timeout)
        {
            debug!("a tracker is silent: leaving without telling it");
        }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        // After `stopped` the thread may have ended.
        let _ = self.inbox.send(Message::Quit);
    }
}

fn run(
    mut trackers: Trackers,
    mut attempts: Attempts,
    messages: &Receiver<Message>,
    outcome: impl Fn(Result<AnnounceResponse, String>),
) {
    let clock = Clock::start();
    while !trackers.has_left() {
        if let Some(ended) = trackers.take_outcome() {
            outcome(ended);
        }
        while let Some((url, request)) = trackers.start(clock.now()) {
            attempts.start(url, request);
        }
        let wait = trackers.next_start().map_or(Duration::MAX, |next| next - clock.now());
        match messages.recv_timeout(wait) {
            Ok(Message::Announce(request)) => trackers.announce(request, clock.now()),
            Ok(Message::Ended { url, result }) => trackers.ended(&url, result, clock.now()),
            Ok(Message::Quit) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Starts attempts, each on a thread.
struct Attempts {
    bind: Option<IpAddr>,
    http: ureq::Agent,
    timeouts: Timeouts,
    rng: Rng,
    ended: Sender<Message>,
}

impl Attempts {
    fn start(&mut self, url: String, request: AnnounceRequest) {
        let (bind, http, ended) = (self.bind, self.http.clone(), self.ended.clone());
        let name = url.clone();
        let timeouts = match request.event {
            Some(Event::Stopped) => self.timeouts.leaving(),
            Some(Event::Started | Event::Completed) | None => self.timeouts,
        };
        let mut rng = self.rng.fork();
        let attempt = move || {
            let (scheme, rest) = url.split_once("://").unwrap_or_default();
            let result = match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => http::announce(&http, &url, &request, timeouts.http),
                "udp" => udp::announce(rest, bind, &request, &timeouts.udp, &mut rng),
                _ => Err(anyhow!("only http, https and udp trackers are supported")),
            };
            // The announcer does not wait for attempts when it ends.
            let _ = ended.send(Message::Ended { url, result });
        };
        if let Err(error) = thread::Builder::new().name("announce".into()).spawn(attempt) {
            let result = Err(error).context("cannot start a thread");
            self.ended
                .send(Message::Ended { url: name, result })
                .expect("our loop holds the inbox");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
    use std::time::Instant;

    use common::id::{InfoHash, PeerId};
    use tracker::server::{Config, Server};

    use super::http::tests::{answering, ok, scripted};
    use super::*;

    pub(super) fn announce(event: Option<Event>) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash([b'h'; 20]),
            peer_id: PeerId(*b"-KR0001-abcdefghijkl"),
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event,
            num_want: Some(50),
            key: 1,
            tracker_id: None,
        }
    }

    pub(super) fn response(interval: u32) -> AnnounceResponse {
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

    /// An announcer for these tiers of one tracker each.
    fn announcer(
        urls: &[String],
        timeouts: Timeouts,
    ) -> (Announcer, Receiver<Result<AnnounceResponse, String>>) {
        let (tell, outcomes) = channel();
        let tiers = urls.iter().map(|url| vec![url.clone()]).collect();
        let tell = move |outcome| {
            // The test may have ended.
            let _ = tell.send(outcome);
        };
        let announcer = Announcer::spawn(tiers, None, timeouts, Rng::with_seed(1), tell);
        (announcer.unwrap(), outcomes)
    }

    /// Longer than any test should run.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn peers_find_each_other_through_our_tracker_until_they_leave() {
        for scheme in ["http", "udp"] {
            let config = Config {
                addresses: vec![Ipv4Addr::LOCALHOST.into()],
                port: 0,
                ..Config::default()
            };
            let server = Server::bind(&config).unwrap();
            let url = format!("{scheme}://127.0.0.1:{}/announce", server.port());
            let stop = server.stop_handle();
            let serving = thread::spawn(|| server.run());

            let peer = |port: u16| {
                let (announcer, outcomes) = announcer(std::slice::from_ref(&url), Timeouts::USUAL);
                let peer_id = PeerId::from_random([port.to_be_bytes()[1]; 12]);
                let request = AnnounceRequest { port, peer_id, ..announce(None) };
                (announcer, outcomes, request)
            };
            let peers_of =
                |(announcer, outcomes, request): &(Announcer, Receiver<Result<_, _>>, _)| {
                    announcer.announce(AnnounceRequest::clone(request));
                    let response: AnnounceResponse = outcomes.recv_timeout(LONG).unwrap().unwrap();
                    assert_eq!(response.interval, 120);
                    response.peers
                };
            let (alice, bob) = (peer(1111), peer(2222));
            let none: [SocketAddr; 0] = [];
            assert_eq!(peers_of(&alice), none);
            assert_eq!(peers_of(&bob), ["127.0.0.1:1111".parse().unwrap()]);
            alice.0.announce(AnnounceRequest { event: Some(Event::Stopped), ..alice.2 });
            assert_eq!(peers_of(&bob), none, "{scheme}");

            stop.stop();
            serving.join().unwrap().unwrap();
        }
    }

    #[test]
    fn three_silent_trackers_do_not_hide_the_peers_of_a_working_one() {
        let udp = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        // The system accepts for a listener that does not.
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let (good, _) = answering(ok("d8:intervali9e5:peers6:\x7f\0\0\x01\x1a1e"));
        let [a, b] = udp.each_ref().map(|socket| format!("udp://{}", socket.local_addr().unwrap()));
        let c = format!("http://{}/announce", tcp.local_addr().unwrap());

        let soon = Duration::from_millis(5);
        let stagger = Stagger { first: soon, further: soon };
        let (announcer, outcomes) =
            announcer(&[a, b, c, good], Timeouts { stagger, ..Timeouts::USUAL });
        announcer.announce(announce(Some(Event::Started)));
        let response = outcomes.recv_timeout(LONG).unwrap().unwrap();
        assert_eq!(response.peers, ["127.0.0.1:6705".parse().unwrap()]);
    }

    #[test]
    fn when_no_tracker_answers_each_says_why() {
        let (refuses, _) = answering(ok("d14:failure reason2:noe"));
        let urls = [refuses.clone(), "ftp://x/".into(), "udp:///".into()];
        let (announcer, outcomes) = announcer(&urls, Timeouts::USUAL);
        announcer.announce(announce(None));
        let error = format!(
            "{refuses}: the tracker says: no; \
             ftp://x/: only http, https and udp trackers are supported; udp:///: missing host"
        );
        assert_eq!(outcomes.recv_timeout(LONG), Ok(Err(error)));
        drop(announcer);
        assert_eq!(outcomes.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn leaving_does_not_wait_for_a_silent_tracker() {
        // One that never answered does not know us.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/announce", silent.local_addr().unwrap());
        let (peer, _) = announcer(&[url], Timeouts { leaving: LONG, ..Timeouts::USUAL });
        let begin = Instant::now();
        peer.announce(announce(Some(Event::Started)));
        peer.announce(announce(Some(Event::Stopped)));
        assert!(begin.elapsed() < LONG / 2);

        // One that answered only the first time delays us, but not for long.
        let mut answers = vec![ok("d8:intervali9ee")];
        let (url, heads) = scripted(move |stream| match answers.pop() {
            Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
            None => _ = stream.read_to_end(&mut Vec::new()),
        });
        // Enough for the request even on a busy machine.
        let leaving = Duration::from_secs(1);
        let (peer, outcomes) = announcer(&[url], Timeouts { leaving, ..Timeouts::USUAL });
        peer.announce(announce(Some(Event::Started)));
        outcomes.recv_timeout(LONG).unwrap().unwrap();
        let begin = Instant::now();
        peer.announce(announce(Some(Event::Stopped)));
        assert!(begin.elapsed() < LONG / 2);
        let heads: Vec<_> = heads.try_iter().collect();
        assert!(heads.iter().any(|head| head.contains("event=stopped")), "{heads:?}");
    }
}
