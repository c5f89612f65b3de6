//! `demo`: what `peer swarm` shows, in virtual time.
//!
//! Source: Kurose & Ross 2.5 (the text was read): a peer that uploads at a higher rate finds better
//! trading partners and has the file sooner. No formula says how clear that is after a minute and a
//! half; the bands are what the demonstration promises, and all numbers are ours.

use std::collections::BTreeMap;
use std::time::Duration;

use common::geometry::{Block, Geometry};
use common::id::PeerId;
use common::moment::Moment;
use fastrand::Rng;

use super::books;
use super::swarm::{LONGEST, run_until};
use super::{
    Accept, Anchor, Band, Bar, Context, Entry, Expect, Figure, Follow, Kind, Measure, Panel,
    Parameter, Parameters, Read, Run, Scenario, Stopped, Timeline, Variation,
};
use crate::choker::{ChokeReason, UnchokeReason};
use crate::decision::Decision;
use crate::demo::{CHUNK_SIZE, Ledger, Member, Role, SAMPLE_LENGTH, Setup, rank_correlation};
use crate::sim::{Conduct, HostId, Link, Observer, Participant, Settings, World};
use crate::torrent::Config;
use crate::units::rate;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "demo",
    about: "what `peer swarm` shows: peers that upload more finish sooner",
    rule: Entry {
        anchor: Anchor {
            source: "Kurose & Ross, section 2.5, on tit-for-tat",
            read: Read::Text,
            says: "a peer that uploads at a higher rate finds better trading partners and has the \
                   file sooner; how clear that is after a minute and a half is measured",
        },
        source: include_str!("demo.rs"),
        parameters: PARAMETERS,
        plan: None,
        run,
        runs: 5,
        variations: VARIATIONS,
        short: &[],
    },
};

#[rustfmt::skip]
const PARAMETERS: &[Parameter] = &[
    Parameter::new("peers", "Peers that upload as well", "24", Kind::Count(3, 50)),
    Parameter::new("free-riders", "Peers that only download", "1", Kind::Count(0, 10)),
    Parameter::new("upload-limit", "Upload limit of the fastest peer", "360KB", Kind::Rate),
    Parameter::new("head-start", "Part of the chunks that each peer begins with, in percent", "50", Kind::Count(0, 90)),
    Parameter::new("choker", "Choker of the peers", "textbook", Kind::Choker),
];

#[rustfmt::skip]
const VARIATIONS: &[Variation] = &[
    Variation::new("a choker without tit-for-tat", &[("choker", "random")], 5, &[Expect::Misses("rank correlation")]),
    Variation::new(
        "peers that begin with nothing wait for the seed, whatever they give",
        &[("head-start", "0")],
        3,
        &[Expect::Misses("rank correlation"), Expect::Ratio("time", Band::new(1.0, 1.4))],
    ),
];

/// Peers that upload more finish sooner.
const CORRELATION: Band = Band::new(-1.0, -0.6);

/// Free riders are among the last third.
const RIDER: Band = Band::new(0.66, 1.0);

/// A student should not wait longer, in seconds.
const LONGEST_DEMO: f64 = 90.0;

/// More than there ever are.
const MANY: f64 = 1e6;

/// Keeps the books, and counts what is seen of one peer.
struct Watch<'a> {
    ledger: Ledger,
    watched: HostId,
    /// How many neighbors the watched peer choked because of their rank, or because their turn was
    /// over and they had no better one.
    below_cut: u32,
    unchoked: Unchoked,
    /// Of all deliveries.
    digest: u64,
    follow: &'a mut dyn Follow,
}

impl Observer for Watch<'_> {
    fn decision(&mut self, at: Moment, host: HostId, decision: Decision) {
        self.follow.decision(at, host, &decision);
        let member = self.ledger.members()[host.0 as usize].peer_id;
        self.ledger.decision(member, at, &decision);
        let below_cut = matches!(
            decision,
            Decision::Choke {
                reason: ChokeReason::BelowCut(_)
                    | ChokeReason::OptimisticOver { standing: Some(_) },
                ..
            }
        );
        if host == self.watched {
            self.below_cut += u32::from(below_cut);
            self.unchoked.decision(at, &decision);
        }
    }

    fn delivered(&mut self, at: Moment, from: HostId, to: HostId, block: Block) {
        self.digest = books::digest(self.digest, at, from, to, block);
    }
}

/// Which neighbors a peer unchokes, for the plot.
struct Unchoked {
    /// The neighbor of each row.
    rows: Vec<PeerId>,
    /// For the rows that are unchoked: the shade, and since when.
    open: BTreeMap<usize, (usize, Moment)>,
    timeline: Timeline,
}

/// What the shades of the timeline mean.
const SHADES: [&str; 3] =
    ["among the fastest", "optimistic", "another reason, such as a free slot"];

impl Unchoked {
    /// The rows are the members that lack something, the fastest first, the free riders last.
    fn by(watched: usize, members: &[Member]) -> Self {
        let others = members.iter().enumerate().filter(|&(number, _)| number != watched);
        let mut others: Vec<&Member> =
            others.map(|(_, member)| member).filter(|member| member.role != Role::Seed).collect();
        others.sort_by_key(|member| (member.role == Role::Peer, member.upload_limit));
        others.reverse();
        let name = |member: &&Member| match (member.role, member.upload_limit) {
            (Role::Peer, Some(limit)) => format!("{}, {}", member.name, rate(limit)),
            (Role::Seed | Role::Peer | Role::FreeRider, _) => member.name.to_string(),
        };
        Self {
            rows: others.iter().map(|member| member.peer_id).collect(),
            open: BTreeMap::new(),
            timeline: Timeline::new(others.iter().map(name).collect(), &SHADES),
        }
    }

    fn decision(&mut self, at: Moment, decision: &Decision) {
        let (peer, shade) = match decision {
            Decision::Unchoke { peer, reason } | Decision::KeepUnchoked { peer, reason, .. } => {
                let shade = match reason {
                    UnchokeReason::Top { .. } => 0,
                    UnchokeReason::Optimistic | UnchokeReason::OptimisticFill => 1,
                    UnchokeReason::RidesAlong
                    | UnchokeReason::FreeSlot
                    | UnchokeReason::KeptAsSeed { .. }
                    | UnchokeReason::TurnAsSeed
                    | UnchokeReason::Kept
                    | UnchokeReason::Other { .. } => 2,
                };
                (peer, Some(shade))
            }
            Decision::Choke { peer, .. } | Decision::Disconnect { peer, .. } => (peer, None),
            Decision::Connect { .. }
            | Decision::Refuse { .. }
            | Decision::Round { .. }
            | Decision::KeepChoked { .. }
            | Decision::BeginChunk { .. }
            | Decision::Endgame { .. }
            | Decision::RequestTimedOut { .. }
            | Decision::Verified { .. }
            | Decision::HashFailed { .. }
            | Decision::Complete { .. } => return,
        };
        if let Some(row) = self.rows.iter().position(|id| *id == peer.peer_id) {
            self.set(row, shade, at);
        }
    }

    /// From now on the row has this shade, or none.
    fn set(&mut self, row: usize, shade: Option<usize>, at: Moment) {
        if self.open.get(&row).map(|&(before, _)| before) == shade {
            return;
        }
        if let Some((shade, since)) = self.open.remove(&row) {
            let [from, to] = [since, at].map(|at| at.since_start().as_secs_f64());
            self.timeline.bars.push(Bar { row, shade, from, to });
        }
        self.open.extend(shade.map(|shade| (row, (shade, at))));
    }

    fn end(mut self, at: Moment) -> Timeline {
        (0..self.rows.len()).for_each(|row| self.set(row, None, at));
        self.timeline
    }
}

/// What the swarm showed.
#[derive(Debug)]
pub struct Shown {
    /// Who gave, who got, and when.
    pub ledger: Ledger,
    below_cut: u32,
    /// Which neighbors the watched peer unchoked.
    unchoked: Timeline,
    digest: u64,
}

/// Lets the swarm trade until every peer has everything. All that the members do not differ in is
/// `common`.
///
/// # Errors
/// If it was interrupted, or if a peer never has everything.
pub fn swarm(
    setup: &Setup,
    common: &Config,
    rng: &mut Rng,
    follow: &mut dyn Follow,
) -> Result<Shown, Stopped> {
    let geometry =
        Geometry::new(SAMPLE_LENGTH, CHUNK_SIZE.into()).expect("the sample fits a torrent");
    let members = setup.members(&geometry, rng);
    let watch = Watch {
        unchoked: Unchoked::by(setup.watched().into(), &members),
        watched: HostId(setup.watched().into()),
        ledger: Ledger::new(geometry, members.clone()),
        below_cut: 0,
        digest: 0,
        follow,
    };
    let settings = Settings { geometry, announce_interval: Duration::from_secs(1800) };
    let mut world = World::observed_by(watch, settings, rng.u64(..));
    let hosts: Vec<HostId> = members
        .into_iter()
        .map(|member| {
            let trades = member.role == Role::Peer;
            let config = Config { listen_port: world.config().listen_port, ..common.clone() };
            let host = world.add_peer(Participant {
                config: member.config(&config),
                link: LOOPBACK,
                have: member.have,
                // In the order in which their threads happen to start.
                arrives_at: Duration::from_micros(rng.u64(..50_000)),
                conduct: Conduct::Honest,
            });
            let asks = trades.then(|| world.observer.follow.choker()).flatten();
            asks.into_iter().for_each(|asks| world.ask_choker(host, asks));
            host
        })
        .collect();
    if !run_until(&mut world, World::all_complete, LONGEST, |watch| watch.follow)? {
        return Err(Stopped::Impossible("a peer never has everything".to_owned()));
    }
    let now = Moment::START + world.elapsed();
    for host in hosts {
        let snapshot = world.peer(host).snapshot(now);
        world.observer.ledger.end(&snapshot, now);
    }
    let Watch { ledger, below_cut, unchoked, digest, .. } = world.observer;
    Ok(Shown { ledger, below_cut, unchoked: unchoked.end(now), digest })
}

fn run(parameters: &Parameters, context: &mut Context<'_>) -> Result<Run, Stopped> {
    let count = |name| u16::try_from(parameters.count(name)).expect("at most 50");
    let setup = Setup {
        peers: count("peers"),
        free_riders: count("free-riders"),
        upload_limit: Some(parameters.rate("upload-limit")),
        head_start: u8::try_from(parameters.count("head-start")).expect("at most 90"),
    };
    let common = Config { choker: parameters.choker("choker"), ..Config::new(PeerId([0; 20])) };
    let Context { seed, ref mut follow } = *context;
    let Shown { ledger, below_cut, unchoked, digest } =
        swarm(&setup, &common, &mut Rng::with_seed(seed), *follow)?;
    let bound = ledger.bounds().expect("all uploads are limited").peer_to_peer;
    // A limiter lets 50 ms pass at once.
    let times = Band::new(bound - 0.05, LONGEST_DEMO);
    let correlation = rank_correlation(&ledger.limits_and_times());
    let time = ledger.time().expect("the swarm is complete");
    let mut measures = vec![
        Measure::new("rank correlation of upload limit and finishing time", "", correlation)
            .accept(Accept::Each(CORRELATION)),
        Measure::new("time", "s", time).predicted(bound).accept(Accept::Each(times)),
    ];
    if let Some(rider) = ledger.first_free_rider() {
        let what = "place of the first free rider, of 1";
        measures.push(Measure::new(what, "", rider).accept(Accept::Each(RIDER)));
    }
    for (what, count, least) in [
        ("chokes below the cut that the watched peer tells", below_cut, 3.0),
        ("optimistic unchokes that found one of the fastest", ledger.promotions(), 10.0),
    ] {
        let band = Band::new(least, MANY);
        measures.push(Measure::new(what, "", f64::from(count)).accept(Accept::Each(band)));
    }
    let watched = &ledger.members()[usize::from(setup.watched())].name;
    let rows = format!("neighbors that {watched} unchokes");
    let plot = vec![Panel::new("time (seconds)", &rows, Figure::Timeline(unchoked))];
    Ok(Run { seed, measures, plot, digest })
}

/// Only the upload limits slow the members down.
const LOOPBACK: Link = Link { up: 1 << 30, down: 1 << 30, delay: Duration::from_micros(50) };
