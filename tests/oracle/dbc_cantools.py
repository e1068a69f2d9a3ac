#!/usr/bin/env python3
"""DBC reader and decoder against cantools 45.1.0 (strict=False), file by file.

1. Every file that cantools loads, we load.
2. On random payloads (multiplexors set to values that occur, to values that do not, and at random)
   every signal of every message has the same presence, raw value, physical value and label.
   cantools gives up a whole message for an unknown multiplexor value or a signal outside the
   message; there its own codecs are asked signal by signal, so that the rest is compared too.
3. What cantools refuses and we load has a warning at its place, and strict refuses it.
4. Names, units, start bits, lengths, cycle times and value tables are equal.

Usage: dbc_cantools.py [DBC...]; without arguments all of tests/data/dbc and tests/data/rav4, and
all of $ROADLOOP_SHARED/data/dbc (default ../shared) when it is there. B=build/release.
Exit status 0: no difference but those in KNOWN, which may be at most five.
"""
import glob
import json
import os
import random
import subprocess
import sys

import cantools
from cantools.database.errors import DecodeError
from cantools.database.utils import create_encode_decode_formats, decode_data

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DUMP = os.path.join(ROOT, os.environ.get("B", "build/release"), "tests/dbc_dump")
PAYLOADS = int(os.environ.get("PAYLOADS", "24"))  # for one message

# (file, message, signal) -> why we differ and mean to
KNOWN = {}

# What cantools raises when it cannot decode a message; KeyError for two signals of one name.
GIVES_UP = (DecodeError, ValueError, OverflowError, KeyError)


def read_text(path):
    """As we do: UTF-8 if the file is valid UTF-8, else cp1252."""
    with open(path, "rb") as f:
        data = f.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def put_bits(data, signal, value):
    for i in range(signal.length):
        if signal.byte_order == "little_endian":
            bit = signal.start + i
            place, mask = bit // 8, 1 << bit % 8
        else:
            first = 8 * (signal.start // 8) + 7 - signal.start % 8
            bit = first + signal.length - 1 - i
            place, mask = bit // 8, 0x80 >> bit % 8
        if place < len(data):
            data[place] = data[place] | mask if value >> i & 1 else data[place] & ~mask


def payloads(message, rng):
    muxes = {}
    for s in message.signals:
        if s.multiplexer_signal and s.multiplexer_ids:
            muxes.setdefault(s.multiplexer_signal, set()).update(s.multiplexer_ids)
    for k in range(PAYLOADS):
        data = bytearray(rng.randbytes(message.length))
        if k == 0:
            data = bytearray(message.length)
        if k == 1:
            data = bytearray(b"\xff" * message.length)
        if k % 3 != 2:
            for name, ids in muxes.items():
                put_bits(data, message.get_signal_by_name(name), rng.choice(sorted(ids)))
        if k % 4 == 3:  # a frame shorter than its message
            del data[rng.randrange(message.length + 1):]
        yield bytes(data)


def has_twins(message):
    """Two signals of one name: cantools keeps its books by name and mixes them up in short frames."""
    return len({s.name for s in message.signals}) != len(message.signals)


def node_values(message, node, data, scaling, choices):
    try:
        if not has_twins(message):
            return decode_data(data, message.length, node["signals"], node["formats"], choices,
                               scaling, True, True)
    except GIVES_UP:
        pass
    values = {}
    for s in node["signals"]:
        try:
            formats = create_encode_decode_formats([s], message.length)
            one = decode_data(data, message.length, [s], formats, choices, scaling, True, True)
            values = one | values  # of two signals with one name the first counts
        except GIVES_UP:
            pass
    return values


def tree_values(message, node, data, scaling, choices):
    values = node_values(message, node, data, scaling, choices)
    raw = values if not scaling and not choices else node_values(message, node, data, False, False)
    for name, branches in node["multiplexers"].items():
        branch = branches.get(raw.get(name))
        if branch:
            values.update(tree_values(message, branch, data, scaling, choices))
    return values


def expected(message, data, counts):
    codecs = message._codecs
    result = []
    for scaling, choices in ((False, False), (True, False), (True, True)):
        try:
            if has_twins(message):
                raise KeyError(message.name)
            values = message.decode(data, scaling=scaling, decode_choices=choices,
                                    allow_truncated=True)
            counts["whole"] += 1
        except GIVES_UP:
            values = tree_values(message, codecs, data, scaling, choices)
            counts["piecewise"] += 1
        result.append(values)
    return result


def same_number(theirs, ours):
    ours = float.fromhex(ours)
    return theirs != theirs and ours != ours or float(theirs) == ours


class Report:
    def __init__(self):
        self.differences = {}
        self.counts = dict.fromkeys(("files", "refused by both", "loaded by us alone", "messages", "frames",
                                     "short frames", "signals", "raw", "physical", "labels", "whole", "piecewise"), 0)

    def differ(self, path, message, signal, text):
        self.differences.setdefault((os.path.basename(path), message, signal), text)


def compare_frame(report, path, message, data, line):
    raw, physical, labelled = expected(message, data, report.counts)
    if len(data) < message.length:
        report.counts["short frames"] += 1
    ours = {s["name"]: s for s in line["signals"]} if line else {}
    report.counts["frames"] += 1
    for name in raw:
        if name not in ours:
            report.differ(path, message.name, name, f"we have no value, cantools has {raw[name]}")
    for name, ours_s in ours.items():
        if name not in raw:
            report.differ(path, message.name, name, "we have a value, cantools has none")
            continue
        report.counts["signals"] += 1
        signal = message.get_signal_by_name(name)
        if "bytes" in ours_s:
            continue
        our_raw = ours_s["raw"]
        if signal.conversion.is_float:
            if not same_number(physical[name], ours_s["physical"]):
                report.differ(path, message.name, name,
                              f"float {physical[name]} and {ours_s['physical']} for {data.hex()}")
        elif our_raw != raw[name]:
            report.differ(path, message.name, name,
                          f"raw {raw[name]} and {our_raw} for {data.hex()}")
        else:
            report.counts["raw"] += 1
        if same_number(physical[name], ours_s["physical"]):
            report.counts["physical"] += 1
        else:
            report.differ(path, message.name, name,
                          f"physical {physical[name]!r} and {float.fromhex(ours_s['physical'])!r}")
        label = labelled[name] if hasattr(labelled[name], "name") else None
        if (label.name if label is not None else None) != ours_s.get("label"):
            report.differ(path, message.name, name, f"label {label} and {ours_s.get('label')}")
        report.counts["labels"] += label is not None


def compare_tables(report, path, message, ours):
    for key, want, got in (("length", message.length, ours["len"]),
                           ("cycle", message.cycle_time or 0, ours["cycle"]),
                           ("fd", bool(message.is_fd), bool(ours["fd"])),
                           ("name", message.name, ours["name"])):
        if want != got:
            report.differ(path, message.name, "", f"{key} {want} and {got}")
    by_name = {s["name"]: s for s in ours["signals"]}
    names = [s.name for s in message.signals]
    for s in message.signals:
        mine = by_name.get(s.name)
        # Of two signals with one name cantools decodes the first: so do we, and refuse the other.
        if not mine or names.count(s.name) > 1 and mine["start"] != s.start:
            continue
        choices = {str(k): str(v.name) for k, v in (s.conversion.choices or {}).items()}
        for key, want, got in (("start", s.start, mine["start"]), ("bits", s.length, mine["bits"]),
                               ("unit", s.unit or "", mine["unit"]),
                               ("labels", choices, mine["labels"])):
            if want != got:
                report.differ(path, message.name, s.name, f"{key} {want!r} and {got!r}")


def check_file(report, path):
    load = subprocess.run([DUMP, "load", path], capture_output=True)
    try:
        cantools.database.load_file(path, strict=False)
        database = cantools.database.load_string(read_text(path), "dbc", strict=False)
    except Exception as error:  # cantools raises many kinds
        report.counts["refused by both" if load.returncode else "loaded by us alone"] += 1
        strict = subprocess.run([DUMP, "load", path], capture_output=True,
                                env=os.environ | {"DBC_STRICT": "1"})
        if b" warning D" not in load.stderr or strict.returncode == 0:
            report.differ(path, "", "", f"cantools refuses it ({error}), we say nothing or are not "
                          "strict about it")
        return
    report.counts["files"] += 1
    if load.returncode:
        report.differ(path, "", "", "refused: " + load.stderr.decode()[:200])
        return
    ours = {(m["id"], bool(m["ext"])): m for m in map(json.loads, load.stdout.splitlines())}
    rng = random.Random(os.path.basename(path))
    frames = []
    for message in database.messages:
        report.counts["messages"] += 1
        key = (message.frame_id & 0x1FFFFFFF, message.is_extended_frame)
        if key not in ours:
            report.differ(path, message.name, "", "the message is missing")
            continue
        compare_tables(report, path, message, ours[key])
        if message.length <= 64:
            frames += [(message, data) for data in payloads(message, rng)]
    lines = "".join(f"{m.frame_id & 0x1FFFFFFF:x} {'e' if m.is_extended_frame else 's'} {d.hex()}\n"
                    for m, d in frames)
    out = subprocess.run([DUMP, "decode", path], input=lines, capture_output=True, text=True,
                         check=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
    for (message, data), line in zip(frames, out.stdout.split("\n"), strict=False):
        compare_frame(report, path, message, data, json.loads(line))


def default_files():
    shared = os.environ.get("ROADLOOP_SHARED", os.path.join(ROOT, "..", "shared"))
    files = glob.glob(os.path.join(ROOT, "tests/data/dbc/**/*.dbc"), recursive=True)
    files += glob.glob(os.path.join(ROOT, "tests/data/rav4/*.dbc"))
    files += glob.glob(os.path.join(shared, "data/**/*.dbc"), recursive=True)
    return sorted(set(files))


def main():
    report = Report()
    for path in sys.argv[1:] or default_files():
        check_file(report, path)
    print(", ".join(f"{v} {k}" for k, v in report.counts.items()))
    new = {k: v for k, v in report.differences.items() if k not in KNOWN}
    for key, text in sorted(report.differences.items()):
        known = KNOWN.get(key)
        print(f"{'known' if known else 'DIFFERENCE'}: {'/'.join(key)}: {known or text}")
    if not report.counts["signals"]:
        print("nothing was compared")
        return 1
    print(f"dbc_cantools: {len(new)} new differences, {len(report.differences) - len(new)} known")
    return 1 if new or len(report.differences) > 5 else 0


if __name__ == "__main__":
    sys.exit(main())
