#!/usr/bin/env bash
# doctor finds planted faults and names a remedy for each; on a good set-up it finds none.
. "$(dirname "$0")/daemon_lib.sh"

found=0
expect() { # CHECK TEXT REMEDY, in $D/said
    python3 - "$D/said" "$@" <<'PY' || fail "not found: $*"
import json, sys
path, check, text, remedy = sys.argv[1:]
for line in open(path):
    finding = json.loads(line)
    if finding['check'] == check and text in finding['text'] and remedy in finding['remedy'] and finding['level'] != 'good':
        sys.exit(0)
sys.exit(1)
PY
    found=$((found + 1))
}
doctor() { # as nobody where we are root: root is not bound by rmem_max nor by file modes
    local as=()
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    "${as[@]}" "$BIN/roadloop" doctor --json --config "$1" >"$D/said" 2>&1
}
chmod 755 "$D"

# 1: a configuration error.
printf 'vehicle: x\nring: {bites: 1MiB}\n' >"$D/bad.yaml"
doctor "$D/bad.yaml" && fail "doctor says that a bad configuration is good"
expect config "bad.yaml:2:8: unknown key 'bites' in ring; did you mean 'bytes'?" "correct that place"

# 2 to 10: everything else at once.
pack 1s 1s >"$D/pack.yaml"
cat >"$D/faults.yaml" <<YAML
vehicle: test
sources: [{name: can0, can: nocan9, buffer: 64MiB}]
databases: ["can0=$DATA/nothere.dbc"]
packs: [pack.yaml]
ring: {bytes: 64MiB}
store: {path: $D/nostate, quota: 1024GiB}
upload: {transport: kafka, brokers: "127.0.0.1:1"}
control: {socket: $D/nosocket, group: nosuchgroup}
YAML
doctor "$D/faults.yaml" && fail "doctor finds nothing wrong"
expect rules "nothere.dbc" "put the file there"
expect sources "there is no interface 'nocan9'" "ip -details link show type can"
expect buffers "net.core.rmem_max clips it" "sysctl"
expect state "is not there" "install -d"
expect broker "no broker of 127.0.0.1:1 answers" "upload.brokers"
expect control "there is no group 'nosuchgroup'" "groupadd"
expect memory "MiB planned, the budget is 64 MiB" "lower ring.bytes"
expect daemon "no daemon runs there" "systemctl start roadloopd"

# 11, 12: a folder that cannot be written, a quota larger than its disk, the wrong DBC.
mkdir "$D/locked"; chmod 555 "$D/locked"
sed -e "s|store:.*|store: {path: $D/locked, quota: 64MiB}|" -e "s|can0=.*\"|can0=$DATA/toyota_adas.dbc\"|" "$D/faults.yaml" >"$D/more.yaml"
doctor "$D/more.yaml" && fail "doctor finds nothing wrong"
expect state "cannot be written" "chown roadloop"
expect rules "VSC1S07" "DBC of another vehicle line"
mkdir "$D/open"; chmod 777 "$D/open"
sed "s|store:.*|store: {path: $D/open, quota: 1024GiB}|" "$D/faults.yaml" >"$D/disk.yaml"
doctor "$D/disk.yaml" && fail "doctor finds nothing wrong"
expect disk "but the disk has" "lower store.quota"

# 13: a running daemon whose database is no longer the one on disk; and before that, all is well.
cp "$DATA/toyota_nodsu_pt_generated.dbc" "$D/a.dbc"
pack 1s 1s >"$D/pack.yaml"
mkdir "$D/run"
cat >"$D/run.yaml" <<YAML
vehicle: test
sources: [{name: can0, datagram: "unix:$D/bus", buffer: 64KiB}]
databases: ["can0=$D/a.dbc"]
packs: [pack.yaml]
store: {path: $D/run, quota: 1MiB}
control: {socket: $D/run.sock}
YAML
"$BIN/roadloopd" --config "$D/run.yaml" 2>"$D/run.log" &
pids+=($!)
wait_for 10 "$BIN/roadloop" status --json --socket "$D/run.sock"
"$BIN/roadloop" doctor --json --config "$D/run.yaml" >"$D/said" || fail "doctor finds faults in a good set-up: $(grep -v good "$D/said")"
"$BIN/roadloop" doctor --config "$D/run.yaml" | grep -q '  sum .*MiB of 64' || fail "no memory table"
sed -i '1s/^/\n/' "$D/a.dbc"
"$BIN/roadloop" doctor --json --config "$D/run.yaml" >"$D/said" && fail "doctor does not see the other database"
expect hashes "are not those that the daemon runs with" "systemctl reload"
echo "$found planted faults found, each with its remedy; a good set-up has none"
