#!/usr/bin/env python3
"""Lab 4: on the wire (K&R 2.5). The sheet is docs/labs/04-on-the-wire.md.

    04_on_the_wire.py ID CAPTURE

Prints the answers file of the student with this ID. It reads the capture without Wireshark: the
blocks of pcapng, IPv4, TCP and UDP, and what the peers and the tracker say in them.
"""

import hashlib
import re
import struct
import sys
from collections import defaultdict
from urllib.parse import unquote_to_bytes

PEERS = 5  # Those that do not come late: 10.0.0.11 to 10.0.0.15.
TRACKER, SEED, LATE = "10.0.0.1", "10.0.0.10", "10.0.0.16"
TRACKER_PORT = 6969

# BEP 3
CHOKE, UNCHOKE, HAVE, BITFIELD, REQUEST, PIECE = 0, 1, 4, 5, 6, 7
HANDSHAKE_LENGTH = 68


def parameters(student):
    """The peers of this student: each depends on one byte of a hash of the ID."""
    digest = hashlib.sha1(f"on-the-wire {student}".encode()).digest()
    a = digest[0] % PEERS
    b = (a + 1 + digest[1] % (PEERS - 1)) % PEERS
    return {"A": f"10.0.0.{11 + a}", "B": f"10.0.0.{11 + b}"}


def packets(path):
    """The time in seconds and the bytes of each packet of a pcapng file."""
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:  # enhanced packet block
            high, low, captured = struct.unpack_from("<III", data, at + 12)
            yield (high << 32 | low) / 1e9, data[at + 28 : at + 28 + captured]
        at += length


class Packet:
    """A TCP segment or a UDP datagram."""

    def __init__(self, number, time, data):
        self.number, self.time = number, time
        header = 4 * (data[0] & 15)
        self.is_udp = data[9] == 17
        self.source, self.to = (".".join(map(str, data[i : i + 4])) for i in (12, 16))
        self.ports = struct.unpack_from("!HH", data, header)
        tcp_header = 4 * (data[header + 12] >> 4) if not self.is_udp else 8
        self.syn = not self.is_udp and data[header + 13] & 2 != 0
        self.payload = data[header + tcp_header : struct.unpack_from("!H", data, 2)[0]]

    def ends(self):
        return frozenset([(self.source, self.ports[0]), (self.to, self.ports[1])])


class Message:
    """A message between peers, with the packet in which its last byte is."""

    def __init__(self, packet, connection, body):
        self.packet, self.connection = packet, connection
        self.source, self.to, self.time = packet.source, packet.to, packet.time
        self.kind, self.fields = body[0], body[1:]

    def number(self, place):
        return struct.unpack_from("!I", self.fields, 4 * place)[0]

    def bits(self):
        """The chunks of a bitfield."""
        return [8 * i + bit for i, byte in enumerate(self.fields) for bit in range(8) if byte & 128 >> bit]


def messages(connection):
    """The messages of both directions of a connection."""
    streams = defaultdict(bytes)
    shaken = set()
    for packet in connection:
        side = packet.source
        streams[side] += packet.payload
        if side not in shaken and len(streams[side]) >= HANDSHAKE_LENGTH:
            streams[side] = streams[side][HANDSHAKE_LENGTH:]
            shaken.add(side)
        while side in shaken and len(streams[side]) >= 4:
            length = struct.unpack_from("!I", streams[side])[0]
            if len(streams[side]) < 4 + length:
                break
            if length > 0:
                yield Message(packet, connection, streams[side][4 : 4 + length])
            streams[side] = streams[side][4 + length :]


class Capture:
    def __init__(self, path):
        all_packets = (Packet(n, time, data) for n, (time, data) in enumerate(packets(path)))
        self.datagrams, self.connections = [], []
        open_connections = {}
        for packet in all_packets:
            if packet.is_udp:
                self.datagrams.append(packet)
                continue
            if packet.syn and packet.ends() not in open_connections:
                open_connections[packet.ends()] = []
                self.connections.append(open_connections[packet.ends()])
            open_connections[packet.ends()].append(packet)
        of_peers = (c for c in self.connections if c[0].to != TRACKER)
        self.messages = [message for connection in of_peers for message in messages(connection)]
        self.messages.sort(key=lambda message: message.packet.number)

    def said(self, kind, source=None, to=None):
        """The messages of this type, from and to these peers."""
        return [
            m for m in self.messages if m.kind == kind and source in (None, m.source) and to in (None, m.to)
        ]

    def announces(self, peer):
        """The announces of a peer over HTTP: the connection, the packet with the GET, query, answer."""
        for connection in self.connections:
            if connection[0].source == peer and connection[0].to == TRACKER:
                asked, answered = (
                    [p for p in connection if p.payload and p.source == side] for side in (peer, TRACKER)
                )
                answer = b"".join(packet.payload for packet in answered)
                query = asked[0].payload.split()[1].decode().partition("?")[2]
                parameters = dict(pair.split("=") for pair in query.split("&"))
                yield connection, asked[0], parameters, answer.partition(b"\r\n\r\n")[2]


def last_number(address):
    return address.split(".")[3]


def answers(capture, a, b):
    announces = list(capture.announces(a))
    connection, started, query, answer = announces[0]
    info_hash = unquote_to_bytes(query["info_hash"])
    yield "info-hash-start", 256 * info_hash[0] + info_hash[1]
    yield "interval", int(re.search(rb"8:intervali(\d+)e", answer)[1])
    yield "first-peers", int(re.search(rb"5:peers(\d+):", answer)[1]) // 6
    yield "announces", len(announces)

    first = capture.datagrams[0]
    yield "udp-peer", last_number(first.source)
    yield "udp-packets", sum(datagram.ends() == first.ends() for datagram in capture.datagrams)
    yield "http-packets", len(connection)

    dial = next(c for c in capture.connections if (c[0].source, c[0].to) == (a, SEED))
    yield "dial-port", dial[0].ports[0]
    yield "dial-rtt-ms", 1000 * (dial[2].time - dial[0].time)

    chunks = len(capture.said(BITFIELD, SEED)[0].bits())
    last = [m for m in capture.said(PIECE) if m.number(0) == chunks - 1]
    yield "chunks", chunks
    yield "last-chunk", max(m.number(1) + len(m.fields) - 8 for m in last)

    blocks = [m for m in capture.said(PIECE) if m.connection is dial]
    data = sum(len(m.fields) - 8 for m in blocks)
    yield "data-bytes", data
    sent = [p for p in dial if not blocks or p.number <= blocks[-1].packet.number]
    yield "control-bytes", sum(len(packet.payload) for packet in sent) - data

    request = capture.said(REQUEST, a)[0]
    same = [m for m in capture.messages if m.connection is request.connection]
    block = next(m for m in same if m.kind == PIECE and m.to == a)
    before = [m for m in same if m.packet.number < block.packet.number]
    yield "first-requests", sum(m.kind == REQUEST and m.source == a for m in before)
    yield "first-block-ms", 1000 * (block.time - request.time)

    yield "seed-unchokes-first", last_number(capture.said(UNCHOKE, SEED)[0].to)
    yield "chokes", len(capture.said(CHOKE, a))

    request = capture.said(REQUEST, LATE)[0]
    holders = defaultdict(set)
    for message in capture.said(BITFIELD, to=LATE) + capture.said(HAVE, to=LATE):
        if message.packet.number < request.packet.number:
            has = message.bits() if message.kind == BITFIELD else [message.number(0)]
            for chunk in has:
                holders[chunk].add(message.source)
    yield "late-chunk", request.number(0)
    yield "late-copies", len(holders[request.number(0)])
    yield "late-rarest", min(map(len, holders.values()))

    yield "from-b", len(capture.said(PIECE, b, a))
    yield "to-b", len(capture.said(PIECE, a, b))
    completed = next(get for _, get, query, _ in announces if query.get("event") == "completed")
    yield "completed-s", completed.time - started.time


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    peers = parameters(sys.argv[1])
    for name, answer in answers(Capture(sys.argv[2]), peers["A"], peers["B"]):
        print(f"{name} = {answer}")
