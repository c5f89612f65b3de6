// Wrong: answers through stdio and never flushes, so they stay in the buffer until the client has left.
#include <arpa/inet.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

enum { LONGEST = 65536 };

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument;
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    char *bytes = malloc(4 * LONGEST + 1);
    wchar_t *wide = malloc((LONGEST + 1) * sizeof *wide);
    uint32_t length;
    while (fread(&length, 4, 1, in) == 1) {
        length = ntohl(length);
        if (length > LONGEST || fread(bytes, 1, length, in) != length) break;
        bytes[length] = 0;
        size_t letters = mbstowcs(wide, bytes, LONGEST + 1);
        if (letters == (size_t)-1) break;
        for (size_t i = 0; i < letters; i++) wide[i] = towupper(wide[i]);
        length = wcstombs(bytes, wide, 4 * LONGEST);
        uint32_t head = htonl(length);
        fwrite(&head, 4, 1, out);
        fwrite(bytes, 1, length, out);
    }
    fclose(in);
    fclose(out);
    free(bytes);
    free(wide);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "framed-server") != 0) {
        fprintf(stderr, "only the framed server is done\n");
        return 2;
    }
    setlocale(LC_ALL, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN);
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
