/* kafka_conf - librdkafka's configuration objects, for kafka_producer.c and kafka_consumer.c only. */
#ifndef UPLOADER_KAFKA_CONF_H
#define UPLOADER_KAFKA_CONF_H
#include "uploader/kafka.h"

struct rd_kafka_conf_s;
struct rd_kafka_s;

/* Our settings, in this order, so that a setting never hides the reason of another. */
struct kafka_conf_pair {
    const char *key, *value;
};

/* A new configuration with `pairs`, then config->settings. On failure *err names the key. The
 * caller owns *ret_conf until rd_kafka_new takes it. */
int kafka_conf_make(const struct kafka_config *config, const struct kafka_conf_pair *pairs,
                    size_t count, struct err *err, struct rd_kafka_conf_s **ret_conf);

/* A deep copy, so that a handle can be made anew; kafka_conf_release frees it. 0 or -ENOMEM. */
struct kafka_conf_copy {
    struct kafka_config config;
    char *text; /* all strings, one allocation */
    struct kafka_setting settings[KAFKA_SETTINGS_MAX];
};
int kafka_conf_keep(const struct kafka_config *config, struct kafka_conf_copy *ret_copy);
void kafka_conf_release(struct kafka_conf_copy *copy);

/* A number that differs when one of the files that the settings name (KEY.file, *.location) is
 * another one than before. */
uint64_t kafka_conf_files(const struct kafka_conf_copy *copy);

/* Says in `reason` that our own certificate is out of date, where it is: the broker only calls it
 * unknown. Else leaves it. */
void kafka_conf_explain(const struct kafka_conf_copy *copy, char reason[KAFKA_REASON_MAX]);

/* Partitions of a topic, asked of the broker: >= 1, -ENOENT, -EACCES, -ETIMEDOUT or -EIO. */
int kafka_conf_partitions(struct rd_kafka_s *rk, const char *topic, int timeout_ms);

#endif
