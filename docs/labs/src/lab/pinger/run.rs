//! A run of the student's pinger against a relay, and whether its lines are true of what the relay did.

use std::time::{Duration, Instant};

use crate::check::{Context, Failure, Stop, show};
use crate::hints;
use crate::lab::client;
use crate::lab::pinger::output::{self, Line};
use crate::relay::{Event, Relay, milliseconds};
use crate::sockets::Udp;

/// A pinger waits so long for the reply to an attempt.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(200);

/// The attempts that a ping has.
pub(crate) const ATTEMPTS: u32 = 3;

/// When two events are closer, the program may have seen them in the other order: it is another
/// process, and other programs run beside it.
const SLACK: Duration = Duration::from_millis(30);

/// Late enough that a program which then waits for another [`TIMEOUT`] sends clearly too late.
const STRANGE_AFTER: Duration = Duration::from_millis(150);

/// Everything that a run left.
pub(crate) struct Run {
    count: u32,
    pub(crate) printed: String,
    pub(crate) lines: Vec<Line>,
    /// In the order of their arrival.
    pub(crate) probes: Vec<Probe>,
}

/// A datagram of the pinger.
pub(crate) struct Probe {
    pub(crate) ping: u32,
    pub(crate) attempt: u32,
    pub(crate) at: Instant,
    /// When its echoes were sent.
    pub(crate) echoed: Vec<Instant>,
}

/// Runs `PROGRAM HOST PORT COUNT` until it ends. `echoes` says when the echoes of an attempt of a ping
/// are sent; the `strange` datagrams are sent to the pinger whenever one of its own arrives, and once
/// more if no other has come by [`STRANGE_AFTER`].
pub(crate) fn run(
    context: &mut Context<'_>,
    count: u32,
    echoes: impl Fn(u32, u32) -> Vec<Duration>,
    strange: &[&[u8]],
) -> Result<Run, Stop> {
    /// How often to look whether the program has ended.
    const LOOK: Duration = Duration::from_millis(20);
    /// Far more than any check asks for.
    const MAX_DATAGRAMS: usize = 1000;
    let mut relay = Relay::new(Udp::bind()?);
    let port = relay.socket.port()?.to_string();
    let mut program = context.start(&["127.0.0.1", &port, &count.to_string()], "")?;
    // A second remains to collect what it has printed.
    let deadline = context.within(Duration::from_secs(9));
    let mut probes: Vec<Probe> = Vec::new();
    let mut strange_due = None;
    while program.ended()?.is_none() {
        if Instant::now() >= deadline || probes.len() > MAX_DATAGRAMS {
            let expected = format!("the program exits after {count} pings");
            let got = format!(
                "it is still running, and has sent {} datagrams and printed {}",
                probes.len(),
                show(program.stdout().as_bytes())
            );
            return Err(Failure::new(expected, got).hint(hints::PING_AT_ONCE).into());
        }
        if let Some((due, port)) = strange_due
            && due <= Instant::now()
        {
            strange.iter().try_for_each(|datagram| relay.socket.send(datagram, port))?;
            strange_due = None;
        }
        let echoes = |datagram: &[u8]| match parse(datagram) {
            Some((ping, attempt)) => echoes(ping, attempt),
            None => Vec::new(),
        };
        match relay.turn(Instant::now() + LOOK, echoes)? {
            Some(Event::Arrived { at, datagram, port, .. }) => {
                let Some((ping, attempt)) = parse(&datagram) else {
                    let expected = "datagrams that begin with the numbers of the ping and the \
                                    attempt, such as \"1 1\"";
                    let failure = Failure::new(expected, show(&datagram));
                    return Err(failure.hint(hints::PING_FORMAT).into());
                };
                probes.push(Probe { ping, attempt, at, echoed: Vec::new() });
                strange.iter().try_for_each(|datagram| relay.socket.send(datagram, port))?;
                strange_due = Some((at + STRANGE_AFTER, port));
            }
            Some(Event::Echoed { number, at }) => probes[number].echoed.push(at),
            None => {}
        }
    }
    program.wait(context.within(Duration::from_secs(1)))?;
    let printed = program.stdout();
    if probes.is_empty() {
        let got = format!("no datagram; {}", client::state(&mut program)?);
        return Err(Failure::new(format!("{count} pings"), got).into());
    }
    let lines = output::lines(&printed).map_err(|line| {
        let expected = "lines such as \"reply 1 1 20.5\" and \"lost 2\"";
        Failure::new(expected, format!("{line:?}")).hint(hints::PING_FORMAT)
    })?;
    Ok(Run { count, printed, lines, probes })
}

/// The numbers of the ping and of the attempt.
fn parse(datagram: &[u8]) -> Option<(u32, u32)> {
    let mut words = str::from_utf8(datagram).ok()?.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

impl Run {
    /// There is one line for each ping, in order, and it is true.
    pub(crate) fn judge_lines(&self, hint: &'static str) -> Result<(), Stop> {
        let pings: Vec<_> = self.lines.iter().map(|line| line.ping()).collect();
        if !pings.iter().copied().eq(1..=self.count) {
            let expected = format!("one line for each ping from 1 to {}, in order", self.count);
            let got = match &pings[..] {
                [] => "no line for any ping".to_owned(),
                pings => format!("lines for the pings {pings:?}"),
            };
            return Err(Failure::new(expected, got).hint(hint).into());
        }
        for line in &self.lines {
            self.judge_line(*line, hint)?;
        }
        Ok(())
    }

    fn judge_line(&self, line: Line, hint: &'static str) -> Result<(), Stop> {
        let ping = line.ping();
        let probes = || self.probes.iter().filter(|probe| probe.ping == ping);
        let first_echo = |probe: &Probe| probe.echoed.first().map(|at| (*at, probe.attempt));
        let first = probes().filter_map(first_echo).min();
        let fail = |got: String| -> Result<(), Stop> {
            let expected = match first {
                Some((_, attempt)) => format!("reply {ping} {attempt} and its RTT"),
                None => format!("lost {ping}"),
            };
            Err(Failure::new(expected, got).hint(hint).into())
        };
        match (line, first) {
            (Line::Lost { .. }, None) => Ok(()),
            (Line::Lost { .. }, Some((at, _))) => {
                let last = probes().map(|probe| probe.at).max().expect("it was echoed");
                // Too late for the program, or nearly so.
                if at + SLACK >= last + TIMEOUT { Ok(()) } else { fail(format!("lost {ping}")) }
            }
            (Line::Reply { attempt, .. }, Some((at, _))) => {
                let named = probes().filter(|probe| probe.attempt == attempt);
                let named = named.filter_map(first_echo).min();
                match named {
                    Some((echoed, _)) if echoed <= at + SLACK => Ok(()),
                    _ => fail(format!("reply {ping} {attempt}")),
                }
            }
            (Line::Reply { attempt, .. }, None) => {
                fail(format!("reply {ping} {attempt}, although no attempt was echoed"))
            }
        }
    }

    /// The median of the times between an attempt and the next of the same ping, in milliseconds; `None`
    /// if there are none. A single one can be late, because of other work on the machine.
    pub(crate) fn time_out(&self) -> Option<f64> {
        let pairs = self.probes.windows(2).filter(|pair| pair[0].ping == pair[1].ping);
        let mut gaps: Vec<_> = pairs.map(|pair| milliseconds(pair[1].at - pair[0].at)).collect();
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    }

    /// The RTTs are those that the relay made, of first attempts and of later ones alike.
    ///
    /// Another program on the machine can make a single one longer, or shorter if it runs between the
    /// send and the look at the clock; so the median of the differences is judged.
    pub(crate) fn judge_rtts(&self) -> Result<(), Stop> {
        /// In milliseconds. A mistake is a time-out, 200 ms, or a wrong unit.
        const TOLERANCE: f64 = 20.0;
        let (first, later): (Vec<_>, Vec<_>) =
            self.lines.iter().filter_map(|line| self.compare(*line)).partition(|c| c.attempt == 1);
        for mut comparisons in [first, later] {
            comparisons.sort_by(|a, b| a.difference().total_cmp(&b.difference()));
            let Some(median) = comparisons.get(comparisons.len() / 2) else { continue };
            if median.difference().abs() > TOLERANCE {
                let Compared { ping, attempt, rtt, made } = median;
                let expected = format!("about \"reply {ping} {attempt} {made:.1}\"");
                let got = format!("\"reply {ping} {attempt} {rtt}\"");
                return Err(Failure::new(expected, got).hint(hints::RTT).into());
            }
        }
        Ok(())
    }

    /// The RTT of a line beside the one that the relay made; `None` for a ping without a reply.
    fn compare(&self, line: Line) -> Option<Compared> {
        let Line::Reply { ping, attempt, rtt } = line else { return None };
        let named = |probe: &&Probe| (probe.ping, probe.attempt) == (ping, attempt);
        let probe = self.probes.iter().find(named)?;
        let made = milliseconds(*probe.echoed.first()? - probe.at);
        Some(Compared { ping, attempt, rtt, made })
    }
}

/// An RTT in milliseconds, as the program printed it and as the relay made it.
struct Compared {
    ping: u32,
    attempt: u32,
    rtt: f64,
    made: f64,
}

impl Compared {
    fn difference(&self) -> f64 {
        self.rtt - self.made
    }
}
