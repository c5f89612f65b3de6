//! Tells trackers about us, on a thread that may wait for them while the loop goes on (K&R 2.5;
//! BEP 3, 12).
//!
//! | File | Which trackers |
//! |---|---|
//! | `http.rs` | `http://` and `https://` |
//! | `connector.rs` | the sockets for these |
//! | `udp.rs` | `udp://` |
//!
//! Trackers come in tiers (BEP 12): within a tier they are asked in random order, the one that
//! answered last first; the next tier is only asked when no tracker of this one answers.

mod connector;
mod http;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use common::announce::{AnnounceRequest, AnnounceResponse, Event};
use common::id::{InfoHash, PeerId};
use fastrand::Rng;
use log::{debug, warn};

/// What stays the same in all announces of a run.
#[derive(Debug)]
pub(crate) struct Setup {
    /// URLs as the torrent has them.
    pub(crate) tiers: Vec<Vec<String>>,
    /// The swarm.
    pub(crate) info_hash: InfoHash,
    /// Our name.
    pub(crate) peer_id: PeerId,
    /// Where we accept peers; not 0.
    pub(crate) port: u16,
    /// Random: lets a tracker know us again after a change of address (BEP 7).
    pub(crate) key: u32,
    /// The address to announce from, because trackers take it from there; `None` or an unspecified
    /// one leaves it to the system.
    pub(crate) bind: Option<IpAddr>,
    /// For the order of trackers and the numbers of UDP transactions.
    pub(crate) rng: Rng,
}

/// How far we are, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Content sent to peers in this run.
    pub(crate) uploaded: u64,
    /// Content received from peers in this run.
    pub(crate) downloaded: u64,
    /// Content that is still missing.
    pub(crate) left: u64,
}

/// What came of an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A tracker answered.
    Announced {
        /// Until the next regular announce.
        interval: Duration,
        /// Not to announce earlier than this.
        min_interval: Option<Duration>,
        /// Others in the swarm.
        peers: Vec<SocketAddr>,
    },
    /// None did; the text says why, tracker by tracker.
    Failed {
        /// For people.
        error: String,
    },
}

/// The thread that announces, as the loop sees it.
#[derive(Debug)]
pub(crate) struct Announcer {
    requests: Sender<Request>,
    /// Closed when the thread ends.
    ended: Receiver<()>,
}

#[derive(Debug)]
struct Request {
    event: Option<Event>,
    num_want: u32,
    progress: Progress,
}

impl Announcer {
    /// Starts the thread. `outcome` is called on it once for each [`Self::announce`].
    ///
    /// # Errors
    ///
    /// If the system has no thread to give.
    pub(crate) fn spawn(
        setup: Setup,
        outcome: impl Fn(Outcome) + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, to_do) = channel();
        let (ends, ended) = channel();
        thread::Builder::new().name("announcer".into()).spawn(move || {
            Trackers::new(setup).serve(&to_do, outcome);
            drop(ends);
        })?;
        Ok(Self { requests, ended })
    }

    /// Asks for an announce. The outcome comes later: minutes later if trackers are silent.
    pub(crate) fn announce(&self, event: Option<Event>, num_want: u32, progress: Progress) {
        self.request(Request { event, num_want, progress });
    }

    /// Tells the tracker that knows us, if there is one, that we leave. Waits for that no longer
    /// than two seconds: then the thread is left to end with the process.
    pub(crate) fn stop(self, progress: Progress) {
        self.request(Request { event: Some(Event::Stopped), num_want: 0, progress });
        if self.ended.recv_timeout(STOP_TIME) == Err(RecvTimeoutError::Timeout) {
            debug!("a tracker is silent: leaving without telling it");
        }
    }

    fn request(&self, request: Request) {
        // The thread ends before us only if it panicked; it has said so on stderr.
        if self.requests.send(request).is_err() {
            warn!("cannot announce: the thread for it has ended");
        }
    }
}

/// What leaving may cost. A tracker that is not told notices the silence after some time.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Most trackers taken from one torrent: asking so many that are silent takes hours already.
const MAX_TRACKERS: usize = 100;

/// How long to wait for one tracker.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// From resolving its name to the last byte of the answer.
    http: Duration,
    /// After each time that a packet was sent.
    udp: &'static [Duration],
}

/// BEP 15: 15 s, then twice as long each time. It goes on for hours, but there are other trackers.
const USUAL: Patience = Patience {
    http: Duration::from_secs(20),
    udp: &[Duration::from_secs(15), Duration::from_secs(30), Duration::from_secs(60)],
};

const LEAVING: Patience =
    Patience { http: STOP_TIME, udp: &[Duration::from_secs(1), Duration::from_secs(1)] };

/// All trackers of the torrent; lives on the thread.
#[derive(Debug)]
struct Trackers {
    /// In each tier the next to ask is first.
    tiers: Vec<Vec<Tracker>>,
    /// The tier of which the first tracker was the last one to answer.
    answered: Option<usize>,
    setup: Setup,
    http: ureq::Agent,
}

#[derive(Debug)]
struct Tracker {
    url: String,
    /// Whether it has answered us.
    knows_us: bool,
    /// What it wants to hear again (BEP 3's `tracker id`).
    tracker_id: Option<Vec<u8>>,
    udp: udp::Sessions,
}

impl Trackers {
    fn new(mut setup: Setup) -> Self {
        // An unspecified address is none to announce from, and would tie us to its family.
        setup.bind = setup.bind.filter(|ip| !ip.is_unspecified());
        let mut tiers = std::mem::take(&mut setup.tiers);
        let mut room = MAX_TRACKERS;
        for tier in &mut tiers {
            tier.truncate(room);
            room -= tier.len();
            setup.rng.shuffle(tier); // BEP 12
        }
        let tracker =
            |url| Tracker { url, knows_us: false, tracker_id: None, udp: udp::Sessions::default() };
        let tiers = tiers.into_iter().map(|urls| urls.into_iter().map(tracker).collect());
        Self { tiers: tiers.collect(), answered: None, http: http::agent(setup.bind), setup }
    }

    /// Announces as asked, until told that we leave.
    fn serve(mut self, requests: &Receiver<Request>, outcome: impl Fn(Outcome)) {
        for request in requests {
            if request.event == Some(Event::Stopped) {
                self.leave(&request);
                return;
            }
            outcome(match self.announce(&request) {
                Ok(response) => Outcome::Announced {
                    interval: seconds(response.interval),
                    min_interval: response.min_interval.map(seconds),
                    peers: response.peers,
                },
                Err(error) => Outcome::Failed { error },
            });
        }
    }

    /// Asks one after the other until one answers.
    fn announce(&mut self, request: &Request) -> Result<AnnounceResponse, String> {
        let mut errors = Vec::new();
        for tier in 0..self.tiers.len() {
            for position in 0..self.tiers[tier].len() {
                match self.ask(tier, position, request, USUAL) {
                    Ok(response) => {
                        // BEP 12: the one that answers moves to the front of its tier.
                        self.tiers[tier][..=position].rotate_right(1);
                        self.answered = Some(tier);
                        return Ok(response);
                    }
                    Err(error) => {
                        errors.push(format!("{}: {error:#}", self.tiers[tier][position].url));
                    }
                }
            }
        }
        Err(if errors.is_empty() { "there is no tracker".into() } else { errors.join("; ") })
    }

    fn leave(&mut self, request: &Request) {
        if let Some(tier) = self.answered
            && let Err(error) = self.ask(tier, 0, request, LEAVING)
        {
            debug!("{}: {error:#}", self.tiers[tier][0].url);
        }
    }

    fn ask(
        &mut self,
        tier: usize,
        position: usize,
        request: &Request,
        patience: Patience,
    ) -> Result<AnnounceResponse> {
        let tracker = &mut self.tiers[tier][position];
        let Setup { info_hash, peer_id, port, key, bind, .. } = self.setup;
        let announce = AnnounceRequest {
            info_hash,
            peer_id,
            port,
            uploaded: request.progress.uploaded,
            downloaded: request.progress.downloaded,
            left: request.progress.left,
            // To a tracker that steps in for another one we are new.
            event: request.event.or((!tracker.knows_us).then_some(Event::Started)),
            num_want: Some(request.num_want),
            key,
            tracker_id: tracker.tracker_id.clone(),
        };
        let (scheme, rest) = tracker.url.split_once("://").unwrap_or_default();
        let response = match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => http::announce(&self.http, &tracker.url, &announce, patience.http)?,
            "udp" => {
                let Some(server) = rest.split(['/', '?', '#']).next().filter(|s| !s.is_empty())
                else {
                    bail!("the URL names no host")
                };
                let Setup { rng, .. } = &mut self.setup;
                tracker.udp.announce(server, bind, &announce, patience.udp, rng)?
            }
            _ => bail!("only http, https and udp trackers can be asked"),
        };
        tracker.knows_us = true;
        // BEP 3 does not say that it takes its id back by leaving it out.
        tracker.tracker_id = response.tracker_id.clone().or(tracker.tracker_id.take());
        if let Some(warning) = &response.warning {
            warn!("{}: {warning}", tracker.url);
        }
        Ok(response)
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "leaving is to end in time")]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Instant;

    use tracker::server::{Config, Server};

    use super::http::tests::answering;
    use super::*;

    const STILL_ALL: Progress = Progress { uploaded: 0, downloaded: 0, left: 1 };

    fn setup(port: u16, tiers: &[&[&str]]) -> Setup {
        let urls = |tier: &&[&str]| tier.iter().map(|&url| url.to_owned()).collect();
        Setup {
            tiers: tiers.iter().map(urls).collect(),
            info_hash: InfoHash([b'h'; 20]),
            peer_id: PeerId::from_random([b'p'; 12]),
            port,
            key: port.into(),
            bind: None,
            rng: Rng::with_seed(1),
        }
    }

    fn announcer(port: u16, url: &str) -> (Announcer, Receiver<Outcome>) {
        let (tell, outcomes) = channel();
        let announcer = Announcer::spawn(setup(port, &[&[url]]), move |outcome| {
            // A test may have seen enough.
            let _ = tell.send(outcome);
        });
        (announcer.unwrap(), outcomes)
    }

    fn regular() -> Request {
        Request { event: None, num_want: 50, progress: STILL_ALL }
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.0 200 OK\r\n\r\n{body}")
    }

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

            let (alice, alices) = announcer(1111, &url);
            let (bob, bobs) = announcer(2222, &url);
            let peers_of = |peer: &Announcer, outcomes: &Receiver<Outcome>, event| {
                peer.announce(event, 50, STILL_ALL);
                match outcomes.recv().unwrap() {
                    Outcome::Announced { interval, peers, .. } => {
                        assert_eq!(interval, Duration::from_secs(120));
                        peers
                    }
                    Outcome::Failed { error } => panic!("{error}"),
                }
            };
            let nobody: [SocketAddr; 0] = [];
            let just_alice = ["127.0.0.1:1111".parse().unwrap()];
            assert_eq!(peers_of(&alice, &alices, Some(Event::Started)), nobody);
            assert_eq!(peers_of(&bob, &bobs, Some(Event::Started)), just_alice);
            alice.stop(STILL_ALL);
            assert_eq!(peers_of(&bob, &bobs, None), nobody, "{scheme}");
            bob.stop(STILL_ALL);

            stop.stop();
            serving.join().unwrap().unwrap();
        }
    }

    #[test]
    fn the_tracker_that_answers_is_asked_first_from_then_on() {
        let (refuses, refused) = answering(ok("d14:failure reason2:noe"));
        let (answers, _) = answering(ok("d8:intervali9ee"));
        let (spare, unasked) = answering(ok("d8:intervali9ee"));
        let tiers: &[&[&str]] = &[&[&refuses], &[&refuses, &answers, &refuses], &[&spare]];
        let mut trackers = Trackers::new(setup(1111, tiers));
        trackers.announce(&regular()).unwrap();
        assert_eq!(trackers.tiers[1][0].url, answers);
        // Tier by tier: the first one has its chance again.
        refused.try_iter().for_each(drop);
        trackers.announce(&regular()).unwrap();
        assert_eq!(refused.try_iter().count(), 1);
        assert_eq!(unasked.try_iter().count(), 0);
    }

    #[test]
    fn a_tier_is_asked_in_random_order() {
        let first = |seed| {
            let setup = setup(1111, &[&["udp://a:1", "udp://b:1", "udp://c:1"]]);
            let trackers = Trackers::new(Setup { rng: Rng::with_seed(seed), ..setup });
            trackers.tiers[0][0].url.clone()
        };
        let firsts: std::collections::BTreeSet<_> = (0..30).map(first).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn no_torrent_brings_more_trackers_than_can_be_asked() {
        let tier = ["udp://a:1"; MAX_TRACKERS - 1];
        let trackers = Trackers::new(setup(1111, &[&tier, &tier, &tier]));
        assert_eq!(trackers.tiers.iter().flatten().count(), MAX_TRACKERS);
    }

    #[test]
    fn when_none_answers_each_says_why() {
        let (refuses, _) = answering(ok("d14:failure reason2:noe"));
        let mut trackers = Trackers::new(setup(1111, &[&[&refuses], &["ftp://x/"], &["udp:///"]]));
        assert_eq!(
            trackers.announce(&regular()).unwrap_err(),
            format!(
                "{refuses}: the tracker says: no; \
                 ftp://x/: only http, https and udp trackers can be asked; \
                 udp:///: the URL names no host"
            )
        );
    }

    #[test]
    fn a_tracker_hears_started_first_and_its_own_id_after_that() {
        let (url, heads) = answering(ok("d8:intervali9e10:tracker id2:t1e"));
        let mut trackers = Trackers::new(setup(1111, &[&[&url]]));
        trackers.announce(&regular()).unwrap();
        trackers.announce(&regular()).unwrap();
        let heads: Vec<_> = heads.try_iter().collect();
        assert!(heads[0].contains("&event=started") && !heads[0].contains("trackerid"));
        assert!(!heads[1].contains("&event=") && heads[1].contains("&trackerid=t1"));
    }

    #[test]
    fn leaving_does_not_wait_for_a_tracker_that_is_silent() {
        // The system accepts for a listener that does not.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/announce", silent.local_addr().unwrap());
        let begin = Instant::now();
        let (announcer, _) = announcer(1111, &url);
        announcer.announce(Some(Event::Started), 50, STILL_ALL);
        announcer.stop(STILL_ALL);
        let took = begin.elapsed();
        assert!(took < USUAL.http / 2, "{took:?}");
    }
}
