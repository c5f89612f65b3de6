//! The .torrent files that a tracker offers for download, so that a class needs one URL.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::id::InfoHash;
use common::metainfo::{Metainfo, MetainfoError};
use common::printable::printable;

/// One .torrent file.
#[derive(Clone, Debug)]
pub struct TorrentFile {
    /// The swarm that it leads to.
    pub info_hash: InfoHash,
    /// The name of the content, safe for a terminal.
    pub name: String,
    /// The file, shared with the connections that send it.
    pub bytes: Arc<[u8]>,
}

impl TorrentFile {
    /// The file with this content, which must be that of a whole .torrent file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        let Metainfo { info_hash, name, .. } = Metainfo::from_bytes(bytes)?;
        Ok(Self { info_hash, name: printable(&name), bytes: bytes.into() })
    }
}

/// The files on offer.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By file name. A request names a file of this map, never a path, so it cannot leave the
    /// folder.
    pub files: BTreeMap<String, TorrentFile>,
    /// How many more there are, above the bounds.
    pub left_out: usize,
}

impl Catalog {
    /// The name of a torrent, if there is a file of it.
    pub fn name(&self, info_hash: &InfoHash) -> Option<&str> {
        let file = self.files.values().find(|file| file.info_hash == *info_hash);
        file.map(|file| file.name.as_str())
    }
}
