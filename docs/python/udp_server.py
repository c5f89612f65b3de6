"""UDPServer (Kurose & Ross 2.7.1) in today's Python: python3 udp_server.py [PORT]"""

import sys
from socket import AF_INET, SOCK_DGRAM, socket

port = int(sys.argv[1]) if len(sys.argv) > 1 else 12000

with socket(AF_INET, SOCK_DGRAM) as server:
    server.bind(("", port))
    print("listening on {}:{}".format(*server.getsockname()), file=sys.stderr, flush=True)
    print("The server is ready to receive", flush=True)
    while True:
        message, client_address = server.recvfrom(2048)
        reply = message.decode().upper()  # bytes that are not UTF-8 end the program here
        server.sendto(reply.encode(), client_address)
