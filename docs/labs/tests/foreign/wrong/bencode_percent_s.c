// Wrong: a string is printed with %s, which ends at the first zero byte. Only decode is done.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *at, *end;

static void bad(const char *why) {
    fprintf(stderr, "not valid: %s\n", why);
    exit(1);
}

static char *out;
static size_t used, room;

static void put(const char *text) {
    size_t n = strlen(text);
    if (used + n + 1 > room) out = realloc(out, room = 2 * (used + n + 1));
    memcpy(out + used, text, n + 1);
    used += n;
}

static size_t string(char **bytes) {
    char *start = at;
    size_t n = 0;
    while (at < end && *at >= '0' && *at <= '9') {
        n = n * 10 + (*at++ - '0');
        if (n > (size_t)(end - start)) bad("a string is longer than the input");
    }
    if (at == start || (*start == '0' && at > start + 1)) bad("the length of a string");
    if (at == end || *at != ':') bad("no colon after a length");
    at++;
    if (n > (size_t)(end - at)) bad("a string is longer than the input");
    *bytes = at;
    at += n;
    return n;
}

static void put_string(const char *bytes, size_t n) {
    char one[16], copy[n + 1];
    snprintf(copy, sizeof copy, "%.*s", (int)n, bytes);
    put("\"");
    for (const unsigned char *c = (const unsigned char *)copy; *c; c++) {
        if (*c == '"' || *c == '\\' || *c < 0x20 || *c > 0x7e) snprintf(one, sizeof one, "\\u%04x", *c);
        else snprintf(one, sizeof one, "%c", *c);
        put(one);
    }
    put("\"");
}

static void value(int depth) {
    if (depth > 100) bad("nested too deep");
    if (at == end) bad("the input ends early");
    if (*at == 'i') {
        char *start = ++at, text[32];
        if (at < end && *at == '-') at++;
        char *digits = at;
        while (at < end && *at >= '0' && *at <= '9') at++;
        if (at == digits || at - start > 20) bad("an integer");
        if (*digits == '0' && (at > digits + 1 || digits > start)) bad("an integer with leading zero");
        if (at == end || *at != 'e') bad("an integer without its e");
        snprintf(text, sizeof text, "%.*s", (int)(at - start), start);
        put(text);
        at++;
    } else if (*at == 'l') {
        at++;
        put("[");
        for (int n = 0; at < end && *at != 'e'; n++) {
            if (n) put(",");
            value(depth + 1);
        }
        if (at == end) bad("a list without its e");
        at++;
        put("]");
    } else if (*at == 'd') {
        char *last = NULL, *key;
        size_t last_n = 0;
        at++;
        put("{");
        for (int n = 0; at < end && *at != 'e'; n++) {
            if (n) put(",");
            size_t key_n = string(&key);
            if (last) {
                int order = memcmp(last, key, last_n < key_n ? last_n : key_n);
                if (order > 0 || (order == 0 && last_n >= key_n)) bad("keys are not sorted");
            }
            last = key;
            last_n = key_n;
            put_string(key, key_n);
            put(":");
            value(depth + 1);
        }
        if (at == end) bad("a dictionary without its e");
        at++;
        put("}");
    } else {
        char *bytes;
        size_t n = string(&bytes);
        put_string(bytes, n);
    }
}

int main(int argc, char **argv) {
    if (argc != 2 || strcmp(argv[1], "decode") != 0) {
        fprintf(stderr, "only decode is done\n");
        return 2;
    }
    size_t size = 0, capacity = 1 << 22;
    char *input = malloc(capacity);
    size_t n;
    while ((n = fread(input + size, 1, capacity - size, stdin)) > 0) size += n;
    at = input;
    end = input + size;
    value(0);
    if (at != end) bad("bytes after the value");
    printf("%s\n", out);
    return 0;
}
