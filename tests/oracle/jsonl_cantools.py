#!/usr/bin/env python3
"""`roadloop convert LOG OUT.jsonl --dbc ...` of the RAV4 minute against cantools, frame for frame.

Every line has time, bus, id and data of the log's line; `message` and `signals` are there exactly
where the bus's database knows the id; each signal's raw, value, label and unit are cantools' (it
decodes each frame three times: raw, scaled, with choices). Converted back to candump the file is the
log again, byte for byte.
"""
import json
import os
import subprocess
import sys
import tempfile

import cantools

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "tests/data/rav4")
ROADLOOP = os.path.join(ROOT, os.environ.get("B", "build/release"), "roadloop")
LOG = os.path.join(DATA, "can.log.zst")
DATABASES = {"can0": "toyota_nodsu_pt_generated.dbc", "can1": "toyota_adas.dbc"}


def expected_signals(message, data):
    decode = lambda **how: message.decode(data, allow_truncated=True, **how)
    raw = decode(scaling=False, decode_choices=False)
    value = decode(decode_choices=False)
    label = decode()
    units = {s.name: s.unit or "" for s in message.signals}
    return {name: {"raw": raw[name], "value": value[name], "unit": units[name],
                   "label": label[name].name if hasattr(label[name], "name") else None}
            for name in raw}


def compare_line(databases, log_line, text):
    """Returns what differs, or None; and the number of signals."""
    stamp, bus, frame = log_line.split()
    identifier, data = frame.split("#")
    line = json.loads(text)
    head = {"t": stamp.strip("()") + "000", "bus": bus, "id": int(identifier, 16), "data": data}
    if {k: line.get(k) for k in head} != head:
        return f"head {head}", 0
    try:
        message = databases[bus].get_message_by_frame_id(int(identifier, 16))
    except KeyError:
        known = "message" in line or "signals" in line
        return ("a message that cantools does not know" if known else None), 0
    want = expected_signals(message, bytes.fromhex(data))
    if line.get("message") != message.name or line.get("signals") != want:
        return f"expected {message.name} {want}", 0
    return None, len(want)


def main():
    databases = {bus: cantools.database.load_file(os.path.join(DATA, name), strict=False)
                 for bus, name in DATABASES.items()}
    log = subprocess.run(["zstd", "-dcq", LOG], capture_output=True, check=True).stdout
    arguments = [a for bus, name in DATABASES.items()
                 for a in ("--dbc", f"{bus}={os.path.join(DATA, name)}")]
    with tempfile.TemporaryDirectory() as folder:
        path, back = os.path.join(folder, "out.jsonl"), os.path.join(folder, "back.log")
        subprocess.run([ROADLOOP, "convert", LOG, path, *arguments], check=True)
        subprocess.run([ROADLOOP, "convert", path, back], check=True)
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        with open(back, "rb") as f:
            same = f.read() == log
    frames = log.decode().splitlines()
    bad = signals = decoded = 0
    for log_line, text in zip(frames, lines):
        difference, count = compare_line(databases, log_line, text)
        signals += count
        decoded += count > 0
        if difference:
            bad += 1
            if bad <= 5:
                print(f"{log_line}: {difference}\n  found {text}")
    bad += len(frames) != len(lines)
    print(f"back to candump: {'the same bytes' if same else 'DIFFERS'}")
    print(f"jsonl_cantools: {len(frames)} frames, {decoded} decoded, {signals} signals, {bad} differ")
    return 0 if bad == 0 and same and signals else 1


if __name__ == "__main__":
    sys.exit(main())
