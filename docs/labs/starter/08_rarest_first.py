#!/usr/bin/env python3
"""Lab 8: a file from several peers, rarest first (BEP 3).

The sheet is docs/labs/08-rarest-first.md.

    08_rarest_first.py [--timeout SECONDS] TORRENT OUT HOST:PORT...

Begin with your program of lab 7: you need its messages, its torrent and its blocks here, too.
"""

import argparse
import asyncio
import os
import sys


class Failed(Exception):
    """The download cannot be completed; the text says why."""


async def download(data, file, addresses, timeout):
    """Downloads what the .torrent with the bytes `data` describes from these peers into `file`."""
    raise Failed("download is not written yet")


def run(arguments):
    with open(arguments.torrent, "rb") as file:
        data = file.read()
    # OUT must not appear before every piece is verified.
    part = arguments.out + ".part"
    with open(part, "wb") as file:
        asyncio.run(download(data, file, arguments.peers, arguments.timeout))
    os.replace(part, arguments.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Downloads a file from several peers.")
    parser.add_argument("--timeout", type=float, default=20, metavar="SECONDS")
    parser.add_argument("torrent")
    parser.add_argument("out")
    parser.add_argument("peers", nargs="+", metavar="HOST:PORT")
    try:
        run(parser.parse_args())
    except (Failed, OSError) as error:
        sys.exit(str(error))
