#!/usr/bin/env python3
"""A relay between car and sink drops one chunk of five: each clip that lost one is stated `partial` with
the very ranges, the car is asked, sends those chunks and no other, and every clip becomes whole."""
import collections
import glob
import json
import os
import subprocess

from harness import ENV, RELAY, Broker, Stack, build_relay, check, until

CHUNK = 2  # of enum wire_kind


def partials(stack, seen):
    """Adds {clip: {(segment, index)}} of the clips that the dataset says are partial now."""
    for path in glob.glob(stack.path('dataset') + '/partial/vehicle=*/*.json'):
        try:
            with open(path) as f:
                record = json.load(f)
        except FileNotFoundError:
            continue  # whole meanwhile
        check(record['status'] == 'partial', f'{path}: status {record["status"]}')
        missing = {(held['segment'], first + i) for held in record['held_segments']
                   for first, count in held['missing'] for i in range(count)}
        seen.setdefault(os.path.basename(path)[:-5], missing)
    return seen


def main():
    build_relay()
    with Stack(chunk='16KiB') as stack:
        expected = stack.expected()
        near, far = stack.broker, Broker()
        relay = subprocess.Popen([RELAY, 'relay', near.bootstrap, far.bootstrap, ENV], stdout=subprocess.PIPE, text=True)
        stack.children.append(relay)
        check(relay.stdout.readline() == 'ready\n', 'the relay did not start')
        stack.broker = far
        stack.start_sink('--partial-after', '2')
        daemon = stack.start_daemon()  # the configuration names the near broker
        seen = {}
        until(lambda: partials(stack, seen) and daemon.poll() is not None, 40, 'every clip delivered')
        stack.finish_daemon(daemon)
        stack.stop_sink()
        relay.kill()
        dropped = collections.defaultdict(set)
        for line in relay.stdout.read().splitlines():
            _, clip, segment, index = line.split(' ')
            dropped[clip].add((int(segment), int(index)))
        sent = collections.Counter(m.chunk for m in near.messages('clip') if m.kind == CHUNK)
        stack.children.remove(relay)
        near.close()
        count = sum(map(len, dropped.values()))
        check(count == len(sent) // 5 and count >= 4, f'{count} of {len(sent)} chunks dropped')
        check(seen == dropped, f'stated missing {seen}\ndropped {dict(dropped)}')
        for (clip, segment, index), times in sent.items():
            want = 2 if (segment, index) in dropped.get(clip, ()) else 1
            check(times == want, f'chunk {index} of {clip}-{segment} was sent {times} times, not {want}')
        check(not glob.glob(stack.path('dataset') + '/partial/vehicle=*/*'), 'a statement of a partial clip is left')
        stack.check_dataset(expected)
        stack.check_books()
        print(f'{count} of {len(sent)} chunks dropped in {len(dropped)} of {len(expected)} clips: stated, asked for, '
              'sent once more and no other; complete, byte-exact, the books close')


main()
