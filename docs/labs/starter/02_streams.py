"""Lab 2, Streams: 02_streams.py server PORT | client HOST PORT | framed-server PORT"""

import sys


def serve(port):
    raise NotImplementedError("accept one client after another; answer its sentence in upper case")


def ask(host, port):
    raise NotImplementedError("send a sentence from the keyboard to the server; print the reply")


def serve_framed(port):
    raise NotImplementedError("serve any number of clients; answer each message with a message")


def main():
    role = sys.argv[1]
    if role == "server":
        serve(int(sys.argv[2]))
    elif role == "framed-server":
        serve_framed(int(sys.argv[2]))
    else:
        host, port = sys.argv[2], int(sys.argv[3])
        ask(host, port)


main()
