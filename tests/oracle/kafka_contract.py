#!/usr/bin/env python3
"""docs/KAFKA.md held to by eyes that share no code with roadloop: contract.py (the page in Python) and kafka-python
(a client without librdkafka), on Apache Kafka itself.

First a program in Python is the car: it writes a clip by docs/FORMAT.md, sends it by docs/KAFKA.md, and the sink must
store it; it withholds chunks, sends too much, asks again. Then a daemon drives, and every message of every topic is
read and must be what the page says: key, partition, headers, value, order. Statements: K1, K2, K5, K7, K8, K9, K10,
K12, K13, K14, K15, K43, K44, K51, K52, K53, K54, K55."""
import hashlib
import json
import os
import struct
import sys
import time

import contract
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'e2e'))
from harness import ENV, ROADLOOP, TOPICS, KafkaBroker, Stack, check, run, topic, until  # noqa: E402
import rlc_reader  # noqa: E402

CAR, SESSION, CHUNK, GROUP = 'py-car', hashlib.sha256(b'contract').digest()[:16], 4096, 'roadloop-sink'
COMPLETE, MISSING = 1, 2


class Wire:
    """A car's producer, and a reader of all that topics hold."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.producer = KafkaProducer(bootstrap_servers=bootstrap, acks='all', linger_ms=0)

    def send(self, name, key, value, headers=()):
        """The client's own partitioner chooses, and K12 must agree. Returns (partition, offset)."""
        sent = self.producer.send(topic(name), key=key, value=value, headers=list(headers)).get(20)
        check(sent.partition == contract.partition(key, TOPICS[name]), f'K12: {key} went to {sent.partition}')
        return sent.partition, sent.offset

    def read(self, name):
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset='earliest')
        parts = [TopicPartition(topic(name), p) for p in range(TOPICS[name])]
        consumer.assign(parts)
        ends, out = consumer.end_offsets(parts), []
        while any(consumer.position(p) < ends[p] for p in parts):
            for messages in consumer.poll(timeout_ms=300).values():
                out += messages
        consumer.close()
        return out

    def committed(self, partition):
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=GROUP, enable_auto_commit=False)
        offset = consumer.committed(TopicPartition(topic('clip'), partition))
        consumer.close()
        return offset

    def receipts(self, clip):
        values = [contract.decode(m.value)[1] for m in self.read('receipt') if m.key == CAR.encode()]
        return [v for v in values if v['clip'] == clip]

    def wait_receipt(self, clip, ask):
        found = until(lambda: [v for v in self.receipts(clip) if v['ask'] == ask], 20, f'a receipt for ask {ask}')
        return found[-1]


class Clip:
    """One clip of the Python car."""

    def __init__(self, ordinal, frames):
        self.id, self.data = contract.clip_id(CAR, SESSION, ordinal), contract.segment(CAR, SESSION, ordinal, frames)
        self.about = dict(clip=self.id, session=SESSION, ordinal=ordinal, start_ns=frames[0][0], end_ns=frames[-1][0], utc_ns=0,
                          priority=5, segments=1, pseudonym=CAR, rule=b'test/py',
                          parts=[(len(self.data), CHUNK, hashlib.sha256(self.data).digest())])
        self.open = contract.seal(1, contract.encode_about(self.about))
        self.final = contract.encode_final(self.about)
        self.final_sha256 = hashlib.sha256(self.final).digest()
        self.chunks = contract.encode_chunks(self.id, 0, self.data, CHUNK)
        self.lines = ''.join('(%d.%06d) can0 %03X#%s\n' % (s // 10**9, s % 10**9 // 1000, k, d.hex().upper()) for s, k, d in frames)

    def question(self, ask):
        return contract.seal(4, struct.pack('<I', ask) + self.final)


def frames(seed, count=1000):
    return [(10**9 * (seed + 1) + i * 10**6, 0x100 + i % 7, bytes([i & 255, seed, i >> 8])) for i in range(count)]


def check_stored(stack, wire, clip):
    base, record = stack.records()[clip.id.hex()]
    with open(base + '.rlc', 'rb') as f:
        stored = f.read()
    check(stored == clip.data, f'{base}.rlc is not what was sent')
    check(rlc_reader.read_clip(stored) == clip.lines, f'{base}.rlc: other frames')
    check(run(ROADLOOP, 'convert', base + '.rlc', '-', '--out', 'candump').stdout.decode() == clip.lines, 'convert: other frames')
    run(ROADLOOP, 'inspect', '--verify', base + '.rlc')
    check(record['status'] == 'complete', f'{record["status"]}')


def whole_clip(stack, wire):
    """K53: complete with the hash of the manifest-final, and only when CLIP.json is there. K52: and again for every question."""
    clip = Clip(0, frames(0))
    for value in (clip.open, *clip.chunks, clip.final):
        wire.send('clip', CAR.encode(), value)
    receipt = wire.wait_receipt(clip.id, 0)
    check(clip.id.hex() in stack.stored(), 'K53: complete before CLIP.json')
    for ask in (1, 7):
        check(receipt['result'] == COMPLETE and receipt['final_sha256'] == clip.final_sha256, f'K52: {receipt}')
        wire.send('clip', CAR.encode(), clip.question(ask))
        receipt = wire.wait_receipt(clip.id, ask)
    check_stored(stack, wire, clip)
    return clip


def withheld_chunk(stack, wire):
    """K54: missing without an ask when chunks stay away. K52: an ask names them. K55: the offset waits for the clip."""
    clip = Clip(1, frames(1))
    check(len(clip.chunks) >= 4, f'{len(clip.chunks)} chunks')
    part, first = wire.send('clip', CAR.encode(), clip.open)
    for i in (3, 0, 0):  # out of order and twice
        wire.send('clip', CAR.encode(), clip.chunks[i])
    told = wire.wait_receipt(clip.id, contract.ASK_NONE)
    check(told['result'] == MISSING and told['final_sha256'] == bytes(32), f'K54: {told}')
    wire.send('clip', CAR.encode(), clip.question(1))
    told = wire.wait_receipt(clip.id, 1)
    lacks = {i for _, start, count in told['ranges'] for i in range(start, start + count)}
    check(told['result'] == MISSING and lacks == set(range(len(clip.chunks))) - {0, 3}, f'K52: missing {told["ranges"]}')
    check(told['final_sha256'] == clip.final_sha256 and clip.id.hex() not in stack.stored(), 'K53: stored without its chunks')
    check((wire.committed(part) or 0) <= first, f'K55: committed {wire.committed(part)} beyond {first}, which is needed')
    for i in sorted(lacks):
        wire.send('clip', CAR.encode(), clip.chunks[i])
    part, last = wire.send('clip', CAR.encode(), clip.question(2))
    check(wire.wait_receipt(clip.id, 2)['result'] == COMPLETE, 'complete when the rest has come')
    until(lambda: wire.committed(part) == last + 1, 15, 'K55: the committed offset goes on')
    check_stored(stack, wire, clip)
    return clip


def dead_letters(wire):
    """K15: unchanged, with where it stood, why and when. K5: the reason names the field. Headers of the sender stay."""
    clip = Clip(2, frames(2))
    flipped = bytearray(clip.chunks[0])
    flipped[100] ^= 1
    geometry = contract.seal(2, clip.id + bytes(32) + struct.pack('<IIIII', 0, 9, 1, CHUNK, 100) + bytes(100))
    cases = [(CAR.encode(), bytes(flipped), 'hash'), (CAR.encode(), geometry, 'index'), (b'another-car', clip.final, "'py-car'")]
    before = int(time.time() * 1000) - 1000
    sent = [wire.send('clip', key, value, [('mine', b'\x00\xff'), ('dlq_reason', b'not mine')]) for key, value, _ in cases]
    letters = until(lambda: (lambda found: found if len(found) >= len(cases) else None)(wire.read('dlq')), 15, 'every dead letter')
    check(len(letters) == len(cases), f'{len(letters)} dead letters')
    for (key, value, words), (part, offset) in zip(cases, sent):
        letter = [m for m in letters if m.value == value][0]
        said = dict(letter.headers)  # the last of a name counts
        check(letter.key == key and letter.headers[0] == ('mine', b'\x00\xff'), f'K15: {letter.headers}')
        check((said['dlq_topic'], said['dlq_partition'], said['dlq_offset'])
              == (topic('clip').encode(), b'%d' % part, b'%d' % offset), f'K15: {said}')
        check(words in said['dlq_reason'].decode(), f'K5: the reason is {said["dlq_reason"]}')
        check(before <= int(said['dlq_ts']) <= int(time.time() * 1000) + 1000, f'K15: {said["dlq_ts"]}')


def check_headers(name, message, kind, fields):
    """K13: CloudEvents 1.0 in binary mode, and rl_*."""
    h, what = {key: value.decode() for key, value in message.headers}, contract.KINDS[kind]
    subject = fields['sha256' if kind == 7 else 'session' if kind == 8 else 'clip'].hex()
    want = {'ce_specversion': '1.0', 'ce_type': f'roadloop.{what}.v1', 'ce_subject': subject, 'rl_kind': what,
            'ce_source': '/sink/roadloop' if kind == 6 else f'/vehicle/{fields.get("pseudonym", "car-1")}',
            'content-type': f'application/vnd.roadloop.{what}.v1', 'ce_id': h['ce_id']}
    if kind == 2:
        want.update(rl_segment=str(fields['segment']), rl_seq=str(fields['index']), rl_total=str(fields['count']), rl_hash=fields['sha256'].hex())
    if kind in (1, 3, 4):
        want.update(ce_partitionkey=fields['pseudonym'], rl_priority=str(fields['priority']), rl_rule=fields['rule'].decode())
    check(h == want, f'K13: {name} has {h}, not {want}')
    check(h['ce_id'].startswith(subject + '/') and '\0' not in ''.join(h.values()), f'K13: {h}')


def check_ids(said):
    """K13: an equal source and id is the same event."""
    values = {}
    for message, _, _ in said:
        h = dict(message.headers)
        if h:
            check(values.setdefault((h['ce_source'], h['ce_id']), message.value) == message.value, f'K13: two events are {h["ce_id"]}')


def key_of(kind, fields):
    return fields['sha256'].hex() if kind == 7 else fields['pseudonym'] if 'pseudonym' in fields else None


def check_topic(wire, name):
    """Every message: the value reads, key and partition are right. Returns [(message, kind, fields)]."""
    out = []
    for message in wire.read(name):
        try:
            kind, fields = contract.decode(message.value)
        except contract.Bad as bad:
            check(name == 'clip' and message.headers and message.headers[0][0] == 'mine', f'K3: {topic(name)}: {bad}')
            continue
        check(kind in contract.TOPIC_KINDS[name], f'kind {kind} on {name}')
        check(message.partition == contract.partition(message.key, TOPICS[name]), f'K12: {message.key} in {message.partition}')
        if message.headers and message.headers[0][0] == 'mine':
            continue
        check(key_of(kind, fields) in (None, message.key.decode()), f'key {message.key} on {name}')
        if message.headers:  # ours have none: no reader depends on them
            check_headers(name, message, kind, fields)
        else:
            check(message.key == CAR.encode(), f'K13: {name} of {message.key} without headers')
        out.append((message, kind, fields))
    check(out, f'nothing on {topic(name)}')
    check_ids(out)
    return out


def check_clips(stack, wire, expected):
    """What a car sends of a clip: K7, K8, K9, K43, K44, and the bytes themselves."""
    chunks, places, opened = {}, {}, {}
    for message, kind, fields in check_topic(wire, 'clip'):
        if message.key == CAR.encode():
            continue
        clip = fields['clip'].hex()
        places.setdefault(clip, {}).setdefault(kind, []).append(message.offset)
        if kind == 1:
            opened[clip] = message.timestamp
        if kind == 2:
            check(fields['chunk_bytes'] == 16384, f'K9: S is {fields["chunk_bytes"]}')
            chunks.setdefault(clip, {})[fields['segment'], fields['index']] = fields['payload']
        if kind in (1, 3, 4):
            check(len(message.value) <= 512, f'K7: {len(message.value)} bytes')
    check(set(places) == set(expected), 'the clips of the topic are not those of the drive')
    for clip, kinds in places.items():
        data = b''.join(payload for _, payload in sorted(chunks[clip].items()))
        check(data == expected[clip], f'K9: the chunks of {clip} are not its segments')
        check(kinds[1][0] < min(kinds[2]) and max(kinds[2]) < kinds[3][0], f'K43: the order of {clip}: {kinds}')
        check(len(kinds[3]) == 1, f'K44: {len(kinds[3])} manifest-finals of {clip}')
    return opened


def check_artifacts(wire, opened, records):
    """K10, and K43: in the log before the first clip that names them."""
    artifacts = {fields['sha256'].hex(): message.timestamp for message, _, fields in check_topic(wire, 'artifact')}
    for clip, at in opened.items():
        for sha256 in {dbc['sha256'] for dbc in records[clip][1]['databases']}:
            check(artifacts[sha256] <= at, f'K43: {clip} was opened before artifact {sha256} was there')
    return len(artifacts)


def check_dataset_topic(stack, wire, clips):
    """K14: one JSON object a clip, true to the files."""
    records, said = stack.records(), {}
    for message in wire.read('dataset'):
        value = json.loads(message.value)
        check(set(value) == {'clip', 'status', 'vehicle', 'session', 'ordinal', 'rule', 'priority', 'start_ns', 'end_ns', 'utc', 'path',
                             'bytes', 'sha256'}, f'K14: {sorted(value)}')
        check(message.key == value['vehicle'].encode() and message.partition == contract.partition(message.key, TOPICS['dataset']), 'K12')
        check(contract.clip_id(value['vehicle'], bytes.fromhex(value['session']), value['ordinal']).hex() == value['clip'], 'K14: clip')
        h = {key: header.decode() for key, header in message.headers}
        check(h == {'ce_specversion': '1.0', 'ce_type': 'roadloop.dataset.v1', 'ce_source': '/sink/roadloop', 'ce_subject': value['clip'],
                    'ce_id': f'{value["clip"]}/dataset.{value["status"]}', 'content-type': 'application/json', 'rl_kind': 'dataset',
                    'ce_partitionkey': value['vehicle'], 'rl_priority': str(value['priority']), 'rl_rule': value['rule']}, f'K13: {h}')
        if value['status'] == 'partial':
            continue
        with open(os.path.join(stack.path('dataset'), value['path']), 'rb') as f:
            content = f.read()
        check((len(content), hashlib.sha256(content).hexdigest()) == (value['bytes'], value['sha256']), f'K14: {value["path"]}')
        check(value['status'] == records[value['clip']][1]['status'], 'K14: status')
        said[value['clip']] = value
    check(set(said) == set(clips), 'K14: not every clip was told')


def check_groups(wire):
    """K51: a car reads by assign(), so that no group is formed for it; K52's sink commits under its own."""
    groups = KafkaAdminClient(bootstrap_servers=wire.bootstrap).list_groups()
    members = [g for g in groups if 'consumer' in str(g) and GROUP not in str(g)]
    check(not members, f'K51: groups {members}')


def main():
    check(contract.murmur2(b'21') == -973932308 & 0xffffffff and contract.murmur2(b'foobar') == -790332482 & 0xffffffff, 'murmur2')
    broker = KafkaBroker()
    try:
        with Stack(broker=broker) as stack:
            wire = Wire(broker.bootstrap)
            stack.start_sink('--partial-after', '2')
            ours = [whole_clip(stack, wire), withheld_chunk(stack, wire)]
            dead_letters(wire)
            expected = stack.expected()
            stack.finish_daemon(stack.start_daemon())
            until(lambda: set(expected) <= set(stack.stored()), 20, 'every clip in the dataset')
            check_groups(wire)
            stack.stop_sink()
            clips = {**expected, **{clip.id.hex(): clip.data for clip in ours}}
            stack.check_dataset(clips)
            stack.check_books(delivered=len(expected))
            opened = check_clips(stack, wire, expected)
            artifacts = check_artifacts(wire, opened, stack.records())
            receipts = check_topic(wire, 'receipt')
            statuses = check_topic(wire, 'status')
            check(statuses[-1][2]['state'] == 3, 'the last word of a car is that it stopped')
            check_dataset_topic(stack, wire, clips)
            print(f'{len(ours)} clips of a Python car stored byte for byte; {len(expected)} of the daemon, {len(receipts)} receipts, '
                  f'{artifacts} artifacts, {len(statuses)} states, dead letters and dataset.v1 as docs/KAFKA.md has them')
    finally:
        broker.close()


if __name__ == '__main__':
    main()
