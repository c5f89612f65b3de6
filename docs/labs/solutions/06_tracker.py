#!/usr/bin/env python3
"""Lab 6: a BitTorrent tracker over HTTP (BEP 3, 23 and 48). The sheet is docs/labs/06-tracker.md.

06_tracker.py PORT INTERVAL       serves 127.0.0.1:PORT; peers announce every INTERVAL seconds
"""

import random
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

# K&R 2.5: the tracker picks a random subset of peers, say 50.
DEFAULT_NUMWANT = 50
MAX_NUMWANT = 200
# A stranger can invent torrents and peers; these bound our memory.
MAX_TORRENTS = 1_000
MAX_PEERS = 2_000  # of one torrent


class Refused(Exception):
    """The request is bad; the text is the failure reason."""


class Peer:
    def __init__(self, left, now):
        self.left = left
        self.seen = now


class Swarm:
    """The peers of one torrent, by address and port."""

    def __init__(self):
        self.peers = {}
        self.downloaded = 0

    def expire(self, before):
        self.peers = {key: peer for key, peer in self.peers.items() if peer.seen >= before}

    def complete(self):
        return sum(peer.left == 0 for peer in self.peers.values())

    def incomplete(self):
        return len(self.peers) - self.complete()


class Tracker:
    """All swarms. It knows no socket, so that it can be tested without one."""

    def __init__(self, interval):
        self.interval = interval
        self.swarms = {}

    def announce(self, host, query, now):
        """What a peer at the address `host` gets for its announce."""
        info_hash = twenty_bytes(query, "info_hash")
        twenty_bytes(query, "peer_id")
        port = number(query, "port", least=1, most=65535)
        left = number(query, "left", least=0)
        numwant = number(query, "numwant", default=DEFAULT_NUMWANT)
        if numwant < 0:
            numwant = DEFAULT_NUMWANT
        event = query.get("event", b"")
        swarm = self.swarm(info_hash, now)

        # Not the parameter `ip`: anyone could write a victim's address there.
        key = (host, port)
        if event == b"stopped":
            swarm.peers.pop(key, None)
            others = []
        else:
            known = swarm.peers.get(key)
            if known is None and len(swarm.peers) >= MAX_PEERS:
                raise Refused("this torrent has too many peers")
            # A peer that says `completed` twice has still completed once.
            if event == b"completed" and (known is None or known.left > 0):
                swarm.downloaded += 1
                left = 0
            swarm.peers[key] = Peer(left, now)
            # A seed has no use for another seed.
            others = [
                other
                for other, peer in swarm.peers.items()
                if other != key and (left > 0 or peer.left > 0)
            ]
            others = random.sample(others, min(numwant, MAX_NUMWANT, len(others)))
        return {
            b"interval": self.interval,
            b"complete": swarm.complete(),
            b"incomplete": swarm.incomplete(),
            b"peers": b"".join(compact(*other) for other in others),
        }

    def scrape(self, info_hashes, now):
        if not info_hashes:
            raise Refused("scrape needs an info_hash")
        files = {}
        for info_hash in info_hashes:
            swarm = self.swarms.get(info_hash)
            if swarm is not None:
                swarm.expire(now - 2 * self.interval)
                files[info_hash] = {
                    b"complete": swarm.complete(),
                    b"downloaded": swarm.downloaded,
                    b"incomplete": swarm.incomplete(),
                }
        return {b"files": files}

    def swarm(self, info_hash, now):
        """The swarm of this hash, without the peers that have been silent for two intervals."""
        if info_hash not in self.swarms:
            if len(self.swarms) >= MAX_TORRENTS:
                self.forget_empty(now)
            if len(self.swarms) >= MAX_TORRENTS:
                raise Refused("the tracker has too many torrents")
            self.swarms[info_hash] = Swarm()
        swarm = self.swarms[info_hash]
        swarm.expire(now - 2 * self.interval)
        return swarm

    def forget_empty(self, now):
        for swarm in self.swarms.values():
            swarm.expire(now - 2 * self.interval)
        self.swarms = {key: swarm for key, swarm in self.swarms.items() if swarm.peers}


def compact(host, port):
    """BEP 23: four bytes of address and two of port, both in network order."""
    return socket.inet_aton(host) + port.to_bytes(2, "big")


def parse_query(text):
    """The pairs of a query in order. Values are bytes: an info hash is not text."""
    pairs = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        # Not parse_qs: it turns "+" into a space and bytes into text.
        pairs.append((name, unquote_to_bytes(value.encode("latin-1"))))
    return pairs


def twenty_bytes(query, name):
    if name not in query:
        raise Refused(f"{name} is missing")
    value = query[name]
    if len(value) == 40 and name == "info_hash":
        raise Refused("info_hash has 40 bytes: send 20 raw bytes, percent-encoded, not hex digits")
    if len(value) != 20:
        raise Refused(f"{name} has {len(value)} bytes instead of 20")
    return value


def number(query, name, default=None, least=None, most=None):
    if name not in query:
        if default is None:
            raise Refused(f"{name} is missing")
        return default
    text = query[name]
    digits = text[1:] if text.startswith(b"-") else text
    # bytes.isdigit, because int() would accept " 7 " and "1_000". 20 digits hold any 64-bit number.
    if not digits.isdigit() or len(digits) > 20:
        raise Refused(f"{name} is not a number")
    value = int(text)
    if (least is not None and value < least) or (most is not None and value > most):
        raise Refused(f"{name} is out of range")
    return value


def encode(value):
    """Bencode of bytes, int or dict (lab 5)."""
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, int):
        return b"i%de" % value
    return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


class Handler(BaseHTTPRequestHandler):
    """One connection; HTTP is left to the standard library."""

    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds that a silent client keeps its thread

    def do_GET(self):
        path, _, query = self.path.partition("?")
        pairs = parse_query(query)
        try:
            with self.server.lock:
                now = time.monotonic()
                if path == "/announce":
                    host = self.client_address[0]
                    answer = self.server.tracker.announce(host, dict(pairs), now)
                elif path == "/scrape":
                    hashes = [value for name, value in pairs if name == "info_hash"]
                    answer = self.server.tracker.scrape(hashes, now)
                else:
                    self.send_error(404)
                    return
        except Refused as error:
            # BEP 3: the status stays 200; the peer looks for this key.
            answer = {b"failure reason": str(error).encode()}
        body = encode(answer)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        # The request line comes from a stranger: !r keeps its control characters from the terminal.
        print(f"{self.address_string()} {format % args!r}", file=sys.stderr)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port, tracker):
        super().__init__(("127.0.0.1", port), Handler)
        self.tracker = tracker
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        # A client that went away before its answer is not an error of ours.
        print(f"{client_address[0]}: {sys.exc_info()[1]}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        server = Server(int(sys.argv[1]), Tracker(int(sys.argv[2])))
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"cannot listen on port {sys.argv[1]}: {error}")
    print(f"listening on 127.0.0.1:{server.server_address[1]}", file=sys.stderr)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
