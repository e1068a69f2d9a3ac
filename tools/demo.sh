#!/usr/bin/env bash
# make demo: one minute of a real drive (Toyota RAV4, two buses) through the daemon, a broker and the
# sink, and a table of what came out. Everything it makes lies under build/demo.
set -eu
cd "$(dirname "$0")/.."
B=build/release R=$PWD/build/release/roadloop D=$PWD/build/demo
rm -rf "$D"; mkdir -p "$D/state" "$D/dataset"
pids=()
cleanup() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; }
trap cleanup EXIT
fail() { echo "demo: $1"; tail -n 20 "$D"/*.log 2>/dev/null; exit 1; }

zstd -dqf tests/data/rav4/can.log.zst -o "$D/can.log"
echo "1. a drive: $(wc -l <"$D/can.log") frames in 60 s on two buses, Toyota RAV4 2017 (tests/data/rav4/NOTICE)"

mkfifo "$D/broker.in"
if [ "${BROKER:-mock}" = kafka ]; then
    python3 tests/kafka/broker.py deps
    python3 tests/kafka/broker.py run <"$D/broker.in" >"$D/broker.out" 2>"$D/broker.log" &
else
    "$R" mock-broker --topic roadloop.demo.clip.v1:4 --topic roadloop.demo.receipt.v1:4 --topic roadloop.demo.artifact.v1:1 \
        --topic roadloop.demo.status.v1:4 --topic roadloop.demo.dataset.v1:4 --topic roadloop.demo.dlq.v1:4 \
        <"$D/broker.in" >"$D/broker.out" 2>"$D/broker.log" &
fi
pids+=($!)
exec 9>"$D/broker.in"
for _ in $(seq 600); do [ -s "$D/broker.out" ] && break; sleep 0.1; done
brokers=$(head -n 1 "$D/broker.out")
[ -n "$brokers" ] || fail "the broker did not start"
if [ "${BROKER:-mock}" = kafka ]; then
    "$R" topics create --bootstrap "$brokers" --env demo --partitions 4 >"$D/topics.log" || fail "the topics cannot be made"
    echo "2. Apache Kafka itself (one node, KRaft) at $brokers, its topics made by \`roadloop topics create\`"
else
    echo "2. an embedded broker (librdkafka's mock, a process of its own) at $brokers"
fi

"$R" sink run --bootstrap "$brokers" --env demo --dataset "$D/dataset" --cache "$D/sink.sqlite" --partitions 0-3 \
    >"$D/sink.log" 2>&1 &
pids+=($!)
echo "3. the sink, which writes build/demo/dataset"

cat >"$D/roadloop.yaml" <<YAML
vehicle: demo-rav4
recording:
  path: $D/can.log
  wall_start: "2018-08-02T08:34:47Z"
databases: [can0=$PWD/tests/data/rav4/toyota_nodsu_pt_generated.dbc, can1=$PWD/tests/data/rav4/toyota_adas.dbc]
packs: [$PWD/config/packs/rav4.yaml]
store:
  path: $D/state
upload:
  transport: kafka
  brokers: $brokers
  environment: demo
  artifacts: yes
control:
  socket: $D/control.sock
metrics:
  file: $D/roadloop.prom
YAML
echo "4. the daemon plays the drive through the rules of config/packs/rav4.yaml, seals clips, sends them, waits for receipts"
timeout 120 "$B/roadloopd" --config "$D/roadloop.yaml" --once >"$D/daemon.log" 2>&1 || fail "the daemon failed"
kill -TERM "${pids[1]}"; wait "${pids[1]}" || true

echo
python3 - "$D" "$R" <<'PY'
import glob, json, os, subprocess, sys
folder, roadloop = sys.argv[1:]
rows = []
for path in sorted(glob.glob(folder + '/dataset/date=*/vehicle=*/*.json')):
    with open(path) as f:
        clip = json.load(f)
    base = path[:-5]
    text = subprocess.run([roadloop, 'convert', base + '.rlc', '-', '--out', 'candump'], check=True, stdout=subprocess.PIPE).stdout
    packed = len(subprocess.run(['zstd', '-3', '-c'], input=text, check=True, stdout=subprocess.PIPE).stdout)
    raw = base + '.raw.mcap.tmp.mcap'
    subprocess.run([roadloop, 'convert', base + '.rlc', raw], check=True)
    mcap = os.path.getsize(raw); os.unlink(raw)
    frames = text.count(b'\n')
    rows.append((clip, os.path.getsize(base + '.rlc'), packed, mcap, frames, os.path.relpath(base + '.mcap')))
rows.sort(key=lambda row: row[0]['start'])
if not rows:
    sys.exit('demo: no clip reached the dataset')
print(f"{'rule':<28}{'time':<26}{'frames':>8}{'bytes':>9}{'candump+zstd':>18}{'indexed MCAP':>18}")
for clip, size, packed, mcap, frames, path in rows:
    rules = ' '.join(dict.fromkeys(e['rule'].split('/')[-1] for e in clip['events']))
    print(f"{rules[:27]:<28}{clip.get('wall_start', clip['start'])[:19]:<26}{frames:>8}{size:>9}"
          f"{packed:>10} ({packed / size:.1f}x){mcap:>10} ({mcap / size:.1f}x)")
    print('    ' + path)
total = [sum(r[i] for r in rows) for i in (1, 2, 3, 4)]
print(f"{len(rows)} clips, {total[3]} frames, {total[0]} bytes on the air = {total[0] / total[3]:.2f} B/frame; "
      f"candump+zstd -3 {total[1] / total[0]:.1f} times, the same frames as indexed MCAP with zstd {total[2] / total[0]:.1f} times as much")
first = rows[0][5]
print(f"""
What to do next
  open an .mcap above in Foxglove, Rerun or PlotJuggler
  {os.path.relpath(roadloop)} inspect --verify {first[:-5]}.rlc
  {os.path.relpath(roadloop)} replay {first}            # fires again what its manifest lists, with the pack and DBCs that it carries
  edit config/packs/rav4.yaml (docs/RULES.md) and run make demo again""")
PY
