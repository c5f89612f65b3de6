#!/usr/bin/env python3
"""Lab 5: bencode and .torrent files (BEP 3). The sheet is docs/labs/05-bencode.md.

05_bencode.py decode              bencode on stdin, JSON on stdout
05_bencode.py encode              JSON on stdin, bencode on stdout
05_bencode.py info FILE.torrent   what the file says, and its info hash
"""

import hashlib
import json
import sys

# A decoder that calls itself for each list would run out of stack on 20,000 times "l".
MAX_DEPTH = 100
# A 64-bit number has at most 19 digits and a sign; int() of a million digits is slow.
MAX_DIGITS = 20
DIGITS = b"0123456789"


class Invalid(Exception):
    """The input is not valid; the text says what is wrong and where."""


class Decoder:
    """Reads bencode from left to right; `position` is the next byte."""

    def __init__(self, data, sorted_keys=True):
        self.data = data
        self.position = 0
        self.sorted_keys = sorted_keys
        # Where the value of the top-level key `info` begins and ends.
        self.info_span = None

    def whole(self):
        """The one value that the input consists of."""
        value = self.value(0)
        if self.position < len(self.data):
            raise self.invalid("there are bytes after the value")
        return value

    def value(self, depth):
        if depth > MAX_DEPTH:
            raise self.invalid(f"nested more than {MAX_DEPTH} levels deep")
        first = self.peek()
        if first == b"i":
            return self.integer()
        if first == b"l":
            return self.list(depth)
        if first == b"d":
            return self.dictionary(depth)
        if first in DIGITS:
            return self.string()
        raise self.invalid(f"no value begins with {first!r}")

    def integer(self):
        self.position += 1
        negative = self.peek() == b"-"
        if negative:
            self.position += 1
        number = self.number_before(b"e")
        if negative and number == 0:
            raise self.invalid("-0 is not an integer")
        return -number if negative else number

    def string(self):
        length = self.number_before(b":")
        # Before the slice: Python would return fewer bytes; other languages would reserve them.
        if length > len(self.data) - self.position:
            raise self.invalid(f"a string of {length} bytes does not fit into the input")
        self.position += length
        return self.data[self.position - length : self.position]

    def list(self, depth):
        self.position += 1
        values = []
        while self.peek() != b"e":
            values.append(self.value(depth + 1))
        self.position += 1
        return values

    def dictionary(self, depth):
        self.position += 1
        values = {}
        previous = None
        while self.peek() != b"e":
            if self.peek() not in DIGITS:
                raise self.invalid("a key is not a string")
            key = self.string()
            if key in values:
                raise self.invalid(f"the key {key!r} is there twice")
            # BEP 3: sorted as raw bytes; Python compares bytes the same way.
            if self.sorted_keys and previous is not None and key < previous:
                raise self.invalid(f"the key {key!r} comes after {previous!r}")
            previous = key
            begin = self.position
            values[key] = self.value(depth + 1)
            if depth == 0 and key == b"info":
                self.info_span = (begin, self.position)
        self.position += 1
        return values

    def number_before(self, end):
        """The decimal digits up to `end`, without a sign and without leading zeros."""
        begin = self.position
        while self.peek() in DIGITS:
            self.position += 1
            if self.position - begin > MAX_DIGITS:
                raise self.invalid(f"a number has more than {MAX_DIGITS} digits")
        digits = self.data[begin : self.position]
        if not digits:
            raise self.invalid("a number has no digits")
        if digits[:1] == b"0" and len(digits) > 1:
            raise self.invalid("a number has a leading zero")
        if self.peek() != end:
            raise self.invalid(f"a number ends with {self.peek()!r} instead of {end!r}")
        self.position += 1
        return int(digits)

    def peek(self):
        """The next byte, which stays where it is."""
        if self.position >= len(self.data):
            raise self.invalid("the input ends too early")
        return self.data[self.position : self.position + 1]

    def invalid(self, what):
        return Invalid(f"byte {self.position}: {what}")


def decode(data):
    """The value that the bytes `data` encode: bytes, int, list or dict."""
    return Decoder(data).whole()


def encode(value):
    """Bencode of bytes, int, list or dict."""
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def to_json(value):
    """The value with each byte string as text: one character for each byte."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {to_json(key): to_json(item) for key, item in value.items()}
    return value


def from_json(value):
    """The inverse of `to_json`."""
    if isinstance(value, str):
        if any(character > "\xff" for character in value):
            raise Invalid("a character is above U+00FF, so it is not a byte")
        return value.encode("latin-1")
    # In Python, True is an int as well.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, Pairs):
        keys = [from_json(key) for key, _ in value.pairs]
        if len(set(keys)) < len(keys):
            raise Invalid("a key is there twice")
        return dict(zip(keys, (from_json(item) for _, item in value.pairs)))
    raise Invalid(f"bencode has no {json.dumps(value)}")


class Pairs:
    """A JSON object as it was read: a dict would hide that a key is there twice."""

    def __init__(self, pairs):
        self.pairs = pairs


def info(data):
    """The lines that describe a .torrent."""
    # Some programs write keys out of order. The hash does not care: it is over the bytes.
    decoder = Decoder(data, sorted_keys=False)
    torrent = decoder.whole()
    if not isinstance(torrent, dict):
        raise Invalid("a .torrent is a dictionary")
    info = field(torrent, b"info", dict)
    name = field(info, b"name", bytes)
    piece_length = field(info, b"piece length", int)
    pieces = field(info, b"pieces", bytes)
    if b"files" in info:
        if b"length" in info:
            raise Invalid("the info dictionary has both 'length' and 'files'")
        lengths = [file_length(file) for file in field(info, b"files", list)]
    else:
        lengths = [file_length(info)]
    length = sum(lengths)
    if piece_length < 1:
        raise Invalid("'piece length' is less than 1")
    if length < 1:
        raise Invalid("there is nothing to share: the length is 0")
    if len(pieces) % 20 != 0:
        raise Invalid("'pieces' is not a whole number of 20-byte hashes")
    if len(pieces) // 20 != -(-length // piece_length):
        raise Invalid(f"'pieces' has {len(pieces) // 20} hashes, which does not fit the length")
    begin, end = decoder.info_span
    return [
        f"name: {printable(name)}",
        f"length: {length}",
        f"piece length: {piece_length}",
        f"pieces: {len(pieces) // 20}",
        f"info hash: {hashlib.sha1(data[begin:end]).hexdigest()}",
    ]


def file_length(file):
    if not isinstance(file, dict):
        raise Invalid("a file is not a dictionary")
    length = field(file, b"length", int)
    if length < 0:
        raise Invalid("'length' is negative")
    return length


def field(dictionary, key, kind):
    """The value of a key that must be there."""
    if key not in dictionary:
        raise Invalid(f"'{key.decode()}' is missing")
    if not isinstance(dictionary[key], kind):
        raise Invalid(f"'{key.decode()}' has the wrong type")
    return dictionary[key]


def printable(name):
    """A name from a stranger, without bytes that a terminal would obey."""
    text = name.decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def run(arguments):
    if arguments == ["decode"]:
        value = decode(sys.stdin.buffer.read())
        print(json.dumps(to_json(value)))
    elif arguments == ["encode"]:
        text = sys.stdin.buffer.read().decode("utf-8")
        value = from_json(json.loads(text, object_pairs_hook=Pairs))
        sys.stdout.buffer.write(encode(value))
    elif len(arguments) == 2 and arguments[0] == "info":
        with open(arguments[1], "rb") as file:
            lines = info(file.read())
        sys.stdout.buffer.write("".join(line + "\n" for line in lines).encode("utf-8"))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except RecursionError:
        sys.exit("JSON is nested too deep")
    except (Invalid, OSError, ValueError) as error:
        # ValueError: not JSON, or not UTF-8.
        sys.exit(str(error))
