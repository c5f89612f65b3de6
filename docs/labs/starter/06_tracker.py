#!/usr/bin/env python3
"""Lab 6: a BitTorrent tracker over HTTP (BEP 3, 23 and 48). The sheet is docs/labs/06-tracker.md.

06_tracker.py PORT INTERVAL       serves 127.0.0.1:PORT; peers announce every INTERVAL seconds
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # self.path is the path with its query; self.client_address is the peer's address and
        # the port of this connection, which is not the port where the peer listens.
        self.send_error(501, "the tracker is not written yet")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    port, interval = int(sys.argv[1]), int(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"listening on 127.0.0.1:{server.server_address[1]}", file=sys.stderr)
    server.serve_forever()
