//! Lab 4, On the wire: questions about the capture of a swarm, which is another one for each student.

mod questions;

use crate::answers::{EXACT, FORMULA, Key, lines};
use crate::capture::{Capture, Subjects, dissect};
use crate::check::{Check, Context, Stop};
use crate::hints;
use questions::Read;

const TRACKER: &str = "Kurose & Ross 2.5, BEP 3";
const PEERS: &str = "Kurose & Ross 2.5";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("announce", 2, TRACKER, "what the peers tell the tracker, and how often it wants to hear it", |context| judge(context, questions::announce, EXACT, hints::WIRE_ANNOUNCE)),
    Check::new("answer", 1, TRACKER, "what the tracker answers", |context| judge(context, questions::answer, EXACT, hints::WIRE_ANSWER)),
    Check::new("two-trackers", 2, "BEP 15, Kurose & Ross 3.3", "an announce over UDP and one over TCP", |context| judge(context, questions::two_trackers, EXACT, hints::WIRE_TWO_TRACKERS)),
    Check::new("dial", 1, "Kurose & Ross 3.5.6", "a connection from its first packet on", |context| judge(context, questions::dial, FORMULA, hints::WIRE_DIAL)),
    Check::new("last-chunk", 2, PEERS, "into which chunks the file is cut", |context| judge(context, questions::last_chunk, EXACT, hints::WIRE_LAST_CHUNK)),
    Check::new("control-and-data", 3, PEERS, "how many bytes of a connection are data and how many control", |context| judge(context, questions::control_and_data, EXACT, hints::WIRE_CONTROL)),
    Check::new("pipelining", 2, PEERS, "the first requests and the first block", |context| judge(context, questions::pipelining, FORMULA, hints::WIRE_PIPELINING)),
    Check::new("choking", 2, PEERS, "which peer the seed serves first, and how often a peer chokes another", |context| judge(context, questions::choking, EXACT, hints::WIRE_CHOKING)),
    Check::new("late", 2, PEERS, "the first request of the late peer, and what was rarest then", |context| judge(context, questions::late, EXACT, hints::WIRE_LATE)),
    Check::new("reciprocity", 2, PEERS, "what two peers gave each other", |context| judge(context, questions::reciprocity, EXACT, hints::WIRE_RECIPROCITY)),
    Check::new("completed", 1, TRACKER, "how long a download took", |context| judge(context, questions::completed, FORMULA, hints::WIRE_COMPLETED)),
];

/// All questions.
const QUESTIONS: [fn(&Read) -> Key; 11] = [
    questions::announce,
    questions::answer,
    questions::two_trackers,
    questions::dial,
    questions::last_chunk,
    questions::control_and_data,
    questions::pipelining,
    questions::choking,
    questions::late,
    questions::reciprocity,
    questions::completed,
];

/// What a student is to find, for staff.
pub(crate) fn key(student: &str) -> String {
    let read = read(student);
    lines(&QUESTIONS.iter().flat_map(|question| question(&read)).collect())
}

fn judge(
    context: &Context<'_>,
    question: fn(&Read) -> Key,
    tolerance: f64,
    hint: &'static str,
) -> Result<(), Stop> {
    context.answers().judge_with_hint(&question(&read(context.student)), tolerance, hint)
}

/// The answers come from the packets that `labs capture` writes, and from nothing else.
fn read(student: &str) -> Read {
    Read::new(dissect::dissect(&Capture::of_student(student)), Subjects::of(student))
}
