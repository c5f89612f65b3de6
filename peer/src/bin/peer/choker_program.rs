//! `--choker-cmd`: a program of the user that chooses which neighbors to unchoke.
//!
//! It gets a question a line on its stdin and answers each with a line on its stdout
//! ([`peer::choker::Question`]); what it writes to stderr goes to the terminal. A thread writes and
//! reads, so a program that hangs costs the loop no more than the timeout of a round. While it owes
//! an answer it gets no other question, and an answer that comes late is dropped.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use peer::choker::{AskChoker, Choice, MAX_ANSWER, Question};

use crate::report::say;

/// A program with its arguments, divided at spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

impl FromStr for CommandLine {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace().map(str::to_owned);
        let program = words.next().context("must name a program")?;
        Ok(Self { program, arguments: words.collect() })
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

/// Starts programs of one command again and again.
#[derive(Debug)]
pub(crate) struct Starter {
    command: CommandLine,
    timeout: Duration,
    /// None answered after a start: further ones get no more time than in a round.
    hang: AtomicBool,
    lost: Arc<LostRounds>,
}

/// The rounds that all programs of a starter lose. A program that loses every round would fill the
/// terminal, so only the first ones are told; the number comes at the end.
#[derive(Debug)]
struct LostRounds {
    who: String,
    count: AtomicU32,
}

/// One running program; it is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct ChokerProgram {
    child: Child,
    questions: Sender<String>,
    answers: Receiver<Result<String>>,
    /// How long an answer may take.
    timeout: Duration,
    /// A question was asked and not answered.
    owes: bool,
    lost: Arc<LostRounds>,
}

/// How long to wait for the next of the programs to start.
const STARTUP: Duration = Duration::from_secs(5);

/// So many lost rounds are told one by one.
const LOST_TOLD: u32 = 3;

/// Starts so many programs; none without a command.
pub(crate) fn start_all(
    command: Option<&CommandLine>,
    timeout: Duration,
    count: usize,
) -> Result<Vec<ChokerProgram>> {
    let Some(command) = command else { return Ok(Vec::new()) };
    Starter::new(command, "choker-cmd".to_owned(), timeout).start(count)
}

impl Starter {
    /// Starts programs that have this long for an answer; `who` stands in messages.
    pub(crate) fn new(command: &CommandLine, who: String, timeout: Duration) -> Self {
        let lost = Arc::new(LostRounds { who, count: AtomicU32::new(0) });
        Self { command: command.clone(), timeout, hang: AtomicBool::new(false), lost }
    }

    /// Starts so many programs, and waits until each has answered a question of round 0 without
    /// candidates, or none has for some seconds.
    pub(crate) fn start(&self, count: usize) -> Result<Vec<ChokerProgram>> {
        let programs = (0..count).map(|_| ChokerProgram::start(self));
        let mut programs = programs.collect::<Result<Vec<_>>>()?;
        let patience = if self.hang.load(Ordering::Relaxed) { self.timeout } else { STARTUP };
        let mut deadline = Instant::now() + patience;
        let (mut any_answered, mut any_timed_out) = (false, false);
        for program in &mut programs {
            let left = deadline.saturating_duration_since(Instant::now());
            // Whatever goes wrong, the first round will tell.
            let answer = program.answers.recv_timeout(left);
            program.owes = answer.is_err();
            any_timed_out |= matches!(answer, Err(RecvTimeoutError::Timeout));
            if !program.owes {
                any_answered = true;
                deadline = Instant::now() + patience;
            }
        }
        self.hang.fetch_or(any_timed_out && !any_answered, Ordering::Relaxed);
        Ok(programs)
    }
}

impl ChokerProgram {
    fn start(starter: &Starter) -> Result<Self> {
        let Starter { command: CommandLine { program, arguments }, timeout, .. } = starter;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for us, and we end the program.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let (questions, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let talk = move || talk(input, BufReader::new(output), &asked, &answer);
        let (timeout, lost) = (*timeout, Arc::clone(&starter.lost));
        let mut program = Self { child, questions, answers, timeout, owes: false, lost };
        let thread = thread::Builder::new().name("choker-cmd".to_owned()).spawn(talk);
        thread.context("cannot start the thread of --choker-cmd")?;
        let first = Question { round: 0, slots: 0, seeding: false, candidates: &[] };
        program.questions.send(first.line()).map_err(|_| program.end())?;
        Ok(program)
    }

    fn choice(&mut self, question: &Question<'_>) -> Result<Choice> {
        if self.owes {
            match self.answers.try_recv() {
                Ok(_late) => self.owes = false,
                Err(TryRecvError::Empty) => bail!("it has not answered an earlier round yet"),
                Err(TryRecvError::Disconnected) => return Err(self.end()),
            }
        }
        if self.questions.send(question.line()).is_err() {
            return Err(self.end());
        }
        self.owes = true;
        let answer = match self.answers.recv_timeout(self.timeout) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => bail!("no answer in {:?}", self.timeout),
            Err(RecvTimeoutError::Disconnected) => return Err(self.end()),
        };
        self.owes = false;
        Ok(question.read(&answer?)?)
    }

    /// How it ended.
    fn end(&mut self) -> Error {
        match self.child.try_wait() {
            Ok(Some(status)) => anyhow!("it has ended ({status})"),
            Ok(None) | Err(_) => anyhow!("it has closed its input or output"),
        }
    }
}

impl AskChoker for ChokerProgram {
    fn ask(&mut self, question: &Question<'_>) -> Option<Choice> {
        let choice = self.choice(question);
        if let Err(why) = &choice {
            let LostRounds { who, count } = &*self.lost;
            if count.fetch_add(1, Ordering::Relaxed) < LOST_TOLD {
                say(format_args!("{who} loses round {}: {why:#}", question.round));
            }
        }
        choice.ok()
    }
}

impl Drop for LostRounds {
    fn drop(&mut self) {
        let Self { who, count } = self;
        let count = *count.get_mut();
        if count > LOST_TOLD {
            say(format_args!("{who} lost {count} rounds"));
        }
    }
}

impl Drop for ChokerProgram {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            log::warn!("cannot end the program of --choker-cmd: {error}");
        }
    }
}

/// Hands one question after another to the program, until it or the run ends.
fn talk(
    mut input: ChildStdin,
    mut output: BufReader<ChildStdout>,
    asked: &Receiver<String>,
    answer: &Sender<Result<String>>,
) {
    for mut question in asked {
        question.push('\n');
        let written = input.write_all(question.as_bytes());
        let Ok(Some(line)) = written.and_then(|()| read_line(&mut output)) else { return };
        let line = if output.buffer().is_empty() {
            String::from_utf8(line).context("the answer is not UTF-8")
        } else {
            let more = output.buffer().len();
            output.consume(more);
            Err(anyhow!("the answer is more than one line, or longer than {MAX_ANSWER} bytes"))
        };
        if answer.send(line).is_err() {
            return;
        }
    }
}

/// At most as much as an answer can have; `None` at the end.
fn read_line(output: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let length = output.take(MAX_ANSWER as u64 + 1).read_until(b'\n', &mut line)?;
    Ok((length > 0).then_some(line))
}

/// From a millisecond to ten seconds, for which the loop of a peer can stand still.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration> {
    let timeout = humantime::parse_duration(text)?;
    let bounds = Duration::from_millis(1)..=Duration::from_secs(10);
    ensure!(bounds.contains(&timeout), "must be between 1ms and 10s");
    Ok(timeout)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const QUESTION: Question<'_> = Question { round: 1, slots: 4, seeding: false, candidates: &[] };
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(10);

    /// A program of the shell, which stands in a folder of its own.
    fn shell(folder: &Path, script: &str, timeout: Duration) -> ChokerProgram {
        let path = folder.join("choker.sh");
        fs::write(&path, script).unwrap();
        let command = format!("sh {} {}", path.display(), folder.display()).parse().unwrap();
        start_all(Some(&command), timeout, 1).unwrap().pop().unwrap()
    }

    /// What becomes of two rounds.
    fn rounds(script: &str, timeout: Duration) -> [String; 2] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell(folder.path(), script, timeout);
        [(), ()].map(|()| match program.choice(&QUESTION) {
            Ok(choice) => format!("{:?}", choice.unchoked),
            Err(error) => format!("{error:#}"),
        })
    }

    #[test]
    fn each_question_is_a_line_and_so_is_the_answer() {
        let script = "while read -r line; do echo '[]'; done";
        assert_eq!(rounds(script, LONG), ["[]", "[]"]);
        // As much as fits: the line is passed on in whole.
        let script = "while read -r line; do printf '[%1000000s]\\n' ''; done";
        assert_eq!(rounds(script, LONG), ["[]", "[]"]);
    }

    #[test]
    fn a_program_that_hangs_loses_each_round_and_no_more_time_than_its_timeout() {
        let [first, second] = rounds("read -r line; echo '[]'; exec sleep 1000", SHORT);
        assert_eq!(first, "no answer in 10ms");
        assert_eq!(second, "it has not answered an earlier round yet");
    }

    #[test]
    fn a_program_that_dies_loses_each_round_from_then_on() {
        let script = "read -r line; echo '[]'; read -r line; echo '[]'; exit 3";
        let [first, second] = rounds(script, LONG);
        assert_eq!(first, "[]");
        let ends = ["it has ended (exit status: 3)", "it has closed its input or output"];
        assert!(ends.contains(&second.as_str()), "{second}");
    }

    #[test]
    fn nonsense_loses_the_round() {
        let [first, _] = rounds("while read -r line; do echo nonsense; done", LONG);
        assert!(first.starts_with("the answer is not a list such as [{"), "{first}");
        let [first, _] = rounds("while read -r line; do printf '[]\\n[]\\n'; done", LONG);
        assert!(first.starts_with("the answer is more than one line"), "{first}");
        let [first, _] = rounds("while read -r line; do printf '\\377\\n'; done", LONG);
        assert!(first.starts_with("the answer is not UTF-8"), "{first}");
        let endless = "read -r line; echo '[]'; while :; do printf '%100000s' ''; done";
        let [first, _] = rounds(endless, LONG);
        assert!(first.contains("longer than 1048576 bytes"), "{first}");
    }

    #[test]
    fn an_answer_that_comes_late_is_not_taken_for_that_of_another_round() {
        let folder = tempfile::tempdir().unwrap();
        let script = "read -r line; echo '[]'; mkfifo $1/gate; read -r line; read -r go < $1/gate; \
                      echo nonsense; while read -r line; do echo '[]'; done";
        let mut program = shell(folder.path(), script, SHORT);
        assert!(program.choice(&QUESTION).is_err() && program.choice(&QUESTION).is_err());
        // This returns when the program has opened the gate too.
        fs::write(folder.path().join("gate"), "go\n").unwrap();
        program.timeout = LONG;
        let answer = loop {
            match program.choice(&QUESTION) {
                Err(error) if error.to_string().contains("earlier round") => thread::yield_now(),
                answer => break answer,
            }
        };
        assert_eq!(answer.unwrap(), Choice::default());
    }

    #[test]
    fn the_program_ends_with_us() {
        let folder = tempfile::tempdir().unwrap();
        let program = shell(folder.path(), "read -r line; echo '[]'; exec sleep 1000", SHORT);
        let id = program.child.id().to_string();
        let is_there = || {
            let listed = Command::new("kill").args(["-0", &id]).stderr(Stdio::null()).status();
            listed.unwrap().success()
        };
        assert!(is_there());
        drop(program);
        assert!(!is_there());
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_at_once() {
        let command = "./no-such-choker".parse().unwrap();
        let error = start_all(Some(&command), SHORT, 1).unwrap_err();
        assert_eq!(error.to_string(), "cannot start ./no-such-choker");
        assert!(" ".parse::<CommandLine>().is_err());
    }
}
