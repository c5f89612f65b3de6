//! Why a peer makes no progress: one line for the user, printed when the cause changes.

use std::fmt;
use std::mem::discriminant;
use std::net::SocketAddr;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::moment::Moment;
use common::report::{AnnounceOutcome, DialReport, NeighborReport, Snapshot};

/// Watches a peer, and says what it waits for.
#[derive(Debug)]
pub(crate) struct Waiting {
    failures: Failures,
    /// Bytes downloaded when progress was last seen, and the time.
    progress: (u64, Moment),
    /// The cause that was printed, with the wait that it promised.
    told: Option<(Cause, Duration)>,
    next: Moment,
}

/// What only the shell knows of the failures that the core counts.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// What the trackers said or did.
    tracker: Option<String>,
    /// The address that failed last, and how.
    dial: Option<(SocketAddr, String)>,
}

/// Why no chunk arrives, or no peer can find a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    whys: Vec<Why>,
    next: Option<Next>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// Neighbors that unchoke us send nothing.
    Silent {
        neighbors: usize,
    },
    /// All neighbors that have a missing chunk choke us.
    Choked {
        neighbors: usize,
        choking: usize,
    },
    /// No neighbor has a missing chunk; `chunk` if only one is missing.
    NoneHas {
        neighbors: usize,
        missing: u32,
        chunk: Option<u32>,
    },
    Dialing {
        peers: usize,
    },
    DialsFailed {
        peers: usize,
        last: Option<(SocketAddr, Option<String>)>,
    },
    /// There are addresses to dial, but none of them is due.
    NoNeighbor,
    NoOtherPeer,
    NoAnswerYet,
    AnnounceFailed(String),
    NoTracker,
}

/// What the peer will do next, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    what: &'static str,
    at: Moment,
}

/// Pauses shorter than this are usual.
const PATIENCE: Duration = Duration::from_secs(5);

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Within twice this time, the time of the next try is not worth another line.
const SHORT_WAIT: Duration = Duration::from_secs(10);

impl Waiting {
    pub(crate) fn new() -> Self {
        Self {
            failures: Failures::default(),
            progress: (0, Moment::START),
            told: None,
            next: Moment::START,
        }
    }

    /// No tracker answered.
    pub(crate) fn announce_failed(&mut self, error: String) {
        self.failures.tracker = Some(error);
    }

    /// A peer that we dialed could not be reached, or did not stay.
    pub(crate) fn dial_failed(&mut self, address: SocketAddr, how: String) {
        self.failures.dial = Some((address, how));
    }

    /// When [`Self::look`] may have something new to say.
    pub(crate) fn next_due(&self) -> Moment {
        self.next
    }

    /// The line to print now, if there is one.
    ///
    /// A cause that stays is told again only when the next try is much later than was said, because
    /// the wait doubles with each failure.
    pub(crate) fn look(&mut self, snapshot: &Snapshot, now: Moment) -> Option<String> {
        if self.next > now {
            return None;
        }
        self.next = now + LOOK_INTERVAL;
        if self.progress.0 != snapshot.totals.downloaded {
            self.progress = (snapshot.totals.downloaded, now);
        }
        if now < self.progress.1 + PATIENCE {
            self.told = None;
            return None;
        }
        let Some(cause) = cause(snapshot, &self.failures) else {
            self.told = None;
            return None;
        };
        let wait = cause.next.map_or(Duration::ZERO, |next| next.at - now);
        let is_known =
            |(told, told_wait): &(Cause, Duration)| told.is_like(&cause) && wait < *told_wait * 2;
        if self.told.as_ref().is_some_and(is_known) {
            return None;
        }
        let line = format!("waiting: {}", cause.text(now));
        self.told = Some((cause, wait.max(SHORT_WAIT)));
        Some(line)
    }
}

/// Why this peer does not download, or cannot be found; `None` if nothing is amiss.
pub(crate) fn cause(snapshot: &Snapshot, failures: &Failures) -> Option<Cause> {
    let announce = snapshot.tracker.map(|tracker| tracker.last);
    let announce_failed = (announce == Some(Some(AnnounceOutcome::Failed))).then(|| {
        Why::AnnounceFailed(failures.tracker.clone().unwrap_or_else(|| "no answer".to_owned()))
    });
    let next_announce = |what| snapshot.tracker?.next.map(|at| Next { what, at });
    if snapshot.left == 0 {
        // A seed waits for nothing, but without a tracker no new peer finds it.
        return Some(Cause { whys: vec![announce_failed?], next: next_announce("trying again") });
    }
    let neighbors = &snapshot.neighbors;
    let holders: Vec<_> = neighbors.iter().filter(|neighbor| neighbor.am_interested).collect();
    if !holders.is_empty() {
        let why = withholding(&holders, neighbors.len())?;
        return Some(Cause { whys: vec![why], next: None });
    }

    // No neighbor can help, so the tracker should.
    let (why, next) = if !neighbors.is_empty() {
        (Some(none_has(&snapshot.have, neighbors.len())), next_announce("asking the tracker again"))
    } else if let Some((why, what)) = dialing(&snapshot.dials, failures) {
        let next_dial = snapshot.dials.next.map(|at| Next { what, at });
        (Some(why), next_dial.or_else(|| next_announce("asking the tracker again")))
    } else {
        match announce {
            None => (Some(Why::NoTracker), None),
            Some(None) => (Some(Why::NoAnswerYet), None),
            Some(Some(AnnounceOutcome::Answered)) => {
                (Some(Why::NoOtherPeer), next_announce("asking again"))
            }
            Some(Some(AnnounceOutcome::Failed)) => (None, next_announce("trying again")),
        }
    };
    Some(Cause { whys: why.into_iter().chain(announce_failed).collect(), next })
}

/// Why nothing comes from those of our neighbors that have a missing chunk, if nothing does.
fn withholding(holders: &[&NeighborReport], neighbors: usize) -> Option<Why> {
    let unchoking = || holders.iter().filter(|holder| !holder.peer_choking);
    match unchoking().count() {
        0 => Some(Why::Choked { neighbors, choking: holders.len() }),
        count => {
            unchoking().all(|holder| holder.snubbed).then_some(Why::Silent { neighbors: count })
        }
    }
}

fn none_has(have: &Bitfield, neighbors: usize) -> Why {
    let missing = have.piece_count() - have.count();
    let first_missing = (0..).zip(have.iter()).find(|(index, piece)| *index != piece.get());
    let first_missing = first_missing.map_or(have.count(), |(index, _)| index);
    Why::NoneHas { neighbors, missing, chunk: (missing == 1).then_some(first_missing) }
}

/// What becomes of the known addresses, and what is said of the next dial.
fn dialing(dials: &DialReport, failures: &Failures) -> Option<(Why, &'static str)> {
    if dials.in_progress > 0 {
        Some((Why::Dialing { peers: dials.in_progress }, "dialing again"))
    } else if dials.failing > 0 {
        let how = |address| {
            let failure = failures.dial.as_ref().filter(|(failed, _)| *failed == address);
            (address, failure.map(|(_, how)| how.clone()))
        };
        let last = dials.last_failed.map(how);
        Some((Why::DialsFailed { peers: dials.failing, last }, "trying again"))
    } else {
        (dials.idle > 0).then_some((Why::NoNeighbor, "dialing again"))
    }
}

impl Cause {
    /// Whether the other one would tell the user nothing new but numbers.
    fn is_like(&self, other: &Self) -> bool {
        self.whys.len() == other.whys.len()
            && self.whys.iter().zip(&other.whys).all(|(one, other)| one.is_like(other))
    }

    fn text(&self, now: Moment) -> String {
        let whys: Vec<_> = self.whys.iter().map(Why::to_string).collect();
        let mut text = whys.join(", and ");
        if let Some(Next { what, at }) = self.next
            && at > now
        {
            text.push_str(&format!("; {what} in {}", wait_text(at - now)));
        }
        text
    }
}

impl Why {
    fn is_like(&self, other: &Self) -> bool {
        if let (Self::AnnounceFailed(one), Self::AnnounceFailed(other)) = (self, other) {
            return one == other;
        }
        discriminant(self) == discriminant(other)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { neighbors: 1 } => {
                f.write_str("the neighbor that unchokes us has sent nothing for a minute")
            }
            Self::Silent { neighbors } => write!(
                f,
                "the {neighbors} neighbors that unchoke us have sent nothing for a minute"
            ),
            Self::Choked { neighbors: 1, .. } => {
                f.write_str("connected to 1 neighbor, which chokes us")
            }
            Self::Choked { neighbors, choking } if neighbors == choking => {
                write!(f, "connected to {neighbors} neighbors, all choke us")
            }
            Self::Choked { neighbors, choking: 1 } => write!(
                f,
                "connected to {neighbors} neighbors, the only one with a missing chunk chokes us"
            ),
            Self::Choked { neighbors, choking } => write!(
                f,
                "connected to {neighbors} neighbors, the {choking} with a missing chunk choke us"
            ),
            Self::NoneHas { neighbors, missing, chunk } => {
                match neighbors {
                    1 => f.write_str("1 neighbor, it does not have ")?,
                    _ => write!(f, "{neighbors} neighbors, none has ")?,
                }
                match chunk {
                    Some(chunk) => write!(f, "chunk {chunk}"),
                    None => write!(f, "any of the {missing} missing chunks"),
                }
            }
            Self::Dialing { peers: 1 } => f.write_str("dialing 1 peer"),
            Self::Dialing { peers } => write!(f, "dialing {peers} peers"),
            Self::DialsFailed { peers, last } => {
                let last = last.as_ref().map(|(address, how)| match how {
                    Some(how) => format!("{address}: {how}"),
                    None => address.to_string(),
                });
                match (peers, last) {
                    (1, Some(last)) => write!(f, "the only dial failed ({last})"),
                    (1, None) => f.write_str("the only dial failed"),
                    (_, Some(last)) => write!(f, "all {peers} dials failed (last: {last})"),
                    (_, None) => write!(f, "all {peers} dials failed"),
                }
            }
            Self::NoNeighbor => f.write_str("no neighbor is connected"),
            Self::NoOtherPeer => f.write_str("the tracker knows no other peer"),
            Self::NoAnswerYet => f.write_str("the tracker has not answered yet"),
            Self::AnnounceFailed(error) => write!(f, "cannot announce to the tracker ({error})"),
            Self::NoTracker => {
                f.write_str("the torrent has no tracker; name a peer to dial with --peer")
            }
        }
    }
}

/// Rounded up: when it says 1 s, there is a moment left.
fn wait_text(wait: Duration) -> String {
    let seconds = wait.as_millis().div_ceil(1000);
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

#[cfg(test)]
mod tests {
    use common::id::{PeerId, PeerKey};
    use common::report::{Direction, Identity, Totals, TrackerReport};

    use super::*;

    const REFUSED: &str = "http://127.0.0.1:6969/announce: connection refused";

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// A peer that lacks all of its eight chunks and has a tracker that it has not asked yet.
    fn alone() -> Snapshot {
        Snapshot {
            peer_id: PeerId([0; 20]),
            have: Bitfield::empty(8),
            left: 8,
            totals: Totals::default(),
            round: 0,
            endgame: false,
            neighbors: Vec::new(),
            in_progress: Vec::new(),
            dials: DialReport::default(),
            tracker: Some(TrackerReport::default()),
        }
    }

    /// After an announce that ended so; the next one is at 30 s.
    fn announced(last: AnnounceOutcome) -> Snapshot {
        Snapshot {
            tracker: Some(TrackerReport { last: Some(last), next: Some(at(30)) }),
            ..alone()
        }
    }

    fn choking(chunks: u32) -> NeighborReport {
        NeighborReport {
            identity: Identity {
                key: PeerKey(0),
                address: address(6881),
                peer_id: PeerId([1; 20]),
                name: None,
            },
            client: None,
            direction: Direction::Outgoing,
            am_choking: true,
            am_interested: chunks > 0,
            peer_choking: true,
            peer_interested: false,
            snubbed: false,
            on_parole: false,
            chunks,
            download_rate: 0,
            upload_rate: 0,
            downloaded: 0,
            uploaded: 0,
            rank: None,
            reason: None,
            requests: 0,
            queued_uploads: 0,
        }
    }

    fn unchoking(snubbed: bool) -> NeighborReport {
        NeighborReport { peer_choking: false, snubbed, ..choking(8) }
    }

    fn with(neighbors: &[NeighborReport]) -> Snapshot {
        let neighbors = neighbors.to_vec();
        Snapshot { neighbors, ..announced(AnnounceOutcome::Answered) }
    }

    fn failures() -> Failures {
        let dial = Some((address(7001), "connection refused".to_owned()));
        Failures { tracker: Some(REFUSED.to_owned()), dial }
    }

    /// What is said of it at 2 s.
    fn said(snapshot: &Snapshot) -> Option<String> {
        cause(snapshot, &failures()).map(|cause| cause.text(at(2)))
    }

    #[test]
    fn a_peer_whose_tracker_knows_no_other_says_when_it_asks_again() {
        assert_eq!(said(&alone()).unwrap(), "the tracker has not answered yet");
        let answered = announced(AnnounceOutcome::Answered);
        assert_eq!(
            said(&answered).unwrap(),
            "the tracker knows no other peer; asking again in 28 s"
        );
        let no_tracker = Snapshot { tracker: None, ..alone() };
        assert_eq!(
            said(&no_tracker).unwrap(),
            "the torrent has no tracker; name a peer to dial with --peer"
        );
    }

    #[test]
    fn a_tracker_that_is_down_is_named_with_the_next_try() {
        let failed = announced(AnnounceOutcome::Failed);
        let down = format!("cannot announce to the tracker ({REFUSED})");
        assert_eq!(said(&failed).unwrap(), format!("{down}; trying again in 28 s"));
        // A seed needs it as well.
        let seed = Snapshot { left: 0, neighbors: vec![choking(0)], ..failed.clone() };
        assert_eq!(said(&seed).unwrap(), format!("{down}; trying again in 28 s"));
        // A peer that downloads can do without.
        let busy = Snapshot { neighbors: vec![unchoking(false)], ..failed };
        assert_eq!(said(&busy), None);
    }

    #[test]
    fn dials_that_fail_are_counted_and_the_last_one_is_named() {
        let mut snapshot = announced(AnnounceOutcome::Answered);
        snapshot.dials = DialReport { in_progress: 2, ..DialReport::default() };
        assert_eq!(said(&snapshot).unwrap(), "dialing 2 peers; asking the tracker again in 28 s");
        snapshot.dials = DialReport {
            failing: 4,
            next: Some(at(32)),
            last_failed: Some(address(7001)),
            ..DialReport::default()
        };
        assert_eq!(
            said(&snapshot).unwrap(),
            "all 4 dials failed (last: 127.0.0.1:7001: connection refused); trying again in 30 s"
        );
        snapshot.dials.failing = 1;
        snapshot.tracker = announced(AnnounceOutcome::Failed).tracker;
        assert_eq!(
            said(&snapshot).unwrap(),
            format!(
                "the only dial failed (127.0.0.1:7001: connection refused), \
                 and cannot announce to the tracker ({REFUSED}); trying again in 30 s"
            )
        );
        // How that one failed is not known.
        snapshot.dials.last_failed = Some(address(7002));
        assert!(said(&snapshot).unwrap().starts_with("the only dial failed (127.0.0.1:7002), "));
    }

    #[test]
    fn after_the_neighbors_have_left_they_are_dialed_again() {
        let mut snapshot = announced(AnnounceOutcome::Answered);
        snapshot.dials = DialReport { idle: 1, next: Some(at(600)), ..DialReport::default() };
        assert_eq!(said(&snapshot).unwrap(), "no neighbor is connected; dialing again in 10 min");
    }

    #[test]
    fn a_chunk_that_no_neighbor_has_is_named() {
        let again = "asking the tracker again in 28 s";
        let mut snapshot = with(&[choking(0)]);
        assert_eq!(
            said(&snapshot).unwrap(),
            format!("1 neighbor, it does not have any of the 8 missing chunks; {again}")
        );
        snapshot = with(&[choking(0), choking(0), choking(0)]);
        snapshot.have = Bitfield::from_bytes(&[0b1111_1110], 8).unwrap();
        assert_eq!(said(&snapshot).unwrap(), format!("3 neighbors, none has chunk 7; {again}"));
        snapshot.have = Bitfield::from_bytes(&[0b1101_1111], 8).unwrap();
        assert_eq!(said(&snapshot).unwrap(), format!("3 neighbors, none has chunk 2; {again}"));
    }

    #[test]
    fn a_peer_that_all_choke_is_told_so() {
        let said = |neighbors: &[NeighborReport]| said(&with(neighbors)).unwrap();
        assert_eq!(said(&[choking(8)]), "connected to 1 neighbor, which chokes us");
        assert_eq!(said(&[choking(8), choking(1)]), "connected to 2 neighbors, all choke us");
        assert_eq!(
            said(&[choking(8), choking(0)]),
            "connected to 2 neighbors, the only one with a missing chunk chokes us"
        );
        assert_eq!(
            said(&[choking(8), choking(8), choking(0)]),
            "connected to 3 neighbors, the 2 with a missing chunk choke us"
        );
    }

    #[test]
    fn a_neighbor_that_owes_us_blocks_is_a_cause_only_after_a_minute_of_silence() {
        assert_eq!(said(&with(&[unchoking(false), unchoking(true)])), None);
        assert_eq!(
            said(&with(&[unchoking(true), choking(8)])).unwrap(),
            "the neighbor that unchokes us has sent nothing for a minute"
        );
        assert_eq!(
            said(&with(&[unchoking(true), unchoking(true)])).unwrap(),
            "the 2 neighbors that unchoke us have sent nothing for a minute"
        );
    }

    /// What is printed at each second of a run.
    fn printed(snapshots: impl IntoIterator<Item = (u64, Snapshot)>) -> Vec<(u64, String)> {
        let mut waiting = Waiting { failures: failures(), ..Waiting::new() };
        let lines = snapshots.into_iter().map(|(second, snapshot)| {
            waiting.look(&snapshot, at(second)).map(|line| (second, line))
        });
        lines.flatten().collect()
    }

    #[test]
    fn a_cause_is_told_once_until_it_changes() {
        let lines = printed((0..30).map(|second| {
            let neighbors = u64::saturating_sub(second, 15);
            let neighbors = (0..neighbors).map(|_| choking(8)).collect::<Vec<_>>();
            (second, with(&neighbors))
        }));
        let seconds: Vec<_> = lines.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [5, 16], "{lines:?}");
        assert_eq!(lines[0].1, "waiting: the tracker knows no other peer; asking again in 25 s");
    }

    #[test]
    fn progress_ends_a_cause_and_a_pause_of_a_few_seconds_is_none() {
        let lines = printed((0..40).map(|second| {
            let mut snapshot = with(&[choking(8)]);
            // Chokes us from 20 s on; the blocks come every four seconds until then.
            snapshot.totals.downloaded = (second / 4).min(5);
            (second, snapshot)
        }));
        let seconds: Vec<_> = lines.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [25], "{lines:?}");
    }

    #[test]
    fn the_next_try_is_told_again_only_if_the_wait_has_doubled() {
        let lines = printed((0..400).map(|second| {
            let next = [15, 45, 105, 225, 465].into_iter().find(|&next| next > second);
            let mut snapshot = announced(AnnounceOutcome::Failed);
            snapshot.tracker.as_mut().unwrap().next = next.map(at);
            (second, snapshot)
        }));
        let waits: Vec<_> =
            lines.iter().map(|(_, line)| line.rsplit(" in ").next().unwrap()).collect();
        assert_eq!(waits, ["10 s", "30 s", "60 s", "2 min", "4 min"], "{lines:?}");

        let lines = printed((0..400).map(|second| {
            let mut snapshot = announced(AnnounceOutcome::Answered);
            // In progress for a second each time.
            let next = (second % 30 != 0).then(|| at(u64::next_multiple_of(second, 30)));
            snapshot.tracker.as_mut().unwrap().next = next;
            (second, snapshot)
        }));
        assert_eq!(lines.len(), 1, "{lines:?}");

        let lines = printed((0..100).map(|second| {
            let mut snapshot = announced(AnnounceOutcome::Answered);
            // In progress when it is told first.
            let next = (second % 5 != 0).then(|| at(u64::next_multiple_of(second, 5)));
            snapshot.tracker.as_mut().unwrap().next = next;
            (second, snapshot)
        }));
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}
