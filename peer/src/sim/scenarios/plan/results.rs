//! What is measured of a plan without a scenario.

use serde::{Deserialize, Serialize};

use super::{Arrivals, Begins, Class, Plan};
use crate::choker::free_rider;
use crate::sim::World;
use crate::sim::scenarios::swarm::Swarm;
use crate::sim::scenarios::visits::{self, Visit};
use crate::sim::scenarios::{Context, Figure, Measure, Panel, Run, Series, Spread, Stopped, last};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// How many peers of each class have everything at the end.
    Complete,
    /// When the first of each class had everything.
    First,
    /// The mean time from a peer's arrival to its completion.
    Mean,
    /// When the last of each class had everything.
    Last,
    /// What the peers of each class uploaded together.
    Given,
    /// What they downloaded.
    Taken,
    /// When every peer had everything, with the bound of Kurose & Ross 2.5.
    All,
    /// Leechers and seeds over time.
    Population,
}

impl Measured {
    /// All of them.
    pub fn all() -> Vec<Self> {
        use Measured::*;
        vec![Complete, First, Mean, Last, Given, Taken, All, Population]
    }
}

impl Plan {
    /// Runs it once.
    ///
    /// # Errors
    /// If the peers cannot complete, or if the run was interrupted.
    pub fn run(&self, context: &mut Context<'_>) -> Result<Run, Stopped> {
        let seed = context.seed;
        let (mut swarm, joined) = self.swarm(context)?;
        match self.duration {
            Some(time) => swarm.run_for(time.0)?,
            None => swarm.run_until_complete()?,
        }
        let mut measures = Vec::new();
        for (class, peers) in self.classes.iter().zip(&joined) {
            let of_class = self.measure.iter().filter_map(|what| what.of(class, peers, &swarm));
            measures.extend(of_class);
        }
        if self.measure.contains(&Measured::All) && World::all_complete(&swarm.world) {
            let times = joined.iter().flatten().map(|peer| peer.completes(&swarm));
            let all = Measure::new("every peer has everything", "s", last(times));
            measures.push(Measure { predicted: self.bound(), ..all });
        }
        let mut plot = Vec::new();
        if self.measure.contains(&Measured::Population) {
            let end = swarm.world.elapsed().as_secs_f64();
            let peers: Vec<Visit> = joined.into_iter().flatten().collect();
            let lines = visits::population(&peers, &swarm, end, POINTS);
            let lines = ["leechers", "seeds"].into_iter().zip(lines);
            let lines = lines.map(|(name, points)| Series::measured(name, points)).collect();
            plot.push(Panel::new("time (seconds)", "peers", Figure::Lines(lines)));
        }
        Ok(Run { seed, measures, plot, digest: swarm.world.observer.digest })
    }

    /// max{F/u_s, F/d_min, N·F/(u_s + sum of u)} in seconds, if all peers come at once, some with
    /// everything and some with nothing.
    #[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
    fn bound(&self) -> Option<f64> {
        let f = f64::from(self.chunks) * f64::from(self.chunk_size.0);
        let (mut n, mut u_s, mut sum, mut d) = (0.0, 0.0, 0.0, f64::INFINITY);
        for class in &self.classes {
            if class.arrives != Arrivals::AtOnce {
                return None;
            }
            let count = f64::from(class.count.unwrap_or(1));
            let gives = class.choker != free_rider::STRATEGY;
            let up = if gives { count * class.up.0 as f64 } else { 0.0 };
            sum += up;
            match class.begins_with {
                Begins::Everything => u_s += up,
                Begins::Nothing => {
                    n += count;
                    d = d.min(class.down.0 as f64);
                }
                Begins::AllButOne | Begins::Random(_) => return None,
            }
        }
        (n > 0.0 && u_s > 0.0).then(|| (f / u_s).max(f / d).max(n * f / sum))
    }
}

impl Measured {
    /// Of one class; `None` if there is no such value.
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 bytes")]
    fn of(self, class: &Class, peers: &[Visit], swarm: &Swarm<'_>) -> Option<Measure> {
        let name = &class.name;
        let completed = || {
            let times = peers.iter().map(|peer| (peer, peer.completes(swarm)));
            times.filter(|&(_, at)| at.is_finite() && class.begins_with != Begins::Everything)
        };
        let measure =
            |what: &str, unit, value| Some(Measure::new(format!("{name}: {what}"), unit, value));
        let has_some = completed().next().is_some();
        let at = || Spread::of(completed().map(|(_, at)| at));
        let sum = |bytes: fn(&Swarm<'_>, &Visit) -> u64| {
            peers.iter().map(|peer| bytes(swarm, peer)).sum::<u64>() as f64 / 1e6
        };
        match self {
            Self::Complete | Self::Taken if class.begins_with == Begins::Everything => None,
            Self::Complete => measure("peers that complete", "", completed().count() as f64),
            Self::First | Self::Mean | Self::Last if !has_some => None,
            Self::First => measure("the first completes", "s", at().least),
            Self::Mean => {
                let times = completed().map(|(peer, at)| at - peer.arrives);
                measure("mean time to complete", "s", Spread::of(times).mean)
            }
            Self::Last => measure("the last completes", "s", at().most),
            Self::Given => measure("given", "MB", sum(|swarm, peer| swarm.uploaded(peer.host))),
            Self::Taken => measure("taken", "MB", sum(|swarm, peer| swarm.downloaded(peer.host))),
            Self::All | Self::Population => None,
        }
    }
}

/// In a line over time.
const POINTS: u32 = 101;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::{Stay, Time};
    use super::*;
    use crate::sim::scenarios::rows;

    fn measured(plan: &Plan, seed: u64) -> BTreeMap<String, Measure> {
        let run = plan.run(&mut Context { seed, follow: &mut () }).unwrap();
        run.measures.into_iter().map(|measure| (measure.what.clone(), measure)).collect()
    }

    /// A seed of 100 kB/s and four peers with 1 MiB to get.
    fn plan() -> Plan {
        let peer = Class { count: Some(4), ..Class::new("peer", 50_000, 1_000_000) };
        Plan::new(16, 64 * 1024).classes([Class::seed(100_000, 1_000_000), peer])
    }

    #[test]
    fn what_is_given_is_taken_and_the_last_is_above_the_bound() {
        let measured = measured(&plan(), 1);
        let value = |what: &str| measured[what].measured;
        let content = 4.0 * 1.048_576;
        assert_eq!(value("peer: peers that complete"), 4.0);
        // Of blocks that two neighbors send at the end one is wasted.
        let (given, taken) = (value("seed: given") + value("peer: given"), value("peer: taken"));
        assert!((content..1.1 * content).contains(&taken) && (given - taken).abs() < 0.1);
        let (first, mean) =
            (value("peer: the first completes"), value("peer: mean time to complete"));
        let all = &measured["every peer has everything"];
        assert!(first <= mean && mean <= all.measured);
        assert_eq!(value("peer: the last completes"), all.measured);
        // N F/(u_s + N u) = 4 F/300 kB/s.
        assert_eq!(all.predicted, Some(content * 1e6 / 300_000.0));
        assert!(all.measured > all.predicted.unwrap());
    }

    #[test]
    fn a_mean_time_counts_from_the_arrival_and_a_bound_is_for_peers_that_come_at_once() {
        let late = Time(Duration::from_secs(1000));
        let mut plan = plan();
        plan.classes[1].arrives = Arrivals::At(vec![late]);
        plan.classes[1].count = None;
        let measured = measured(&plan, 1);
        let last = measured["peer: the last completes"].measured;
        assert!((last - 1000.0 - measured["peer: mean time to complete"].measured).abs() < 1e-6);
        assert_eq!(measured["every peer has everything"].predicted, None);
        plan.classes[1].arrives = Arrivals::AtOnce;
        plan.classes[1].choker = free_rider::STRATEGY;
        // F/u_s: a free rider adds nothing.
        assert_eq!(plan.bound(), Some(1_048_576.0 / 100_000.0));
    }

    #[test]
    fn where_no_peer_completes_there_is_no_time() {
        let short = plan().lasts(Duration::from_secs(5));
        let run = |plan: &Plan| plan.run(&mut Context { seed: 1, follow: &mut () }).unwrap();
        let rows = rows(&[run(&short), run(&plan())]);
        let row = |what: &str| rows.iter().find(|row| row.what == what).unwrap();
        assert_eq!(row("peer: peers that complete").measured.least, 0.0);
        let first = row("peer: the first completes").measured;
        assert_eq!(first.least, first.most, "it is that of one run");
        assert!(first.mean > 5.0);
    }

    #[test]
    fn the_population_counts_those_that_are_there() {
        let mut plan = plan().lasts(Duration::from_secs(1000));
        plan.classes[1].stays = Stay::For(Time(Duration::from_secs(100)));
        plan.measure = vec![Measured::Population];
        let run = plan.run(&mut Context { seed: 1, follow: &mut () }).unwrap();
        assert_eq!(run.measures, []);
        let at = |name: &str, point: usize| {
            let Figure::Lines(lines) = &run.plot[0].figure else { panic!("{:?}", run.plot) };
            lines.iter().find(|series| series.name == name).unwrap().points[point]
        };
        assert_eq!((at("leechers", 0), at("seeds", 0)), ((0.0, 4.0), (0.0, 1.0)));
        assert_eq!((at("leechers", 5), at("seeds", 5)), ((50.0, 0.0), (50.0, 5.0)));
        assert_eq!((at("leechers", 100), at("seeds", 100)), ((1000.0, 0.0), (1000.0, 1.0)));
    }
}
