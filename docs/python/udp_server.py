"""UDPServer (Kurose & Ross 2.7.1): udp_server.py [PORT]"""

import sys
from socket import AF_INET, SOCK_DGRAM, socket

port = int(sys.argv[1]) if len(sys.argv) > 1 else 12000

with socket(AF_INET, SOCK_DGRAM) as server:
    server.bind(("", port))
    host, port = server.getsockname()
    print(f"listening on {host}:{port}", file=sys.stderr)
    print("The server is ready to receive", flush=True)
    while True:
        message, client_address = server.recvfrom(2048)
        reply = message.decode().upper()
        server.sendto(reply.encode(), client_address)
