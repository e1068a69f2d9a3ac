#!/usr/bin/env python3
"""J1939 by PGN against canmatrix 1.3.3 and the j1939.dbc that it brings.

For every message of the file, identifiers with random priority, source address and (PDU1)
destination find the message that canmatrix finds by PGN, and the signals of a random payload have
the same physical values. Identifiers whose PGN the file does not have find nothing.
Eight signals of the file carry the name of another in their message (names cut at 32 characters); we
refuse them with a warning, canmatrix keeps both: these are left out, and must be the eight.
canmatrix decodes a frame only when all its signals lie inside; where they do not, the frame's other
signals are decoded one by one with canmatrix's own unpacking.
"""
import json
import logging
import os
import random
import re
import subprocess
import sys
import warnings

import canmatrix
import canmatrix.formats

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DUMP = os.path.join(ROOT, os.environ.get("B", "build/release"), "tests/dbc_dump")
FILE = os.path.join(os.path.dirname(canmatrix.__file__), "j1939.dbc")
IDS_PER_MESSAGE = 8
UNKNOWN_IDS = 500


def identifier(rng, pgn):
    if pgn >> 8 & 0xFF < 240:
        pgn = pgn & ~0xFF | rng.randrange(256)  # any destination
    return rng.randrange(8) << 26 | pgn << 8 | rng.randrange(256)



def theirs(frame, data):
    """name -> physical value of each signal that lies inside; names that stand twice left out."""
    values = {}
    names = [s.name for s in frame.signals]
    little, big = frame.bytes_to_bitstrings(data)
    for s in frame.signals:
        if s.start_bit + s.size > 8 * frame.size or names.count(s.name) > 1:
            continue
        raw = frame.bitstring_to_signal_list([s], big, little, frame.size * 8)[0]
        values[s.name] = float(s.raw2phys(raw))
    if all(s.start_bit + s.size <= 8 * frame.size for s in frame.signals):
        whole = {k: float(v.phys_value) for k, v in frame.decode(data).items() if k in values}
        assert whole == values, (frame.name, whole, values)
    return values


def refused_twins():
    """{(message, short name)} of the D106 warnings."""
    out = subprocess.run([DUMP, "load", FILE], capture_output=True, text=True, check=True)
    return set(re.findall(r"D106: signal '(.*?)' of message '(.*?)' is refused", out.stderr)), [
        json.loads(line) for line in out.stdout.splitlines()]


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    rng = random.Random(1939)
    matrix = canmatrix.formats.loadp_flat(FILE, dbcImportEncoding="utf-8")
    twins, messages = refused_twins()
    assert len(twins) == 8, twins
    left_out = {(m["name"], n) for m in messages for s in m["signals"]
                for n in (s["name"], s["short"]) if (s["short"], m["name"]) in twins}
    known = {f.arbitration_id.pgn for f in matrix.frames}
    cases = []
    for frame in matrix.frames:
        for _ in range(IDS_PER_MESSAGE):
            i = identifier(rng, frame.arbitration_id.pgn)
            found = matrix.frame_by_pgn(canmatrix.ArbitrationId(i, extended=True).pgn)
            cases.append((i, rng.randbytes(found.size), found))
    while len(cases) < IDS_PER_MESSAGE * len(matrix.frames) + UNKNOWN_IDS:
        i = rng.randrange(1 << 29)
        if canmatrix.ArbitrationId(i, extended=True).pgn not in known:
            cases.append((i, rng.randbytes(8), None))
    lines = "".join(f"{i:x} e {d.hex()}\n" for i, d, _ in cases)
    out = subprocess.run([DUMP, "decode", FILE], input=lines, capture_output=True, text=True,
                         check=True)
    bad = signals = marked = 0
    for (i, data, frame), line in zip(cases, out.stdout.splitlines(), strict=True):
        ours = json.loads(line)
        if frame is None or ours is None:
            bad += (frame is None) != (ours is None)
            continue
        got = {s["name"]: s for s in ours["signals"] if "physical" in s}
        for name, value in theirs(frame, data).items():
            if (frame.name, name) in left_out:
                continue
            signals += 1
            mine = got.get(name)
            if mine is None or float.fromhex(mine["physical"]) != value:
                bad += 1
                print(f"0x{i:08X} {frame.name}.{name}: canmatrix {value}, we {mine}")
            marked += bool(mine and mine.get("quality"))
        bad += ours["message"] != frame.name
    print(f"dbc_j1939: {len(matrix.frames)} messages, {len(cases)} identifiers, {signals} signals "
          f"({marked} marked as error or not available), {bad} differences")
    return 1 if bad or not signals else 0


if __name__ == "__main__":
    sys.exit(main())
