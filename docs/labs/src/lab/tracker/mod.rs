//! Lab 6, A tracker: `PROGRAM PORT INTERVAL`.
//!
//! Only `first` and `compact` look at the form of an answer; all others read it as our own peer does,
//! which takes a list of peers in any form.

mod answers;
mod client;
mod our_peer;
mod subsets;
mod swarm;

use std::time::Duration;

use crate::check::Check;

const TRACKER: &str = "BEP 3, trackers";
const LIMIT: Duration = Duration::from_secs(10);

/// In seconds; where a check does not wait for it.
const INTERVAL: u64 = 60;

/// What a peer lacks that has just begun.
const ALL: u64 = 5_000_000;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "first",
        name: "a first announce is answered with the interval, the counts and no peers",
        points: 2,
        section: TRACKER,
        limit: LIMIT,
        run: answers::first,
    },
    Check {
        id: "compact",
        name: "another peer is named in 6 bytes",
        points: 2,
        section: "BEP 23",
        limit: LIMIT,
        run: answers::compact,
    },
    Check {
        id: "not-itself",
        name: "a peer that announces again is not told its own address",
        points: 1,
        section: "Kurose & Ross 2.5",
        limit: LIMIT,
        run: swarm::not_itself,
    },
    Check {
        id: "same-host",
        name: "a peer is known by its address and port, not by its id",
        points: 1,
        section: "Kurose & Ross 2.5",
        limit: LIMIT,
        run: swarm::same_host,
    },
    Check {
        id: "torrents-apart",
        name: "torrents are not mixed, whatever bytes an info hash has",
        points: 1,
        section: TRACKER,
        limit: LIMIT,
        run: answers::torrents_apart,
    },
    Check {
        id: "seeds",
        name: "seeds and others are counted, and a seed is told no seeds",
        points: 1,
        section: TRACKER,
        limit: LIMIT,
        run: swarm::seeds,
    },
    Check {
        id: "stopped",
        name: "a peer that says so is forgotten",
        points: 1,
        section: TRACKER,
        limit: LIMIT,
        run: swarm::stopped,
    },
    Check {
        id: "expiry",
        name: "a silent peer is named after 1.5 intervals and not after 2.5",
        points: 2,
        section: "Kurose & Ross 2.5",
        limit: LIMIT,
        run: swarm::expiry,
    },
    Check {
        id: "refresh",
        name: "a peer that announces each interval is kept",
        points: 1,
        section: "Kurose & Ross 2.5",
        limit: LIMIT,
        run: swarm::refresh,
    },
    Check {
        id: "numwant",
        name: "as many peers are named as a peer wants, 50 if it does not say, and at most 200",
        points: 2,
        section: TRACKER,
        limit: LIMIT,
        run: swarm::numwant,
    },
    Check {
        id: "random",
        name: "the peers that are named are a random subset",
        points: 1,
        section: "Kurose & Ross 2.5",
        limit: LIMIT,
        run: swarm::random,
    },
    Check {
        id: "failure",
        name: "a bad request is answered with a failure reason",
        points: 2,
        section: TRACKER,
        limit: LIMIT,
        run: answers::failure,
    },
    Check {
        id: "scrape",
        name: "a scrape counts seeds, others, and each peer that completed once",
        points: 1,
        section: "BEP 48",
        limit: LIMIT,
        run: answers::scrape,
    },
    Check {
        id: "silent-client",
        name: "a client that has sent half a request does not stop the others",
        points: 1,
        section: "Kurose & Ross 2.7.2",
        limit: LIMIT,
        run: answers::silent_client,
    },
    Check {
        id: "our-peer",
        name: "a seed and a peer of this workspace find each other and share a file",
        points: 1,
        section: "Kurose & Ross 2.5",
        limit: LIMIT,
        run: our_peer::our_peer,
    },
];
