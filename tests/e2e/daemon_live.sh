#!/usr/bin/env bash
# Live, on the datagram stand-in for a bus: sent = received + dropped, a clip by rule and one by hand,
# `where` finds it, and SIGTERM ends it in time with all sealed.
. "$(dirname "$0")/daemon_lib.sh"

mkdir "$D/run"
pack 500ms 500ms >"$D/pack.yaml"
port=$((20000 + RANDOM % 20000))
cat >"$D/run.yaml" <<YAML
vehicle: test-live
sources: [{name: can0, datagram: "udp:127.0.0.1:$port", buffer: 1MiB}]
databases: ["can0=$DATA/toyota_nodsu_pt_generated.dbc"]
packs: [pack.yaml]
store: {path: run}
control: {socket: run.sock}
YAML
NOTIFY_SOCKET=$D/notify WATCHDOG_USEC=2000000 python3 - "$BIN/roadloopd" "$D" <<'PY' &
import os, socket, subprocess, sys
daemon, folder = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(folder + '/notify')
child = subprocess.Popen([daemon, '--config', folder + '/run.yaml'], stderr=open(folder + '/run.log', 'w'))
open(folder + '/pid', 'w').write(str(child.pid))
notify.settimeout(0.2)
said = []
while child.poll() is None:
    try:
        said.append(notify.recv(100).decode())
    except TimeoutError:
        pass
    except OSError:
        pass
open(folder + '/said', 'w').write(' '.join(said) + '\n')
sys.exit(child.returncode)
PY
runner=$!; pids+=($runner)
wait_for 10 "$BIN/roadloop" status --socket "$D/run.sock"
daemon=$(cat "$D/pid"); pids+=("$daemon")

python3 - "$port" "$D/drive/can.log" <<'PY'
import socket, struct, sys, time
to = ('127.0.0.1', int(sys.argv[1]))
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = 0
first = None
for line in open(sys.argv[2]):
    stamp, bus, frame = line.split()
    stamp = float(stamp[1:-1])
    first = stamp if first is None else first
    if bus != 'can0' or not 9.5 <= stamp - first <= 12.5:
        continue
    ident, data = frame.split('#')
    data = bytes.fromhex(data)
    out.sendto(struct.pack('=IB3x8s', int(ident, 16), len(data), data), to)
    sent += 1
    if sent % 20 == 0:
        time.sleep(0.01)
open(sys.argv[2] + '.sent', 'w').write(str(sent))
PY
sent=$(cat "$D/drive/can.log.sent")
whole() { [ $(($(status_of run sources 0 frames) + $(status_of run sources 0 dropped_kernel))) = "$sent" ]; }
wait_for 10 whole
"$BIN/roadloop" trigger --pre 2s --post 0s --note "by hand" --socket "$D/run.sock" >/dev/null || fail "trigger was refused"
sealed() { [ "$(status_of run clips sealed)" -ge 1 ]; }
wait_for 10 sealed
clip=$(find "$D/run/clips" -name '*-0.rlc' | head -n 1)
"$BIN/roadloop" where "$clip" --socket "$D/run.sock" | grep -q ' sealed: ' || fail "where does not know the clip"
"$BIN/roadloop" where 00112233445566778899aabbccddeeff --socket "$D/run.sock" 2>/dev/null && fail "where knows what is not there"
id=$(basename "$clip" -0.rlc)
{ "$BIN/roadloop" retry "$id" --socket "$D/run.sock" 2>&1 || true; } | grep -q 'is not parked' || fail "retry of a clip that is not parked"
{ "$BIN/roadloop" retry --all --socket "$D/run.sock" 2>&1 || true; } | grep -q 'no clip is parked' || fail "retry --all where none is parked"
"$BIN/roadloop" status --metrics --socket "$D/run.sock" | tail -n 1 | grep -q '^# EOF' || fail "no metrics"
begin=$(date +%s%N)
kill -TERM "$daemon"
wait $runner || fail "the daemon failed"
took_ms=$((($(date +%s%N) - begin) / 1000000))
[ $took_ms -le 4500 ] || fail "SIGTERM took $took_ms ms"
grep -q 'READY=1.*WATCHDOG=1.*STOPPING=1' "$D/said" || fail "sd_notify said: $(cat "$D/said")"
[ ! -e "$D/run.sock" ] || fail "the control socket was left behind"
echo "$sent frames sent and accounted for; $(find "$D/run/clips" -name '*.rlc' | wc -l) clips; stopped in $took_ms ms"
