//! The world of a scenario: honest peers, with the books of every run.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;
use common::moment::Moment;

use super::Stopped;
use super::books::{self, Books};
use crate::choker::AskChoker;
use crate::decision::Decision;
use crate::sim::{Conduct, HostId, Link, Observer, Participant, Settings, World};
use crate::torrent::Config;

/// Follows a run while it goes on.
pub trait Follow {
    /// A peer decided something.
    fn decision(&mut self, at: Moment, host: HostId, decision: &Decision);

    /// How far the run is, now and then. A break ends it.
    fn progress(&mut self, progress: Progress) -> ControlFlow<()>;

    /// A choker outside of the library for the next peer, in place of its own. Seeds and free riders
    /// keep theirs.
    fn choker(&mut self) -> Option<Box<dyn AskChoker>> {
        None
    }
}

/// Follows nothing.
impl Follow for () {
    fn decision(&mut self, _: Moment, _: HostId, _: &Decision) {}

    fn progress(&mut self, _: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time since the start of the world.
    pub at: Duration,
    /// Events that the world has handled.
    pub events: u64,
    /// Peers that are present or still to come and lack something.
    pub incomplete: usize,
}

/// Events from one [`Follow::progress`] to the next.
const EVENTS_BETWEEN: u32 = 100_000;

/// What a run of a scenario begins with.
pub struct Context<'a> {
    /// For all that is drawn.
    pub seed: u64,
    /// Sees the run while it goes on.
    pub follow: &'a mut dyn Follow,
}

/// A world of honest peers, with its books.
pub(super) struct Swarm<'a> {
    pub(super) world: World<Books<'a>>,
    pub(super) geometry: Geometry,
    pub(super) links: Vec<Link>,
}

impl<'a> Swarm<'a> {
    /// A swarm around content of so many chunks, each of so many bytes.
    pub(super) fn new(
        chunks: u32,
        chunk_size: u32,
        context: &'a mut Context<'_>,
    ) -> Result<Self, Stopped> {
        let chunk_size = u64::from(chunk_size);
        let geometry = Geometry::new(u64::from(chunks) * chunk_size, chunk_size)
            .map_err(|error| Stopped::Impossible(error.to_string()))?;
        let announce_interval = Duration::from_secs(1800);
        let settings = Settings { geometry, announce_interval };
        let books = Books::new(geometry, context.follow);
        let world = World::observed_by(books, settings, context.seed);
        Ok(Self { world, geometry, links: Vec::new() })
    }

    /// A peer with these chunks, which comes at this time.
    pub(super) fn join_at(
        &mut self,
        arrives_at: Duration,
        have: Bitfield,
        link: Link,
        configure: impl FnOnce(&mut Config),
    ) -> HostId {
        let mut config = self.world.config();
        configure(&mut config);
        self.world.observer.brings(have.clone());
        self.links.push(link);
        let conduct = Conduct::Honest;
        self.world.add_peer(Participant { config, link, have, arrives_at, conduct })
    }

    /// Runs until all peers that should complete have done so, and checks the books.
    pub(super) fn run_until_complete(&mut self) -> Result<(), Stopped> {
        if !self.run_until(World::all_complete, LONGEST)? {
            return Err(incomplete());
        }
        books::audit(self);
        Ok(())
    }

    /// Runs until all peers that should complete have done so, looks at the swarm again and again on
    /// the way, and checks the books.
    pub(super) fn watch_until_complete(
        &mut self,
        every: Duration,
        mut look: impl FnMut(&Self),
    ) -> Result<(), Stopped> {
        while !self.run_until(World::all_complete, every)? {
            if self.world.elapsed() > LONGEST {
                return Err(incomplete());
            }
            look(self);
        }
        books::audit(self);
        Ok(())
    }

    /// Runs for this time, and checks the books.
    pub(super) fn run_for(&mut self, time: Duration) -> Result<(), Stopped> {
        self.run_until(|_| false, time)?;
        books::audit(self);
        Ok(())
    }

    fn run_until(
        &mut self,
        is_so: impl Fn(&World<Books<'a>>) -> bool,
        at_most: Duration,
    ) -> Result<bool, Stopped> {
        run_until(&mut self.world, is_so, at_most, books_follow)
    }

    pub(super) fn uploaded(&self, host: HostId) -> u64 {
        self.world.peer(host).totals().uploaded
    }

    pub(super) fn downloaded(&self, host: HostId) -> u64 {
        self.world.peer(host).totals().downloaded
    }
}

fn books_follow<'b>(books: &'b mut Books<'_>) -> &'b mut dyn Follow {
    books.follow
}

/// Runs until the condition holds, for at most this time. Returns whether it holds.
pub(super) fn run_until<O: Observer>(
    world: &mut World<O>,
    is_so: impl Fn(&World<O>) -> bool,
    at_most: Duration,
    follow: impl Fn(&mut O) -> &mut dyn Follow,
) -> Result<bool, Stopped> {
    let end = world.elapsed() + at_most;
    loop {
        let left = end.saturating_sub(world.elapsed());
        let events = Cell::new(0);
        let pauses = |world: &World<O>| {
            events.set(events.get() + 1);
            events.get() > EVENTS_BETWEEN || is_so(world)
        };
        let before_the_end = world.run_until(pauses, left);
        let progress = Progress {
            at: world.elapsed(),
            events: world.events(),
            incomplete: world.incomplete(),
        };
        if follow(&mut world.observer).progress(progress).is_break() {
            return Err(Stopped::Interrupted);
        }
        if is_so(world) || !before_the_end {
            return Ok(is_so(world));
        }
    }
}

fn incomplete() -> Stopped {
    let hours = LONGEST.as_secs() / 3600;
    Stopped::Impossible(format!("the peers did not have everything after {hours} hours"))
}

/// No scenario takes longer than this, in virtual time.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 3600);
