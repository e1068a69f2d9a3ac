#!/usr/bin/env python3
"""Our MCAP files in the official Python reader (mcap 1.6.0, mcap-protobuf-support 0.6.0), and files
of other writers in ours.

1. The RAV4 minute with its databases: opened with CRC validation; each raw message is the line of
   the log, each decoded message what cantools makes of that frame, with the same time; attachments
   are the databases byte for byte.
2. Every message of every database in tests/data/dbc: the generated type loads in the official
   library and a random frame of it decodes as cantools decodes it.
3. The 18 files of rosbag2: our two readers find the messages that the Python reader finds.
4. The clips of a rule on that minute: their events, times in UTC, clock, manifest.
5. `rerun mcap check` (rerun-sdk 0.41.0) has nothing to say against our files.

Usage: mcap_python.py; B=build/release. Exit status 0: all of it holds.
"""
import collections
import glob
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import zlib

import cantools
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(ROOT, os.environ.get("B", "build/release"))
DATA = os.path.join(ROOT, "tests/data")
LENGTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64]
REFUSED = re.compile(r"signal '([^']*)' of message '([^']*)' is refused")
failures = []
GIVES_UP = (cantools.database.errors.Error, ValueError, OverflowError, KeyError, NotImplementedError)


def fail(text):
    failures.append(text)
    if len(failures) <= 20:
        print("FAIL", text)


def run(*args):
    """Returns what it said on standard error: warnings of databases."""
    result = subprocess.run([os.path.join(B, "roadloop"), *args], capture_output=True, text=True)
    if result.returncode:
        fail(f"{args}: {result.returncode} {result.stderr}")
    return result.stderr


def identifier(name):
    text = re.sub(rb"[^A-Za-z0-9_]", b"_", name.encode()).decode()
    return "_" + text if text[:1].isdigit() or not text else text


def load(path):
    with open(path, "rb") as f:
        data = f.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    return cantools.database.load_string(text, "dbc", strict=False)


def ns(seconds):
    whole, fraction = seconds.split(".")
    return int(whole) * 10**9 + int(fraction.ljust(9, "0"))


def parse_line(line):
    """(seconds) bus id#data, ##flags for FD: the frame as our schema has it."""
    stamp, bus, rest = line.split(" ")[:3]
    name, data = rest.split("#", 1)
    flags = 1 if len(name) == 8 else 0
    if data.startswith("#"):
        flags |= 8 | (int(data[1], 16) & 1) << 4 | (int(data[1], 16) >> 1 & 1) << 5
        data = data[2:]
    return bus, ns(stamp[1:-1]), int(name, 16), flags, bytes.fromhex(data)


def same(ours, theirs):
    if isinstance(ours, bytes):
        return int.from_bytes(ours, "big") == theirs
    if isinstance(theirs, float) and math.isnan(theirs):
        return isinstance(ours, float) and math.isnan(ours)
    return ours == theirs or math.isclose(ours, theirs, rel_tol=1e-14, abs_tol=0)


def is_j1939(message):
    return "J1939" in str((message.dbc.attributes.get("VFrameFormat") and
                           message.dbc.attributes["VFrameFormat"].value) or "") or \
        message.protocol == "j1939"


class Count:
    values = labels = no_number = given_up = messages = 0


def compare(where, message, data, decoded, refused=frozenset()):
    """One decoded message against cantools. Signals of equal names are not compared by name;
    `refused` (message, signal) are those that our reader left out with a warning, which
    dbc_cantools.py judges."""
    names = [s.name for s in message.signals]
    if len(set(map(identifier, names))) != len(names):
        Count.given_up += 1
        return
    try:
        physical = message.decode(data, decode_choices=False, allow_truncated=True)
        raw = message.decode(data, decode_choices=False, scaling=False, allow_truncated=True)
    except GIVES_UP:
        Count.given_up += 1
        return
    fields = {f.name: f for f in decoded.DESCRIPTOR.fields}
    for signal in message.signals:
        name = identifier(signal.name)
        if name not in fields:
            if (message.name, signal.name) not in refused:
                fail(f"{where}.{signal.name}: no field {name}")
            continue
        have, want = decoded.HasField(name), signal.name in physical
        if not have and want and is_j1939(message):
            Count.no_number += 1
            continue
        if have != want:
            fail(f"{where}.{signal.name}: present {have}, cantools {want} ({data.hex()})")
            continue
        if not have:
            continue
        Count.values += 1
        ours = getattr(decoded, name)
        if not same(ours, physical[signal.name]):
            fail(f"{where}.{signal.name}: {ours!r}, cantools {physical[signal.name]!r}")
        label = signal.choices.get(raw[signal.name]) if signal.choices else None
        if signal.choices and label is not None:
            Count.labels += 1
            if getattr(decoded, name + "_label", None) != str(label):
                fail(f"{where}.{signal.name}: label {getattr(decoded, name + '_label', None)!r}, "
                     f"cantools {str(label)!r}")


def read(path):
    """Decoded messages of each topic, in file order, CRCs checked."""
    topics = collections.defaultdict(list)
    with open(path, "rb") as f:
        reader = make_reader(f, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for schema, channel, message, decoded in reader.iter_decoded_messages(log_time_order=False):
            if message.sequence != len(topics[channel.topic]):
                fail(f"{path}: {channel.topic}: sequence {message.sequence}")
            topics[channel.topic].append((message.log_time, message.publish_time, decoded))
        summary = reader.get_summary()
        attachments = {a.name: a.data for a in reader.iter_attachments()}
        metadata = {m.name: m.metadata for m in reader.iter_metadata()}
    if summary.statistics.message_count != sum(map(len, topics.values())):
        fail(f"{path}: statistics say {summary.statistics.message_count} messages")
    return topics, attachments, metadata


def check_raw(where, topics, lines):
    """Raw topics against the log. Returns the frames of each bus."""
    frames = collections.defaultdict(list)
    for line in lines:
        frame = parse_line(line)
        frames[frame[0]].append(frame)
    for bus, want in frames.items():
        got = topics[f"/can/{bus}/raw"]
        if len(got) != len(want):
            fail(f"{where}: {bus}: {len(got)} frames, the log has {len(want)}")
        for (log, publish, raw), (_, stamp, can_id, flags, data) in zip(got, want):
            ours = (raw.stamp_ns, raw.id, raw.flags, raw.data, LENGTHS[raw.dlc])
            if ours != (stamp, can_id, flags, data, len(data)) or publish != stamp or log < stamp:
                fail(f"{where}: {bus} at {stamp}: {ours}")
    return frames


DBCS = {"can0": "toyota_nodsu_pt_generated.dbc", "can1": "toyota_adas.dbc"}


def check_rav4(folder):
    dbcs = DBCS
    log, path = os.path.join(folder, "rav4.log"), os.path.join(folder, "rav4.mcap")
    run("convert", f"{DATA}/rav4/can.log.zst", log)
    run("convert", log, path, *[a for bus, f in dbcs.items()
                                for a in ("--dbc", f"{bus}={DATA}/rav4/{f}")])
    topics, attachments, metadata = read(path)
    frames = check_raw("rav4", topics, open(log))
    decoded = 0
    for bus, file in dbcs.items():
        with open(f"{DATA}/rav4/{file}", "rb") as f:
            if attachments.get(f"dbc/{bus}/{file}") != f.read():
                fail(f"rav4: attachment of {file}")
        db = load(f"{DATA}/rav4/{file}")
        by_id = {m.frame_id: m for m in db.messages}
        want = collections.defaultdict(list)
        for frame in frames[bus]:
            if frame[2] in by_id:
                want[by_id[frame[2]]].append(frame)
        for message, list_ in want.items():
            got = topics.pop(f"/can/{bus}/{identifier(message.name)}", [])
            if len(got) != len(list_):
                fail(f"rav4: {message.name}: {len(got)} messages, {len(list_)} frames")
            for (_, publish, ours), (_, stamp, _, _, data) in zip(got, list_):
                decoded += 1
                if publish != stamp:
                    fail(f"rav4: {message.name}: time {publish}, frame {stamp}")
                compare(f"rav4 {message.name}", message, data, ours)
    rest = [t for t in topics if not t.endswith("/raw")]
    if rest:
        fail(f"rav4: topics that nobody expects: {rest}")
    if set(metadata) != {"vehicle", "clip", "trigger", "clock", "loss", "versions"}:
        fail(f"rav4: metadata {set(metadata)}")
    run("convert", path, os.path.join(folder, "back.log"))
    if open(log, "rb").read() != open(os.path.join(folder, "back.log"), "rb").read():
        fail("rav4: the log does not come back byte for byte")
    print(f"rav4: {sum(map(len, frames.values()))} frames, {decoded} decoded, "
          f"{Count.values} values, {Count.labels} labels equal; the log comes back")
    return path


def frames_of(db, rng):
    """One random frame of each message that one frame can carry."""
    seen = set()
    for message in db.messages:
        key = (message.frame_id, message.is_extended_frame)
        if message.length > 64 or message.is_container or key in seen:
            continue
        seen.add(key)
        length = min(n for n in LENGTHS if n >= message.length)
        yield message, rng.randbytes(length)


def check_types(folder):
    rng, files, messages = random.Random(7), 0, 0
    path, log = os.path.join(folder, "types.mcap"), os.path.join(folder, "types.log")
    for file in sorted(glob.glob(f"{DATA}/dbc/*/*.dbc")):
        try:
            db = load(file)
        except Exception:  # what cantools refuses is no oracle
            continue
        sent = list(frames_of(db, rng))
        if not sent:
            continue
        with open(log, "w") as f:
            for i, (message, data) in enumerate(sent):
                name = f"{message.frame_id:08X}" if message.is_extended_frame else \
                    f"{message.frame_id:03X}"
                mark = "##0" if len(data) > 8 else "#"
                f.write(f"({i}.000000) can0 {name}{mark}{data.hex().upper()}\n")
        said = run("convert", log, path, "--dbc", file)
        refused = {(m, s) for s, m in REFUSED.findall(said)}
        topics, _, _ = read(path)
        check_raw(os.path.basename(file), topics, open(log))
        by_time = {(t, n): d for n, list_ in topics.items() for t, _, d in list_}
        for i, (message, data) in enumerate(sent):
            ours = by_time.get((i * 10**9, f"/can/can0/{identifier(message.name)}"))
            if ours is None:
                fail(f"{os.path.basename(file)}: no topic of {message.name}")
                continue
            messages += 1
            compare(f"{os.path.basename(file)} {message.name}", message, data, ours, refused)
        files += 1
    if not files or not messages:
        fail("no database found")
    print(f"types: {messages} messages of {files} databases load and decode as cantools does "
          f"({Count.values} values in all; {Count.given_up} frames that cantools gives up, "
          f"{Count.no_number} J1939 codes that are no number)")


def check_rosbag2():
    files = sorted(glob.glob(f"{DATA}/mcap_rosbag2/*.mcap"))
    out = subprocess.run([os.path.join(B, "tests/mcap_dump"), *files], check=True,
                         capture_output=True, text=True).stdout.splitlines()
    total = 0
    for file, line in zip(files, out):
        ours, name = json.loads(line), os.path.basename(file)
        topics, indexed, crc = {}, 0, 0
        with open(file, "rb") as f:
            reader = make_reader(f, validate_crcs=True)
            for _, channel, message in reader.iter_messages(log_time_order=False):
                count, sum_ = topics.get((channel.id, channel.topic), (0, 0))
                topics[channel.id, channel.topic] = (count + 1, zlib.crc32(message.data, sum_))
            for _, _, message in reader.iter_messages():
                indexed, crc = indexed + 1, zlib.crc32(message.data, crc)
            counts = (len(list(reader.iter_attachments())), len(list(reader.iter_metadata())))
        total += indexed
        if {(i, t): (n, c) for i, t, n, c in ours["topics"]} != topics:
            fail(f"{name}: topics {ours['topics']}, Python {topics}")
        if (ours.get("indexed", indexed), ours.get("indexed_crc", crc)) != (indexed, crc):
            fail(f"{name}: by the index {ours.get('indexed')} messages, Python {indexed}")
        if (ours["attachments"], ours["metadata"]) != counts:
            fail(f"{name}: attachments and metadata {ours}, Python {counts}")
    if len(files) != 18 or len(out) != 18:
        fail(f"rosbag2: {len(out)} of {len(files)} files read, 18 expected")
    print(f"rosbag2: {len(out)} files, {total} messages, by stream and by index as Python reads them")


def check_clips(folder):
    """Each clip of the brake rule: events as replay printed them, times on the wall clock."""
    dbcs = [a for bus, f in DBCS.items() for a in ("--dbc", f"{bus}={DATA}/rav4/{f}")]
    rules = os.path.join(ROOT, "tests/e2e/brake.yaml")
    out = subprocess.run([os.path.join(B, "roadloop"), "replay", f"{DATA}/rav4/can.log.zst", *dbcs,
                          "--rules", rules, "--json", "--out", os.path.join(folder, "clips"),
                          "--wall-start", "1532865600"], check=True, capture_output=True, text=True)
    items = [json.loads(line) for line in out.stdout.splitlines()]
    with open(os.path.join(folder, "rav4.log")) as f:
        first = parse_line(f.readline())[1]
    to_unix = 1532865600 * 10**9 - first
    path, count = os.path.join(folder, "clip.mcap"), 0
    for clip in (i for i in items if i["event"] == "clip"):
        run("convert", clip["path"], path, *dbcs, "--rules", rules)
        topics, attachments, metadata = read(path)
        fires = {ns(i["t"]) for i in items if i["event"] == "fire" and i["clip"] == clip["clip"]}
        got = {e.fire_ns for _, _, e in topics["/event"]}
        if got != {t + to_unix for t in fires} or len(got) != len(topics["/event"]):
            fail(f"clip {clip['clip']}: events at {sorted(got)}, fires {sorted(fires)}")
        for log_time, _, event in topics["/event"]:
            if log_time != event.fire_ns or event.rule != "brake/brake" or event.edge != "rise":
                fail(f"clip {clip['clip']}: event {event}")
            count += 1
        start, end = ns(clip["start"]) + to_unix, ns(clip["end"]) + to_unix
        times = [t for name in topics for t, _, _ in topics[name]]
        if min(times) < start or max(times) > end or max(times) - min(times) > end - start:
            fail(f"clip {clip['clip']}: messages from {min(times)} to {max(times)}")
        raw = sum(len(list_) for name, list_ in topics.items() if name.endswith("/raw"))
        if raw != clip["frames"]:
            fail(f"clip {clip['clip']}: {raw} frames, replay says {clip['frames']}")
        manifest = json.loads(attachments["manifest.json"])
        with open(rules, "rb") as f:
            if attachments.get("pack/brake.yaml") != f.read():
                fail("the pack is not attached")
        if manifest["clip"] != clip["clip"] or metadata["clip"]["id"] != clip["clip"] or \
                len(manifest["events"]) != len(fires):
            fail(f"clip {clip['clip']}: manifest {manifest['clip']}, metadata {metadata['clip']}")
        if metadata["clock"]["log_time"] != "unix" or \
                int(metadata["clock"]["wall_offset_ns"]) != to_unix:
            fail(f"clip {clip['clip']}: clock {metadata['clock']}")
    if count != 4:
        fail(f"{count} events in the clips, 4 expected")
    print(f"clips: {count} events at their time in UTC, manifest and pack attached")
    return path


def check_rerun(folder, path):
    """It exits with 0 on faults too: its words count. A home of its own: it writes settings."""
    rerun = os.path.join(os.path.dirname(sys.executable), "rerun")
    env = dict(os.environ, HOME=folder, DO_NOT_TRACK="1", NO_COLOR="1")
    result = subprocess.run(["timeout", "-s", "KILL", "120", rerun, "mcap", "check", "--full", path],
                            env=env, capture_output=True, text=True)
    rows = [r.split() for r in result.stdout.splitlines() if "/can/" in r or "/event" in r]
    bad = [r for r in rows if r[0] != "ok"]
    if result.returncode or "ERROR" in result.stdout + result.stderr or bad or not rows:
        fail(f"rerun mcap check: {result.returncode} {bad} {result.stderr[-400:]}")
    print(f"rerun: {len(rows)} topics ok")


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = check_rav4(folder)
        check_types(folder)
        check_rosbag2()
        clip = check_clips(folder)
        check_rerun(folder, path)
        check_rerun(folder, clip)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
