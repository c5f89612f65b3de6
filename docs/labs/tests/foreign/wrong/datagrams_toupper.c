// Wrong: toupper() byte by byte in the C locale knows the letters of ASCII only.
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "server") != 0) {
        fprintf(stderr, "only the server is done\n");
        return 2;
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    for (;;) {
        unsigned char text[4096];
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        ssize_t n = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&client, &length);
        for (ssize_t i = 0; i < n; i++) text[i] = toupper(text[i]);
        if (n >= 0) sendto(fd, text, n, 0, (struct sockaddr *)&client, length);
    }
}
