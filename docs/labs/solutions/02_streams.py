"""Lab 2, Streams: 02_streams.py server PORT | client HOST PORT | framed-server PORT"""

import struct
import sys
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, create_connection, socket
from threading import Thread

LONGEST = 65536  # bytes of a message


def listen(port):
    welcoming = socket(AF_INET, SOCK_STREAM)
    # The server can restart while old connections are in TIME_WAIT.
    welcoming.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    welcoming.bind(("", port))
    welcoming.listen()
    return welcoming


def serve(port):
    welcoming = listen(port)
    while True:
        connection, client = welcoming.accept()
        with connection:
            try:
                sentence = connection.recv(1024)
                connection.sendall(sentence.decode().upper().encode())
            except (OSError, UnicodeDecodeError) as error:
                print(f"{client}: {error}", file=sys.stderr)


def ask(host, port):
    with create_connection((host, port)) as client:
        sentence = input("Input lowercase sentence:")
        client.sendall(sentence.encode())
        reply = client.recv(1024)
    if not reply:
        raise OSError("the server closed the connection without a reply")
    print("From Server:", reply.decode())


def serve_framed(port):
    welcoming = listen(port)
    while True:
        connection, client = welcoming.accept()
        Thread(target=serve_messages, args=(connection, client), daemon=True).start()


def serve_messages(connection, client):
    with connection:
        try:
            while True:
                (length,) = struct.unpack(">I", receive(connection, 4))
                if length > LONGEST:
                    raise ValueError(f"a message of {length} bytes")
                reply = receive(connection, length).decode().upper().encode()
                connection.sendall(struct.pack(">I", len(reply)) + reply)
        except (OSError, ValueError) as error:
            print(f"{client}: {error}", file=sys.stderr)


def receive(connection, count):
    """Exactly this many bytes: one recv returns what has arrived."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise OSError("the client closed the connection")
        data += part
    return data


def main():
    role = sys.argv[1]
    if role == "server":
        serve(int(sys.argv[2]))
    elif role == "framed-server":
        serve_framed(int(sys.argv[2]))
    else:
        host, port = sys.argv[2], int(sys.argv[3])
        try:
            ask(host, port)
        except OSError as error:
            sys.exit(f"no reply from {host}:{port}: {error}")


main()
