// Wrong: info hashes are compared with strcmp(), which stops at the first zero byte. There is no expiry, no shuffle and no scrape.
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    char hash[21];
    unsigned char address[6];
    long left;
};
static struct peer peers[10000];
static int count, interval;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// The value of a parameter, without its %XX; returns its length, or -1.
static int parameter(const char *query, const char *name, char *value, int room) {
    size_t n = strlen(name);
    for (const char *at = query; at; at = strchr(at, '&')) {
        if (*at == '&') at++;
        if (strncmp(at, name, n) != 0 || at[n] != '=') continue;
        int length = 0;
        for (at += n + 1; *at && *at != '&' && length < room - 1; at++) {
            unsigned byte;
            if (*at == '%' && sscanf(at + 1, "%2x", &byte) == 1) {
                value[length++] = byte;
                at += 2;
            } else value[length++] = *at;
        }
        value[length] = 0;
        return length;
    }
    return -1;
}

static int announce(const char *query, struct sockaddr_in *from, char *body) {
    char hash[64], id[64], text[64], event[64] = "";
    const char *reason = NULL;
    if (parameter(query, "info_hash", hash, sizeof hash) != 20) reason = "info_hash must be 20 bytes";
    if (parameter(query, "peer_id", id, sizeof id) != 20) reason = "peer_id must be 20 bytes";
    parameter(query, "port", text, sizeof text) > 0 || (text[0] = 0);
    char *end;
    long port = strtol(text, &end, 10);
    if (*end || port < 1 || port > 65535) reason = "port must be 1 to 65535";
    parameter(query, "left", text, sizeof text) > 0 || (text[0] = 'x');
    long left = strtol(text, &end, 10);
    if (*end || left < 0) reason = "left must be a number";
    if (reason) return sprintf(body, "d14:failure reason%zu:%se", strlen(reason), reason);
    parameter(query, "event", event, sizeof event);
    long wanted = parameter(query, "numwant", text, sizeof text) > 0 ? strtol(text, NULL, 10) : 50;
    if (wanted < 0) wanted = 50;
    if (wanted > 200) wanted = 200;
    unsigned char address[6];
    memcpy(address, &from->sin_addr, 4);
    address[4] = port >> 8;
    address[5] = port & 255;

    pthread_mutex_lock(&lock);
    struct peer *mine = NULL;
    for (int i = 0; i < count; i++)
        if (strcmp(peers[i].hash, hash) == 0 && memcmp(peers[i].address, address, 6) == 0) mine = &peers[i];
    if (strcmp(event, "stopped") == 0) {
        if (mine) *mine = peers[--count];
        wanted = 0;
    } else {
        if (!mine) mine = &peers[count++];
        memcpy(mine->hash, hash, 21);
        memcpy(mine->address, address, 6);
        mine->left = left;
    }
    int seeds = 0, others = 0, named = 0;
    unsigned char list[200 * 6];
    for (int i = 0; i < count; i++) {
        if (strcmp(peers[i].hash, hash) != 0) continue;
        if (peers[i].left == 0) seeds++;
        else others++;
        if (memcmp(peers[i].address, address, 6) == 0 || (left == 0 && peers[i].left == 0) || named >= wanted) continue;
        memcpy(list + 6 * named++, peers[i].address, 6);
    }
    pthread_mutex_unlock(&lock);
    int n = sprintf(body, "d8:completei%de10:incompletei%de8:intervali%de5:peers%d:", seeds, others, interval, 6 * named);
    memcpy(body + n, list, 6 * named);
    body[n + 6 * named] = 'e';
    return n + 6 * named + 1;
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument, size = 0, n;
    static __thread char request[8192], body[4096], head[256];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    getpeername(fd, (struct sockaddr *)&from, &length);
    while (size < (int)sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        if ((n = recv(fd, request + size, sizeof request - 1 - size, 0)) <= 0) break;
        request[size += n] = 0;
    }
    char *end = strchr(request + 4, ' ');
    if (size > 0 && end) {
        *end = 0;
        int found = strncmp(request, "GET /announce?", 14) == 0;
        int bytes = found ? announce(request + 14, &from, body) : 0;
        n = sprintf(head, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", found ? "200 OK" : "404 Not Found", bytes);
        send(fd, head, n, MSG_NOSIGNAL | MSG_MORE);
        send(fd, body, bytes, MSG_NOSIGNAL);
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    interval = atoi(argv[2]);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0) {
        perror("bind");
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0) pthread_detach(thread);
    }
}
