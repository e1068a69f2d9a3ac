/* The topics as docs/KAFKA.md has them, and how one that is there differs (the broker's side:
 * tests/e2e/kafka_topics.py). */
#include "tools/topics.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *value(const struct kafka_topic *topic, const char *key)
{
    for (uint32_t i = 0; i < topic->config_count; i++)
        if (!strcmp(topic->configs[i].key, key))
            return topic->configs[i].value;
    return NULL;
}

static void every_topic_is_as_the_contract_has_it(void **state)
{
    static const struct {
        const char *name, *cleanup, *retention;
        int partitions;
    } cases[WIRE_TOPIC_COUNT] = {
        [WIRE_TOPIC_CLIP] = { "roadloop.e2e.clip.v1", "delete", "604800000", 7 },
        [WIRE_TOPIC_RECEIPT] = { "roadloop.e2e.receipt.v1", "delete", "2592000000", 7 },
        [WIRE_TOPIC_ARTIFACT] = { "roadloop.e2e.artifact.v1", "compact", NULL, 1 },
        [WIRE_TOPIC_STATUS] = { "roadloop.e2e.status.v1", "compact", NULL, 7 },
        [WIRE_TOPIC_DATASET] = { "roadloop.e2e.dataset.v1", "delete", "2592000000", 7 },
        [WIRE_TOPIC_DLQ] = { "roadloop.e2e.dlq.v1", "delete", "2592000000", 7 },
    };

    (void)state;
    for (int t = 0; t < WIRE_TOPIC_COUNT; t++) {
        struct kafka_topic topic;
        assert_int_equal(topics_want((enum wire_topic)t, &(struct topics_wish){ "e2e", 7, 3 }, &topic), 0);
        assert_string_equal(topic.name, cases[t].name);
        assert_int_equal(topic.partitions, cases[t].partitions);
        assert_int_equal(topic.replication, 3);
        assert_string_equal(value(&topic, "cleanup.policy"), cases[t].cleanup);
        if (cases[t].retention)
            assert_string_equal(value(&topic, "retention.ms"), cases[t].retention);
        else
            assert_null(value(&topic, "retention.ms"));
        assert_string_equal(value(&topic, "compression.type"), "producer");
        assert_string_equal(value(&topic, "min.insync.replicas"), "2");
        assert_true(strtol(value(&topic, "max.message.bytes"), NULL, 10) > WIRE_ARTIFACT_VALUE_MAX);
    }
}

static void below_three_copies_nothing_is_said_of_insync(void **state)
{
    struct kafka_topic topic;

    (void)state;
    assert_int_equal(topics_want(WIRE_TOPIC_CLIP, &(struct topics_wish){ "e2e", 4, 2 }, &topic), 0);
    assert_null(value(&topic, "min.insync.replicas"));
}

static void an_environment_that_is_none_is_refused(void **state)
{
    struct kafka_topic topic;

    (void)state;
    assert_int_equal(topics_want(WIRE_TOPIC_CLIP, &(struct topics_wish){ "E_2", 4, 1 }, &topic), -EINVAL);
}

static void differences_are_named_one_by_one(void **state)
{
    char lines[TOPICS_DIFFERENCES_MAX][TOPICS_TEXT_MAX];
    struct kafka_topic wanted, found;

    (void)state;
    assert_int_equal(topics_want(WIRE_TOPIC_CLIP, &(struct topics_wish){ "e2e", 4, 3 }, &wanted), 0);
    found = wanted;
    assert_int_equal(topics_differ(&wanted, &found, lines), 0);
    found.partitions = 5;
    found.replication = 1;
    (void)snprintf(found.configs[1].value, sizeof found.configs[1].value, "1000");
    found.configs[2].value[0] = '\0';
    assert_int_equal(topics_differ(&wanted, &found, lines), 4);
    assert_string_equal(lines[0], "partitions: 5, not 4");
    assert_string_equal(lines[1], "replication: 1, not 3");
    assert_string_equal(lines[2], "retention.ms: 1000, not 604800000");
    assert_string_equal(lines[3], "compression.type: not known, not producer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_topic_is_as_the_contract_has_it),
        cmocka_unit_test(below_three_copies_nothing_is_said_of_insync),
        cmocka_unit_test(an_environment_that_is_none_is_refused),
        cmocka_unit_test(differences_are_named_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
