//! Broken variants of the reference of lab 8.

use super::{Variant, check_all};

const RAREST_FIRST: &[Variant] = &[
    Variant {
        fails: "one-seed",
        patches: &[(
            "return min(self.piece_length, self.length - index * self.piece_length)",
            "return self.piece_length",
        )],
    },
    // It helps with every piece in progress, and does not look at what this peer has.
    Variant {
        fails: "different-pieces",
        patches: &[("if index in neighbor.has and progress.owner in", "if progress.owner in")],
    },
    Variant { fails: "at-the-same-time", patches: &[("PIPELINE = 8", "PIPELINE = 2")] },
    Variant { fails: "at-the-same-time", patches: &[("PIPELINE = 8", "PIPELINE = 40")] },
    // All neighbors wait while it thinks about a block of one.
    Variant {
        fails: "at-the-same-time",
        patches: &[(
            "        index, begin = struct.unpack(\">II\", payload[:8])\n",
            "        index, begin = struct.unpack(\">II\", payload[:8])\n        time.sleep(0.012)\n",
        )],
    },
    // It knows only rare and not rare.
    Variant {
        fails: "rarest",
        patches: &[(
            "if self.availability[i] == fewest",
            "if min(self.availability[i], 2) == min(fewest, 2)",
        )],
    },
    Variant {
        fails: "haves",
        patches: &[(
            "            self.learn(neighbor, [self.index_of(payload)])\n",
            "            neighbor.has.add(self.index_of(payload))\n            self.update_interest(neighbor)\n",
        )],
    },
    Variant {
        fails: "left",
        patches: &[("            self.availability[index] -= 1\n", "            pass\n")],
    },
    Variant {
        fails: "random-ties",
        patches: &[(
            "random.choice([i for i in possible if self.availability[i] == fewest])",
            "min(i for i in possible if self.availability[i] == fewest)",
        )],
    },
    // The same chance in each run.
    Variant {
        fails: "random-ties",
        patches: &[("return random.choice(", "return random.Random(len(self.verified)).choice(")],
    },
    // It begins three pieces and takes turns.
    Variant {
        fails: "in-progress-first",
        patches: &[(
            "        for index, progress in self.in_progress.items():\n",
            "        if len(self.in_progress) < 3:
            index = self.rarest(neighbor)
            if index is not None:
                progress = self.in_progress[index] = Progress(self.torrent, index)
                progress.owner = neighbor if index in self.suspects else None
        free = lambda item: -sum(asked is None for asked in item[1].missing.values())
        for index, progress in sorted(self.in_progress.items(), key=free):
",
        )],
    },
    // Endgame.
    Variant {
        fails: "no-duplicates",
        patches: &[(
            "        if index is None:\n            return None\n",
            "        if index is None:
            for index, progress in self.in_progress.items():
                for block in progress.missing:
                    owner = progress.owner in (None, neighbor) and index in neighbor.has
                    if owner and (index, *block) not in neighbor.requests:
                        return (index, *block)
            return None
",
        )],
    },
    Variant {
        fails: "choked",
        patches: &[(
            "            neighbor.choking = True\n            self.take_back(neighbor)\n",
            "            neighbor.choking = True\n",
        )],
    },
    Variant {
        fails: "leaves",
        patches: &[(
            "            if neighbor in self.neighbors:\n                self.left(neighbor)\n\n",
            "            if neighbor in self.neighbors:
                self.neighbors.discard(neighbor)
                for index in neighbor.has:
                    self.availability[index] -= 1

",
        )],
    },
    // It waits until it has met all.
    Variant {
        fails: "never-unchokes",
        patches: &[
            (
                "    state = Download(torrent, file)\n",
                "    state = Download(torrent, file)\n    state.unmet = len(addresses)\n",
            ),
            (
                "            self.neighbors.add(neighbor)\n",
                "            self.neighbors.add(neighbor)\n            self.unmet -= 1\n",
            ),
            (
                "        # In random order, or",
                "        if self.unmet:\n            return\n        # In random order, or",
            ),
        ],
    },
    Variant {
        fails: "silent",
        patches: &[("if neighbor.requests and now - neighbor.answered > timeout:", "if False:")],
    },
    // It does not look at hashes.
    Variant {
        fails: "false-block",
        patches: &[(
            "if hashlib.sha1(progress.data).digest() == self.torrent.hashes[index]:",
            "if True:",
        )],
    },
    // It disconnects all that may be guilty.
    Variant {
        fails: "false-block",
        patches: &[(
            "            self.suspects.add(index)\n",
            "            for suspect in progress.senders:
                self.disconnect(suspect, \"sent a part of a false piece\")
",
        )],
    },
];

#[test]
#[ignore = "takes minutes: .ci/full"]
fn each_broken_variant_of_lab_8_loses_the_points_of_one_check() {
    check_all("rarest-first", "08_rarest_first.py", RAREST_FIRST);
}
