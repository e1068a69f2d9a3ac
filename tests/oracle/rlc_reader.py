#!/usr/bin/env python3
"""A second reader of `.rlc`, written from docs/FORMAT.md alone: rows, order and the columnar codec.

Clips that roadloop wrote (RAV4 with each codec; a log of every kind of frame with equal, backward and
far-apart stamps; random logs) are read here and must give the lines that went in, byte for byte.
"""
import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile

import xxhash
import zstandard

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROADLOOP = os.path.join(ROOT, os.environ.get("B", "build/release"), "roadloop")
EFF, RTR, ERR, FD, BRS, ESI, TX = 1, 2, 4, 8, 16, 32, 64
M64 = (1 << 64) - 1


def i64(value):
    value &= M64
    return value - (1 << 64) if value >> 63 else value


def unpack(frame):
    """Section 5.1: one frame, content size declared."""
    assert zstandard.get_frame_parameters(frame).content_size != zstandard.CONTENTSIZE_UNKNOWN
    return zstandard.ZstdDecompressor().decompress(frame)


def records(data):
    """Section 2."""
    at = 0
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        end = at + 8 + size
        assert data[at:at + 3] == b"RLC"
        assert struct.unpack_from("<Q", data, end)[0] == xxhash.xxh3_64_intdigest(data[at:end])
        yield chr(data[at + 3]), data[at + 8:end], at
        at = end + 8


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(message):
    """Protobuf without a schema: (number, value) in order."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 0:
            value, at = varint(message, at)
        elif key & 7 == 2:
            size, at = varint(message, at)
            value, at = message[at:at + size], at + size
        else:
            assert key & 7 == 1
            value, at = message[at:at + 8], at + 8
        yield key >> 3, value


def plain_rows(payload):
    """Section 4.1."""
    rows, at = [], 0
    while at < len(payload):
        stamp, key, flags, source, size, dlc = struct.unpack_from("<qIBBBB", payload, at)
        rows.append((stamp, key, flags, dlc, payload[at + 16:at + 16 + size]))
        at += 16 + size
    return rows


def take_planes(body, at, count, planes):
    """A field of `planes` bytes for each of `count` entries, lowest byte first."""
    values = [sum(body[at + p * count + i] << (8 * p) for p in range(planes))
              for i in range(count)]
    return values, at + count * planes


def columnar_order(ranks, escapes, counts):
    """Keys of the rows, and the gap column of each row but the first."""
    starts = [sum(counts[:k]) for k in range(len(counts))]
    used, lists = [0] * len(counts), [[] for _ in counts]
    keys, columns, seen, key = [0], [], 1, 0
    escapes = iter(escapes)
    while len(keys) < sum(counts):
        rank = ranks[starts[key] + used[key]]
        used[key] += 1
        successors = lists[key]
        if rank < 8:
            following, slot = successors.pop(rank)
            column = 9 * key + slot
        else:
            if rank == 8:
                following = next(escapes)
            else:
                following, seen = seen, seen + 1
            slot = len(successors) if len(successors) < 8 else successors.pop()[1]
            column = 9 * key + 8
        successors.insert(0, (following, slot))
        columns.append(column)
        key = following
        keys.append(key)
    assert ranks[starts[key] + used[key]] == 0 and next(escapes, None) is None
    return keys, columns


def columnar_rows(payload, n, first_stamp):
    """Section 5.2."""
    body = unpack(payload)
    k, planes, zero, x, unit = struct.unpack_from("<HBBIQ", body)
    assert zero == 0
    ids, at = take_planes(body, 16, k, 4)
    flags, at = take_planes(body, at, k, 1)
    lens, at = take_planes(body, at, k, 1)
    dlcs, at = take_planes(body, at, k, 1)
    counts, at = take_planes(body, at, k, 3)
    assert sum(counts) == n
    changing, noisy, firsts = [], [], []
    for size in lens:
        mask = (size + 7) // 8
        changing.append(int.from_bytes(body[at:at + mask], "little"))
        noisy.append(int.from_bytes(body[at + mask:at + 2 * mask], "little"))
        firsts.append(body[at + 2 * mask:at + 2 * mask + size])
        at += 2 * mask + size
    ranks, at = body[at:at + n], at + n
    escapes = struct.unpack_from("<%dH" % x, body, at)
    at += 2 * x
    keys, columns = columnar_order(ranks, escapes, counts)
    gaps = [0] * (n - 1)
    for _ in range(planes):
        gaps = [g << 8 | b for g, b in zip(gaps, body[at:at + n - 1])]
        at += n - 1
    stamps = [first_stamp] + [0] * (n - 1)
    places = sorted(range(n - 1), key=lambda i: columns[i])  # stable: rows stay in order
    for gap, place in zip(gaps, places):
        stamps[place + 1] = (gap >> 1) ^ -(gap & 1)
    for i in range(1, n):
        stamps[i] = i64(stamps[i - 1] + stamps[i] * unit)
    noise = at + sum((counts[j] - 1) * bin(changing[j] & ~noisy[j]).count("1") for j in range(k))
    data = []
    for j in range(k):
        places = []
        for b in range(lens[j]):
            column = bytes(counts[j] - 1)
            if changing[j] >> b & 1:
                if noisy[j] >> b & 1:
                    column, noise = body[noise:noise + counts[j] - 1], noise + counts[j] - 1
                else:
                    column, at = body[at:at + counts[j] - 1], at + counts[j] - 1
            value, values = firsts[j][b], [firsts[j][b]]
            for step in column:
                value = value + step & 255
                values.append(value)
            places.append(values)
        data.append(iter([bytes(row) for row in zip(*places)] if places else [b""] * counts[j]))
    assert noise == len(body)
    return [(stamps[i], ids[j], flags[j], dlcs[j], next(data[j])) for i, j in enumerate(keys)]


def order_block(payload):
    """Section 4.3: {position: (run, source)}, {position: (step, mono)}."""
    body = unpack(payload)
    e, m = struct.unpack_from("<II", body)
    deltas, at = take_planes(body, 8, e, 3)
    runs, at = take_planes(body, at, e, 3)
    sources, at = take_planes(body, at, e, 1)
    exceptions, marks, position = {}, {}, 0
    for delta, run, source in zip(deltas, runs, sources):
        position += delta
        exceptions[position] = run, source
    deltas, at = take_planes(body, at, m, 3)
    steps, at = take_planes(body, at, m, 8)
    monos, at = take_planes(body, at, m, 8)
    position = step = mono = 0
    for delta, more_step, more_mono in zip(deltas, steps, monos):
        position, step, mono = position + delta, step + more_step & M64, mono + more_mono & M64
        marks[position] = step, i64(mono)
    assert at == len(body)
    return exceptions, marks


def group_rows(body):
    """Section 4: (step, mono, source, row) of each row."""
    (generation, count, offset, step, last_step, mono, least, greatest, blocks,
     order) = struct.unpack_from("<IIqQQqqqBB", body)
    assert not any(body[58:64])
    at, lanes, exceptions, marks = 64, {}, {}, {}
    for _ in range(blocks + order):
        source, codec, zero, rows, tick, size, first, last = struct.unpack_from("<BBHIIIqq", body, at)
        payload, end = body[at + 32:at + 32 + size], at + 32 + size
        assert struct.unpack_from("<Q", body, end)[0] == xxhash.xxh3_64_intdigest(body[at:end])
        at = end + 8
        if source == 255:
            exceptions, marks = order_block(payload)
            continue
        lane = columnar_rows(payload, rows, first) if codec else plain_rows(payload)
        assert len(lane) == rows and lane[0][0] == first and lane[-1][0] == last
        lanes[source] = lane
    assert at == len(body)
    heads, out, forced = dict.fromkeys(lanes, 0), [], (0, 0)
    for position in range(count):
        if position in exceptions:
            forced = exceptions[position]
        if forced[0]:
            source, forced = forced[1], (forced[0] - 1, forced[1])
        else:
            source = min((lanes[s][h][0], s) for s, h in heads.items() if h < len(lanes[s]))[1]
        row = lanes[source][heads[source]]
        heads[source] += 1
        if position:
            step, mono = step + 1, max(mono, row[0] + offset)
        step, mono = marks.get(position, (step, mono))
        out.append((step, mono, source, row))
    assert out[-1][0] == last_step
    return out


def candump(source, row):
    """Section 8; `source` is (name, tick)."""
    stamp, key, flags, dlc, data = row
    name, tick = source
    if tick % 1000 == 0 and stamp % 1000 == 0:
        time = "%d.%06d" % (stamp // 10**9, stamp % 10**9 // 1000)
    else:
        time = "%d.%09d" % divmod(stamp, 10**9)
    text = "%08X" % (key | (0x20000000 if flags & ERR else 0)) if flags & (EFF | ERR) else "%03X" % key
    raw = "_%X" % dlc if dlc > 8 and not flags & FD else ""
    if flags & RTR:
        content = "R" + (str(min(dlc, 8)) if dlc else "") + raw
    elif flags & FD:
        content = "#%d" % ((1 if flags & BRS else 0) + (2 if flags & ESI else 0)) + data.hex().upper()
    else:
        content = data.hex().upper() + raw
    return "(%s) %s %s#%s%s\n" % (time, name, text, content, " T" if flags & TX else "")


def read_clip(data):
    """All lines of a segment, its manifest checked (section 6)."""
    sources, rows, groups, manifest = [], [], 0, None
    for letter, body, at in records(data):
        if letter == "H":
            for number, value in fields(body):
                if number == 21:
                    entry = dict(fields(value))
                    sources.append((entry[1].decode(), entry[2]))
        elif letter == "G":
            rows += group_rows(body)
            groups += 1
        elif letter == "M":
            manifest = dict(fields(body))
            assert manifest.get(6, 0) == len(rows) and manifest.get(8, 0) == groups
            assert manifest[9] == at and manifest[10] == hashlib.sha256(data[:at]).digest()
    assert manifest is not None
    rows.sort(key=lambda row: row[0])
    return "".join(candump(sources[source], row) for _, _, source, row in rows)


def random_log(seed):
    """Frames of every kind; stamps equal, backward and far apart; up to 300 ids on 4 buses."""
    draw, lines, stamp = random.Random(seed), [], 10**12
    ids = [draw.randrange(0x800) for _ in range(draw.choice([1, 5, 300]))]
    for i in range(draw.choice([1, 2, 40, 3000])):
        stamp += draw.choice([0, 0, 1, 120, 250, 250, -30, 10000])
        if draw.random() < 0.001:
            stamp += draw.choice([-10**7, 10**7])
        key, data = draw.choice(ids), bytes([i & 255, 7, draw.randrange(256), i >> 4 & 255])
        kind = key % 7
        text = {0: "%03X#R%s" % (key, "3" if key % 2 else ""), 1: "%08X#%s" % (key, data.hex()),
                2: "%03X##3%s" % (key, (data * 4).hex()), 3: "%03X#%s_B" % (key, (data * 2).hex()),
                4: "%08X#%s" % (key | 0x20000000, (data * 2).hex())}.get(
                    kind, "%03X#%s" % (key, data.hex()))
        lines.append("(%d.%06d) can%d %s%s\n" % (stamp // 10**6, stamp % 10**6, draw.randrange(4),
                                                 text.upper(), " T" if draw.random() < 0.1 else ""))
    return "".join(lines)


def main():
    with open(os.path.join(ROOT, "tests/data/rav4/can.log.zst"), "rb") as file:
        logs = [zstandard.ZstdDecompressor().stream_reader(file).read().decode()]
    logs += [random_log(seed) for seed in range(40)]
    rows = 0
    with tempfile.TemporaryDirectory() as folder:
        log, clip = os.path.join(folder, "a.log"), os.path.join(folder, "a.rlc")
        for number, text in enumerate(logs):
            with open(log, "w", encoding="ascii") as file:
                file.write(text)
            for codec in "rows", "columnar":
                subprocess.run([ROADLOOP, "convert", log, clip, "--codec", codec], check=True,
                               stderr=subprocess.DEVNULL)
                with open(clip, "rb") as file:
                    got = read_clip(file.read())
                if got != text:
                    sys.exit(f"rlc_reader: log {number}, codec {codec}: other lines came back")
                rows += text.count("\n")
    print(f"rlc_reader: {len(logs)} logs with each codec, {rows} rows, none differs")


if __name__ == "__main__":
    main()
