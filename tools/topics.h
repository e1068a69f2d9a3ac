/* topics - the topics of docs/KAFKA.md as they should be, and how one that is there differs. Pure. */
#ifndef TOOLS_TOPICS_H
#define TOOLS_TOPICS_H
#include "proto/wire.h"
#include "uploader/kafka_admin.h"

#define TOPICS_DIFFERENCES_MAX (KAFKA_TOPIC_CONFIGS_MAX + 2)
#define TOPICS_TEXT_MAX 256

struct topics_wish {
    const char *env;
    int32_t partitions;  /* of all but artifact, which has one */
    int32_t replication; /* >= 1 */
};

/* 0, or -EINVAL when env is none. */
int topics_want(enum wire_topic topic, const struct topics_wish *wish, struct kafka_topic *ret_topic);
/* Writes a line for each thing in which `found` is not as `wanted`; returns how many. */
uint32_t topics_differ(const struct kafka_topic *wanted, const struct kafka_topic *found,
                       char lines[TOPICS_DIFFERENCES_MAX][TOPICS_TEXT_MAX]);

#endif
