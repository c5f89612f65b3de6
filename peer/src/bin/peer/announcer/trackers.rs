//! When to ask which tracker (BEP 12); no socket and no clock.
//!
//! Trackers come in tiers. Each tier is shuffled once, and a tracker that answers moves to its
//! front. BEP 12 asks one tracker after the other; here a silent tracker does not hold up the rest:
//! after some seconds the next one, also of the next tier, is asked as well, and the first answer
//! is the outcome. Late answers still show which trackers work.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use common::announce::{AnnounceRequest, AnnounceResponse, Event};
use common::moment::Moment;
use fastrand::Rng;
use log::{debug, warn};

/// The trackers of a torrent, and the announce in progress.
#[derive(Debug)]
pub(super) struct Trackers {
    /// In the order to ask, tier by tier.
    list: Vec<Tracker>,
    stagger: Stagger,
    announce: Option<Announce>,
}

/// How long to wait for an answer before the next tracker is asked as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stagger {
    /// While no other attempt is in flight.
    pub(super) first: Duration,
    pub(super) further: Duration,
}

/// Most trackers taken from one torrent.
const MAX_TRACKERS: usize = 100;

/// Most attempts in flight, since each costs a thread; trackers that know us come on top.
const MAX_ATTEMPTS: usize = 40;

#[derive(Debug)]
struct Tracker {
    tier: usize,
    url: String,
    attempt: Attempt,
    /// It has answered, so it lists us until we leave.
    knows_us: bool,
    /// BEP 3's `tracker id`, to be sent back.
    tracker_id: Option<Vec<u8>>,
}

/// The attempt to reach a tracker in the announce in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Due,
    /// In flight for an earlier announce; due when it ends.
    Earlier,
    InFlight,
    Answered,
    Failed,
}

#[derive(Debug)]
struct Announce {
    request: AnnounceRequest,
    /// When to ask the next tracker.
    next: Moment,
    /// The first answer.
    answer: Option<AnnounceResponse>,
    failures: Vec<String>,
}

impl Announce {
    fn is_leaving(&self) -> bool {
        self.request.event == Some(Event::Stopped)
    }
}

impl Trackers {
    pub(super) fn new(tiers: Vec<Vec<String>>, stagger: Stagger, rng: &mut Rng) -> Self {
        let mut list = Vec::new();
        let mut seen = BTreeSet::new();
        for (tier, mut urls) in tiers.into_iter().enumerate() {
            urls.retain(|url| seen.len() < MAX_TRACKERS && seen.insert(url.clone()));
            rng.shuffle(&mut urls); // BEP 12
            list.extend(urls.into_iter().map(|url| Tracker {
                tier,
                url,
                attempt: Attempt::Due,
                knows_us: false,
                tracker_id: None,
            }));
        }
        Self { list, stagger, announce: None }
    }

    /// Starts an announce. It replaces one that has no outcome yet: only `stopped` comes so early.
    pub(super) fn announce(&mut self, request: AnnounceRequest, now: Moment) {
        for tracker in &mut self.list {
            tracker.attempt = match tracker.attempt {
                Attempt::InFlight | Attempt::Earlier => Attempt::Earlier,
                Attempt::Due | Attempt::Answered | Attempt::Failed => Attempt::Due,
            };
        }
        self.announce = Some(Announce { request, next: now, answer: None, failures: Vec::new() });
    }

    /// The attempt to start now, if there is one: the tracker's URL, and what to tell it.
    pub(super) fn start(&mut self, now: Moment) -> Option<(String, AnnounceRequest)> {
        self.next_start().filter(|&next| next <= now)?;
        let position = self.next_tracker()?;
        let is_first = self.list.iter().all(|tracker| tracker.attempt != Attempt::InFlight);
        let (announce, tracker) = (self.announce.as_mut()?, &mut self.list[position]);
        tracker.attempt = Attempt::InFlight;
        if !announce.is_leaving() {
            let Stagger { first, further } = self.stagger;
            announce.next = now + if is_first { first } else { further };
        }
        let event = announce.request.event;
        let request = AnnounceRequest {
            // A tracker that replaces another one does not know us yet.
            event: event.or((!tracker.knows_us).then_some(Event::Started)),
            tracker_id: tracker.tracker_id.clone(),
            ..announce.request.clone()
        };
        Some((tracker.url.clone(), request))
    }

    /// Records how an attempt ended.
    pub(super) fn ended(&mut self, url: &str, result: Result<AnnounceResponse>, now: Moment) {
        let Some(position) = self.list.iter().position(|tracker| tracker.url == url) else {
            return;
        };
        let tracker = &mut self.list[position];
        let is_current = tracker.attempt == Attempt::InFlight;
        tracker.attempt = match (is_current, &result) {
            (false, _) => Attempt::Due,
            (true, Ok(_)) => Attempt::Answered,
            (true, Err(_)) => Attempt::Failed,
        };
        let announce = self.announce.as_mut().filter(|_| is_current);
        // One attempt to say that we leave is enough, even if it fails.
        let left = announce.as_ref().is_some_and(|announce| announce.is_leaving());
        tracker.knows_us = !left && (tracker.knows_us || result.is_ok());

        match result {
            Ok(mut response) => {
                if let Some(warning) = &response.warning {
                    warn!("{url}: {warning}");
                }
                // BEP 3 does not say that a tracker withdraws its id by leaving it out.
                tracker.tracker_id = response.tracker_id.take().or(tracker.tracker_id.take());
                if let Some(announce) = announce {
                    announce.answer.get_or_insert(response);
                }
                if is_current {
                    self.move_ahead(position);
                }
            }
            Err(error) => {
                debug!("{url}: {error:#}");
                if let Some(announce) = announce {
                    let failure = format!("{url}: {error:#}");
                    announce.failures.push(failure.chars().take(MAX_FAILURE_LENGTH).collect());
                    announce.next = now;
                }
            }
        }
    }

    /// BEP 12: a tracker that answers moves to the front of its tier; here behind those that
    /// answered this announce sooner.
    fn move_ahead(&mut self, position: usize) {
        let tier = self.list[position].tier;
        let mut before = self.list[..position].iter();
        let front = before.position(|t| t.tier == tier && t.attempt != Attempt::Answered);
        self.list[front.unwrap_or(position)..=position].rotate_right(1);
    }

    /// The outcome of the announce, once: when the first tracker has answered or the last has
    /// failed.
    pub(super) fn take_outcome(&mut self) -> Option<Result<AnnounceResponse, String>> {
        let all_failed = self.list.iter().all(|tracker| tracker.attempt == Attempt::Failed);
        let can_end = |announce: &mut Announce| {
            !announce.is_leaving() && (announce.answer.is_some() || all_failed)
        };
        let announce = self.announce.take_if(can_end)?;
        Some(announce.answer.ok_or_else(|| explain(&announce.failures)))
    }

    /// Whether we are leaving, and no tracker remains that should hear of it.
    pub(super) fn has_left(&self) -> bool {
        let is_leaving = self.announce.as_ref().is_some_and(Announce::is_leaving);
        is_leaving && self.list.iter().all(|tracker| !tracker.knows_us)
    }

    /// When [`Self::start`] has an attempt to start, unless another one ends before.
    pub(super) fn next_start(&self) -> Option<Moment> {
        let announce = self.announce.as_ref()?;
        self.next_tracker().map(|_| announce.next)
    }

    fn next_tracker(&self) -> Option<usize> {
        let announce = self.announce.as_ref()?;
        let in_flight = |t: &&Tracker| matches!(t.attempt, Attempt::InFlight | Attempt::Earlier);
        let has_room = self.list.iter().filter(in_flight).count() < MAX_ATTEMPTS;
        // A tracker that knows us does not wait behind silent ones, and only such a tracker needs
        // to hear that we leave.
        let may_be_new = has_room && !announce.is_leaving();
        self.list.iter().position(|t| t.attempt == Attempt::Due && (t.knows_us || may_be_new))
    }
}

/// Bounds the text: URLs and reasons come from strangers.
const MAX_FAILURE_LENGTH: usize = 200;
const MAX_FAILURES: usize = 10;

/// Why no tracker answered, tracker by tracker.
fn explain(failures: &[String]) -> String {
    let shown = &failures[..failures.len().min(MAX_FAILURES)];
    match failures.len() - shown.len() {
        0 if shown.is_empty() => "the torrent has no tracker".into(),
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use anyhow::anyhow;

    use super::super::tests::{announce, response};
    use super::*;

    const STAGGER: Stagger =
        Stagger { first: Duration::from_secs(3), further: Duration::from_secs(1) };

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    fn trackers(tiers: Vec<Vec<String>>) -> Trackers {
        Trackers::new(tiers, STAGGER, &mut Rng::with_seed(1))
    }

    /// Each tracker in a tier of its own, so that the order is known.
    fn in_order(urls: impl IntoIterator<Item = impl Into<String>>) -> Trackers {
        trackers(urls.into_iter().map(|url| vec![url.into()]).collect())
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("udp://{n}")).collect()
    }

    /// The trackers that are asked now.
    fn asked(trackers: &mut Trackers, now: Moment) -> Vec<String> {
        iter::from_fn(|| trackers.start(now)).map(|(url, _)| url).collect()
    }

    /// Which tracker is asked when, in seconds, if none answers.
    fn schedule(trackers: &mut Trackers) -> Vec<(String, u64)> {
        let mut schedule = Vec::new();
        while let Some(next) = trackers.next_start() {
            let urls = asked(trackers, next);
            schedule.extend(urls.into_iter().map(|url| (url, next.since_start().as_secs())));
        }
        schedule
    }

    fn order(trackers: &mut Trackers) -> Vec<String> {
        schedule(trackers).into_iter().map(|(url, _)| url).collect()
    }

    #[test]
    fn silent_trackers_delay_the_next_one_by_seconds() {
        let mut trackers = in_order(names(11));
        trackers.announce(announce(None), at(0));
        let seconds = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let expected: Vec<_> = iter::zip(names(11), seconds).collect();
        assert_eq!(schedule(&mut trackers), expected);
    }

    #[test]
    fn silent_trackers_are_bounded_and_do_not_block_one_that_knows_us() {
        let urls = names(MAX_ATTEMPTS + 1);
        let (silent, works) = (&urls[..MAX_ATTEMPTS], &urls[MAX_ATTEMPTS]);
        let mut trackers = in_order(urls.clone());
        trackers.announce(announce(None), at(0));
        assert_eq!(order(&mut trackers), silent);
        trackers.ended(&silent[0], Err(anyhow!("no answer")), at(100));
        assert_eq!(asked(&mut trackers, at(100)), std::slice::from_ref(works));
        trackers.ended(works, Ok(response(7)), at(100));

        trackers.announce(announce(None), at(101));
        assert_eq!(order(&mut trackers), [silent[0].clone(), works.clone()]);
        trackers.ended(works, Ok(response(7)), at(105));
        trackers.announce(announce(Some(Event::Stopped)), at(106));
        assert_eq!(asked(&mut trackers, at(106)), std::slice::from_ref(works));
    }

    #[test]
    fn when_a_tracker_fails_the_next_is_asked_at_once() {
        let mut trackers = in_order(["a", "b", "c"]);
        trackers.announce(announce(None), at(0));
        assert_eq!(asked(&mut trackers, at(0)), ["a"]);
        trackers.ended("a", Err(anyhow!("no")), at(1));
        assert_eq!(asked(&mut trackers, at(1)), ["b"]);
        assert_eq!(trackers.next_start(), Some(at(4)));
    }

    #[test]
    fn the_first_answer_is_the_outcome_and_later_ones_only_count_for_the_order() {
        let mut trackers =
            trackers(vec![["a", "b", "c"].map(String::from).to_vec(), vec!["d".into()]]);
        trackers.announce(announce(None), at(0));
        let tier = order(&mut trackers);
        assert_eq!((tier.len(), tier[3].as_str()), (4, "d"));
        trackers.ended("d", Ok(response(7)), at(5));
        assert_eq!(trackers.take_outcome(), Some(Ok(response(7))));
        trackers.ended(&tier[2], Ok(response(8)), at(6));
        trackers.ended(&tier[1], Ok(response(9)), at(7));
        trackers.ended(&tier[0], Err(anyhow!("no answer")), at(8));
        assert_eq!(trackers.take_outcome(), None);

        trackers.announce(announce(None), at(60));
        assert_eq!(order(&mut trackers), [2, 1, 0, 3].map(|n: usize| tier[n].clone()));
    }

    #[test]
    fn a_tracker_still_silent_from_an_earlier_announce_is_asked_again_only_when_that_has_ended() {
        let mut trackers = in_order(["slow", "works"]);
        trackers.announce(announce(None), at(0));
        assert_eq!(asked(&mut trackers, at(0)), ["slow"]);
        assert_eq!(asked(&mut trackers, at(3)), ["works"]);
        trackers.ended("works", Ok(response(7)), at(3));
        assert!(trackers.take_outcome().is_some());

        trackers.announce(announce(None), at(10));
        assert_eq!(asked(&mut trackers, at(10)), ["works"]);
        trackers.ended("works", Err(anyhow!("no")), at(11));
        assert_eq!((trackers.next_start(), trackers.take_outcome()), (None, None));
        trackers.ended("slow", Err(anyhow!("no answer")), at(105));
        assert_eq!(asked(&mut trackers, at(105)), ["slow"]);
        trackers.ended("slow", Err(anyhow!("no answer")), at(210));
        let error = "works: no; slow: no answer".into();
        assert_eq!(trackers.take_outcome(), Some(Err(error)));
    }

    #[test]
    fn only_trackers_that_know_us_hear_that_we_leave() {
        let mut trackers = in_order(["dead", "silent", "busy", "works"]);
        trackers.announce(announce(None), at(0));
        for (url, second) in [("dead", 0), ("silent", 0), ("busy", 3), ("works", 4)] {
            assert_eq!(asked(&mut trackers, at(second)), [url]);
            match url {
                "dead" => trackers.ended(url, Err(anyhow!("refused")), at(second)),
                "works" => trackers.ended(url, Ok(response(7)), at(second)),
                _ => {}
            }
        }
        trackers.announce(announce(Some(Event::Stopped)), at(5));
        let (url, request) = trackers.start(at(5)).unwrap();
        assert_eq!((url.as_str(), request.event), ("works", Some(Event::Stopped)));
        // Its answer to the earlier announce comes late: now it knows us as well.
        trackers.ended("busy", Ok(response(7)), at(5));
        assert_eq!(asked(&mut trackers, at(5)), ["busy"]);
        trackers.ended("works", Ok(response(7)), at(6));
        assert!(!trackers.has_left());
        trackers.ended("busy", Err(anyhow!("no answer")), at(7));
        assert!(trackers.has_left());
        assert_eq!((trackers.next_start(), trackers.take_outcome()), (None, None));
    }

    #[test]
    fn a_tracker_hears_started_first_and_its_own_id_after_that() {
        let mut trackers = in_order(["a"]);
        trackers.announce(announce(None), at(0));
        let (_, first) = trackers.start(at(0)).unwrap();
        assert_eq!((first.event, first.tracker_id), (Some(Event::Started), None));
        let with_id = AnnounceResponse { tracker_id: Some(b"t1".into()), ..response(7) };
        trackers.ended("a", Ok(with_id), at(0));
        for second in [7, 14] {
            trackers.announce(announce(None), at(second));
            let (_, next) = trackers.start(at(second)).unwrap();
            assert_eq!((next.event, next.tracker_id), (None, Some(b"t1".into())));
            trackers.ended("a", Ok(response(7)), at(second));
        }
    }

    #[test]
    fn a_tier_is_asked_in_random_order() {
        let first = |seed| {
            let tiers = vec![["a", "b", "c"].map(String::from).to_vec()];
            Trackers::new(tiers, STAGGER, &mut Rng::with_seed(seed)).list[0].url.clone()
        };
        assert_eq!((0..30).map(first).collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn a_torrent_brings_a_bounded_number_of_trackers_and_each_once() {
        let many = names(MAX_TRACKERS + 1);
        let tiers = vec![many[..50].to_vec(), many.clone(), many];
        assert_eq!(trackers(tiers).list.len(), MAX_TRACKERS);
        assert_eq!(in_order(["a", "b", "a"]).list.len(), 2);
    }

    #[test]
    fn the_error_is_bounded() {
        let long = "x".repeat(5_000);
        let error = explain(&vec![long.chars().take(MAX_FAILURE_LENGTH).collect(); 12]);
        assert!(error.ends_with("xx; and 2 more") && error.len() < 2_100, "{error}");
        assert_eq!(explain(&[]), "the torrent has no tracker");
    }
}
