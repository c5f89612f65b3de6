//! The handshake of the extension protocol: facts about the peer that sends it (BEP 10).
//!
//! It follows the first handshake when both sides have set the extension bit, as a message whose
//! payload is a bencoded dictionary. We offer no extension: our `m`, which would list them, is
//! empty. Nothing in it is a reason to disconnect a peer.

use serde::{Deserialize, Serialize};

use crate::bencode::{self, Value};

/// The facts that a peer sends about itself; each is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendedHandshake {
    /// Name and version of the program (`v`). Of another peer: a few characters that are safe on
    /// a terminal, but still need escaping in HTML.
    pub client: Option<String>,
    /// The TCP port on which the sender accepts connections (`p`), not 0.
    pub listen_port: Option<u16>,
    /// How many requests the sender queues before it drops any (`reqq`), at least 1.
    pub request_queue: Option<u32>,
}

impl ExtendedHandshake {
    /// Longest payload read. Those of real clients have a few hundred bytes.
    pub(super) const MAX_LENGTH: usize = 8 * 1024;

    /// The bencoded dictionary.
    pub(super) fn encode(&self) -> Vec<u8> {
        let client = self.client.as_ref().map(|text| Value::Bytes(text.as_bytes()));
        let listen_port = self.listen_port.map(|port| Value::Integer(port.into()));
        let request_queue = self.request_queue.map(|length| Value::Integer(length.into()));
        Value::dict_of_present([
            (b"m", Some(Value::dict([]))),
            (b"p", listen_port),
            (b"reqq", request_queue),
            (b"v", client),
        ])
        .encode()
    }

    /// From a payload; `None` if it is no dictionary. Invalid values count as absent.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let value = bencode::decode(payload).ok()?;
        let dict = value.as_dict()?;
        let integer = |key| dict.get(key).and_then(Value::as_integer).filter(|&n| n > 0);
        Some(Self {
            client: dict.get(b"v").and_then(Value::as_bytes).and_then(readable),
            listen_port: integer(b"p").and_then(|port| port.try_into().ok()),
            request_queue: integer(b"reqq").and_then(|length| length.try_into().ok()),
        })
    }
}

/// A text of another peer, cut short and without control characters.
fn readable(text: &[u8]) -> Option<String> {
    const MAX_CHARS: usize = 64;
    let text = String::from_utf8_lossy(text);
    let kept: String = text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full() -> ExtendedHandshake {
        ExtendedHandshake {
            client: Some("lab 0.1".to_owned()),
            listen_port: Some(6881),
            request_queue: Some(250),
        }
    }

    #[test]
    fn ours_has_an_empty_dictionary_of_extensions() {
        assert_eq!(full().encode(), b"d1:mde1:pi6881e4:reqqi250e1:v7:lab 0.1e");
        assert_eq!(ExtendedHandshake::default().encode(), b"d1:mdee");
    }

    #[test]
    fn the_published_payload_reads() {
        let payload = b"d1:md11:ut_metadatai1e6:ut_pexi2ee1:pi6881e4:reqqi250e1:v7:lab 0.1e";
        assert_eq!(ExtendedHandshake::decode(payload), Some(full()));
    }

    #[test]
    fn keys_may_be_out_of_order_and_unknown() {
        let payload = b"d1:v7:lab 0.11:md3:fooi300ee4:reqqi250e6:yourip4:\x7f\0\0\x011:pi6881ee";
        assert_eq!(ExtendedHandshake::decode(payload), Some(full()));
    }

    #[test]
    fn values_that_make_no_sense_count_as_absent() {
        for payload in [
            "de",
            "d1:p3:abc4:reqqle1:vi7ee",
            "d1:pi0e4:reqqi0e1:v0:e",
            "d1:pi-1e4:reqqi-250e1:v2:\n\te",
            "d1:pi65536e4:reqqi4294967296ee",
        ] {
            let decoded = ExtendedHandshake::decode(payload.as_bytes());
            assert_eq!(decoded, Some(ExtendedHandshake::default()), "{payload}");
        }
        for payload in ["", "le", "i1e", "d1:pi1e", "de0:", "spam"] {
            assert_eq!(ExtendedHandshake::decode(payload.as_bytes()), None, "{payload}");
        }
        let largest = ExtendedHandshake::decode(b"d1:pi65535e4:reqqi4294967295ee").unwrap();
        assert_eq!((largest.listen_port, largest.request_queue), (Some(65_535), Some(u32::MAX)));
    }

    #[test]
    fn a_client_name_is_short_and_safe_on_a_terminal() {
        let client = |name: &[u8]| {
            let payload = [format!("d1:v{}:", name.len()).as_bytes(), name, b"e"].concat();
            ExtendedHandshake::decode(&payload).unwrap().client.unwrap()
        };
        assert_eq!(client(b"\x1b[31mred\x07\xff\n"), "[31mred\u{fffd}");
        assert_eq!(client(&b"x".repeat(65)), "x".repeat(64));
        assert_eq!(client("µTorrent™".as_bytes()), "µTorrent™");
    }

    proptest! {
        #[test]
        fn what_we_send_reads_back(
            client in prop::option::of("[a-zA-Z0-9 /.]{1,64}"),
            listen_port in prop::option::of(1_u16..),
            request_queue in prop::option::of(1_u32..),
        ) {
            let handshake = ExtendedHandshake { client, listen_port, request_queue };
            let payload = handshake.encode();
            prop_assert!(payload.len() < ExtendedHandshake::MAX_LENGTH);
            prop_assert_eq!(ExtendedHandshake::decode(&payload), Some(handshake));
        }
    }
}
