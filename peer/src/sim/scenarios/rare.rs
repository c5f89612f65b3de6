//! How many chunks only the seed has, over time, for a plot.

use common::geometry::PieceIndex;

use super::swarm::Swarm;
use super::{Figure, Panel, Series};
use crate::sim::HostId;

/// How many chunks only the seed has now, and the time in seconds. Leechers leave when they have
/// everything.
pub(super) fn look(swarm: &Swarm<'_>, leechers: &[HostId]) -> (f64, f64) {
    let cores = leechers.iter().map(|&host| swarm.world.peer(host));
    let cores: Vec<_> = cores.filter(|core| !core.is_complete()).collect();
    let is_rare = |&piece: &PieceIndex| cores.iter().all(|core| !core.have().contains(piece));
    let count = swarm.geometry.pieces().filter(is_rare).count();
    let count = u32::try_from(count).expect("a torrent has fewer than 2^32 chunks");
    (swarm.world.elapsed().as_secs_f64(), f64::from(count))
}

/// The plot of these looks at a swarm whose seed uploads so many bytes a second.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub(super) fn plot(swarm: &Swarm<'_>, looks: &[(f64, f64)], seed_upload: f64) -> Panel {
    let chunks = f64::from(swarm.geometry.piece_count());
    let at_best = swarm.geometry.total_length() as f64 / seed_upload;
    // Until all are out; later, peers leave with chunks that have become rare again.
    let out = looks.iter().position(|&(_, count)| count < 1.0);
    let looks = &looks[..out.map_or(looks.len(), |out| out + 1)];
    let lines = Figure::Lines(vec![
        Series::measured("measured", [&[(0.0, chunks)], looks].concat()),
        Series::predicted(
            "predicted: at best, if the seed sends no chunk twice",
            vec![(0.0, chunks), (at_best, 0.0)],
        ),
    ]);
    Panel::new("time (seconds)", "chunks that only the seed has", lines)
}
