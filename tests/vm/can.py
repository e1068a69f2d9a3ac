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
from harness import DBCS, RAV4, ROADLOOP, ROADLOOPD, ROOT, check, read_metrics, run, until  # noqa: E402

BUSES = 4
VM_SECONDS = int(os.environ.get('VM_SECONDS', 240))
QUIET, BURST, FLOOD = 1500, 500, 25000  # frames a bus
EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
# Who listens does not interrupt who sends, else each frame costs switches between six programs.
BATCH = ('chrt', '-b', '0')
RAV4_SPEED = float(os.environ.get('VM_SPEED', 4))


# --- the guest: sending ---

def bus_socket(name):
    out = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    out.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    out.bind((name,))
    return out


def classic(ident, data, dlc=0):
    return struct.pack('=IB2xB8s', ident, len(data), dlc, data)


def fd(ident, data, flags):
    return struct.pack('=IBB2x64s', ident, len(data), flags, data)


def shapes():
    """[(frame as candump writes it, bytes for a socket)]: every length and flag that a bus can carry."""
    def hexa(ident):
        return f'{ident:08X}' if ident & (EFF | ERR) else f'{ident:03X}'
    rows = []
    for ident in (0x123, 0x18DAF110 | EFF):
        name = hexa(ident & ~EFF) if ident & EFF == 0 else f'{ident & ~EFF:08X}'
        for size in range(9):
            data = bytes(range(0xA0, 0xA0 + size))
            rows.append((f'{name}#{data.hex().upper()}', classic(ident, data)))
        for dlc in range(9, 16):  # eight bytes, and a code beyond them
            rows.append((f'{name}#{bytes(range(8)).hex().upper()}_{dlc:X}', classic(ident, bytes(range(8)), dlc)))
        rows.append((f'{name}#R', classic(ident | RTR, b'')))
        for size in (*range(9), 12, 16, 20, 24, 32, 48, 64):
            for flags in range(4):  # BRS 1, ESI 2
                data = bytes((7 * i + flags) % 256 for i in range(size))
                rows.append((f'{name}##{flags}{data.hex().upper()}', fd(ident, data, flags)))
    for kind in (0x4, 0x40, 0x200 | 0x8):  # controller problems, bus-off, counters and a protocol violation
        data = bytes((1, 4, 0, 0, 0, 0, 96, 97))
        rows.append((f'{kind | ERR:08X}#{data.hex().upper()}', classic(kind | ERR, data)))
    return rows


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
        self.process = subprocess.Popen([*BATCH, ROADLOOPD, '--config', self.path('run.yaml')], stderr=self.log)
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


def frame_shapes():
    """Each kind of frame on each bus, candump beside it; hardware stamps are asked for."""
    daemon = Daemon('shapes', [f'name: can{i}, can: vcan{i}, buffer: 1MiB, stamps: hardware' for i in range(BUSES)])
    log = open('/run/shapes.log', 'w')
    beside = subprocess.Popen(['candump', '-L', '-r', '2000000'] + [f'vcan{i},0:0,#FFFFFFFF' for i in range(BUSES)], stdout=log)
    time.sleep(1)  # candump says nothing when it is ready
    buses = [bus_socket(f'vcan{i}') for i in range(BUSES)]
    for _, frame in shapes():
        for bus in buses:
            bus.send(frame)
    daemon.trigger()
    with open(daemon.path('status.json'), 'w') as f:
        json.dump(daemon.status(), f)
    time.sleep(0.3)
    beside.send_signal(signal.SIGINT)
    beside.wait()
    shutil.copy(log.name, daemon.path('candump.log'))
    daemon.stop()


def link(*words):
    run('ip', 'link', *words)


def make_vcan(i):
    link('add', f'vcan{i}', 'type', 'vcan')
    link('set', f'vcan{i}', 'mtu', '72', 'up')


def links_come_and_go():
    """vcan0 goes down and up, and is removed with frames in the socket and made again; the controller of
    can0 stops and starts."""
    for name in ('can0', 'can1'):
        link('set', name, 'type', 'can', 'bitrate', '500000')
        link('set', name, 'up')
    daemon = Daemon('links', ['name: can0, can: vcan0, buffer: 1MiB', 'name: can1, can: can0', 'name: can2, can: nocan'])
    wire = bus_socket('can1')
    sent = 0

    def send(count=100):
        nonlocal sent
        bus = bus_socket('vcan0')
        for sent in range(sent, sent + count):
            bus.send(classic(0x100, struct.pack('<Q', sent)))
            if sent % 10 == 0:
                wire.send(classic(0x200, struct.pack('<Q', sent)))
                time.sleep(0.002)
        sent += 1

    def wait(source, state):
        until(lambda: daemon.status()['sources'][source]['state'] == state, 30, f'source {source} is {state}')

    send()
    daemon.trigger()
    link('set', 'vcan0', 'down')
    wait(0, 'down')
    link('set', 'vcan0', 'up')
    wait(0, 'up')
    send()
    link('set', 'can0', 'down')
    wait(1, 'down')
    until(lambda: daemon.status()['sources'][1].get('bus') == 'stopped', 30, 'the controller has stopped')
    link('set', 'can0', 'up')
    wait(1, 'up')
    until(lambda: daemon.status()['sources'][1].get('bus') == 'error-active', 30, 'the controller runs')
    daemon.process.send_signal(signal.SIGSTOP)
    send()
    link('del', 'vcan0')
    daemon.process.send_signal(signal.SIGCONT)
    wait(0, 'missing')
    make_vcan(0)
    wait(0, 'up')
    send()
    daemon.stop()


def rav4_minute():
    """canplayer plays the drive on two buses while candump records each; the rules run in the daemon."""
    log = '/run/rav4.log'
    with open(log, 'w') as out, open(os.path.join(os.environ['OUT'], 'rav4.log')) as drive:
        for line in drive:
            stamp, rest = line.split(' ', 1)
            out.write(f'({float(stamp[1:-1]) / RAV4_SPEED:.6f}) {rest}')
    daemon = Daemon('rav4', ['name: can0, can: vcan0, buffer: 8MiB', 'name: can1, can: vcan1, buffer: 8MiB'],
                    f'databases: {json.dumps(DBCS)}\npacks: ["{ROOT}/config/packs/rav4.yaml"]\n')
    beside = []
    for i in range(2):
        with open(f'/run/beside{i}.log', 'w') as out:
            beside.append(subprocess.Popen([*BATCH, 'candump', '-L', '-r', '8000000', f'vcan{i}'], stdout=out))
    time.sleep(1)
    run('canplayer', '-I', log, 'vcan0=can0', 'vcan1=can1')
    time.sleep(1)
    for i, process in enumerate(beside):
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.copy(f'/run/beside{i}.log', daemon.path(f'beside{i}.log'))
    daemon.stop()


def played():
    """`replay --to` plays every kind of frame onto two buses; the daemon that listens has them."""
    log = '/run/played.log'
    with open(log, 'w') as f:
        for n, (frame, _) in enumerate(shapes()):
            for bus in range(2):
                f.write(f'({n / 100 + bus / 1000:.6f}) can{bus} {frame}\n')
    daemon = Daemon('played', sources('1MiB'))
    begin = time.monotonic()
    with open(daemon.path('said'), 'w') as f:
        f.write(run(ROADLOOP, 'replay', log, '--to', 'can0=vcan0', '--to', 'vcan3').stdout.decode())
    took = time.monotonic() - begin
    check(took >= len(shapes()) / 100 - 0.01, f'played: {took:.2f} s for {len(shapes()) / 100} s')
    daemon.trigger()
    daemon.stop()


def guest():
    os.makedirs('/run/cases')
    for i in range(BUSES):
        make_vcan(i)
    for case in (numbered_quiet, numbered_flood, frame_shapes, links_come_and_go, played, rav4_minute):
        begin = time.monotonic()
        case()
        print(f'{case.__name__}: {time.monotonic() - begin:.1f} s', flush=True)


# --- the host: what a case left ---

def clips_of(folder):
    return sorted(glob.glob(f'{folder}/clips/**/*.rlc', recursive=True))


def inspect(clip):
    """The one segment of a clip."""
    return json.loads(run(ROADLOOP, 'inspect', '--json', clip).stdout)['segments'][0]


class Left:
    """The folder of a daemon: its one clip, as manifest and as lines, and its metrics."""

    def __init__(self, out, name):
        self.name, self.folder = name, os.path.join(out, name)
        clips = clips_of(self.folder)
        check(len(clips) == 1, f'{name}: {len(clips)} clips, one was asked for')
        self.clip = clips[0]
        self.metrics = read_metrics(f'{self.folder}/metrics')
        self.segment = inspect(self.clip)
        self.completeness = self.segment['manifest']['completeness']

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
        driver = counts['dropped_driver']  # the kernel's own queue before the sockets overflows under load
        check(got == sorted(set(got)), f'{left.name}: can{i}: the clip repeats or reorders')
        check(len(got) + dropped + driver == sent,
              f'{left.name}: can{i}: {sent} sent, {len(got)} in the clip, {dropped} counted as dropped, {driver} by the interface')
        in_clip = counts['dropped_kernel'] + counts['dropped_queue']
        check(in_clip == dropped, f'{left.name}: can{i}: the manifest counts {in_clip} dropped, the metrics {dropped}')
        check(counts['received'] == sent, f'{left.name}: can{i}: received {counts["received"]} of {sent}')
        report.append(dropped + driver)
    return report


def check_shapes(left):
    """Every frame as it was sent, on each bus, and as candump saw it; no stamp claims to be hardware's."""
    want, got = [text for text, _ in shapes()], collections.defaultdict(list)
    for bus, frame in left.lines():
        got[bus].append(frame)
    beside = collections.defaultdict(list)
    with open(f'{left.folder}/candump.log') as f:
        for line in f:
            _, bus, frame = line.split()
            head, fd_mark, tail = frame.partition('##')
            if fd_mark:  # newer kernels set a bit of their own beside BRS and ESI: FDF, 4
                frame = f'{head}##{int(tail[0], 16) & 3}{tail[1:]}'
            beside[bus].append(frame)
    for i in range(BUSES):
        differs = [pair for pair in zip(want, got[f'can{i}']) if pair[0] != pair[1]]
        check(not differs, f'shapes: can{i}: sent {differs[:1]}')
        check(len(got[f'can{i}']) == len(want), f'shapes: can{i}: {len(want)} sent, {len(got[f"can{i}"])} in the clip')
        check(beside[f'vcan{i}'] == [frame.split('_')[0] for frame in want], f'shapes: candump saw something else on vcan{i}')
        errors = sum(text.startswith('20000') for text in want)
        check(left.completeness['sources'][i]['error_frames'] == errors, f'shapes: can{i}: not {errors} error frames in the manifest')
    check(all(source['origin'] == 'kernel' for source in left.segment['header']['sources']),
          f'shapes: origins {left.segment["header"]["sources"]}')
    with open(f'{left.folder}/status.json') as f:
        check(all(source['stamps'] == 'kernel' for source in json.load(f)['sources']), 'shapes: the status says other stamps')
    return BUSES * len(want)


def check_played(left):
    got = collections.defaultdict(list)
    for bus, frame in left.lines():
        got[bus].append(frame)
    want = [text for text, _ in shapes() if not text.startswith('20000')]  # controllers make error frames
    check(got == {'can0': want, 'can3': want}, f'played: { {bus: len(rows) for bus, rows in got.items()} } of {len(want)}')
    with open(f'{left.folder}/said') as f:
        said = f.read()
    check(said.startswith(f'{2 * len(want)} frames sent in ') and said.endswith(' 6 error frames left out\n'), f'played: {said}')
    return 2 * len(want)


def check_links(left):
    """No frame is missing that was sent while the interface was there, and the manifest tells the rest."""
    numbers = [int.from_bytes(bytes.fromhex(frame.split('#')[1]), 'little') for bus, frame in left.lines() if bus == 'can0']
    check(numbers == list(range(400)), f'links: {len(numbers)} of 400 frames: missing {sorted(set(range(400)) - set(numbers))[:5]}')
    events = collections.defaultdict(list)
    for event in left.completeness['source_events']:
        if event['event'] != 'stamps':
            events[event['source']].append(' '.join((event['event'], event['value'])).strip())
    check(events[0] == ['up', 'down', 'up', 'down', 'up'], f'links: vcan0: {events[0]}')
    for needed in ('down', 'up', 'bus_state stopped', 'bus_state error-active'):
        check(needed in events[1], f'links: can0 has no event "{needed}": {events[1]}')
    check(not events[2], f'links: an interface that never was: {events[2]}')
    check(left.completeness['gaps'] >= 3, f'links: {left.completeness["gaps"]} gaps')
    check(left.of_source('rebinds', 0) == 1 and left.of_source('rebinds', 2) == 0, 'links: rebinds')
    vcan, wire = (left.completeness['sources'][i]['interface'] for i in range(2))
    check(vcan['rx_frames'] == 100, f'links: vcan0 was made again, then came 100 frames; the interface counts {vcan["rx_frames"]}')
    check(vcan['bus_state'] == 'unknown' and wire['bus_state'] == 'error-active', 'links: bus states at the end')
    check(wire['bitrate'] == 500000, f'links: bit rate {wire["bitrate"]}')
    stored = left.completeness['sources'][1]['stored']
    check(wire['rx_frames'] == left.of_source('frames', 1) == stored == 40, f'links: can0: interface {wire["rx_frames"]}, clip {stored}')
    return sum(map(len, events.values()))


def microseconds(seconds):
    """A printed time, cut to what candump writes."""
    whole, fraction = seconds.split('.')
    return f'{whole}.{fraction[:6]}'


def check_rav4(out):
    """What fired in the car and what fires in `replay` of candump's logs: the same rules at the same frames."""
    folder = f'{out}/rav4'
    metrics = read_metrics(f'{folder}/metrics')
    rows, last = [], ''
    for i in range(2):
        with open(f'{folder}/beside{i}.log') as f:
            lines = f.readlines()
        rows.append(len(lines))
        last = max(last, lines[-1][1:18])
        with open(f'{folder}/beside{i}.log') as f, open(f'{folder}/can{i}.log', 'w') as log:
            log.write(f.read().replace(f'vcan{i}', f'can{i}'))
        received = int(metrics[f'roadloop_source_frames_total{{source="can{i}"}}'])
        check(received == rows[i], f'rav4: can{i}: candump has {rows[i]} frames, the daemon {received}')
    in_car, after = set(), 0
    for clip in clips_of(folder):
        for event in inspect(clip)['manifest']['events']:
            # After the last frame the car's time goes on, and timers fire; a recording has ended there.
            if microseconds(event['fire']) > last:
                after += 1
            else:
                in_car.add((event['rule'], event['edge'], microseconds(event['fire']), event['fire_step']))
    check(after <= 4, f'rav4: {after} events after the last frame')
    command = [ROADLOOP, 'replay', f'{folder}/can0.log', f'{folder}/can1.log', '--rules', f'{ROOT}/config/packs/rav4.yaml', '--json']
    for dbc in DBCS:
        command += ['--dbc', dbc]
    replayed = set()
    for line in run(*command).stdout.decode().splitlines():
        event = json.loads(line)
        if event['event'] == 'fire' and event['clip']:
            replayed.add((event['rule'], event['edge'], microseconds(event['t']), event['step']))
    check(in_car == replayed, f'rav4: only in the car {sorted(in_car - replayed)[:3]}, only in replay {sorted(replayed - in_car)[:3]}')
    rules = {rule for rule, *_ in in_car}
    check(sum(rows) == 98800 and len(in_car) >= 8 and len(rules) >= 4, f'rav4: {sum(rows)} frames, {len(in_car)} events of {rules}')
    return len(in_car), len(rules)


def check_left(out):
    dropped = check_numbered(Left(out, 'quiet'), QUIET + BURST)
    check(dropped == [0] * BUSES, f'quiet: dropped {dropped} at a rate without loss')
    flood = check_numbered(Left(out, 'flood'), FLOOD + BURST)
    check(sum(flood) > 0, 'flood: nothing was dropped: the flood was none')
    kinds = check_shapes(Left(out, 'shapes'))
    news = check_links(Left(out, 'links'))
    sent = check_played(Left(out, 'played'))
    events, rules = check_rav4(out)
    print(f'{kinds} frames of every kind unchanged, {sent} by replay --to; {news} events of interfaces in a manifest; '
          f'RAV4: {events} events of {rules} rules as in replay of candump')
    print(f'{BUSES * (QUIET + BURST)} numbered frames whole; of {BUSES * (FLOOD + BURST)} in a flood {sum(flood)} dropped, each counted')


def main():
    if sys.argv[1:] == ['guest']:
        return guest()
    out = tempfile.mkdtemp(prefix='roadloop-vm-')
    try:
        run('zstd', '-dqf', f'{RAV4}/can.log.zst', '-o', f'{out}/rav4.log')
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
