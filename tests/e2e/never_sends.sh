#!/usr/bin/env bash
# The daemon never transmits on CAN (G5): the files that own the sockets of sources call no sending
# function, and no system call of a running daemon sends or writes on such a socket.
. "$(dirname "$0")/daemon_lib.sh"

for object in source_can source_dgram source_socket source_recording; do
    bad=$(nm -u "$BIN/daemon/$object.o" | grep -wE 'send|sendto|sendmsg|sendmmsg|write|writev|pwrite|pwritev|sendfile|splice|vmsplice|dprintf|io_uring_.*|syscall' || true)
    [ -z "$bad" ] || fail "daemon/$object.o calls $bad"
done
! nm "$BIN/roadloopd" | grep -q ' sender_' || fail "roadloopd contains tools/sender.c"
nm "$BIN/roadloop" | grep -q ' sender_' || fail "the name of the sender has changed: this test sees nothing"
command -v strace >/dev/null || { echo "strace is missing"; exit 77; }

mkdir "$D/run"
pack 1s 1s >"$D/pack.yaml"
port=$((20000 + RANDOM % 20000))
cat >"$D/run.yaml" <<YAML
vehicle: test-live
sources: [{name: can0, datagram: "udp:127.0.0.1:$port"}, {name: can1, can: nocan1}]
databases: ["can0=$DATA/toyota_nodsu_pt_generated.dbc"]
packs: [pack.yaml]
store: {path: run}
control: {socket: run.sock}
YAML
strace -f -o "$D/trace" -e trace=socket,bind,dup,dup2,dup3,send,sendto,sendmsg,sendmmsg,write,writev,sendfile,recvmmsg,close \
    "$BIN/roadloopd" --config "$D/run.yaml" 2>"$D/run.log" &
tracer=$!; pids+=($tracer)
wait_for 20 "$BIN/roadloop" status --json --socket "$D/run.sock"
python3 -c "
import socket, struct
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(500):
    out.sendto(struct.pack('=IB3x8s', i, 8, bytes(8)), ('127.0.0.1', $port))"
sleep 2
"$BIN/roadloop" trigger --socket "$D/run.sock" >/dev/null 2>&1 || true
kill -TERM "$(pgrep -P $tracer)"
wait $tracer || fail "the daemon failed under strace"
fd=$(grep -oE "bind\([0-9]+, \{sa_family=AF_INET" "$D/trace" | head -n 1 | grep -oE '[0-9]+' | head -n 1)
[ -n "$fd" ] || fail "the source's socket was not found in the trace"
received=$(grep -c "recvmmsg($fd," "$D/trace") || true
[ "$received" -gt 0 ] || fail "nothing was received on descriptor $fd"
sent=$(grep -E "(send|sendto|sendmsg|sendmmsg|write|writev|sendfile)\($fd," "$D/trace" || true)
[ -z "$sent" ] || fail "sent on the source's socket: $sent"
can=$(grep -E 'socket\((PF|AF)_CAN' "$D/trace" | grep -vE '= -1' || true)
[ -z "$can" ] || [ -z "$(grep -E "(send|write)[a-z]*\($(grep -oE '[0-9]+$' <<<"$can" | head -n 1)," "$D/trace")" ] || fail "sent on a CAN socket"
echo "no sending symbol in four objects; $received receives and no send on the source's descriptor"
