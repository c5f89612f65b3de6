//! What a student hands in: a program, or a file of answers.

use crate::answers::Answers;
use crate::program::Program;

/// What is graded; each lab takes one of the two.
#[derive(Debug)]
pub(crate) enum Submission {
    /// A command that starts a program.
    Program(Program),
    /// Numbers.
    Answers(Answers),
}

/// Which of the two a lab takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `--program CMD`
    Program,
    /// `--answers FILE`
    Answers,
}
