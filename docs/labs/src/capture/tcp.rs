//! A TCP connection, from what each side's program sends and when: the handshake, segments of at most
//! [`MSS`] bytes, acknowledgments, FIN and RST (RFC 9293; K&R 3.5).
//!
//! What it leaves out: loss and retransmission, since the simulator's network loses nothing, and
//! congestion control, which at the rates of these swarms would hold back nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use common::moment::Moment;

/// Most bytes of a segment: Ethernet's 1500 less the headers of IPv4 and TCP.
pub(super) const MSS: u16 = 1460;

/// How long an acknowledgment waits for a second segment or for data to travel with (RFC 9293 allows
/// 500 ms; this is Linux's least).
const DELAYED_ACK: Duration = Duration::from_millis(40);

/// A segment of one of the two sides, 0 being the one that connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) at: Moment,
    pub(super) from: usize,
    pub(super) flags: Flags,
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) payload: Vec<u8>,
}

/// The flags of a segment that are in use here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) psh: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
}

const SYN: Flags = Flags { syn: true, ack: false, psh: false, fin: false, rst: false };
const ACK: Flags = Flags { ack: true, syn: false, psh: false, fin: false, rst: false };

/// What one side does.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// In the order of their times.
    pub(super) writes: Vec<Write>,
    /// When its program closes.
    pub(super) closes_at: Option<Moment>,
}

/// Bytes that a program sends, at one time or at a constant rate.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) bytes: Vec<u8>,
    /// When the first and the last byte leave.
    pub(super) sent: [Moment; 2],
    /// When they arrive.
    pub(super) received: [Moment; 2],
}

impl Write {
    /// The moment between the two at which so much of the bytes has passed.
    fn share(&self, [first, last]: [Moment; 2], bytes: usize) -> Moment {
        let nanos = (last - first).as_nanos() * bytes as u128 / self.bytes.len() as u128;
        first + Duration::from_nanos(u64::try_from(nanos).expect("less than the whole"))
    }
}

/// What happens next. Simultaneous events happen in this order: what a side sends acknowledges all that
/// has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { segment: usize },
    Sends { side: usize, payload: usize },
    Closes { side: usize },
    AcknowledgesLater { side: usize },
}

/// One side's state of the connection.
#[derive(Debug)]
struct End {
    /// The number of the next byte that it sends.
    next: u32,
    /// The number of the next byte that it expects.
    expected: u32,
    /// Segments that have arrived and are not acknowledged.
    unacknowledged: u32,
    acknowledges_later_at: Option<Moment>,
    closed: bool,
    /// It has sent or received a RST, and sends nothing more of its own.
    reset: bool,
    closes_at: Option<Moment>,
    /// When all that it has sent will have arrived.
    all_arrives_at: Moment,
    payloads: Vec<Payload>,
}

/// The payload of one segment.
#[derive(Debug)]
struct Payload {
    bytes: Vec<u8>,
    at: Moment,
    arrives_at: Moment,
    /// It is the last of its write.
    push: bool,
}

#[derive(Debug)]
struct Connection {
    ends: [End; 2],
    way: Duration,
    events: BTreeSet<(Moment, Event)>,
    segments: Vec<Segment>,
}

/// The segments of a connection that side 0 opens at this time, in the order in which they are sent. It
/// takes `way` from one side to the other.
pub(super) fn connection(
    opens_at: Moment,
    way: Duration,
    sides: &[Side; 2],
    first_numbers: [u32; 2],
) -> Vec<Segment> {
    let mut connection = Connection::open(opens_at, way, sides, first_numbers);
    while let Some((at, event)) = connection.events.pop_first() {
        connection.happens(at, event);
    }
    connection.segments
}

/// A SYN to a port at which no program listens, and the RST that answers it.
pub(super) fn refused(at: Moment, way: Duration, first_number: u32) -> Vec<Segment> {
    let rst = Flags { rst: true, ..ACK };
    let segment = |at, from, flags, sequence, acknowledgment| {
        let payload = Vec::new();
        Segment { at, from, flags, sequence, acknowledgment, payload }
    };
    vec![
        segment(at, 0, SYN, first_number, 0),
        segment(at + way, 1, rst, 0, first_number.wrapping_add(1)),
    ]
}

impl Connection {
    fn open(opens_at: Moment, way: Duration, sides: &[Side; 2], first_numbers: [u32; 2]) -> Self {
        let mut events = BTreeSet::new();
        let ends = [0, 1].map(|number: usize| {
            let side = &sides[number];
            let payloads = payloads(side);
            for (payload, Payload { at, .. }) in payloads.iter().enumerate() {
                events.insert((*at, Event::Sends { side: number, payload }));
            }
            if let Some(at) = side.closes_at {
                events.insert((at, Event::Closes { side: number }));
            }
            End {
                // Each SYN counts as a byte.
                next: first_numbers[number].wrapping_add(1),
                expected: first_numbers[1 - number].wrapping_add(1),
                unacknowledged: 0,
                acknowledges_later_at: None,
                closed: false,
                reset: false,
                closes_at: side.closes_at,
                all_arrives_at: opens_at,
                payloads,
            }
        });
        let mut connection = Self { ends, way, events, segments: Vec::new() };
        let [ours, theirs] = first_numbers;
        let syn_ack = Flags { syn: true, ..ACK };
        connection.push(opens_at, 0, SYN, ours, 0);
        connection.push(opens_at + way, 1, syn_ack, theirs, ours.wrapping_add(1));
        connection.acknowledge(opens_at + 2 * way, 0);
        connection
    }

    fn happens(&mut self, at: Moment, event: Event) {
        match event {
            Event::Arrives { segment } => self.arrives(at, segment),
            Event::Sends { side, payload } if !self.ends[side].reset => {
                let payload = &mut self.ends[side].payloads[payload];
                let Payload { bytes, arrives_at, push, .. } = payload;
                let (payload, arrives_at, psh) = (std::mem::take(bytes), *arrives_at, *push);
                self.send(at, side, Flags { psh, ..ACK }, payload, arrives_at);
            }
            Event::Closes { side } if !self.ends[side].reset => {
                self.ends[side].closed = true;
                self.send(at, side, Flags { fin: true, ..ACK }, Vec::new(), at + self.way);
            }
            Event::AcknowledgesLater { side } => {
                if self.ends[side].acknowledges_later_at == Some(at) {
                    self.acknowledge(at, side);
                }
            }
            Event::Sends { .. } | Event::Closes { .. } => {}
        }
    }

    /// A segment with data, a FIN or a RST arrives.
    fn arrives(&mut self, at: Moment, segment: usize) {
        let Segment { from, flags, ref payload, .. } = self.segments[segment];
        let (to, length) = (1 - from, payload.len());
        if flags.rst {
            self.ends[to].reset = true;
            return;
        }
        let end = &mut self.ends[to];
        if end.reset || (end.closed && length > 0) {
            // No program is there to read it (RFC 9293, 3.10.7.1).
            end.reset = true;
            let (sequence, expected) = (end.next, end.expected);
            let rst = Flags { rst: true, ..ACK };
            self.push(at, to, rst, sequence, expected);
            self.arrives_later(at + self.way);
            return;
        }
        end.expected = end.expected.wrapping_add(u32::try_from(length).expect("at most MSS"));
        end.unacknowledged += 1;
        if flags.fin {
            end.expected = end.expected.wrapping_add(1);
            // A program that closes in response acknowledges with its own FIN.
            if end.closes_at != Some(at) {
                self.acknowledge(at, to);
            }
        } else if end.unacknowledged >= 2 {
            // RFC 9293, 3.8.6.3: at least every second full segment.
            self.acknowledge(at, to);
        } else {
            let later = at + DELAYED_ACK;
            end.acknowledges_later_at = Some(later);
            self.events.insert((later, Event::AcknowledgesLater { side: to }));
        }
    }

    fn send(
        &mut self,
        at: Moment,
        side: usize,
        flags: Flags,
        payload: Vec<u8>,
        arrives_at: Moment,
    ) {
        let length = u32::try_from(payload.len()).expect("at most MSS") + u32::from(flags.fin);
        let end = &mut self.ends[side];
        let (sequence, expected) = (end.next, end.expected);
        end.next = end.next.wrapping_add(length);
        (end.unacknowledged, end.acknowledges_later_at) = (0, None);
        self.push(at, side, flags, sequence, expected);
        self.segments.last_mut().expect("it was just added").payload = payload;
        // Nothing overtakes what waits at the downlink of the other side.
        let end = &mut self.ends[side];
        end.all_arrives_at = end.all_arrives_at.max(arrives_at);
        let arrives_at = end.all_arrives_at;
        self.arrives_later(arrives_at);
    }

    /// The last segment arrives at this time.
    fn arrives_later(&mut self, at: Moment) {
        let segment = self.segments.len() - 1;
        self.events.insert((at, Event::Arrives { segment }));
    }

    /// An acknowledgment without data.
    fn acknowledge(&mut self, at: Moment, side: usize) {
        let end = &mut self.ends[side];
        (end.unacknowledged, end.acknowledges_later_at) = (0, None);
        if !end.reset {
            let (sequence, expected) = (end.next, end.expected);
            self.push(at, side, ACK, sequence, expected);
        }
    }

    fn push(&mut self, at: Moment, from: usize, flags: Flags, sequence: u32, acknowledgment: u32) {
        let payload = Vec::new();
        self.segments.push(Segment { at, from, flags, sequence, acknowledgment, payload });
    }
}

/// What a side sends before it closes, cut into segments. Each leaves when its last byte does.
fn payloads(side: &Side) -> Vec<Payload> {
    let mut payloads = Vec::new();
    for write in &side.writes {
        let mut sent = 0;
        for bytes in write.bytes.chunks(MSS.into()) {
            sent += bytes.len();
            payloads.push(Payload {
                bytes: bytes.to_vec(),
                at: write.share(write.sent, sent),
                arrives_at: write.share(write.received, sent),
                push: sent == write.bytes.len(),
            });
        }
    }
    if let Some(closes_at) = side.closes_at {
        payloads.retain(|payload| payload.at <= closes_at);
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Duration = Duration::from_millis(20);

    fn at(millis: u64) -> Moment {
        Moment::START + Duration::from_millis(millis)
    }

    fn write(bytes: usize, sent: u64) -> Write {
        let received = at(sent) + WAY;
        Write { bytes: vec![7; bytes], sent: [at(sent); 2], received: [received; 2] }
    }

    /// `C` and `S` for the side, the flags, sequence and acknowledgment number, bytes, time in ms.
    fn lines(segments: &[Segment]) -> Vec<String> {
        let line = |segment: &Segment| {
            let Flags { syn, ack, psh, fin, rst } = segment.flags;
            let flags = [(syn, 'S'), (fin, 'F'), (rst, 'R'), (psh, 'P'), (ack, '.')];
            let flags: String =
                flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).collect();
            let (sequence, acknowledgment) = (segment.sequence, segment.acknowledgment);
            let millis = segment.at.since_start().as_millis();
            let (from, length) = (["C", "S"][segment.from], segment.payload.len());
            format!("{millis} {from} {flags} {sequence} {acknowledgment} {length}")
        };
        segments.iter().map(line).collect()
    }

    #[test]
    fn a_request_and_its_answer_take_two_round_trips() {
        let client = Side { writes: vec![write(100, 40)], closes_at: Some(at(80)) };
        let server = Side { writes: vec![write(50, 60)], closes_at: Some(at(60)) };
        let segments = connection(at(0), WAY, &[client, server], [1000, 5000]);
        assert_eq!(
            lines(&segments),
            [
                "0 C S 1000 0 0",
                "20 S S. 5000 1001 0",
                "40 C . 1001 5001 0",
                "40 C P. 1001 5001 100",
                "60 S P. 5001 1101 50",
                "60 S F. 5051 1101 0",
                "80 C F. 1101 5052 0",
                "100 S . 5052 1102 0",
            ]
        );
    }

    #[test]
    fn a_port_at_which_no_program_listens_answers_with_a_reset() {
        assert_eq!(lines(&refused(at(5), WAY, 1000)), ["5 C S 1000 0 0", "25 S R. 0 1001 0"]);
    }

    #[test]
    fn every_second_segment_is_acknowledged_at_once_and_a_single_one_after_40_ms() {
        let sent = [at(100), at(200)];
        let received = sent.map(|sent| sent + WAY);
        let write = Write { bytes: vec![0; 3 * usize::from(MSS)], sent, received };
        let server = Side { writes: vec![write], closes_at: None };
        let segments = connection(at(0), WAY, &[Side::default(), server], [0, u32::MAX]);
        assert_eq!(
            lines(&segments)[3..],
            [
                // The sequence numbers wrap around.
                "133 S . 0 1 1460",
                "166 S . 1460 1 1460",
                // 133 + 20 + 40 comes after 166 + 20.
                "186 C . 1 2920 0",
                "200 S P. 2920 1 1460",
                "260 C . 1 4380 0",
            ]
        );
    }

    #[test]
    fn what_arrives_after_a_close_is_answered_with_a_reset() {
        let client = Side { writes: vec![], closes_at: Some(at(100)) };
        let server = Side { writes: vec![write(10, 110)], closes_at: Some(at(120)) };
        let segments = connection(at(0), WAY, &[client, server], [0, 0]);
        assert_eq!(
            lines(&segments)[3..],
            [
                "100 C F. 1 1 0",
                "110 S P. 1 1 10",
                // The FIN of the client has arrived, and the program closes.
                "120 S F. 11 2 0",
                "130 C R. 2 1 0",
                "140 C R. 2 1 0",
            ]
        );
    }

    #[test]
    fn both_sides_can_close_at_once() {
        let side = Side { writes: vec![], closes_at: Some(at(100)) };
        let segments = connection(at(0), WAY, &[side.clone(), side], [0, 0]);
        assert_eq!(
            lines(&segments)[3..],
            ["100 C F. 1 1 0", "100 S F. 1 1 0", "120 S . 2 2 0", "120 C . 2 2 0"]
        );
    }
}
