# Sourced by the e2e tests of the daemon: a folder, a cleanup, the RAV4 minute, a pack, waiting.
set -eu
cd "$(dirname "$0")/../.."
B=${B:-build/release}
BIN=$PWD/$B
DATA=$PWD/tests/data/rav4
D=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$D"
}
trap cleanup EXIT
fail() { echo "$1"; tail -n 15 "$D"/*.log 2>/dev/null || true; exit 1; }

mkdir "$D/drive"
zstd -dqf "$DATA/can.log.zst" -o "$D/drive/can.log"

# pack PRE POST: the brake rule
pack() {
    cat <<YAML
format: 1
package: test
version: 1.0.0
signals:
  brake: {from: "can0:VSC1S07.BRKON", max_age: 1s}
rules:
  - {name: brake, when: "brake == 1", priority: 8, clip: {pre: $1, post: $2}}
YAML
}

# config NAME RECORDING SPEED [MORE LINES]: a configuration with its own state folder
config() {
    mkdir -p "$D/$1"
    cat >"$D/$1.yaml" <<YAML
vehicle: test-rav4
recording: {path: "$2", speed: $3}
databases: ["can0=$DATA/toyota_nodsu_pt_generated.dbc", "can1=$DATA/toyota_adas.dbc"]
packs: [pack.yaml]
control: {socket: $1.sock}
metrics: {file: $1.prom, every: 1s}
${4:-store: {path: $1\}}
YAML
}

# books NAME...: G3 by what each daemon left in its metrics when it ended
books() { local name; for name in "$@"; do python3 tests/e2e/harness.py books "$D/$name.prom" || fail "$name: the books"; done; }

sums() { (cd "$1" && find . -name '*.rlc' | sort | xargs -r sha256sum); }

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

# number NAME KEY...: one number of the status
status_of() { "$BIN/roadloop" status --json --socket "$D/$1.sock" | python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key) if key.isdigit() else key]
print(value)' "${@:2}"; }
