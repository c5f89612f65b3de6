#!/usr/bin/env python3
"""Lab 12: a choker of your own. The sheet is docs/labs/12-your-own-choker.md.

Reads a question from each line of stdin, and answers each with one line on stdout.
"""

import json
import sys


class Choker:
    """It remembers what it keeps in its fields until the end of the run."""

    def answer(self, question):
        """The neighbors to serve until the next round: [{"peer": 3, "share": 2, "why": "..."}, ...]."""
        raise NotImplementedError("answer")


if __name__ == "__main__":
    choker = Choker()
    for line in sys.stdin:
        print(json.dumps(choker.answer(json.loads(line))), flush=True)
