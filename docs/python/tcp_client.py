"""TCPClient (Kurose & Ross 2.7.2): tcp_client.py [HOST [PORT]]"""

import sys
from socket import AF_INET, SOCK_STREAM, socket

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 12000

with socket(AF_INET, SOCK_STREAM) as client:
    client.connect((host, port))
    sentence = input("Input lowercase sentence:")
    client.send(sentence.encode())
    reply = client.recv(1024)
    print("From Server:", reply.decode())
