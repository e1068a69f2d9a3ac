"""The OpenMetrics text of a daemon that has played a drive, read by prometheus-client's parser, and
its books: every family of docs/METRICS.md is there, no value is negative, the equations close."""
import os
import re
import subprocess
import sys
import tempfile

from prometheus_client.openmetrics.parser import text_string_to_metric_families

BIN = os.environ.get('B', 'build/release')
DATA = os.path.abspath('tests/data/rav4')
CONFIG = """vehicle: oracle
recording: {{path: can.log}}
databases: ["can0={data}/toyota_nodsu_pt_generated.dbc"]
packs: [pack.yaml]
store: {{path: state}}
control: {{socket: c.sock}}
metrics: {{file: m.prom, every: 1s}}
"""
PACK = """format: 1
package: oracle
version: 1.0.0
signals:
  brake: {from: "can0:VSC1S07.BRKON", max_age: 1s}
rules:
  - {name: brake, when: "brake == 1", priority: 5, clip: {pre: 2s, post: 2s}}
  - {name: rarely, when: "brake == 1", priority: 5, cooldown: 30s, clip: {pre: 2s, post: 2s}}
"""


def play(folder):
    subprocess.run(['zstd', '-dqf', DATA + '/can.log.zst', '-o', folder + '/can.log'], check=True)
    os.mkdir(folder + '/state')
    with open(folder + '/c.yaml', 'w') as file:
        file.write(CONFIG.format(data=DATA))
    with open(folder + '/pack.yaml', 'w') as file:
        file.write(PACK)
    subprocess.run([BIN + '/roadloopd', '--config', folder + '/c.yaml', '--once'], check=True,
                   stderr=subprocess.DEVNULL)
    with open(folder + '/m.prom') as file:
        return file.read()


def main():
    with tempfile.TemporaryDirectory() as folder:
        text = play(folder)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {}
    for family in families.values():
        assert family.documentation and family.type in ('counter', 'gauge'), family.name
        for sample in family.samples:
            assert sample.value >= 0, sample
            values[family.name] = values.get(family.name, 0) + sample.value
    with open('docs/METRICS.md') as file:
        documented = set(re.findall(r'^\| `(roadloop_\w+)` \|', file.read(), re.M))
    assert documented == set(families), documented ^ set(families)
    get = lambda name: values['roadloop_' + name]
    assert get('source_frames') == get('rows') == 98800
    assert get('events') == get('events_in_clips') + get('events_failed') + get('events_suppressed')
    assert get('events') >= 4 and get('events_suppressed') >= 1
    assert get('clips_opened') == get('clips_built') == get('outbox_sealed') == get('outbox_clips')
    print(f'{len(families)} metric families and {sum(len(f.samples) for f in families.values())} '
          f'samples read by prometheus-client; the books close')


if __name__ == '__main__':
    sys.exit(main())
