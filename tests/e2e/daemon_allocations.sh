#!/usr/bin/env bash
# No allocation per frame: capture makes none at all, and what the other threads make grows with
# blocks and clips, not with frames (fewer than one in 100 frames).
. "$(dirname "$0")/daemon_lib.sh"

gcc -O2 -shared -fPIC -D_GNU_SOURCE -o "$D/shim.so" tests/alloc_shim.c || fail "the shim does not build"
pack 5s 5s >"$D/pack.yaml"
config run "$D/drive/can.log" max
LD_PRELOAD=$D/shim.so "$BIN/roadloopd" --config "$D/run.yaml" --once 2>"$D/run.log" || fail "the daemon failed"
of() { sed -n "s/^allocations $1 //p" "$D/run.log"; }
[ "$(of capture)" = 0 ] || fail "capture allocated $(of capture) times"
sum=$(($(of pipeline) + $(of encode) + $(of store)))
[ "$sum" -lt 988 ] || fail "$sum allocations for 98800 frames"
echo "98800 frames: capture 0, pipeline $(of pipeline), encode $(of encode), store $(of store) allocations"
