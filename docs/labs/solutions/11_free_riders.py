#!/usr/bin/env python3
"""Lab 11: free riders, the missing piece, clustering (K&R 2.5).

The sheet is docs/labs/11-free-riders.md.

    11_free_riders.py ID [PEER]

Prints the answers file of the student with this ID: without PEER only what the formulas give; with
PEER, the program of this workspace, what it simulates as well (some 30 s).
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile


def parameters(student):
    """The numbers of this student: each depends on one byte of a hash of the ID."""
    digest = hashlib.sha256(f"free-riders {student}".encode()).digest()
    return {
        "contributors": 20 + digest[0] % 31,
        "peers": 40 + digest[1] % 31,
        "riders": 10 + digest[2] % 16,
        "load": f"1.{3 + digest[3] % 7}",
        "rng-seed": 256 * digest[4] + digest[5],
    }


def free_rider(n, served, by_rate):
    """What a free rider among n contributors gets, over what each of them uploads.

    Each contributor has n neighbors, the others and the rider. It serves `by_rate` of them by their
    rates, and picks the others at random from the n - by_rate that are left.
    """
    return (served - by_rate) * n / (n - by_rate) / served


def crowd(peers, riders):
    """N F over the sum of all uploads, in seconds, with the default rates of the scenario."""
    file, upload, seeds = 200 * 128 * 1024, 81920, 5
    return peers * file / ((peers - riders + seeds) * upload)


def formulas(p):
    n, seed_upload = p["contributors"], 0.1  # chunks a second
    yield "rider-formula-textbook", free_rider(n, 5, 4)
    yield "rider-formula-mainline", free_rider(n, 4, 3)
    yield "crowd-formula", crowd(p["peers"], p["riders"])
    # Each chunk that the seed sends lets one peer leave, and `load` peers come meanwhile.
    growth = (float(p["load"]) - 1) * seed_upload
    yield "missing-formula", growth
    yield "missing-doubles", 150 / growth


def simulations(p, peer):
    n, riders, load = str(p["contributors"]), str(p["riders"]), p["load"]
    four = ["free-rider", "--contributors", n, "--runs", "4"]
    yield "rider-sim-textbook", simulate(p, peer, *four)["a rider gets"]
    mainline = ["--choker", "mainline", "--by-rate", "3", "--serves", "4"]
    yield "rider-sim-mainline", simulate(p, peer, *four, *mainline)["a rider gets"]

    some = ["riders", "--peers", str(p["peers"]), "--riders", riders, "--runs", "1"]
    rows = simulate(p, peer, *some)
    yield "crowd-sim", rows[f"mean time, {riders} riders"]
    yield "crowd-sim-ratio", rows[f"rider over honest, {riders} riders"]

    missing = ["missing-piece", "--load", load, "--runs", "1"]
    row = f"growth, λ = {load} U_s"
    yield "missing-sim", simulate(p, peer, *missing)[row]
    yield "missing-sim-stays", simulate(p, peer, *missing, "--stays", "1.5")[row]

    for name, options in [("fast-seed", []), ("slow-seed", ["--seed-upload", "20KB"])]:
        rows = simulate(p, peer, "clustering", "--runs", "1", *options)
        yield f"{name}-kept", rows["kept by the fast class"]
        yield f"{name}-ratio", rows["the slowest class over the fastest"]


def simulate(p, peer, *options):
    """What a simulation measured, the mean over its runs, by the name of the row in its table."""
    with tempfile.TemporaryDirectory() as folder:
        results = os.path.join(folder, "results.json")
        command = [peer, "simulate", *options, "--rng-seed", str(p["rng-seed"]), "--json", results]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(results, encoding="utf-8") as file:
            rows = json.load(file)[0]["rows"]
    return {row["what"]: row["measured"]["mean"] for row in rows}


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    numbers = parameters(sys.argv[1])
    answers = dict(formulas(numbers))
    if len(sys.argv) == 3:
        answers.update(simulations(numbers, sys.argv[2]))
    for answer, value in answers.items():
        print(f"{answer} = {value:.6g}")
