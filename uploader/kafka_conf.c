#include "uploader/kafka_conf.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

/* Keys that the contract rests on (docs/KAFKA.md, K30), or that load code. */
static const char *const refused[] = {
    "acks", "request.required.acks", "enable.idempotence", "transactional.id", "partitioner",
    "enable.auto.commit", "enable.auto.offset.store", "partition.assignment.strategy",
    "auto.offset.reset", "enable.partition.eof", "group.id", "bootstrap.servers",
    "metadata.broker.list", "client.id", "plugin.library.paths", "log.queue", "group.instance.id",
};

static int check_settings(const struct kafka_config *config, struct err *err)
{
    if (config->setting_count > KAFKA_SETTINGS_MAX)
        return err_plain(err, -ERANGE, "kafka: %u settings, at most %d", config->setting_count,
                         KAFKA_SETTINGS_MAX);
    for (uint32_t i = 0; i < config->setting_count; i++)
        for (size_t k = 0; k < sizeof refused / sizeof refused[0]; k++)
            if (strcmp(config->settings[i].key, refused[k]) == 0)
                return err_plain(err, -EINVAL, "kafka: '%s' is fixed by the contract "
                                 "(docs/KAFKA.md, K30) and cannot be set", refused[k]);
    return 0;
}

static int set(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *err)
{
    char reason[KAFKA_REASON_MAX];
    rd_kafka_conf_res_t rc = rd_kafka_conf_set(conf, key, value, reason, sizeof reason);

    if (rc == RD_KAFKA_CONF_OK)
        return 0;
    return err_plain(err, -EINVAL, "kafka: %s", reason);
}

/* Before log.queue takes over: remarks on settings that only the other kind of handle uses. */
static void be_quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

int kafka_conf_make(const struct kafka_config *config, const struct kafka_conf_pair *pairs,
                    size_t count, struct err *err, struct rd_kafka_conf_s **ret_conf)
{
    const struct kafka_conf_pair common[] = {
        { "bootstrap.servers", config->bootstrap },
        { "client.id", config->client_id },
        { "socket.keepalive.enable", "true" },
        { "connections.max.idle.ms", "240000" }, /* below the usual NAT time-out of 5 minutes */
        { "reconnect.backoff.max.ms", "60000" },
        { "log.connection.close", "false" },
        { "log.queue", "true" }, /* log lines arrive as events, in the owner's thread */
    };
    int rc = check_settings(config, err);
    if (rc)
        return rc;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!conf)
        return err_plain(err, -ENOMEM, "kafka: no memory");
    rd_kafka_conf_set_log_cb(conf, be_quiet);
    for (size_t i = 0; !rc && i < sizeof common / sizeof common[0]; i++)
        rc = set(conf, common[i].key, common[i].value, err);
    for (size_t i = 0; !rc && i < count; i++)
        rc = set(conf, pairs[i].key, pairs[i].value, err);
    for (uint32_t i = 0; !rc && i < config->setting_count; i++)
        rc = set(conf, config->settings[i].key, config->settings[i].value, err);
    if (rc) {
        rd_kafka_conf_destroy(conf);
        return rc;
    }
    *ret_conf = conf;
    return 0;
}

static const char *keep(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *kept = memcpy(*at, text, size);

    *at += size;
    return kept;
}

int kafka_conf_keep(const struct kafka_config *config, struct kafka_conf_copy *ret_copy)
{
    size_t size = strlen(config->bootstrap) + strlen(config->client_id) + 2;

    if (config->setting_count > KAFKA_SETTINGS_MAX)
        return -ERANGE;
    for (uint32_t i = 0; i < config->setting_count; i++)
        size += strlen(config->settings[i].key) + strlen(config->settings[i].value) + 2;
    char *at = malloc(size);
    if (!at)
        return -ENOMEM;
    *ret_copy = (struct kafka_conf_copy){ .text = at };
    ret_copy->config.bootstrap = keep(&at, config->bootstrap);
    ret_copy->config.client_id = keep(&at, config->client_id);
    for (uint32_t i = 0; i < config->setting_count; i++) {
        ret_copy->settings[i].key = keep(&at, config->settings[i].key);
        ret_copy->settings[i].value = keep(&at, config->settings[i].value);
    }
    ret_copy->config.settings = ret_copy->settings;
    ret_copy->config.setting_count = config->setting_count;
    return 0;
}

void kafka_conf_release(struct kafka_conf_copy *copy)
{
    free(copy->text);
    copy->text = NULL;
}

int kafka_conf_partitions(struct rd_kafka_s *rk, const char *topic, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);

    if (!handle)
        return -EIO;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, handle, &metadata, timeout_ms);
    rd_kafka_topic_destroy(handle);
    if (code)
        return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT
                   ? -ETIMEDOUT
                   : -EIO;
    int count = metadata->topic_cnt == 1 && !metadata->topics[0].err
                    ? metadata->topics[0].partition_cnt
                    : 0;
    rd_kafka_metadata_destroy(metadata);
    return count > 0 ? count : -ENOENT;
}
