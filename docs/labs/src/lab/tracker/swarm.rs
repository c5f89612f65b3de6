//! Which peers a tracker keeps, counts and names.

use std::thread;
use std::time::{Duration, Instant};

use common::announce::{AnnounceResponse, Event};
use common::id::PeerId;

use super::client::{Peer, Torrent, Tracker, ports};
use super::{ALL, INTERVAL, subsets};
use crate::check::{Context, Failure, Stop};
use crate::hints;

pub(super) fn not_itself(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let [alice, bob] = [(); 2].map(|()| torrent.peer(&mut context.rng, ALL));
    for (peer, others) in [(&alice, &[][..]), (&alice, &[]), (&bob, &[&alice]), (&alice, &[&bob])] {
        let answer = tracker.names(context, peer, others, hints::PEER_KEY)?;
        if ports(&answer)?.contains(&peer.port) {
            let port = peer.port;
            let expected = format!("for the peer at port {port}: other peers only");
            let got = format!("a list with its own port {port}");
            return Err(Failure::new(expected, got).hint(hints::PEER_KEY).into());
        }
    }
    Ok(())
}

pub(super) fn same_host(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let [alice, bob, carol] = [(); 3].map(|()| torrent.peer(&mut context.rng, ALL));
    tracker.announce(context, &alice, Some(Event::Started), "")?;
    tracker.announce(context, &bob, Some(Event::Started), "")?;
    // Alice's program has crashed and starts again, at the same port and with a new id.
    let again = Peer { id: PeerId(*b"-ST0006-aliceisback!"), ..alice.clone() };
    let answer = tracker.announce(context, &again, Some(Event::Started), "")?;
    counts(&answer, 0, 2, hints::PEER_KEY)?;
    tracker.names(context, &carol, &[&alice, &bob], hints::PEER_KEY)?;
    Ok(())
}

pub(super) fn seeds(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let [seed, other_seed] = [(); 2].map(|()| torrent.peer(&mut context.rng, 0));
    let [alice, bob] = [(); 2].map(|()| torrent.peer(&mut context.rng, ALL));
    tracker.announce(context, &seed, Some(Event::Started), "")?;
    tracker.announce(context, &alice, Some(Event::Started), "")?;
    let answer = tracker.names(context, &other_seed, &[&alice], hints::SEEDS)?;
    counts(&answer, 2, 1, hints::SEEDS)?;
    let answer = tracker.names(context, &bob, &[&seed, &other_seed, &alice], hints::SEEDS)?;
    counts(&answer, 2, 2, hints::SEEDS)
}

pub(super) fn stopped(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let [alice, bob, carol] = [(); 3].map(|()| torrent.peer(&mut context.rng, ALL));
    tracker.announce(context, &alice, Some(Event::Started), "")?;
    tracker.announce(context, &bob, Some(Event::Started), "")?;
    let answer = tracker.announce(context, &alice, Some(Event::Stopped), "")?;
    let named = ports(&answer)?;
    if !named.is_empty() {
        let got = format!("{} peers", named.len());
        return Err(Failure::new("no peers for a peer that stops", got)
            .hint(hints::STOPPED)
            .into());
    }
    let answer = tracker.names(context, &carol, &[&bob], hints::STOPPED)?;
    counts(&answer, 0, 2, hints::STOPPED)
}

/// In seconds, for the checks that wait: half of it is more than a loaded machine delays a request.
const SHORT_INTERVAL: u64 = 2;

/// That many halves of [`SHORT_INTERVAL`].
fn halves(number: u32) -> Duration {
    Duration::from_secs(SHORT_INTERVAL) * number / 2
}

pub(super) fn expiry(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, SHORT_INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let [alice, bob, carol] = [(); 3].map(|()| torrent.peer(&mut context.rng, ALL));
    tracker.announce(context, &alice, Some(Event::Started), "")?;
    let silent_since = Instant::now();
    sleep_until(silent_since + halves(3));
    tracker.names(context, &bob, &[&alice], hints::EXPIRY)?;
    sleep_until(silent_since + halves(5));
    tracker.names(context, &carol, &[&bob], hints::EXPIRY)?;
    Ok(())
}

pub(super) fn refresh(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, SHORT_INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let [alice, bob] = [(); 2].map(|()| torrent.peer(&mut context.rng, ALL));
    tracker.announce(context, &alice, Some(Event::Started), "")?;
    let began = Instant::now();
    sleep_until(began + halves(2));
    tracker.announce(context, &alice, None, "")?;
    // 2.5 intervals after the first announce, and 1.5 after the last.
    sleep_until(began + halves(5));
    tracker.names(context, &bob, &[&alice], hints::REFRESH)?;
    Ok(())
}

pub(super) fn numwant(context: &mut Context<'_>) -> Result<(), Stop> {
    /// More than a peer can get, with the one that asks.
    const PEERS: usize = 220;
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let mut known = Vec::new();
    for _ in 0..PEERS {
        let peer = torrent.peer(&mut context.rng, ALL);
        tracker.announce(context, &peer, Some(Event::Started), "&numwant=0")?;
        known.push(peer.port);
    }
    for (more, right) in [
        ("&numwant=7", 7),
        ("", 50),
        ("&numwant=-1", 50),
        ("&numwant=0", 0),
        ("&numwant=150", 150),
        ("&numwant=1000", 200),
    ] {
        let peer = torrent.peer(&mut context.rng, ALL);
        let answer = tracker.announce(context, &peer, None, more)?;
        let named = ports(&answer)?;
        known.push(peer.port);
        if named.len() != right || !named.iter().all(|port| known.contains(port)) {
            let what = if more.is_empty() { "no numwant" } else { more };
            let expected = format!("{right} of the {} peers, for {what}", known.len());
            let got = format!("{} peers", named.len());
            return Err(Failure::new(expected, got).hint(hints::NUMWANT).into());
        }
    }
    Ok(())
}

pub(super) fn random(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let mut known = Vec::new();
    for _ in 0..subsets::PEERS {
        let peer = torrent.peer(&mut context.rng, ALL);
        tracker.announce(context, &peer, Some(Event::Started), "&numwant=0")?;
        known.push(peer.port);
    }
    let asks = torrent.peer(&mut context.rng, ALL);
    let mut drawn = Vec::new();
    for _ in 0..subsets::DRAWS {
        let more = format!("&numwant={}", subsets::WANTED);
        let named = ports(&tracker.announce(context, &asks, None, &more)?)?;
        let bits = known.iter().enumerate().filter(|(_, port)| named.contains(port));
        drawn.push(bits.map(|(bit, _)| 1 << bit).sum());
    }
    subsets::judge(&drawn).map_err(|failure| failure.hint(hints::RANDOM_SUBSET).into())
}

/// The counts of an answer.
fn counts(
    answer: &AnnounceResponse,
    complete: u32,
    incomplete: u32,
    hint: &'static str,
) -> Result<(), Stop> {
    if (answer.seeders, answer.leechers) == (Some(complete), Some(incomplete)) {
        return Ok(());
    }
    let text = |count: Option<u32>| count.map_or("none".to_owned(), |count| count.to_string());
    let expected = format!("complete {complete}, incomplete {incomplete}");
    let (complete, incomplete) = (text(answer.seeders), text(answer.leechers));
    let got = format!("complete {complete}, incomplete {incomplete}");
    Err(Failure::new(expected, got).hint(hint).into())
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
