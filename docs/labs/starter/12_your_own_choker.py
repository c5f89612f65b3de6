#!/usr/bin/env python3
"""Lab 12: a choker of your own. The sheet is docs/labs/12-your-own-choker.md.

Gets a question on each line of stdin, and answers each with one line on stdout. It serves no
neighbor yet.
"""

import json
import sys


def choose(question):
    """The neighbors to serve until the next round: [{"peer": 3, "share": 2, "why": "..."}, ...]."""
    return []


for line in sys.stdin:
    print(json.dumps(choose(json.loads(line))), flush=True)
