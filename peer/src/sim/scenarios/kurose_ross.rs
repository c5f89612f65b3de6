//! `kurose-ross`: the time to distribute a file, client-server against P2P.
//!
//! Source: Kurose & Ross 2.5, the figure that compares the two architectures. With content of F
//! bits, a server that uploads u_s, N peers that upload u_i and download at least d_min:
//!
//! - client-server: D = max{N·F/u_s, F/d_min}
//! - P2P: D >= max{F/u_s, F/d_min, N·F/(u_s + sum of u_i)}
//!
//! The book's figure has F/u = 1 hour, u_s = 10 u, and d too large to matter. A swarm of this core
//! must come close to the bound, and cannot be below it.

use common::geometry::BLOCK_LENGTH;

use super::{Band, Swarm, last};
use crate::choker::{Strategy, free_rider};
use crate::picker::Order;
use crate::sim::Link;

/// The set-up.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// N.
    pub peers: u32,
    /// Chunks in the file.
    pub chunks: u32,
    /// Blocks of 16 KiB in a chunk.
    pub blocks: u32,
    /// u: bytes a second that each peer uploads.
    pub upload: u64,
    /// u_s / u.
    pub seed_ratio: u64,
    /// The choker of the peers.
    pub choker: Strategy,
    /// In which order they begin chunks.
    pub order: Order,
}

impl Parameters {
    /// The book's figure for so many peers, with chunks of 192 KiB: each of five neighbors that a
    /// peer serves gets five blocks a round.
    pub fn book(peers: u32) -> Self {
        Self::with_chunks_of(12, peers)
    }

    /// The same with chunks of another length, and with rates to match, so that F/u stays an hour.
    fn with_chunks_of(blocks: u32, peers: u32) -> Self {
        let chunks = 800;
        let upload = u64::from(chunks * blocks) * u64::from(BLOCK_LENGTH) / 3600;
        let (choker, order) = Default::default();
        Self { peers, chunks, blocks, upload, seed_ratio: 10, choker, order }
    }

    /// The same with peers that do not upload.
    pub fn client_server(self) -> Self {
        Self { choker: free_rider::STRATEGY, ..self }
    }
}

/// What a run gives, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// When the last peer had everything.
    pub distribution: f64,
    /// When the peers had everything, on average.
    pub mean_completion: f64,
    /// The bound for P2P.
    pub p2p: f64,
    /// The time that client-server takes.
    pub client_server: f64,
    /// The same for two runs only if they are the same.
    pub digest: u64,
}

/// P2P, measured over the bound.
pub const P2P: Band = Band::new(1.0, 1.04);

/// Client-server, measured over predicted.
pub const CLIENT_SERVER: Band = Band::new(1.0, 1.02);

/// How many times faster the downlinks are than the seed's uplink.
const DOWN_RATIO: u64 = 10;

/// Distributes the file once.
#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
pub fn run(parameters: &Parameters, seed: u64) -> Measured {
    let Parameters { peers, chunks, blocks, upload, seed_ratio, choker, order } = *parameters;
    let mut swarm = Swarm::new(chunks, blocks, seed);
    let seed_upload = seed_ratio * upload;
    let down = DOWN_RATIO * seed_upload;
    swarm.join(swarm.everything(), Link::new(seed_upload, down), |_| {});
    let joined = (0..peers).map(|_| {
        swarm.join(swarm.nothing(), Link::new(upload, down), |config| {
            (config.choker, config.order) = (choker, order);
        })
    });
    let joined: Vec<_> = joined.collect();
    swarm.run_until_complete();

    let times: Vec<_> = joined.iter().map(|&peer| swarm.completed_at(peer)).collect();
    let (n, f) = (f64::from(peers), swarm.geometry.total_length() as f64);
    let (u, u_s, d) = (upload as f64, seed_upload as f64, down as f64);
    Measured {
        mean_completion: times.iter().sum::<f64>() / n,
        distribution: last(times),
        p2p: (f / u_s).max(f / d).max(n * f / (u_s + n * u)),
        client_server: (n * f / u_s).max(f / d),
        digest: swarm.world.observer.digest,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Spread, assert_repeatable, runs};
    use super::*;
    use crate::choker::{mainline, textbook};

    const PEERS: [u32; 5] = [1, 5, 10, 20, 30];

    fn over_p2p(measured: &Measured) -> f64 {
        measured.distribution / measured.p2p
    }

    fn over_client_server(measured: &Measured) -> f64 {
        measured.distribution / measured.client_server
    }

    /// Three runs, printed.
    fn measure(what: &str, parameters: &Parameters, ratio: fn(&Measured) -> f64) -> Spread {
        let runs = runs(0..3, |seed| run(parameters, seed));
        let spread = Spread::of(runs.iter().map(ratio));
        println!("{what}, {} peers: {spread} of what is predicted", parameters.peers);
        spread
    }

    #[test]
    fn p2p_takes_little_longer_than_the_bound_of_the_book() {
        for choker in [textbook::STRATEGY, mainline::STRATEGY] {
            for peers in PEERS {
                let parameters = Parameters { choker, ..Parameters::book(peers) };
                let ratio = measure(choker.name, &parameters, over_p2p);
                assert!(P2P.contains(ratio.least) && P2P.contains(ratio.most), "{peers}: {ratio}");
            }
        }
        // The controls: another order, and a choker that unchokes no peer.
        let in_order = Parameters { order: Order::IN_ORDER, ..Parameters::book(30) };
        let free_riders = Parameters::book(30).client_server();
        for (what, control) in [("in order", in_order), ("free riders", free_riders)] {
            let ratio = measure(what, &control, over_p2p);
            assert!(ratio.least > 1.0 + 5.0 * (P2P.most - 1.0), "{what}: {ratio}");
        }
    }

    #[test]
    fn client_server_takes_longer_in_proportion_to_the_peers() {
        for peers in PEERS {
            let parameters = Parameters::book(peers).client_server();
            let ratio = measure("client-server", &parameters, over_client_server);
            let band = CLIENT_SERVER;
            assert!(band.contains(ratio.least) && band.contains(ratio.most), "{peers}: {ratio}");
        }
        // The control: peers that upload.
        let ratio = measure("P2P", &Parameters::book(5), over_client_server);
        assert!(ratio.most < CLIENT_SERVER.least, "{ratio}");
    }

    #[test]
    fn dividing_the_content_and_all_rates_by_two_changes_little() {
        let [whole, half] = [24, 12].map(|blocks| {
            let parameters = Parameters::with_chunks_of(blocks, 10);
            Spread::of(runs(0..3, |seed| run(&parameters, seed).mean_completion)).mean
        });
        println!("mean completion {whole:.1} s, with half of all {half:.1} s");
        assert!(Band::within(0.03).contains(half / whole), "{half} instead of {whole}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let parameters = Parameters { chunks: 50, ..Parameters::book(10) };
        assert_repeatable(|seed| run(&parameters, seed));
    }
}
