//! Rates, sizes and times as texts, as on the command line.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sim::scenarios::parameters::{Kind, chunk_size, rate};

/// Bytes a second: `500kB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(pub u64);

/// The size of a chunk: `256KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChunkSize(pub u32);

/// A time: `90s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub Duration);

impl Time {
    /// None at all.
    pub const ZERO: Self = Self(Duration::ZERO);
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let must = |must| format!("`{text}` {must}");
        Kind::Rate.check(&text).map_err(must)?;
        Ok(Self(rate(&text).expect("it was checked")))
    }
}

impl TryFrom<String> for ChunkSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let must = |must| format!("`{text}` {must}");
        Kind::ChunkSize.check(&text).map_err(must)?;
        Ok(Self(chunk_size(&text).expect("it was checked")))
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = humantime::parse_duration(&text);
        time.map(Self).map_err(|_| format!("`{text}` must be a time, such as 90s or 1h 30m"))
    }
}

impl fmt::Display for Rate {
    /// In the greatest unit in which it is a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate.is_multiple_of(1_000_000) => write!(f, "{}MB/s", rate / 1_000_000),
            rate if rate.is_multiple_of(1_000) => write!(f, "{}kB/s", rate / 1_000),
            rate => write!(f, "{rate}B/s"),
        }
    }
}

impl fmt::Display for ChunkSize {
    /// A chunk is whole blocks of 16 KiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}KiB", self.0 / 1024)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl From<ChunkSize> for String {
    fn from(size: ChunkSize) -> Self {
        size.to_string()
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_from_its_text() {
        for (rate, text) in
            [(1, "1B/s"), (43_690, "43690B/s"), (50_000, "50kB/s"), (20_000_000, "20MB/s")]
        {
            assert_eq!(Rate(rate).to_string(), text);
            assert_eq!(Rate::try_from(text.to_owned()), Ok(Rate(rate)));
        }
        assert_eq!(ChunkSize::try_from(ChunkSize(3 << 16).to_string()), Ok(ChunkSize(3 << 16)));
        for nanos in [0, 1, 10_000_000, 90_000_000_000, 7_200_000_000_123] {
            let time = Time(Duration::from_nanos(nanos));
            assert_eq!(Time::try_from(time.to_string()), Ok(time));
        }
    }

    #[test]
    fn a_rate_is_written_as_on_the_command_line_or_with_its_unit() {
        for text in ["100KB", "100kB", "100kB/s", "100000"] {
            assert_eq!(Rate::try_from(text.to_owned()), Ok(Rate(100_000)));
        }
    }
}
