//! `peer show`: what a .torrent says, for people or as JSON.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use common::metainfo::{Layout, Metainfo};
use common::printable::printable;
use serde::Serialize;

use crate::options::Show;
use crate::torrent_file::read_torrent;

/// Prints it on stdout.
pub(crate) fn run(options: &Show) -> Result<()> {
    let metainfo = read_torrent(&options.file)?;
    let description = Description::new(&metainfo);
    let text = if options.json {
        serde_json::to_string_pretty(&description).context("cannot make JSON")? + "\n"
    } else {
        description.to_text()
    };
    stdout().write_all(text.as_bytes()).context("cannot write to stdout")
}

/// What is shown. The fields are what `--json` promises.
#[derive(Debug, Serialize)]
struct Description<'a> {
    name: &'a str,
    /// 40 hex digits.
    info_hash: String,
    /// Bytes of all files.
    total_length: u64,
    /// Bytes of a chunk; the last one may be shorter.
    chunk_size: u32,
    chunks: u32,
    files: Vec<FileDescription>,
    /// Tiers of URLs (BEP 12).
    trackers: &'a [Vec<String>],
    private: bool,
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    /// Seconds since 1970.
    creation_date: Option<i64>,
}

#[derive(Debug, Serialize)]
struct FileDescription {
    /// Its path below the chosen folder, with `/` between names.
    path: String,
    /// In bytes.
    length: u64,
}

impl<'a> Description<'a> {
    fn new(metainfo: &'a Metainfo) -> Self {
        let folder = match metainfo.layout {
            Layout::SingleFile => String::new(),
            Layout::Folder => format!("{}/", metainfo.name),
        };
        // Padding is never written to disk (BEP 47).
        let files = metainfo.files.iter().filter(|file| !file.padding);
        let files = files.map(|file| FileDescription {
            path: format!("{folder}{}", file.path.join("/")),
            length: file.length,
        });
        Self {
            name: &metainfo.name,
            info_hash: metainfo.info_hash.to_string(),
            total_length: metainfo.geometry.total_length(),
            chunk_size: metainfo.geometry.piece_length(),
            chunks: metainfo.geometry.piece_count(),
            files: files.collect(),
            trackers: &metainfo.trackers,
            private: metainfo.private,
            comment: metainfo.comment.as_deref(),
            created_by: metainfo.created_by.as_deref(),
            creation_date: metainfo.creation_date,
        }
    }

    fn to_text(&self) -> String {
        let mut lines = vec![
            ("name", printable(self.name)),
            ("info-hash", self.info_hash.clone()),
            ("length", size(self.total_length)),
            ("chunks", format!("{} of {}", self.chunks, size(self.chunk_size.into()))),
        ];
        for (number, tier) in self.trackers.iter().enumerate() {
            let label = if number == 0 { "trackers" } else { "or else" };
            lines.push((label, printable(&tier.join(", "))));
        }
        if self.private {
            lines.push(("private", "yes: peers are learned from the trackers only".into()));
        }
        if let Some(date) = self.creation_date {
            lines.push(("created", date_text(date)));
        }
        lines.extend(self.created_by.map(|program| ("created by", printable(program))));
        lines.extend(self.comment.map(|comment| ("comment", printable(comment))));

        let mut text = String::new();
        for (label, value) in lines {
            writeln!(text, "{label:<11} {value}").expect("a String takes all");
        }
        for file in &self.files {
            let length = ByteSize(file.length).to_string();
            writeln!(text, "{length:>11} {}", printable(&file.path)).expect("a String takes all");
        }
        text
    }
}

fn size(bytes: u64) -> String {
    if bytes < 1024 {
        ByteSize(bytes).to_string()
    } else {
        format!("{} ({bytes} bytes)", ByteSize(bytes))
    }
}

/// The date in UTC; the bare number if it lies before 1970 or after the year 9999.
fn date_text(seconds: i64) -> String {
    const END_OF_9999: u64 = 253_402_300_799;
    match u64::try_from(seconds) {
        Ok(since) if since <= END_OF_9999 => {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(since)).to_string()
        }
        _ => format!("{seconds} seconds from 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_date_has_a_text() {
        assert_eq!(date_text(0), "1970-01-01T00:00:00Z");
        assert_eq!(date_text(253_402_300_799), "9999-12-31T23:59:59Z");
        for date in [i64::MIN, -1, 253_402_300_800, i64::MAX] {
            assert_eq!(date_text(date), format!("{date} seconds from 1970"));
        }
    }
}
