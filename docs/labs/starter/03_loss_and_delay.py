"""Lab 3, Loss and delay: 03_loss_and_delay.py HOST PORT COUNT"""

import sys
from socket import AF_INET, SOCK_DGRAM, socket

TIMEOUT = 0.2  # seconds that an attempt waits for its reply
ATTEMPTS = 3  # datagrams that a ping may take


def ping(client, number):
    """Returns the attempts made, and if there was a reply its attempt and RTT in seconds."""
    raise NotImplementedError("send the ping, wait for its reply, and send again if none comes")


def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with socket(AF_INET, SOCK_DGRAM) as client:
        client.connect((host, port))
        for number in range(1, count + 1):
            attempts, reply = ping(client, number)
            # Print the line of the ping here, and the last line after the loop.


main()
