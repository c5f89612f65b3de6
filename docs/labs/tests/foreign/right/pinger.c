// Right: lab 3 in C. Each wait ends 200 ms after the send, whatever arrives in between.
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *echo;
    if (getaddrinfo(argv[1], argv[2], &hints, &echo) != 0) return 1;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), count = atoi(argv[3]);
    connect(fd, echo->ai_addr, echo->ai_addrlen);
    int sent = 0, replied = 0;
    double least = 1e9, most = 0, sum = 0;
    for (int ping = 1; ping <= count; ping++) {
        double sent_at[4];
        int answered = 0;
        for (int attempt = 1; attempt <= 3 && !answered; attempt++) {
            char text[64];
            int length = snprintf(text, sizeof text, "%d %d", ping, attempt);
            sent_at[attempt] = now_ms();
            send(fd, text, length, 0);
            sent++;
            double left;
            while ((left = sent_at[attempt] + 200 - now_ms()) > 0) {
                struct pollfd readable = {.fd = fd, .events = POLLIN};
                if (poll(&readable, 1, (int)(left + 0.999)) <= 0) continue;
                ssize_t n = recv(fd, text, sizeof text - 1, 0);
                if (n < 0) continue;
                int number, which, end = 0;
                text[n] = 0;
                if (sscanf(text, "%d %d%n", &number, &which, &end) != 2 || end != n) continue;
                if (number != ping || which < 1 || which > attempt) continue;
                double rtt = now_ms() - sent_at[which];
                printf("reply %d %d %.1f\n", ping, which, rtt);
                if (rtt < least) least = rtt;
                if (rtt > most) most = rtt;
                sum += rtt;
                replied++;
                answered = 1;
                break;
            }
        }
        if (!answered) printf("lost %d\n", ping);
    }
    printf("%d pings, %d sent, %d replied, %d lost", count, sent, replied, count - replied);
    if (replied) printf(", rtt min/avg/max %.1f/%.1f/%.1f ms", least, sum / replied, most);
    printf("\n");
    return 0;
}
