#!/usr/bin/env python3
"""Lab 7: one piece from one peer (BEP 3). The sheet is docs/labs/07-a-peer.md.

07_a_peer.py [--timeout SECONDS] TORRENT HOST PORT INDEX OUT
"""

import argparse
import sys

BLOCK = 16 * 1024  # bytes; BEP 3: what one request asks for
PROTOCOL = b"\x13BitTorrent protocol"
CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL = range(9)


class Failed(Exception):
    """This peer cannot give us the piece; the text says why."""


def receive_exactly(connection, count):
    """The next `count` bytes from a socket, however TCP delivers them."""
    raise Failed("receive_exactly is not written yet")


def receive_message(connection):
    """The next message: its id (None for a keep-alive) and its payload."""
    raise Failed("receive_message is not written yet")


def download(data, host, port, index, timeout):
    """The bytes of piece `index` of the .torrent whose bytes are `data`, with the right hash."""
    raise Failed("download is not written yet")


def run(arguments):
    with open(arguments.torrent, "rb") as file:
        data = file.read()
    piece = download(data, arguments.host, arguments.port, arguments.index, arguments.timeout)
    with open(arguments.out, "wb") as file:
        file.write(piece)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Downloads one piece from one peer.")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    parser.add_argument("torrent")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("index", type=int)
    parser.add_argument("out")
    try:
        run(parser.parse_args())
    except (Failed, OSError) as error:
        sys.exit(str(error))
