#!/usr/bin/env bash
# Reload in mid-drive: a good one is in force from a step on and later clips name its generation; a
# bad one changes nothing but a counter, and is logged once.
. "$(dirname "$0")/daemon_lib.sh"

first=$(head -n 1 "$D/drive/can.log" | tr -d '()' | cut -d' ' -f1)
awk -v t="$first" '{ s = substr($1, 2) + 0; if (s >= t + 9 && s <= t + 27) print }' "$D/drive/can.log" >"$D/drive/short.log"
pack 1s 500ms >"$D/pack.yaml"
config run "$D/drive/short.log" 1
"$BIN/roadloopd" --config "$D/run.yaml" --once 2>"$D/run.log" &
daemon=$!; pids+=($daemon)
events() { [ "$(status_of run clips events)" -ge "$1" ]; }
wait_for 10 events 1 # 10.55 s into the drive, generation 0

# A bad pack by signal, a bad configuration by the socket: nothing changes.
echo "rules: [{name: x, when: 'nonsense ==='}]" >>"$D/pack.yaml"
kill -HUP $daemon
failed() { [ "$(status_of run reloads_failed)" = "$1" ]; }
wait_for 5 failed 1
[ "$(status_of run generation)" = 0 ] || fail "a bad reload changed the generation"
cp "$D/run.yaml" "$D/good.yaml"
sed -i 's/vehicle: .*/vehicle: another/' "$D/run.yaml"
pack 1s 500ms >"$D/pack.yaml"
"$BIN/roadloop" reload --socket "$D/run.sock" >"$D/answer" 2>&1 && fail "a new vehicle name needs a restart"
grep -q "'vehicle' has changed; that needs a restart" "$D/answer" || fail "the answer does not name the key"
wait_for 5 failed 2
cp "$D/good.yaml" "$D/run.yaml"

# A good one.
pack 2s 1s >"$D/pack.yaml"
"$BIN/roadloop" reload --socket "$D/run.sock" >"$D/answer" 2>&1 || fail "the reload was refused: $(cat "$D/answer")"
[ "$(status_of run generation)" = 1 ] || fail "the reload is not in force"
wait $daemon || fail "the daemon failed"

[ "$(grep -c 'nonsense' "$D/run.log")" -le 1 ] || fail "the bad reload was logged more than once"
grep -q 'generation 1 is in force' "$D/run.log" || fail "the reload was not logged"
generations=$(for clip in "$D"/run/clips/*.rlc; do
    "$BIN/roadloop" inspect --json "$clip" 2>/dev/null | grep -o '"generation": *[0-9]*' | head -n 1 | grep -o '[0-9]*$'; done | sort -u | tr '\n' ' ')
[ "$generations" = "0 1 " ] || fail "clips name generations '$generations', expected 0 and 1"
books run
echo "generation 0 before, 1 after the reload; two bad ones changed nothing"
