//! A UDP echo behind a bad link: each datagram comes back late, twice, or not at all.
//!
//! `labs relay` draws what happens from a seed; the checks of lab 3 say it for each datagram.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::check::show;
use crate::seed::seed;
use crate::sockets::Udp;

/// How a link treats datagrams; each is drawn by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    /// The probability that a datagram is lost, in each direction.
    pub(crate) loss: f64,
    /// The time from the arrival of a datagram until its echo is sent.
    pub(crate) delay: Duration,
    /// At most so much more, evenly distributed. If it is longer than the time between two datagrams,
    /// their echoes can change places.
    pub(crate) jitter: Duration,
    /// The probability that an echo is sent twice.
    pub(crate) duplicate: f64,
}

/// What the relay did.
#[derive(Debug)]
pub(crate) enum Event {
    /// A datagram arrived, from this port; its echoes are due after these times.
    Arrived { at: Instant, datagram: Vec<u8>, port: u16, echoes: Vec<Duration> },
    /// An echo was sent; the datagrams are numbered from 0, in the order of their arrival.
    Echoed { number: usize, at: Instant },
}

/// The echo and the datagrams that it holds back.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) socket: Udp,
    /// Datagrams that have arrived; each has its number.
    arrived: usize,
    /// Ordered by the time at which they are due, then by their order of arrival.
    held: BTreeMap<(Instant, usize), Held>,
}

#[derive(Debug)]
struct Held {
    number: usize,
    datagram: Vec<u8>,
    port: u16,
}

/// More are lost: a sender that is faster than the link must not fill the memory.
const MAX_HELD: usize = 1000;

/// Systems end the wait of a socket up to some 10 ms late, which would be a part of every delay. So
/// for the last of it the relay looks for datagrams in short sleeps, which end on time.
const COARSE: Duration = Duration::from_millis(12);
const FINE: Duration = Duration::from_micros(200);

impl Link {
    /// The link of a student: the same ID, the same link.
    pub(crate) fn of_student(id: &str) -> Self {
        let mut rng = Rng::with_seed(seed(id, "link"));
        Self {
            loss: f64::from(rng.u32(5..=25)) / 100.0,
            delay: Duration::from_millis(rng.u64(20..=80)),
            jitter: Duration::from_millis(rng.u64(0..=40)),
            duplicate: f64::from(rng.u32(0..=20)) / 100.0,
        }
    }

    /// When the echoes of a datagram are sent; none if it or its echo is lost.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Vec<Duration> {
        // There and back.
        if rng.f64() < self.loss || rng.f64() < self.loss {
            return Vec::new();
        }
        let count = if rng.f64() < self.duplicate { 2 } else { 1 };
        (0..count).map(|_| self.delay + self.jitter.mul_f64(rng.f64())).collect()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, delay, jitter, duplicate } = self;
        write!(
            f,
            "loss {loss} in each direction, delay {delay:?}, jitter up to {jitter:?}, duplicates \
             {duplicate}"
        )
    }
}

impl Relay {
    pub(crate) fn new(socket: Udp) -> Self {
        Self { socket, arrived: 0, held: BTreeMap::new() }
    }

    /// Sends the next echo that is due, or receives a datagram and asks what happens to it; `None` if
    /// there was nothing to do for a while, at most until the deadline.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn turn(
        &mut self,
        deadline: Instant,
        echoes: impl FnOnce(&[u8]) -> Vec<Duration>,
    ) -> io::Result<Option<Event>> {
        let due = self.held.first_key_value().map(|(&(due, _), _)| due);
        if due.is_some_and(|due| due <= Instant::now())
            && let Some((_, held)) = self.held.pop_first()
        {
            let at = Instant::now();
            self.socket.send(&held.datagram, held.port)?;
            return Ok(Some(Event::Echoed { number: held.number, at }));
        }
        let until =
            due.map_or(deadline, |due| deadline.min(due.checked_sub(COARSE).unwrap_or(due)));
        let received = if until > Instant::now() {
            self.socket.receive(until)?
        } else {
            let received = self.socket.try_receive()?;
            if received.is_none() {
                thread::sleep(FINE);
            }
            received
        };
        let Some((datagram, port)) = received else { return Ok(None) };
        let (number, at) = (self.arrived, Instant::now());
        self.arrived += 1;
        let echoes = echoes(&datagram);
        for after in &echoes {
            if self.held.len() < MAX_HELD {
                let held = Held { number, datagram: datagram.clone(), port };
                // Each with a key of its own: two are rarely due in the same nanosecond.
                let mut due = at + *after;
                while self.held.contains_key(&(due, number)) {
                    due += Duration::from_nanos(1);
                }
                self.held.insert((due, number), held);
            }
        }
        Ok(Some(Event::Arrived { at, datagram, port, echoes }))
    }
}

/// What happened to all datagrams.
#[derive(Debug, Default)]
struct Totals {
    arrived: usize,
    echoed: usize,
    twice: usize,
    /// Of all echoes, the second ones too.
    delays: Vec<Duration>,
}

impl Totals {
    fn count(&mut self, echoes: &[Duration]) {
        /// Some 8 MB; the mean of more would say nothing new.
        const MOST: usize = 1 << 19;
        self.arrived += 1;
        self.echoed += usize::from(!echoes.is_empty());
        self.twice += usize::from(echoes.len() > 1);
        let room = MOST.saturating_sub(self.delays.len());
        self.delays.extend(echoes.iter().take(room));
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arrived, echoed, twice, delays } = self;
        write!(f, "so far {arrived} arrived, {echoed} were echoed, {twice} of them twice")?;
        let (Some(least), Some(most)) = (delays.iter().min(), delays.iter().max()) else {
            return Ok(());
        };
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
        let mean =
            delays.iter().map(|delay| milliseconds(*delay)).sum::<f64>() / delays.len() as f64;
        let (least, most) = (milliseconds(*least), milliseconds(*most));
        write!(f, "; after {least:.1}/{mean:.1}/{most:.1} ms (min/avg/max)")
    }
}

/// Echoes through the link until the program is stopped, and prints what happens to each datagram, and
/// totals when none has come for a while.
///
/// # Errors
/// When the port is in use, or stdout is closed.
pub(crate) fn run(port: u16, link: Link, mut rng: Rng) -> io::Result<()> {
    /// Longer than the pauses of a program that sends one ping after another.
    const PAUSE: Duration = Duration::from_secs(2);
    let mut relay = Relay::new(Udp::bind_at(port)?);
    eprintln!("listening on 127.0.0.1:{}", relay.socket.port()?);
    let began = Instant::now();
    let (mut totals, mut printed, mut last) = (Totals::default(), 0, began);
    loop {
        let event = relay.turn(Instant::now() + PAUSE, |_| link.draw(&mut rng))?;
        if totals.arrived > printed && last.elapsed() >= PAUSE {
            writeln!(io::stdout(), "{totals}")?;
            printed = totals.arrived;
        }
        if let Some(Event::Arrived { at, datagram, echoes, .. }) = event {
            totals.count(&echoes);
            last = at;
            let fate = match &echoes[..] {
                [] => "lost".to_owned(),
                [one] => format!("echo after {:.0} ms", milliseconds(*one)),
                [one, two, ..] => {
                    let (one, two) = (milliseconds(*one), milliseconds(*two));
                    format!("echoes after {one:.0} ms and {two:.0} ms")
                }
            };
            let seconds = (at - began).as_secs_f64();
            writeln!(io::stdout(), "{seconds:8.3} s  {fate:<30} {}", show(&datagram))?;
        }
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_loses_delays_and_duplicates_as_often_as_it_says() {
        let link = Link {
            loss: 0.2,
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(20),
            duplicate: 0.1,
        };
        let mut rng = Rng::with_seed(1);
        let fates: Vec<_> = (0..100_000).map(|_| link.draw(&mut rng)).collect();
        // 0.8 squared gets through both ways: 64,000, with a standard deviation of 152.
        let echoed = fates.iter().filter(|echoes| !echoes.is_empty()).count();
        assert!(echoed.abs_diff(64_000) < 1000, "{echoed}");
        // A tenth of these: 6,400, with a standard deviation of 77.
        let twice = fates.iter().filter(|echoes| echoes.len() == 2).count();
        assert!(twice.abs_diff(6_400) < 500, "{twice}");
        let all: Vec<f64> = fates.iter().flatten().map(|after| milliseconds(*after)).collect();
        assert!(all.iter().all(|after| (50.0..=70.0).contains(after)));
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!((mean - 60.0).abs() < 0.2, "{mean}");
    }

    #[test]
    fn totals_count_what_was_lost_and_what_was_echoed_twice() {
        let mut totals = Totals::default();
        totals.count(&[]);
        assert_eq!(totals.to_string(), "so far 1 arrived, 0 were echoed, 0 of them twice");
        totals.count(&[Duration::from_millis(20)]);
        totals.count(&[Duration::from_millis(30), Duration::from_millis(70)]);
        let expected = "so far 3 arrived, 2 were echoed, 1 of them twice; \
                        after 20.0/40.0/70.0 ms (min/avg/max)";
        assert_eq!(totals.to_string(), expected);
    }

    #[test]
    fn a_student_has_one_link_and_another_student_another() {
        assert_eq!(Link::of_student("alice"), Link::of_student("alice"));
        assert_ne!(Link::of_student("alice"), Link::of_student("bob"));
    }

    #[test]
    fn echoes_leave_in_the_order_in_which_they_are_due() {
        let (client, mut relay) = (Udp::bind().unwrap(), Relay::new(Udp::bind().unwrap()));
        let port = relay.socket.port().unwrap();
        let after = |n| vec![Duration::from_millis(n)];
        let deadline = Instant::now() + Duration::from_secs(5);
        for (datagram, echoes) in [(b"slow", after(80)), (b"fast", after(20)), (b"gone", vec![])] {
            client.send(datagram, port).unwrap();
            let event = relay.turn(deadline, |_| echoes).unwrap();
            assert!(matches!(event, Some(Event::Arrived { .. })));
        }
        let mut echoed = Vec::new();
        while echoed.len() < 2 {
            match relay.turn(deadline, |_| unreachable!("nothing was sent")).unwrap() {
                Some(Event::Echoed { number, .. }) => echoed.push(number),
                other => assert!(other.is_none() && Instant::now() < deadline),
            }
        }
        assert_eq!(echoed, [1, 0]);
        let texts = [(); 2].map(|()| client.receive(deadline).unwrap().unwrap().0);
        assert_eq!(texts, [b"fast", b"slow"]);
    }
}
