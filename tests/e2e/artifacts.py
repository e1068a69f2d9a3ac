#!/usr/bin/env python3
"""Databases that the sink does not have (docs/SINK.md 4, docs/KAFKA.md K10, K48): three cars that do not ship theirs
give clips to a sink with an empty folder, to one that is given wrong bytes by the topic and by the folder, and to one
with the right files. The bytes are always stored; `reexport` makes whole what was raw-only."""
import collections
import hashlib
import json
import os
import shutil
import subprocess

from harness import DBCS, ROADLOOP, Stack, build_relay, check, run, until

RECEIPT, COMPLETE = 6, 1  # enum wire_kind, the result of a receipt
PATHS = [dbc.split('=')[1] for dbc in DBCS]


def sha256(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


NEEDS = {sha256(path) for path in PATHS}


def receipts(stack):
    """{clip id hex: (result, {needs})} of the last receipt of each clip, read by docs/KAFKA.md."""
    found = {}
    for message in stack.broker.messages('receipt'):
        value = message.value
        check(message.kind == RECEIPT, f'kind {message.kind} on the receipt topic')
        result = value[16 + 52]
        at = 16 + 53 + 1 + value[16 + 53]
        ranges, needs = value[at], value[at + 1]
        at += 2 + 9 * ranges
        found[value[16:32].hex()] = result, {value[at + 32 * i:at + 32 * (i + 1)].hex() for i in range(needs)}
    return found


def wrong_artifact():
    """An artifact under the first database's hash that holds other bytes: (key, value)."""
    with open(PATHS[0], 'rb') as f:
        other = f.read().replace(b'BRKON', b'BRKOF')
    frame = subprocess.run(['zstd', '-qc'], input=other, stdout=subprocess.PIPE, check=True).stdout
    named = bytes.fromhex(sha256(PATHS[0]))
    return named.hex(), (b'RLWV' + bytes([1, 7, 0, 0]) + bytes(8) + named + b'\x01' + b'\x05a.dbc'
                         + len(other).to_bytes(4, 'little') + frame)


def drive(stack, name):
    """Another car, with an outbox of its own, plays the drive. Returns its clips."""
    stack.vehicle = name
    shutil.rmtree(stack.path('state'))
    os.makedirs(stack.path('state'))
    stack.write_config()
    expected = stack.expected()
    stack.finish_daemon(stack.start_daemon())
    until(lambda: set(expected) <= set(stack.stored()), 15, f'every clip of {name} in the dataset')
    return expected


def check_clips(stack, clips, status, needs):
    """What CLIP.json, the receipts and the MCAP say of these clips."""
    said, records = receipts(stack), stack.records()
    for clip in clips:
        base, record = records[clip]
        check(record['status'] == status, f'{clip}: {record["status"]}, not {status}')
        check(set(record['needs']) == needs, f'{clip}: needs {record["needs"]}')
        check(said[clip] == (COMPLETE, needs), f'{clip}: the receipt says {said[clip]}')
        check(is_decoded(os.path.join(os.path.dirname(base), record['mcap'])) == (not needs), f'{clip}: what its MCAP holds')


def is_decoded(path):
    """Does the summary name a schema of the database, or is it raw frames alone?"""
    with open(path, 'rb') as f:
        content = f.read()
    check(b'raw' in content, f'{path}: no raw topic')
    return b'VSC1S07' in content


def announced(stack):
    return collections.Counter(json.loads(m.value)['status'] for m in stack.broker.messages('dataset'))


def reexport(stack, *more, status):
    done = run(ROADLOOP, 'sink', 'reexport', stack.path('dataset'), *more, ok=(status,))
    return done.stdout.decode() + done.stderr.decode()


def check_again(stack, raw, whole):
    """reexport: nothing without the files, all with them, and nothing more a second time."""
    said = reexport(stack, status=1)
    check(f'0 made, {len(raw)} still raw-only, 0 failed' in said and 'still lacks databases' in said, said)
    said = reexport(stack, '--artifacts', stack.path('right'), status=0)
    check(f'{len(raw)} made, 0 still raw-only, 0 failed' in said, said)
    for clip, (base, record) in stack.records().items():
        name = os.path.basename(base) + ('.r1.mcap' if clip in raw else '.mcap')
        check(record['status'] == 'complete' and not record['needs'] and record['mcap'] == name, f'{clip}: {record["mcap"]}')
        check(is_decoded(os.path.join(os.path.dirname(base), name)), f'{clip}: {name} is not decoded')
        check(clip not in raw or not is_decoded(base + '.mcap'), f'{clip}: the first MCAP was changed')
    check('0 made' in reexport(stack, '--artifacts', stack.path('right'), status=0), 'made again what was whole')
    clip = sorted(whole)[0]
    check(f'{clip}.r1.mcap' in reexport(stack, '--artifacts', stack.path('right'), clip, status=0), 'a clip by its name')


def main():
    build_relay()
    with Stack(artifacts='no') as stack:
        for folder in ('empty', 'wrong', 'right'):
            os.makedirs(stack.path(folder))
        for path in PATHS:
            shutil.copy(path, stack.path('right'))
            with open(os.path.join(stack.path('wrong'), sha256(path)), 'wb') as f:
                f.write(b'VERSION ""\nBU_: X\n')  # under the right name: content decides
        # An empty folder, and a car that does not ship.
        stack.start_sink('--artifacts', stack.path('empty'))
        clips = drive(stack, 'car-1')
        raw = dict(clips)
        check_clips(stack, clips, 'raw_only', NEEDS)
        check(not stack.broker.messages('artifact'), 'the car sent artifacts against its policy')
        stack.stop_sink()
        stack.check_books(delivered=len(clips))
        # Wrong bytes under the right name, in the topic and in the folder.
        key, value = wrong_artifact()
        stack.broker.put([('artifact', 0, key, value, True)])
        stack.start_sink('--artifacts', stack.path('wrong'))
        clips = drive(stack, 'car-2')
        raw.update(clips)
        check_clips(stack, clips, 'raw_only', NEEDS)
        letters = until(lambda: stack.broker.messages('dlq'), 10, 'the wrong artifact in the dead-letter topic')
        check(len(letters) == 1 and letters[0].key.decode() == key and b'content is' in letters[0].headers['dlq_reason'],
              f'{len(letters)} dead letters: {letters[0].headers}')
        stack.stop_sink()
        stack.check_books(delivered=len(clips))
        # The right files, under any names.
        stack.start_sink('--artifacts', stack.path('right'))
        whole = drive(stack, 'car-3')
        check_clips(stack, whole, 'complete', set())
        stack.stop_sink()
        stack.check_books(delivered=len(whole))
        check(announced(stack) == {'raw_only': len(raw), 'complete': len(whole)}, f'dataset.v1 says {announced(stack)}')
        check_again(stack, raw, whole)
        stack.check_dataset({**raw, **whole})
        print(f'{len(raw)} clips raw-only for want of their databases (none, and wrong ones), {len(whole)} whole by --artifacts; '
              'reexport makes all whole; byte-exact, the books close')


main()
