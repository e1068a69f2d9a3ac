#include "tools/topics.h"

#include <errno.h>
#include <string.h>

#define WEEK_MS "604800000"
#define MONTH_MS "2592000000"
/* Above the largest value (an artifact of 921,856 bytes) with headers: Kafka's own default, said
 * aloud because a cluster may have a smaller one. */
#define MESSAGE_BYTES "1048588"

struct row {
    const char *cleanup, *retention_ms; /* NULL: the cleanup has none */
    bool one_partition;
};

static const struct row rows[WIRE_TOPIC_COUNT] = {
    [WIRE_TOPIC_CLIP] = { "delete", WEEK_MS, false }, /* how long a sink may be away */
    [WIRE_TOPIC_RECEIPT] = { "delete", MONTH_MS, false },
    [WIRE_TOPIC_ARTIFACT] = { "compact", NULL, true },
    [WIRE_TOPIC_STATUS] = { "compact", NULL, false },
    [WIRE_TOPIC_DATASET] = { "delete", MONTH_MS, false },
    [WIRE_TOPIC_DLQ] = { "delete", MONTH_MS, false },
};

static void want(struct kafka_topic *topic, const char *key, const char *value)
{
    struct kafka_topic_config *config = &topic->configs[topic->config_count++];

    config->key = key;
    (void)snprintf(config->value, sizeof config->value, "%s", value);
}

int topics_want(enum wire_topic topic, const struct topics_wish *wish, struct kafka_topic *ret_topic)
{
    const struct row *row = &rows[topic];

    *ret_topic = (struct kafka_topic){ .partitions = row->one_partition ? 1 : wish->partitions,
                                       .replication = wish->replication };
    int rc = wire_topic_name(topic, wish->env, ret_topic->name);
    if (rc)
        return rc;
    want(ret_topic, "cleanup.policy", row->cleanup);
    if (row->retention_ms)
        want(ret_topic, "retention.ms", row->retention_ms);
    want(ret_topic, "compression.type", "producer");
    want(ret_topic, "max.message.bytes", MESSAGE_BYTES);
    if (wish->replication >= 3)
        want(ret_topic, "min.insync.replicas", "2");
    return 0;
}

static const char *value_of(const struct kafka_topic *topic, const char *key)
{
    for (uint32_t i = 0; i < topic->config_count; i++)
        if (!strcmp(topic->configs[i].key, key))
            return topic->configs[i].value;
    return "";
}

uint32_t topics_differ(const struct kafka_topic *wanted, const struct kafka_topic *found,
                       char lines[TOPICS_DIFFERENCES_MAX][TOPICS_TEXT_MAX])
{
    uint32_t count = 0;

    if (found->partitions != wanted->partitions)
        (void)snprintf(lines[count++], TOPICS_TEXT_MAX, "partitions: %d, not %d", found->partitions,
                       wanted->partitions);
    if (found->replication != wanted->replication)
        (void)snprintf(lines[count++], TOPICS_TEXT_MAX, "replication: %d, not %d",
                       found->replication, wanted->replication);
    for (uint32_t i = 0; i < wanted->config_count; i++) {
        const struct kafka_topic_config *config = &wanted->configs[i];
        const char *value = value_of(found, config->key);
        if (strcmp(value, config->value))
            (void)snprintf(lines[count++], TOPICS_TEXT_MAX, "%s: %s, not %s", config->key,
                           value[0] ? value : "not known", config->value);
    }
    return count;
}
