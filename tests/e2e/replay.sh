#!/usr/bin/env bash
# The RAV4 minute through rules and recorder: where the brake rule fires, that a clip gives back the
# input lines of its window, that every clip replays to what its manifest lists, and that neither
# format, order of files nor speed changes a byte.
set -eu
cd "$(dirname "$0")/../.."
roadloop=${B:-build/release}/roadloop
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
fail() { echo "replay.sh: $*" >&2; exit 1; }
data=tests/data/rav4
dbcs=(--dbc "can0=$data/toyota_nodsu_pt_generated.dbc" --dbc "can1=$data/toyota_adas.dbc")

# A field of the JSON lines of one kind, in their order: field EVENT KEY <lines
field() { python3 -c '
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    if item["event"] == sys.argv[1]:
        print(item[sys.argv[2]])' "$1" "$2"; }
sums() { (cd "$1" && sha256sum ./*.rlc); }

# Every clip of a folder gives the input lines of its window and fires what it lists.
check_clips() { # JSON PACK LOG
    local path start end count=0
    while read -r path start end; do
        "$roadloop" convert "$path" "$work/cut.log"
        awk -v a="($start" -v b="($end" '{ t = substr($1, 1, length($1) - 1) "000" }
            t >= a && t <= b' "$3" | cmp - "$work/cut.log" || fail "$path: not the input's lines"
        "$roadloop" replay "$path" --rules "$2" "${dbcs[@]}" >"$work/again" 2>"$work/errors" ||
            fail "$path: $(tail -1 "$work/errors")"
        count=$((count + 1))
    done < <(python3 -c '
import json, sys
for line in open(sys.argv[1]):
    item = json.loads(line)
    if item["event"] == "clip" and item["segments"] == 1:
        print(item["path"], item["start"], item["end"])' "$1")
    [ $count -gt 0 ] || fail "$2: no clip of one segment"
}

zstd -dqf $data/can.log.zst -o "$work/rav4.log"

# 1. Where it fires, and the two clips.
"$roadloop" replay $data/can.log.zst --rules tests/e2e/brake.yaml "${dbcs[@]}" --json \
    --out "$work/one" >"$work/one.json" 2>"$work/errors" || fail "$(cat "$work/errors")"
first=$(sed -n '1s/^(\([^)]*\)).*/\1/p' "$work/rav4.log")
fires=$(field fire t <"$work/one.json" | awk -v f="$first" '{ printf "%.2f ", $1 - f }')
[ "$fires" = "10.55 22.18 29.80 56.24 " ] || fail "fires at $fires"
[ "$(field end reason <"$work/one.json" | tail -1)" = input_end ] || fail "the last event's reason"
[ "$(field clip clip <"$work/one.json" | wc -l)" = 2 ] || fail "not two clips"
check_clips "$work/one.json" tests/e2e/brake.yaml "$work/rav4.log"

# 2. The same bytes again, and from every form of the same recording.
"$roadloop" convert "$work/rav4.log" "$work/rav4.rlc"
"$roadloop" convert "$work/rav4.log" "$work/rav4.jsonl"
for from in "$work/rav4.log" "$work/rav4.rlc" "$work/rav4.jsonl"; do
    rm -rf "$work/two"
    "$roadloop" replay "$from" --rules tests/e2e/brake.yaml "${dbcs[@]}" --out "$work/two" \
        >/dev/null 2>&1
    diff <(sums "$work/one") <(sums "$work/two") || fail "$from: other bytes"
done

# 3. A pack of many rules: clips that join, overlap, begin earlier, continue; two segments.
for pack in tests/e2e/many.yaml config/packs/rav4.yaml; do
    rm -rf "$work/many"
    "$roadloop" replay $data/can.log.zst --rules $pack "${dbcs[@]}" --json --out "$work/many" \
        >"$work/many.json" 2>"$work/errors" || fail "$(cat "$work/errors")"
    check_clips "$work/many.json" $pack "$work/rav4.log"
    for clip in "$work"/many/*-0.rlc; do # those of two segments too
        "$roadloop" replay "$clip" --rules $pack "${dbcs[@]}" >/dev/null 2>"$work/errors" ||
            fail "$clip: $(tail -1 "$work/errors")"
    done
done

# 4. At its own speed: three seconds of the drive.
awk -v f="$first" '{ t = substr($1, 2) - f } t >= 9.5 && t < 12.5' "$work/rav4.log" >"$work/short.log"
for speed in 1 max; do
    "$roadloop" replay "$work/short.log" --rules tests/e2e/brake.yaml "${dbcs[@]}" --speed $speed \
        --out "$work/speed$speed" >/dev/null 2>&1
done
diff <(sums "$work/speed1") <(sums "$work/speedmax") || fail "the speed changes bytes"

# 5. Two logs are merged by stamp: one bus each, the same events.
grep ' can0 ' "$work/rav4.log" >"$work/can0.log"
grep ' can1 ' "$work/rav4.log" >"$work/can1.log"
"$roadloop" replay "$work/can0.log" "$work/can1.log" --rules tests/e2e/brake.yaml "${dbcs[@]}" \
    --json 2>/dev/null | field fire t | cmp - <(field fire t <"$work/one.json") || fail "merge"

# 6. A clip of another pack or database is refused, with both hashes.
clip=$(field clip path <"$work/one.json" | sed -n 1p)
refused() { # TEXT ARGUMENTS...
    local text=$1 rc=0; shift
    "$roadloop" replay "$@" >/dev/null 2>"$work/errors" || rc=$?
    [ $rc = 2 ] || fail "exit status $rc, not 2: $*"
    grep -q "$text" "$work/errors" || fail "no '$text' in: $(cat "$work/errors")"
}
refused "made with rules [0-9a-f]\{64\}, but [0-9a-f]\{64\}" "$clip" --rules tests/e2e/many.yaml "${dbcs[@]}"
refused "give its pack with --rules" "$clip"
refused "give it with --dbc" "$clip" --rules tests/e2e/brake.yaml --dbc "can0=$data/toyota_nodsu_pt_generated.dbc"
refused "database toyota_adas.dbc [0-9a-f]\{64\}, but" "$clip" --rules tests/e2e/brake.yaml \
    --dbc "can0=$data/toyota_nodsu_pt_generated.dbc" --dbc "can1=$data/toyota_nodsu_pt_generated.dbc"
refused "cannot be opened\|No such file" "$work/none.log"
refused "needs a recording" --json
refused "cannot take --sped" "$work/rav4.log" --sped 1
refused "no codec" "$work/rav4.log" --codec zip
refused "unknown signal\|unknown message\|no signal\|no message" "$work/rav4.log" --rules tests/e2e/brake.yaml

# 7. As .mcap a clip brings its databases, and fires the same.
"$roadloop" convert "$clip" "$work/clip.mcap" "${dbcs[@]}"
"$roadloop" replay "$work/clip.mcap" --rules tests/e2e/brake.yaml --json 2>"$work/errors" |
    field fire step >"$work/steps" || fail "$(cat "$work/errors")"
"$roadloop" replay "$clip" --rules tests/e2e/brake.yaml "${dbcs[@]}" --json 2>/dev/null |
    field fire step | cmp - "$work/steps" || fail ".mcap fires otherwise"
# 8. check says yes, no, and bad input.
"$roadloop" check config/packs/rav4.yaml "${dbcs[@]}" >"$work/check"
grep -q "^rav4/brake .* yes$" "$work/check" || fail "check: $(cat "$work/check")"
rc=0; "$roadloop" check tests/e2e/many.yaml --json >"$work/check" || rc=$?
[ $rc = 1 ] || fail "check: exit status $rc for a pack without its database"
grep -q '"item":"error","code":"E202".*"line":5,"column":18' "$work/check" || fail "check --json"
rc=0; "$roadloop" check "$work/none.yaml" 2>"$work/errors" || rc=$?
[ $rc = 2 ] || fail "check: exit status $rc for a missing file"
echo "replay.sh: fires $fires"
