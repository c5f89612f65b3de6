#!/usr/bin/env python3
"""A choker for --choker-cmd: the peers that sent most in the last round, and one at random."""

import json
import random
import sys

for line in sys.stdin:
    question = json.loads(line)
    waiting = [c for c in question["candidates"] if c["interested"]]
    # No peer can pay a seed: then those that we send to fastest.
    value = "rate" if question["seeding"] else "received"
    waiting.sort(key=lambda c: c[value], reverse=True)
    slots = question["slots"]
    answer = [
        {"peer": c["peer"], "why": f"{value} {c[value]}"} for c in waiting[:slots]
    ]
    if len(waiting) > slots:
        lucky = random.choice(waiting[slots:])
        answer.append({"peer": lucky["peer"], "why": "a chance"})
    print(json.dumps(answer), flush=True)
