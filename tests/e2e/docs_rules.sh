#!/usr/bin/env bash
# Every pack on the page docs/RULES.md loads, every word that it calls refused is refused by name, and its
# first rule fires when it says. B=build/<variant>.
set -eu
B=${B:-build/release}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
dbc=(--dbc can0=tests/data/rav4/toyota_nodsu_pt_generated.dbc --dbc can1=tests/data/rav4/toyota_adas.dbc)

# Blocks to files: pack-N.yaml and refused.txt.
awk -v dir="$work" '
    /^```yaml$/ { out = sprintf("%s/pack-%d.yaml", dir, ++n); next }
    /^```refused$/ { out = dir "/refused.txt"; next }
    /^```/ { out = ""; next }
    out { print > out }' docs/RULES.md

packs=0
for pack in "$work"/pack-*.yaml; do
    "$B/roadloop" check "$pack" "${dbc[@]}" >"$work/out" 2>&1 ||
        { echo "$(basename "$pack") does not load:"; cat "$work/out"; exit 1; }
    packs=$((packs + 1))
done
[ "$packs" -ge 5 ] || { echo "only $packs packs found in docs/RULES.md"; exit 1; }

refused=0
while IFS= read -r when; do
    cat >"$work/one.yaml" <<PACK
format: 1
package: one
signals:
  speed: {from: "can0:SPEED.SPEED", max_age: 1s}
  braking: {from: "can0:VSC1S07.BRKON", max_age: 1s}
rules:
- name: r
  when: "$when"
PACK
    if "$B/roadloop" check "$work/one.yaml" "${dbc[@]}" >"$work/out" 2>&1; then
        echo "loads, but is called refused: $when"; exit 1
    fi
    grep -q "one.yaml:8:[0-9]*: error E290: .* is in the rule language but not in this version" "$work/out" ||
        { echo "not refused by name: $when"; cat "$work/out"; exit 1; }
    refused=$((refused + 1))
done <"$work/refused.txt"

fires=$("$B/roadloop" replay tests/data/rav4/can.log.zst --rules "$work/pack-1.yaml" "${dbc[@]}" --json 2>/dev/null |
    grep -c '"event": *"fire"')
[ "$fires" = 4 ] || { echo "the first rule fires $fires times, not 4"; exit 1; }
echo "$packs packs load, $refused words refused by name, the first rule fires 4 times"
