//! A file of answers: lines of `name = number`, comments after `#`, and names without a number, which
//! are not answered.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::check::{Failure, Stop};
use crate::hints;

/// A student's answers.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answers {
    numbers: BTreeMap<String, f64>,
    /// The first line that is of no use, with its number.
    strange: Option<(usize, String)>,
}

/// The right numbers, by their names.
pub(crate) type Key = BTreeMap<String, f64>;

/// How far from the key an answer may be, as a part of it: a number that is computed, since the student
/// rounds;
pub(crate) const FORMULA: f64 = 0.01;

/// one that `peer simulate` measures, which prints four digits;
pub(crate) const SIMULATED: f64 = 0.02;

/// and a whole number.
pub(crate) const EXACT: f64 = 0.0;

/// Far more than the longest file of answers has.
const MAX_BYTES: u64 = 64 << 10;

impl Answers {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is not text, or is longer than 64 KiB.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = || path.display().to_string();
        let mut text = String::new();
        let mut open = File::open(path).with_context(file)?.take(MAX_BYTES + 1);
        open.read_to_string(&mut text).with_context(file)?;
        ensure!(text.len() as u64 <= MAX_BYTES, "{}: longer than {MAX_BYTES} bytes", file());
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut answers = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            let understood = match line.split_once('=').map(|(name, value)| (name, value.trim())) {
                Some((_, "")) => true,
                Some((name, value)) => match value.parse::<f64>() {
                    Ok(value) if value.is_finite() => {
                        answers.numbers.insert(name.trim().to_owned(), value).is_none()
                    }
                    Ok(_) | Err(_) => false,
                },
                None => line.is_empty(),
            };
            if !understood && answers.strange.is_none() {
                answers.strange = Some((number, line.to_owned()));
            }
        }
        answers
    }

    /// Whether every number of the key was answered, within this part of it.
    pub(crate) fn judge(&self, key: &Key, tolerance: f64) -> Result<(), Stop> {
        self.judge_with_hint(key, tolerance, hints::NUMBER_OFF)
    }

    /// The same, with a hint for a wrong answer.
    pub(crate) fn judge_with_hint(
        &self,
        key: &Key,
        tolerance: f64,
        hint: &'static str,
    ) -> Result<(), Stop> {
        for (name, &right) in key {
            let answer = self.get(name)?;
            if (answer - right).abs() > tolerance * right.abs() {
                return Err(wrong(name, answer, hint));
            }
        }
        Ok(())
    }

    /// The answer with this name.
    pub(crate) fn get(&self, name: &str) -> Result<f64, Stop> {
        self.numbers.get(name).copied().ok_or_else(|| {
            let got = match &self.strange {
                Some((number, line)) => format!("no such line; line {number} is \"{line}\""),
                None => "no answer".to_owned(),
            };
            Failure::new(format!("a line \"{name} = NUMBER\""), got).hint(hints::ANSWER_LINE).into()
        })
    }
}

/// A key for staff, as a file of answers.
pub(crate) fn lines(key: &Key) -> String {
    key.iter().map(|(name, number)| format!("{name} = {number}\n")).collect()
}

/// The failure of a wrong answer. It does not say which one is right: the next try would not be the
/// student's own.
pub(crate) fn wrong(name: &str, answer: f64, hint: &'static str) -> Stop {
    Failure::new(format!("{name}: another number"), answer.to_string()).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(numbers: &[(&str, f64)]) -> Key {
        numbers.iter().map(|&(name, number)| (name.to_owned(), number)).collect()
    }

    /// What a failure says that it got.
    fn got(result: Result<(), Stop>) -> String {
        match result {
            Err(Stop::Failed(failure)) => failure.got,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_right_within_the_tolerance() {
        let answers = Answers::parse("# mine\nx = 101 # rounded\n\ny = -2e-3\nz =\n");
        answers.judge(&key(&[("x", 100.0), ("y", -0.002)]), 0.01).unwrap();
        assert_eq!(got(answers.judge(&key(&[("x", 99.9)]), 0.01)), "101");
        assert_eq!(got(answers.judge(&key(&[("y", 0.002)]), 0.01)), "-0.002");
    }

    #[test]
    fn what_is_not_answered_or_not_a_number_is_no_answer() {
        let answers = Answers::parse("z =\n");
        assert_eq!(got(answers.judge(&key(&[("z", 0.0)]), 0.01)), "no answer");
        for line in ["x: 100", "x = 100 s", "x = NaN", "x = inf", "x = 1,5", "x = 1\nx = 1"] {
            let answers = Answers::parse(line);
            assert!(answers.strange.is_some(), "{line}");
            assert!(got(answers.judge(&key(&[("y", 1.0)]), 0.01)).contains("line "), "{line}");
        }
    }

    #[test]
    fn a_file_that_is_no_file_of_answers_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.txt");
        assert!(Answers::read(&path).is_err(), "it does not exist");
        std::fs::write(&path, b"x = 1\xff").unwrap();
        assert!(Answers::read(&path).is_err(), "it is not UTF-8");
        std::fs::write(&path, " ".repeat(64 << 10)).unwrap();
        assert!(Answers::read(&path).is_ok());
        std::fs::write(&path, " ".repeat((64 << 10) + 1)).unwrap();
        assert!(Answers::read(&path).is_err(), "it is too long");
    }
}
