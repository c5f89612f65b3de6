#!/usr/bin/env python3
"""Lab 11: free riders, the missing piece, clustering (K&R 2.5).

The sheet is docs/labs/11-free-riders.md.

    11_free_riders.py ID        prints your numbers, and a file of answers to fill in
"""

import hashlib
import sys


def parameters(student):
    """The numbers of this student: each depends on one byte of a hash of the ID."""
    digest = hashlib.sha1(f"free-riders {student}".encode()).digest()
    return {
        "contributors": 20 + digest[0] % 31,
        "peers": 40 + digest[1] % 31,
        "riders": 10 + digest[2] % 16,
        "load": f"1.{3 + digest[3] % 7}",
        "rng-seed": 256 * digest[4] + digest[5],
    }


ANSWERS = [
    *("rider-formula-textbook", "rider-formula-mainline"),
    *("rider-sim-textbook", "rider-sim-mainline"),
    *("crowd-formula", "crowd-sim", "crowd-sim-ratio"),
    *("missing-formula", "missing-doubles", "missing-sim", "missing-sim-stays"),
    *("fast-seed-kept", "fast-seed-ratio", "slow-seed-kept", "slow-seed-ratio"),
]

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, value in parameters(sys.argv[1]).items():
        print(f"# {name} = {value}")
    for name in ANSWERS:
        print(f"{name} =")
