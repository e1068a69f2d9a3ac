#!/usr/bin/env python3
"""roadloopd on the kernel's SocketCAN, in one boot of a VM (run.sh): vcan interfaces, and the emulated
kvaser_pci pair where a controller's state is wanted. In the guest the cases only run and record; what
they left is checked on the host, which is ten times as fast.
can.py: boots and checks. can.py guest: what the VM runs."""
import collections
import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../e2e'))
from harness import ROADLOOP, ROADLOOPD, ROOT, check, read_metrics, run, until  # noqa: E402

BUSES = 4
VM_SECONDS = int(os.environ.get('VM_SECONDS', 240))
QUIET, BURST, FLOOD = 1500, 500, 25000  # frames a bus


# --- the guest: sending ---

def bus_socket(name):
    out = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    out.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    out.bind((name,))
    return out


def classic(ident, data):
    return struct.pack('=IB3x8s', ident, len(data), data)


# --- the guest: a daemon ---

class Daemon:
    """roadloopd with sources can0.. on vcan0.., its state in $OUT/NAME (made in /run, copied at the end)."""

    def __init__(self, name, sources, extra=''):
        self.name, self.folder = name, f'/run/cases/{name}'
        os.makedirs(self.folder)
        rows = '\n'.join(f'  - {{{row}}}' for row in sources)
        with open(self.path('run.yaml'), 'w') as f:
            f.write(f'vehicle: vm\nsources:\n{rows}\nstore: {{path: {self.folder}}}\n'
                    f'control: {{socket: {self.path("sock")}}}\nmetrics: {{file: {self.path("metrics")}, every: 1s}}\n{extra}')
        self.log = open(self.path('log'), 'w')
        self.process = subprocess.Popen([ROADLOOPD, '--config', self.path('run.yaml')], stderr=self.log)
        until(lambda: os.path.exists(self.path('sock')), 30, 'the control socket')

    def path(self, name):
        return os.path.join(self.folder, name)

    def ask(self, *words):
        return run(ROADLOOP, *words, '--socket', self.path('sock')).stdout.decode()

    def status(self):
        return json.loads(self.ask('status', '--json'))

    def trigger(self, pre='60s', post='60s', note=''):
        """A clip by hand, which needs a first frame."""
        until(lambda: self.status()['clips']['rows'], 20, 'the first row')
        self.ask('trigger', '--pre', pre, '--post', post, '--note', note or self.name)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(60) == 0, f'{self.name}: the daemon failed')
        shutil.copytree(self.folder, os.path.join(os.environ['OUT'], self.name), ignore=shutil.ignore_patterns('sock'))
        shutil.rmtree(self.folder)


def sources(buffer):
    return [f'name: can{i}, can: vcan{i}, buffer: {buffer}' for i in range(BUSES)]


# --- the guest: cases ---

def numbered_quiet():
    """A rate without loss, then a burst that fits into the sockets."""
    daemon = Daemon('quiet', sources('1MiB'))
    buses = [bus_socket(f'vcan{i}') for i in range(BUSES)]
    for n in range(QUIET):
        for i, bus in enumerate(buses):
            bus.send(classic(0x100 + i, struct.pack('<Q', n)))
        if n == 0:
            daemon.trigger()
        if n % 5 == 0:
            time.sleep(0.004)
    burst(daemon, buses, QUIET)
    daemon.stop()


def burst(daemon, buses, first):
    """Frames that the daemon finds in its sockets (or learns that they were not kept) after SIGTERM."""
    daemon.process.send_signal(signal.SIGSTOP)
    for n in range(first, first + BURST):
        for i, bus in enumerate(buses):
            bus.send(classic(0x100 + i, struct.pack('<Q', n)))
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.send_signal(signal.SIGCONT)


def numbered_flood():
    """As fast as four generators can, into sockets that hold a few frames, and a burst into full ones."""
    daemon = Daemon('flood', sources('4KiB'))
    generators = [subprocess.Popen(['cangen', f'vcan{i}', '-g', '0', '-i', '-I', f'{0x100 + i:x}', '-L', '8', '-D', 'i',
                                    '-n', str(FLOOD)]) for i in range(BUSES)]
    daemon.trigger()
    for generator in generators:
        check(generator.wait() == 0, 'cangen failed')
    burst(daemon, [bus_socket(f'vcan{i}') for i in range(BUSES)], FLOOD)
    daemon.stop()


def guest():
    os.makedirs('/run/cases')
    for i in range(BUSES):
        run('ip', 'link', 'add', f'vcan{i}', 'type', 'vcan')
        run('ip', 'link', 'set', f'vcan{i}', 'mtu', '72', 'up')
    for case in (numbered_quiet, numbered_flood):
        begin = time.monotonic()
        case()
        print(f'{case.__name__}: {time.monotonic() - begin:.1f} s', flush=True)


# --- the host: what a case left ---

class Left:
    """The folder of a daemon: its one clip, as manifest and as lines, and its metrics."""

    def __init__(self, out, name):
        self.name, self.folder = name, os.path.join(out, name)
        clips = glob.glob(f'{self.folder}/clips/**/*.rlc', recursive=True)
        check(len(clips) == 1, f'{name}: {len(clips)} clips, one was asked for')
        self.clip = clips[0]
        self.metrics = read_metrics(f'{self.folder}/metrics')
        self.json = json.loads(run(ROADLOOP, 'inspect', '--json', self.clip).stdout)
        self.manifest = self.json['segments'][0]['manifest']
        self.completeness = self.manifest['completeness']

    def lines(self):
        """[(bus, frame as candump writes it)] in the order of the clip."""
        text = os.path.join(self.folder, 'clip.log')
        run(ROADLOOP, 'convert', self.clip, text, '--out', 'candump')
        with open(text) as f:
            return [tuple(line.split()[1:3]) for line in f]

    def of_source(self, name, i):
        return int(self.metrics[f'roadloop_source_{name}_total{{source="can{i}"}}'])


def check_numbered(left, sent):
    """sent = received + dropped on each bus, the last burst included; gaps in the clip = counted drops."""
    numbers = collections.defaultdict(list)
    for bus, frame in left.lines():
        numbers[bus].append(int.from_bytes(bytes.fromhex(frame.split('#')[1]), 'little'))
    report = []
    for i in range(BUSES):
        counts, got = left.completeness['sources'][i], numbers[f'can{i}']
        dropped = left.of_source('dropped_kernel', i) + left.of_source('dropped_queue', i)
        dropped += int(left.metrics[f'roadloop_rows_dropped_queue_total{{source="can{i}"}}'])
        check(got == sorted(set(got)), f'{left.name}: can{i}: the clip repeats or reorders')
        check(len(got) + dropped == sent, f'{left.name}: can{i}: {sent} sent, {len(got)} in the clip, {dropped} counted as dropped')
        in_clip = counts['dropped_kernel'] + counts['dropped_queue']
        check(in_clip == dropped, f'{left.name}: can{i}: the manifest counts {in_clip} dropped, the metrics {dropped}')
        check(counts['received'] == sent, f'{left.name}: can{i}: received {counts["received"]} of {sent}')
        report.append(dropped)
    return report


def check_left(out):
    dropped = check_numbered(Left(out, 'quiet'), QUIET + BURST)
    check(dropped == [0] * BUSES, f'quiet: dropped {dropped} at a rate without loss')
    flood = check_numbered(Left(out, 'flood'), FLOOD + BURST)
    check(sum(flood) > 0, 'flood: nothing was dropped: the flood was none')
    print(f'{BUSES * (QUIET + BURST)} numbered frames whole; of {BUSES * (FLOOD + BURST)} in a flood {sum(flood)} dropped, each counted')


def main():
    if sys.argv[1:] == ['guest']:
        return guest()
    out = tempfile.mkdtemp(prefix='roadloop-vm-')
    try:
        done = subprocess.run([f'{HERE}/run.sh', '-t', str(VM_SECONDS), out, 'python3', 'tests/vm/can.py', 'guest'], cwd=ROOT)
        if done.returncode == 77:
            sys.exit(77)
        with open(f'{out}/console') as f:
            print(f.read(), end='')
        check(done.returncode == 0, f'the VM ended with {done.returncode}')
        check_left(out)
    finally:
        if not os.environ.get("VM_KEEP"):
            shutil.rmtree(out)


if __name__ == '__main__':
    main()
