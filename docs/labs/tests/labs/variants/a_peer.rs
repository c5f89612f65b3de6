//! Broken variants of the reference of lab 7.

use super::{Variant, check_all};

const A_PEER: &[Variant] = &[
    // It says that it knows the extension protocol.
    Variant {
        fails: "handshake",
        patches: &[("PROTOCOL + bytes(8)", "PROTOCOL + bytes(5) + b\"\\x10\" + bytes(2)")],
    },
    Variant { fails: "interested-first", patches: &[("    connection.send(INTERESTED)\n", "")] },
    Variant {
        fails: "interested-first",
        patches: &[("    choked = True  # BEP 3", "    choked = False  # BEP 3")],
    },
    // It takes only the last piece for one that may end with a short block.
    Variant {
        fails: "whole-piece",
        patches: &[(
            "        size = self.piece_size(index)\n",
            "        size = self.piece_size(index)
        if index < len(self.hashes) - 1:
            size = -(-size // BLOCK) * BLOCK
",
        )],
    },
    Variant {
        fails: "last-piece",
        patches: &[(
            "return min(self.piece_length, self.length - index * self.piece_length)",
            "return self.piece_length",
        )],
    },
    // It repeats the receive for messages, not for the handshake.
    Variant {
        fails: "every-cut",
        patches: &[("self.receive_exactly(20) != PROTOCOL", "self.socket.recv(20) != PROTOCOL")],
    },
    Variant { fails: "pipeline", patches: &[("PIPELINE = 8", "PIPELINE = 1")] },
    Variant { fails: "pipeline", patches: &[("PIPELINE = 8", "PIPELINE = 1000")] },
    Variant {
        fails: "pipeline",
        patches: &[(
            "if block not in requested:",
            "if block not in requested or block[0] == 7 * BLOCK:",
        )],
    },
    Variant { fails: "no-bitfield", patches: &[("has_piece = False", "has_piece = True")] },
    Variant {
        fails: "keep-alive-and-unknown",
        patches: &[(
            "        # Other messages, and",
            "        elif message_id is not None:
            raise Failed(\"unknown message\")
        # Other messages, and",
        )],
    },
    // It waits for requests that the choke has discarded.
    Variant { fails: "choked-again", patches: &[("            requested.clear()\n", "")] },
    // It starts the piece over.
    Variant {
        fails: "choked-again",
        patches: &[(
            "            requested.clear()\n",
            "            requested.clear()
            missing = torrent.blocks(index)
",
        )],
    },
    // It puts each block behind the one before.
    Variant {
        fails: "any-order",
        patches: &[
            ("    requested = set()", "    at = 0\n    requested = set()"),
            (
                "                piece[begin : begin + len(block)] = block\n",
                "                piece[at : at + len(block)] = block
                at += len(block)
",
            ),
        ],
    },
    Variant { fails: "any-order", patches: &[("(begin if its_index == index else -1)", "begin")] },
    Variant {
        fails: "wrong-info-hash",
        patches: &[(
            "if self.receive_exactly(20) != info_hash:",
            "if not self.receive_exactly(20):",
        )],
    },
    Variant {
        fails: "wrong-info-hash",
        patches: &[(
            "if self.receive_exactly(20) != PROTOCOL:",
            "if not self.receive_exactly(20):",
        )],
    },
    Variant {
        fails: "false-block",
        patches: &[("if hashlib.sha1(piece).digest() != torrent.hashes[index]:", "if False:")],
    },
    Variant { fails: "bad-messages", patches: &[("if length > MAX_MESSAGE:", "if False:")] },
    Variant {
        fails: "bad-messages",
        patches: &[("if len(payload) != -(-len(torrent.hashes) // 8):", "if not payload:")],
    },
    Variant {
        fails: "bad-messages",
        patches: &[("if index >= len(torrent.hashes):", "if False:")],
    },
    // Each receive starts a new time limit.
    Variant {
        fails: "gives-up",
        patches: &[("        parts = []\n", "        parts = []\n        self.progress()\n")],
    },
    // A receive of 0 bytes is repeated.
    Variant {
        fails: "gives-up",
        patches: &[(
            "            if not part:\n",
            "            if not part:\n                continue\n",
        )],
    },
];

#[test]
#[ignore = "takes minutes: .ci/full"]
fn each_broken_variant_of_lab_7_loses_the_points_of_one_check() {
    check_all("a-peer", "07_a_peer.py", A_PEER);
}
