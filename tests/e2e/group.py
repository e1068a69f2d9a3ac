#!/usr/bin/env python3
"""The sink as member of a consumer group: (1) it joins, is killed and returns while the car sends; (2) two
members share the partitions and one of them is killed for good. Each time the dataset is complete, each clip
once and byte-exact. On the mock a dead member's partitions come back after its session time-out."""
import os
import subprocess
import time

from harness import ENV, ROADLOOP, Stack, check, read_metrics, total, until

SESSION = ['--kafka', 'session.timeout.ms=6000']


def member(stack, number, *more):
    """A group member with a cache and metrics of its own."""
    log = open(stack.path('sink.log'), 'ab')
    name = 'sink.prom' if number == 0 else f'sink{number}.prom'
    process = subprocess.Popen(
        [ROADLOOP, 'sink', 'run', '--bootstrap', stack.broker.bootstrap, '--env', ENV, '--dataset', stack.path('dataset'),
         '--cache', stack.path(f'sink{number}.cache'), '--group', 'roadloop-sink', '--metrics', stack.path(name), *SESSION, *more],
        stdout=log, stderr=log)
    stack.children.append(process)
    return process


def partitions(stack, name):
    return total(read_metrics(stack.path(name)), 'sink_partitions') if os.path.exists(stack.path(name)) else 0


def finish(stack, daemon, expected, last):
    stack.finish_daemon(daemon, 60)
    until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
    last.terminate()
    check(last.wait(timeout=20) == 0, 'the sink did not stop cleanly:\n' + stack.tail('sink.log'))
    stack.check_dataset(expected)
    stack.check_books()


def killed_and_back():
    with Stack(seed=3, rate='64KiB', burst='32KiB') as stack:
        expected = stack.expected()
        first = member(stack, 0)
        until(lambda: partitions(stack, 'sink.prom') == 4, 20, 'the member has the 4 partitions')
        daemon = stack.start_daemon()
        until(lambda: len(stack.stored()) >= 1, 20, 'a clip in the dataset')
        first.kill()
        first.wait()
        before = len(stack.stored())
        os.unlink(stack.path('sink.prom'))
        start = time.monotonic()
        second = member(stack, 0)
        until(lambda: partitions(stack, 'sink.prom') == 4, 40, 'the member is back')
        back = time.monotonic() - start
        finish(stack, daemon, expected, second)
        return len(expected), before, back


def two_members():
    with Stack(seed=4, rate='64KiB', burst='32KiB') as stack:
        expected = stack.expected()
        one, other = member(stack, 1), member(stack, 0)
        until(lambda: (partitions(stack, 'sink1.prom'), partitions(stack, 'sink.prom')) == (2, 2), 30, 'each has 2 of 4')
        daemon = stack.start_daemon()
        # The car has one partition: the member that holds it stores; kill that one.
        holder = until(lambda: next((n for n in ('sink1.prom', 'sink.prom')
                                     if total(read_metrics(stack.path(n)), 'sink_chunks_total')), None), 20, 'chunks arrive')
        victim, left, name = (one, other, 'sink.prom') if holder == 'sink1.prom' else (other, one, 'sink1.prom')
        victim.kill()
        victim.wait()
        before = len(stack.stored())
        start = time.monotonic()
        until(lambda: partitions(stack, name) == 4, 40, 'the other member has all 4 partitions')
        back = time.monotonic() - start
        stack.finish_daemon(daemon, 60)
        left.terminate()
        check(left.wait(timeout=20) == 0, 'the sink did not stop cleanly:\n' + stack.tail('sink.log'))
        if name != 'sink.prom':
            os.replace(stack.path(name), stack.path('sink.prom'))
        stack.check_dataset(expected)
        stack.check_books()
        return len(expected), before, back


if __name__ == '__main__':
    for what, (clips, before, back) in (('killed and back', killed_and_back()), ('two members, one killed', two_members())):
        print(f'{what}: {before} of {clips} clips before, partitions again after {back:.1f} s; complete, once, byte-exact, '
              'the books close')
