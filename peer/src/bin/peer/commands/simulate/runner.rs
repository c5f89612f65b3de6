//! Runs of scenarios, one a thread, on all cores. The results do not depend on how many there are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use common::moment::Moment;
use indicatif::{ProgressBar, ProgressStyle};
use peer::choker::AskChoker;
use peer::decision::Decision;
use peer::sim::HostId;
use peer::sim::scenarios::{Context, Follow, Parameters, Plan, Progress, Run, Scenario, Stopped};
use peer::units::size;

use crate::choker_program::Starter;
use crate::report::{EventFile, say};
use crate::stop::Stop;

/// One run.
pub(super) struct Job {
    pub(super) subject: Subject,
    pub(super) seed: u64,
}

/// What is run.
#[derive(Clone)]
pub(super) enum Subject {
    Scenario(Scenario, Parameters),
    Plan(Plan),
}

/// Runs jobs, and counts what they cost.
pub(super) struct Runner {
    stop: Stop,
    /// Of programs that choose in place of chokers.
    starter: Option<Starter>,
    /// Until the first run has taken them.
    events: Option<EventFile>,
    /// To report errors at the end.
    written: Option<EventFile>,
    handled: u64,
    started: Instant,
}

impl Runner {
    pub(super) fn new(stop: Stop, events: Option<EventFile>, starter: Option<Starter>) -> Self {
        let written = events.clone();
        Self { stop, starter, events, written, handled: 0, started: Instant::now() }
    }

    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// What follows one run; its decisions are written if it is the first.
    pub(super) fn watch(&self, is_first: bool) -> Watch<'_> {
        Watch::new(&self.stop, self.starter.as_ref(), self.events.as_ref().filter(|_| is_first))
    }

    /// Another run had so many events.
    pub(super) fn count(&mut self, events: u64) {
        self.handled += events;
    }

    /// Runs these, and gives the results in their order; after Ctrl-C those that were complete.
    pub(super) fn run(&mut self, what: &str, jobs: Vec<Job>) -> Result<Vec<Run>> {
        self.run_each(what, jobs, |Job { subject, seed }, follow| {
            let context = &mut Context { seed, follow };
            match subject {
                Subject::Scenario(scenario, parameters) => scenario.run(&parameters, context),
                Subject::Plan(plan) => plan.run(context),
            }
        })
    }

    /// The same with jobs of any kind.
    pub(super) fn run_each<J: Send, R: Send>(
        &mut self,
        what: &str,
        jobs: Vec<J>,
        run: impl Fn(J, &mut dyn Follow) -> Result<R, Stopped> + Sync,
    ) -> Result<Vec<R>> {
        let bar = ProgressBar::new(jobs.len() as u64);
        let template = "{msg}  {pos} of {len} runs";
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        bar.set_message(what.to_owned());
        let bar = Bar { bar: &bar, what, runs: &Mutex::default() };
        let first_events = self.events.take();
        let (stop, starter, total) = (&self.stop, self.starter.as_ref(), jobs.len());
        let threads = thread::available_parallelism().map_or(1, usize::from).min(total);
        let queue = &Mutex::new(jobs.into_iter().enumerate());
        let run = &run;
        let (sender, finished) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, events) = (sender.clone(), first_events.as_ref());
                let bar = &bar;
                scope.spawn(move || {
                    while !stop.is_stopped() {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((number, job)) = next else { break };
                        let mut watch = Watch::new(stop, starter, events.filter(|_| number == 0));
                        watch.bar = Some((bar, number));
                        let result = run(job, &mut watch);
                        bar.done(number);
                        // The other end waits for all of them.
                        let _ = sender.send((number, result, watch.handled));
                    }
                });
            }
        });
        drop(sender);
        bar.bar.finish_and_clear();
        let mut results = BTreeMap::new();
        for (number, result, handled) in finished {
            self.handled += handled;
            match result {
                Ok(result) => drop(results.insert(number, result)),
                Err(Stopped::Interrupted) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot run {what}")),
            }
        }
        Ok(results.into_values().collect())
    }

    /// What all runs cost.
    pub(super) fn stats(&self) -> String {
        let time = self.started.elapsed().as_secs_f64();
        let memory = peak_memory().map_or(String::new(), |bytes| format!(", {}", size(bytes)));
        #[expect(clippy::cast_precision_loss, reason = "a number of events")]
        let rate = self.handled as f64 / time / 1e6;
        let events = self.handled;
        format!(
            "{events} events in {time:.1} s: {rate:.2} million a second{memory} of memory at most"
        )
    }

    /// # Errors
    /// If some of the events could not be written.
    pub(super) fn finish_events(&self) -> Result<()> {
        self.written.as_ref().map_or(Ok(()), EventFile::finish)
    }
}

/// The most memory that this process had, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}

/// How far the runs are.
struct Bar<'a> {
    bar: &'a ProgressBar,
    what: &'a str,
    /// Those that go on, by their numbers.
    runs: &'a Mutex<BTreeMap<usize, Progress>>,
}

impl Bar<'_> {
    fn update(&self, number: usize, progress: Progress, rate: f64) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.insert(number, progress);
        // The first of those that go on stands for all.
        if runs.keys().next() == Some(&number) {
            let Progress { at, incomplete, .. } = progress;
            let seconds = at.as_secs();
            self.bar.set_message(format!(
                "{}: {seconds} s, {incomplete} peers lack something, {rate:.1} million events/s",
                self.what
            ));
        }
    }

    fn done(&self, number: usize) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        self.bar.inc(1);
    }
}

/// Follows one run: ends it after Ctrl-C, shows how far it is, and writes its decisions.
pub(super) struct Watch<'a> {
    stop: &'a Stop,
    starter: Option<&'a Starter>,
    events: Option<&'a EventFile>,
    bar: Option<(&'a Bar<'a>, usize)>,
    names: BTreeMap<HostId, Arc<str>>,
    handled: u64,
    /// Of the worlds before this one, in a run that has several.
    before: u64,
    started: Instant,
}

impl<'a> Watch<'a> {
    fn new(stop: &'a Stop, starter: Option<&'a Starter>, events: Option<&'a EventFile>) -> Self {
        let (names, started) = (BTreeMap::new(), Instant::now());
        Self { stop, starter, events, bar: None, names, handled: 0, before: 0, started }
    }

    /// How many events there were so far.
    pub(super) fn handled(&self) -> u64 {
        self.handled
    }
}

impl Follow for Watch<'_> {
    fn decision(&mut self, at: Moment, host: HostId, decision: &Decision) {
        if let Some(events) = self.events {
            let name = self.names.entry(host).or_insert_with(|| format!("peer-{}", host.0).into());
            events.write(Some(&**name), at.since_start(), decision);
        }
    }

    fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        if self.before + progress.events < self.handled {
            self.before = self.handled;
        }
        self.handled = self.before + progress.events;
        if let Some((bar, number)) = self.bar {
            let time = self.started.elapsed().max(Duration::from_millis(1));
            #[expect(clippy::cast_precision_loss, reason = "a number of events")]
            bar.update(number, progress, self.handled as f64 / time.as_secs_f64() / 1e6);
        }
        if self.stop.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn choker(&mut self) -> Option<Box<dyn AskChoker>> {
        match self.starter?.start(1) {
            Ok(programs) => {
                let program = programs.into_iter().next().expect("one was started");
                Some(Box::new(program))
            }
            Err(error) => {
                say(format_args!("{error:#}; the peer keeps its own choker"));
                None
            }
        }
    }
}
