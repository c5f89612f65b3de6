// Wrong: a buffer of 1024 bytes, as in many examples; recvfrom drops the rest without a word.
#include <arpa/inet.h>
#include <locale.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

static int server(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    for (;;) {
        char in[1024 + 1], out[4 * 1025];
        wchar_t wide[1025];
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(fd, in, 1024, 0, (struct sockaddr *)&from, &length);
        if (n < 0) continue;
        in[n] = 0;
        size_t letters = mbstowcs(wide, in, 1025);
        if (letters == (size_t)-1) continue;
        for (size_t i = 0; i < letters; i++) wide[i] = towupper(wide[i]);
        sendto(fd, out, wcstombs(out, wide, sizeof out), 0, (struct sockaddr *)&from, length);
    }
}

static int client(const char *host, const char *port) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *server;
    if (getaddrinfo(host, port, &hints, &server) != 0) {
        fprintf(stderr, "cannot resolve %s\n", host);
        return 1;
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval limit = {.tv_sec = 3};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    // A connected UDP socket receives from this server only.
    connect(fd, server->ai_addr, server->ai_addrlen);
    char line[4096], reply[4096];
    printf("Input lowercase sentence: ");
    if (!fgets(line, sizeof line, stdin)) return 1;
    line[strcspn(line, "\r\n")] = 0;
    send(fd, line, strlen(line), 0);
    ssize_t n = recv(fd, reply, sizeof reply, 0);
    if (n < 0) {
        perror("no reply");
        return 1;
    }
    printf("\n%.*s\n", (int)n, reply);
    return 0;
}

int main(int argc, char **argv) {
    setlocale(LC_ALL, "C.UTF-8");
    if (argc == 3 && strcmp(argv[1], "server") == 0) return server(atoi(argv[2]));
    if (argc == 4 && strcmp(argv[1], "client") == 0) return client(argv[2], argv[3]);
    return 2;
}
