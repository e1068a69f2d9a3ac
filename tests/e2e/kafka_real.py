#!/usr/bin/env python3
"""Daemon to Kafka itself to sink: every clip of the RAV4 and of the Subaru drive in the dataset, byte-exact, receipts
back, the books closed. strace of the daemon's unlink beside the broker's own stamps of the receipts, read by a client
that shares nothing with ours: no segment went before its receipt. The topics are made by `roadloop topics create`, which
then says how they differ and refuses another partition count."""
import re

from harness import DBCS, ENV, RAV4, ROADLOOP, ROOT, SUBARU, KafkaBroker, Stack, check, run, topic, unpack, until

RECEIPT, CLIP_AT, RESULT_AT, COMPLETE = 6, 16, 68, 1  # docs/KAFKA.md, Values
CARS = [('rav4', f'{RAV4}/can.log.zst', f'{ROOT}/tests/data/packs/often.yaml', DBCS),
        ('subaru', f'{SUBARU}/can.log.zst', f'{ROOT}/tests/data/packs/subaru.yaml', [f'can0={SUBARU}/sample_can_spec.dbc'])]


def topics(broker, *more, ok=(0,)):
    return run(ROADLOOP, 'topics', 'create', '--bootstrap', broker.bootstrap, '--env', ENV, *more, ok=ok).stdout.decode()


def check_topics(broker):
    """Made as docs/KAFKA.md has them; then compared."""
    said = topics(broker, '--partitions', '4', '--dry-run')
    check(said.count('would be made') == 6, 'dry run:\n' + said)
    said = topics(broker, '--partitions', '4')
    check(said.count(' made: ') == 6, 'the dry run made something, or topics are missing:\n' + said)
    said = topics(broker, '--partitions', '4')
    check(said.count('is there, as it should be') == 6, 'made and found to differ:\n' + said)
    broker.admin('config', topic('dlq'), 'retention.ms=1000')
    said = topics(broker, '--partitions', '4', ok=(1,))
    check('retention.ms: 1000, not 2592000000' in said, 'another retention is not named:\n' + said)
    said = topics(broker, '--partitions', '8', ok=(1,))
    check('partitions: 4, not 8' in said and 'is not changed' in said, 'another partition count:\n' + said)
    check('"partition_index": 4' not in broker.admin('describe', topic('clip')), 'partitions were added')


def receipts(broker):
    """{clip id hex: ms since 1970 at which the broker appended its first `complete`}."""
    at = {}
    for message in broker.read('receipt'):
        value = bytes.fromhex(message['value'])
        check(value[:4] == b'RLWV' and value[5] == RECEIPT, f'receipt.v1 holds {value[:16].hex()}')
        if value[RESULT_AT] == COMPLETE:
            clip = value[CLIP_AT:CLIP_AT + 16].hex()
            at[clip] = min(at.get(clip, 1 << 62), message['timestamp'])
    return at


def unlinked(path):
    """[(ms, clip id hex)] of the segments that the daemon took away, by strace."""
    with open(path, errors='replace') as f:
        found = re.findall(r'(\d+\.\d+) unlink(?:at)?\([^"]*"[^"]*/([0-9a-f]{32})[^"/]*\.rlc".*= 0', f.read())
    return [(float(stamp) * 1000, clip) for stamp, clip in found]


def drive(stack, name, packed, pack, dbcs):
    """One drive of the car, until all its clips have receipts. Returns what it adds to the dataset."""
    stack.log, stack.pack, stack.dbcs = stack.path(name + '.log'), pack, dbcs
    unpack(packed, stack.log)
    stack.write_config()
    expected = stack.expected()
    stack.finish_daemon(stack.start_daemon(wrap=('strace', '-f', '-qq', '-ttt', '-A', '-e', 'trace=unlink,unlinkat',
                                                 '-o', stack.path('trace'))))
    return expected


def main():
    broker, expected = KafkaBroker(topics=None), {}
    try:
        check_topics(broker)
        broker.admin('config', topic('receipt'), 'message.timestamp.type=LogAppendTime')
        # Each drive is below the quota and both are not: what the first left must go while the second is recorded.
        with Stack(broker=broker, quota='1MiB') as stack:
            stack.start_sink()
            for car in CARS:
                clips = drive(stack, *car)
                expected.update(clips)
                print(f'{car[0]}: {len(clips)} clips with receipts')
            until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
            stack.stop_sink()
            stack.check_dataset(expected)
            stack.check_books()
            at, gone = receipts(broker), unlinked(stack.path('trace'))
            check(set(expected) <= set(at), f'clips without a receipt: {sorted(set(expected) - set(at))}')
            for stamp, clip in gone:
                check(clip in at and at[clip] <= stamp, f'clip {clip} went at {stamp} ms, its receipt is of {at.get(clip)} ms')
            check(gone, 'no segment went: the order of receipt and unlink was not seen')
            print(f'{len(expected)} clips through Kafka, byte-exact, the books close; {len(gone)} segments went, none before its receipt')
    finally:
        broker.close()


main()
