#!/usr/bin/env bash
# daemon_same_bytes with the whole minute at its own speed.
WHOLE=1 exec "$(dirname "$0")/daemon_same_bytes.sh"
