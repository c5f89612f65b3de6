#!/usr/bin/env python3
"""Lab 7: one piece from one peer (BEP 3). The sheet is docs/labs/07-a-peer.md.

07_a_peer.py [--timeout SECONDS] TORRENT HOST PORT INDEX OUT
"""

import argparse
import hashlib
import os
import socket
import struct
import sys
import time

BLOCK = 16 * 1024  # BEP 3: what one request asks for
PIPELINE = 8  # requests in flight: with one at a time, the rate is one block per round-trip time
# The longest message that we need is a piece message: its number, index and begin, and a block.
# A bitfield is longer only above a million pieces.
MAX_MESSAGE = 128 * 1024
PROTOCOL = b"\x13BitTorrent protocol"
CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL = range(9)


class Failed(Exception):
    """The piece cannot be had from this peer; the text says why."""


class Torrent:
    """What a .torrent of a single file says."""

    def __init__(self, data):
        top, self.info_span = decode(data)
        if self.info_span is None:
            raise Failed("the .torrent has no info dictionary")
        begin, end = self.info_span
        self.info_hash = hashlib.sha1(data[begin:end]).digest()
        info = top[b"info"]
        if not isinstance(info, dict) or not isinstance(info.get(b"length"), int):
            raise Failed("the .torrent is not of a single file")
        self.length = info[b"length"]
        self.piece_length = info.get(b"piece length")
        hashes = info.get(b"pieces")
        if not isinstance(self.piece_length, int) or not isinstance(hashes, bytes):
            raise Failed("the .torrent lacks 'piece length' or 'pieces'")
        if self.length < 1 or self.piece_length < 1:
            raise Failed("a length in the .torrent is less than 1")
        self.hashes = [hashes[i : i + 20] for i in range(0, len(hashes), 20)]
        if len(hashes) % 20 != 0 or len(self.hashes) != -(-self.length // self.piece_length):
            raise Failed("'pieces' does not fit the length")

    def piece_size(self, index):
        """Bytes in a piece: the last one can be shorter."""
        return min(self.piece_length, self.length - index * self.piece_length)

    def blocks(self, index):
        """The blocks of a piece as (begin, length): again the last one can be shorter."""
        size = self.piece_size(index)
        return [(begin, min(BLOCK, size - begin)) for begin in range(0, size, BLOCK)]


def decode(data):
    """The value of bencoded `data`, and where the value of its key `info` is in it (lab 5)."""
    info_span = None

    def value(at, depth):
        nonlocal info_span
        if depth > 100:
            raise ValueError("nested too deep")
        first = data[at : at + 1]
        if first == b"i":
            end = data.index(b"e", at)
            return int(data[at + 1 : end]), end + 1
        if first in (b"l", b"d"):
            items, at = [], at + 1
            while data[at : at + 1] != b"e":
                begin = at
                item, at = value(at, depth + 1)
                items.append(item)
                # An even number of items: the last one is a value, and the one before its key.
                at_top = first == b"d" and depth == 0 and len(items) % 2 == 0
                if at_top and items[-2] == b"info":
                    info_span = (begin, at)
            if first == b"l":
                return items, at + 1
            return dict(zip(items[::2], items[1::2])), at + 1
        colon = data.index(b":", at)
        end = colon + 1 + int(data[at:colon])
        if not first.isdigit() or end > len(data):
            raise ValueError("a string does not fit")
        return data[colon + 1 : end], end

    try:
        return value(0, 0)[0], info_span
    except (TypeError, ValueError) as error:
        raise Failed(f"the .torrent is not bencode: {error}") from error


class Connection:
    """A TCP connection to a peer, cut into messages."""

    def __init__(self, host, port, timeout):
        self.timeout = timeout
        self.progress()
        self.socket = socket.create_connection((host, port), timeout)

    def progress(self):
        """Something that we waited for has come: the clock starts again."""
        self.deadline = time.monotonic() + self.timeout

    def receive_exactly(self, count):
        """The next `count` bytes. One recv returns what is there, which may be any part of them."""
        parts = []
        while count > 0:
            # Keep-alives and other chatter must not keep us here forever.
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout
            self.socket.settimeout(left)
            part = self.socket.recv(min(count, 64 * 1024))
            if not part:
                raise Failed("the peer closed the connection")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def handshake(self, info_hash, peer_id):
        """Both sides send 68 bytes; both must mean the same torrent."""
        # Eight reserved bytes, all 0: we know no extension.
        self.socket.sendall(PROTOCOL + bytes(8) + info_hash + peer_id)
        if self.receive_exactly(20) != PROTOCOL:
            raise Failed("the peer does not speak BitTorrent")
        self.receive_exactly(8)
        if self.receive_exactly(20) != info_hash:
            raise Failed("the peer has another torrent: its info hash differs")
        self.receive_exactly(20)

    def receive_message(self):
        """The next message as (id, payload). A keep-alive has neither: (None, b"")."""
        (length,) = struct.unpack(">I", self.receive_exactly(4))
        if length == 0:
            return None, b""
        # Before anything is reserved: the length comes from a stranger.
        if length > MAX_MESSAGE:
            raise Failed(f"the peer announces a message of {length} bytes")
        message = self.receive_exactly(length)
        return message[0], message[1:]

    def send(self, message_id, payload=b""):
        self.socket.sendall(struct.pack(">IB", 1 + len(payload), message_id) + payload)


def download(connection, torrent, index):
    """The bytes of the piece, with the right hash."""
    missing = torrent.blocks(index)  # not here yet
    requested = set()  # of these, in flight
    piece = bytearray(torrent.piece_size(index))
    choked = True  # BEP 3: a connection begins choked
    has_piece = False  # and until it says otherwise, the peer has nothing

    connection.send(INTERESTED)
    while missing:
        message_id, payload = connection.receive_message()
        if message_id == CHOKE:
            # The peer has dropped our requests. Blocks in flight may still come.
            choked = True
            requested.clear()
        elif message_id == UNCHOKE:
            if choked:
                connection.progress()
            choked = False
        elif message_id == HAVE:
            has_piece = have(payload, torrent) == index or has_piece
        elif message_id == BITFIELD:
            has_piece = has_bit(payload, torrent, index)
        elif message_id == PIECE:
            begin, block = block_of(payload, index)
            # What we did not ask for has no place in the piece.
            if (begin, len(block)) in missing:
                missing.remove((begin, len(block)))
                requested.discard((begin, len(block)))
                piece[begin : begin + len(block)] = block
                connection.progress()
        # Other messages, and those of extensions, are of no concern here.

        if has_piece and not choked:
            for block in missing:
                if len(requested) >= PIPELINE:
                    break
                if block not in requested:
                    requested.add(block)
                    connection.send(REQUEST, struct.pack(">III", index, *block))

    if hashlib.sha1(piece).digest() != torrent.hashes[index]:
        raise Failed(f"piece {index}: the hash does not match")
    return bytes(piece)


def have(payload, torrent):
    if len(payload) != 4:
        raise Failed("the peer sent a have of the wrong length")
    (index,) = struct.unpack(">I", payload)
    if index >= len(torrent.hashes):
        raise Failed(f"the peer has a piece {index}, which the torrent does not have")
    return index


def has_bit(payload, torrent, index):
    """Whether a bitfield has the bit of the piece: bit 7 of byte 0 is piece 0."""
    if len(payload) != -(-len(torrent.hashes) // 8):
        raise Failed("the peer sent a bitfield of the wrong length")
    return bool(payload[index // 8] & (0x80 >> index % 8))


def block_of(payload, index):
    """The begin of a block and its bytes. Of another piece, a begin that fits nowhere."""
    if len(payload) < 8:
        raise Failed("the peer sent a piece message that is too short")
    its_index, begin = struct.unpack(">II", payload[:8])
    return (begin if its_index == index else -1), payload[8:]


def run(arguments):
    with open(arguments.torrent, "rb") as file:
        torrent = Torrent(file.read())
    if not 0 <= arguments.index < len(torrent.hashes):
        raise Failed(f"there is no piece {arguments.index}: the torrent has {len(torrent.hashes)}")
    # BEP 20: two letters and a version, then chance; two peers with one id refuse each other.
    peer_id = b"-ST0007-" + os.urandom(12)
    try:
        connection = Connection(arguments.host, arguments.port, arguments.timeout)
        with connection.socket:
            connection.handshake(torrent.info_hash, peer_id)
            connection.progress()
            piece = download(connection, torrent, arguments.index)
    except socket.timeout as error:
        raise Failed(f"nothing useful came for {arguments.timeout:g} s") from error
    # Only now: OUT never has bytes that are not verified.
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
