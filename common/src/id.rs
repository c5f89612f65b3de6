//! Names: of a torrent (BEP 3) and of a peer (BEP 3, 20), 20 bytes each on the wire; and of a
//! connection inside one peer.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hex;

/// SHA-1 of the raw bytes of a torrent's `info` dictionary: the name of a swarm.
///
/// Shown as 40 lower-case hex digits; what goes on the wire is the 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// A peer's own id, one per run (peers are identified by this, not by address).
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
        f.write_str(&hex::encode(&self.0))
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
        let hash = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
        hash.map(Self).ok_or(ParseInfoHashError)
    }
}

/// A text that is not the 40 hex digits of an info-hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an info-hash is 40 hex digits")]
pub struct ParseInfoHashError;

impl fmt::Display for PeerId {
    /// Printable bytes but `%` as they are, the others as `%xx`: `-KR0001-abc%00…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'%' => f.write_str("%25"),
            b'!'..=b'~' => write!(f, "{}", char::from(byte)),
            _ => write!(f, "%{byte:02x}"),
        })
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        let id = bytes.try_into().map(Self).map_err(|_| ParsePeerIdError)?;
        if id.to_string() == text { Ok(id) } else { Err(ParsePeerIdError) }
    }
}

/// A text that is not a peer id as we print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a peer id is 20 characters, those that cannot be printed as %xx")]
pub struct ParsePeerIdError;

/// Serialized as the text that `Display` writes and `FromStr` reads.
macro_rules! serialize_as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}
serialize_as_text!(InfoHash);
serialize_as_text!(PeerId);

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
    fn a_peer_id_prints_without_control_characters_and_reads_back() {
        let id = PeerId::from_random(*b"abc\0\x1b[31m\n%x");
        let text = "-KR0001-abc%00%1b[31m%0a%25x";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        for text in [
            "",
            "-KR0001-",
            "-KR0001-abc%00%1B[31m%0a%25x",
            "-KR0001-abc%00%1b[31m%0a%x",
            "%2dKR0001-abcdefghijkl",
            "-KR0001-abcdefghijkl\n",
            "-KR0001-abcdefghijk ",
        ] {
            assert_eq!(text.parse::<PeerId>(), Err(ParsePeerIdError), "{text}");
        }
    }

    #[test]
    fn names_are_serialized_as_their_text() {
        let hash = InfoHash([0xd6; 20]);
        let text = format!("\"{hash}\"");
        assert_eq!(serde_json::to_string(&hash).unwrap(), text);
        assert_eq!(serde_json::from_str::<InfoHash>(&text).unwrap(), hash);
        let error = serde_json::from_str::<InfoHash>("\"d6\"").unwrap_err().to_string();
        assert!(error.starts_with("an info-hash is 40 hex digits"), "{error}");

        let id = PeerId(*b"-XX0001-\"\\%\xff12345678");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#""-XX0001-\"\\%25%ff12345678""#);
        assert_eq!(serde_json::from_str::<PeerId>(&json).unwrap(), id);
    }
}
