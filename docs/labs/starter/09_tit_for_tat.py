#!/usr/bin/env python3
"""Lab 9: a peer that trades, tit-for-tat (K&R 2.5, BEP 3).

The sheet is docs/labs/09-tit-for-tat.md.

    09_tit_for_tat.py [--rechoke SECONDS] [--optimistic SECONDS] TORRENT DATA PORT [HOST:PORT...]

Begin with your program of lab 8, which already downloads.
"""

import argparse
import asyncio
import sys

SLOTS = 4  # K&R 2.5: the top four; one more is unchoked at random


class Failed(Exception):
    """The program cannot run; the text says why."""


async def converse(reader, writer):
    """Handles the messages of a peer that has connected, until the connection ends."""
    writer.close()


def choose(interested, optimistic, new_optimistic):
    """The interested neighbors to serve until the next round, and the optimistic one."""
    return set(), None


async def share(data, arguments):
    server = await asyncio.start_server(converse, "127.0.0.1", arguments.port)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on 127.0.0.1:{port}", file=sys.stderr)
    await server.serve_forever()


def run(arguments):
    with open(arguments.torrent, "rb") as file:
        data = file.read()
    asyncio.run(share(data, arguments))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Shares a file, tit-for-tat.")
    parser.add_argument("--rechoke", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--optimistic", type=float, default=30, metavar="SECONDS")
    parser.add_argument("torrent")
    parser.add_argument("data")
    parser.add_argument("port", type=int)
    parser.add_argument("peers", nargs="*", metavar="HOST:PORT")
    try:
        run(parser.parse_args())
    except KeyboardInterrupt:
        pass
    except (Failed, OSError) as error:
        sys.exit(str(error))
