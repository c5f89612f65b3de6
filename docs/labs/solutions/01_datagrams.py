"""Lab 1, Datagrams: 01_datagrams.py server PORT | client HOST PORT"""

import sys
from socket import AF_INET, SOCK_DGRAM, socket

TIMEOUT = 1  # seconds that the client waits for a reply


def serve(port):
    with socket(AF_INET, SOCK_DGRAM) as server:
        server.bind(("", port))
        while True:
            message, client = server.recvfrom(2048)
            try:
                reply = message.decode().upper().encode()
            except UnicodeDecodeError as error:
                print(f"{client}: {error}", file=sys.stderr)
                continue
            server.sendto(reply, client)


def ask(host, port):
    message = input("Input lowercase sentence:")
    with socket(AF_INET, SOCK_DGRAM) as client:
        # Connected: the system drops what others send.
        client.connect((host, port))
        client.settimeout(TIMEOUT)
        client.send(message.encode())
        reply = client.recv(2048)
    print(reply.decode())


def main():
    if sys.argv[1] == "server":
        serve(int(sys.argv[2]))
    else:
        host, port = sys.argv[2], int(sys.argv[3])
        try:
            ask(host, port)
        except OSError as error:
            sys.exit(f"no reply from {host}:{port}: {error}")


main()
