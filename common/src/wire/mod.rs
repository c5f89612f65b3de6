//! The protocol between two peers: one handshake each, then messages (BEP 3, 10).

mod extended;
mod handshake;
mod message;

pub use extended::ExtendedHandshake;
pub use handshake::{Handshake, NotBitTorrent};
pub use message::{Message, MessageError};

/// The bytes that some hex digits stand for, spaces left out.
#[cfg(test)]
fn hex(text: &str) -> Vec<u8> {
    crate::hex::decode(&text.split_whitespace().collect::<String>()).unwrap()
}
