#!/usr/bin/env python3
"""Lab 12: a choker of one's own. The sheet is docs/labs/12-your-own-choker.md.

Serves every neighbor that sent something lately, in proportion to what it sent, and keeps a part of
the uplink for neighbors that have had no chance yet.
"""

import json
import random
import sys

MEMORY = 0.5  # how much of the value of a neighbor stays from round to round
PROBES = 1  # neighbors that are served without having sent anything
PROBE_SHARE = 0.1  # each of these, over what all others get together


class Choker:
    def __init__(self):
        self.value = {}  # neighbor -> bytes that it sent, older rounds counting less
        self.tried = {}  # neighbor -> rounds in which it was served for nothing

    def answer(self, question):
        if question["round"] == 0:
            return []
        for c in question["candidates"]:
            old = self.value.get(c["peer"], 0)
            self.value[c["peer"]] = MEMORY * old + c["received"]
        waiting = [c for c in question["candidates"] if c["interested"]]
        if question["seeding"]:
            return self.seed(waiting, question["slots"] + 1)
        paying = [c for c in waiting if self.value[c["peer"]] > 0]
        paying.sort(key=lambda c: -self.value[c["peer"]])
        paying = paying[: 2 * question["slots"]]
        total = sum(self.value[c["peer"]] for c in paying)
        served = [
            (c["peer"], self.value[c["peer"]] / total, f"sent {self.value[c['peer']]:.0f}")
            for c in paying
        ]
        # The ones that were tried least often come first.
        others = [c for c in waiting if c not in paying]
        others.sort(key=lambda c: (self.tried.get(c["peer"], 0), random.random()))
        probes = others[: PROBES if paying else question["slots"] + 1]
        for c in probes:
            self.tried[c["peer"]] = self.tried.get(c["peer"], 0) + 1
            served.append((c["peer"], PROBE_SHARE, "a chance"))
        return [
            {"peer": peer, "share": max(1, round(100_000 * share)), "why": why}
            for peer, share, why in served
        ]

    def seed(self, waiting, slots):
        """No neighbor can pay a seed: those that were served least often."""
        waiting.sort(key=lambda c: (self.tried.get(c["peer"], 0), random.random()))
        for c in waiting[:slots]:
            self.tried[c["peer"]] = self.tried.get(c["peer"], 0) + 1
        return [{"peer": c["peer"], "why": "its turn"} for c in waiting[:slots]]


if __name__ == "__main__":
    choker = Choker()
    for line in sys.stdin:
        print(json.dumps(choker.answer(json.loads(line))), flush=True)
