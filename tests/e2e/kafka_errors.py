#!/usr/bin/env python3
"""What an operator gets wrong, on Kafka itself over TLS and SASL_SSL: each fault is its own kind with its own remedy, in
the daemon's log and the sink's (once) and in doctor; no clip is lost; and when it is mended everything arrives without a
restart. No password stands in a log or an answer. K27, K31, K32."""
import concurrent.futures
import json
import os
import shutil
import sys
import time

from harness import ROADLOOP, KafkaBroker, Stack, check, run, until

FILES = ('client.pem', 'client.key')  # the car's and the sink's own
WRONG, RIGHT = 'not-the-secret', 'car-secret'


def put_certificate(stack, name):
    """Written beside and renamed, as a careful operator does."""
    for ours, theirs in zip(FILES, (name + '.pem', name + '.key')):
        shutil.copy(os.path.join(stack.broker.cluster.certs, theirs), stack.path(ours + '.new'))
    for ours in reversed(FILES):
        os.replace(stack.path(ours + '.new'), stack.path(ours))


def put_password(stack, password):
    with open(stack.path('password.new'), 'w') as f:
        f.write(password + '\n')
    os.replace(stack.path('password.new'), stack.path('password'))


def make_topics(stack, but=None):
    made = run(ROADLOOP, 'topics', 'create', '--bootstrap', stack.broker.bootstrap, '--env', stack.config['env'], '--partitions', '4')
    check(made.stdout.count(b' made: ') + made.stdout.count(b'is there') == 6, made.stdout.decode())
    if but:
        stack.broker.admin('delete', clip_topic(stack))


def clip_topic(stack):
    return f'roadloop.{stack.config["env"]}.clip.v1'


def size(stack, limit):
    stack.broker.admin('config', clip_topic(stack), f'max.message.bytes={limit}')


def enlarge(stack):
    size(stack, 1048588)
    run(ROADLOOP, 'retry', '--all', '--config', stack.path('roadloop.yaml'))


# name, listener, what is planted, how it is mended, the kind, words of its remedy, whether the sink suffers too
CASES = [
    ('wrong-certificate', 'ssl', lambda s: put_certificate(s, 'stranger'), lambda s: put_certificate(s, 'client'),
     'wrong certificate', 'that its CA signed', True),
    ('expired-certificate', 'ssl', lambda s: put_certificate(s, 'expired'), lambda s: put_certificate(s, 'client'),
     'expired certificate', 'replace the file of ssl.certificate.location', True),
    ('wrong-password', 'sasl', lambda s: put_password(s, WRONG), lambda s: put_password(s, RIGHT),
     'wrong password', 'the file of sasl.password', True),
    ('missing-topic', 'sasl', lambda s: make_topics(s, but='clip'), make_topics,
     'missing topic', 'roadloop topics create', True),
    ('forbidden-topic', 'sasl', lambda s: s.broker.admin('deny', 'User:car', 'write', clip_topic(s)),
     lambda s: s.broker.admin('allow', 'User:car', 'write', clip_topic(s)), 'forbidden topic', 'ACL', False),
    ('message-too-large', 'sasl', lambda s: size(s, 4000), enlarge, 'message too large', 'max.message.bytes', False),
]


def settings(stack, listener):
    certs = stack.broker.cluster.certs
    common = {'ssl.ca.location': f'{certs}/ca.pem', 'reconnect.backoff.max.ms': 1000}
    if listener == 'ssl':
        return {'security.protocol': 'ssl', 'ssl.certificate.location': stack.path(FILES[0]),
                'ssl.key.location': stack.path(FILES[1]), **common}
    return {'security.protocol': 'sasl_ssl', 'sasl.mechanism': 'SCRAM-SHA-256', 'sasl.username': 'car',
            'sasl.password.file': stack.path('password'), **common}


def said(stack, log, kind):
    return stack.tail(log, 1000).count(f'{kind}: ')


def delivered(stack):
    answer = run(ROADLOOP, 'status', '--json', '--config', stack.path('roadloop.yaml'), ok=(0, 1)).stdout.decode()
    check(WRONG not in answer and RIGHT not in answer, 'status shows a password')
    return json.loads(answer)['clips']['delivered']


def doctor_says(stack, kind, remedy):
    answer = run(ROADLOOP, 'doctor', '--json', '--config', stack.path('roadloop.yaml'), ok=(0, 1)).stdout.decode()
    check(WRONG not in answer and RIGHT not in answer, 'doctor shows a password')
    lines = [json.loads(line) for line in answer.splitlines()]
    return any(kind in line['text'] and remedy in line['remedy'] and line['level'] != 'good' for line in lines)


def case(broker, name, listener, plant, mend, kind, remedy, sink_too):
    cluster = broker.cluster
    with Stack(broker=broker, env=name, vehicle=name,
               bootstrap=cluster.bootstrap_ssl if listener == 'ssl' else cluster.bootstrap_sasl) as stack:
        put_certificate(stack, 'client')
        put_password(stack, RIGHT)
        stack.config['settings'] = settings(stack, listener)
        stack.write_config()
        expected = stack.expected()
        make_topics(stack)
        plant(stack)
        stack.start_sink()
        daemon = stack.start_daemon(once=False)  # parked clips would let --once end
        until(lambda: said(stack, 'daemon.log', kind), 25, f'{name}: the log names it:\n' + stack.tail('daemon.log'))
        until(lambda: doctor_says(stack, kind, remedy), 25, f'{name}: doctor names it and its remedy')
        if sink_too:
            until(lambda: said(stack, 'sink.log', kind), 20, f'{name}: the sink names it:\n' + stack.tail('sink.log'))
        check(not stack.stored(), f'{name}: clips arrived, the fault was none')
        time.sleep(1)
        mend(stack)
        start = time.monotonic()
        until(lambda: len(stack.stored()) >= len(expected), 75, f'{name}: every clip in the dataset:\n' + stack.tail('daemon.log'))
        took = time.monotonic() - start
        until(lambda: delivered(stack) == len(expected), 20, f'{name}: every receipt in the car')
        daemon.terminate()
        stack.finish_daemon(daemon, 20)
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        check(said(stack, 'daemon.log', kind) == 2, f'{name}: fault and remedy not once each:\n' + stack.tail('daemon.log'))
        check(said(stack, 'sink.log', kind) == sink_too, f'{name}: the sink not once:\n' + stack.tail('sink.log'))
        for log in ('daemon.log', 'sink.log'):
            check(WRONG not in stack.tail(log, 1000) and RIGHT not in stack.tail(log, 1000), f'{name}: a password in {log}')
        return f'{name}: named once with its remedy, by doctor too; mended without a restart, {len(expected)} clips {took:.1f} s later'


def main():
    broker = KafkaBroker(topics=None, secure=True)
    try:
        with concurrent.futures.ThreadPoolExecutor(len(CASES)) as pool:
            wanted = [c for c in CASES if len(sys.argv) < 2 or c[0] in sys.argv[1:]]
            for done in [pool.submit(case, broker, *c) for c in wanted]:
                print(done.result(), flush=True)
    finally:
        broker.close()
    print(f'{len(wanted)} faults named, remedied and mended')


main()
