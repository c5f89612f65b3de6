"""TCPServer (Kurose & Ross 2.7.2): tcp_server.py [PORT]"""

import sys
from socket import AF_INET, SOCK_STREAM, socket

port = int(sys.argv[1]) if len(sys.argv) > 1 else 12000

with socket(AF_INET, SOCK_STREAM) as welcoming:
    welcoming.bind(("", port))
    welcoming.listen(1)
    host, port = welcoming.getsockname()
    print(f"listening on {host}:{port}", file=sys.stderr)
    print("The server is ready to receive", flush=True)
    while True:
        connection, client_address = welcoming.accept()
        with connection:
            sentence = connection.recv(1024).decode()
            connection.send(sentence.upper().encode())
