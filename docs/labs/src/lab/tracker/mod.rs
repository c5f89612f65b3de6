//! Lab 6, A tracker: `PROGRAM PORT INTERVAL`.
//!
//! Only `first` and `compact` look at the form of an answer; all others read it as our own peer does,
//! which takes a list of peers in any form.

mod answers;
mod client;
mod our_peer;
mod subsets;
mod swarm;

use crate::check::Check;

const TRACKER: &str = "BEP 3, trackers";

/// In seconds; where a check does not wait for it.
const INTERVAL: u64 = 60;

/// What a peer lacks that has just begun.
const ALL: u64 = 5_000_000;

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("first", 2, TRACKER, "a first announce is answered with the interval, the counts and no peers", answers::first),
    Check::new("compact", 2, "BEP 23", "another peer is named in 6 bytes", answers::compact),
    Check::new("not-itself", 1, "Kurose & Ross 2.5", "a peer that announces again is not told its own address", swarm::not_itself),
    Check::new("same-host", 1, "Kurose & Ross 2.5", "a peer is known by its address and port, not by its id", swarm::same_host),
    Check::new("torrents-apart", 1, TRACKER, "torrents are not mixed, whatever bytes an info hash has", answers::torrents_apart),
    Check::new("seeds", 1, TRACKER, "seeds and other peers are counted, and no seed is named to a seed", swarm::seeds),
    Check::new("stopped", 1, TRACKER, "a peer that sends stopped is forgotten", swarm::stopped),
    Check::new("expiry", 2, "Kurose & Ross 2.5", "a silent peer is still named after 1.5 intervals, but not after 2.5", swarm::expiry),
    Check::new("refresh", 1, "Kurose & Ross 2.5", "a peer that announces each interval is kept", swarm::refresh),
    Check::new("numwant", 2, TRACKER, "as many peers are named as numwant says, 50 without it, and at most 200", swarm::numwant),
    Check::new("random", 1, "Kurose & Ross 2.5", "the peers that are named are a random subset", swarm::random),
    Check::new("failure", 2, TRACKER, "a bad request is answered with a failure reason", answers::failure),
    Check::new("scrape", 1, "BEP 48", "a scrape counts seeds, other peers, and each peer that completed once", answers::scrape),
    Check::new("silent-client", 1, "Kurose & Ross 2.7.2", "a client that has sent half a request does not hold up the others", answers::silent_client),
    Check::new("our-peer", 1, "Kurose & Ross 2.5", "a seed and a peer of this workspace find each other and share a file", our_peer::our_peer),
];
