"""Values of the Kafka contract, read and written from docs/KAFKA.md and docs/FORMAT.md alone: nothing of roadloop's code.
decode() refuses whatever the page does not allow."""
import hashlib
import re
import struct

import xxhash
import zstandard

KINDS = {1: 'manifest-open', 2: 'chunk', 3: 'manifest-final', 4: 'question', 5: 'gone', 6: 'receipt', 7: 'artifact', 8: 'status'}
TOPIC_KINDS = {'clip': {1, 2, 3, 4, 5}, 'receipt': {6}, 'artifact': {7}, 'status': {8}}
LIMITS = {1: 512, 2: 84 + 524288, 3: 492, 4: 512, 5: 512, 6: 4096, 7: 921856, 8: 2048}
ASK_NONE = 4294967295
PSEUDONYM = re.compile(rb'[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}\Z')


class Bad(Exception):
    pass


def need(good, text):
    if not good:
        raise Bad(text)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        need(self.at + count <= len(self.data), 'cut off')
        self.at += count
        return self.data[self.at - count:self.at]

    def take(self, form):
        values = struct.unpack('<' + form, self.bytes(struct.calcsize('<' + form)))
        return values[0] if len(values) == 1 else values

    def text(self):
        text = self.bytes(self.take('B'))
        need(0 not in text, 'NUL in a text')
        return text

    def pseudonym(self):
        text = self.text()
        need(PSEUDONYM.match(text), f'pseudonym {text}')
        return text.decode()

    def rest(self):
        return self.bytes(len(self.data) - self.at)


def about(r):
    a = dict(clip=r.bytes(16), session=r.bytes(16))
    a['ordinal'], a['start_ns'], a['end_ns'], a['utc_ns'], a['priority'], a['segments'] = r.take('QqqqBB')
    a['pseudonym'], a['rule'] = r.pseudonym(), r.text()
    need(a['priority'] <= 9 and 1 <= a['segments'] <= 2, 'priority or segments')
    need(len(a['rule']) <= 127 and all(32 <= c < 127 for c in a['rule']), 'rule')
    need(a['clip'] == clip_id(a['pseudonym'], a['session'], a['ordinal']), 'clip id')
    return a


def clip_id(vehicle, session, ordinal):
    return hashlib.sha256(vehicle.encode() + b'\0' + session + struct.pack('<Q', ordinal)).digest()[:16]


def final(r):
    a = about(r)
    a['parts'] = []
    for _ in range(a['segments']):
        size, chunk = r.take('II')
        need(1 <= size <= 67108864 and 4096 <= chunk <= 524288, 'segment size')
        a['parts'].append((size, chunk, r.bytes(32)))
    return a


def chunk(r):
    c = dict(clip=r.bytes(16), sha256=r.bytes(32))
    c['segment'], c['index'], c['count'], c['chunk_bytes'], c['segment_bytes'] = r.take('IIIII')
    c['payload'] = r.rest()
    need(c['count'] == -(-c['segment_bytes'] // c['chunk_bytes']) and c['index'] < c['count'], 'count')
    left = c['segment_bytes'] - c['index'] * c['chunk_bytes']
    need(len(c['payload']) == min(left, c['chunk_bytes']), 'payload')
    return c


def question(r):
    ask = r.take('I')
    need(ask >= 1, 'ask')
    inner = r.rest()
    kind, value = decode(inner)
    need(kind == 3, 'a question holds a manifest-final')
    return dict(value, ask=ask, final_sha256=hashlib.sha256(inner).digest())


def gone(r):
    g = dict(clip=r.bytes(16))
    g['ask'], g['reason'] = r.take('IB')
    need(1 <= g['reason'] <= 4, 'reason')
    g['pseudonym'] = r.pseudonym()
    return g


def receipt(r):
    c = dict(clip=r.bytes(16), final_sha256=r.bytes(32))
    c['ask'], c['result'] = r.take('IB')
    c['pseudonym'] = r.pseudonym()
    ranges, needs = r.take('BB')
    need(1 <= c['result'] <= 3 and ranges <= 64 and needs <= 32, 'counts of a receipt')
    c['ranges'] = [r.take('BII') for _ in range(ranges)]
    c['needs'] = [r.bytes(32) for _ in range(needs)]
    return c


def artifact(r):
    a = dict(sha256=r.bytes(32), kind=r.take('B'), name=r.text(), raw_bytes=r.take('I'))
    need(1 <= a['kind'] <= 3 and a['raw_bytes'] <= 16 << 20, 'artifact')
    frame = r.rest()
    need(len(frame) <= 900 << 10, 'frame')
    parameters = zstandard.get_frame_parameters(frame)
    need(parameters.window_size <= 8 << 20, 'window')
    a['content'] = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompress(frame, max_output_size=a['raw_bytes'])
    need(len(a['content']) == a['raw_bytes'] and hashlib.sha256(a['content']).digest() == a['sha256'], 'content')
    return a


def status(r):
    s = dict(pseudonym=r.pseudonym(), session=r.bytes(16), state=r.take('B'), version=r.text(), reason=r.text())
    s['generation'] = r.take('I')
    s['pack'], s['dbcs'], s['configuration'] = r.bytes(32), r.bytes(32), r.bytes(32)
    s['counts'] = r.take('8Q')
    clocks = r.take('B')
    need(1 <= s['state'] <= 3 and clocks <= 8, 'status')
    s['clocks'] = [r.take('qqqB') for _ in range(clocks)]
    need(all(clock[3] <= 4 for clock in s['clocks']), 'origin')
    return s


DECODERS = {1: about, 2: chunk, 3: final, 4: question, 5: gone, 6: receipt, 7: artifact, 8: status}


def decode(value):
    """(kind, fields); Bad for anything else."""
    need(len(value) >= 16 and value[:4] == b'RLWV' and value[4] == 1 and value[6:8] == b'\0\0', 'prefix')
    kind = value[5]
    need(kind in KINDS and len(value) <= LIMITS[kind], f'kind {kind} of {len(value)} bytes')
    need(struct.unpack_from('<Q', value, 8)[0] == xxhash.xxh3_64_intdigest(value[16:]), 'hash')
    r = Reader(value[16:])
    fields = DECODERS[kind](r)
    need(r.at == len(r.data), 'bytes behind the value')
    return kind, fields


def seal(kind, body):
    return b'RLWV' + bytes([1, kind, 0, 0]) + struct.pack('<Q', xxhash.xxh3_64_intdigest(body)) + body


def text(value):
    return bytes([len(value)]) + value


def encode_about(a):
    return (a['clip'] + a['session'] + struct.pack('<QqqqBB', a['ordinal'], a['start_ns'], a['end_ns'], a['utc_ns'], a['priority'],
            a['segments']) + text(a['pseudonym'].encode()) + text(a['rule']))


def encode_final(a):
    return seal(3, encode_about(a) + b''.join(struct.pack('<II', size, chunk) + sha for size, chunk, sha in a['parts']))


def encode_chunks(clip, segment, data, chunk_bytes):
    count = -(-len(data) // chunk_bytes)
    sha = hashlib.sha256(data).digest()
    return [seal(2, clip + sha + struct.pack('<IIIII', segment, i, count, chunk_bytes, len(data)) + data[i * chunk_bytes:(i + 1) * chunk_bytes])
            for i in range(count)]


def murmur2(data):
    """K12: as Java's clients have it."""
    mask, m = 0xffffffff, 0x5bd1e995
    h = 0x9747b28c ^ len(data)
    whole = len(data) & ~3
    for (k,) in struct.iter_unpack('<I', data[:whole]):
        k = k * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, 'little')) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition(key, count):
    return (murmur2(key) & 0x7fffffff) % count


# --- a segment (docs/FORMAT.md) ---
def varint(value):
    out = b''
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """A varint of an int, else bytes; zero and empty are left out."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b''
    return varint(number << 3 | 2) + varint(len(value)) + value if value else b''


def zigzag(value):
    return (value << 1 ^ value >> 63) & (1 << 64) - 1


def record(letter, body):
    head = b'RLC' + letter + struct.pack('<I', len(body)) + body
    return head + struct.pack('<Q', xxhash.xxh3_64_intdigest(head))


def segment(vehicle, session, ordinal, frames, bus=b'can0'):
    """A whole segment of one group, codec rows. frames: [(stamp_ns, id, data)] of one bus, stamps ascending, offset 0."""
    clip = clip_id(vehicle, session, ordinal)
    source = field(1, bus) + field(2, 1000)
    start, end = frames[0][0], frames[-1][0]
    header = (field(1, 1) + field(2, clip) + field(3, session) + field(4, ordinal) + field(6, 1) + field(7, vehicle.encode())
              + field(17, zigzag(start)) + field(20, zigzag(start)) + field(21, source))
    rows = b''.join(struct.pack('<qIBBBB', stamp, key, 0, 0, len(data), len(data)) + data for stamp, key, data in frames)
    block = struct.pack('<BBHIIIqq', 0, 0, 0, len(frames), 1000, len(rows), start, end) + rows
    block += struct.pack('<Q', xxhash.xxh3_64_intdigest(block))
    group = struct.pack('<IIqQQqqqBB6x', 0, len(frames), 0, 0, len(frames) - 1, start, start, end, 1, 0) + block
    body = record(b'H', header) + record(b'G', group)
    counts = field(1, len(frames)) + field(7, len(frames))
    manifest = (field(1, clip) + field(3, 1) + field(5, field(1, counts)) + field(6, len(frames)) + field(7, len(rows)) + field(8, 1)
                + field(9, len(body)) + field(10, hashlib.sha256(body).digest()) + field(11, zigzag(start)) + field(12, zigzag(end))
                + field(16, len(frames) - 1))
    return body + record(b'M', manifest)
