#!/bin/bash
# Wrong: read takes the reply for none, because no line end comes before the server closes. Only the client is done.
[ "$1" = client ] || { echo "only the client is done" >&2; exit 2; }
read -r line
exec 3<>"/dev/tcp/$2/$3" || exit 1
printf '%s' "$line" >&3
if read -r reply <&3; then
    echo "From Server: $reply"
else
    echo "the server closed without a reply" >&2
    exit 1
fi
