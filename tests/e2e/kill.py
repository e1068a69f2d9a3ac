#!/usr/bin/env python3
"""Kills the daemon, then the sink, KILL_CYCLES times each at seeded moments, and takes the broker down
and up meanwhile: at the end the dataset holds each clip once, byte-exact, and the books close. A killed
daemon plays the recording again from its begin. KILL_SEED gives other moments."""
import os
import time

from harness import Stack, check, until

CYCLES = int(os.environ.get('KILL_CYCLES', '10'))
SEED = int(os.environ.get('KILL_SEED', '1'))


def kill_daemon():
    with Stack(seed=SEED, rate='64KiB', burst='32KiB') as stack:
        expected = stack.expected()
        stack.start_sink()
        for cycle in range(CYCLES):
            daemon = stack.start_daemon()
            time.sleep(stack.random.uniform(0.02, 1.2))
            if daemon.poll() is None:
                daemon.kill()
            check(daemon.wait() in (0, -9), 'the daemon died by itself:\n' + stack.tail('daemon.log'))
            if cycle % 4 == 1:
                stack.broker.say('down')
            if cycle % 4 == 2:
                stack.broker.say('up')
        stack.broker.say('up')
        stack.finish_daemon(stack.start_daemon())
        until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        return len(expected)


def kill_sink():
    with Stack(seed=SEED + 1, rate='64KiB', burst='32KiB') as stack:
        expected = stack.expected()
        stack.start_sink()
        daemon = stack.start_daemon()
        for _ in range(CYCLES):
            time.sleep(stack.random.uniform(0.02, 0.7))
            stack.kill_sink()
            stack.start_sink()
        stack.finish_daemon(daemon, 90)
        until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        return len(expected)


if __name__ == '__main__':
    clips = kill_daemon(), kill_sink()
    print(f'{CYCLES} kills of the daemon over {clips[0]} clips, {CYCLES} of the sink over {clips[1]}: '
          'complete, once, byte-exact; the books close')
