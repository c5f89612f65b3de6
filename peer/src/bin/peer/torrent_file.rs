//! Reads .torrent files from disk.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use common::metainfo::{MAX_METAINFO_LENGTH, Metainfo};

/// Reads the .torrent file at `path`. The error names it, and says what is wrong with it.
pub(crate) fn read_torrent(path: &Path) -> Result<Metainfo> {
    let cannot_read = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot_read)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed shows that it is too long, whatever its length.
    let limit = MAX_METAINFO_LENGTH as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).with_context(cannot_read)?;
    Metainfo::from_bytes(&bytes).with_context(cannot_read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_a_torrent_can_have() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        File::options().write(true).open(&path).unwrap().set_len(16 << 20).unwrap();
        let error = format!("{:#}", read_torrent(&path).unwrap_err());
        assert!(error.ends_with("is longer than 10485760"), "{error}");
    }
}
