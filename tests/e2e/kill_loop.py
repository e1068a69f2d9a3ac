#!/usr/bin/env python3
"""Kills daemon and sink at random seeded moments while clips flow, KILL_CYCLES times, and checks G3 after each cycle
over car, broker and dataset: complete, each clip once, byte-exact, every book closes. Each cycle is a drive of another
vehicle, so that clips flow in all of them. At the end faults are planted (a clip lost, a clip twice, a byte changed, a
count off by one, ...), and the same checks must see each of them.

KILL_CYCLES (20), KILL_SEED (1); kill_broker.py kills the broker too."""
import glob
import hashlib
import os
import shutil
import sqlite3
import sys
import time

from harness import Stack, build_relay, check, until

CYCLES = int(os.environ.get('KILL_CYCLES', '20'))
SEED = int(os.environ.get('KILL_SEED', '1'))
MOMENT_S = 0.5  # kills fall within so long after the start of a drive, or after the kill before


class Loop:
    """stack: its broker may be the mock or Kafka itself. victims: what is killed."""

    def __init__(self, stack, victims=('daemon', 'sink'), patience=60):
        self.stack, self.victims, self.patience = stack, victims, patience
        self.expected = {}
        self.kills = dict.fromkeys(victims, 0)

    def choose(self):
        """Who dies in a cycle, in order."""
        return self.stack.random.choices(self.victims, k=self.stack.random.randint(1, 3))

    def kill(self, victim, daemon):
        """One death and the start after it. Returns the daemon that runs then."""
        stack = self.stack
        self.kills[victim] += 1
        if victim == 'daemon':
            if daemon.poll() is None:
                daemon.kill()
            check(daemon.wait() in (0, -9), 'the daemon died by itself:\n' + stack.tail('daemon.log'))
            return stack.start_daemon()
        if victim == 'sink':
            check(stack.sink_process.poll() is None, 'the sink died by itself:\n' + stack.tail('sink.log'))
            stack.kill_sink()
            stack.start_sink()
        else:
            stack.broker.cluster.kill()
            time.sleep(stack.random.uniform(0, MOMENT_S))
            stack.broker.cluster.start()
        return daemon

    def cycle(self, number):
        stack = self.stack
        stack.vehicle = f'car-{number}'
        stack.write_config()
        self.expected.update(stack.expected())
        stack.start_sink()
        daemon = stack.start_daemon()
        for victim in self.choose():
            time.sleep(stack.random.uniform(0.01, MOMENT_S))
            daemon = self.kill(victim, daemon)
        stack.finish_daemon(daemon, self.patience)
        until(lambda: len(stack.stored()) >= len(self.expected), self.patience, 'every clip in the dataset')
        stack.stop_sink()
        self.check()

    def check(self):
        """G3 as it stands, with car and sink at rest."""
        self.stack.check_dataset(self.expected)
        self.stack.check_books()
        self.stack.check_outbox()
        self.stack.check_broker(self.expected)


# ---- Planted faults: each changes something at rest, and gives the way back ----

def one_of(stack, pattern):
    return sorted(glob.glob(stack.path('dataset') + '/date=*/vehicle=*/' + pattern))[0]


def moved(path):
    os.rename(path, path + '.away')
    return lambda: os.rename(path + '.away', path)


def rewritten(path, change):
    with open(path, 'rb') as f:
        before = f.read()
    with open(path, 'wb') as f:
        f.write(change(before))

    def back():
        with open(path, 'wb') as f:
            f.write(before)
    return back


def clip_twice(stack):
    base = one_of(stack, '*.rlc')[:-4]
    folder = stack.path('dataset') + '/date=2000-01-01/' + os.path.basename(os.path.dirname(base))
    os.makedirs(folder)
    for ending in ('.rlc', '.mcap', '.json'):
        shutil.copy(base + ending, folder)
    return lambda: shutil.rmtree(os.path.dirname(folder))


def rlc_twice(stack):
    path = one_of(stack, '*.rlc')
    copy = os.path.join(os.path.dirname(path), hashlib.md5(path.encode()).hexdigest() + '.rlc')
    shutil.copy(path, copy)
    return lambda: os.unlink(copy)


def flipped(data):
    return data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:]


def counted(stack, file, name, by):
    """A metric that is off by so much."""
    def change(data):
        lines = data.decode().split('\n')
        at = next(i for i, line in enumerate(lines) if line.startswith(name))
        word, value = lines[at].rsplit(' ', 1)
        lines[at] = f'{word} {int(float(value)) + by}'
        return '\n'.join(lines).encode()
    return rewritten(stack.path(file), change)


def row_lost(stack):
    path = stack.path('state/outbox.db')
    back = rewritten(path, lambda data: data)
    with sqlite3.connect(path) as db:
        db.execute('DELETE FROM clip WHERE age = (SELECT max(age) FROM clip)')
    db.close()
    return back


FAULTS = {
    'a clip lost': lambda stack: moved(one_of(stack, '*.json')),
    'bytes of a clip lost': lambda stack: moved(one_of(stack, '*.rlc')),
    'the MCAP of a clip lost': lambda stack: moved(one_of(stack, '*.mcap')),
    'a clip twice': clip_twice,
    'bytes twice': rlc_twice,
    'one bit of a clip changed': lambda stack: rewritten(one_of(stack, '*.rlc'), flipped),
    'a clip cut short': lambda stack: rewritten(one_of(stack, '*.rlc'), lambda data: data[:-1]),
    'a frame too many': lambda stack: counted(stack, 'roadloop.prom', 'roadloop_source_frames_total', 1),
    'an event too few': lambda stack: counted(stack, 'roadloop.prom', 'roadloop_events_total', -1),
    'a delivery too many': lambda stack: counted(stack, 'roadloop.prom', 'roadloop_outbox_clips{state="delivered"}', 1),
    'a clip of the sink too few': lambda stack: counted(stack, 'sink.prom', 'roadloop_sink_clips_stored_total', -1),
    'a row of the outbox lost': row_lost,
}


def plant(loop):
    """Every fault must be seen, and all must be well again when it is taken back."""
    for what, fault in FAULTS.items():
        back = fault(loop.stack)
        try:
            loop.check()
        except SystemExit as seen:
            check(str(seen).startswith('FAILED: '), f'{what}: {seen}')
        else:
            check(False, f'planted and not seen: {what}')
        back()
    loop.check()


def shorten(stack):
    """The first half of the minute: five clips, of both priorities."""
    with open(stack.log, 'rb') as f:
        lines = f.readlines()
    with open(stack.log, 'wb') as f:
        f.writelines(lines[:len(lines) // 2])


def main(loop, cycles):
    build_relay()
    start = time.monotonic()
    for number in range(cycles):
        try:
            loop.cycle(number)
        except SystemExit as failure:
            sys.exit(f'{failure}\n(cycle {number} of KILL_SEED={SEED}; KEEP=1 keeps the folder)')
    plant(loop)
    kills = ', '.join(f'{count} of the {victim}' for victim, count in loop.kills.items())
    print(f'{cycles} cycles in {time.monotonic() - start:.0f} s, kills: {kills}; {len(loop.expected)} clips complete, once, byte-exact, and '
          f'the books of car, broker and dataset close after each; {len(FAULTS)} planted faults seen')


if __name__ == '__main__':
    with Stack(seed=SEED, rate='512KiB', burst='64KiB') as the_stack:
        shorten(the_stack)
        main(Loop(the_stack), CYCLES)
