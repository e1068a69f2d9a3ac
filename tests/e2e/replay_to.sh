#!/usr/bin/env bash
# `replay --to` on datagrams: what it sends arrives, in its own time, at the speed asked for; what makes
# no sense is refused in words. On CAN interfaces: tests/vm/can.py.
. "$(dirname "$0")/daemon_lib.sh"

refused() { # TEXT ARGUMENT...
    local want=$1; shift
    if timeout 20 "$BIN/roadloop" replay "$@" >"$D/out" 2>"$D/err"; then fail "not refused: $*"; else [ $? = 2 ] || fail "exit status of: $*"; fi
    grep -qF -- "$want" "$D/err" || fail "$* says: $(head -n 1 "$D/err")"
}
log=$D/drive/can.log
refused "the recording has no bus 'can7'; it has can0, can1" "$log" --to can7=udp:127.0.0.1:9
refused "with --to there is no --rules" "$log" --to udp:127.0.0.1:9 --rules x.yaml
refused "a bus has one destination" "$log" --to can0=udp:127.0.0.1:9 --to can0=udp:127.0.0.1:10
refused "cannot take --speed 0" "$log" --to udp:127.0.0.1:9 --speed 0
refused "cannot take --to can0=" "$log" --to can0=
refused "CAN" "$log" --to no-such-can0
refused "expected a CAN interface, udp:A.B.C.D:PORT" "$log" --to udp:nowhere
refused "--to unix:$D/nobody" "$log" --to "unix:$D/nobody"
refused "cannot take --speed 4" "$log" --speed 4 # the rules know 1 and max

mkdir "$D/run"
port=$((20000 + RANDOM % 20000))
cat >"$D/run.yaml" <<YAML
vehicle: test-live
sources: [{name: can0, datagram: "udp:127.0.0.1:$port", buffer: 8MiB}, {name: can1, datagram: "unix:$D/can1", buffer: 8MiB}]
store: {path: run}
control: {socket: run.sock}
YAML
"$BIN/roadloopd" --config "$D/run.yaml" 2>"$D/run.log" &
daemon=$!; pids+=($daemon)
wait_for 20 "$BIN/roadloop" status --socket "$D/run.sock"
awk '{ t = substr($1, 2) + 0; if (!first) first = t; if (t - first < 12) print }' "$log" >"$D/part.log"
frames=$(wc -l <"$D/part.log")
"$BIN/roadloop" replay "$D/part.log" --to "udp:127.0.0.1:$port" --to "can1=unix:$D/can1" --speed 4 >"$D/out" || fail "replay --to failed"
grep -q "^$frames frames sent in " "$D/out" || fail "$frames frames, and it says: $(cat "$D/out")"
took=$(sed -E 's/.* sent in ([0-9.]+) s.*/\1/' "$D/out")
awk -v s="$took" 'BEGIN { exit !(s >= 2.9 && s < 12) }' || fail "12 s of driving at four times its speed took $took s"
arrived() { [ $(($(status_of run sources 0 frames) + $(status_of run sources 0 dropped_kernel) + $(status_of run sources 1 frames) + $(status_of run sources 1 dropped_kernel))) = "$frames" ]; }
wait_for 10 arrived
of() { grep -c " can$1 " "$D/part.log"; }
[ "$(status_of run sources 1 frames)" = "$(of 1)" ] || [ "$(status_of run sources 1 dropped_kernel)" -gt 0 ] || fail "buses were mixed up"
"$BIN/roadloop" replay "$D/part.log" --to "can1=unix:$D/can1" --speed max >"$D/out" 2>"$D/err" || fail "replay --to of one bus failed"
grep -q "$(of 0) frames of can0 not sent: no --to" "$D/err" || fail "says nothing of the bus that nobody wants"
kill -TERM $daemon
wait $daemon || fail "the daemon failed"
echo "$frames frames played in $took s at four times their speed, all accounted for; 9 mistakes refused in words"
