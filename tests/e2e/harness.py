"""What the end-to-end tests share: a broker, a sink and a daemon as processes of their own, the clips
that replay says must come out, and the check of a dataset against them (G1, G2, G3)."""
import glob
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tests/kafka'))
import broker as kafka  # noqa: E402

B = os.path.join(ROOT, os.environ.get('B', 'build/release'))
ROADLOOP, ROADLOOPD = os.path.join(B, 'roadloop'), os.path.join(B, 'roadloopd')
RELAY = os.path.join(B, 'tests/kafka_relay')
RAV4 = os.path.join(ROOT, 'tests/data/rav4')
SUBARU = os.path.join(ROOT, 'tests/data/subaru')
DBCS = [f'can0={RAV4}/toyota_nodsu_pt_generated.dbc', f'can1={RAV4}/toyota_adas.dbc']
ADMIN = (os.path.join(ROOT, 'build/venv/bin/python'), os.path.join(ROOT, 'tests/kafka/admin.py'))
BUSY = os.path.join(ROOT, 'tests/data/packs/busy.yaml')
TOPICS = {'clip': 4, 'receipt': 4, 'artifact': 1, 'status': 4, 'dataset': 4, 'dlq': 4}
ENV = 'e2e'
DELIVERED = 5  # a state of storage/outbox.h: OUTBOX_DELETABLE
RECEIPT, COMPLETE = 6, 1  # a kind and a result of docs/KAFKA.md


def fail(text):
    sys.exit('FAILED: ' + text)


def check(good, text):
    if not good:
        fail(text)


def until(condition, seconds, what):
    """Polls a condition that another process makes true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    fail(f'not within {seconds} s: {what}')


def run(*command, ok=(0,)):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode not in ok:
        fail(f'exit status {done.returncode}: {" ".join(command)}\n{(done.stdout + done.stderr).decode()[-3000:]}')
    return done


def read_metrics(path):
    """{name{labels}: value} of an OpenMetrics text."""
    values = {}
    with open(path) as f:
        for line in f:
            if not line.startswith('#') and line.strip():
                name, value = line.rsplit(' ', 1)
                values[name] = float(value)
    return values


def topic(name):
    return f'roadloop.{ENV}.{name}.v1'


def total(values, name):
    """A metric over all its labels; a name that no metric has is an error."""
    found = [value for key, value in values.items() if key.split('{')[0] == 'roadloop_' + name]
    check(found, f'no metric roadloop_{name}')
    return int(sum(found))


def unpack(packed, path):
    run('zstd', '-dqf', packed, '-o', path)


def equal(what, left, right):
    check(left == right, f'the books do not close: {what}: {left} != {right}')


def car_books(car):
    """G3 for a car, from the metrics that a daemon left when it ended cleanly. Returns {state: clips} of its outbox."""
    equal('frames received = rows + dropped before the merge', total(car, 'source_frames_total'),
          total(car, 'rows_total') + total(car, 'source_dropped_queue_total') + total(car, 'merge_held'))
    equal('events = in clips + suppressed + failed', total(car, 'events_total'), total(car, 'events_in_clips_total')
          + total(car, 'events_suppressed_total') + total(car, 'events_failed_total'))
    equal('clips opened = built + open + failed', total(car, 'clips_opened_total'), total(car, 'clips_built_total')
          + total(car, 'clips_open') + total(car, 'clips_failed_encode_total'))
    states = {state: int(car[f'roadloop_outbox_clips{{state="{state}"}}'])
              for state in ('delivered', 'pending', 'parked', 'evicted', 'expired', 'erased')}
    equal('sealed = delivered + pending + parked + evicted + expired + erased',
          total(car, 'outbox_sealed_total'), sum(states.values()))
    equal(f'states of the outbox are those six ({states})', total(car, 'outbox_clips'), sum(states.values()))
    return states


def build_relay():
    run('make', '-s', '-C', ROOT, 'V=' + os.path.basename(B), os.path.relpath(RELAY, ROOT))


class Message:
    """One message of a topic as kafka_relay prints it."""

    def __init__(self, line):
        words = line.split(' ')
        self.partition, self.offset = int(words[0]), int(words[1])
        self.key, self.value = bytes.fromhex(words[2]), bytes.fromhex(words[3])
        self.headers = {name: bytes.fromhex(text) for name, text in (word.split('=') for word in words[4:])}

    @property
    def kind(self):
        return self.value[5] if self.value[:4] == b'RLWV' else 0

    @property
    def chunk(self):
        """(clip id hex, segment, index) of a chunk."""
        return self.value[16:32].hex(), int.from_bytes(self.value[64:68], 'little'), int.from_bytes(self.value[68:72], 'little')


class Broker:
    """librdkafka's mock cluster behind `roadloop mock-broker`."""

    def __init__(self, env=ENV, topics=TOPICS):
        command = [ROADLOOP, 'mock-broker']
        for name, partitions in topics.items():
            command += ['--topic', f'roadloop.{env}.{name}.v1:{partitions}']
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.bootstrap = self.process.stdout.readline().strip()
        check(self.bootstrap, 'the broker did not start')

    def say(self, command):
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        check(answer == 'ok', f'mock-broker: {command}: {answer}')

    def messages(self, name):
        """All that a topic holds."""
        return [Message(line) for line in run(RELAY, 'list', self.bootstrap, topic(name)).stdout.decode().splitlines()]

    def put(self, messages):
        """Sends [(topic name, partition, key, value, seal)]; sealed values get the hash of their prefix."""
        lines = ''.join(f'{topic(name)} {partition} {key} {value.hex()}{" seal" if seal else ""}\n'
                        for name, partition, key, value, seal in messages)
        done = subprocess.run([RELAY, 'put', self.bootstrap], input=lines.encode(), stderr=subprocess.PIPE)
        check(done.returncode == 0, f'kafka_relay put: {done.stderr.decode()}')

    def close(self):
        self.process.kill()
        self.process.wait()


class KafkaBroker(Broker):
    """Apache Kafka itself: `cluster` (tests/kafka/broker.py) kills, pauses and starts its nodes; admin() does what an
    administrator does (tests/kafka/admin.py). `make test-deps` brings it."""

    def __init__(self, env=ENV, topics=TOPICS, **cluster):
        if not kafka.available():
            print('no Kafka under build/kafka (make test-deps)')
            sys.exit(77)
        self.cluster = kafka.Cluster(**cluster)
        self.bootstrap = self.cluster.bootstrap
        try:
            if topics:
                self.admin('create', *(f'roadloop.{env}.{name}.v1:{partitions}' for name, partitions in topics.items()))
        except BaseException:
            self.close()
            raise

    def say(self, command):
        fail(f'only the mock takes commands: {command}')

    def admin(self, *words):
        return run(*ADMIN, self.bootstrap, *words).stdout.decode()

    def read(self, name):
        """All that a topic holds, by an independent client: [{partition, offset, timestamp, key, value, headers}]."""
        return [json.loads(line) for line in self.admin('read', topic(name)).splitlines()]

    def close(self):
        self.cluster.close()


def new_broker():
    """The mock, or with BROKER=kafka in the environment Kafka itself."""
    return KafkaBroker() if os.environ.get('BROKER') == 'kafka' else Broker()


class Stack:
    """One vehicle, one broker, one sink, in a folder of their own. broker: one that the test made and closes itself."""

    def __init__(self, pack=BUSY, log=None, seed=1, vehicle='car-1', broker=None, dbcs=DBCS, **config):
        self.random = random.Random(seed)
        self.folder = tempfile.mkdtemp(prefix='roadloop-e2e-')
        self.log, self.pack, self.vehicle, self.dbcs = log or self.path('can.log'), pack, vehicle, dbcs
        if not log:
            unpack(f'{RAV4}/can.log.zst', self.log)
        self.broker, self.owns_broker = broker or new_broker(), broker is None
        self.config = {
            'transport': 'kafka', 'quota': '256MiB', 'rate': '8MiB', 'burst': '1MiB', 'chunk': '16KiB', 'speed': 'max',
            'writes_per_day': '4096MiB', 'artifacts': 'yes', 'extra': '', 'env': ENV, 'settings': {}, **config}
        self.children = []
        self.sink_process = None
        os.makedirs(self.path('state'))
        os.makedirs(self.path('dataset'))
        self.write_config()

    @property
    def bootstrap(self):
        """Where car and sink connect: config `bootstrap`, or the broker's own."""
        return self.config.get('bootstrap') or self.broker.bootstrap

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_config(self, name='roadloop.yaml', bootstrap=None):
        c = self.config
        settings = ', '.join(f'{key}: "{value}"' for key, value in c['settings'].items())
        with open(self.path(name), 'w') as f:
            f.write(f'''vehicle: {self.vehicle}
recording: {{path: "{self.log}", speed: {c['speed']}}}
databases: [{', '.join(self.dbcs)}]
packs: ["{self.pack}"]
store: {{path: "{self.path('state')}", quota: {c['quota']}, chunk: {c['chunk']}, writes_per_day: {c['writes_per_day']}}}
upload: {{transport: {c['transport']}, brokers: "{bootstrap or self.bootstrap}", environment: {c['env']}, rate: {c['rate']}, burst: {c['burst']},
  artifacts: {c['artifacts']}, settings: {{{settings}}}}}
control: {{socket: "{self.path('control.sock')}"}}
metrics: {{file: "{self.path('roadloop.prom')}", every: 1s}}
{c['extra']}''')

    def expected(self):
        """The clips that replay cuts: {clip id hex: bytes of all segments}."""
        out = self.path('expected')
        shutil.rmtree(out, ignore_errors=True)
        command = [ROADLOOP, 'replay', self.log, '--rules', self.pack, '--out', out, '--config', self.path('roadloop.yaml')]
        for dbc in self.dbcs:
            command += ['--dbc', dbc]
        run(*command)
        clips = {}
        for path in sorted(glob.glob(out + '/*.rlc')):
            with open(path, 'rb') as f:
                clips.setdefault(os.path.basename(path)[:32], []).append(f.read())
        check(clips, 'replay cut no clip')
        return {clip: b''.join(parts) for clip, parts in clips.items()}

    # --- sink ---
    def start_sink(self, *more):
        log = open(self.path('sink.log'), 'ab')
        for key, value in self.config['settings'].items():
            more += ('--kafka', f'{key}={value}')
        self.sink_process = subprocess.Popen(
            [ROADLOOP, 'sink', 'run', '--bootstrap', self.bootstrap, '--env', self.config['env'], '--dataset', self.path('dataset'),
             '--cache', self.path('sink.cache'), '--partitions', '0-3', '--metrics', self.path('sink.prom'), *more],
            stdout=log, stderr=log)
        return self.sink_process

    def kill_sink(self):
        self.sink_process.kill()
        self.sink_process.wait()

    def stop_sink(self):
        self.sink_process.terminate()
        check(self.sink_process.wait(timeout=60) == 0, 'the sink did not stop cleanly:\n' + self.tail('sink.log'))

    # --- daemon ---
    def start_daemon(self, *more, wrap=(), once=True):
        log = open(self.path('daemon.log'), 'ab')
        process = subprocess.Popen([*wrap, ROADLOOPD, '--config', self.path('roadloop.yaml'), *(more or (('--once',) if once else ()))],
                                   stdout=log, stderr=log)
        self.children.append(process)
        return process

    def finish_daemon(self, process, seconds=60):
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            fail(f'the daemon did not end within {seconds} s:\n' + self.tail('daemon.log'))
        check(status == 0, f'the daemon ended with {status}:\n' + self.tail('daemon.log'))

    def tail(self, name, lines=30):
        try:
            with open(self.path(name), errors='replace') as f:
                return ''.join(f.readlines()[-lines:])
        except OSError:
            return ''

    # --- dataset ---
    def records(self):
        """{clip id hex: (path without ending, CLIP.json)}"""
        found = {}
        for path in glob.glob(self.path('dataset') + '/date=*/vehicle=*/*.json'):
            with open(path) as f:
                record = json.load(f)
            clip = os.path.basename(path)[:-5]
            check(clip not in found, f'clip {clip} stands twice in the dataset')
            found[clip] = path[:-5], record
        return found

    def stored(self):
        """{clip id hex: path without ending} of the clips that the dataset says are whole."""
        return {clip: base for clip, (base, record) in self.records().items() if record['status'] in ('complete', 'raw_only')}

    def check_dataset(self, expected):
        """Complete, each clip once, byte-exact, nothing else."""
        found = self.stored()
        missing, extra = set(expected) - set(found), set(found) - set(expected)
        check(not missing and not extra, f'dataset: missing {sorted(missing)}, beyond {sorted(extra)}\n'
              + self.tail('sink.log') + self.tail('daemon.log'))
        rlcs = glob.glob(self.path('dataset') + '/date=*/vehicle=*/*.rlc')
        check(len(rlcs) == len(expected), f'dataset: {len(rlcs)} .rlc for {len(expected)} clips')
        for clip, base in found.items():
            with open(base + '.rlc', 'rb') as f:
                check(f.read() == expected[clip], f'clip {clip} is not byte-exact')
            check(os.path.exists(base + '.mcap'), f'clip {clip} has no MCAP')

    # --- books ---
    def check_books(self, delivered=None):
        """G3, from the metrics that the last daemon and the last sink of this stack left when they ended cleanly.
        delivered: how many clips the outbox must call so (default: those in the dataset)."""
        car, sink = read_metrics(self.path('roadloop.prom')), read_metrics(self.path('sink.prom'))
        states = car_books(car)
        equal('delivered = in the dataset', states['delivered'], len(self.stored()) if delivered is None else delivered)
        equal('dead letters = those with a delivery report', total(sink, 'sink_dead_letters_total'),
              total(sink, 'sink_dead_letters_delivered_total'))
        equal('receipts and announcements that found no room', total(sink, 'sink_words_dropped_total'), 0)
        equal('words of the sink without a report', total(sink, 'sink_words_waiting'), 0)
        equal('clips under assembly', total(sink, 'sink_open_clips'), 0)
        equal('clips stored = MCAP written + failed', total(sink, 'sink_clips_stored_total'),
              total(sink, 'sink_mcap_written_total') + total(sink, 'sink_mcap_failed_total'))

    def check_outbox(self):
        """The car's own database, read by another program while no daemon runs: every clip ever made has a row, all rows
        are delivered, and no file lies about that no row knows."""
        with sqlite3.connect(f'file:{self.path("state/outbox.db")}?mode=ro', uri=True) as db:
            rows = {clip.hex(): state for clip, state in db.execute('SELECT clip_id, state FROM clip')}
            ever = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'clip'").fetchone()
            gone = db.execute('SELECT coalesce(sum(count), 0) FROM gone').fetchone()
        db.close()
        check(ever == (len(rows) + gone[0],), f'the outbox made {ever} rows and has {len(rows)}, {gone} were trimmed')
        others = {clip: state for clip, state in rows.items() if state != DELIVERED}
        check(not others, f'the outbox has clips that are not delivered: {others}')
        check(set(rows) == set(self.stored()), 'the outbox and the dataset name other clips')
        strays = [path for path in glob.glob(self.path('state/clips/*')) if os.path.basename(path)[:32] not in rows
                  or not path.endswith('.rlc')]
        check(not strays, f'files that no row knows: {strays}')

    def check_broker(self, expected):
        """What the topics say of these clips: a receipt `complete` and an announcement for each, for no other, and no
        dead letter."""
        done = {m.value[16:32].hex() for m in self.broker.messages('receipt') if m.kind == RECEIPT and m.value[68] == COMPLETE}
        check(done == set(expected), f'receipts: {len(done)} clips, {len(expected)} expected')
        told = {json.loads(m.value)['clip'] for m in self.broker.messages('dataset')}
        check(told == set(expected), f'dataset.v1: {len(told)} clips, {len(expected)} expected')
        dead = self.broker.messages('dlq')
        check(not dead, f'{len(dead)} dead letters, the first: {dead[:1] and dead[0].headers}')

    def close(self):
        for process in self.children + [self.sink_process]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        if self.owns_broker:
            self.broker.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.close()
        if kind and os.environ.get('KEEP'):
            print('kept', self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


if __name__ == '__main__':  # harness.py books FILE...: the car's books of the shell tests
    check(sys.argv[1:2] == ['books'], 'harness.py books FILE...')
    for metrics in sys.argv[2:]:
        car_books(read_metrics(metrics))
