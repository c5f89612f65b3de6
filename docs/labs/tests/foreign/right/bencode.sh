#!/bin/sh
# Right: lab 5 in the shell. od makes numbers of the bytes, awk (any POSIX awk) reads those, sha1sum hashes a part of the file.
LC_ALL=C
export LC_ALL

numbers() { od -An -v -tu1 ${1+"$1"}; }

common='
function fail(why) { failed = 1; print "not valid: " why > "/dev/stderr"; exit 1 }
BEGIN { at = 0; for (i = 0; i < 256; i++) { chr[i] = sprintf("%c", i); ord[chr[i]] = i } }
{ for (i = 1; i <= NF; i++) byte[count++] = $i + 0 }
'

decoder='
function is_digit(b) { return b >= 48 && b <= 57 }

# A string: its first byte is left in string_start, its length is returned.
function string(   digits, n) {
    for (digits = 0; at < count && is_digit(byte[at]); at++) {
        n = n * 10 + byte[at] - 48
        if (++digits > 10) fail("a length of more than ten digits")
    }
    if (digits == 0) fail("neither a value nor the length of a string at byte " at)
    if (digits > 1 && byte[at - digits] == 48) fail("a length with a leading zero")
    if (at >= count || byte[at] != 58) fail("no colon after a length")
    string_start = ++at
    if (n > count - at) fail("a string that is longer than the input")
    at += n
    return n
}

function text(start, n,   i, s) {
    for (i = 0; i < n; i++) s = s chr[byte[start + i]]
    return s
}

function write_string(start, n,   i, s) {
    s = "\""
    for (i = 0; i < n; i++) {
        s = s json[byte[start + i]]
        if (length(s) > 500) { out[parts++] = s; s = "" }
    }
    out[parts++] = s "\""
}

function precedes(a, a_n, b, b_n,   i) {
    for (i = 0; i < a_n && i < b_n; i++) if (byte[a + i] != byte[b + i]) return byte[a + i] < byte[b + i]
    return a_n < b_n
}

# path says where we are, for info: "/info/name".
function value(depth, path,   start, sign, s, n, key, key_n, last, last_n, entries, began) {
    if (depth > 64) fail("nested deeper than 64")
    if (at >= count) fail("the input ends early")
    if (byte[at] == 105) {
        start = ++at
        if (byte[at] == 45) { sign = 1; at++ }
        for (n = 0; at < count && is_digit(byte[at]); at++) n++
        if (n == 0 || n > 19) fail("an integer without digits, or with more than 19")
        if (byte[at - n] == 48 && (n > 1 || sign)) fail("an integer with a leading zero, or -0")
        if (at >= count || byte[at] != 101) fail("an integer without its e")
        s = text(start, at - start)
        at++
        out[parts++] = s
        if (path == "/info/files/length") total += s
        number[path] = s
        if (path == "/info/files/length") { if (s < 0) fail("a file with a length below 0") }
        return
    }
    if (byte[at] == 108) {
        out[parts++] = "["
        for (at++; byte[at] != 101; entries++) {
            if (entries) out[parts++] = ","
            value(depth + 1, path)
        }
        at++
        out[parts++] = "]"
        return
    }
    if (byte[at] == 100) {
        out[parts++] = "{"
        for (at++; byte[at] != 101; entries++) {
            if (entries) out[parts++] = ","
            key_n = string()
            key = string_start
            if (strict && entries && !precedes(last, last_n, key, key_n)) fail("keys that are not sorted, or equal")
            last = key; last_n = key_n
            write_string(key, key_n)
            out[parts++] = ":"
            began = at
            s = key_n < 100 ? path "/" text(key, key_n) : path "/long"
            value(depth + 1, s)
            span_start[s] = began; span_end[s] = at
        }
        at++
        out[parts++] = "}"
        return
    }
    n = string()
    string_at[path] = string_start; string_n[path] = n
    write_string(string_start, n)
}

BEGIN {
    for (i = 0; i < 256; i++) json[i] = i < 32 || i > 126 || i == 34 || i == 92 ? sprintf("\\u%04x", i) : chr[i]
}
'

decode='
END {
    if (failed) exit 1
    strict = 1
    value(0, "")
    if (at != count) fail("bytes after the value")
    for (i = 0; i < parts; i++) printf "%s", out[i]
    print ""
}
'

info='
END {
    if (failed) exit 1
    value(0, "")
    if (at != count) fail("bytes after the value")
    if (!string_n["/info/name"]) fail("no name")
    if ("/info/length" in number) total = number["/info/length"]
    size = number["/info/piece length"]
    if (total + 0 < 1 || size + 0 < 1) fail("a length or piece length below 1")
    pieces = int((total + size - 1) / size)
    if (string_n["/info/pieces"] != 20 * pieces) fail("more or fewer hashes than the length needs")
    printf "%d %d ", span_start["/info"], span_end["/info"] - span_start["/info"]
    printf "name: %s\nlength: %d\npiece length: %d\npieces: %d\n", text(string_at["/info/name"], string_n["/info/name"]), total, size, pieces
}
'

# Bytes are kept as text, two hexadecimal digits each, which sorts as the bytes do.
encode='
function blanks() { while (byte[at] == 32 || byte[at] == 9 || byte[at] == 10 || byte[at] == 13) at++ }

function hex_of(s,   i, h) {
    for (i = 1; i <= length(s); i++) h = h sprintf("%02x", ord[substr(s, i, 1)])
    return h
}

function escape(   i, n, d) {
    if (byte[at] != 117) {
        d = index("\"\\/bfnrt", chr[byte[at]])
        if (!d) fail("an escape that JSON does not have")
        at++
        return substr("225c2f080c0a0d09", 2 * d - 1, 2)
    }
    for (i = 1; i <= 4; i++) {
        d = index("0123456789abcdef", tolower(chr[byte[at + i]]))
        if (!d) fail("an escape without four hexadecimal digits")
        n = 16 * n + d - 1
    }
    if (n > 255) fail("a character above U+00FF")
    at += 5
    return sprintf("%02x", n)
}

function string(   h) {
    if (byte[at] != 34) fail("a key that is no string")
    for (at++; byte[at] != 34;) {
        if (at >= count || byte[at] < 32) fail("a string without its end")
        if (byte[at] == 92) { at++; h = h escape() }
        else if (byte[at] < 128) h = h sprintf("%02x", byte[at++])
        else if (byte[at] == 194 || byte[at] == 195) {
            h = h sprintf("%02x", (byte[at] - 192) * 64 + byte[at + 1] - 128)
            at += 2
        } else fail("a character above U+00FF")
    }
    at++
    return h
}

function sized(h) { return hex_of(length(h) / 2 ":") h }

function value(depth,   s, h, n, i, key, keys, values) {
    if (depth > 64) fail("nested deeper than 64")
    blanks()
    if (byte[at] == 34) return sized(string())
    if (byte[at] == 91) {
        at++
        blanks()
        if (byte[at] == 93) { at++; return "6c65" }
        for (;;) {
            h = h value(depth + 1)
            blanks()
            if (byte[at] == 93) { at++; return "6c" h "65" }
            if (byte[at++] != 44) fail("a list without comma or end")
        }
    }
    if (byte[at] == 123) {
        at++
        blanks()
        if (byte[at] == 125) { at++; return "6465" }
        for (n = 0;;) {
            blanks()
            key = "k" string()
            blanks()
            if (byte[at++] != 58) fail("a key without a colon")
            # Insertion into the sorted keys; the k makes text of what looks like a number.
            s = value(depth + 1)
            for (i = n++; i > 0 && keys[i - 1] > key; i--) { keys[i] = keys[i - 1]; values[i] = values[i - 1] }
            if (i > 0 && keys[i - 1] == key) fail("a key that is there twice")
            keys[i] = key; values[i] = s
            blanks()
            if (byte[at] == 125) break
            if (byte[at++] != 44) fail("an object without comma or end")
        }
        at++
        for (i = 0; i < n; i++) h = h sized(substr(keys[i], 2)) values[i]
        return "64" h "65"
    }
    while (at < count && index("+-.0123456789Ee", chr[byte[at]])) s = s chr[byte[at++]]
    if (s !~ /^-?(0|[1-9][0-9]*)$/) fail("what is no string, integer, list or object at byte " at)
    return hex_of("i" (s == "-0" ? "0" : s) "e")
}

END {
    if (failed) exit 1
    h = value(0)
    blanks()
    if (at < count) fail("something after the value")
    for (i = 1; i < length(h); i += 2)
        printf "%c", 16 * (index("0123456789abcdef", substr(h, i, 1)) - 1) + index("0123456789abcdef", substr(h, i + 1, 1)) - 1
}
'

case $1 in
decode) numbers | awk "$common$decoder$decode" ;;
encode) numbers | awk "$common$encode" ;;
info)
    lines=$(numbers "$2" | awk "$common$decoder$info") || exit 1
    start=${lines%% *} lines=${lines#* }
    hash=$(tail -c "+$((start + 1))" "$2" | head -c "${lines%% *}" | sha1sum)
    printf '%s\ninfo hash: %s\n' "${lines#* }" "${hash%% *}"
    ;;
*)
    echo "usage: bencode.sh decode | encode | info FILE.torrent" >&2
    exit 2
    ;;
esac
