"""TCPServer (Kurose & Ross 2.7.2) in today's Python: python3 tcp_server.py [PORT]"""

import sys
from socket import AF_INET, SOCK_STREAM, socket

port = int(sys.argv[1]) if len(sys.argv) > 1 else 12000

with socket(AF_INET, SOCK_STREAM) as welcoming:
    welcoming.bind(("", port))
    welcoming.listen(1)
    print("listening on {}:{}".format(*welcoming.getsockname()), file=sys.stderr, flush=True)
    print("The server is ready to receive", flush=True)
    while True:
        connection, client_address = welcoming.accept()
        with connection:
            sentence = connection.recv(1024).decode()  # not UTF-8: the program ends here
            connection.send(sentence.upper().encode())
