//! Choices that a user makes by name from a table: a choker, an order of chunks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One row of a table. The name stands for it on the command line and in a record.
#[derive(Clone, Copy)]
pub struct Named<T: 'static> {
    /// Unique in the table.
    pub name: &'static str,
    /// For `--help`: one line without a full stop.
    pub about: &'static str,
    pub(crate) rule: T,
}

/// What the rows of one table stand for.
pub trait Table: Copy + 'static {
    /// What one row is called in messages.
    const WHAT: &'static str;

    /// All rows; the first is the default.
    const ROWS: &'static [Named<Self>];
}

impl<T: Table> Named<T> {
    /// All rows; the first is the default.
    pub const ALL: &'static [Self] = T::ROWS;
}

impl<T: Table> Default for Named<T> {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl<T> PartialEq for Named<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<T> Eq for Named<T> {}

impl<T: Table> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", T::WHAT, self.name)
    }
}

impl<T> fmt::Display for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<T: Table> FromStr for Named<T> {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.iter().find(|row| row.name == name).copied();
        found.ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|row| row.name).collect();
            UnknownName { what: T::WHAT, name: name.to_owned(), known: known.join(", ") }
        })
    }
}

impl<T> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de, T: Table> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A name that is in no row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{name}`: must be one of {known}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::choker::Strategy;
    use crate::picker::{Order, StrictPriority};

    fn every_name_reads_back<T: Table>() {
        for row in Named::<T>::ALL {
            assert_eq!(row.to_string().parse(), Ok(*row));
            let json = serde_json::to_string(row).unwrap();
            assert_eq!(json, format!("\"{row}\""));
            assert_eq!(serde_json::from_str::<Named<T>>(&json).unwrap(), *row);
            assert!(!row.about.is_empty() && !row.about.ends_with('.'), "{row}: {}", row.about);
        }
        let names: BTreeSet<_> = Named::<T>::ALL.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), Named::<T>::ALL.len(), "no two have the same name");
    }

    #[test]
    fn every_row_is_known_by_its_name() {
        every_name_reads_back::<crate::choker::Entry>();
        every_name_reads_back::<crate::picker::Choose>();
        every_name_reads_back::<crate::picker::SeedContinues>();
        assert_ne!(Order::RANDOM, Order::default());
        assert_eq!(format!("{:?}", StrictPriority::default()), "strict priority(seeds)");
    }

    #[test]
    fn the_error_for_an_unknown_name_lists_the_known_ones() {
        let error = "fair".parse::<Strategy>().unwrap_err().to_string();
        let known = "textbook, mainline, seed, seed-by-rate, preferred-neighbors, propshare, tyrant, \
                     grim, random, unchoke-all, free-rider";
        assert_eq!(error, format!("unknown choker `fair`: must be one of {known}"));
        let error = serde_json::from_str::<Order>("\"rarest\"").unwrap_err().to_string();
        let known = "rarest-first, random, in-order";
        assert!(error.starts_with(&format!("unknown order `rarest`: must be one of {known}")));
    }
}
