"""What tests do to a real broker as its administrator, through kafka-python: a client that shares nothing with ours.
    admin.py BOOTSTRAP create TOPIC:PARTITIONS[:KEY=VALUE...]...   as the broker's own defaults replicate
    admin.py BOOTSTRAP delete TOPIC...
    admin.py BOOTSTRAP truncate TOPIC      DeleteRecords up to the end of each partition; prints how many are gone
    admin.py BOOTSTRAP deny|allow PRINCIPAL OPERATION TOPIC   makes or removes an ACL that forbids
    admin.py BOOTSTRAP password USER PASSWORD                 of SCRAM-SHA-256
    admin.py BOOTSTRAP config TOPIC KEY=VALUE
    admin.py BOOTSTRAP describe TOPIC...   JSON: {topic: {partitions, replication, leaders, isr, configs}}
    admin.py BOOTSTRAP read TOPIC          JSON lines: partition, offset, timestamp (ms), key, value, headers; hex"""
import json
import sys

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import (ACL, ACLFilter, ACLOperation, ACLPermissionType, ConfigResource, ConfigResourceType, NewTopic,
                         ResourcePattern, ResourceType, ScramMechanism, UserScramCredentialUpsertion)


def reader(bootstrap):
    return KafkaConsumer(bootstrap_servers=bootstrap.split(','), enable_auto_commit=False, auto_offset_reset='earliest')


def places(consumer, topic):
    return [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]


def read(bootstrap, topic):
    consumer = reader(bootstrap)
    parts = places(consumer, topic)
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    while any(consumer.position(p) < ends[p] for p in parts):
        for part, messages in consumer.poll(timeout_ms=500).items():
            for m in messages:
                print(json.dumps({'partition': part.partition, 'offset': m.offset, 'timestamp': m.timestamp, 'key': m.key.hex(),
                                  'value': m.value.hex() if m.value is not None else None,
                                  'headers': {name: value.hex() for name, value in m.headers}}))


def truncate(admin, bootstrap, topic):
    consumer = reader(bootstrap)
    parts = places(consumer, topic)
    first, end = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
    admin.delete_records({p: end[p] for p in parts})
    print(sum(end[p] - first[p] for p in parts))


def create(admin, specs):
    topics = []
    for spec in specs:
        name, partitions, *configs = spec.split(':')
        topics.append(NewTopic(name, num_partitions=int(partitions), replication_factor=-1,
                               topic_configs=dict(c.split('=') for c in configs)))
    admin.create_topics(topics)


def access(admin, verb, principal, operation, topic):
    where = ResourcePattern(ResourceType.TOPIC, topic)
    values = dict(principal=principal, host='*', operation=ACLOperation[operation.upper()],
                  permission_type=ACLPermissionType.DENY, resource_pattern=where)
    if verb == 'deny':
        # The one that allows all stands beside it: without it the first ACL of a topic shuts everybody out.
        admin.create_acls([ACL(**values), ACL(**{**values, 'principal': 'User:*', 'operation': ACLOperation.ALL,
                                                 'permission_type': ACLPermissionType.ALLOW})])
    else:
        admin.delete_acls([ACLFilter(**values)])


def main(bootstrap, verb, *words):
    if verb == 'read':
        return read(bootstrap, *words)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(','))
    if verb == 'create':
        create(admin, words)
    elif verb == 'delete':
        admin.delete_topics(list(words))
    elif verb == 'truncate':
        truncate(admin, bootstrap, *words)
    elif verb in ('deny', 'allow'):
        access(admin, verb, *words)
    elif verb == 'password':
        user, password = words
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_256, password)])
    elif verb == 'config':
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, words[0], dict(w.split('=', 1) for w in words[1:]))])
    elif verb == 'describe':
        print(json.dumps(admin.describe_topics(list(words)), default=str))
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(*sys.argv[1:])
