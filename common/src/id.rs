//! Names: of a torrent (BEP 3) and of a peer (BEP 3, 20), 20 bytes each on the wire; and of a
//! connection inside one peer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// SHA-1 of the raw bytes of a torrent's `info` dictionary: the name of a swarm.
///
/// Shown as 40 lower-case hex digits; what goes on the wire is the 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// What a peer calls itself, one per run (K&R's peers are told apart by this, not by address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

/// One connection to one remote peer; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerKey(pub u64);

impl PeerId {
    /// Our client code and version, in the style of BEP 20.
    pub const PREFIX: [u8; 8] = *b"-KR0001-";

    /// A peer id of ours; `random` must differ in every run, or peers refuse each other.
    pub fn from_random(random: [u8; 12]) -> Self {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&Self::PREFIX);
        id[8..].copy_from_slice(&random);
        Self(id)
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

impl FromStr for InfoHash {
    type Err = ParseInfoHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(ParseInfoHashError);
        }
        let mut hash = [0; 20];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).expect("hex digits are ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("two hex digits fit a byte");
        }
        Ok(Self(hash))
    }
}

/// A text that is not the 40 hex digits of an info-hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an info-hash is 40 hex digits")]
pub struct ParseInfoHashError;

impl fmt::Display for PeerId {
    /// Printable bytes as they are, the others as `%xx`: `-KR0001-abc%00…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'!'..=b'~' => write!(f, "{}", char::from(byte)),
            _ => write!(f, "%{byte:02x}"),
        })
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_hash_reads_back_as_it_prints() {
        let text = "d69f91e6b2ae4c542468d1073a71d4ea13879a7f";
        let hash: InfoHash = text.parse().unwrap();
        assert_eq!(hash.0[..3], [0xd6, 0x9f, 0x91]);
        assert_eq!(hash.to_string(), text);
    }

    #[test]
    fn what_is_not_forty_hex_digits_is_refused() {
        for text in ["", "d69f", &"g".repeat(40), &"+1".repeat(20), &"é".repeat(20)] {
            assert_eq!(text.parse::<InfoHash>(), Err(ParseInfoHashError), "{text}");
        }
    }

    #[test]
    fn a_peer_id_prints_without_control_characters() {
        let id = PeerId::from_random(*b"abc\0\x1b[31m\n%x");
        assert_eq!(id.to_string(), "-KR0001-abc%00%1b[31m%0a%x");
    }
}
