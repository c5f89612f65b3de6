// Wrong: the server's port is not in network byte order (no htons), so it listens at another one.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <wchar.h>
#include <wctype.h>
#include <locale.h>

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "server") != 0) {
        fprintf(stderr, "only the server is done\n");
        return 2;
    }
    setlocale(LC_ALL, "C.UTF-8");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = atoi(argv[2])};
    address.sin_addr.s_addr = INADDR_ANY;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    printf("The server is ready to receive\n");
    for (;;) {
        char in[2049], out[3 * 2049];
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        ssize_t n = recvfrom(fd, in, sizeof in - 1, 0, (struct sockaddr *)&client, &length);
        if (n < 0) continue;
        wchar_t wide[2049];
        in[n] = 0;
        size_t letters = mbstowcs(wide, in, 2049);
        if (letters == (size_t)-1) continue;
        for (size_t i = 0; i < letters; i++) wide[i] = towupper(wide[i]);
        size_t m = wcstombs(out, wide, sizeof out);
        sendto(fd, out, m, 0, (struct sockaddr *)&client, length);
    }
}
