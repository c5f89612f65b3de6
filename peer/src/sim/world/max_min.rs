//! The model of the network, held against max-min fairness.

use std::collections::BTreeMap;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::{Block, Geometry};
use common::moment::Moment;
use fastrand::Rng;

use crate::choker::{free_rider, unchoke_all};
use crate::decision::Decision;
use crate::sim::{Conduct, HostId, Link, Observer, Participant, Settings, World};

/// The rate of the flow from each sender to each receiver, by progressive filling (Bertsekas &
/// Gallager, "Data Networks", 6.5.2): all flows grow alike; where a link is full, those over it stay.
fn max_min(ups: &[f64], downs: &[f64]) -> Vec<Vec<f64>> {
    let mut flows = vec![vec![0.0; downs.len()]; ups.len()];
    let mut grows = vec![vec![true; downs.len()]; ups.len()];
    loop {
        let up = |i: usize| (0..downs.len()).map(move |j| (i, j)).collect();
        let down = |j: usize| (0..ups.len()).map(move |i| (i, j)).collect();
        let links: Vec<(f64, Vec<(usize, usize)>)> = (0..ups.len())
            .map(|i| (ups[i], up(i)))
            .chain((0..downs.len()).map(|j| (downs[j], down(j))))
            .collect();
        let growing = |over: &[(usize, usize)]| over.iter().filter(|&&(i, j)| grows[i][j]).count();
        let rooms = links.iter().filter(|(_, over)| growing(over) > 0).map(|(rate, over)| {
            let used: f64 = over.iter().map(|&(i, j)| flows[i][j]).sum();
            (rate - used) / growing(over) as f64
        });
        let Some(step) = rooms.min_by(f64::total_cmp) else { return flows };
        for (row, grows) in flows.iter_mut().zip(&grows) {
            row.iter_mut()
                .zip(grows)
                .filter(|(_, grows)| **grows)
                .for_each(|(flow, _)| *flow += step);
        }
        for (rate, over) in links {
            if over.iter().map(|&(i, j)| flows[i][j]).sum::<f64>() > rate - 1e-6 {
                over.into_iter().for_each(|(i, j)| grows[i][j] = false);
            }
        }
    }
}

/// Bytes that were delivered from each peer to each other since they were last forgotten.
#[derive(Debug, Default)]
struct Flows(BTreeMap<(HostId, HostId), u64>);

impl Observer for Flows {
    fn decision(&mut self, _: Moment, _: HostId, _: Decision) {}

    fn delivered(&mut self, _: Moment, from: HostId, to: HostId, block: Block) {
        *self.0.entry((from, to)).or_default() += u64::from(block.length());
    }
}

/// Every sender serves every receiver for four minutes, after one in which the rates settle.
const TIME: Duration = Duration::from_secs(240);

/// Kilobytes a second in the model: senders have everything and unchoke all, receivers lack everything.
fn measured(ups: &[f64], downs: &[f64], seed: u64) -> Vec<Vec<f64>> {
    const KB: f64 = 1000.0;
    let geometry = Geometry::new(8 << 30, 1 << 20).unwrap();
    let announce_interval = Duration::from_secs(1800);
    let mut world: World<Flows> = World::new(Settings { geometry, announce_interval }, seed);
    let pieces = geometry.piece_count();
    let mut join = |choker, up: f64, down: f64, have| {
        let mut config = world.config();
        config.choker = choker;
        #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
        let link = Link::new((up * KB) as u64, (down * KB) as u64);
        let (arrives_at, conduct) = (Duration::ZERO, Conduct::Honest);
        world.add_peer(Participant { config, link, have, arrives_at, conduct })
    };
    let senders: Vec<_> = ups
        .iter()
        .map(|&up| join(unchoke_all::STRATEGY, up, 1.0, Bitfield::full(pieces)))
        .collect();
    let receivers: Vec<_> = downs
        .iter()
        .map(|&down| join(free_rider::STRATEGY, 1.0, down, Bitfield::empty(pieces)))
        .collect();
    world.run_for(Duration::from_secs(60));
    world.observer = Flows::default();
    world.run_for(TIME);
    let rate = |from, to| {
        let bytes = world.observer.0.get(&(from, to)).copied().unwrap_or(0);
        bytes as f64 / KB / TIME.as_secs_f64()
    };
    senders.iter().map(|&from| receivers.iter().map(|&to| rate(from, to)).collect()).collect()
}

#[test]
fn progressive_filling_by_hand() {
    assert_eq!(max_min(&[100.0], &[1000.0, 1000.0]), [[50.0, 50.0]]);
    // The first receiver is full at 10; the rest of the uplink is for the second.
    assert_eq!(max_min(&[100.0], &[10.0, 1000.0]), [[10.0, 90.0]]);
    assert_eq!(max_min(&[20.0, 100.0], &[60.0]), [[20.0], [40.0]]);
}

fn assert_within(part: f64, actual: f64, expected: f64, case: &str) {
    assert!((actual - expected).abs() <= part * expected, "{case}: {actual}, not {expected}");
}

/// Where senders share a full downlink, their shares follow their windows, as TCP's do; so there only
/// the sums are those of max-min fairness.
#[test]
fn links_are_shared_as_max_min_fairness_does_where_uplinks_are_the_limit_and_are_full_elsewhere() {
    let mut rng = Rng::with_seed(1);
    let (mut limited_by_uplinks, mut limited_by_downlinks) = (0, 0);
    for seed in 0..40 {
        let (senders, receivers) = (rng.usize(1..=5), rng.usize(1..=5));
        let mut rates = |count, most: u32| -> Vec<f64> {
            (0..count).map(|_| f64::from(rng.u32(50..=most))).collect()
        };
        let (ups, downs) = (rates(senders, 500), rates(receivers, 2000));
        let (expected, actual) = (max_min(&ups, &downs), measured(&ups, &downs, seed));
        let case = format!("uplinks {ups:?}, downlinks {downs:?}: {actual:.0?}");
        let total = |flows: &[Vec<f64>]| flows.iter().flatten().sum::<f64>();
        assert_within(0.01, total(&actual), total(&expected), &case);
        let into = |flows: &[Vec<f64>], j: usize| flows.iter().map(|row| row[j]).sum::<f64>();
        let is_full = |j: &usize| into(&expected, *j) > 0.99 * downs[*j];
        for j in (0..receivers).filter(is_full) {
            assert_within(0.01, into(&actual, j), downs[j], &case);
        }
        if (0..receivers).any(|j| is_full(&j)) {
            limited_by_downlinks += 1;
            continue;
        }
        limited_by_uplinks += 1;
        for (&actual, &expected) in actual.iter().flatten().zip(expected.iter().flatten()) {
            assert_within(0.03, actual, expected, &case);
        }
    }
    assert!(limited_by_uplinks >= 5 && limited_by_downlinks >= 5);
}
