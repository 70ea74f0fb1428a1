#!/bin/bash
# http-ok PORT PATH: exit 0 when http://127.0.0.1:PORT/PATH answers 200 within 5 seconds.
# The images that use it have bash and no HTTP client, and one more program for a health check is one
# more program to patch.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
IFS=' ' read -r -t 5 _ status _ <&3
[ "$status" = 200 ]
