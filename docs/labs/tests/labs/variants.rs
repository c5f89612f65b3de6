//! For each check, a reference that was broken in one place: it loses the points of that check and no
//! others. A patch whose text is not in the reference fails the test, so patches cannot rot.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::grader::{grade, grade_python, in_labs, python, solution};
use crate::workspace;

struct Variant {
    /// The check that it fails.
    fails: &'static str,
    /// Text of the reference, and what replaces it.
    patches: &'static [(&'static str, &'static str)],
}

const DATAGRAMS: &[Variant] = &[
    // It serves eight datagrams and ends.
    Variant { fails: "upper", patches: &[("while True:", "for _ in range(8):")] },
    Variant {
        fails: "unicode",
        patches: &[("message.decode().upper().encode()", "message.upper()")],
    },
    Variant {
        fails: "empty",
        patches: &[(
            "server.recvfrom(2048)\n",
            "server.recvfrom(2048)\n            if not message:\n                continue\n",
        )],
    },
    Variant { fails: "size", patches: &[("server.recvfrom(2048)", "server.recvfrom(1024)")] },
    Variant {
        fails: "not-text",
        patches: &[("                continue\n", "                raise\n")],
    },
    // It answers a little later, to whichever client came last.
    Variant {
        fails: "two-clients",
        patches: &[
            ("import sys\n", "import sys\nfrom threading import Timer\n"),
            (
                "server.sendto(reply, client)",
                "Timer(0.05, lambda reply=reply: server.sendto(reply, client)).start()",
            ),
        ],
    },
    Variant {
        fails: "client-sends",
        patches: &[("client.send(message.encode())", "client.send((message + '\\n').encode())")],
    },
    Variant {
        fails: "client-prints",
        patches: &[("print(reply.decode())", "print(message.upper())")],
    },
    Variant { fails: "no-server", patches: &[("client.settimeout(TIMEOUT)", "pass")] },
    Variant {
        fails: "wrong-sender",
        patches: &[
            ("client.connect((host, port))", "pass"),
            ("client.send(message.encode())", "client.sendto(message.encode(), (host, port))"),
        ],
    },
];

const STREAMS: &[Variant] = &[
    Variant {
        fails: "sentence",
        patches: &[("sentence.decode().upper().encode()", "sentence.upper()")],
    },
    Variant {
        fails: "next-client",
        patches: &[(
            "sentence = connection.recv(1024)\n",
            "sentence = connection.recv(1024)\n                if not sentence:\n                    break\n",
        )],
    },
    Variant {
        fails: "client-sends",
        patches: &[("client.sendall(sentence.encode())", "client.sendall(sentence.upper().encode())")],
    },
    Variant {
        fails: "client-prints",
        patches: &[("\"From Server:\", reply.decode()", "\"From Server:\", sentence.upper()")],
    },
    Variant {
        fails: "no-server",
        patches: &[(
            "        except OSError as error:\n            sys.exit",
            "        except ConnectionRefusedError:\n            pass\n        except OSError as error:\n            sys.exit",
        )],
    },
    Variant { fails: "no-reply", patches: &[("if not reply:", "if False:")] },
    // The length in characters.
    Variant {
        fails: "message",
        patches: &[("struct.pack(\">I\", len(reply))", "struct.pack(\">I\", len(reply.decode()))")],
    },
    // It repeats the receive for the text, not for the length.
    Variant { fails: "cuts", patches: &[("receive(connection, 4)", "connection.recv(4)")] },
    // It receives as much as there is and forgets what is behind the first message.
    Variant {
        fails: "together",
        patches: &[
            (
                "                (length,) = struct.unpack(\">I\", receive(connection, 4))\n",
                "                data = receive(connection, 1) + connection.recv(70000)
                data += receive(connection, max(0, 4 - len(data)))
                (length,) = struct.unpack(\">I\", data[:4])
                data = data[4:4 + length]
",
            ),
            ("receive(connection, length)", "(data + receive(connection, length - len(data)))"),
        ],
    },
    Variant { fails: "empty-message", patches: &[("if length > LONGEST:", "if not 0 < length <= LONGEST:")] },
    Variant { fails: "longest", patches: &[("if length > LONGEST:", "if length >= LONGEST:")] },
    Variant { fails: "oversize", patches: &[("if length > LONGEST:", "if False:")] },
    Variant {
        fails: "two-clients",
        patches: &[(
            "Thread(target=serve_messages, args=(connection, client), daemon=True).start()",
            "serve_messages(connection, client)",
        )],
    },
    // It takes a client that has nothing more to send for one that has gone.
    Variant {
        fails: "half-close",
        patches: &[
            ("import sys\n", "import sys\nfrom select import select\nfrom socket import MSG_PEEK\n"),
            (
                "                connection.sendall(struct",
                "                if select([connection], [], [], 0.02)[0] and not connection.recv(1, MSG_PEEK):
                    raise OSError('the client has gone')
                connection.sendall(struct",
            ),
        ],
    },
    Variant {
        fails: "leaves",
        patches: &[
            ("import sys\n", "import os\nimport sys\n"),
            (
                "        if not part:\n",
                "        if not part and data:\n            os._exit(1)\n        if not part:\n",
            ),
        ],
    },
];

const LOSS_AND_DELAY: &[Variant] = &[
    // It pauses between pings, as the system's `ping` does.
    Variant {
        fails: "replies",
        patches: &[
            ("from time import monotonic", "from time import monotonic, sleep"),
            (
                "            datagrams += attempts\n",
                "            datagrams += attempts\n            sleep(0.18)\n",
            ),
        ],
    },
    // From the first attempt, whichever was answered.
    Variant { fails: "rtt", patches: &[("now - sent[of_attempt]", "now - sent[1]")] },
    Variant { fails: "timeout", patches: &[("TIMEOUT = 0.2", "TIMEOUT = 0.15")] },
    Variant { fails: "retransmission", patches: &[("ATTEMPTS = 3", "ATTEMPTS = 2")] },
    // It prints a line for every copy that comes soon after.
    Variant {
        fails: "duplicates",
        patches: &[(
            "                print(f\"reply {number} {attempt} {rtt:.1f}\", flush=True)\n",
            "                print(f\"reply {number} {attempt} {rtt:.1f}\", flush=True)
                if wait_for_reply(client, number, {attempt: 0}, monotonic() + 0.05):
                    print(f\"reply {number} {attempt} {rtt:.1f}\", flush=True)
",
        )],
    },
    Variant { fails: "late", patches: &[("of_attempt in sent:", "of_attempt == max(sent):")] },
    Variant {
        fails: "strangers",
        patches: &[(
            "        except ValueError:\n            continue",
            "        except ValueError:\n            raise",
        )],
    },
    // Each receive starts a new 200 ms.
    Variant {
        fails: "strangers",
        patches: &[("(left := deadline - monotonic())", "(left := TIMEOUT)")],
    },
    Variant { fails: "summary", patches: &[("datagrams += attempts", "datagrams += 1")] },
];

const A_PEER: &[Variant] = &[
    // It says that it knows the extension protocol.
    Variant {
        fails: "handshake",
        patches: &[("PROTOCOL + bytes(8)", "PROTOCOL + bytes(5) + b\"\\x10\" + bytes(2)")],
    },
    Variant { fails: "interested-first", patches: &[("    connection.send(INTERESTED)\n", "")] },
    Variant {
        fails: "interested-first",
        patches: &[("    choked = True  # BEP 3", "    choked = False  # BEP 3")],
    },
    // It takes only the last piece for one that may end with a short block.
    Variant {
        fails: "whole-piece",
        patches: &[(
            "        size = self.piece_size(index)\n",
            "        size = self.piece_size(index)
        if index < len(self.hashes) - 1:
            size = -(-size // BLOCK) * BLOCK
",
        )],
    },
    Variant {
        fails: "last-piece",
        patches: &[(
            "return min(self.piece_length, self.length - index * self.piece_length)",
            "return self.piece_length",
        )],
    },
    // It repeats the receive for messages, not for the handshake.
    Variant {
        fails: "every-cut",
        patches: &[("self.receive_exactly(20) != PROTOCOL", "self.socket.recv(20) != PROTOCOL")],
    },
    Variant { fails: "pipeline", patches: &[("PIPELINE = 8", "PIPELINE = 1")] },
    Variant { fails: "pipeline", patches: &[("PIPELINE = 8", "PIPELINE = 1000")] },
    Variant {
        fails: "pipeline",
        patches: &[(
            "if block not in requested:",
            "if block not in requested or block[0] == 7 * BLOCK:",
        )],
    },
    Variant { fails: "no-bitfield", patches: &[("has_piece = False", "has_piece = True")] },
    Variant {
        fails: "keep-alive-and-unknown",
        patches: &[(
            "        # Other messages, and",
            "        elif message_id is not None:
            raise Failed(\"unknown message\")
        # Other messages, and",
        )],
    },
    // It waits for requests that the choke has discarded.
    Variant { fails: "choked-again", patches: &[("            requested.clear()\n", "")] },
    // It begins the piece anew.
    Variant {
        fails: "choked-again",
        patches: &[(
            "            requested.clear()\n",
            "            requested.clear()
            missing = torrent.blocks(index)
",
        )],
    },
    // It puts each block behind the one before.
    Variant {
        fails: "any-order",
        patches: &[
            ("    requested = set()", "    at = 0\n    requested = set()"),
            (
                "                piece[begin : begin + len(block)] = block\n",
                "                piece[at : at + len(block)] = block
                at += len(block)
",
            ),
        ],
    },
    Variant { fails: "any-order", patches: &[("(begin if its_index == index else -1)", "begin")] },
    Variant {
        fails: "wrong-info-hash",
        patches: &[(
            "if self.receive_exactly(20) != info_hash:",
            "if not self.receive_exactly(20):",
        )],
    },
    Variant {
        fails: "wrong-info-hash",
        patches: &[(
            "if self.receive_exactly(20) != PROTOCOL:",
            "if not self.receive_exactly(20):",
        )],
    },
    Variant {
        fails: "false-block",
        patches: &[("if hashlib.sha1(piece).digest() != torrent.hashes[index]:", "if False:")],
    },
    Variant { fails: "bad-messages", patches: &[("if length > MAX_MESSAGE:", "if False:")] },
    Variant {
        fails: "bad-messages",
        patches: &[("if len(payload) != -(-len(torrent.hashes) // 8):", "if not payload:")],
    },
    Variant {
        fails: "bad-messages",
        patches: &[("if index >= len(torrent.hashes):", "if False:")],
    },
    // Each receive starts a new time limit.
    Variant {
        fails: "gives-up",
        patches: &[("        parts = []\n", "        parts = []\n        self.progress()\n")],
    },
    // A receive of 0 bytes is repeated.
    Variant {
        fails: "gives-up",
        patches: &[(
            "            if not part:\n",
            "            if not part:\n                continue\n",
        )],
    },
];

const RAREST_FIRST: &[Variant] = &[
    Variant {
        fails: "one-seed",
        patches: &[(
            "return min(self.piece_length, self.length - index * self.piece_length)",
            "return self.piece_length",
        )],
    },
    // It helps with every piece in progress, and does not look at what this peer has.
    Variant {
        fails: "different-pieces",
        patches: &[("if index in neighbor.has and progress.owner in", "if progress.owner in")],
    },
    Variant { fails: "at-the-same-time", patches: &[("PIPELINE = 8", "PIPELINE = 2")] },
    Variant { fails: "at-the-same-time", patches: &[("PIPELINE = 8", "PIPELINE = 40")] },
    // All neighbors wait while it thinks about a block of one.
    Variant {
        fails: "at-the-same-time",
        patches: &[(
            "        index, begin = struct.unpack(\">II\", payload[:8])\n",
            "        index, begin = struct.unpack(\">II\", payload[:8])\n        time.sleep(0.012)\n",
        )],
    },
    // It knows only rare and not rare.
    Variant {
        fails: "rarest",
        patches: &[(
            "if self.availability[i] == fewest",
            "if min(self.availability[i], 2) == min(fewest, 2)",
        )],
    },
    Variant {
        fails: "haves",
        patches: &[(
            "            self.learn(neighbor, [self.index_of(payload)])\n",
            "            neighbor.has.add(self.index_of(payload))\n            self.update_interest(neighbor)\n",
        )],
    },
    Variant {
        fails: "left",
        patches: &[("            self.availability[index] -= 1\n", "            pass\n")],
    },
    Variant {
        fails: "random-ties",
        patches: &[(
            "random.choice([i for i in possible if self.availability[i] == fewest])",
            "min(i for i in possible if self.availability[i] == fewest)",
        )],
    },
    // The same chance in each run.
    Variant {
        fails: "random-ties",
        patches: &[("return random.choice(", "return random.Random(len(self.verified)).choice(")],
    },
    // It begins three pieces and takes turns.
    Variant {
        fails: "in-progress-first",
        patches: &[(
            "        for index, progress in self.in_progress.items():\n",
            "        if len(self.in_progress) < 3:
            index = self.rarest(neighbor)
            if index is not None:
                progress = self.in_progress[index] = Progress(self.torrent, index)
                progress.owner = neighbor if index in self.suspects else None
        free = lambda item: -sum(asked is None for asked in item[1].missing.values())
        for index, progress in sorted(self.in_progress.items(), key=free):
",
        )],
    },
    // Endgame.
    Variant {
        fails: "no-duplicates",
        patches: &[(
            "        if index is None:\n            return None\n",
            "        if index is None:
            for index, progress in self.in_progress.items():
                for block in progress.missing:
                    owner = progress.owner in (None, neighbor) and index in neighbor.has
                    if owner and (index, *block) not in neighbor.requests:
                        return (index, *block)
            return None
",
        )],
    },
    Variant {
        fails: "choked",
        patches: &[(
            "            neighbor.choking = True\n            self.take_back(neighbor)\n",
            "            neighbor.choking = True\n",
        )],
    },
    Variant {
        fails: "leaves",
        patches: &[(
            "            if neighbor in self.neighbors:\n                self.left(neighbor)\n\n",
            "            if neighbor in self.neighbors:
                self.neighbors.discard(neighbor)
                for index in neighbor.has:
                    self.availability[index] -= 1

",
        )],
    },
    // It waits until it has met all.
    Variant {
        fails: "never-unchokes",
        patches: &[
            (
                "    state = Download(torrent, file)\n",
                "    state = Download(torrent, file)\n    state.unmet = len(addresses)\n",
            ),
            (
                "            self.neighbors.add(neighbor)\n",
                "            self.neighbors.add(neighbor)\n            self.unmet -= 1\n",
            ),
            (
                "        # In random order, or",
                "        if self.unmet:\n            return\n        # In random order, or",
            ),
        ],
    },
    Variant {
        fails: "silent",
        patches: &[("if neighbor.requests and now - neighbor.answered > timeout:", "if False:")],
    },
    // It does not look at hashes.
    Variant {
        fails: "false-block",
        patches: &[(
            "if hashlib.sha1(progress.data).digest() == self.torrent.hashes[index]:",
            "if True:",
        )],
    },
    // It disconnects all that may be guilty.
    Variant {
        fails: "false-block",
        patches: &[(
            "            self.suspects.add(index)\n",
            "            for suspect in progress.senders:
                self.disconnect(suspect, \"sent a part of a false piece\")
",
        )],
    },
];

const TIT_FOR_TAT: &[Variant] = &[
    // It takes a piece that is there for a right one.
    Variant {
        fails: "verified-only",
        patches: &[(
            "        if hashlib.sha1(file.read(torrent.piece_size(index))).digest() == expected:",
            "        if len(file.read(torrent.piece_size(index))) == torrent.piece_size(index):",
        )],
    },
    Variant {
        fails: "uploads",
        patches: &[(
            "self.file.seek(index * self.torrent.piece_length + begin)",
            "self.file.seek(index * self.torrent.piece_length)",
        )],
    },
    Variant {
        fails: "downloads-and-tells",
        patches: &[("                neighbor.send(HAVE, struct.pack(\">I\", index))\n", "")],
    },
    Variant {
        fails: "ignores-choked",
        patches: &[("            if not neighbor.am_choking:\n", "            if True:\n")],
    },
    Variant {
        fails: "ignores-choked",
        patches: &[(
            "            if not neighbor.am_choking:\n",
            "            if neighbor.am_choking:
                raise Misbehaved(\"requests while it is choked\")
            else:
",
        )],
    },
    // Between rounds it unchokes more.
    Variant { fails: "at-most-five", patches: &[("SLOTS + 1 - served", "SLOTS + 3 - served")] },
    // It gives slots to neighbors that want nothing.
    Variant {
        fails: "at-most-five",
        patches: &[(
            "[neighbor for neighbor in self.neighbors if neighbor.wants]",
            "list(self.neighbors)",
        )],
    },
    // Any that sends is as good as the fastest.
    Variant {
        fails: "top-four",
        patches: &[(
            "(-neighbor.rate, neighbor.am_choking",
            "(-(neighbor.rate > 0), neighbor.am_choking",
        )],
    },
    // The sum since the start.
    Variant {
        fails: "follows-rates",
        patches: &[(
            "neighbor.rate, neighbor.received = neighbor.received, 0",
            "neighbor.rate = neighbor.received",
        )],
    },
    // Rounds of any length.
    Variant {
        fails: "rounds",
        patches: &[(
            "asyncio.sleep(max(0, next_round - time.monotonic()))",
            "asyncio.sleep(rechoke * random.choice((0.8, 1.3)))",
        )],
    },
    // The first one that was drawn stays.
    Variant {
        fails: "optimistic",
        patches: &[(
            "if new_optimistic or self.optimistic not in waiting:",
            "if self.optimistic not in waiting:",
        )],
    },
    // It draws at every round.
    Variant {
        fails: "optimistic",
        patches: &[("self.run_round(number % rounds_per_optimistic == 0)", "self.run_round(True)")],
    },
    // It waits for two rounds to pass.
    Variant {
        fails: "free-slots",
        patches: &[
            (
                "            neighbor.keep_alive()\n",
                "            neighbor.keep_alive()\n            neighbor.age += 1\n",
            ),
            ("        self.served = 0", "        self.age = 0\n        self.served = 0"),
            (
                "[neighbor for neighbor in self.neighbors if neighbor.wants]",
                "[neighbor for neighbor in self.neighbors if neighbor.wants and neighbor.age > 2]",
            ),
            (
                "        waiting = [n for n in self.neighbors if n.wants and n.am_choking]\n",
                "        waiting = []\n",
            ),
        ],
    },
    // A seed that goes on with those that it has.
    Variant {
        fails: "as-a-seed",
        patches: &[
            ("elif new_optimistic:", "elif False:"),
            (
                "if new_optimistic or self.optimistic not in waiting:",
                "if (new_optimistic and not complete) or self.optimistic not in waiting:",
            ),
        ],
    },
    Variant {
        fails: "bad-requests",
        patches: &[("if not 0 < length <= BLOCK or begin", "if begin")],
    },
    Variant {
        fails: "bad-requests",
        patches: &[(
            "        if index not in self.verified:\n",
            "        if index >= len(self.torrent.hashes):\n",
        )],
    },
    Variant {
        fails: "bad-requests",
        patches: &[("        if length > MAX_MESSAGE:\n", "        if False:\n")],
    },
    // It waits until the neighbor has read.
    Variant {
        fails: "slow-reader",
        patches: &[
            (
                "                    await neighbor.writer.drain()\n",
                "                    async with self.one_at_a_time:
                        await neighbor.writer.drain()
",
            ),
            (
                "        self.connections = 0\n",
                "        self.connections = 0\n        self.one_at_a_time = asyncio.Lock()\n",
            ),
        ],
    },
];

#[test]
#[ignore = "takes minutes: .ci/full"]
fn each_broken_variant_of_lab_9_loses_the_points_of_one_check() {
    check_all("tit-for-tat", "09_tit_for_tat.py", TIT_FOR_TAT);
}

#[test]
#[ignore = "takes minutes: .ci/full"]
fn each_broken_variant_of_lab_8_loses_the_points_of_one_check() {
    check_all("rarest-first", "08_rarest_first.py", RAREST_FIRST);
}

#[test]
#[ignore = "takes minutes: .ci/full"]
fn each_broken_variant_of_lab_7_loses_the_points_of_one_check() {
    check_all("a-peer", "07_a_peer.py", A_PEER);
}

const BENCODE: &[Variant] = &[
    Variant {
        fails: "strings",
        patches: &[(
            "        self.position += length\n",
            "        if length == 0:\n            raise self.invalid(\"a string of 0 bytes\")\n        self.position += length\n",
        )],
    },
    // A text encoding of Windows, which is not the identity from 0x80 on.
    Variant {
        fails: "bytes",
        patches: &[("value.decode(\"latin-1\")", "value.decode(\"cp1252\", \"replace\")")],
    },
    Variant { fails: "integers", patches: &[("MAX_DIGITS = 20", "MAX_DIGITS = 18")] },
    Variant { fails: "lists-and-dictionaries", patches: &[("MAX_DEPTH = 100", "MAX_DEPTH = 60")] },
    // It copies the input for each value.
    Variant {
        fails: "large",
        patches: &[(
            "        first = self.peek()\n",
            "        self.data = bytes(bytearray(self.data))\n        first = self.peek()\n",
        )],
    },
    Variant { fails: "bad-integers", patches: &[("if negative and number == 0:", "if False:")] },
    // As the slice of Python has it, which ends where the input ends.
    Variant {
        fails: "bad-strings",
        patches: &[("if length > len(self.data) - self.position:", "if False:")],
    },
    Variant {
        fails: "bad-dictionaries",
        patches: &[("if self.sorted_keys and previous", "if False and previous")],
    },
    // The end of the input ends a list.
    Variant {
        fails: "truncated",
        patches: &[(
            "        while self.peek() != b\"e\":
            values.append",
            "        while self.position < len(self.data) and self.peek() != b\"e\":
            values.append",
        )],
    },
    Variant { fails: "trailing", patches: &[("if self.position < len(self.data):", "if False:")] },
    Variant {
        fails: "depth",
        patches: &[
            ("MAX_DEPTH = 100", "MAX_DEPTH = 1_000_000"),
            ("    except RecursionError:\n        sys.exit(\"JSON is nested too deep\")\n", ""),
        ],
    },
    Variant { fails: "encode", patches: &[("b\"i%de\" % value", "b\"i%de\" % abs(value)")] },
    Variant {
        fails: "encode-sorts",
        patches: &[("for key in sorted(value)", "for key in sorted(value, key=bytes.lower)")],
    },
    Variant {
        fails: "encode-refuses",
        patches: &[(
            "isinstance(value, int) and not isinstance(value, bool)",
            "isinstance(value, int)",
        )],
    },
    Variant { fails: "info", patches: &[("length = sum(lengths)", "length = lengths[0]")] },
    Variant {
        fails: "info-hash-raw",
        patches: &[("hashlib.sha1(data[begin:end])", "hashlib.sha1(encode(info))")],
    },
    // It searches for the key.
    Variant {
        fails: "info-hash-raw",
        patches: &[(
            "    begin, end = decoder.info_span\n",
            "    begin, end = decoder.info_span\n    begin = data.index(b\"4:info\") + 6\n",
        )],
    },
];

const TRACKER: &[Variant] = &[
    Variant {
        fails: "first",
        patches: &[("b\"interval\": self.interval", "b\"interval\": 2 * self.interval")],
    },
    // The form before BEP 23.
    Variant {
        fails: "compact",
        patches: &[
            (
                "b\"\".join(compact(*other) for other in others)",
                "[{b\"ip\": host.encode(), b\"port\": port} for host, port in others]",
            ),
            (
                "        return b\"i%de\" % value\n",
                "        return b\"i%de\" % value
    if isinstance(value, list):
        return b\"l\" + b\"\".join(map(encode, value)) + b\"e\"
",
            ),
        ],
    },
    Variant { fails: "not-itself", patches: &[("if other != key and (left", "if (left")] },
    Variant {
        fails: "same-host",
        patches: &[
            ("key = (host, port)", "key = (host, port, query[\"peer_id\"])"),
            ("compact(*other)", "compact(*other[:2])"),
        ],
    },
    // As in forms.
    Variant {
        fails: "torrents-apart",
        patches: &[(
            "unquote_to_bytes(value.encode(\"latin-1\"))",
            "unquote_to_bytes(value.replace(\"+\", \" \").encode(\"latin-1\"))",
        )],
    },
    Variant { fails: "seeds", patches: &[("(left > 0 or peer.left > 0)", "True")] },
    Variant { fails: "stopped", patches: &[("swarm.peers.pop(key, None)", "pass")] },
    Variant { fails: "expiry", patches: &[("peer.seen >= before", "True")] },
    Variant {
        fails: "refresh",
        patches: &[("= Peer(left, now)", "= Peer(left, known.seen if known else now)")],
    },
    Variant {
        fails: "numwant",
        patches: &[("min(numwant, MAX_NUMWANT, len(others))", "min(numwant, len(others))")],
    },
    Variant {
        fails: "random",
        patches: &[(
            "random.sample(others, min(numwant, MAX_NUMWANT, len(others)))",
            "others[: min(numwant, MAX_NUMWANT)]",
        )],
    },
    Variant {
        fails: "failure",
        patches: &[("\"port\", least=1, most=65535", "\"port\", least=0, most=65535")],
    },
    Variant {
        fails: "scrape",
        patches: &[(
            "if event == b\"completed\" and (known is None or known.left > 0):",
            "if event == b\"completed\":",
        )],
    },
    Variant {
        fails: "silent-client",
        patches: &[
            (
                "import BaseHTTPRequestHandler, ThreadingHTTPServer",
                "import BaseHTTPRequestHandler, HTTPServer",
            ),
            ("class Server(ThreadingHTTPServer)", "class Server(HTTPServer)"),
        ],
    },
    // It refuses parameters that the sheet does not name.
    Variant {
        fails: "our-peer",
        patches: &[(
            "        swarm = self.swarm(info_hash, now)\n",
            "        if \"key\" in query:
            raise Refused(\"what is a key?\")
        swarm = self.swarm(info_hash, now)
",
        )],
    },
];

#[test]
fn each_broken_variant_of_lab_6_loses_the_points_of_one_check() {
    workspace::build_beside_the_grader("peer");
    check_all("tracker", "06_tracker.py", TRACKER);
}

const YOUR_OWN_CHOKER: &[Variant] = &[
    // It goes on after the end of its stdin.
    Variant {
        fails: "answers",
        patches: &[(
            "(json.loads(line))), flush=True)",
            "(json.loads(line))), flush=True)\n    __import__('time').sleep(60)",
        )],
    },
    // With too few neighbors it names one twice.
    Variant {
        fails: "known-peers",
        patches: &[(
            "for c in waiting[:slots]]",
            "for c in (waiting + waiting[:1] if len(waiting) < 4 else waiting)[:slots]]",
        )],
    },
    Variant { fails: "no-candidates", patches: &[("return []", "return None")] },
    Variant {
        fails: "in-time",
        patches: &[(
            "        if question[\"round\"] == 0:",
            "        __import__('time').sleep(0.02 * (len(question[\"candidates\"]) // 50))
        if question[\"round\"] == 0:",
        )],
    },
    Variant {
        fails: "as-a-seed",
        patches: &[("return self.seed(waiting, question[\"slots\"] + 1)", "return []")],
    },
    // All get their turn, whatever they send.
    Variant {
        fails: "beats-free-rider",
        patches: &[("MEMORY * old + c[\"received\"]", "0 * old")],
    },
    // It serves no neighbor in every second round.
    Variant {
        fails: "performance",
        patches: &[(
            "if question[\"round\"] == 0:",
            "if question[\"round\"] % 2 == 0 and not question[\"seeding\"]:",
        )],
    },
];

#[test]
fn each_broken_variant_of_lab_5_loses_the_points_of_one_check() {
    check_all("bencode", "05_bencode.py", BENCODE);
}

#[test]
fn each_broken_variant_of_lab_12_loses_the_points_of_one_check() {
    check_all("your-own-choker", "12_your_own_choker.py", YOUR_OWN_CHOKER);
}

#[test]
fn each_broken_variant_of_lab_3_loses_the_points_of_one_check() {
    check_all("loss-and-delay", "03_loss_and_delay.py", LOSS_AND_DELAY);
}

#[test]
fn each_broken_variant_of_lab_1_loses_the_points_of_one_check() {
    check_all("datagrams", "01_datagrams.py", DATAGRAMS);
}

#[test]
fn each_broken_variant_of_lab_2_loses_the_points_of_one_check() {
    check_all("streams", "02_streams.py", STREAMS);
}

fn check_all(lab: &str, file: &str, variants: &[Variant]) {
    /// Variants that are graded at a time: most of a run is waiting.
    const AT_A_TIME: usize = 3;
    let ids = grade(lab, &python(&in_labs("solutions").join(file), ""), &[]).ids();
    let covered: BTreeSet<_> = variants.iter().map(|variant| variant.fails.to_owned()).collect();
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), covered, "a variant for each check");

    let reference = solution(file);
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(variant) = variants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let folder = tempfile::tempdir().unwrap();
                    let program = patched(&reference, variant);
                    let graded = grade_python(folder.path(), lab, &program, &[]);
                    if graded.failed() != [variant.fails] {
                        let text = format!("{} {:#}", variant.fails, graded.report);
                        wrong.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn patched(reference: &str, variant: &Variant) -> String {
    variant.patches.iter().fold(reference.to_owned(), |program, (old, new)| {
        assert!(program.contains(old), "{}: the reference has no {old}", variant.fails);
        program.replacen(old, new, 1)
    })
}
