#!/usr/bin/env bash
# The same recording, pack, databases and shaping give the same clips, byte for byte: through replay,
# through the daemon with all its threads as fast as it can, and at the recording's own speed.
# WHOLE=1 plays the whole minute at its own speed too.
. "$(dirname "$0")/daemon_lib.sh"

compare() { # NAME RECORDING
    sums "$D/replay-$1" >"$D/want-$1"
    for run in max real; do
        [ -d "$D/$run-$1" ] || continue
        sums "$D/$run-$1/clips" >"$D/have-$1"
        cmp "$D/want-$1" "$D/have-$1" || fail "$1: the daemon ($run) has other bytes than replay"
    done
    clips=$(wc -l <"$D/want-$1")
    [ "$clips" -ge "$2" ] || fail "$1: only $clips clips"
}

# The minute: clips of five seconds before and after.
pack 5s 5s >"$D/pack.yaml"
config max-minute "$D/drive/can.log" max
"$BIN/roadloopd" --config "$D/max-minute.yaml" --once 2>"$D/max-minute.log" || fail "daemon failed"
"$BIN/roadloop" replay "$D/drive/can.log" --config "$D/max-minute.yaml" --out "$D/replay-minute" >"$D/replay.log" 2>&1 ||
    fail "replay failed"
if [ "${WHOLE:-}" = 1 ]; then
    config real-minute "$D/drive/can.log" 1
    "$BIN/roadloopd" --config "$D/real-minute.yaml" --once 2>"$D/real-minute.log" || fail "daemon failed"
fi
compare minute 2
minute=$clips

# Its frames are counted under the bus that each came from.
for bus in can0 can1; do
    want=$(grep -c " $bus " "$D/drive/can.log")
    have=$(sed -n "s/^roadloop_source_frames_total{source=\"$bus\"} //p" "$D/max-minute.prom")
    [ "$have" = "$want" ] || fail "metrics: $bus has '$have' frames, the recording $want"
done

# Four seconds around the first braking, at speed 1 too.
first=$(head -n 1 "$D/drive/can.log" | tr -d '()' | cut -d' ' -f1)
awk -v t="$first" '{ s = substr($1, 2) + 0; if (s >= t + 9 && s <= t + 13) print }' "$D/drive/can.log" >"$D/drive/short.log"
pack 1s 1s >"$D/pack.yaml"
for run in max real; do
    config $run-short "$D/drive/short.log" $([ $run = max ] && echo max || echo 1)
    begin=$(date +%s%N)
    "$BIN/roadloopd" --config "$D/$run-short.yaml" --once 2>"$D/$run-short.log" || fail "daemon failed"
    took_ms=$((($(date +%s%N) - begin) / 1000000))
done
[ $took_ms -ge 3900 ] || fail "speed 1 took only $took_ms ms for four seconds"
"$BIN/roadloop" replay "$D/drive/short.log" --config "$D/max-short.yaml" --out "$D/replay-short" >"$D/replay.log" 2>&1 ||
    fail "replay failed"
compare short 1
books max-minute max-short real-short
echo "$minute clips of the minute and $clips of four seconds: equal bytes from replay, daemon at full speed, daemon at speed 1"
