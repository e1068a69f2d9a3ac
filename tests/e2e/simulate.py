#!/usr/bin/env python3
"""roadloop simulate: vehicles that share connections send clips of a real drive through broker and sink.
The dataset holds of each vehicle exactly the clips that its books call stored; the same seed makes the same
clips again, which the sink knows; without a broker everything is pending and the books close too."""
import collections
import json
import os

from harness import BUSY, DBCS, ENV, RAV4, ROADLOOP, Stack, check, run, until

VEHICLES, RATE, SECONDS = 25, 20, 6


def simulate(stack, *more, bootstrap=None, ok=(0,), drain=30):
    """The books: {vehicle: line}, and the sum of all."""
    command = [ROADLOOP, 'simulate', stack.log, '--rules', BUSY, '--bootstrap', bootstrap or stack.broker.bootstrap, '--env', ENV,
               '--vehicles', str(VEHICLES), '--rate', str(RATE), '--duration', str(SECONDS), '--drain', str(drain), '--json']
    for dbc in DBCS:
        command += ['--dbc', dbc]
    lines = [json.loads(line) for line in run(*command, *more, ok=ok).stdout.decode().splitlines()]
    books = {line['vehicle']: line for line in lines}
    whole = books.pop('all')
    check(len(books) == VEHICLES and whole['close'], f'the books: {whole}')
    for name in ('made', 'stored', 'refused', 'pending', 'sent_bytes'):
        check(whole[name] == sum(line[name] for line in books.values()), f'the sum of {name}')
    check(whole['made'] == whole['stored'] + whole['refused'] + whole['pending'], f'made is not the sum: {whole}')
    return books, whole


def same_as_dataset(stack, books):
    found = collections.Counter(os.path.basename(os.path.dirname(base)) for base in stack.stored().values())
    want = {f'vehicle={name}': line['stored'] for name, line in books.items() if line['stored']}
    check(found == want, f'dataset and books differ: {found} {want}')


if __name__ == '__main__':
    with Stack() as stack:
        nobody = simulate(stack, bootstrap='127.0.0.1:1', drain=0)[1]
        check(nobody['pending'] == nobody['made'] > 0, f'without a broker: {nobody}')
        stack.start_sink('--artifacts', RAV4)
        books, whole = simulate(stack)
        check(whole['stored'] == whole['made'] == nobody['made'], f'not all stored: {whole}')
        same_as_dataset(stack, books)
        again, repeated = simulate(stack, '--per-connection', '3')
        check(repeated['stored'] == whole['made'], f'the same clips once more: {repeated}')
        same_as_dataset(stack, books)
        other = simulate(stack, '--seed', '2')[1]
        until(lambda: len(stack.stored()) == whole['made'] + other['made'], 10, 'clips of another seed are others')
        stack.stop_sink()
        check(run(ROADLOOP, 'simulate', ok=(2,)).returncode == 2, 'no drive')
        check(run(ROADLOOP, 'simulate', stack.log, '--bootstrap', 'x:1', '--env', ENV, ok=(2,)).returncode == 2, 'no rules')
    print(f'{VEHICLES} vehicles, {whole["made"]} clips: all stored, twice the same by the same seed; the books close')
