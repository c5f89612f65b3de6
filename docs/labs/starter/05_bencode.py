#!/usr/bin/env python3
"""Lab 5: bencode and .torrent files (BEP 3). The sheet is docs/labs/05-bencode.md.

05_bencode.py decode              bencode on stdin, JSON on stdout
05_bencode.py encode              JSON on stdin, bencode on stdout
05_bencode.py info FILE.torrent   what the .torrent describes, and its info hash
"""

import json
import sys


class Invalid(Exception):
    """The input is not valid; the text says what is wrong and where."""


def decode(data):
    """The value that the bytes `data` encode: bytes, int, list or dict."""
    raise Invalid("decode is not written yet")


def encode(value):
    """The bytes that encode `value`."""
    raise Invalid("encode is not written yet")


def info(data):
    """The five lines that describe the .torrent whose bytes are `data`."""
    raise Invalid("info is not written yet")


def to_json(value):
    """The value with each byte string as text: one character for each byte."""
    raise Invalid("to_json is not written yet")


def from_json(value):
    """The inverse of `to_json`."""
    raise Invalid("from_json is not written yet")


def run(arguments):
    if arguments == ["decode"]:
        value = decode(sys.stdin.buffer.read())
        print(json.dumps(to_json(value)))
    elif arguments == ["encode"]:
        text = sys.stdin.buffer.read().decode("utf-8")
        sys.stdout.buffer.write(encode(from_json(json.loads(text))))
    elif len(arguments) == 2 and arguments[0] == "info":
        with open(arguments[1], "rb") as file:
            print("\n".join(info(file.read())))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except (Invalid, OSError, ValueError) as error:
        sys.exit(str(error))
