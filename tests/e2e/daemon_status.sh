#!/usr/bin/env bash
# A car's status.v1 reaches the sink over Kafka, of a car without any clip; SIGTERM ends it in time.
. "$(dirname "$0")/daemon_lib.sh"

mkfifo "$D/commands"
"$BIN/roadloop" mock-broker --topic roadloop.test.clip.v1:1 --topic roadloop.test.receipt.v1:1 --topic roadloop.test.artifact.v1:1 \
    --topic roadloop.test.status.v1:1 --topic roadloop.test.dataset.v1:1 --topic roadloop.test.dlq.v1:1 \
    <"$D/commands" >"$D/broker" & pids+=($!)
exec 9>"$D/commands"
wait_for 10 test -s "$D/broker"
bootstrap=$(head -n 1 "$D/broker")

mkdir "$D/run" "$D/dataset"
pack 500ms 500ms >"$D/pack.yaml"
cat >"$D/run.yaml" <<YAML
vehicle: test-status
sources: [{name: can0, datagram: "udp:127.0.0.1:$((20000 + RANDOM % 20000))", buffer: 1MiB}]
databases: ["can0=$DATA/toyota_nodsu_pt_generated.dbc"]
packs: [pack.yaml]
store: {path: run}
control: {socket: run.sock}
upload: {transport: kafka, brokers: "$bootstrap", environment: test}
YAML
"$BIN/roadloopd" --config "$D/run.yaml" 2>"$D/run.log" & daemon=$!; pids+=($daemon)
"$BIN/roadloop" sink run --bootstrap "$bootstrap" --env test --dataset "$D/dataset" >"$D/sink.log" 2>&1 & pids+=($!)
stored() { ls "$D"/dataset/status/vehicle=test-status/*.json; }
wait_for 20 stored
session=$(status_of run session)
python3 - "$D/dataset/status/vehicle=test-status/$session.json" <<'PY' || fail "the status is not that of the session"
import json, sys
value = json.load(open(sys.argv[1]))
assert value['vehicle'] == 'test-status' and value['generation'] == 0 and len(value['clocks']) == 1, value
PY
begin=$(date +%s%N)
kill -TERM $daemon
wait $daemon || fail "exit status $?"
took_ms=$((($(date +%s%N) - begin) / 1000000))
[ $took_ms -lt 4000 ] || fail "it took $took_ms ms to stop"
echo "status of session $session is in the dataset; stopped in $took_ms ms"
