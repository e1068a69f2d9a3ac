#!/usr/bin/env bash
# A quota of 1 MiB: the least important clips go first, each with a row; the books close.
. "$(dirname "$0")/daemon_lib.sh"

cat >"$D/pack.yaml" <<YAML
format: 1
package: test
version: 1.0.0
signals:
  brake: {from: "can0:VSC1S07.BRKON", max_age: 1s}
rules:
  - {name: brake, when: "brake == 1", priority: 8, max_active: 1s, clip: {pre: 1s, post: 0s, merge: false}}
  - {name: often, when: "brake == 0", trigger: level, max_active: 2s, cooldown: 1s, limits: {per_hour: 1000}, priority: 1, clip: {pre: 3s, post: 3s, merge: false}}
YAML
config run "$D/drive/can.log" max "codec: rows
store: {path: run, quota: 1MiB}"
"$BIN/roadloopd" --config "$D/run.yaml" --once 2>"$D/run.log" || fail "the daemon failed"
books run
python3 - "$D/run" <<'PY' || fail "the books do not close"
import os, sqlite3, sys
folder = sys.argv[1]
db = sqlite3.connect(f'file:{folder}/outbox.db?mode=ro', uri=True)
rows = db.execute('select state, rule, hex(clip_id) from clip').fetchall()
files = {name.split('-')[0].upper() for name in os.listdir(folder + '/clips')}
disk = sum(os.path.getsize(f'{folder}/clips/{name}') for name in os.listdir(folder + '/clips'))
evicted = [row for row in rows if row[0] == 7]
kept = [row for row in rows if row[0] != 7]
assert disk <= 1 << 20, f'{disk} bytes on disk'
assert len(evicted) >= 3, f'only {len(evicted)} were evicted'
assert all(row[2] not in files for row in evicted), 'an evicted clip is still there'
assert all(row[2] in files for row in kept), 'a kept clip has no file'
assert all(row[1] == 'test/often' for row in evicted), 'an important clip was evicted'
assert any(row[1] == 'test/brake' for row in kept), 'no important clip is there'
print(f'{len(rows)} clips sealed, {len(evicted)} evicted by priority, each with a row; {disk} bytes on disk')
PY
