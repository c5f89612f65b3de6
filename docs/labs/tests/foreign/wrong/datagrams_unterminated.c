// Wrong: the buffer is not terminated after recvfrom, so the end of a longer, earlier text is answered too.
#include <locale.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <wchar.h>
#include <wctype.h>

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "server") != 0) {
        fprintf(stderr, "only the server is done\n");
        return 2;
    }
    setlocale(LC_ALL, "C.UTF-8");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    static char in[4096], out[4 * 4096];
    static wchar_t wide[4096];
    for (;;) {
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        if (recvfrom(fd, in, sizeof in - 1, 0, (struct sockaddr *)&client, &length) < 0) continue;
        size_t letters = mbstowcs(wide, in, 4096);
        if (letters == (size_t)-1) {
            memset(in, 0, sizeof in);
            continue;
        }
        for (size_t i = 0; i < letters; i++) wide[i] = towupper(wide[i]);
        size_t bytes = wcstombs(out, wide, sizeof out);
        sendto(fd, out, bytes, 0, (struct sockaddr *)&client, length);
    }
}
