#!/usr/bin/env python3
"""Lab 9: a peer that trades, tit-for-tat (K&R 2.5, BEP 3).

The sheet is docs/labs/09-tit-for-tat.md.

    09_tit_for_tat.py [--rechoke SECONDS] [--optimistic SECONDS] TORRENT DATA PORT [HOST:PORT...]
"""

import argparse
import asyncio
import collections
import contextlib
import hashlib
import os
import random
import struct
import sys
import time

BLOCK = 16 * 1024  # BEP 3: what one request asks for
PIPELINE = 8  # requests in flight to one neighbor
SLOTS = 4  # K&R 2.5: the top four; one more is unchoked at random
# A piece message with one block needs 16 KiB and 9 bytes; a bitfield is longer than this only
# above a million pieces.
MAX_MESSAGE = 128 * 1024
MAX_NEIGHBORS = 80
MAX_UPLOADS = 1_000  # requests of one neighbor that wait; real clients have at most 500 in flight
MAX_UNSENT = 1024 * 1024  # bytes of messages that a neighbor does not read
CONNECT_TIMEOUT = 10  # seconds for the connection, and again for the handshake
ANSWER_TIMEOUT = 60  # seconds that a neighbor may take for a block
KEEP_ALIVE = 100  # seconds without a message; other clients disconnect after 120
PROTOCOL = b"\x13BitTorrent protocol"
CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL = range(9)


class Failed(Exception):
    """The program cannot run; the text says why."""


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
        # Download, as in lab 8
        self.has = set()  # its pieces, as it says
        self.choking = True  # BEP 3: a connection begins choked, in both directions
        self.interested = False  # we, in its pieces
        self.requests = set()  # (index, begin, length) in flight to it
        self.answered = time.monotonic()  # when it last sent a block, or was first asked for one
        # Upload
        self.am_choking = True  # we choke it
        self.wants = False  # it is interested in our pieces
        self.uploads = collections.deque()  # its requests that wait
        self.wake = asyncio.Event()  # for `upload`: there is a request
        self.received = 0  # bytes of blocks in this round
        self.rate = 0  # the same, in the round before
        self.served = 0  # rounds in which it was unchoked
        self.sent_at = time.monotonic()

    async def handshake(self, info_hash, peer_id, dialed):
        """Both sides send 68 bytes, the dialing one first; both must mean the same torrent."""
        ours = PROTOCOL + bytes(8) + info_hash + peer_id
        if dialed:
            self.writer.write(ours)
        theirs = await self.reader.readexactly(68)
        if theirs[:20] != PROTOCOL:
            raise Misbehaved("does not speak BitTorrent")
        if theirs[28:48] != info_hash:
            raise Misbehaved("has another torrent: its info hash differs")
        if theirs[48:] == peer_id:
            raise Misbehaved("is this program itself")
        if not dialed:
            self.writer.write(ours)

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
        self.writer.write(struct.pack(">IB", 1 + len(payload), message_id) + payload)
        self.sent_at = time.monotonic()

    def keep_alive(self):
        if time.monotonic() - self.sent_at > KEEP_ALIVE:
            self.writer.write(bytes(4))
            self.sent_at = time.monotonic()


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
    """Which block is asked of which neighbor, and what becomes of the blocks: lab 8."""

    def __init__(self, torrent, file, verified):
        self.torrent = torrent
        self.file = file
        self.verified = verified
        self.in_progress = {}  # index -> Progress
        self.suspects = set()  # pieces that several neighbors sent and that had a wrong hash
        self.neighbors = set()
        # K&R 2.5: how many of our neighbors have each piece.
        self.availability = [0] * len(torrent.hashes)

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
        if (index, *block) in neighbor.requests:
            neighbor.requests.discard((index, *block))
            # Only what we asked for: else a neighbor could buy a slot with useless bytes.
            neighbor.received += block[1]
        progress = self.in_progress.get(index)
        # After a choke a block may still come that another neighbor is asked for by now: welcome.
        if progress is None or block not in progress.missing:
            return
        if progress.owner not in (None, neighbor):
            return
        neighbor.answered = time.monotonic()
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
            # The next program may read it even if this one is killed.
            self.file.flush()
            self.verified.add(index)
            for neighbor in self.neighbors:
                neighbor.send(HAVE, struct.pack(">I", index))
                self.update_interest(neighbor)
            if self.is_complete():
                print("complete: every piece is verified", file=sys.stderr)
            return
        print(f"piece {index}: the hash does not match", file=sys.stderr)
        # The hash does not tell which block is false. With one sender there is no doubt; otherwise
        # the piece is downloaded again, all of it from one neighbor.
        if len(progress.senders) == 1:
            (liar,) = progress.senders
            self.disconnect(liar, f"sent all of piece {index}, which is false")
        else:
            self.suspects.add(index)

    def disconnect(self, neighbor, reason):
        """Ends the connection; `Peer.converse` then sees its end."""
        print(f"{neighbor.name}: {reason}", file=sys.stderr)
        neighbor.writer.close()
        if neighbor in self.neighbors:
            self.left(neighbor)


class Choker:
    """K&R 2.5: the four interested neighbors that send to us fastest, and one more at random."""

    def __init__(self):
        self.optimistic = None

    def choose(self, interested, complete, new_optimistic):
        """The neighbors to serve until the next round."""
        if not complete:
            # At first all rates are 0: keep those that we have, then let chance decide.
            def rank(neighbor):
                return (-neighbor.rate, neighbor.am_choking, random.random())
        elif new_optimistic:
            # No neighbor can pay a seed. It serves all in turn, so that no four can hold it.
            def rank(neighbor):
                return (neighbor.served, random.random())
        else:

            def rank(neighbor):
                return (neighbor is self.optimistic, neighbor.am_choking, random.random())

        ranked = sorted(interested, key=rank)
        top, waiting = ranked[:SLOTS], ranked[SLOTS:]
        # An optimistic neighbor that has become one of the four, or has left, frees its slot.
        if new_optimistic or self.optimistic not in waiting:
            self.optimistic = random.choice(waiting) if waiting else None
        return set(top) | ({self.optimistic} if self.optimistic else set())


class Peer(Download):
    """A peer that downloads and uploads."""

    def __init__(self, torrent, file, verified):
        super().__init__(torrent, file, verified)
        self.choker = Choker()
        # BEP 20: two letters and a version, then chance; two peers with one id refuse each other.
        self.peer_id = b"-ST0009-" + os.urandom(12)
        self.connections = 0

    # Upload

    def handle(self, neighbor, message_id, payload):
        if message_id in (INTERESTED, NOT_INTERESTED):
            neighbor.wants = message_id == INTERESTED
            if not neighbor.wants and not neighbor.am_choking:
                self.choke(neighbor)
            self.fill_slots()
        elif message_id == REQUEST:
            request = self.request_of(payload)
            # A request that was in flight when we choked is no fault.
            if not neighbor.am_choking:
                if len(neighbor.uploads) >= MAX_UPLOADS:
                    raise Misbehaved(f"has more than {MAX_UPLOADS} requests waiting")
                neighbor.uploads.append(request)
                neighbor.wake.set()
        elif message_id == CANCEL:
            request = self.request_of(payload)
            if request in neighbor.uploads:
                neighbor.uploads.remove(request)
        else:
            super().handle(neighbor, message_id, payload)
        if neighbor.writer.transport.get_write_buffer_size() > MAX_UNSENT:
            raise Misbehaved("does not read what we send")

    def request_of(self, payload):
        """A request for bytes that we have, as (index, begin, length)."""
        if len(payload) != 12:
            raise Misbehaved("sent a request of the wrong length")
        index, begin, length = struct.unpack(">III", payload)
        if index not in self.verified:
            raise Misbehaved(f"requests piece {index}, which we do not have")
        if not 0 < length <= BLOCK or begin + length > self.torrent.piece_size(index):
            raise Misbehaved(f"requests {length} bytes at {begin} of piece {index}")
        return index, begin, length

    async def upload(self, neighbor):
        """Answers the requests of one neighbor, one block at a time."""
        with contextlib.suppress(OSError):  # the connection is lost: `converse` says so
            while True:
                await neighbor.wake.wait()
                neighbor.wake.clear()
                while neighbor.uploads:
                    index, begin, length = neighbor.uploads.popleft()
                    self.file.seek(index * self.torrent.piece_length + begin)
                    block = self.file.read(length)
                    neighbor.send(PIECE, struct.pack(">II", index, begin) + block)
                    # Until it has read most of this, the rest stays in `uploads`, where a choke or
                    # a cancel can still remove it.
                    await neighbor.writer.drain()

    def unchoke(self, neighbor):
        neighbor.am_choking = False
        neighbor.send(UNCHOKE)

    def choke(self, neighbor):
        neighbor.am_choking = True
        neighbor.uploads.clear()
        neighbor.send(CHOKE)

    def run_round(self, new_optimistic):
        """Chooses again which neighbors to serve."""
        for neighbor in list(self.neighbors):
            if neighbor.requests and time.monotonic() - neighbor.answered > ANSWER_TIMEOUT:
                self.disconnect(neighbor, f"answered no request for {ANSWER_TIMEOUT} s")
        for neighbor in self.neighbors:
            neighbor.rate, neighbor.received = neighbor.received, 0
            neighbor.keep_alive()
        interested = [neighbor for neighbor in self.neighbors if neighbor.wants]
        chosen = self.choker.choose(interested, self.is_complete(), new_optimistic)
        for neighbor in self.neighbors:
            if neighbor not in chosen and not neighbor.am_choking:
                print(f"choke {neighbor.name}, {neighbor.rate} bytes", file=sys.stderr)
                self.choke(neighbor)
        for neighbor in chosen:
            neighbor.served += 1
            if neighbor.am_choking:
                lucky = ", optimistic" if neighbor is self.choker.optimistic else ""
                print(f"unchoke {neighbor.name}, {neighbor.rate} bytes{lucky}", file=sys.stderr)
                self.unchoke(neighbor)

    def fill_slots(self):
        """Gives free slots to neighbors that wait: the next round may be 10 s away."""
        served = sum(not neighbor.am_choking for neighbor in self.neighbors)
        waiting = [n for n in self.neighbors if n.wants and n.am_choking]
        waiting.sort(key=lambda neighbor: -neighbor.rate)
        for neighbor in waiting[: max(0, SLOTS + 1 - served)]:
            self.unchoke(neighbor)

    async def rounds(self, rechoke, optimistic):
        """A round every `rechoke` seconds, with a new optimistic one every `optimistic` seconds."""
        rounds_per_optimistic = max(1, int(optimistic / rechoke))
        number, next_round = 0, time.monotonic()
        while True:
            next_round += rechoke
            await asyncio.sleep(max(0, next_round - time.monotonic()))
            number += 1
            self.run_round(number % rounds_per_optimistic == 0)

    # Connections

    def left(self, neighbor):
        super().left(neighbor)
        self.fill_slots()

    async def accept(self, reader, writer):
        # The port is that of this connection, not the one where the peer listens.
        host, port = writer.get_extra_info("peername")[:2]
        await self.converse(f"{host}:{port}", reader, writer, dialed=False)

    async def dial(self, address):
        host, _, port = address.rpartition(":")
        try:
            connecting = asyncio.open_connection(host, int(port))
            reader, writer = await asyncio.wait_for(connecting, CONNECT_TIMEOUT)
        except (asyncio.TimeoutError, OSError) as error:
            print(f"{address}: cannot connect: {error}", file=sys.stderr)
            return
        await self.converse(address, reader, writer, dialed=True)

    async def converse(self, name, reader, writer, dialed):
        """Follows what a peer says until the connection ends."""
        neighbor = Neighbor(name, reader, writer)
        uploading = None
        self.connections += 1
        try:
            if self.connections > MAX_NEIGHBORS:
                raise Misbehaved("is one neighbor too many")
            shaking = neighbor.handshake(self.torrent.info_hash, self.peer_id, dialed)
            await asyncio.wait_for(shaking, CONNECT_TIMEOUT)
            self.neighbors.add(neighbor)
            if self.verified:
                neighbor.send(BITFIELD, self.bitfield())
            uploading = asyncio.create_task(self.upload(neighbor))
            while neighbor in self.neighbors:
                self.handle(neighbor, *await neighbor.receive())
        except asyncio.IncompleteReadError:
            # Unless it was us: then `disconnect` has said why.
            if not writer.is_closing():
                print(f"{name}: closed the connection", file=sys.stderr)
        except asyncio.TimeoutError:
            print(f"{name}: sent no handshake", file=sys.stderr)
        except (Misbehaved, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
        finally:
            self.connections -= 1
            if uploading is not None:
                uploading.cancel()
            writer.close()
            if neighbor in self.neighbors:
                self.left(neighbor)

    def bitfield(self):
        """Bit 7 of byte 0 is piece 0; spare bits at the end are 0."""
        bits = bytearray(-(-len(self.torrent.hashes) // 8))
        for index in self.verified:
            bits[index // 8] |= 0x80 >> index % 8
        return bytes(bits)


def verify(torrent, file):
    """The pieces whose hashes match what is in the file."""
    verified = set()
    for index, expected in enumerate(torrent.hashes):
        file.seek(index * torrent.piece_length)
        if hashlib.sha1(file.read(torrent.piece_size(index))).digest() == expected:
            verified.add(index)
    return verified


async def share(peer, arguments):
    server = await asyncio.start_server(peer.accept, "127.0.0.1", arguments.port)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on 127.0.0.1:{port}", file=sys.stderr)
    # The variable keeps the tasks: asyncio itself forgets tasks that nothing refers to.
    dials = [asyncio.create_task(peer.dial(address)) for address in arguments.peers]
    await peer.rounds(arguments.rechoke, arguments.optimistic)
    del dials


def run(arguments):
    with open(arguments.torrent, "rb") as file:
        torrent = Torrent(file.read())
    # Creates DATA if it is not there, and changes nothing of what is.
    with open(arguments.data, "ab") as file:
        if file.tell() > torrent.length:
            raise Failed(f"{arguments.data} is longer than the file of the torrent: left untouched")
    with open(arguments.data, "r+b") as file:
        peer = Peer(torrent, file, verify(torrent, file))
        print(f"{len(peer.verified)} of {len(torrent.hashes)} pieces are here", file=sys.stderr)
        asyncio.run(share(peer, arguments))


def address(text):
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT")
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Shares a file, tit-for-tat.")
    parser.add_argument("--rechoke", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--optimistic", type=float, default=30, metavar="SECONDS")
    parser.add_argument("torrent")
    parser.add_argument("data")
    parser.add_argument("port", type=int)
    parser.add_argument("peers", nargs="*", type=address, metavar="HOST:PORT")
    try:
        run(parser.parse_args())
    except KeyboardInterrupt:
        pass
    except (Failed, OSError) as error:
        sys.exit(str(error))
