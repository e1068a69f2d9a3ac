#include "uploader/kafka_admin.h"

#include "uploader/kafka_conf.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

struct kafka_admin {
    struct kafka_conf_copy kept;
    rd_kafka_t *rk;
    rd_kafka_queue_t *main; /* errors of connections */
    char why[KAFKA_REASON_MAX];
};

int kafka_admin_open(const struct kafka_config *config, struct err *err,
                     struct kafka_admin **ret_admin)
{
    struct kafka_admin *admin = calloc(1, sizeof *admin);
    char reason[KAFKA_REASON_MAX];
    rd_kafka_conf_t *conf;

    if (!admin)
        return err_plain(err, -ENOMEM, "kafka: no memory");
    int rc = kafka_conf_make(config, NULL, 0, err, &conf);
    if (rc) {
        free(admin);
        return rc;
    }
    if (kafka_conf_keep(config, &admin->kept)) {
        rd_kafka_conf_destroy(conf);
        free(admin);
        return err_plain(err, -ENOMEM, "kafka: no memory");
    }
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
    admin->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!admin->rk) {
        rd_kafka_conf_destroy(conf);
        kafka_conf_release(&admin->kept);
        free(admin);
        return err_plain(err, -EINVAL, "kafka: %s", reason);
    }
    admin->main = rd_kafka_queue_get_main(admin->rk);
    (void)rd_kafka_set_log_queue(admin->rk, admin->main);
    *ret_admin = admin;
    return 0;
}

void kafka_admin_close(struct kafka_admin *admin)
{
    if (!admin)
        return;
    rd_kafka_queue_destroy(admin->main);
    rd_kafka_destroy(admin->rk);
    kafka_conf_release(&admin->kept);
    free(admin);
}

static void note(struct kafka_admin *admin, const char *text)
{
    (void)snprintf(admin->why, sizeof admin->why, "%s", text);
    kafka_conf_explain(&admin->kept, admin->why);
}

/* Of all that was said of connections the last that names a cause. */
static void take_errors(struct kafka_admin *admin)
{
    rd_kafka_event_t *event;

    while ((event = rd_kafka_queue_poll(admin->main, 0))) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR &&
            rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
            note(admin, rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
    }
}

static int fail(struct kafka_admin *admin, const char *what, rd_kafka_resp_err_t code,
                const char *text, struct err *err)
{
    bool silent = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT;
    int rc = -EIO;

    take_errors(admin);
    if (silent)
        rc = -ETIMEDOUT;
    else if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        rc = -ENOENT;
    else if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        rc = -EEXIST;
    else if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
             code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
        rc = -EACCES;
    return err_plain(err, rc, "%s: %s", what,
                     silent && admin->why[0] ? admin->why
                     : text && text[0]       ? text
                                             : rd_kafka_err2str(code));
}

int kafka_admin_brokers(struct kafka_admin *admin, int timeout_ms, struct err *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = rd_kafka_metadata(admin->rk, 0, NULL, &metadata, timeout_ms);

    if (code)
        return fail(admin, "brokers", code, NULL, err);
    int count = metadata->broker_cnt;
    rd_kafka_metadata_destroy(metadata);
    return count > 0 ? count : fail(admin, "brokers", RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, err);
}

static int describe_shape(struct kafka_admin *admin, struct kafka_topic *topic, int timeout_ms,
                          struct err *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(admin->rk, topic->name, NULL);

    if (!handle)
        return err_plain(err, -EIO, "%s: cannot be asked for", topic->name);
    rd_kafka_resp_err_t code = rd_kafka_metadata(admin->rk, 0, handle, &metadata, timeout_ms);
    rd_kafka_topic_destroy(handle);
    if (code)
        return fail(admin, topic->name, code, NULL, err);
    if (metadata->topic_cnt == 1)
        code = metadata->topics[0].err;
    if (!code && metadata->topic_cnt == 1 && metadata->topics[0].partition_cnt > 0) {
        topic->partitions = metadata->topics[0].partition_cnt;
        topic->replication = metadata->topics[0].partitions[0].replica_cnt;
    } else if (!code) {
        code = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    }
    rd_kafka_metadata_destroy(metadata);
    return code ? fail(admin, topic->name, code, NULL, err) : 0;
}

static void take_config(struct kafka_topic *topic, const rd_kafka_ConfigEntry_t *entry)
{
    const char *name = rd_kafka_ConfigEntry_name(entry), *value = rd_kafka_ConfigEntry_value(entry);

    for (uint32_t i = 0; i < topic->config_count; i++)
        if (!strcmp(topic->configs[i].key, name))
            (void)snprintf(topic->configs[i].value, KAFKA_CONFIG_VALUE_MAX, "%s", value ? value : "");
}

/* One answer of the admin API, or NULL after the timeout. The caller destroys it. */
static rd_kafka_event_t *wait_answer(rd_kafka_queue_t *queue, int timeout_ms)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);

    rd_kafka_queue_destroy(queue);
    return event;
}

static rd_kafka_AdminOptions_t *options_of(struct kafka_admin *admin, rd_kafka_admin_op_t what,
                                           int timeout_ms)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->rk, what);

    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
    return options;
}

static int take_configs(struct kafka_admin *admin, rd_kafka_event_t *event,
                        struct kafka_topic *topic, struct err *err)
{
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    size_t count = 0, entries = 0;

    if (code)
        return fail(admin, topic->name, code, event ? rd_kafka_event_error_string(event) : NULL, err);
    const rd_kafka_ConfigResource_t **found = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    if (!count)
        return fail(admin, topic->name, RD_KAFKA_RESP_ERR__FAIL, NULL, err);
    code = rd_kafka_ConfigResource_error(found[0]);
    if (code)
        return fail(admin, topic->name, code, rd_kafka_ConfigResource_error_string(found[0]), err);
    const rd_kafka_ConfigEntry_t **list = rd_kafka_ConfigResource_configs(found[0], &entries);
    for (size_t i = 0; i < entries; i++)
        take_config(topic, list[i]);
    return 0;
}

int kafka_admin_describe(struct kafka_admin *admin, struct kafka_topic *topic, int timeout_ms,
                         struct err *err)
{
    int rc = describe_shape(admin, topic, timeout_ms, err);

    if (rc || !topic->config_count)
        return rc;
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic->name);
    rd_kafka_AdminOptions_t *options =
        options_of(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->rk);
    rd_kafka_DescribeConfigs(admin->rk, &resource, 1, options, queue);
    rd_kafka_event_t *event = wait_answer(queue, timeout_ms);
    rc = take_configs(admin, event, topic, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
    return rc;
}

static int take_created(struct kafka_admin *admin, rd_kafka_event_t *event, const char *name,
                        struct err *err)
{
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    const char *text = event ? rd_kafka_event_error_string(event) : NULL;
    size_t count = 0;

    if (!code) {
        const rd_kafka_topic_result_t **items = rd_kafka_CreateTopics_result_topics(
            rd_kafka_event_CreateTopics_result(event), &count);
        code = count ? rd_kafka_topic_result_error(items[0]) : RD_KAFKA_RESP_ERR__FAIL;
        text = count ? rd_kafka_topic_result_error_string(items[0]) : NULL;
    }
    return code ? fail(admin, name, code, text, err) : 0;
}

int kafka_admin_create(struct kafka_admin *admin, const struct kafka_topic *topic, int timeout_ms,
                       struct err *err)
{
    char reason[KAFKA_REASON_MAX];
    rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(topic->name, topic->partitions,
                                                      topic->replication, reason, sizeof reason);

    if (!made)
        return err_plain(err, -EINVAL, "%s: %s", topic->name, reason);
    for (uint32_t i = 0; i < topic->config_count; i++)
        (void)rd_kafka_NewTopic_set_config(made, topic->configs[i].key, topic->configs[i].value);
    rd_kafka_AdminOptions_t *options = options_of(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->rk);
    rd_kafka_CreateTopics(admin->rk, &made, 1, options, queue);
    rd_kafka_event_t *event = wait_answer(queue, timeout_ms);
    int rc = take_created(admin, event, topic->name, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(made);
    return rc;
}
