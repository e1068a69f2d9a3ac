#!/usr/bin/env python3
"""What the sink had not read is gone from Kafka: (1) clip.v1 is deleted and made anew under a running sink in the middle of
an upload; (2) it is truncated (DeleteRecords) before the sink read it. Cars are asked, everything arrives once and
byte-exact, and the sink counts what it lost."""
import os
import time

from harness import KafkaBroker, Stack, check, read_metrics, topic, total, until

SETTINGS = {'reconnect.backoff.max.ms': 1000}
SLOW = {'rate': '48KiB', 'burst': '24KiB', 'chunk': '8KiB'}
SOON = ('--partial-after', '2')


def sink_metric(stack, name):
    path = stack.path('sink.prom')
    return total(read_metrics(path), name) if os.path.exists(path) else 0


def made_anew(broker):
    with Stack(broker=broker, settings=SETTINGS, vehicle='car-1', **SLOW) as stack:
        expected = stack.expected()
        stack.start_sink(*SOON)
        daemon = stack.start_daemon()
        until(lambda: sink_metric(stack, 'sink_chunks_total') >= 3, 30, 'the upload has begun')
        check(daemon.poll() is None, 'the upload ended before the topic was deleted')
        broker.admin('delete', topic('clip'))
        time.sleep(2)
        broker.admin('create', topic('clip') + ':4')
        stack.finish_daemon(daemon, 120)
        until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
        until(lambda: sink_metric(stack, 'sink_clips_stored_total') >= len(expected) and sink_metric(stack, 'sink_words_waiting') == 0, 20,
              'every word of the sink has its report')
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        counted = sink_metric(stack, 'sink_offsets_beyond_total') + sink_metric(stack, 'sink_offsets_lost_total')
        check(counted >= 1, 'the sink did not count that its place was gone')
        print(f'topic deleted and made anew in mid-upload: {len(expected)} clips arrived, {counted} places counted as gone')


def truncated(broker):
    with Stack(broker=broker, settings=SETTINGS, vehicle='car-2', seed=2) as stack:
        expected = stack.expected()
        # The sink was here before and has a place in the log.
        stack.start_sink(*SOON)
        time.sleep(3)
        stack.stop_sink()
        daemon = stack.start_daemon()
        until(lambda: sent(stack) >= len(expected), 40, 'every clip is with the broker')
        daemon.terminate()
        stack.finish_daemon(daemon, 20)
        lost = int(broker.admin('truncate', topic('clip')))
        check(lost > len(expected) * 3, f'{lost} messages truncated')
        stack.start_sink(*SOON)
        # The car asks for what has no receipt when it starts again, else after an hour.
        stack.finish_daemon(stack.start_daemon(), 90)
        until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
        until(lambda: sink_metric(stack, 'sink_clips_stored_total') >= len(expected) and sink_metric(stack, 'sink_words_waiting') == 0, 20,
              'every word of the sink has its report')
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        check(sink_metric(stack, 'sink_offsets_lost_total') >= 1, 'the sink did not count what it lost')
        print(f'{lost} messages truncated before the sink read them: the car was asked, {len(expected)} clips arrived')


def sent(stack):
    """Clips whose manifest-final is with the broker."""
    finals = [m for m in stack.broker.read('clip') if bytes.fromhex(m['value'])[5] == 3 and bytes.fromhex(m['key']) == b'car-2']
    return len(finals)


def main():
    broker = KafkaBroker()
    try:
        made_anew(broker)
        truncated(broker)
    finally:
        broker.close()


main()
