#!/usr/bin/env python3
"""Lab 8: a file from several peers, rarest first (BEP 3).

The sheet is docs/labs/08-rarest-first.md.

    08_rarest_first.py [--timeout SECONDS] TORRENT OUT HOST:PORT...
"""

import argparse
import asyncio
import hashlib
import os
import random
import struct
import sys
import time

BLOCK = 16 * 1024  # BEP 3: what one request asks for
PIPELINE = 8  # requests in flight to one neighbor
# A piece message with one block needs 16 KiB and 9 bytes; a bitfield is longer than this only
# above a million pieces.
MAX_MESSAGE = 128 * 1024
CONNECT_TIMEOUT = 10  # seconds for the connection, and again for the handshake
PROTOCOL = b"\x13BitTorrent protocol"
CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL = range(9)


class Failed(Exception):
    """The download cannot be completed; the text says why."""


class Misbehaved(Exception):
    """A neighbor broke the protocol; the text says how. It is disconnected, the others stay."""


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


class Neighbor:
    """One connection to a peer, cut into messages, and what we know about the peer."""

    def __init__(self, name, reader, writer):
        self.name = name
        self.reader = reader
        self.writer = writer
        self.has = set()  # its pieces, as it says
        self.choking = True  # BEP 3: a connection begins choked
        self.interested = False  # we, in its pieces
        self.requests = set()  # (index, begin, length) in flight to it
        self.answered = time.monotonic()  # when it last sent a block, or was first asked for one

    async def handshake(self, info_hash, peer_id):
        """Both sides send 68 bytes; both must mean the same torrent."""
        self.writer.write(PROTOCOL + bytes(8) + info_hash + peer_id)
        theirs = await self.reader.readexactly(68)
        if theirs[:20] != PROTOCOL:
            raise Misbehaved("does not speak BitTorrent")
        if theirs[28:48] != info_hash:
            raise Misbehaved("has another torrent: its info hash differs")

    async def receive(self):
        """The next message as (id, payload). A keep-alive has neither: (None, b"")."""
        (length,) = struct.unpack(">I", await self.reader.readexactly(4))
        if length == 0:
            return None, b""
        if length > MAX_MESSAGE:
            raise Misbehaved(f"announces a message of {length} bytes")
        message = await self.reader.readexactly(length)
        return message[0], message[1:]

    def send(self, message_id, payload=b""):
        # Without waiting: PIPELINE requests are all that can be unsent.
        self.writer.write(struct.pack(">IB", 1 + len(payload), message_id) + payload)


class Progress:
    """A piece that is being downloaded."""

    def __init__(self, torrent, index):
        self.data = bytearray(torrent.piece_size(index))
        # Each block that is not here, with the neighbor that was asked for it, or None.
        self.missing = dict.fromkeys(torrent.blocks(index))
        self.senders = set()
        # If set, no other neighbor is asked for blocks of this piece.
        self.owner = None


class Download:
    """Which block is asked of which neighbor, and what becomes of the blocks."""

    def __init__(self, torrent, file):
        self.torrent = torrent
        self.file = file
        self.verified = set()
        self.in_progress = {}  # index -> Progress
        self.suspects = set()  # pieces that several neighbors sent and that had a wrong hash
        self.neighbors = set()
        # K&R 2.5: how many of our neighbors have each piece.
        self.availability = [0] * len(torrent.hashes)
        self.news = time.monotonic()  # when a block last came
        self.over = asyncio.Event()

    def is_complete(self):
        return len(self.verified) == len(self.torrent.hashes)

    # What neighbors tell us

    def handle(self, neighbor, message_id, payload):
        if message_id == CHOKE:
            # The neighbor has dropped our requests: other neighbors may be asked for the blocks.
            neighbor.choking = True
            self.take_back(neighbor)
        elif message_id == UNCHOKE:
            neighbor.choking = False
        elif message_id == HAVE:
            self.learn(neighbor, [self.index_of(payload)])
        elif message_id == BITFIELD:
            self.learn(neighbor, self.indices_of(payload))
        elif message_id == PIECE:
            self.block_arrived(neighbor, payload)
        # Other messages, and those of extensions, are of no concern here.
        self.request_more()

    def index_of(self, payload):
        if len(payload) != 4:
            raise Misbehaved("sent a have of the wrong length")
        (index,) = struct.unpack(">I", payload)
        if index >= len(self.torrent.hashes):
            raise Misbehaved(f"has a piece {index}, which the torrent does not have")
        return index

    def indices_of(self, payload):
        """The pieces of a bitfield: bit 7 of byte 0 is piece 0."""
        count = len(self.torrent.hashes)
        if len(payload) != -(-count // 8):
            raise Misbehaved("sent a bitfield of the wrong length")
        indices = [i for i in range(8 * len(payload)) if payload[i // 8] & (0x80 >> i % 8)]
        if indices and indices[-1] >= count:
            raise Misbehaved("sent a bitfield with a spare bit set")
        return indices

    def learn(self, neighbor, indices):
        for index in indices:
            # A piece that is told twice is still one copy.
            if index not in neighbor.has:
                neighbor.has.add(index)
                self.availability[index] += 1
        self.update_interest(neighbor)

    def update_interest(self, neighbor):
        """Before it hears of our interest, a neighbor has no reason to unchoke us."""
        interested = not neighbor.has <= self.verified
        if interested != neighbor.interested:
            neighbor.interested = interested
            neighbor.send(INTERESTED if interested else NOT_INTERESTED)

    def left(self, neighbor):
        """The connection is closed: its copies no longer count, and others get its requests."""
        self.neighbors.discard(neighbor)
        for index in neighbor.has:
            self.availability[index] -= 1
        self.take_back(neighbor)
        self.request_more()

    def take_back(self, neighbor):
        """The requests to this neighbor will not be answered."""
        for index, begin, length in neighbor.requests:
            progress = self.in_progress.get(index)
            if progress is not None and progress.missing.get((begin, length)) is neighbor:
                progress.missing[begin, length] = None
        neighbor.requests.clear()
        # What it alone was to send begins again with another neighbor.
        for index in [i for i, p in self.in_progress.items() if p.owner is neighbor]:
            del self.in_progress[index]

    # What we ask for

    def request_more(self):
        # In random order, or the first neighbor would get all requests when there are few.
        for neighbor in random.sample(list(self.neighbors), len(self.neighbors)):
            while not neighbor.choking and len(neighbor.requests) < PIPELINE:
                request = self.next_request(neighbor)
                if request is None:
                    break
                if not neighbor.requests:
                    neighbor.answered = time.monotonic()
                neighbor.requests.add(request)
                neighbor.send(REQUEST, struct.pack(">III", *request))

    def next_request(self, neighbor):
        """The block to ask this neighbor for, as (index, begin, length)."""
        # Strict priority: only whole pieces can be verified, so those in progress come first.
        for index, progress in self.in_progress.items():
            if index in neighbor.has and progress.owner in (None, neighbor):
                for block, asked in progress.missing.items():
                    if asked is None:
                        progress.missing[block] = neighbor
                        return (index, *block)
        index = self.rarest(neighbor)
        if index is None:
            return None
        progress = self.in_progress[index] = Progress(self.torrent, index)
        if index in self.suspects:
            progress.owner = neighbor
        return self.next_request(neighbor)

    def rarest(self, neighbor):
        """K&R 2.5: of the pieces that we can begin here, one with the fewest copies."""
        possible = [i for i in neighbor.has - self.verified if i not in self.in_progress]
        if not possible:
            return None
        fewest = min(self.availability[i] for i in possible)
        # Ties at random: else all peers would download the same piece.
        return random.choice([i for i in possible if self.availability[i] == fewest])

    # What comes

    def block_arrived(self, neighbor, payload):
        if len(payload) < 8:
            raise Misbehaved("sent a piece message that is too short")
        index, begin = struct.unpack(">II", payload[:8])
        block = (begin, len(payload) - 8)
        neighbor.requests.discard((index, *block))
        progress = self.in_progress.get(index)
        # After a choke a block may still come that another neighbor is asked for by now: welcome.
        if progress is None or block not in progress.missing:
            return
        if progress.owner not in (None, neighbor):
            return
        self.news = neighbor.answered = time.monotonic()
        del progress.missing[block]
        progress.senders.add(neighbor)
        progress.data[begin : begin + block[1]] = payload[8:]
        if not progress.missing:
            del self.in_progress[index]
            self.piece_arrived(index, progress)

    def piece_arrived(self, index, progress):
        if hashlib.sha1(progress.data).digest() == self.torrent.hashes[index]:
            self.file.seek(index * self.torrent.piece_length)
            self.file.write(progress.data)
            self.verified.add(index)
            for neighbor in self.neighbors:
                self.update_interest(neighbor)
            if self.is_complete():
                self.over.set()
            return
        print(f"piece {index}: the hash does not match", file=sys.stderr)
        # The hash does not tell which block is false. With one sender there is no doubt; otherwise
        # the piece is downloaded again, all of it from one neighbor.
        if len(progress.senders) == 1:
            (liar,) = progress.senders
            self.disconnect(liar, f"sent all of piece {index}, which is false")
        else:
            self.suspects.add(index)

    # Connections

    async def talk(self, address, peer_id):
        """Dials a peer and follows what it says until the connection ends."""
        host, _, port = address.rpartition(":")
        neighbor = writer = None
        try:
            connecting = asyncio.open_connection(host, int(port))
            reader, writer = await asyncio.wait_for(connecting, CONNECT_TIMEOUT)
            neighbor = Neighbor(address, reader, writer)
            shaking = neighbor.handshake(self.torrent.info_hash, peer_id)
            await asyncio.wait_for(shaking, CONNECT_TIMEOUT)
            self.neighbors.add(neighbor)
            while neighbor in self.neighbors:
                self.handle(neighbor, *await neighbor.receive())
        except asyncio.IncompleteReadError:
            # Unless it was us: then `disconnect` has said why.
            if not writer.is_closing():
                print(f"{address}: closed the connection", file=sys.stderr)
        except asyncio.TimeoutError:
            print(f"{address}: does not answer", file=sys.stderr)
        except (Misbehaved, OSError) as error:
            print(f"{address}: {error}", file=sys.stderr)
        finally:
            if writer is not None:
                writer.close()
            if neighbor in self.neighbors:
                self.left(neighbor)

    def disconnect(self, neighbor, reason):
        """Ends the connection; `talk` then sees its end."""
        print(f"{neighbor.name}: {reason}", file=sys.stderr)
        neighbor.writer.close()
        if neighbor in self.neighbors:
            self.left(neighbor)

    async def watch(self, timeout):
        """Disconnects neighbors that do not answer requests; ends when nothing comes at all."""
        while True:
            await asyncio.sleep(min(1, timeout / 4))
            now = time.monotonic()
            for neighbor in list(self.neighbors):
                if neighbor.requests and now - neighbor.answered > timeout:
                    self.disconnect(neighbor, f"answered no request for {timeout:g} s")
            if now - self.news > 2 * timeout:
                self.over.set()


async def download(torrent, file, addresses, timeout):
    # BEP 20: two letters and a version, then chance; two peers with one id refuse each other.
    peer_id = b"-ST0008-" + os.urandom(12)
    state = Download(torrent, file)
    talks = [asyncio.create_task(state.talk(address, peer_id)) for address in addresses]
    tasks = [
        asyncio.create_task(state.over.wait()),
        asyncio.create_task(state.watch(timeout)),
        asyncio.ensure_future(asyncio.wait(talks)),
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in talks + tasks:
        task.cancel()
    await asyncio.gather(*talks, *tasks, return_exceptions=True)
    if not state.is_complete():
        have, total = len(state.verified), len(torrent.hashes)
        raise Failed(f"no neighbor sends what is missing: {have} of {total} pieces")


def run(arguments):
    with open(arguments.torrent, "rb") as file:
        torrent = Torrent(file.read())
    # OUT appears when every piece is verified, and not before.
    part = arguments.out + ".part"
    with open(part, "wb") as file:
        asyncio.run(download(torrent, file, arguments.peers, arguments.timeout))
    os.replace(part, arguments.out)


def address(text):
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT")
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Downloads a file from several peers.")
    parser.add_argument("--timeout", type=float, default=20, metavar="SECONDS")
    parser.add_argument("torrent")
    parser.add_argument("out")
    parser.add_argument("peers", nargs="+", type=address, metavar="HOST:PORT")
    try:
        run(parser.parse_args())
    except (Failed, OSError) as error:
        sys.exit(str(error))
