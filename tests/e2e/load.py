#!/usr/bin/env python3
"""A fleet against Kafka itself and two sinks in one group.

LOAD_SECONDS (120) of LOAD_VEHICLES (2000) vehicles with LOAD_RATE (1) clips a minute each, ten to a connection: the
sinks keep up (their lag at the end is not above that at the end of the first fifth, or within what commits once a second
leave), the books close for every vehicle,
and the dataset holds of each what its books say. Then what a sink costs: the same topic read by one sink, by two, and
by kcat into a file. `make load-test` runs it for 10 minutes."""
import collections
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from harness import BUSY, DBCS, ENV, RAV4, ROADLOOP, TOPICS, KafkaBroker, check, run, until

SECONDS = int(os.environ.get('LOAD_SECONDS', '120'))
VEHICLES = int(os.environ.get('LOAD_VEHICLES', '2000'))
RATE = float(os.environ.get('LOAD_RATE', '1'))
COST_CLIPS = int(os.environ.get('LOAD_COST_CLIPS', '400'))
COST = 'cost'           # environment of the second part: a topic that nobody has read
TWO_TO_ONE = 1.15      # CPU of two sinks for the same bytes, at most
LOOK_S, MARK_S = 3, 24  # lag is looked at so often; a mark is what was seen in so long
PER_CONNECTION = 10
# Seconds of messages that are behind although nobody waits: commits come once a second, and a clip that is being sent
# holds the offset of its first chunk.
COMMIT_S = 3
SHORT = '''format: 1
package: short
version: 1.0.0
signals:
  brake: {from: "can0:VSC1S07.BRKON", max_age: 500ms}
rules:
  - {name: brake, when: "brake == 1", max_active: 500ms, priority: 5, clip: {pre: 500ms, post: 500ms}}
'''


class Load:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='roadloop-load-')
        self.log = self.path('can.log')
        run('zstd', '-dqf', f'{RAV4}/can.log.zst', '-o', self.log)
        with open(self.path('short.yaml'), 'w') as f:
            f.write(SHORT)
        self.artifacts = self.path('artifacts')
        shutil.copytree(RAV4, self.artifacts)
        for pack in (BUSY, self.path('short.yaml')):
            shutil.copy(pack, self.artifacts)
        self.broker = KafkaBroker(heap='512m')
        self.processes = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *command, **more):
        self.processes.append(subprocess.Popen(command, **more))
        return self.processes[-1]

    def sink(self, number, group, dataset, env=ENV):
        return self.start(ROADLOOP, 'sink', 'run', '--bootstrap', self.broker.bootstrap, '--env', env, '--group', group,
                          '--dataset', self.path(dataset), '--cache', self.path(f'{group}{number}.cache'), '--artifacts', self.artifacts,
                          '--kafka', 'session.timeout.ms=10000', stderr=open(self.path('sink.log'), 'ab'))

    def status(self, group, env=ENV):
        done = run(ROADLOOP, 'sink', 'status', '--bootstrap', self.broker.bootstrap, '--env', env, '--group', group, '--json', ok=(0, 1))
        return json.loads(done.stdout)

    def simulate(self, pack, *more, env=ENV):
        command = [ROADLOOP, 'simulate', self.log, '--rules', pack, '--bootstrap', self.broker.bootstrap, '--env', env, '--json',
                   '--per-connection', str(PER_CONNECTION), *more]
        for dbc in DBCS:
            command += ['--dbc', dbc]
        return self.start(*command, stdout=open(self.path('books'), 'wb'), stderr=open(self.path('simulate.log'), 'wb'))

    def books(self):
        """{vehicle: line}, and the sum."""
        with open(self.path('books')) as f:
            lines = {line['vehicle']: line for line in map(json.loads, f)}
        return lines, lines.pop('all')

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.broker.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def connections(pid, ports):
    """Established TCP connections of a process to one of these ports."""
    inodes = set()
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            inodes.add(os.readlink(f'/proc/{pid}/fd/{fd}'))
        except OSError:
            pass
    with open('/proc/net/tcp') as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return sum(row[3] == '01' and int(row[2].split(':')[1], 16) in ports and f'socket:[{row[9]}]' in inodes for row in rows)


def stopped(process):
    """Ends it and returns its CPU seconds."""
    process.terminate()
    status, usage = os.wait4(process.pid, 0)[1:]
    process.returncode = os.waitstatus_to_exitcode(status)
    check(process.returncode == 0, f'a sink ended with {process.returncode}')
    return usage.ru_utime + usage.ru_stime


def tail(path):
    with open(path, errors='replace') as f:
        return ''.join(f.readlines()[-5:])


def mark(samples, seconds):
    """(least, median) lag of the last MARK_S before that moment. The least is what was never worked off in that time;
    the median also has what was under way."""
    seen = [lag for at, lag in samples if seconds - MARK_S <= at <= seconds] or [samples[-1][1]]
    return min(seen), statistics.median(seen)


def fleet(load):
    """The load itself. Returns what is to be said of it."""
    sinks = [load.sink(n, 'fleet', 'dataset') for n in range(2)]
    until(lambda: len(os.listdir(load.path('dataset'))) > 0 if os.path.isdir(load.path('dataset')) else False, 30, 'the sinks are up')
    car = load.simulate(load.path('short.yaml'), '--vehicles', str(VEHICLES), '--rate', str(RATE), '--duration', str(SECONDS))
    until(lambda: 'vehicles make' in tail(load.path('simulate.log')) or car.poll() is not None, 120, 'the fleet is there')
    port = int(load.broker.bootstrap.rsplit(':', 1)[1])
    start, samples, most, rss, messages = time.monotonic(), [], 0, 0, 0
    while time.monotonic() - start < SECONDS:
        time.sleep(LOOK_S)
        check(car.poll() is None, 'simulate ended early:\n' + tail(load.path('simulate.log')))
        status = load.status('fleet')
        samples.append((time.monotonic() - start, status['lag']))
        messages = sum(p['end'] for p in status['partitions'])
        most = max(most, connections(car.pid, {port}))
        with open(f'/proc/{car.pid}/status') as f:
            rss = int(next(line for line in f if line.startswith('VmHWM')).split()[1]) // 1024
    check(car.wait(timeout=200) == 0, 'the books of the fleet:\n' + tail(load.path('simulate.log')))
    books, whole = load.books()
    check(all(line['close'] and line['pending'] == 0 for line in books.values()) and len(books) == VEHICLES, f'the books: {whole}')
    until(lambda: load.status('fleet')['lag'] == 0, 60, 'the sinks have read all')
    cpu = [stopped(sink) for sink in sinks]
    found = collections.Counter(os.path.basename(path) for path, _, names in os.walk(load.path('dataset')) for name in names
                                if name.endswith('.json') and '/date=' in path)
    check(found == {f'vehicle={name}': line['stored'] for name, line in books.items() if line['stored']}, 'dataset and books differ')
    (early, early_median), (late, late_median) = mark(samples, SECONDS / 5), mark(samples, SECONDS)
    allowed = max(early, COMMIT_S * messages / SECONDS)
    check(late <= allowed, f'lag grows: {early} messages after {SECONDS / 5:.0f} s, {late} after {SECONDS} s: {samples}')
    check(most >= VEHICLES // PER_CONNECTION, f'{most} connections')
    check(whole['stored'] > 0 and min(cpu) > 0.1 * max(cpu), f'the sinks did not share: {cpu}')
    shutil.rmtree(load.path('dataset'))
    return (f'{VEHICLES} vehicles, {most} connections, {whole["made"]} clips of {whole["sent_bytes"] / whole["made"] / 1000:.1f} kB in {SECONDS} s: '
            f'all stored, every book closes; lag {early} messages (median {early_median:.0f}) after {SECONDS / 5:.0f} s, {late} ({late_median:.0f}) '
            f'after {SECONDS} s of {messages / SECONDS:.0f} a second; '
            f'CPU of the sinks {cpu[0]:.0f} + {cpu[1]:.0f} s, simulate {rss} MiB')


def cost_of(load, count):
    """CPU seconds and wall seconds of so many fresh sinks that read the whole topic."""
    group, start = f'cost{count}', time.monotonic()
    sinks = [load.sink(n, group, f'dataset-{group}', COST) for n in range(count)]
    until(lambda: all(p['committed'] == p['end'] or p['end'] == 0 for p in load.status(group, COST)['partitions']), 300, 'the topic is read')
    wall = time.monotonic() - start
    cpu = [stopped(sink) for sink in sinks]
    clips = sum(name.endswith('.json') for path, _, names in os.walk(load.path(f'dataset-{group}')) for name in names if '/date=' in path)
    check(clips == COST_CLIPS, f'{clips} clips for {COST_CLIPS}')
    shutil.rmtree(load.path(f'dataset-{group}'))
    return sum(cpu), wall


def cost(load):
    load.broker.admin('create', *(f'roadloop.{COST}.{name}.v1:{partitions}' for name, partitions in TOPICS.items()))
    car = load.simulate(BUSY, '--vehicles', '100', '--rate', str(COST_CLIPS * 60 / 100 / 10), '--duration', '10', '--drain', '2', env=COST)
    check(car.wait(timeout=120) == 0, tail(load.path('simulate.log')))
    size = load.books()[1]['sent_bytes'] / 1e9
    one, two = cost_of(load, 1), cost_of(load, 2)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(load.path('kcat.out'), 'wb') as out:
        subprocess.run(['kcat', '-C', '-q', '-b', load.broker.bootstrap, '-t', f'roadloop.{COST}.clip.v1', '-o', 'beginning', '-e', '-f', '%s'], stdout=out, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    kcat = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    check(two[0] <= one[0] * TWO_TO_ONE, f'two sinks take {two[0]:.2f} CPU s, one {one[0]:.2f}')
    return (f'{COST_CLIPS} clips, {size * 1000:.1f} MB: one sink {one[0] / size:.0f} CPU s/GB, two {two[0] / size:.0f} ({two[0] / one[0]:.2f} of one); '
            f'{size * 1000 / one[0]:.1f} MB a CPU second, kcat {size * 1000 / kcat:.0f}')


if __name__ == '__main__':
    check(VEHICLES >= 1 and SECONDS >= 10, 'LOAD_VEHICLES, LOAD_SECONDS')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('FAILED: ended from outside'))
    load = Load()
    try:
        print(fleet(load), flush=True)
        print(cost(load))
    finally:
        load.close()
