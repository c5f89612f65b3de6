//! Broken variants of the reference of lab 9.

use super::{Variant, check_all};

const TIT_FOR_TAT: &[Variant] = &[
    // It takes a piece that is there for a right one.
    Variant {
        fails: "verified-only",
        patches: &[(
            "        if hashlib.sha1(file.read(torrent.piece_size(index))).digest() == expected:",
            "        if len(file.read(torrent.piece_size(index))) == torrent.piece_size(index):",
        )],
    },
    Variant {
        fails: "uploads",
        patches: &[(
            "self.file.seek(index * self.torrent.piece_length + begin)",
            "self.file.seek(index * self.torrent.piece_length)",
        )],
    },
    Variant {
        fails: "downloads-and-tells",
        patches: &[("                neighbor.send(HAVE, struct.pack(\">I\", index))\n", "")],
    },
    Variant {
        fails: "ignores-choked",
        patches: &[("            if not neighbor.am_choking:\n", "            if True:\n")],
    },
    Variant {
        fails: "ignores-choked",
        patches: &[(
            "            if not neighbor.am_choking:\n",
            "            if neighbor.am_choking:
                raise Misbehaved(\"requests while it is choked\")
            else:
",
        )],
    },
    // Between rounds it unchokes more.
    Variant { fails: "at-most-five", patches: &[("SLOTS + 1 - served", "SLOTS + 3 - served")] },
    // It gives slots to neighbors that want nothing.
    Variant {
        fails: "at-most-five",
        patches: &[(
            "[neighbor for neighbor in self.neighbors if neighbor.wants]",
            "list(self.neighbors)",
        )],
    },
    // Any that sends is as good as the fastest.
    Variant {
        fails: "top-four",
        patches: &[(
            "(-neighbor.rate, neighbor.am_choking",
            "(-(neighbor.rate > 0), neighbor.am_choking",
        )],
    },
    // The sum since the start.
    Variant {
        fails: "follows-rates",
        patches: &[(
            "neighbor.rate, neighbor.received = neighbor.received, 0",
            "neighbor.rate = neighbor.received",
        )],
    },
    // Rounds of any length.
    Variant {
        fails: "rounds",
        patches: &[(
            "asyncio.sleep(max(0, next_round - time.monotonic()))",
            "asyncio.sleep(rechoke * random.choice((0.8, 1.3)))",
        )],
    },
    // The first one that was drawn stays.
    Variant {
        fails: "optimistic",
        patches: &[(
            "if new_optimistic or self.optimistic not in waiting:",
            "if self.optimistic not in waiting:",
        )],
    },
    // It draws at every round.
    Variant {
        fails: "optimistic",
        patches: &[("self.run_round(number % rounds_per_optimistic == 0)", "self.run_round(True)")],
    },
    // It waits for two rounds to pass.
    Variant {
        fails: "free-slots",
        patches: &[
            (
                "            neighbor.keep_alive()\n",
                "            neighbor.keep_alive()\n            neighbor.age += 1\n",
            ),
            ("        self.served = 0", "        self.age = 0\n        self.served = 0"),
            (
                "[neighbor for neighbor in self.neighbors if neighbor.wants]",
                "[neighbor for neighbor in self.neighbors if neighbor.wants and neighbor.age > 2]",
            ),
            (
                "        waiting = [n for n in self.neighbors if n.wants and n.am_choking]\n",
                "        waiting = []\n",
            ),
        ],
    },
    // A seed that goes on with those that it has.
    Variant {
        fails: "as-a-seed",
        patches: &[
            ("elif new_optimistic:", "elif False:"),
            (
                "if new_optimistic or self.optimistic not in waiting:",
                "if (new_optimistic and not complete) or self.optimistic not in waiting:",
            ),
        ],
    },
    Variant {
        fails: "bad-requests",
        patches: &[("if not 0 < length <= BLOCK or begin", "if begin")],
    },
    Variant {
        fails: "bad-requests",
        patches: &[(
            "        if index not in self.verified:\n",
            "        if index >= len(self.torrent.hashes):\n",
        )],
    },
    Variant {
        fails: "bad-requests",
        patches: &[("        if length > MAX_MESSAGE:\n", "        if False:\n")],
    },
    // It waits until the neighbor has read.
    Variant {
        fails: "slow-reader",
        patches: &[
            (
                "                    await neighbor.writer.drain()\n",
                "                    async with self.one_at_a_time:
                        await neighbor.writer.drain()
",
            ),
            (
                "        self.connections = 0\n",
                "        self.connections = 0\n        self.one_at_a_time = asyncio.Lock()\n",
            ),
        ],
    },
];

#[test]
#[ignore = "takes minutes: .ci/full"]
fn each_broken_variant_of_lab_9_loses_the_points_of_one_check() {
    check_all("tit-for-tat", "09_tit_for_tat.py", TIT_FOR_TAT);
}
