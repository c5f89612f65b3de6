#!/usr/bin/env python3
"""Lab 10: distribution time (K&R 2.5). The sheet is docs/labs/10-distribution-time.md.

    10_distribution_time.py ID [PEER [--swarm]]

Prints the answers file of the student with this ID: without PEER only what the formulas give; with
PEER, the program of this workspace, what it simulates; with --swarm, what a real swarm takes
(a minute or two).
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile


def parameters(student):
    """The numbers of this student: each depends on one byte of a hash of the ID."""
    digest = hashlib.sha256(f"distribution-time {student}".encode()).digest()
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


def client_server(n, f, u_s, d):
    """K&R 2.5: the server sends n copies; the slowest peer must receive one."""
    return max(n * f / u_s, f / d)


def peer_to_peer(n, f, u_s, d, u):
    """K&R 2.5: the server sends one copy, each peer receives one, and together all upload n."""
    return max(f / u_s, f / d, n * f / (u_s + n * u))


def formulas(p):
    f, u_s, d = p["F"] * 1e9, p["u_s"] * 1e6, p["d"] * 1e6  # bits, and bits per second
    uploads = {"low": p["u-low"] * 1e3, "medium": p["u-medium"] * 1e3, "high": d}
    for n in (10, 100, 1000):
        yield f"cs-{n}", client_server(n, f, u_s, d)
    for name, u in uploads.items():
        for n in (10, 100, 1000):
            yield f"p2p-{name}-{n}", peer_to_peer(n, f, u_s, d, u)
    # The least n with n F / u_s > F / d.
    yield "server-limits-from", p["u_s"] // p["d"] + 1


def simulations(p, peer):
    small, large = p["N-small"], p["N-large"]
    times = simulate(p, peer, "--peers", f"{small},{large}")
    yield "sim-p2p-small", times[f"P2P, N = {small}"]
    yield "sim-p2p-large", times[f"P2P, N = {large}"]
    yield "sim-cs-large", times[f"client-server, N = {large}"]
    # The same file, in 8 chunks instead of 800.
    few = simulate(p, peer, "--peers", str(small), "--chunks", "8", "--chunk-size", "19200KiB")
    yield "sim-few-chunks", few[f"P2P, N = {small}"]
    in_order = simulate(p, peer, "--peers", str(small), "--order", "in-order")
    yield "sim-in-order", in_order[f"P2P, N = {small}"]


def simulate(p, peer, *options):
    """What a simulation measured, in seconds, by the name of the row in its table."""
    with tempfile.TemporaryDirectory() as folder:
        results = os.path.join(folder, "results.json")
        command = [peer, "simulate", "kurose-ross", "--runs", "1", "--rng-seed", str(p["rng-seed"])]
        subprocess.run(
            [*command, *options, "--json", results], check=True, stdout=subprocess.DEVNULL
        )
        with open(results, encoding="utf-8") as file:
            rows = json.load(file)[0]["rows"]
    return {row["what"]: row["measured"]["mean"] for row in rows}


def swarm(p, peer):
    limit = f"{p['upload-limit']}KB"
    options = ["--peers", str(p["N-small"]), "--free-riders", "0", "--head-start", "0"]
    command = [peer, "swarm", *options, "--upload-limit", limit]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    for name, label in [("swarm-bound", "P2P, at least"), ("swarm-measured", "this swarm")]:
        yield name, float(re.search(rf"{label} +([0-9.]+) s", run.stdout).group(1))


def run(arguments):
    if len(arguments) not in (1, 2, 3) or arguments[2:] not in ([], ["--swarm"]):
        sys.exit(__doc__)
    p = parameters(arguments[0])
    answers = dict(formulas(p))
    if len(arguments) > 1:
        answers.update(simulations(p, arguments[1]))
    if len(arguments) > 2:
        answers.update(swarm(p, arguments[1]))
    for name, value in answers.items():
        print(f"{name} = {value:.6g}")


if __name__ == "__main__":
    run(sys.argv[1:])
