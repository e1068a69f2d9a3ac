#!/usr/bin/env python3
"""Three nodes of Kafka, replication 3, min.insync.replicas=2. (1) The leader of the car's partition is killed in the middle
of an upload and stays away: what was acked is in the log, nothing stands twice in the dataset, uploads go on within 30 s.
(2) Two nodes are killed: the car waits; over the last 80 % of the wait its RSS moves by at most 4 MiB; when they are back
everything arrives. WAIT_SECONDS (60) is the length of the wait."""
import json
import os
import time

from harness import ENV, ROADLOOP, KafkaBroker, Stack, check, read_metrics, run, topic, total, until

WAIT_SECONDS = int(os.environ.get('WAIT_SECONDS', '60'))
RSS_MOVE = 4 << 20
ON_AGAIN_S = 30
CHUNK = 2  # of enum wire_kind
SLOW = {'rate': '48KiB', 'burst': '24KiB', 'chunk': '8KiB'}
SETTINGS = {'reconnect.backoff.max.ms': 1000}


def leader_of(broker, name, partition):
    parts = json.loads(broker.admin('describe', topic(name)))[0]['partitions']
    return next(p['leader_id'] for p in parts if p['partition_index'] == partition)


def uploading(stack, chunks):
    path = stack.path('sink.prom')
    return os.path.exists(path) and total(read_metrics(path), 'sink_chunks_total') >= chunks


def rss(process):
    with open(f'/proc/{process.pid}/status') as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith('VmRSS'))


def leader_killed(broker):
    with Stack(broker=broker, settings=SETTINGS, vehicle='car-1', **SLOW) as stack:
        expected = stack.expected()
        stack.start_sink()
        daemon = stack.start_daemon()
        until(lambda: uploading(stack, 3), 30, 'the upload has begun')
        partition = next(m['partition'] for m in broker.read('clip'))
        leader = leader_of(broker, 'clip', partition)
        check(daemon.poll() is None, 'the upload ended before the leader was killed')
        killed = time.time() * 1000
        broker.cluster.kill(leader)
        stack.finish_daemon(daemon, 120)
        until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        messages = broker.read('clip')
        after = [m['timestamp'] for m in messages if m['timestamp'] > killed + 50]
        check(after, 'nothing was sent after the leader was gone')
        check(after[0] - killed < ON_AGAIN_S * 1000, f'uploads went on after {(after[0] - killed) / 1000:.1f} s')
        acked = total(read_metrics(stack.path('roadloop.prom')), 'upload_chunks_total')
        check(acked >= len(chunks_of(messages)), f'{acked} chunks sent, {len(chunks_of(messages))} in the log')
        print(f'leader killed in mid-upload, never back: {len(expected)} clips once and byte-exact, uploads on again after '
              f'{(after[0] - killed) / 1000:.1f} s')
        return leader


def chunks_of(messages):
    values = [bytes.fromhex(m['value']) for m in messages]
    return {(v[16:32], v[64:72]) for v in values if v[5] == CHUNK}


def two_down(broker):
    with Stack(broker=broker, settings=SETTINGS, vehicle='car-2', seed=2, **SLOW) as stack:
        expected = stack.expected()
        stack.start_sink()
        daemon = stack.start_daemon()
        until(lambda: uploading(stack, 3), 30, 'the upload has begun')
        for node in (1, 2):
            broker.cluster.kill(node)
        samples, end = [], time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            samples.append(rss(daemon))
            check(daemon.poll() is None, 'the daemon did not wait')
            time.sleep(0.5)
        late = samples[len(samples) // 5:]
        moved = max(late) - min(late)
        check(moved <= RSS_MOVE, f'RSS moved by {moved} bytes in the last 80 % of {WAIT_SECONDS} s')
        for node in (1, 2):
            broker.cluster.launch(node)
        for node in (1, 2):
            broker.cluster.wait_ready(node)
        stack.finish_daemon(daemon, 120)
        until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        print(f'two of three down for {WAIT_SECONDS} s: RSS moved by {moved / 1024:.0f} KiB of {max(late) >> 20} MiB; then '
              f'{len(expected)} clips arrived')


def main():
    broker = KafkaBroker(topics=None, nodes=3, heap='384m')
    try:
        # A node says that it started before the others know of it: three copies can be made a moment later.
        create = (ROADLOOP, 'topics', 'create', '--bootstrap', broker.bootstrap, '--env', ENV, '--partitions', '4')
        until(lambda: run(*create, '--replication', '3', ok=(0, 2)).returncode == 0, 30, 'three copies of each topic')
        until(lambda: run(*create, ok=(0, 1, 2)).stdout.count(b'as it should be') == 6, 15, 'three copies are the default of three nodes')
        broker.admin('config', topic('clip'), 'message.timestamp.type=LogAppendTime')
        leader = leader_killed(broker)
        broker.cluster.start(leader)
        two_down(broker)
    finally:
        broker.close()


main()
