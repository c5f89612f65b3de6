//! From when until when something held, such as "is interested", for each peer that a log names.

use std::collections::BTreeMap;

use super::log::{Event, Log};

/// In the order of time for each peer, without overlap.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    of: BTreeMap<u32, Vec<Phase>>,
    /// The line that is being read.
    line: usize,
    now: f64,
    /// A phase that begins again after no more than this many seconds has not ended.
    pause: f64,
}

/// One phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    /// The number of the line with which it began.
    pub(crate) line: usize,
    pub(crate) from: f64,
    /// Infinite if no line ended it.
    pub(crate) until: f64,
}

impl Phases {
    /// Goes through the log; the function begins and ends phases.
    pub(crate) fn of(log: &Log, step: impl FnMut(&Event, &mut Self)) -> Self {
        Self::bridging(0.0, log, step)
    }

    /// The same, but what ends and begins again after no more than this many seconds goes on.
    pub(crate) fn bridging(pause: f64, log: &Log, mut step: impl FnMut(&Event, &mut Self)) -> Self {
        let mut phases = Self { pause, ..Self::default() };
        for line in &log.lines {
            (phases.line, phases.now) = (line.number, line.at);
            step(&line.event, &mut phases);
        }
        phases
    }

    /// It holds for this peer from now on; nothing changes if it does already.
    pub(crate) fn begin(&mut self, peer: u32) {
        let (line, from) = (self.line, self.now);
        let phases = self.of.entry(peer).or_default();
        match phases.last_mut() {
            Some(last) if last.until >= from - self.pause => last.until = f64::INFINITY,
            _ => phases.push(Phase { line, from, until: f64::INFINITY }),
        }
    }

    /// It no longer holds for this peer.
    pub(crate) fn end(&mut self, peer: u32) {
        let last = self.of.get_mut(&peer).and_then(|phases| phases.last_mut());
        if let Some(last) = last.filter(|last| last.until.is_infinite()) {
            last.until = self.now;
        }
    }

    /// It holds for these peers from now on, and for no others.
    pub(crate) fn only(&mut self, peers: &[u32]) {
        let others: Vec<_> = self.of.keys().copied().filter(|peer| !peers.contains(peer)).collect();
        others.into_iter().for_each(|peer| self.end(peer));
        peers.iter().for_each(|&peer| self.begin(peer));
    }

    /// Whether it held for the peer at some time from the first to the second.
    pub(crate) fn sometime(&self, peer: u32, (from, until): (f64, f64)) -> bool {
        self.last_begun(peer, until).is_some_and(|phase| phase.until >= from)
    }

    /// Whether it held for the peer all the time from the first to the second.
    pub(crate) fn always(&self, peer: u32, (from, until): (f64, f64)) -> bool {
        self.last_begun(peer, from).is_some_and(|phase| phase.until >= until)
    }

    /// The phases of a peer.
    pub(crate) fn phases(&self, peer: u32) -> &[Phase] {
        self.of.get(&peer).map_or(&[], Vec::as_slice)
    }

    fn last_begun(&self, peer: u32, by: f64) -> Option<&Phase> {
        let phases = self.phases(peer);
        phases[..phases.partition_point(|phase| phase.from <= by)].last()
    }
}
