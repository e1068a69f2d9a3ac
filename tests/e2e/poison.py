#!/usr/bin/env python3
"""Poison among good clips: each message that no sink can use lands in the dead-letter topic once, unchanged,
with where it stood and why; the good clips all arrive."""
import hashlib
import random
import subprocess

from harness import Stack, build_relay, check, topic, until

CAR = 'car-2'


def u32(value):
    return value.to_bytes(4, 'little')


def sealed(kind, body):
    """A value whose hash kafka_relay fills in (docs/KAFKA.md, prefix)."""
    return b'RLWV' + bytes([1, kind, 0, 0]) + bytes(8) + body


def chunk(index=0, count=1, chunk_bytes=16384, segment_bytes=100, payload=100):
    return sealed(2, bytes(16) + bytes(range(32)) + u32(0) + u32(index) + u32(count) + u32(chunk_bytes)
                  + u32(segment_bytes) + bytes(payload))


def poisons():
    """[(name, words of the reason, (topic, partition, key, value, seal))]"""
    noise = random.Random(5).randbytes(300)
    text = b'R' * 4
    bomb = subprocess.run(['zstd', '-qc', '--no-check'], input=bytes(64 << 20), stdout=subprocess.PIPE, check=True).stdout
    artifact = sealed(7, hashlib.sha256(text).digest() + b'\x01' + b'\x05a.dbc' + u32(1000) + bomb)
    rest = bytes(32) + b'\x01' + b'\x05a.dbc'
    hexed = hashlib.sha256(text).hexdigest()
    # About of a manifest-open: ids, ordinal, start, end, utc, priority, segments, pseudonym, rule.
    about = bytes(16) + bytes(16) + bytes(8 * 4) + bytes([5, 1]) + b'\x05car-9' + b'\x00'
    return [
        ('random bytes', 'magic', ('clip', 0, CAR, noise, False)),
        ('truncated', '', ('clip', 1, CAR, chunk()[:90], True)),
        ('wrong hash', 'hash', ('clip', 2, CAR, chunk(), False)),
        ('index >= count', 'index', ('clip', 3, CAR, chunk(index=1), True)),
        ('total beyond every limit', '', ('clip', 0, CAR, chunk(count=0xffffffff, segment_bytes=0xffffffff), True)),
        ('key mismatch', "'car-9'", ('clip', 1, CAR, sealed(1, about), True)),
        ('key that is no pseudonym', 'pseudonym', ('clip', 2, '../../etc', chunk(), True)),
        ('wrong topic', 'belong', ('clip', 3, CAR, artifact, True)),
        ('zstd bomb', 'artifact', ('artifact', 0, hexed, artifact, True)),
        ('artifact of 2^32 - 1 bytes', 'raw_bytes', ('artifact', 0, hexed, sealed(7, rest + u32(0xffffffff) + bomb[:100]), True)),
    ]


def main():
    build_relay()
    with Stack(seed=6, rate='128KiB', burst='32KiB') as stack:
        expected, bad = stack.expected(), poisons()
        stack.broker.put([message for _, _, message in bad[:5]])
        stack.start_sink()
        daemon = stack.start_daemon()
        until(lambda: stack.stored(), 20, 'a first clip')
        stack.broker.put([message for _, _, message in bad[5:]])
        stack.finish_daemon(daemon)
        until(lambda: len(stack.broker.messages('dlq')) >= len(bad), 15, 'every dead letter')
        stack.stop_sink()
        letters = stack.broker.messages('dlq')
        check(len(letters) == len(bad), f'{len(letters)} dead letters for {len(bad)} messages')
        for name, words, (where, partition, key, value, seal) in bad:
            # A seal changes bytes 8 to 15.
            found = [m for m in letters if m.value[:8] + m.value[16:] == value[:8] + value[16:]
                     and m.headers['dlq_topic'] == topic(where).encode()
                     and m.headers['dlq_partition'] == str(partition).encode() and m.key == key.encode()]
            check(len(found) == 1, f'{name}: {len(found)} dead letters')
            headers = found[0].headers
            reason = headers['dlq_reason'].decode()
            check(words in reason and reason, f'{name}: the reason is {reason!r}')
            check(int(headers['dlq_offset']) >= 0 and int(headers['dlq_ts']) > 1.6e12, f'{name}: {headers}')
        stack.check_dataset(expected)
        stack.check_books()
        print(f'{len(bad)} poisonous messages in the dead-letter topic, once each, with reason; {len(expected)} clips '
              'complete, byte-exact, the books close')


main()
