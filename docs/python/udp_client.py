"""UDPClient (Kurose & Ross 2.7.1): udp_client.py [HOST [PORT]]"""

import sys
from socket import AF_INET, SOCK_DGRAM, socket

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 12000

with socket(AF_INET, SOCK_DGRAM) as client:
    message = input("Input lowercase sentence:")
    client.sendto(message.encode(), (host, port))
    reply, server_address = client.recvfrom(2048)
    print(reply.decode())
