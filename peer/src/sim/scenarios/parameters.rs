//! The parameters of a scenario: named texts, as they stand on the command line, in a report and in
//! a file, and checked when they are set.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use common::geometry::{BLOCK_LENGTH, MAX_PIECE_LENGTH};
use serde::{Serialize, Serializer};

use crate::choker::Strategy;
use crate::named::{Named, Table};
use crate::picker::{Order, StrictPriority};

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// As on the command line, without the dashes.
    pub name: &'static str,
    /// For `--help`: one line without a full stop.
    pub about: &'static str,
    /// Its value if it is not set.
    pub default: &'static str,
    /// What it can be.
    pub kind: Kind,
}

impl Parameter {
    /// One parameter.
    pub const fn new(
        name: &'static str,
        about: &'static str,
        default: &'static str,
        kind: Kind,
    ) -> Self {
        Self { name, about, default, kind }
    }

    /// How many neighbors a peer may have.
    pub const fn neighbors(default: &'static str) -> Self {
        Self::new("neighbors", "Neighbors that a peer may have", default, Kind::Count(2, 1000))
    }

    /// The choker of those peers that are neither seeds nor free riders.
    pub const CHOKER: Self = Self::new("choker", "Choker of the peers", "textbook", Kind::Choker);

    /// The order of all peers.
    pub const ORDER: Self =
        Self::new("order", "In which order the peers begin chunks", "rarest-first", Kind::Order);
}

/// What a parameter can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number in these bounds.
    Count(u32, u32),
    /// Some of those with commas between them: the scenario runs once for each.
    Counts(u32, u32),
    /// A number in these bounds.
    Number(f64, f64),
    /// Some of those with commas between them.
    Numbers(f64, f64),
    /// Bytes a second, at least one.
    Rate,
    /// The size of a chunk: whole blocks of 16 KiB.
    ChunkSize,
    /// The name of a choker.
    Choker,
    /// The name of an order.
    Order,
    /// The name of a rule.
    StrictPriority,
}

impl Kind {
    /// Whether a text is of this kind.
    ///
    /// # Errors
    /// If it is not: what it must be.
    pub fn check(self, text: &str) -> Result<(), String> {
        let all = |mut parts: std::str::Split<'_, char>, is: &dyn Fn(&str) -> bool| parts.all(is);
        let in_bounds = |text: &str, least: u32, most: u32| {
            text.parse().is_ok_and(|number: u32| (least..=most).contains(&number))
        };
        let between = |text: &str, least: f64, most: f64| {
            text.parse().is_ok_and(|number: f64| (least..=most).contains(&number))
        };
        let (is_fine, must) = match self {
            Self::Count(least, most) => {
                (in_bounds(text, least, most), format!("a whole number from {least} to {most}"))
            }
            Self::Counts(least, most) => (
                all(text.split(','), &|text| in_bounds(text, least, most)),
                format!("whole numbers from {least} to {most}, such as 5,10"),
            ),
            Self::Number(least, most) => {
                (between(text, least, most), format!("a number from {least} to {most}"))
            }
            Self::Numbers(least, most) => (
                all(text.split(','), &|text| between(text, least, most)),
                format!("numbers from {least} to {most}, such as 0.5,2"),
            ),
            Self::Rate => (
                rate(text).is_some_and(|rate| rate > 0),
                "bytes a second, such as 500KB or 2MB".to_owned(),
            ),
            Self::ChunkSize => {
                let is_fine = chunk_size(text).is_some_and(|size| {
                    (BLOCK_LENGTH..=MAX_PIECE_LENGTH).contains(&size)
                        && size.is_multiple_of(BLOCK_LENGTH)
                });
                (is_fine, "a multiple of 16KiB up to 64MiB".to_owned())
            }
            Self::Choker => return known::<crate::choker::Entry>(text),
            Self::Order => return known::<crate::picker::Choose>(text),
            Self::StrictPriority => return known::<crate::picker::SeedContinues>(text),
        };
        if is_fine { Ok(()) } else { Err(format!("must be {must}")) }
    }
}

fn known<T: Table>(name: &str) -> Result<(), String> {
    name.parse::<Named<T>>().map(drop).map_err(|error| error.to_string())
}

/// The unit may stand there, or not: 500KB or 500KB/s.
pub(super) fn rate(text: &str) -> Option<u64> {
    size(text.strip_suffix("/s").unwrap_or(text))
}

pub(super) fn chunk_size(text: &str) -> Option<u32> {
    u32::try_from(size(text)?).ok()
}

fn size(text: &str) -> Option<u64> {
    text.parse().ok().map(|size: ByteSize| size.as_u64())
}

/// Texts for some parameters, by their names.
pub type Overrides = &'static [(&'static str, &'static str)];

/// All parameters of a scenario with their values.
#[derive(Clone, Debug)]
pub struct Parameters {
    known: &'static [Parameter],
    /// In the order of the parameters.
    texts: Vec<String>,
}

/// A parameter that cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// There is none of this name.
    #[error("there is no parameter `{name}`: the parameters are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// It cannot be this.
    #[error("{name} cannot be `{text}`: {must}")]
    Bad {
        /// The name.
        name: &'static str,
        /// The text that was given.
        text: String,
        /// What it must be.
        must: String,
    },
}

impl Parameters {
    /// All at their defaults.
    pub fn of(known: &'static [Parameter]) -> Self {
        let texts = known.iter().map(|parameter| parameter.default.to_owned()).collect();
        let parameters = Self { known, texts };
        debug_assert!(
            parameters.iter().all(|(parameter, text)| parameter.kind.check(text).is_ok())
        );
        parameters
    }

    /// Sets one of them.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ParameterError> {
        let place = self.known.iter().position(|parameter| parameter.name == name);
        let place = place.ok_or_else(|| {
            let known: Vec<_> = self.known.iter().map(|parameter| parameter.name).collect();
            ParameterError::Unknown { name: name.to_owned(), known: known.join(", ") }
        })?;
        let Parameter { name, kind, .. } = self.known[place];
        let text = text.trim();
        kind.check(text).map_err(|must| ParameterError::Bad {
            name,
            text: text.to_owned(),
            must,
        })?;
        text.clone_into(&mut self.texts[place]);
        Ok(())
    }

    /// With these set, which must be correct.
    pub fn with(&self, overrides: Overrides) -> Self {
        let mut with = self.clone();
        for (name, text) in overrides {
            with.set(name, text).unwrap_or_else(|error| panic!("{error}"));
        }
        with
    }

    /// The parameters and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Parameter, &str)> {
        self.known.iter().zip(self.texts.iter().map(String::as_str))
    }

    /// The value of a [`Kind::Count`].
    pub fn count(&self, name: &str) -> u32 {
        self.parse(name)
    }

    /// The values of [`Kind::Counts`].
    pub fn counts(&self, name: &str) -> Vec<u32> {
        self.parse_all(name)
    }

    /// The value of a [`Kind::Number`].
    pub fn number(&self, name: &str) -> f64 {
        self.parse(name)
    }

    /// The value of a [`Kind::Number`] of seconds.
    pub fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs_f64(self.number(name))
    }

    /// The values of [`Kind::Numbers`].
    pub fn numbers(&self, name: &str) -> Vec<f64> {
        self.parse_all(name)
    }

    /// The value of a [`Kind::Rate`], in bytes a second.
    pub fn rate(&self, name: &str) -> u64 {
        rate(self.text(name)).expect("checked when it was set")
    }

    /// The value of a [`Kind::ChunkSize`], in bytes.
    pub fn chunk_size(&self, name: &str) -> u32 {
        chunk_size(self.text(name)).expect("checked when it was set")
    }

    /// The value of a [`Kind::Choker`].
    pub fn choker(&self, name: &str) -> Strategy {
        self.parse(name)
    }

    /// The value of a [`Kind::Order`].
    pub fn order(&self, name: &str) -> Order {
        self.parse(name)
    }

    /// The value of a [`Kind::StrictPriority`].
    pub fn strict_priority(&self, name: &str) -> StrictPriority {
        self.parse(name)
    }

    fn text(&self, name: &str) -> &str {
        let found = self.iter().find(|(parameter, _)| parameter.name == name);
        found.unwrap_or_else(|| panic!("there is no parameter {name}")).1
    }

    fn parse<T: std::str::FromStr<Err: fmt::Debug>>(&self, name: &str) -> T {
        self.text(name).parse().expect("checked when it was set")
    }

    fn parse_all<T: std::str::FromStr<Err: fmt::Debug>>(&self, name: &str) -> Vec<T> {
        let parts = self.text(name).split(',');
        parts.map(|part| part.parse().expect("checked when it was set")).collect()
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(parameter, text)| (parameter.name, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[
        Parameter::new("peers", "", "5,10", Kind::Counts(1, 30)),
        Parameter::new("upload", "", "20KB", Kind::Rate),
        Parameter::new("share", "", "0.5", Kind::Number(0.0, 1.0)),
        Parameter::new("chunk-size", "", "64KiB", Kind::ChunkSize),
        Parameter::new("choker", "", "textbook", Kind::Choker),
    ];

    #[test]
    fn values_are_what_their_texts_say() {
        let parameters = Parameters::of(KNOWN).with(&[("upload", "1500B"), ("choker", "random")]);
        assert_eq!(parameters.counts("peers"), [5, 10]);
        assert_eq!(
            (parameters.rate("upload"), parameters.chunk_size("chunk-size")),
            (1500, 65_536)
        );
        assert_eq!((parameters.number("share"), parameters.choker("choker").name), (0.5, "random"));
        let json = serde_json::to_string(&parameters).unwrap();
        assert!(json.starts_with(r#"{"peers":"5,10","upload":"1500B","#), "{json}");
    }

    #[test]
    fn a_text_that_makes_no_sense_is_an_error_that_says_what_does() {
        let mut parameters = Parameters::of(KNOWN);
        for (name, text, error) in [
            ("peers", "0", "peers cannot be `0`: must be whole numbers from 1 to 30, such as 5,10"),
            ("peers", "5,,6", "peers cannot be `5,,6`: must be whole numbers"),
            ("upload", "-1", "upload cannot be `-1`: must be bytes a second, such as"),
            ("upload", "0", "upload cannot be `0`: must be bytes a second, such as"),
            ("share", "NaN", "share cannot be `NaN`: must be a number from 0 to 1"),
            ("chunk-size", "20KiB", "chunk-size cannot be `20KiB`: must be a multiple of 16KiB"),
            ("choker", "kind", "choker cannot be `kind`: unknown choker `kind`: must be one of"),
            ("pears", "5", "there is no parameter `pears`: the parameters are peers, upload,"),
        ] {
            let said = parameters.set(name, text).unwrap_err().to_string();
            assert!(said.starts_with(error), "{said}");
        }
        assert_eq!(parameters.counts("peers"), [5, 10]);
    }
}
