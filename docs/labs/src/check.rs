//! What a check is, what it gets, and how it fails.

use std::fmt::{self, Write};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::answers::Answers;
use crate::conversation::Conversation;
use crate::hints;
use crate::process::{Captured, KEPT, Running};
use crate::program::Program;
use crate::sockets;
use crate::submission::Submission;

/// One check of a lab; the rubric of the lab's sheet has a row for each.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    /// What a right program does, as a sentence without a full stop.
    pub(crate) name: &'static str,
    pub(crate) points: u32,
    /// Where the book, or a specification, says so.
    pub(crate) section: &'static str,
    pub(crate) run: fn(&mut Context<'_>) -> Result<(), Stop>,
}

/// A check waits for a program no longer than this, so that a whole lab takes less than two minutes.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

impl Check {
    /// A row of a lab's table.
    pub(crate) const fn new(
        id: &'static str,
        points: u32,
        section: &'static str,
        name: &'static str,
        run: fn(&mut Context<'_>) -> Result<(), Stop>,
    ) -> Self {
        Self { id, name, points, section, run }
    }
}

/// What a check gets: what was handed in, a folder, random numbers from the student's seed, a deadline.
pub(crate) struct Context<'a> {
    submission: &'a Submission,
    pub(crate) student: &'a str,
    folder: &'a Path,
    pub(crate) rng: Rng,
    deadline: Instant,
    /// Of every program that the check has started.
    stderr: Vec<Captured>,
}

/// Why a check stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The program did something else than it should.
    Failed(Failure),
    /// The grader itself could not go on.
    Grader(io::Error),
}

/// What a student reads about a check that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) expected: String,
    pub(crate) got: String,
    pub(crate) hint: Option<&'static str>,
}

/// What a program left that has ended.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A server of the student, ready to receive.
pub(crate) struct Server {
    running: Running,
    pub(crate) port: u16,
}

/// A program has this long from its start until it receives, or sends.
pub(crate) const START: Duration = Duration::from_secs(5);

/// A server has this long for an answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(2);

impl<'a> Context<'a> {
    pub(crate) fn new(
        submission: &'a Submission,
        student: &'a str,
        folder: &'a Path,
        rng: Rng,
    ) -> Self {
        let (deadline, stderr) = (Instant::now() + LIMIT, Vec::new());
        Self { submission, student, folder, rng, deadline, stderr }
    }

    fn program(&self) -> &'a Program {
        match self.submission {
            Submission::Program(program) => program,
            Submission::Answers(_) => unreachable!("the grader takes what the lab takes"),
        }
    }

    /// The student's answers.
    pub(crate) fn answers(&self) -> &'a Answers {
        match self.submission {
            Submission::Answers(answers) => answers,
            Submission::Program(_) => unreachable!("the grader takes what the lab takes"),
        }
    }

    /// This long from now, but not beyond the time limit of the check.
    pub(crate) fn within(&self, time: Duration) -> Instant {
        self.deadline.min(Instant::now() + time)
    }

    /// Writes a file into the folder of the program.
    pub(crate) fn write_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.folder.join(name), bytes)
    }

    /// The file that the program wrote into its folder, but no more than `most` bytes of it; `None`
    /// if it wrote none.
    pub(crate) fn read_file(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Whether the time limit of the check has passed.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Starts the program with these arguments and this standard input.
    pub(crate) fn start(&mut self, arguments: &[&str], input: &str) -> Result<Running, Stop> {
        self.start_keeping(arguments, input.as_bytes(), KEPT)
    }

    /// Starts a program that is not the student's, in the same folder.
    pub(crate) fn start_other(
        &self,
        program: &Program,
        arguments: &[&str],
    ) -> Result<Running, Stop> {
        Ok(Running::start(program, arguments, self.folder, b"", KEPT)?)
    }

    /// Runs the program to its end with this standard input; `None` if it still runs after this time.
    pub(crate) fn run(
        &mut self,
        arguments: &[&str],
        input: &[u8],
        time: Duration,
    ) -> Result<Option<Finished>, Stop> {
        /// A megabyte of bencode as JSON, with room for spaces and escapes.
        const LONGEST: usize = 8 << 20;
        // What earlier programs of the check wrote explains nothing about this one.
        self.stderr.clear();
        let mut running = self.start_keeping(arguments, input, LONGEST)?;
        let Some(status) = running.wait(self.within(time))? else { return Ok(None) };
        let (stdout, stderr) = (running.stdout_bytes(), running.stderr().text());
        Ok(Some(Finished { status, stdout, stderr }))
    }

    fn start_keeping(
        &mut self,
        arguments: &[&str],
        input: &[u8],
        kept: usize,
    ) -> Result<Running, Stop> {
        let running = Running::start(self.program(), arguments, self.folder, input, kept);
        let running = running.map_err(|error| self.cannot_start(&error))?;
        self.stderr.push(running.stderr().clone());
        Ok(running)
    }

    /// Starts the program, which answers line by line.
    pub(crate) fn converse(&mut self) -> Result<Conversation, Stop> {
        let opened = Running::open(self.program(), &[], self.folder);
        let (running, input, output) = opened.map_err(|error| self.cannot_start(&error))?;
        let conversation = Conversation::new(running, input, output);
        self.stderr.push(conversation.stderr().clone());
        Ok(conversation)
    }

    fn cannot_start(&self, error: &io::Error) -> Failure {
        let got = format!("cannot start {}: {error}", self.program().name());
        Failure::new("a program that starts", got).hint(hints::NOT_EXECUTABLE)
    }

    /// Starts `PROGRAM ROLE PORT` and waits until UDP datagrams reach it.
    pub(crate) fn udp_server(&mut self, role: &str) -> Result<Server, Stop> {
        let mut server = self.server(&[role], &[])?;
        let until = self.within(START);
        let ready = sockets::udp_ready(server.port, until, || server.running.ended())?;
        if ready { Ok(server) } else { Err(server.not_ready("receives UDP datagrams")?) }
    }

    /// Starts a server with a free port between these arguments. It does not wait for the server to be
    /// ready: [`sockets::connect`] does, so that the first connection is one of the check.
    pub(crate) fn server(&mut self, before: &[&str], after: &[&str]) -> Result<Server, Stop> {
        let port = sockets::free_port()?;
        let running = self.start(&[before, &[&port.to_string()], after].concat(), "")?;
        Ok(Server { running, port })
    }

    /// The end of what the programs of this check wrote to stderr; empty if nothing.
    pub(crate) fn stderr(&self) -> String {
        /// A traceback fits; a flood does not.
        const LINES: usize = 12;
        const CHARS: usize = 200;
        let mut text = String::new();
        for captured in &self.stderr {
            let captured = captured.text();
            let lines: Vec<_> = captured.lines().collect();
            for line in &lines[lines.len().saturating_sub(LINES)..] {
                text.extend(line.chars().filter(|c| !c.is_control()).take(CHARS));
                text.push('\n');
            }
        }
        text
    }
}

impl Server {
    /// The failure of a server that should do this at its port and does not.
    pub(crate) fn not_ready(&mut self, does: &str) -> Result<Stop, Stop> {
        let expected = format!("a server that {does} at port {} within {START:?}", self.port);
        let hint = match self.ended()? {
            Some(_) => hints::ENDED,
            None => hints::NOT_READY,
        };
        Ok(Failure::new(expected, self.state()?).hint(hint).into())
    }

    /// Whether the program runs, for failures.
    pub(crate) fn state(&mut self) -> io::Result<String> {
        Ok(match self.ended()? {
            Some(status) => format!("the server has exited ({status})"),
            None => "the server is still running".to_owned(),
        })
    }

    /// How the program ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.running.ended()
    }
}

impl Failure {
    pub(crate) fn new(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { expected: bounded(expected.into()), got: bounded(got.into()), hint: None }
    }

    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Grader(error)
    }
}

/// The beginning of a text, since a program may have printed much.
fn bounded(mut text: String) -> String {
    const CHARS: usize = 500;
    if let Some((end, _)) = text.char_indices().nth(CHARS) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Bytes for people: as text where they are, their number, and the first of them in hexadecimal.
pub(crate) fn show(bytes: &[u8]) -> String {
    const TEXT: usize = 60;
    const HEX: usize = 32;
    if bytes.is_empty() {
        return "nothing (0 bytes)".to_owned();
    }
    let mut shown = String::new();
    if let Ok(text) = str::from_utf8(bytes) {
        let mut start = text.chars().take(TEXT).collect::<String>().escape_debug().to_string();
        if text.chars().nth(TEXT).is_some() {
            start.push_str("...");
        }
        let _ = write!(shown, "\"{start}\" ");
    }
    let (plural, more) = (if bytes.len() == 1 { "" } else { "s" }, bytes.len() > HEX);
    let _ = write!(shown, "({} byte{plural}: {}", bytes.len(), Hex(&bytes[..bytes.len().min(HEX)]));
    shown.push_str(if more { " ...)" } else { ")" });
    shown
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_text_and_in_hexadecimal() {
        assert_eq!(show(b"hi\n"), "\"hi\\n\" (3 bytes: 68 69 0a)");
        assert_eq!(show(b"\xff"), "(1 byte: ff)");
        assert_eq!(show(b""), "nothing (0 bytes)");
        let long = show(&[b'a'; 1000]);
        assert!(long.starts_with(&format!("\"{}...\" (1000 bytes: 61 61", "a".repeat(60))));
        assert!(long.ends_with("61 ...)") && long.len() < 200, "{long}");
    }
}
