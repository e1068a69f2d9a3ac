#!/usr/bin/env python3
"""The kill loop (kill_loop.py) against Kafka itself, which is killed too: KILL_BROKER_CYCLES (20) drives, in each of
them the broker dies at a random seeded moment, sometimes daemon or sink as well."""
import os

from harness import KafkaBroker, Stack
from kill_loop import SEED, Loop, main, shorten

CYCLES = int(os.environ.get('KILL_BROKER_CYCLES', '20'))


class BrokerLoop(Loop):
    def choose(self):
        return ['broker'] + self.stack.random.choices(self.victims, k=self.stack.random.randint(0, 1))


if __name__ == '__main__':
    with Stack(seed=SEED, rate='256KiB', burst='64KiB', broker=KafkaBroker()) as the_stack:
        shorten(the_stack)
        main(BrokerLoop(the_stack, ('daemon', 'sink', 'broker'), patience=120), CYCLES)
