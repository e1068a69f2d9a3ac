#!/usr/bin/env python3
"""Broken input through the real programs: at least four for each of the first five rows of DESIGN.md section 11, each with the
exit status and the words that a person gets, bounded in time and memory. Needs only the standard library
(and the libxxhash that roadloop itself is linked with, to forge records whose hash is right)."""
import ctypes
import ctypes.util
import glob
import hashlib
import json
import os
import resource
import shutil
import struct
import subprocess
import tempfile

from harness import ROADLOOP, ROADLOOPD, check, fail, run, until

SECONDS, BYTES = 20, 1 << 30
ASAN = 'asan' in ROADLOOP
PACK = b'''format: 1
package: test
version: 1.0.0
signals:
  s: {from: "*:M.S", max_age: 1s}
rules:
  - {name: r, when: "s == 1", priority: 8, clip: {pre: 1s, post: 1s}}
'''
DBC = b'VERSION ""\nBU_: X\nBO_ 291 M: 8 X\n SG_ S : 0|8@1+ (1,0) [0|255] "" X\n SG_ W : 32|32@1+ (1,0) [0|0] "" X\n'
CONFIG = b'vehicle: car\nrecording: {path: good.log}\ndatabases: [good.dbc]\npacks: [good.yaml]\nstore: {path: state}\n'
LOG = b'''(1.000000) can0 123#0102030405060708
(1.000250) can1 18FEF100#AA
(1.000500) can0 7FF#R3
(1.000750) can0 123##1112233
'''
count = 0


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not ASAN:
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def ask(command, stdin=b''):
    """(exit status, everything it said); a signal or a time-out is a failure of the test."""
    try:
        done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              preexec_fn=limits)
    except subprocess.TimeoutExpired:
        fail('hangs: ' + ' '.join(command))
    said = done.stdout.decode(errors='replace')
    check(done.returncode >= 0, f'killed by signal {-done.returncode}: {" ".join(command)}\n{said[-2000:]}')
    return done.returncode, said


def want(status, words, *command, stdin=b''):
    global count
    count += 1
    got, said = ask(list(command), stdin)
    if got != status or words not in said:
        fail(f'{" ".join(command)}\n  expected {status} and: {words}\n  got {got} and: {said[:1500]}')


def write(name, data):
    with open(name, 'wb') as f:
        f.write(data)
    return name


def xxh3(data):
    lib = ctypes.CDLL(ctypes.util.find_library('xxhash') or 'libxxhash.so.0')
    lib.XXH3_64bits.restype = ctypes.c_uint64
    lib.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return struct.pack('<Q', lib.XXH3_64bits(data, len(data)))


# --- row 1: packs, databases, configuration ---
def packs_databases_configuration():
    for name, data, status, words in (
            ('empty.yaml', b'', 1, 'empty.yaml:1:1: error E101: the file is empty'),
            ('unit.yaml', PACK.replace(b'pre: 1s', b'pre: 1parsec'), 1, "unit.yaml:7:57: error E402: found 'parsec' behind a number"),
            ('nul.yaml', PACK.replace(b'test', b'te\0st'), 1, 'nul.yaml:2:12: error E101: found the control character 0x00'),
            ('utf8.yaml', PACK.replace(b'test', b'te\xc0\x80'), 1, 'utf8.yaml:2:12: error E101: not YAML'),
            ('deep.yaml', b'a: ' + b'[' * 100000, 1, 'deep.yaml:1:35: error E101: maps and lists stand more than 32 deep'),
            ('long.yaml', PACK.replace(b's == 1', b'(' * 20000 + b's' + b')' * 20000), 1, 'long.yaml:7:22: error E502'),
            ('path.yaml', PACK.replace(b'test', b'../etc'), 1, "path.yaml:2:10: error E104: a package's name '../etc'"),
            ('bomb.yaml', b'a: &a [x]\nb: [*a, *a]\n', 1, 'bomb.yaml:1:4: error E101: anchors (&) are not in the subset'),
            ('huge.yaml', PACK + b'#' * (2 << 20), 2, 'huge.yaml: error: pack: File too large'),
            ('bidi.yaml', PACK.replace(b'test', b'te\xe2\x80\xaest'), 1, r"bidi.yaml:2:10: error E104: a package's name 'te\xe2\x80\xaest'"),
            ('near.yaml', PACK.replace(b'M.S', b'M.SS'), 1, 'near.yaml:5:14: error')):
        want(status, words, ROADLOOP, 'check', write(name, data), '--dbc', 'good.dbc')
    want(2, 'pack: Is a directory', ROADLOOP, 'check', '/')
    want(2, 'No such file', ROADLOOP, 'check', 'absent.yaml')
    want(1, "E205: a second pack with the package 'test'", ROADLOOP, 'check', 'good.yaml', 'good.yaml', '--dbc', 'good.dbc')
    for name, old, new, words in (
            ('bits.dbc', b'0|8@1+', b'0|4294967296@1+', "bits.dbc:4:12: warning D102: expected the signal's bits (1 to 65535)"),
            ('start.dbc', b'0|8@1+', b'4294967288|8@1+', 'start.dbc:4:10: warning D102: expected the start bit'),
            ('factor.dbc', b'(1,0)', b'(1e999,0)', 'expected a number that a double can hold'),
            ('size.dbc', b': 8 X', b': 18446744073709551615 X', "expected the message's bytes (0 to 65535)"),
            ('nul.dbc', b'SG_ S', b'SG_ S\0', "expected ':' after the signal's name, found byte 0x00"),
            ('none.dbc', DBC, b'', 'none.dbc:1:1: error D001: this is no DBC')):
        want(1, words, ROADLOOP, 'check', 'good.yaml', '--dbc', write(name, DBC.replace(old, new)))
    want(2, 'cannot read the database: Is a directory', ROADLOOP, 'check', 'good.yaml', '--dbc', '/')
    for name, data, words in (
            ('key.yaml', CONFIG + b'stor: {}\n', "key.yaml:6:1: error"),
            ('type.yaml', CONFIG.replace(b'path: state', b'quota: many'), 'type.yaml:5:'),
            ('name.yaml', CONFIG.replace(b': car', b': ../../car'), 'name.yaml:1:10'),
            ('wide.yaml', CONFIG.replace(b'path: state', b'path: state, chunk: 18446744073709551616'), 'wide.yaml:5:'),
            ('pack.yaml', CONFIG.replace(b'good.yaml', b'nul.yaml'), 'nul.yaml:2:12: error E101'),
            ('dbc.yaml', CONFIG.replace(b'good.dbc', b'none.dbc'), 'none.dbc:1:1: error D001')):
        want(2, words, ROADLOOPD, '--check-config', '--config', write(name, data))
    want(0, '', ROADLOOPD, '--check-config', '--config', 'good.conf')


# --- row 2: recordings with torn, unsorted, foreign lines ---
def recordings():
    for name, data, note, strict in (
            ('torn.log', LOG + b'(1.001) can0 123#0', '1 torn skipped (first at line 5)', 'torn.log:5:19: torn line'),
            ('unsorted.log', LOG + LOG.replace(b'(1.', b'(0.'), '1 unsorted kept (first at line 5)', 'unsorted.log:5:'),
            ('foreign.log', b'# hello\n' + LOG + b'\0\0\n', '2 foreign skipped (first at line 1)', 'foreign.log:1:1: foreign line'),
            ('range.log', LOG + b'(1.1) can0 FFFFFFFF#00\n(99999999999.0) can0 123#\n', '2 out of range skipped (first at line 5)', 'range.log:5:'),
            ('huge.log', LOG + b'(1.1) can0 123#' + b'0' * 5000000 + b'\n', '1 torn skipped (first at line 5)', 'huge.log:5:1: torn line'),
            ('buses.log', b''.join(b'(1.0) can%d 123#\n' % i for i in range(40)), '8 too many buses skipped (first at line 33)', 'buses.log:33:1'),
            ('name.log', LOG + b'(1.1) ../x 123#01\n', '1 foreign skipped (first at line 5)', 'name.log:5:'),
            ('far.csv', b't,bus,id,flags,dlc,data\n9223372035.9,can0,0x1,,1,01\n-9223372035.9,can0,0x1,,1,01\n',
             '1 unsorted kept (first at line 3)', 'far.csv:3:'),
            ('bad.jsonl', b'{"t":"1.0","bus":"can0","id":1,"data":"01"}\n{"t":"1.0","bus":"can0","id":1,"data":"0"}\n[[[[\n',
             'skipped (first at line 2)', 'bad.jsonl:2:')):
        write(name, data)
        want(0, note, ROADLOOP, 'convert', name, 'out.rlc', '--in', name.split('.')[1].replace('log', 'candump'))
        want(2, strict, ROADLOOP, 'convert', name, 'out.rlc', '--strict', '--in', name.split('.')[1].replace('log', 'candump'))
        want(0, note, ROADLOOP, 'replay', name, '--rules', 'good.yaml', '--dbc', 'good.dbc', '--out', 'out')
    want(2, 'neither its name nor its first bytes tell the format', ROADLOOP, 'replay', write('empty', b''))
    want(2, 'Is a directory', ROADLOOP, 'convert', '/', 'out.rlc')
    want(2, 'read failed', ROADLOOP, 'convert', write('cut.log.zst', bytes.fromhex('28b52ffd') + b'\xff' * 40), 'out.rlc', '--in', 'candump')
    want(2, 'its name does not tell the format', ROADLOOP, 'convert', '-', '-', stdin=LOG)
    want(2, 'cannot be written', ROADLOOP, 'convert', 'good.log', 'absent/out.rlc')


# --- row 3: frames that no database fits ---
def frames():
    for name, line, labels in (
            ('unknown id', b'(1.0) can0 7AB#0102030405060708', {}),
            ('short', b'(1.0) can0 123#01', {'S'}),
            ('empty', b'(1.0) can0 123#', set()),
            ('remote', b'(1.0) can0 123#R8', set()),
            ('extended twin', b'(1.0) can0 00000123#0102030405060708', {}),
            ('raw dlc', b'(1.0) can0 123#0102030405060708_F', {'S', 'W'})):
        global count
        count += 1
        write('frame.log', line + b'\n')
        status, said = ask([ROADLOOP, 'convert', 'frame.log', '-', '--out', 'jsonl', '--dbc', 'good.dbc'])
        check(status == 0, f'{name}: {said}')
        row = json.loads(said.splitlines()[0])
        check(set(row.get('signals', {})) == set(labels), f'{name}: {said}')
        run(ROADLOOP, 'convert', 'frame.log', 'frame.rlc')
        back = run(ROADLOOP, 'convert', 'frame.rlc', '-', '--out', 'candump').stdout
        check(back == line.replace(b'1.0)', b'1.000000)') + b'\n', f'{name}: not kept: {back}')
        want(0, '1 frames', ROADLOOP, 'replay', 'frame.log', '--rules', 'good.yaml', '--dbc', 'good.dbc')


def codes():
    """Codes that mean "no value" and values that cannot be: invalid, never true, kept."""
    rules = (PACK[:PACK.index(b'signals')] + b"""signals:
  s: {from: "can0:M.S", max_age: 1s, valid: "[0..100]"}
  g: {from: "can0:M.G", max_age: 1s, invalid: ['SNA', 'ERR']}
rules:
  - {name: s_invalid, when: "s is invalid", clip: {pre: 1s, post: 1s}}
  - {name: s_good, when: "s > 50", clip: {pre: 1s, post: 1s}}
  - {name: g_invalid, when: "g is invalid", clip: {pre: 1s, post: 1s}}
  - {name: g_good, when: "g == 'P' or g == 'SNA' or g == 'ERR'", clip: {pre: 1s, post: 1s}}
""")
    write('codes.yaml', rules)
    write('codes.dbc', b'VERSION ""\nBU_: X\nBO_ 291 M: 8 X\n SG_ S : 0|8@1- (1,0) [0|255] "" X\n SG_ G : 8|8@1+ (1,0) [0|255] "" X\n'
          b'VAL_ 291 G 0 "P" 254 "ERR" 255 "SNA" ;\n')
    for name, data, fires in (
            ('good', '6400', {'s_good', 'g_good'}), ('above valid', '7F00', {'s_invalid', 'g_good'}),
            ('below valid', 'FF00', {'s_invalid', 'g_good'}), ('label SNA', '64FF', {'s_good', 'g_invalid'}),
            ('label ERR', '64FE', {'s_good', 'g_invalid'}), ('both', '80FF', {'s_invalid', 'g_invalid'})):
        global count
        count += name != 'good'
        line = b'(1.000000) can0 123#0001\n(1.100000) can0 123#' + data.encode() + b'\n'
        status, said = ask([ROADLOOP, 'replay', write('code.log', line), '--rules', 'codes.yaml', '--dbc', 'can0=codes.dbc', '--json'])
        events = [json.loads(text) for text in said.splitlines() if text.startswith('{')]
        got = {event['rule'].split('/')[1] for event in events if event['event'] == 'fire'}
        check(status == 0 and got == fires, f'{name}: fires {got}, expected {fires}: {said}')
        run(ROADLOOP, 'convert', 'code.log', 'code.rlc')
        check(run(ROADLOOP, 'convert', 'code.rlc', '-', '--out', 'candump').stdout == line, f'{name}: not kept')


# --- row 4: clips and messages ---
def records(data):
    at, out = 0, []
    while at < len(data):
        end = at + 16 + struct.unpack_from('<I', data, at + 4)[0]
        out.append((at, end))
        at = end
    return out


def forged(data, record, change):
    """A clip whose record `record` holds other bytes under a hash that is right."""
    start, end = records(data)[record]
    body = change(bytearray(data[start + 8:end - 8]))
    head = data[start:start + 4] + struct.pack('<I', len(body)) + bytes(body)
    return data[:start] + head + xxh3(head) + data[end:]


def patch(at, fmt, value):
    def change(body):
        struct.pack_into(fmt, body, at, value)
        return body
    return change


def block(change):
    """The first block of a group changed, its own hash made right."""
    def outer(body):
        n = struct.unpack_from('<I', body, 64 + 12)[0]
        inner = bytearray(body[64:64 + 32 + n])
        change(inner)
        struct.pack_into('<I', inner, 12, len(inner) - 32)
        return body[:64] + inner + xxh3(bytes(inner)) + body[64 + 32 + n + 8:]
    return outer


def bomb(inner):
    """A zstd frame that declares 2^40 bytes, of blocks that repeat one byte."""
    del inner[32:]
    inner += bytes.fromhex('28b52ffd') + b'\xe0' + struct.pack('<Q', 1 << 40)
    inner += b''.join(struct.pack('<I', 1 << 1 | 131072 << 3)[:3] + b'\0' for _ in range(500))


def clips():
    lines = b''.join(b'(%d.%06d) can0 123#%016X\n' % (i // 10, i % 10 * 100000, i * i) for i in range(300))
    run(ROADLOOP, 'convert', write('long.log', lines), 'good.rlc')
    with open('good.rlc', 'rb') as f:
        good = f.read()
    places = records(good)
    check(len(places) >= 5, f'{len(places)} records')
    group = len(places) - 2
    for name, data in (
            ('hash', good[:200] + bytes([good[200] ^ 1]) + good[201:]),
            ('rows 2^32-1', forged(good, group, patch(4, '<I', 0xffffffff))),
            ('steps 2^64-1', forged(good, group, patch(16, '<Q', (1 << 64) - 1))),
            ('mono -2^63', forged(good, group, patch(32, '<q', -1 << 63))),
            ('offset 2^63-1', forged(good, group, patch(8, '<q', (1 << 63) - 1))),
            ('255 blocks', forged(good, group, patch(56, '<B', 255))),
            ('payload 2^32-1', forged(good, group, patch(64 + 12, '<I', 0xffffffff))),
            ('zstd bomb', forged(good, group, block(bomb))),
            ('empty group', forged(good, group, lambda body: body[:0])),
            ('length 2^32-1', good[:places[group][0] + 4] + b'\xff' * 4 + good[places[group][0] + 8:]),
            ('manifest of zeros', forged(good, group + 1, lambda body: bytearray(len(body)))),
            ('header of ones', forged(good, 0, lambda body: bytearray(b'\xff' * len(body)))),
            ('two headers', good[:places[0][1]] + good)):
        write('bad.rlc', data)
        global count
        count += 1
        status, said = ask([ROADLOOP, 'inspect', 'bad.rlc', '--verify'])
        check(status in (1, 2) and ('damaged' in said or 'torn' in said or 'bad.rlc: ' in said), f'{name}: {status} {said}')
        for command in (('convert', 'bad.rlc', 'out.csv'), ('convert', 'bad.rlc', 'out.mcap'), ('replay', 'bad.rlc')):
            status, said = ask([ROADLOOP, *command])
            check(status in (0, 2), f'{name}: {command}: {status} {said}')
    # Cut at every byte of its last block: the groups before it are kept.
    kept = None
    for end in range(places[group][0], places[group][1]):
        write('cut.rlc', good[:end])
        count += 1
        status, said = ask([ROADLOOP, 'inspect', 'cut.rlc', '--verify'])
        check(status == 1 and 'torn' in said, f'cut at {end}: {status} {said}')
        if (end - places[group][0]) % 16 == 0:
            status, said = ask([ROADLOOP, 'convert', 'cut.rlc', '-', '--out', 'candump'])
            frames = said.count(' can0 ')
            check(kept in (None, frames) and frames > 0, f'cut at {end}: {frames} frames: {said[-500:]}')
            kept = frames


# --- row 4: what a sink is given ---
def final(clip, session, vehicle, size, sha, chunk=4096):
    about = clip + session + struct.pack('<Qqqq', 0, 0, 1, 0) + bytes([4, 1]) + bytes([len(vehicle)]) + vehicle + b'\x03t/r'
    body = about + struct.pack('<II', size, chunk) + sha
    return b'RLWV' + bytes([1, 3, 0, 0]) + xxh3(body) + body


def sink():
    os.makedirs('drop')
    cases = {}
    for i, (name, manifest, content, words) in enumerate((
            ('no manifest', lambda c, s: b'nonsense', b'x', 'value: 8 bytes, expected at least 16'),
            ('flipped', lambda c, s: final(c, s, b'car', 9, bytes(32))[:-1] + b'\1', b'x' * 9, 'hash: the body of manifest-final'),
            ('total beyond', lambda c, s: final(c, s, b'car', 0xffffffff, bytes(32)), b'x' * 9, 'segment bytes: found 4294967295, expected 1 to'),
            ('pseudonym', lambda c, s: final(c, s, b'../../x', 9, bytes(32)), b'x' * 9, "pseudonym: found '../../x'"),
            ('wrong hash', lambda c, s: final(c, s, b'car', 9, bytes(32)), b'x' * 9, 'segment 0 does not have the SHA-256'),
            ('short', lambda c, s: final(c, s, b'car', 9, hashlib.sha256(b'x' * 9).digest()), b'x', ''),
            ('no clip', lambda c, s: final(c, s, b'car', 9, hashlib.sha256(b'x' * 9).digest()), b'x' * 9, 'not a record of a clip'))):
        session = bytes([i]) * 16
        clip = hashlib.sha256(b'car\0' + session + bytes(8)).digest()[:16]
        write(f'drop/{clip.hex()}.rlc', content)
        write(f'drop/{clip.hex()}.manifest', manifest(clip, session))
        cases[name] = f'drop/{clip.hex()}', words
    write('drop/' + 'zz' * 16 + '.manifest', b'x')
    os.symlink('/etc/passwd', 'drop/' + 'aa' * 16 + '.manifest')
    os.mkdir('drop/' + 'bb' * 16 + '.manifest')
    log = open('sink.log', 'wb')
    process = subprocess.Popen([ROADLOOP, 'sink', 'run', '--dataset', 'dataset', '--drop', 'drop'], stdout=log, stderr=log, preexec_fn=limits)
    global count
    try:
        for name, (base, words) in cases.items():
            until(lambda: process.poll() is not None or os.path.exists(base + '.refused') or os.path.exists(base + '.receipt'), 15, f'an answer to: {name}')
            check(process.poll() is None, 'the sink died: ' + open('sink.log').read())
            count += 1
            if words:
                until(lambda: os.path.exists(base + '.refused'), 15, f'a reason for: {name}')
                with open(base + '.refused') as f:
                    check(words in f.read(), f'{name}: another reason than: {words}')
        check(not glob.glob('dataset/date=*/vehicle=*/*.rlc'), 'something broken was stored')
    finally:
        process.terminate()
        check(process.wait(20) == 0, 'the sink did not stop cleanly: ' + open('sink.log').read())


# --- row 5: the store at the start (in mid-run, and row 6, the broker: broken_run.py; row 4 over Kafka: poison.py) ---
def store():
    write('file', b'')
    for name, path in (('a file in its place', 'file'), ('below a file', 'file/x'), ('a device', '/dev/full'), ('no such folder', '/proc/absent/x')):
        write('store.yaml', CONFIG.replace(b'path: state', b'path: ' + path.encode()))
        global count
        count += 1
        status, said = ask([ROADLOOPD, '--config', 'store.yaml', '--once'])
        check(status in (1, 2) and path in said, f'store: {name}: {status} {said}')
    want(2, 'No space left on device', ROADLOOP, 'convert', 'long.log', '/dev/full', '--out', 'candump')
    want(2, '', ROADLOOP, 'convert', 'long.log', '/dev/full', '--out', 'rlc')


def main():
    folder = tempfile.mkdtemp(prefix='roadloop-broken-')
    os.chdir(folder)
    try:
        for name, data in (('good.yaml', PACK), ('good.dbc', DBC), ('good.log', LOG), ('good.conf', CONFIG)):
            write(name, data)
        os.mkdir('state')
        said = []
        for part in (packs_databases_configuration, recordings, frames, codes, clips, sink, store):
            before = count
            part()
            said.append(f'{part.__name__} {count - before}')
        print(f'{count} broken inputs: {", ".join(said)}')
    finally:
        os.chdir('/')
        shutil.rmtree(folder, ignore_errors=True)


main()
