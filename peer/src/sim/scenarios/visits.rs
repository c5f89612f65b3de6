//! Peers that come and go: each arrives, stays as a seed for some time once it has everything, and
//! leaves.

use fastrand::Rng;

use super::Spread;
use super::swarm::Swarm;
use crate::sim::HostId;

/// A time in seconds that varies as the time from one arrival to the next, if those come at random.
pub(super) fn exponential(mean: f64, rng: &mut Rng) -> f64 {
    // Of 1 - f64(), not f64(), which may be 0.
    -mean * (1.0 - rng.f64()).ln()
}

/// A peer that comes and goes. Times are in seconds from the start.
pub(super) struct Visit {
    pub(super) host: HostId,
    pub(super) arrives: f64,
    /// From its completion to its departure; infinite if it does not leave.
    pub(super) stays: f64,
}

impl Visit {
    /// When it has everything; infinite if it never does.
    pub(super) fn completes(&self, swarm: &Swarm<'_>) -> f64 {
        let came_complete = || swarm.world.peer(self.host).is_complete().then_some(self.arrives);
        let completed = swarm.world.completed_at(self.host).map(|time| time.as_secs_f64());
        completed.or_else(came_complete).unwrap_or(f64::INFINITY)
    }
}

/// What was seen of peers that come and go, in a part of a run.
pub(super) struct Seen {
    /// Arrivals a second.
    pub(super) arrivals: f64,
    /// Time from arrival to completion, of the peers that completed: the mean.
    pub(super) download: f64,
    /// Time from completion to departure, of the same.
    pub(super) stay: f64,
    /// Leechers, as a mean over time.
    pub(super) leechers: f64,
    /// Seeds, as a mean over time.
    pub(super) seeds: f64,
}

impl Seen {
    /// From one time to another, in seconds; `None` if no peer completed then.
    #[expect(clippy::cast_precision_loss, reason = "there are fewer peers than 2^52")]
    pub(super) fn between(
        visits: &[Visit],
        swarm: &Swarm<'_>,
        start: f64,
        end: f64,
    ) -> Option<Self> {
        let time = end - start;
        let overlap = |from: f64, to: f64| (to.min(end) - from.max(start)).max(0.0);
        let is_within = |at: f64| (start..end).contains(&at);
        let all = || visits.iter().map(|visit| (visit, visit.completes(swarm)));
        let completed = || all().filter(|&(_, at)| is_within(at));
        completed().next()?;
        Some(Self {
            arrivals: all().filter(|(visit, _)| is_within(visit.arrives)).count() as f64 / time,
            download: Spread::of(completed().map(|(visit, at)| at - visit.arrives)).mean,
            stay: Spread::of(completed().map(|(visit, _)| visit.stays)).mean,
            leechers: all().map(|(visit, at)| overlap(visit.arrives, at)).sum::<f64>() / time,
            seeds: all().map(|(visit, at)| overlap(at, at + visit.stays)).sum::<f64>() / time,
        })
    }
}

/// The seconds that all peers together spent downloading until the end.
pub(super) fn downloads(visits: &[Visit], swarm: &Swarm<'_>, end: f64) -> f64 {
    visits.iter().map(|visit| visit.completes(swarm).min(end) - visit.arrives).sum()
}

/// How many leechers there are over time, in seconds, and how many seeds, at so many points.
#[expect(clippy::cast_precision_loss, reason = "there are fewer peers than 2^52")]
pub(super) fn population(
    visits: &[Visit],
    swarm: &Swarm<'_>,
    end: f64,
    points: u32,
) -> [Vec<(f64, f64)>; 2] {
    let all: Vec<_> = visits.iter().map(|visit| (visit, visit.completes(swarm))).collect();
    let times = (0..points).map(|point| end * f64::from(point) / f64::from(points - 1));
    let points = times.map(|at| {
        let leech = |&&(visit, completes): &&(&Visit, f64)| visit.arrives <= at && at < completes;
        let seed =
            |&&(visit, completes): &&(&Visit, f64)| completes <= at && at < completes + visit.stays;
        let count = |is: &dyn Fn(&&(&Visit, f64)) -> bool| all.iter().filter(is).count() as f64;
        ((at, count(&leech)), (at, count(&seed)))
    });
    let (leechers, seeds) = points.unzip();
    [leechers, seeds]
}
