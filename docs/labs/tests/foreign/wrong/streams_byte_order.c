// Wrong: the length is in the machine's byte order, not the network's (no ntohl, no htonl).
#include <arpa/inet.h>
#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

enum { LONGEST = 65536 };

static int receive(int fd, char *bytes, size_t n) {
    while (n > 0) {
        ssize_t got = recv(fd, bytes, n, 0);
        if (got <= 0) return 0;
        bytes += got;
        n -= got;
    }
    return 1;
}

static int send_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) return 0;
        bytes += sent;
        n -= sent;
    }
    return 1;
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument;
    char *in = malloc(LONGEST + 1), *out = malloc(4 + 4 * LONGEST);
    wchar_t *wide = malloc((LONGEST + 1) * sizeof *wide);
    uint32_t length;
    while (receive(fd, (char *)&length, 4)) {
        length = length;
        if (length > LONGEST) break;
        if (!receive(fd, in, length)) break;
        in[length] = 0;
        size_t letters = mbstowcs(wide, in, LONGEST + 1);
        if (letters == (size_t)-1) break;
        for (size_t i = 0; i < letters; i++) wide[i] = towupper(wide[i]);
        size_t bytes = wcstombs(out + 4, wide, 4 * LONGEST);
        uint32_t head = bytes;
        memcpy(out, &head, 4);
        if (!send_all(fd, out, 4 + bytes)) break;
    }
    close(fd);
    free(in);
    free(out);
    free(wide);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "framed-server") != 0) {
        fprintf(stderr, "only the framed server is done\n");
        return 2;
    }
    setlocale(LC_ALL, "C.UTF-8");
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0) {
        perror("bind");
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        pthread_t thread;
        pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
}
