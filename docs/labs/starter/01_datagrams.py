"""Lab 1, Datagrams: 01_datagrams.py server PORT | client HOST PORT"""

import sys


def serve(port):
    raise NotImplementedError("receive datagrams at the port; answer each in upper case")


def ask(host, port):
    raise NotImplementedError("send a line from the keyboard to the server; print the reply")


def main():
    if sys.argv[1] == "server":
        serve(int(sys.argv[2]))
    else:
        host, port = sys.argv[2], int(sys.argv[3])
        ask(host, port)


main()
