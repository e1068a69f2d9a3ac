/* kafka_admin - what an operator's tool asks of a cluster: how a topic is, and to make one. Handle of one thread;
 * each call waits at most its timeout. librdkafka's mock answers none of them: only a real broker does. */
#ifndef UPLOADER_KAFKA_ADMIN_H
#define UPLOADER_KAFKA_ADMIN_H
#include "uploader/kafka.h"

#define KAFKA_TOPIC_CONFIGS_MAX 8
#define KAFKA_CONFIG_VALUE_MAX 64

struct kafka_topic_config {
    const char *key; /* "cleanup.policy", ...; the caller's own string */
    char value[KAFKA_CONFIG_VALUE_MAX]; /* "": the broker's default, or not known to it */
};

struct kafka_topic {
    char name[KAFKA_TOPIC_MAX];
    int32_t partitions, replication;
    struct kafka_topic_config configs[KAFKA_TOPIC_CONFIGS_MAX];
    uint32_t config_count;
};

struct kafka_admin;

int kafka_admin_open(const struct kafka_config *config, struct err *err,
                     struct kafka_admin **ret_admin);
void kafka_admin_close(struct kafka_admin *admin); /* takes NULL */

/* Brokers of the cluster now (>= 1), or -ETIMEDOUT, -EIO with *err (why no connection comes about). */
int kafka_admin_brokers(struct kafka_admin *admin, int timeout_ms, struct err *err);
/* Fills partitions, replication and the value of each key in topic->configs (none: configurations are not asked for). 0; -ENOENT: there is no such topic;
 * -EACCES, -ETIMEDOUT, -EIO. *err says why in all cases but 0. */
int kafka_admin_describe(struct kafka_admin *admin, struct kafka_topic *topic, int timeout_ms,
                         struct err *err);
/* Makes it; replication -1 is the broker's default. 0, -EEXIST, -EACCES, -ETIMEDOUT, -EIO, with *err. */
int kafka_admin_create(struct kafka_admin *admin, const struct kafka_topic *topic, int timeout_ms,
                       struct err *err);

#endif
