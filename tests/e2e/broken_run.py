#!/usr/bin/env python3
"""What breaks while the daemon runs, rows 5 and 6 of DESIGN.md section 11. The disk: capture goes on, the state is
`degraded` with its reason, and it recovers without a restart. The broker: clips wait or go again, with the reason in
the status; only the guilty clip is parked. The books close each time."""
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import DBCS, ROADLOOP, ROADLOOPD, Stack, build_relay, car_books, check, fail, read_metrics, run, total, until

INSIDE = ['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs -o size=6m none "$0" && exec "$@"']


# --- row 5: the disk, under a live source ---
class Live:
    """A daemon on the datagram stand-in for a bus, its state on a small disk of its own where that can be had."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='roadloop-disk-')
        self.state, self.small = self.path('state'), subprocess.run([*INSIDE, self.folder, 'true'], stderr=subprocess.DEVNULL).returncode == 0
        os.mkdir(self.state)
        self.port, self.stop = 20000 + os.getpid() % 20000, threading.Event()
        with open(self.path('pack.yaml'), 'w') as f:
            f.write('format: 1\npackage: t\nversion: 1.0.0\nsignals: {s: {from: "can0:VSC1S07.BRKON", max_age: 1s}}\n'
                    'rules: [{name: r, when: "s == 1", clip: {pre: 1s, post: 0s}}]\n')
        with open(self.path('run.yaml'), 'w') as f:
            f.write(f'vehicle: car\nsources: [{{name: can0, datagram: "udp:127.0.0.1:{self.port}"}}]\n'
                    f'databases: ["{DBCS[0]}"]\npacks: [pack.yaml]\nstore: {{path: state, quota: 4MiB}}\ncontrol: {{socket: run.sock}}\n'
                    'metrics: {file: run.prom, every: 1s}\n')
        wrap = [*INSIDE, self.state] if self.small else []
        self.log = open(self.path('run.log'), 'wb')
        self.process = subprocess.Popen([*wrap, ROADLOOPD, '--config', self.path('run.yaml')], stderr=self.log)
        self.sender = threading.Thread(target=self.send)
        self.sender.start()

    def path(self, name):
        return os.path.join(self.folder, name)

    def inside(self, name=''):
        """A path of the state folder as the daemon sees it."""
        return f'/proc/{self.process.pid}/root{self.state}/{name}'

    def send(self):
        out, n = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
        while not self.stop.wait(0.005):
            n += 1
            with contextlib.suppress(OSError):
                out.sendto(struct.pack('=IB3xQ', 0x123, 8, n * 0x9e3779b97f4a7c15 & (1 << 64) - 1), ('127.0.0.1', self.port))

    def status(self):
        check(self.process.poll() is None, 'the daemon died:\n' + open(self.path('run.log')).read())
        done = subprocess.run([ROADLOOP, 'status', '--json', '--socket', self.path('run.sock')], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def trigger(self):
        run(ROADLOOP, 'trigger', '--pre', '1s', '--post', '0s', '--note', 'test', '--socket', self.path('run.sock'))

    def close(self):
        self.stop.set()
        self.sender.join()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def no_space(live):
    with contextlib.suppress(OSError), open(live.inside('ballast'), 'wb', buffering=0) as f:
        while f.write(bytes(4096)):
            pass
    yield
    os.unlink(live.inside('ballast'))


@contextlib.contextmanager
def file_size(live):
    before = resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def no_folder(live):
    os.rename(live.inside('clips'), live.inside('away'))
    yield
    os.rename(live.inside('away'), live.inside('clips'))


@contextlib.contextmanager
def file_for_folder(live):
    os.rename(live.inside('clips'), live.inside('away'))
    open(live.inside('clips'), 'wb').close()
    yield
    os.unlink(live.inside('clips'))
    os.rename(live.inside('away'), live.inside('clips'))


def break_disk(live, name, breaking, words):
    """words: what the reason may say; SQLite knows a write that is too large only as an input/output error."""
    sealed = live.status()['clips']['sealed']
    with breaking(live):
        live.trigger()
        broken = until(lambda: (lambda s: s and s['store']['degraded'] and s)(live.status()), 10, f'{name}: degraded')
        check(any(text in broken['store']['reason'] for text in words), f'{name}: the reason is: {broken["store"]["reason"]}')
        frames = broken['sources'][0]['frames']
        until(lambda: live.status()['sources'][0]['frames'] > frames + 20, 5, f'{name}: capture goes on')
    time.sleep(1.2)  # what fires within `join` of the clip that failed would be part of it
    live.trigger()
    until(lambda: (lambda s: s['clips']['sealed'] > sealed and not s['store']['degraded'])(live.status()), 15, f'{name}: it recovers')


def disk():
    live = Live()
    try:
        until(live.status, 10, 'the daemon to start')
        until(lambda: live.status()['sources'][0]['frames'] > 100, 10, 'frames')
        faults = [('file size', file_size, ('File too large', 'Input/output error')), ('no folder', no_folder, ('No such file or directory',)),
                  ('a file in its place', file_for_folder, ('Not a directory',))]
        if live.small:
            faults.append(('no space', no_space, ('No space left on device',)))
        for fault in faults:
            break_disk(live, *fault)
        live.stop.set()
        live.process.send_signal(signal.SIGTERM)
        check(live.process.wait(10) == 0, 'the daemon did not stop cleanly:\n' + open(live.path('run.log')).read())
        car_books(read_metrics(live.path('run.prom')))
        return f'{len(faults)} faults of the disk' + ('' if live.small else ' (no mount namespace here: none of a full one)')
    finally:
        live.close()


# --- row 6: the broker ---
PRODUCE, TOO_LARGE, UNKNOWN_TOPIC, UNAUTHORISED = 0, 10, 3, 29


def new_car(stack, name):
    stack.vehicle = name
    shutil.rmtree(stack.path('state'))
    os.makedirs(stack.path('state'))
    stack.write_config()
    return stack.expected()


def car_status(stack):
    done = subprocess.run([ROADLOOP, 'status', '--json', '--socket', stack.path('control.sock')], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout) if done.returncode == 0 else None


def error_says(stack, words):
    status = car_status(stack)
    return status and words in status['upload']['error'] and status


def away(stack, expected):
    stack.broker.say('down')
    daemon = stack.start_daemon()
    said = until(lambda: error_says(stack, 'Connection refused') or error_says(stack, 'brokers are down'), 20, 'away: the reason')
    until(lambda: car_status(stack)['clips']['pending'] == len(expected), 20, 'away: every clip waits')
    check(said['clips']['delivered'] == 0 and not said['upload']['connected'], f'away: {said["upload"]}')
    stack.broker.say('up')
    return daemon


def rejecting(code, words):
    def case(stack, expected):
        stack.broker.say(f'fail {PRODUCE} {code} 2')
        daemon = stack.start_daemon()
        # The status shows what stands in the way now, and two refusals may be over between two looks at it; the log keeps each kind.
        until(lambda: error_says(stack, words) or (words and words in stack.tail('daemon.log', 1000)) or daemon.poll() is not None, 60, words)
        check(daemon.poll() is None, f'it ended, and never said: {words}')
        return daemon
    return case


def slow(stack, expected):
    stack.broker.say('rtt 300')
    daemon = stack.start_daemon()
    until(lambda: (lambda s: s and s['clips']['pending'] and s['upload']['bytes'])(car_status(stack)), 20, 'slow: on its way')
    stack.broker.say('rtt 0')
    return daemon


def broker():
    cases = (('away', away), ('slow', slow), ('unauthorised', rejecting(UNAUTHORISED, 'Topic authorization failed')),
             ('unknown topic', rejecting(UNKNOWN_TOPIC, '')))
    build_relay()
    with Stack(chunk='64KiB') as stack:
        everything = {}
        for name, case in cases:
            expected = new_car(stack, 'car-' + name.replace(' ', '-'))
            daemon = case(stack, expected)
            stack.start_sink()
            stack.finish_daemon(daemon, 60)
            stack.stop_sink()
            everything.update(expected)
            stack.check_dataset(everything)
            stack.check_books(delivered=len(expected))
        too_large(stack, everything)
        return f'{len(cases) + 1} faults of the broker'


def too_large(stack, everything):
    """Sending again cannot help: the clips of that request are parked with the reason, the others go."""
    expected = new_car(stack, 'car-too-large')
    before = len(stack.broker.messages('clip'))
    stack.config['rate'], stack.config['burst'] = '128KiB', '96KiB'
    stack.write_config()
    daemon = stack.start_daemon()
    until(lambda: len(stack.broker.messages('clip')) > before, 20, 'too large: a first message')
    stack.broker.say(f'fail {PRODUCE} {TOO_LARGE} 1')
    until(lambda: (car_status(stack) or {'clips': {'parked': 0}})['clips']['parked'], 20, 'too large: parked')
    parked = [clip for clip in expected if b'parked' in where(stack, clip)]
    check(parked and all(b'too large' in where(stack, clip) for clip in parked), f'too large: {[where(stack, c) for c in parked]}')
    stack.start_sink()
    stack.finish_daemon(daemon, 60)
    stack.stop_sink()
    left = {clip: content for clip, content in expected.items() if clip not in parked}
    check(len(left) >= len(expected) - 4, f'too large: {len(parked)} of {len(expected)} clips parked')
    check(set(stack.stored()) == {*everything, *left}, 'too large: others did not arrive, or a parked one did')
    values = read_metrics(stack.path('roadloop.prom'))
    car_books(values)
    check(values['roadloop_outbox_clips{state="parked"}'] == len(parked), 'too large: the count of parked clips')


def where(stack, clip):
    return subprocess.run([ROADLOOP, 'where', clip, '--socket', stack.path('control.sock')], stdout=subprocess.PIPE).stdout


print(f'{disk()}, {broker()}: said, survived without a restart; the books close')
