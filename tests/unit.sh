#!/usr/bin/env bash
# unit.sh VARIANT BINARY...: runs the unit tests, several at a time since those over Kafka mostly wait;
# a line a binary, the whole output of one that fails.
set -u
variant=$1; shift

one() {
    local name out=$1.out
    name=$(basename "$1")
    ./"$1" >"$out" 2>&1 || { tail -n 60 "$out"; echo "FAILED: $1"; return 255; } # 255: xargs starts no more
    echo "$name $(sed -nE 's/.*PASSED *\] ([0-9]+) test.*/\1/p' "$out" | tail -n 1)"
}
export -f one
printf '%s\n' "$@" | xargs -P 4 -I{} bash -c 'one {}' || exit 1
echo "$(for t in "$@"; do sed -nE 's/.*PASSED *\] ([0-9]+) test.*/\1/p' "$t.out" | tail -n 1; done |
    awk '{ n += $1 } END { print n }') unit tests pass ($variant)"
