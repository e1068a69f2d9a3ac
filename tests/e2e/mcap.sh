#!/usr/bin/env bash
# Recordings go to .mcap and back without losing a byte, two runs give the same file, and a clip is
# replayed from its .mcap alone: pack and databases come out of it, and it fires what it lists.
# With ROADLOOP_DATA=FOLDER every candump log below it is taken too, and sizes are printed.
set -eu
cd "$(dirname "$0")/../.."
roadloop=${B:-build/release}/roadloop
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
fail() { echo "mcap.sh: $*" >&2; exit 1; }
data=tests/data/rav4
dbcs=(--dbc "can0=$data/toyota_nodsu_pt_generated.dbc" --dbc "can1=$data/toyota_adas.dbc")

round_trip() { # LOG: candump text in the form that we write
    local log=$1
    "$roadloop" convert "$log" "$work/a.mcap"
    "$roadloop" convert "$work/a.mcap" "$work/back.log"
    cmp "$log" "$work/back.log" || fail "$log comes back changed"
    "$roadloop" convert "$log" "$work/a.rlc"
    "$roadloop" convert "$work/a.mcap" "$work/b.rlc"
    cmp "$work/a.rlc" "$work/b.rlc" || fail "$log: another clip by way of .mcap"
    awk -v name="$(basename "$log")" -v n="$(wc -l <"$log")" -v m="$(stat -c %s "$work/a.mcap")" \
        'BEGIN { printf "%-45s %7d frames  raw .mcap %5.1f B/frame\n", name, n, m / n }'
}

zstd -dqf $data/can.log.zst -o "$work/rav4.log"
round_trip "$work/rav4.log"
if [ -n "${ROADLOOP_DATA:-}" ]; then
    while read -r log; do
        "$roadloop" convert "$log" "$work/plain.log" 2>/dev/null && cmp -s "$log" "$work/plain.log" &&
            round_trip "$log"
    done < <(grep -lrE '^\([0-9.]+\) [a-z0-9]+ [0-9A-F]+#' --include='*.log' "$ROADLOOP_DATA")
fi

"$roadloop" convert "$work/rav4.log" "$work/one.mcap" "${dbcs[@]}"
"$roadloop" convert "$work/rav4.log" "$work/two.mcap" "${dbcs[@]}"
cmp "$work/one.mcap" "$work/two.mcap" || fail "two runs differ"
"$roadloop" convert "$work/one.mcap" - --out candump | cmp - "$work/rav4.log" || fail "decoded"

count=0
for pack in tests/e2e/brake.yaml config/packs/rav4.yaml; do
    rm -rf "$work/clips"
    "$roadloop" replay $data/can.log.zst --rules $pack "${dbcs[@]}" --out "$work/clips" \
        --wall-start 2018-07-29T12:00:00Z >/dev/null 2>"$work/errors" ||
        fail "$(tail -1 "$work/errors")"
    for clip in "$work"/clips/*-0.rlc; do
        "$roadloop" convert "$clip" "$work/clip.mcap" "${dbcs[@]}" --rules $pack
        "$roadloop" replay "$work/clip.mcap" --json >"$work/mcap.json" 2>"$work/errors" ||
            fail "$clip from its .mcap: $(tail -1 "$work/errors")"
        "$roadloop" replay "$clip" --rules $pack "${dbcs[@]}" --json >"$work/rlc.json" \
            2>"$work/errors" || fail "$clip: $(tail -1 "$work/errors")"
        grep -q '"fire"' "$work/mcap.json" || fail "$clip fires nothing"
        cmp "$work/rlc.json" "$work/mcap.json" || fail "$clip and its .mcap fire differently"
        "$roadloop" convert "$clip" "$work/a.log"
        "$roadloop" convert "$work/clip.mcap" "$work/b.log"
        cmp "$work/a.log" "$work/b.log" || fail "$clip: other frames"
        "$roadloop" convert "$work/clip.mcap" "$work/again.mcap"
        cmp "$work/clip.mcap" "$work/again.mcap" || fail "$clip: its .mcap copied is another"
        count=$((count + 1))
    done
done
[ $count -ge 5 ] || fail "only $count clips"

# Broken files end the command with words and leave nothing behind.
head -c 200000 "$work/one.mcap" >"$work/torn.mcap"
! "$roadloop" convert "$work/torn.mcap" "$work/x.log" 2>"$work/errors" || fail "a torn file taken"
grep -q 'no Footer at the end: the file is cut off' "$work/errors" || fail "$(cat "$work/errors")"
[ ! -e "$work/x.log" ] && [ ! -e "$work/x.log.part" ] || fail "a file of a failed convert"
echo "$count clips replay from their .mcap alone; the RAV4 minute comes back byte for byte"
