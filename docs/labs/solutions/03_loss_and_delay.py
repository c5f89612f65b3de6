"""Lab 3, Loss and delay: 03_loss_and_delay.py HOST PORT COUNT"""

import sys
from socket import AF_INET, SOCK_DGRAM, socket, timeout
from time import monotonic

TIMEOUT = 0.2  # seconds that an attempt waits for its reply
ATTEMPTS = 3  # datagrams that a ping may take


def ping(client, number):
    """Returns the attempts made, and if there was a reply its attempt and RTT in seconds."""
    sent = {}
    for attempt in range(1, ATTEMPTS + 1):
        sent[attempt] = monotonic()
        client.send(f"{number} {attempt}".encode())
        reply = wait_for_reply(client, number, sent, sent[attempt] + TIMEOUT)
        if reply:
            return attempt, reply
    return ATTEMPTS, None


def wait_for_reply(client, number, sent, deadline):
    """The attempt that a reply names, and its RTT; None if none has come by the deadline."""
    while (left := deadline - monotonic()) > 0:
        client.settimeout(left)
        try:
            reply = client.recv(2048)
        except timeout:
            return None
        except ConnectionRefusedError:
            continue  # An earlier datagram found no server; the next one may.
        now = monotonic()
        try:
            of_ping, of_attempt = (int(word) for word in reply.decode().split()[:2])
        except ValueError:
            continue
        # Copies of earlier replies, and what was never sent, answer another question.
        if of_ping == number and of_attempt in sent:
            return of_attempt, now - sent[of_attempt]
    return None


def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    datagrams = 0
    rtts = []
    with socket(AF_INET, SOCK_DGRAM) as client:
        client.connect((host, port))
        for number in range(1, count + 1):
            attempts, reply = ping(client, number)
            datagrams += attempts
            if reply:
                attempt, rtt = reply[0], reply[1] * 1000
                rtts.append(rtt)
                print(f"reply {number} {attempt} {rtt:.1f}", flush=True)
            else:
                print(f"lost {number}", flush=True)
    total = f"{count} pings, {datagrams} sent, {len(rtts)} replied, {count - len(rtts)} lost"
    if rtts:
        mean = sum(rtts) / len(rtts)
        total += f", rtt min/avg/max {min(rtts):.1f}/{mean:.1f}/{max(rtts):.1f} ms"
    print(total)


main()
