//! The form of requests and answers.

use common::announce::Event;
use common::announce::http::decode_response;
use common::bencode::{self, Value};
use common::id::InfoHash;

use super::client::{Peer, Torrent, Tracker, ports};
use super::{ALL, INTERVAL};
use crate::check::{ANSWER, Context, Failure, START, Stop, show};
use crate::hints;
use crate::sockets;

pub(super) fn first(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let peer = Torrent::new(&mut context.rng).peer(&mut context.rng, ALL);
    let answer = tracker.get(context, &peer.announce(Some(Event::Started)))?;
    let decoded = bencode::decode(&answer.body).ok();
    let dict = decoded.as_ref().and_then(Value::as_dict);
    let is = |key: &[u8], number: u64| {
        dict.and_then(|dict| dict.get(key)?.as_integer()) == Some(number.cast_signed())
    };
    let counted = is(b"interval", INTERVAL) && is(b"complete", 0) && is(b"incomplete", 1);
    // How they are written is for `compact` to judge, and its own address for `not-itself`.
    let peers = decode_response(&answer.body).ok().map(|answer| ports(&answer)).transpose()?;
    let alone = peers.is_some_and(|peers| peers.iter().all(|port| *port == peer.port));
    // In the only valid form: our decoder accepts keys in any order.
    let valid = decoded.as_ref().is_some_and(|value| value.encode() == answer.body);
    if answer.status != 200 || !counted || !alone || !valid {
        let expected = format!(
            "status 200 and a bencoded dictionary with interval {INTERVAL}, complete 0, incomplete \
             1 and peers of 0 bytes"
        );
        let got = format!("status {} and {}", answer.status, show(&answer.body));
        return Err(Failure::new(expected, got).hint(hints::TRACKER_ANSWER).into());
    }

    let other = tracker.get(context, "/favicon.ico")?;
    if other.status == 404 {
        return Ok(());
    }
    let got = format!("status {}", other.status);
    Err(Failure::new("status 404 for GET /favicon.ico", got).into())
}

pub(super) fn compact(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let [alice, bob] = [(); 2].map(|()| torrent.peer(&mut context.rng, ALL));
    tracker.announce(context, &alice, Some(Event::Started), "")?;
    let answer = tracker.get(context, &bob.announce(Some(Event::Started)))?;
    // BEP 23: the address, then the port, both in network byte order.
    let entry = |peer: &Peer| [&[127, 0, 0, 1][..], &peer.port.to_be_bytes()].concat();
    let right = entry(&alice);
    let decoded = bencode::decode(&answer.body).ok();
    let peers = decoded.as_ref().and_then(|value| value.as_dict()?.get(b"peers"));
    let mut entries = peers.and_then(Value::as_bytes).unwrap_or_default().chunks(right.len());
    // Its own address is for `not-itself` to judge.
    let own = entry(&bob);
    if entries.clone().any(|one| one == right) && entries.all(|one| one == right || one == own) {
        return Ok(());
    }
    let got = match peers {
        Some(Value::Bytes(bytes)) => show(bytes),
        Some(Value::List(_)) => "a list".to_owned(),
        _ => show(&answer.body),
    };
    let expected = format!("peers {}, that is, 127.0.0.1 and port {}", show(&right), alice.port);
    Err(Failure::new(expected, got).hint(hints::COMPACT).into())
}

pub(super) fn torrents_apart(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    // 13 times 20 bytes: each value of a byte is in one of them.
    let mut values: Vec<u8> = (0..=255).chain(0..4).collect();
    context.rng.shuffle(&mut values);
    for hash in values.chunks_exact(20) {
        let hash = InfoHash(hash.try_into().expect("a chunk has 20 bytes"));
        let mut torrent = Torrent::of_hash(hash, &mut context.rng);
        let [alice, bob] = [(); 2].map(|()| torrent.peer(&mut context.rng, ALL));
        tracker.names(context, &alice, &[], hints::BYTES_IN_A_URL)?;
        tracker.names(context, &bob, &[&alice], hints::BYTES_IN_A_URL)?;
    }

    // RFC 3986: a plus sign in a query can stand for itself. Only in forms it is a space.
    let mut plus = *values.first_chunk().expect("there are 260");
    plus[7] = b'+';
    let mut space = plus;
    space[7] = b' ';
    let mut torrent = Torrent::of_hash(InfoHash(plus), &mut context.rng);
    let [alice, bob] = [(); 2].map(|()| torrent.peer(&mut context.rng, ALL));
    let carol = Torrent::of_hash(InfoHash(space), &mut context.rng).peer(&mut context.rng, ALL);
    tracker.names(context, &alice, &[], hints::BYTES_IN_A_URL)?;
    let answer = tracker.get(context, &bob.announce(None).replace("%2B", "+"))?;
    let named = decode_response(&answer.body).ok();
    let named = named.map(|answer| ports(&answer)).transpose()?.unwrap_or_default();
    if !named.iter().filter(|port| **port != bob.port).eq([&alice.port]) {
        let port = alice.port;
        let expected = format!(
            "the peer at port {port}, which announced an info hash with %2B, for a peer that wrote + \
             instead"
        );
        let got = show(&answer.body);
        return Err(Failure::new(expected, got).hint(hints::BYTES_IN_A_URL).into());
    }
    tracker.names(context, &carol, &[], hints::BYTES_IN_A_URL)?;
    Ok(())
}

pub(super) fn failure(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let peer = torrent.peer(&mut context.rng, ALL);
    tracker.names(context, &peer, &[], hints::TRACKER_ANSWER)?;
    let path = peer.announce(None);
    // Without one parameter, or with another value for it.
    let without = |name: &str| changed(&path, name, None);
    let with = |name: &str, value: &str| changed(&path, name, Some(value));
    let hexadecimal = peer.info_hash.to_string();
    for (what, bad) in [
        ("no info_hash", without("info_hash")),
        ("an info_hash of 19 bytes", with("info_hash", &"%AB".repeat(19))),
        ("an info_hash of 40 hex digits", with("info_hash", &hexadecimal)),
        ("no peer_id", without("peer_id")),
        ("no port", without("port")),
        ("port 0", with("port", "0")),
        ("port 65536", with("port", "65536")),
        ("port x", with("port", "x")),
    ] {
        let answer = tracker.get(context, &bad)?;
        let decoded = bencode::decode(&answer.body).ok();
        let dict = decoded.as_ref().and_then(Value::as_dict);
        let says = dict.is_some_and(|dict| {
            let reason = dict.get(b"failure reason").and_then(Value::as_bytes);
            dict.iter().len() == 1 && reason.is_some_and(|reason| !reason.is_empty())
        });
        if answer.status != 200 || !says {
            let expected = format!(
                "status 200 and a dictionary with only a failure reason, for an announce with {what}"
            );
            let got = format!("status {} and {}", answer.status, show(&answer.body));
            return Err(Failure::new(expected, got).hint(hints::FAILURE_REASON).into());
        }
    }
    // None of them has become a peer.
    let next = torrent.peer(&mut context.rng, ALL);
    tracker.names(context, &next, &[&peer], hints::FAILURE_REASON)?;
    Ok(())
}

/// The path with another value for a parameter, or without it.
fn changed(path: &str, name: &str, value: Option<&str>) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_it = |part: &str| part.split('=').next() == Some(name);
    let mut parts: Vec<_> =
        query.split('&').filter(|part| !is_it(part)).map(str::to_owned).collect();
    parts.extend(value.map(|value| format!("{name}={value}")));
    format!("{path}?{}", parts.join("&"))
}

pub(super) fn scrape(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let mut torrent = Torrent::new(&mut context.rng);
    let seed = torrent.peer(&mut context.rng, 0);
    let [alice, bob, carol] = [(); 3].map(|()| torrent.peer(&mut context.rng, ALL));
    for peer in [&seed, &alice, &bob, &carol] {
        tracker.announce(context, peer, Some(Event::Started), "")?;
    }
    // Alice says it twice: her first announce was not answered, for all she knows.
    for peer in [&alice, &alice, &bob] {
        tracker.announce(context, &peer.completed(), Some(Event::Completed), "")?;
    }
    let other = Torrent::new(&mut context.rng).peer(&mut context.rng, ALL);
    tracker.announce(context, &other, Some(Event::Started), "")?;

    let parameter = |peer: &Peer| {
        let path = peer.announce(None);
        let query = path.split_once('?').map_or("", |(_, query)| query);
        query.split('&').find(|part| part.starts_with("info_hash=")).unwrap_or("").to_owned()
    };
    let path = format!("/scrape?{}&{}", parameter(&seed), parameter(&other));
    let answer = tracker.get(context, &path)?;
    let decoded = bencode::decode(&answer.body).ok();
    let files = decoded.as_ref().and_then(|value| value.as_dict()?.get(b"files")?.as_dict());
    for (peer, right) in [(&seed, [3, 1, 2]), (&other, [0, 1, 0])] {
        let entry = files.and_then(|files| files.get(&peer.info_hash.0)?.as_dict());
        let number = |key: &[u8]| entry.and_then(|entry| entry.get(key)?.as_integer());
        let got = [&b"complete"[..], b"incomplete", b"downloaded"].map(number);
        if answer.status != 200 || got != right.map(Some) {
            let [complete, incomplete, downloaded] = right;
            let expected = format!(
                "in files, for {}: complete {complete}, incomplete {incomplete}, downloaded \
                 {downloaded}",
                peer.info_hash
            );
            let got = match entry {
                None => format!("status {} and {}", answer.status, show(&answer.body)),
                Some(_) => {
                    let text =
                        |number: Option<i64>| number.map_or("none".to_owned(), |n| n.to_string());
                    let [complete, incomplete, downloaded] = got.map(text);
                    format!("complete {complete}, incomplete {incomplete}, downloaded {downloaded}")
                }
            };
            return Err(Failure::new(expected, got).hint(hints::SCRAPE).into());
        }
    }
    Ok(())
}

pub(super) fn silent_client(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tracker = Tracker::start(context, INTERVAL)?;
    let peer = Torrent::new(&mut context.rng).peer(&mut context.rng, ALL);
    let until = context.within(START);
    let Some(mut silent) = sockets::connect(&mut tracker.server, until)? else {
        return Err(tracker.server.not_ready("accepts TCP connections")?);
    };
    silent.send(b"GET /announce?info_hash=%12%34", context.within(ANSWER))?;
    let answered = tracker.names(context, &peer, &[], hints::ONE_AT_A_TIME);
    drop(silent);
    match answered {
        Err(Stop::Failed(failure)) => Err(failure.hint(hints::ONE_AT_A_TIME).into()),
        other => other.map(|_| ()),
    }
}
