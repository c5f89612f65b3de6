//! The first 68 bytes on a connection, from both sides: protocol, torrent and peer id (BEP 3).

use crate::id::{InfoHash, PeerId};

/// The first thing on a connection, from both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// A bit for each extension that the sender knows, as they came: unknown bits mean nothing.
    pub reserved: [u8; 8],
    /// The torrent that the sender wants to exchange.
    pub info_hash: InfoHash,
    /// The sender's peer id.
    pub peer_id: PeerId,
}

/// The first bytes of a handshake are not those of the protocol: encrypted, or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the BitTorrent protocol")]
pub struct NotBitTorrent;

impl Handshake {
    /// Bytes on the wire.
    pub const LENGTH: usize = 68;

    /// A length and a name open the handshake (BEP 3).
    const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

    /// Our handshake: of all extensions we know the extension protocol (BEP 10).
    pub fn new(info_hash: InfoHash, peer_id: PeerId) -> Self {
        let mut reserved = [0; 8];
        reserved[EXTENSION_BYTE] = EXTENSION_BIT;
        Self { reserved, info_hash, peer_id }
    }

    /// Whether the sender understands extended messages (BEP 10).
    pub fn supports_extensions(&self) -> bool {
        self.reserved[EXTENSION_BYTE] & EXTENSION_BIT != 0
    }

    /// Decides from the first bytes whether a handshake can still follow. A peer that begins with
    /// encryption waits for us to disconnect, so it is refused as early as possible.
    pub fn check_start(bytes: &[u8]) -> Result<(), NotBitTorrent> {
        let length = bytes.len().min(Self::PROTOCOL.len());
        if bytes[..length] == Self::PROTOCOL[..length] { Ok(()) } else { Err(NotBitTorrent) }
    }

    /// As it goes over the wire.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..20].copy_from_slice(&Self::PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// From the wire.
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, NotBitTorrent> {
        Self::check_start(bytes)?;
        let (_, rest) = bytes.split_first_chunk::<20>().expect("68 bytes");
        let (reserved, rest) = rest.split_first_chunk().expect("48 bytes");
        let (info_hash, peer_id) = rest.split_first_chunk().expect("40 bytes");
        Ok(Self {
            reserved: *reserved,
            info_hash: InfoHash(*info_hash),
            peer_id: PeerId(peer_id.try_into().expect("20 bytes")),
        })
    }
}

/// Where the bit of the extension protocol stands among the reserved bits (BEP 10).
const EXTENSION_BYTE: usize = 5;
const EXTENSION_BIT: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;

    #[test]
    fn the_handshake_is_the_published_68_bytes() {
        let handshake = Handshake {
            reserved: [0; 8],
            info_hash: "d69f91e6b2ae4c542468d1073a71d4ea13879a7f".parse().unwrap(),
            peer_id: PeerId::from_random(*b"abcdefghijkl"),
        };
        let bytes = hex("13426974546f7272656e742070726f746f636f6c0000000000000000
             d69f91e6b2ae4c542468d1073a71d4ea13879a7f2d4b52303030312d6162636465666768696a6b6c");
        assert_eq!(handshake.encode().as_slice(), bytes);
        assert_eq!(Handshake::decode(&bytes.try_into().unwrap()), Ok(handshake));
    }

    #[test]
    fn of_the_reserved_bits_one_is_ours_and_all_are_kept() {
        let ours = Handshake::new(InfoHash([1; 20]), PeerId([2; 20]));
        assert_eq!(ours.encode()[20..28], hex("0000000000100000"));
        let mut theirs = ours.encode();
        for (reserved, extensions) in [
            ("0000000000100005", true),
            ("ffffffffffffffff", true),
            ("0000000000000000", false),
            ("ffffffffffefffff", false),
        ] {
            theirs[20..28].copy_from_slice(&hex(reserved));
            let handshake = Handshake::decode(&theirs).unwrap();
            assert_eq!(handshake.supports_extensions(), extensions, "{reserved}");
            assert_eq!(handshake.encode(), theirs);
        }
    }

    #[test]
    fn another_protocol_is_known_by_its_first_byte() {
        assert_eq!(Handshake::check_start(b""), Ok(()));
        assert_eq!(Handshake::check_start(b"\x13BitTor"), Ok(()));
        for start in [&b"\x14"[..], b"GET / HTTP/1.1", b"\x13BitTorrent protocoL"] {
            assert_eq!(Handshake::check_start(start), Err(NotBitTorrent));
        }
        assert_eq!(Handshake::decode(&[0; Handshake::LENGTH]), Err(NotBitTorrent));
    }
}
