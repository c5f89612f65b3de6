#!/usr/bin/env python3
"""Lab 4: on the wire (K&R 2.5).

The sheet is docs/labs/04-on-the-wire.md.

    04_on_the_wire.py ID        prints your peers A and B, and an answers file to fill in
"""

import hashlib
import sys

PEERS = 5  # Those that do not come late: 10.0.0.11 to 10.0.0.15.


def parameters(student):
    """The peers of this student: each depends on one byte of a hash of the ID."""
    digest = hashlib.sha1(f"on-the-wire {student}".encode()).digest()
    a = digest[0] % PEERS
    b = (a + 1 + digest[1] % (PEERS - 1)) % PEERS
    return {"A": f"10.0.0.{11 + a}", "B": f"10.0.0.{11 + b}"}


ANSWERS = [
    *("info-hash-start", "interval"),
    *("first-peers", "announces"),
    *("udp-peer", "udp-packets", "http-packets"),
    *("dial-port", "dial-rtt-ms"),
    *("chunks", "last-chunk"),
    *("data-bytes", "control-bytes"),
    *("first-requests", "first-block-ms"),
    *("seed-unchokes-first", "chokes"),
    *("late-chunk", "late-copies", "late-rarest"),
    *("from-b", "to-b"),
    *("completed-s",),
]

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, value in parameters(sys.argv[1]).items():
        print(f"# {name} = {value}")
    for name in ANSWERS:
        print(f"{name} =")
