#!/usr/bin/env bash
# roadloop test: the shipped pack's tests pass and kill its mutants, weaker tests do not, and what is wrong
# with a file of tests is said at its place. B=build/<variant>.
set -eu
B=${B:-build/release}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
fail() { echo "$1"; cat "$work/out"; exit 1; }
run() { # STATUS ARGUMENTS...
    local want=$1 got=0; shift
    "$B/roadloop" test "$@" >"$work/out" 2>&1 || got=$?
    [ $got = "$want" ] || fail "roadloop test $* ended with $got, not $want"
}

run 0 config/packs/rav4.test.yaml --mutate --junit "$work/junit.xml"
cases=$(grep -c '^ok ' "$work/out")
grep -q "^$cases passed, 0 failed" "$work/out" || fail "the count is wrong"
mutants=$(sed -n 's/^\([0-9]*\) of \1 mutants killed (100 %)$/\1/p' "$work/out")
[ "${mutants:-0}" -ge 25 ] || fail "mutants of the shipped pack survive, or too few were made"
python3 - "$work/junit.xml" "$cases" <<'PY' || fail "the JUnit file is wrong"
import sys, xml.etree.ElementTree as tree
cases = tree.parse(sys.argv[1]).getroot().findall('testcase')
assert len(cases) == int(sys.argv[2]) and not any(len(c) for c in cases)
PY

# A small pack of its own: what its tests miss survives, and a wrong expectation fails at its place.
dbc=$PWD/tests/data/rav4/toyota_nodsu_pt_generated.dbc
cat >"$work/p.yaml" <<'PACK'
format: 1
package: p
signals: {speed: {from: "can0:SPEED.SPEED", max_age: 100ms}}
rules: [{name: fast, when: "speed > 50 km/h and speed < 90 km/h", for: 100ms, attach: {v: speed}}]
PACK
cat >"$work/t.yaml" <<TESTS
format: 1
packs: [p.yaml]
dbc: ["can0=$dbc"]
tests:
  - name: one
    rule: p/fast
    input: [{signal: speed, every: 50ms, values: "40x9 70x20"}]
    expect: {fires: [{at: 600ms, attach: {v: 70 km/h}}]}
TESTS
run 1 "$work/t.yaml" --mutate
grep -q "survives .*p.yaml:4:37: '50' becomes '55'" "$work/out" || fail "a mutant that nothing notices is not listed"
grep -q "^[0-9]* of [0-9]* mutants killed" "$work/out" || fail "no count of mutants"

expect() { # TEXT-IN-THE-ANSWER STATUS SED-SCRIPT
    sed "$3" "$work/t.yaml" >"$work/u.yaml"
    run "$2" "$work/u.yaml"
    grep -qF -- "$1" "$work/out" || fail "expected '$1' of: $3"
}
expect "u.yaml:8:27: the fire at 700ms expected, got 0.6 s" 1 's/at: 600ms/at: 700ms/'
expect "v: 71 km/h expected, got 70 km/h" 1 's/v: 70/v: 71/'
expect "v: 70 m/s expected, got 70 km/h" 1 's/70 km.h}/70 m\/s}/'
expect "a fire at 0.6 s was not expected" 1 's/fires: .*/fires: []}/'
expect "expected a fire that did not come" 1 's/km.h}}\]/km\/h}}, {at: 3s}]/'
expect "2 fires expected, got 1" 1 's/fires: .*/count: 2}/'
expect "p/fast fired" 1 's/expect: .*/never: [p\/fast]/'
expect "u.yaml:7:22: no pack of this test names such a signal; did you mean 'speed'?" 2 's/signal: speed/signal: spee/'
expect "u.yaml:7:56: expected a number, 'LABEL'" 2 's/70x20/seventy/'
expect "700 does not fit into SPEED" 2 's/70x20/700/'
expect "no label of this signal means invalid" 2 's/70x20/unk/'
expect "did you mean 'expect'?" 2 's/expect:/expct:/'
expect "it could not fail" 2 '/expect:/d'
expect "did you mean 'p/fast'?" 2 's/rule: p.fast/rule: p\/fats/'
expect "needs 'input' or 'log'" 2 '/input:/d'
expect "derived from too many others, or from itself" 2 's/rule: p.fast/base: one/'
expect "no such test" 2 's/rule: p.fast/base: two/'
expect "needs \`every\` and \`values\`" 2 's/every: 50ms, //'
expect "u.yaml:1:9: a file of tests begins with 'format: 1'" 2 's/format: 1/format: 2/'
expect "p2.yaml" 2 's/p.yaml/p2.yaml/'
sed -i 's/speed > 50/spee > 50/' "$work/p.yaml"
run 2 "$work/t.yaml"
grep -q "p.yaml:4:29: error E201" "$work/out" || fail "a wrong pack is not told at its place"
echo "$cases cases of config/packs, $mutants mutants killed, 20 wrong files told at their place"
