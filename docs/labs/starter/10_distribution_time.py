#!/usr/bin/env python3
"""Lab 10: distribution time (K&R 2.5). The sheet is docs/labs/10-distribution-time.md.

10_distribution_time.py ID        prints your numbers, and a file of answers to fill in
"""

import hashlib
import sys


def parameters(student):
    """The numbers of this student: each depends on one byte of a hash of the ID."""
    digest = hashlib.sha1(f"distribution-time {student}".encode()).digest()
    return {
        "F": 10 + digest[0] % 11,  # Gbit
        "u_s": 20 + 5 * (digest[1] % 7),  # Mbit/s
        "d": 2 + digest[2] % 3,  # Mbit/s
        "u-low": 200 + 50 * (digest[3] % 5),  # kbit/s
        "u-medium": 600 + 50 * (digest[4] % 7),  # kbit/s
        "N-small": 6 + digest[5] % 7,
        "N-large": 25 + digest[6] % 16,
        "rng-seed": 256 * digest[7] + digest[8],
        "upload-limit": 1500 + 500 * (digest[9] % 4),  # kB/s
    }


ANSWERS = [
    *(f"cs-{n}" for n in (10, 100, 1000)),
    *(f"p2p-{u}-{n}" for u in ("low", "medium", "high") for n in (10, 100, 1000)),
    "server-limits-from",
    *("sim-p2p-small", "sim-p2p-large", "sim-cs-large", "sim-few-chunks", "sim-in-order"),
    *("swarm-bound", "swarm-measured"),
]

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, value in parameters(sys.argv[1]).items():
        print(f"# {name} = {value}")
    for name in ANSWERS:
        print(f"{name} =")
