//! The result of a run, and its formats.

mod classroom50;
mod gradescope;
mod json;
mod text;

use anyhow::Result;

use crate::check::{Check, Failure};
use crate::lab::Lab;
use crate::options::Format;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) lab: &'static Lab,
    pub(crate) student: String,
    /// Of the whole run.
    pub(crate) seconds: f64,
    /// In the order of the lab's table.
    pub(crate) outcomes: Vec<Outcome>,
}

/// The result of a check.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) check: &'static Check,
    /// `None`: the program passed.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) seconds: f64,
}

/// What went wrong in a check, and what the program wrote to stderr meanwhile.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) failure: Failure,
    pub(crate) stderr: String,
}

impl Report {
    pub(crate) fn score(&self) -> u32 {
        self.outcomes.iter().map(Outcome::score).sum()
    }

    pub(crate) fn max_score(&self) -> u32 {
        self.outcomes.iter().map(|outcome| outcome.check.points).sum()
    }
}

impl Outcome {
    /// All of the check's points or none.
    pub(crate) fn score(&self) -> u32 {
        if self.passed() { self.check.points } else { 0 }
    }

    pub(crate) fn passed(&self) -> bool {
        self.trouble.is_none()
    }
}

impl Format {
    /// The whole text of the report.
    ///
    /// # Errors
    /// When Classroom 50's format lacks a variable.
    pub(crate) fn write(self, report: &Report) -> Result<String> {
        match self {
            Self::Text => Ok(text::write(report)),
            Self::Json => json::write(report),
            Self::Gradescope => gradescope::write(report),
            Self::Classroom50 => classroom50::write(report),
        }
    }
}

/// A report to test the formats with: one check passed and one failed.
#[cfg(test)]
fn sample() -> Report {
    let lab = crate::lab::find("datagrams").unwrap();
    let mut checks = lab.checks();
    let mut outcome = |trouble| Outcome { check: checks.next().unwrap(), trouble, seconds: 0.25 };
    let failure = Failure::new("\"STRASSE\"", "no answer").hint("decode before upper()");
    let trouble = Trouble { failure, stderr: "Traceback\nUnicodeDecodeError\n".to_owned() };
    let outcomes = vec![outcome(None), outcome(Some(trouble))];
    Report { lab, student: "alice".to_owned(), seconds: 1.5, outcomes }
}
