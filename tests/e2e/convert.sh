#!/usr/bin/env bash
# Recordings go to every format and back without losing a byte; sizes of the columnar codec hold.
# With ROADLOOP_DATA=FOLDER every candump log below it is taken too, and its sizes are printed.
set -eu
cd "$(dirname "$0")/../.."
roadloop=${B:-build/release}/roadloop
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
fail() { echo "convert.sh: $*" >&2; exit 1; }
bytes() { stat -c %s "$1"; }

round_trip() { # LOG: candump text in the form that we write
    local log=$1 codec frames
    frames=$(wc -l <"$log")
    for codec in rows columnar; do
        "$roadloop" convert "$log" "$work/$codec.rlc" --codec $codec
        "$roadloop" convert "$work/$codec.rlc" "$work/back.log"
        cmp "$log" "$work/back.log" || fail "$log comes back changed through $codec"
        "$roadloop" inspect "$work/$codec.rlc" --verify >/dev/null || fail "$log: $codec: not whole"
        "$roadloop" convert "$log" "$work/again.rlc" --codec $codec
        cmp "$work/$codec.rlc" "$work/again.rlc" || fail "$log: two runs differ"
    done
    awk -v name="$(basename "$log")" -v n="$frames" -v r="$(bytes "$work/rows.rlc")" \
        -v c="$(bytes "$work/columnar.rlc")" -v z="$(zstd -3 -c "$log" | wc -c)" 'BEGIN {
        printf "%-45s %7d frames  candump+zstd-3 %6.3f  rows %6.3f  columnar %6.3f B/frame, %.2f times smaller than candump+zstd-3\n",
            name, n, z / n, r / n, c / n, z / c }'
}

zstd -dqf tests/data/rav4/can.log.zst -o "$work/rav4.log"
zstd -dqf tests/data/subaru/can.log.zst -o "$work/subaru.log"
round_trip "$work/subaru.log"
round_trip "$work/rav4.log"
size=$(bytes "$work/columnar.rlc"); frames=$(wc -l <"$work/rav4.log")
[ $((size * 10)) -le $((frames * 38)) ] || fail "RAV4: $size bytes for $frames frames is over 3.8"

# Text formats, packed or not, and pipes.
for name in a.jsonl a.csv a.jsonl.zst a.log.zst; do
    "$roadloop" convert "$work/rav4.log" "$work/$name"
    "$roadloop" convert "$work/$name" - --out candump | cmp - "$work/rav4.log" || fail "$name"
done
"$roadloop" convert - - --out rlc <"$work/rav4.log" | "$roadloop" convert - - --out candump |
    cmp - "$work/rav4.log" || fail "pipes"
"$roadloop" convert tests/data/rav4/can.log.zst "$work/packed.rlc"
cmp "$work/packed.rlc" "$work/columnar.rlc" || fail "a packed log gives another clip"

# A cut is the lines between two times, both ends included.
"$roadloop" convert "$work/rav4.log" "$work/cut.rlc" --start 46420 --end 46421.5
"$roadloop" convert "$work/cut.rlc" "$work/cut.log"
awk -F'[()]' '$2 >= 46420 && $2 <= 46421.5' "$work/rav4.log" | cmp - "$work/cut.log" || fail "cut"

# Torn anywhere in its last record or group: the groups before are there, --verify says no.
"$roadloop" inspect --json "$work/columnar.rlc" >"$work/whole.json"
python3 - "$work" "$roadloop" <<'PY' || fail "torn clips"
import json, subprocess, sys
work, roadloop = sys.argv[1:]
whole = json.load(open(work + "/whole.json"))
groups = whole["segments"][0]["records"]
data = open(work + "/columnar.rlc", "rb").read()
last = groups[-1]
for cut in list(range(last["offset"], len(data), 997)) + [len(data) - 1]:
    open(work + "/cut.rlc", "wb").write(data[:cut])
    got = subprocess.run([roadloop, "inspect", "--verify", "--json", work + "/cut.rlc"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    told = json.loads(got.stdout)
    full = cut >= last["offset"] + last["bytes"]
    want = sum(g["rows"] for g in (groups if full else groups[:-1]))
    if got.returncode != 1 or told["state"] != "torn" or told["frames"] != want:
        sys.exit(f"cut at {cut}: {got.returncode} {told['state']} {told['frames']} != {want}")
for at in range(0, len(data), 2999):
    bad = bytearray(data)
    bad[at] ^= 0x40
    open(work + "/cut.rlc", "wb").write(bad)
    got = subprocess.run([roadloop, "inspect", "--verify", work + "/cut.rlc"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if got.returncode == 0:
        sys.exit(f"byte {at} flipped and not found")
PY

# What is refused, and how the command ends.
! "$roadloop" convert "$work/rav4.log" "$work/x.foo" 2>"$work/err" || fail "unknown name taken"
grep -q 'say --out' "$work/err" || fail "no remedy named"
printf '(1.0) can0 123#00\nnoise\n' >"$work/bad.log"
"$roadloop" convert "$work/bad.log" "$work/x.rlc" 2>"$work/err"
grep -q '1 foreign skipped (first at line 2)' "$work/err" || fail "a skip is not reported"
! "$roadloop" convert "$work/bad.log" "$work/y.rlc" --strict 2>"$work/err" || fail "strict takes it"
grep -q 'bad.log:2:1: foreign line' "$work/err" || fail "strict does not name the place"
[ ! -e "$work/y.rlc" ] && [ ! -e "$work/y.rlc.part" ] || fail "a refused output is left behind"

if [ -n "${ROADLOOP_DATA:-}" ]; then
    while read -r log; do
        head -c 1 "$log" | grep -q '(' && round_trip "$log"
    done < <(find "$ROADLOOP_DATA" -name '*.log' | sort)
fi
echo "convert: all round trips are byte-identical"
