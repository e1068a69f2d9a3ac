#!/usr/bin/env python3
"""Four sinks in one group under the load of a simulated fleet: each takes its share of the partitions; one is killed
in the midst, and the others finish its work from the committed offset, without its cache. The books of the fleet and
the dataset agree, each clip is there once, and `sink status` shows the lag until it is gone."""
import collections
import glob
import json
import os
import subprocess
import time

from group import member, partitions
from harness import BUSY, DBCS, ENV, RAV4, ROADLOOP, Stack, check, run, read_metrics, total, until

MEMBERS, VEHICLES, SECONDS = 4, 40, 8


def status(stack):
    """(exit status, what it says) of `sink status --json`."""
    done = run(ROADLOOP, 'sink', 'status', '--bootstrap', stack.broker.bootstrap, '--env', ENV, '--json', ok=(0, 1))
    return done.returncode, json.loads(done.stdout)


def name_of(number):
    return 'sink.prom' if number == 0 else f'sink{number}.prom'


def fleet(stack):
    command = [ROADLOOP, 'simulate', stack.log, '--rules', BUSY, '--bootstrap', stack.broker.bootstrap, '--env', ENV, '--json',
               '--vehicles', str(VEHICLES), '--rate', '30', '--duration', str(SECONDS), '--drain', '60', '--ask-after', '5']
    for dbc in DBCS:
        command += ['--dbc', dbc]
    with open(stack.path('books'), 'wb') as books, open(stack.path('simulate.log'), 'wb') as log:
        process = subprocess.Popen(command, stdout=books, stderr=log)
    stack.children.append(process)
    return process


def check_fleet(stack):
    with open(stack.path('books')) as f:
        books = {line['vehicle']: line for line in map(json.loads, f)}
    whole = books.pop('all')
    check(whole['close'] and whole['stored'] == whole['made'] > 0, f'the books of the fleet: {whole}')
    found = collections.Counter(os.path.basename(os.path.dirname(base))[len('vehicle='):] for base in stack.stored().values())
    check(found == {name: line['stored'] for name, line in books.items() if line['stored']}, 'dataset and books differ')
    rlcs = glob.glob(stack.path('dataset') + '/date=*/vehicle=*/*.rlc')
    check(len(rlcs) == whole['made'], f'{len(rlcs)} .rlc for {whole["made"]} clips')
    run(ROADLOOP, 'inspect', '--verify', *rlcs)
    return whole['made']


if __name__ == '__main__':
    with Stack(seed=5) as stack:
        sinks = [member(stack, number, '--artifacts', RAV4) for number in range(MEMBERS)]
        until(lambda: [partitions(stack, name_of(n)) for n in range(MEMBERS)] == [1] * MEMBERS, 40, 'each has 1 of 4')
        check(status(stack)[0] == 0, 'nothing was sent, and it lags')
        car = fleet(stack)
        until(lambda: len(stack.stored()) >= VEHICLES, 40, 'a quarter of the clips')
        victim = stack.random.randrange(1, MEMBERS)
        sinks[victim].kill()
        sinks[victim].wait()
        start, before = time.monotonic(), len(stack.stored())
        code, lag = status(stack)
        check(code == 1 and lag['lag'] > 0 and len(lag['partitions']) == 4, f'a member is dead, and nothing lags: {lag}')
        check(lag['lag'] == sum(p['lag'] for p in lag['partitions']), f'the sum of the lags: {lag}')
        left = [n for n in range(MEMBERS) if n != victim]
        until(lambda: sum(partitions(stack, name_of(n)) for n in left) == 4, 60, 'the others have all partitions')
        back = time.monotonic() - start
        check(car.wait(timeout=120) == 0, 'simulate: ' + stack.tail('simulate.log') + ''.join(line for line in open(stack.path('books')) if 'false' in line))
        until(lambda: status(stack)[0] == 0, 30, 'no lag is left')
        made = check_fleet(stack)
        for n in left:
            sinks[n].terminate()
        for n in left:
            check(sinks[n].wait(timeout=20) == 0, 'a sink did not stop cleanly:\n' + stack.tail('sink.log'))
            check(total(read_metrics(stack.path(name_of(n))), 'sink_clips_stored_total') > 0, f'member {n} stored nothing')
        check(before < made, 'the kill came after the last clip')
    print(f'{MEMBERS} sinks, one killed after {before} of {made} clips, its partition in other hands after {back:.1f} s (lag {lag["lag"]} '
          'at the kill, 0 at the end): all stored, once, every book closes')
