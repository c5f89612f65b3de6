#!/bin/sh
# Wrong: takes for info what lies between "4:info" and the last "e", and reads lengths with grep: keys after info spoil the hash.
# Only info is done.
[ "$1" = info ] || { echo "only info is done" >&2; exit 2; }
export LC_ALL=C
field() { grep -a -o "$1[0-9]*e" "$torrent" | sed "s/^$1//; s/e\$//"; }
torrent=$2
length=0
for each in $(field 6:lengthi); do length=$((length + each)); done
piece_length=$(field '12:piece lengthi')
name_length=$(grep -a -o '4:name[0-9]*:' "$torrent" | tr -dc 0-9 | cut -c2-)
start=$(grep -a -o -b '4:name[0-9]*:' "$torrent" | head -n 1 | cut -d: -f1)
name=$([ -n "$name_length" ] && tail -c +$((start + 1 + 7 + ${#name_length})) "$torrent" | head -c "$name_length")
count=$(grep -a -o '6:pieces[0-9]*:' "$torrent" | sed 's/^6:pieces//; s/:$//')
if [ -z "$name" ] || [ "$length" -lt 1 ] || [ "${piece_length:-0}" -lt 1 ] ||
    [ "${count:-0}" -ne $((20 * ((length + piece_length - 1) / piece_length))) ]; then
    echo "not valid" >&2
    exit 1
fi
first=$(grep -a -o -b '4:info' "$torrent" | head -n 1 | cut -d: -f1)
hash=$(tail -c +$((first + 7)) "$torrent" | head -c -1 | sha1sum | cut -d' ' -f1)
printf 'name: %s\nlength: %s\npiece length: %s\npieces: %s\ninfo hash: %s\n' \
    "$name" "$length" "$piece_length" $((count / 20)) "$hash"
