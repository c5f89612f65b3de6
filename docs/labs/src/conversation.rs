//! A program that answers line by line: a question goes to its stdin, and the answer comes from its
//! stdout. A thread writes and reads, so a program that hangs costs no more than the time for an
//! answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Instant;

use crate::process::{Captured, Running};

/// A program that is asked questions.
#[derive(Debug)]
pub(crate) struct Conversation {
    running: Running,
    /// `None` once its stdin is closed.
    questions: Option<Sender<String>>,
    answers: Receiver<String>,
    /// A question was asked and not answered; its answer must not pass for that of the next.
    owes: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// None has come in time, or the one to an earlier question has not.
    TooLate,
    /// The program has ended, or closed its stdin or stdout.
    Ended,
}

/// The rest of a longer line is read as the next one.
const LONGEST: u64 = 1 << 20;

impl Conversation {
    pub(crate) fn new(running: Running, input: ChildStdin, output: ChildStdout) -> Self {
        let (questions, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        thread::spawn(move || talk(input, BufReader::new(output), &asked, &answer));
        Self { running, questions: Some(questions), answers, owes: false }
    }

    /// Asks a question, and waits for the answer until the deadline.
    pub(crate) fn ask(&mut self, question: String, deadline: Instant) -> Result<String, Silence> {
        if self.owes {
            self.answer(deadline)?;
        }
        let questions = self.questions.as_ref().ok_or(Silence::Ended)?;
        questions.send(question).map_err(|_| Silence::Ended)?;
        self.owes = true;
        self.answer(deadline)
    }

    fn answer(&mut self, deadline: Instant) -> Result<String, Silence> {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.answers.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => Silence::TooLate,
            RecvTimeoutError::Disconnected => Silence::Ended,
        })?;
        self.owes = false;
        Ok(answer)
    }

    /// Closes its stdin.
    pub(crate) fn close(&mut self) {
        self.questions = None;
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    pub(crate) fn stderr(&self) -> &Captured {
        self.running.stderr()
    }
}

/// Hands one question after another to the program, until one of the two ends.
fn talk(
    mut input: ChildStdin,
    mut output: BufReader<ChildStdout>,
    asked: &Receiver<String>,
    answer: &Sender<String>,
) {
    for question in asked {
        let written = input.write_all(question.as_bytes()).and_then(|()| input.write_all(b"\n"));
        let Ok(Some(line)) = written.and_then(|()| read_line(&mut output)) else { return };
        if answer.send(line).is_err() {
            return;
        }
    }
    drop(input);
    // A program that still prints must not wait for a reader.
    let _ = io::copy(&mut output, &mut io::sink());
}

/// With U+FFFD for what is not UTF-8; `None` at the end.
fn read_line(output: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let length = output.take(LONGEST).read_until(b'\n', &mut line)?;
    Ok((length > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
}
