//! The record of a run: every input of every peer with its time and the outputs of the core, as
//! lines of JSON; and the replay of such a record.
//!
//! The first line says which version of the format it is. A peer begins with a line that has all
//! that [`Torrent::new`] takes; then comes a line for each input, of which [`Input::Leaving`] is
//! among the last. Bytes of files never enter the core, so they are not in a record either. Each
//! line ends with a check value over itself and the line before, which distinguishes a damaged
//! record from a core that decides differently.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use common::bitfield::Bitfield;
use common::geometry::Geometry;
use common::moment::Moment;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::torrent::{Config, Input, Output, Torrent};

/// Changes whenever an older record can no longer be read.
const VERSION: u32 = 1;

/// Longer than any line of a record, so that a file of another kind is not read as one endless
/// line.
const MAX_LINE: u64 = 32 * 1024 * 1024;

/// The first line of a record.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    record: u32,
}

/// Every other line: what happened to the peer with this name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line<'a> {
    Start {
        own: Cow<'a, str>,
        start: Start,
    },
    Step {
        own: Cow<'a, str>,
        #[serde(flatten)]
        step: Step,
    },
}

/// The arguments of [`Torrent::new`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The user's choices.
    pub config: Config,
    /// The length of the content, and how it is cut.
    pub geometry: Geometry,
    /// The pieces that the peer has.
    pub have: Bitfield,
    /// For its random choices.
    pub seed: u64,
    /// The start of the peer.
    pub at: Moment,
}

impl Start {
    /// The core.
    pub fn torrent(self) -> Torrent {
        Torrent::new(self.config, self.geometry, self.have, self.seed, self.at)
    }
}

/// Makes the lines of a record, for all of its peers.
#[derive(Debug, Default)]
pub struct Writer {
    /// Of the line before.
    check: Check,
}

impl Writer {
    /// The first line.
    pub fn head(&mut self) -> String {
        self.line(&Head { record: VERSION })
    }

    /// The line with which a peer begins.
    pub fn start(&mut self, own: &str, start: &Start) -> String {
        self.line(&Line::Start { own: own.into(), start: start.clone() })
    }

    /// The line of an input.
    pub fn step(&mut self, own: &str, step: Step) -> String {
        self.line(&Line::Step { own: own.into(), step })
    }

    fn line(&mut self, line: &impl Serialize) -> String {
        let mut text = serde_json::to_string(line).expect("a line is plain data");
        self.check = self.check.after(text.as_bytes());
        // Into the object, as its last field.
        text.pop();
        text.push_str(&self.check.field());
        text.push('\n');
        text
    }
}

/// One input, and the answers to it so far.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    at: Moment,
    input: Input,
    outputs: Vec<Value>,
}

impl Step {
    /// An input to which nothing has been answered yet.
    pub fn new(input: Input, at: Moment) -> Self {
        Self { at, input, outputs: Vec::new() }
    }

    /// The core answered this.
    pub fn answer(&mut self, output: &Output) {
        self.outputs.push(value(output));
    }
}

/// What a replay counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Peers.
    pub peers: usize,
    /// Inputs of all of them.
    pub inputs: u64,
    /// Their outputs, decisions among them.
    pub outputs: u64,
    /// Decisions alone.
    pub decisions: u64,
}

/// Why a replay ended early, and at which line, counted from 1.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ReplayError {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line of a record.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("not a record of a peer")]
    NotARecord,
    #[error("a record of version {0}; this program replays version {VERSION}")]
    Version(u32),
    #[error("damaged: changed since it was written, or a line before it is missing")]
    Damaged,
    #[error("cut off: the record ends here, before all of its peers have left")]
    CutOff,
    #[error("not understood: {0}")]
    Syntax(serde_json::Error),
    #[error("{0} starts twice")]
    StartsTwice(String),
    #[error("{0} starts with pieces that are not those of its torrent")]
    OtherPieces(String),
    #[error("{0} has not started")]
    NotStarted(String),
    #[error("{0} receives a piece or a block that does not exist")]
    NoSuchBlock(String),
    #[error(
        "{own} at {:.3} s decides differently\n  recorded: {recorded}\n  replayed: {replayed}",
        at.since_start().as_secs_f64()
    )]
    Difference { own: String, at: Moment, recorded: String, replayed: String },
}

/// Learns what a replay goes through.
pub trait Watch {
    /// The peer with this name begins.
    fn start(&mut self, own: &str, start: &Start);

    /// It was told this, and answered so.
    fn step(&mut self, own: &str, at: Moment, input: &Input, outputs: &[Output]);
}

/// Does nothing.
impl Watch for () {
    fn start(&mut self, _own: &str, _start: &Start) {}

    fn step(&mut self, _own: &str, _at: Moment, _input: &Input, _outputs: &[Output]) {}
}

/// Builds a core for each peer of a record, hands it its inputs, and compares every output.
///
/// # Errors
/// At the first line that cannot be read or that is decided differently.
pub fn replay(mut record: impl BufRead, watch: &mut dyn Watch) -> Result<Replayed, ReplayError> {
    let mut replay = Replay::new(watch);
    for line in 1.. {
        let text = read_line(&mut record);
        let done = text.and_then(|text| match text {
            Some(text) if line == 1 => replay.head(&text).map(|()| false),
            Some(text) => replay.line(&text).map(|()| false),
            None if line == 1 => Err(Problem::NotARecord),
            None if replay.all_left() => Ok(true),
            None => Err(Problem::CutOff),
        });
        if done.map_err(|problem| ReplayError { line, problem })? {
            break;
        }
    }
    Ok(replay.counts)
}

/// A replay so far.
struct Replay<'a> {
    watch: &'a mut dyn Watch,
    /// Of the line before.
    check: Check,
    /// By the names of their peers.
    cores: BTreeMap<String, Core>,
    counts: Replayed,
}

struct Core {
    torrent: Torrent,
    geometry: Geometry,
    left: bool,
}

impl<'a> Replay<'a> {
    fn new(watch: &'a mut dyn Watch) -> Self {
        let (check, cores, counts) = Default::default();
        Self { watch, check, cores, counts }
    }

    fn head(&mut self, text: &[u8]) -> Result<(), Problem> {
        // The rest of the line may be different in another version, its check too.
        match serde_json::from_slice(text) {
            Ok(Head { record: VERSION }) => self.check.remove(text).map(|_| ()),
            Ok(Head { record }) => Err(Problem::Version(record)),
            Err(_) => Err(Problem::NotARecord),
        }
    }

    fn line(&mut self, text: &[u8]) -> Result<(), Problem> {
        let json = self.check.remove(text)?;
        match serde_json::from_slice(&json).map_err(Problem::Syntax)? {
            Line::Start { own, start } => self.start(own.into_owned(), start),
            Line::Step { own, step } => self.step(own.into_owned(), step),
        }
    }

    fn start(&mut self, own: String, start: Start) -> Result<(), Problem> {
        let geometry = start.geometry;
        if start.have.piece_count() != geometry.piece_count() {
            return Err(Problem::OtherPieces(own));
        }
        if self.cores.contains_key(&own) {
            return Err(Problem::StartsTwice(own));
        }
        self.watch.start(&own, &start);
        self.cores.insert(own, Core { torrent: start.torrent(), geometry, left: false });
        self.counts.peers += 1;
        Ok(())
    }

    fn step(&mut self, own: String, step: Step) -> Result<(), Problem> {
        let Step { at, input, outputs } = step;
        let Some(core) = self.cores.get_mut(&own) else { return Err(Problem::NotStarted(own)) };
        if !input.fits(&core.geometry) {
            return Err(Problem::NoSuchBlock(own));
        }
        core.left |= input == Input::Leaving;
        core.torrent.handle(input.clone(), at);
        self.counts.inputs += 1;
        let mut outputs = outputs.into_iter();
        let mut answered = Vec::new();
        loop {
            let output = core.torrent.poll();
            let (recorded, replayed) = (outputs.next(), output.as_ref().map(value));
            if recorded != replayed {
                let [recorded, replayed] = [recorded, replayed]
                    .map(|output| output.map_or("nothing".to_owned(), |value| value.to_string()));
                return Err(Problem::Difference { own, at, recorded, replayed });
            }
            let Some(output) = output else { break };
            self.counts.outputs += 1;
            self.counts.decisions += u64::from(matches!(output, Output::Explain(_)));
            answered.push(output);
        }
        self.watch.step(&own, at, &input, &answered);
        Ok(())
    }

    fn all_left(&self) -> bool {
        !self.cores.is_empty() && self.cores.values().all(|core| core.left)
    }
}

fn value(output: &Output) -> Value {
    serde_json::to_value(output).expect("an output is plain data")
}

/// The next line with its end; `None` if there is none.
fn read_line(record: &mut impl BufRead) -> Result<Option<Vec<u8>>, Problem> {
    let mut text = Vec::new();
    let read = record.take(MAX_LINE).read_until(b'\n', &mut text);
    let length = read.map_err(Problem::Unreadable)?;
    Ok((length > 0).then_some(text))
}

/// The first bytes of SHA-1 over the check before and the line: enough to notice damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Check([u8; 4]);

impl Check {
    fn after(self, text: &[u8]) -> Self {
        let digest = Sha1::new().chain_update(self.0).chain_update(text).finalize();
        Self(*digest.first_chunk().expect("20 bytes"))
    }

    /// How it ends a line.
    fn field(self) -> String {
        format!(",\"check\":\"{:08x}\"}}", u32::from_be_bytes(self.0))
    }

    /// Moves on to the next line, which must have the right check, and returns it without.
    fn remove(&mut self, text: &[u8]) -> Result<Vec<u8>, Problem> {
        let text = text.strip_suffix(b"\n").ok_or(Problem::CutOff)?;
        let length = text.len().checked_sub(self.field().len()).ok_or(Problem::Damaged)?;
        let (json, field) = text.split_at(length);
        let json = [json, b"}"].concat();
        *self = self.after(&json);
        if field == self.field().as_bytes() { Ok(json) } else { Err(Problem::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::net::SocketAddr;
    use std::time::Duration;

    use common::geometry::Block;
    use common::id::{PeerId, PeerKey};
    use common::report::{Direction, Identity};
    use common::wire::Message;

    use super::*;
    use crate::torrent::Verdict;

    const PEER: PeerKey = PeerKey(0);

    fn start() -> Start {
        Start {
            config: Config::new(PeerId([1; 20])),
            geometry: geometry(),
            have: Bitfield::empty(2),
            seed: 7,
            at: Moment::START,
        }
    }

    fn geometry() -> Geometry {
        Geometry::new(40_000, 20_000).unwrap()
    }

    fn at(second: u64) -> Moment {
        Moment::START + Duration::from_secs(second)
    }

    #[test]
    fn a_run_without_optimistic_unchokes_reads_back() {
        let config = Config { optimistic: None, ..start().config };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    }

    /// A neighbor connects and unchokes us, and a minute later we leave.
    fn inputs() -> Vec<(u64, Input)> {
        let neighbor = Identity {
            key: PEER,
            address: SocketAddr::from(([127, 0, 0, 2], 6881)),
            peer_id: PeerId([2; 20]),
            name: None,
        };
        let direction = Direction::Incoming;
        let received = |message| Input::Received { peer: PEER, message };
        vec![
            (1, Input::Connected { neighbor, direction, extensions: true }),
            (1, received(Message::Bitfield(Bitfield::full(2)))),
            (2, received(Message::Unchoke)),
            (10, Input::TimedOut),
            (70, Input::TimedOut),
            (71, Input::Leaving),
        ]
    }

    /// What a run of these peers writes; `tamper` may change a step of any of them before.
    fn record(peers: &[&str], tamper: impl Fn(&mut Step)) -> String {
        let mut writer = Writer::default();
        let mut text = writer.head();
        let mut cores: Vec<_> = peers.iter().map(|own| (own, start().torrent())).collect();
        for own in peers {
            text += &writer.start(own, &start());
        }
        for (second, input) in inputs() {
            for (own, torrent) in &mut cores {
                torrent.handle(input.clone(), at(second));
                let mut step = Step::new(input.clone(), at(second));
                while let Some(output) = torrent.poll() {
                    step.answer(&output);
                }
                tamper(&mut step);
                text += &writer.step(own, step);
            }
        }
        text
    }

    fn honest(peers: &[&str]) -> String {
        record(peers, |_| {})
    }

    fn error(record: impl AsRef<[u8]>) -> String {
        replay(record.as_ref(), &mut ()).unwrap_err().to_string()
    }

    const CUT_OFF: &str = "cut off: the record ends here, before all of its peers have left";
    const DAMAGED: &str = "damaged: changed since it was written, or a line before it is missing";

    #[test]
    fn a_replay_decides_as_the_recorded_run_did() {
        let one = replay(honest(&["a"]).as_bytes(), &mut ()).unwrap();
        assert_eq!((one.peers, one.inputs), (1, 6));
        assert!(one.decisions > 0 && one.outputs > one.decisions, "{one:?}");
        let two = replay(honest(&["a", "b"]).as_bytes(), &mut ()).unwrap();
        let twice = (2, 2 * one.inputs, 2 * one.outputs, 2 * one.decisions);
        assert_eq!((two.peers, two.inputs, two.outputs, two.decisions), twice);
    }

    #[test]
    fn any_changed_byte_is_reported_with_its_line() {
        let good = honest(&["a"]).into_bytes();
        // The very last byte ends the last line; without it the record is cut off.
        for place in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[place] ^= 1;
            let line = 1 + good[..place].iter().filter(|byte| **byte == b'\n').count();
            let error = error(&bad);
            let problems: &[&str] = match line {
                1 => &[DAMAGED, "not a record of a peer", "a record of version 0; "],
                _ => &[DAMAGED],
            };
            let expected = |problem: &&str| error.starts_with(&format!("line {line}: {problem}"));
            assert!(problems.iter().any(expected), "byte {place}: {error}");
        }
    }

    #[test]
    fn a_missing_line_is_reported_wherever_it_was() {
        let good = honest(&["a", "b"]);
        let lines: Vec<&str> = good.split_inclusive('\n').collect();
        for missing in 0..lines.len() {
            let bad = [&lines[..missing], &lines[missing + 1..]].concat().concat();
            let problem = match missing {
                0 => "not a record of a peer",
                _ if missing + 1 == lines.len() => CUT_OFF,
                _ => DAMAGED,
            };
            assert_eq!(error(bad), format!("line {}: {problem}", missing + 1));
        }
    }

    #[test]
    fn a_record_that_is_cut_off_is_reported_with_the_line_that_is_missing() {
        let good = honest(&["a"]);
        let head = good.find('\n').unwrap();
        for length in head..good.len() {
            let line = 1 + good[..length].matches('\n').count();
            assert_eq!(error(&good[..length]), format!("line {line}: {CUT_OFF}"));
        }
    }

    #[test]
    fn a_file_that_is_no_record_is_reported_without_reading_all_of_it() {
        for bad in ["", "\n", "x", "{}", "{\"at\":0.1}\n", "\u{0}"] {
            assert_eq!(error(bad), "line 1: not a record of a peer", "{bad:?}");
        }
        let endless = BufReader::new(io::repeat(b'0'));
        assert_eq!(
            replay(endless, &mut ()).unwrap_err().to_string(),
            "line 1: not a record of a peer"
        );
    }

    #[test]
    fn a_record_of_another_version_is_reported_whatever_else_changed() {
        for other in [0, VERSION + 1] {
            let version = format!("a record of version {other}; this program replays version 1");
            assert_eq!(error(format!("{{\"record\":{other}}}\n?")), format!("line 1: {version}"));
        }
    }

    #[test]
    fn a_core_that_decides_differently_is_reported_with_line_peer_and_time() {
        let is_tampered = |step: &Step| step.at == at(10);
        let more = |step: &mut Step| {
            if is_tampered(step) {
                step.outputs.push(Value::from("another"));
            }
        };
        assert_eq!(
            error(record(&["a"], more)),
            "line 6: a at 10.000 s decides differently\n  recorded: \"another\"\n  replayed: nothing"
        );
        let less = |step: &mut Step| {
            if is_tampered(step) {
                step.outputs.pop().unwrap();
            }
        };
        let error_of_less = error(record(&["a", "b"], less));
        let start =
            "line 10: a at 10.000 s decides differently\n  recorded: nothing\n  replayed: {";
        assert!(error_of_less.starts_with(start), "{error_of_less}");
    }

    /// The error for a record that continues like this after one peer's start.
    fn error_after_start(next: impl Fn(&mut Writer) -> String) -> String {
        let mut writer = Writer::default();
        let text = writer.head() + &writer.start("a", &start());
        error(text + &next(&mut writer))
    }

    #[test]
    fn lines_that_no_run_writes_are_reported() {
        let left = || Step::new(Input::Leaving, at(1));
        assert_eq!(
            error_after_start(|writer| writer.step("b", left())),
            "line 3: b has not started"
        );
        assert_eq!(
            error_after_start(|writer| writer.start("a", &start())),
            "line 3: a starts twice"
        );
        let start = Start { have: Bitfield::full(3), ..start() };
        assert_eq!(
            error_after_start(|writer| writer.start("b", &start)),
            "line 3: b starts with pieces that are not those of its torrent"
        );
        let error = error_after_start(|writer| writer.line(&Head { record: VERSION }));
        assert!(error.starts_with("line 3: not understood: "), "{error}");
    }

    #[test]
    fn a_piece_or_a_block_that_does_not_exist_is_reported() {
        let longer = Geometry::new(60_000, 20_000).unwrap();
        let piece = longer.piece(2).unwrap();
        let block: Block = longer.block(2, 0, 100).unwrap();
        let received = |message| Input::Received { peer: PEER, message };
        for input in [
            received(Message::Have(piece)),
            received(Message::Bitfield(Bitfield::full(3))),
            received(Message::Request(block)),
            Input::BlockArrived { peer: PEER, block },
            Input::Sent { peer: PEER, block },
            Input::PieceChecked { piece, verdict: Verdict::Good },
        ] {
            let step = || Step::new(input.clone(), at(1));
            assert_eq!(
                error_after_start(|writer| writer.step("a", step())),
                "line 3: a receives a piece or a block that does not exist"
            );
        }
    }
}
