#include "uploader/kafka_conf.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS_MAX 4 /* of a subscription */

/* All of librdkafka's news comes through one queue as events (no callback runs anywhere), so that a
 * rebalance waits until the caller has answered it. The event last handed out is kept until the
 * next poll: the caller's views point into it. */
struct kafka_consumer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *held;
    uint64_t log_lines;
    struct kafka_place places[KAFKA_PLACES_MAX];
    /* To make the handle anew when a file of the settings changed while there was trouble. */
    struct kafka_conf_copy kept;
    struct kafka_consumer_config config; /* kafka: that of `kept` */
    char group[KAFKA_TOPIC_MAX];
    uint64_t files; /* kafka_conf_files when the handle was made */
    bool trouble;   /* an error came and no message since */
    struct kafka_place assigned[KAFKA_PLACES_MAX]; /* as last assigned, and read on since */
    uint32_t assigned_count;
    char topics[TOPICS_MAX][KAFKA_TOPIC_MAX]; /* subscribed to */
    uint32_t topic_count;
};

static int make_handle(struct kafka_consumer *consumer, struct err *err)
{
    const struct kafka_consumer_config *config = &consumer->config;
    char fetch[16], queued[16], session[16], reason[KAFKA_REASON_MAX];
    struct kafka_conf_pair pairs[] = {
        { "group.id", config->group },
        { "fetch.message.max.bytes", fetch },
        { "queued.max.messages.kbytes", queued },
        { "enable.auto.commit", "false" },
        { "enable.auto.offset.store", "false" },
        { "auto.offset.reset", "error" }, /* a lost offset is the caller's decision: KAFKA_RESET */
        { "enable.partition.eof", "true" },
        { "partition.assignment.strategy", "range" }, /* cooperative: three bugs before 2.6.1 */
        { "check.crcs", "true" },
        { "session.timeout.ms", session },
    };
    size_t count = sizeof pairs / sizeof pairs[0] - (config->session_timeout_ms ? 0 : 1);
    rd_kafka_conf_t *conf = NULL;

    (void)snprintf(fetch, sizeof fetch, "%u", config->fetch_bytes ? config->fetch_bytes : 65536);
    (void)snprintf(queued, sizeof queued, "%u",
                   config->queued_kbytes ? config->queued_kbytes : 512);
    (void)snprintf(session, sizeof session, "%u", config->session_timeout_ms);
    int rc = kafka_conf_make(&config->kafka, pairs, count, err, &conf);
    if (rc)
        return rc;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_ERROR |
                                       RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_REBALANCE |
                                       RD_KAFKA_EVENT_OFFSET_COMMIT);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return err_plain(err, -EINVAL, "kafka: %s", reason);
    }
    consumer->rk = rk;
    (void)rd_kafka_poll_set_consumer(rk);
    consumer->queue = rd_kafka_queue_get_consumer(rk);
    (void)rd_kafka_set_log_queue(rk, consumer->queue);
    return 0;
}

int kafka_consumer_open(const struct kafka_consumer_config *config, struct err *err,
                        struct kafka_consumer **ret_consumer)
{
    struct kafka_consumer *consumer = calloc(1, sizeof *consumer);

    if (!consumer)
        return err_plain(err, -ENOMEM, "kafka: no memory");
    (void)snprintf(consumer->group, sizeof consumer->group, "%s", config->group);
    consumer->config = *config;
    consumer->config.group = consumer->group;
    int rc = kafka_conf_keep(&config->kafka, &consumer->kept);
    if (rc)
        (void)err_plain(err, rc, "kafka: too many settings, or no memory");
    consumer->config.kafka = consumer->kept.config;
    if (!rc) {
        consumer->files = kafka_conf_files(&consumer->kept);
        rc = make_handle(consumer, err);
    }
    if (rc) {
        kafka_consumer_close(consumer);
        return rc;
    }
    *ret_consumer = consumer;
    return 0;
}

static void release_held(struct kafka_consumer *consumer)
{
    if (consumer->held)
        rd_kafka_event_destroy(consumer->held);
    consumer->held = NULL;
}

static void drop_handle(rd_kafka_t *rk, rd_kafka_queue_t *queue)
{
    if (queue)
        rd_kafka_queue_destroy(queue);
    if (rk) {
        (void)rd_kafka_consumer_close(rk);
        rd_kafka_destroy(rk);
    }
}

void kafka_consumer_close(struct kafka_consumer *consumer)
{
    if (!consumer)
        return;
    release_held(consumer);
    drop_handle(consumer->rk, consumer->queue);
    kafka_conf_release(&consumer->kept);
    free(consumer);
}

static rd_kafka_topic_partition_list_t *list_of(const struct kafka_place *places, uint32_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);

    for (uint32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, places[i].topic, places[i].partition)->offset =
            places[i].offset;
    return list;
}

static int errno_of(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return 0;
    case RD_KAFKA_RESP_ERR__TIMED_OUT: case RD_KAFKA_RESP_ERR__TRANSPORT: return -ETIMEDOUT;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC: case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: return -ENOENT;
    case RD_KAFKA_RESP_ERR__INVALID_ARG: return -EINVAL;
    default: return -EIO;
    }
}

int kafka_consumer_assign(struct kafka_consumer *consumer, const struct kafka_place *places,
                          uint32_t count)
{
    if (count > KAFKA_PLACES_MAX)
        return -ERANGE;
    memmove(consumer->assigned, places, count * sizeof *places);
    consumer->assigned_count = count;
    rd_kafka_topic_partition_list_t *list = list_of(places, count);
    int rc = errno_of(rd_kafka_assign(consumer->rk, list));
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

int kafka_consumer_unassign(struct kafka_consumer *consumer)
{
    consumer->assigned_count = 0;
    return errno_of(rd_kafka_assign(consumer->rk, NULL));
}

static int subscribe(struct kafka_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)consumer->topic_count);

    for (uint32_t i = 0; i < consumer->topic_count; i++)
        (void)rd_kafka_topic_partition_list_add(list, consumer->topics[i], RD_KAFKA_PARTITION_UA);
    int rc = errno_of(rd_kafka_subscribe(consumer->rk, list));
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

int kafka_consumer_subscribe(struct kafka_consumer *consumer, const char *const *topics,
                             uint32_t count)
{
    if (count > TOPICS_MAX)
        return -ERANGE;
    consumer->topic_count = count;
    for (uint32_t i = 0; i < count; i++)
        (void)snprintf(consumer->topics[i], sizeof consumer->topics[i], "%s", topics[i]);
    return subscribe(consumer);
}

/* The old handle goes only when the new one stands: a file that is half written is looked at again
 * when it changes once more. */
static void renew(struct kafka_consumer *consumer)
{
    uint64_t files = kafka_conf_files(&consumer->kept);
    rd_kafka_t *rk = consumer->rk;
    rd_kafka_queue_t *queue = consumer->queue;

    if (files == consumer->files)
        return;
    consumer->files = files;
    if (make_handle(consumer, NULL))
        return;
    drop_handle(rk, queue);
    consumer->trouble = false;
    if (consumer->topic_count)
        (void)subscribe(consumer);
    else if (consumer->assigned_count)
        (void)kafka_consumer_assign(consumer, consumer->assigned, consumer->assigned_count);
}

/* The handle works; and this is where a new one would go on. */
static void move_on(struct kafka_consumer *consumer, const struct kafka_place *at)
{
    consumer->trouble = false;
    for (uint32_t i = 0; i < consumer->assigned_count; i++)
        if (consumer->assigned[i].partition == at->partition &&
            !strcmp(consumer->assigned[i].topic, at->topic))
            consumer->assigned[i].offset = at->offset + 1;
}

static void set_place(struct kafka_place *place, const char *topic, int32_t partition,
                      int64_t offset)
{
    (void)snprintf(place->topic, sizeof place->topic, "%s", topic);
    place->partition = partition;
    place->offset = offset;
}

static void take_message(const rd_kafka_message_t *message, struct kafka_event *event)
{
    rd_kafka_headers_t *headers;
    rd_kafka_timestamp_type_t type;

    event->kind = KAFKA_MESSAGE;
    set_place(&event->place, rd_kafka_topic_name(message->rkt), message->partition,
              message->offset);
    event->key = message->key;
    event->key_size = message->key_len;
    event->value = message->payload;
    event->value_size = message->len;
    event->timestamp_ms = rd_kafka_message_timestamp(message, &type);
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (uint32_t i = 0; i < KAFKA_HEADERS_MAX; i++) {
        struct kafka_header *header = &event->headers[i];
        if (rd_kafka_header_get_all(headers, i, &header->name, &header->value, &header->size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        event->header_count = i + 1;
    }
}

static bool take_error(const struct kafka_consumer *consumer, rd_kafka_event_t *from,
                       struct kafka_event *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(from);
    rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(from);

    if (at) {
        set_place(&event->place, at->topic, at->partition, at->offset);
        rd_kafka_topic_partition_destroy(at);
    }
    event->kind = code == RD_KAFKA_RESP_ERR__PARTITION_EOF       ? KAFKA_END
                  : code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ? KAFKA_RESET
                                                                 : KAFKA_ERROR;
    event->fatal = rd_kafka_event_error_is_fatal(from) != 0;
    (void)snprintf(event->reason, sizeof event->reason, "%s", rd_kafka_event_error_string(from));
    if (event->kind == KAFKA_ERROR)
        kafka_conf_explain(&consumer->kept, event->reason);
    return true;
}

/* More partitions than KAFKA_PLACES_MAX cannot be taken: the member answers with the first and says
 * so, instead of failing all. */
static bool take_rebalance(struct kafka_consumer *consumer, rd_kafka_event_t *from,
                           struct kafka_event *event)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(from);
    bool assigned = rd_kafka_event_error(from) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;

    event->kind = assigned ? KAFKA_ASSIGNED : KAFKA_REVOKED;
    event->places = consumer->places;
    for (int i = 0; list && i < list->cnt && i < KAFKA_PLACES_MAX; i++)
        set_place(&consumer->places[event->place_count++], list->elems[i].topic,
                  list->elems[i].partition, KAFKA_OFFSET_COMMITTED);
    if (list && list->cnt > KAFKA_PLACES_MAX)
        (void)snprintf(event->reason, sizeof event->reason, "%d partitions assigned, at most %d",
                       list->cnt, KAFKA_PLACES_MAX);
    return true;
}

static bool take_event(struct kafka_consumer *consumer, rd_kafka_event_t *from,
                       struct kafka_event *event)
{
    const rd_kafka_message_t *message;

    switch (rd_kafka_event_type(from)) {
    case RD_KAFKA_EVENT_FETCH:
        message = rd_kafka_event_message_next(from);
        if (!message)
            return false;
        take_message(message, event);
        return true;
    case RD_KAFKA_EVENT_ERROR: return take_error(consumer, from, event);
    case RD_KAFKA_EVENT_REBALANCE: return take_rebalance(consumer, from, event);
    case RD_KAFKA_EVENT_LOG: consumer->log_lines++; return false;
    default: return false; /* reports of commits that nobody waits for */
    }
}

int kafka_consumer_poll(struct kafka_consumer *consumer, int timeout_ms,
                        struct kafka_event *ret_event)
{
    release_held(consumer);
    if (consumer->trouble)
        renew(consumer);
    for (;;) {
        rd_kafka_event_t *from = rd_kafka_queue_poll(consumer->queue, timeout_ms);
        if (!from)
            return 0;
        ret_event->header_count = ret_event->place_count = 0;
        ret_event->key = ret_event->value = NULL;
        ret_event->key_size = ret_event->value_size = 0;
        ret_event->reason[0] = '\0';
        ret_event->fatal = false;
        ret_event->place = (struct kafka_place){ .partition = -1 };
        if (take_event(consumer, from, ret_event)) {
            consumer->held = from;
            consumer->trouble |= ret_event->kind == KAFKA_ERROR;
            if (ret_event->kind == KAFKA_MESSAGE)
                move_on(consumer, &ret_event->place);
            return 1;
        }
        rd_kafka_event_destroy(from);
        timeout_ms = 0;
    }
}

int kafka_consumer_pause(struct kafka_consumer *consumer, const struct kafka_place *places,
                         uint32_t count, bool paused)
{
    rd_kafka_topic_partition_list_t *list = list_of(places, count);
    int rc = errno_of(paused ? rd_kafka_pause_partitions(consumer->rk, list)
                             : rd_kafka_resume_partitions(consumer->rk, list));
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

int kafka_consumer_commit(struct kafka_consumer *consumer, const struct kafka_place *places,
                          uint32_t count, bool wait)
{
    rd_kafka_topic_partition_list_t *list = list_of(places, count);
    int rc = errno_of(rd_kafka_commit(consumer->rk, list, !wait));
    for (int i = 0; !rc && wait && i < list->cnt; i++)
        rc = errno_of(list->elems[i].err);
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

int kafka_consumer_committed(struct kafka_consumer *consumer, struct kafka_place *places,
                             uint32_t count, int timeout_ms)
{
    rd_kafka_topic_partition_list_t *list = list_of(places, count);
    int rc = errno_of(rd_kafka_committed(consumer->rk, list, timeout_ms));

    for (uint32_t i = 0; !rc && i < count; i++)
        rc = errno_of(list->elems[i].err);
    for (uint32_t i = 0; !rc && i < count; i++)
        places[i].offset = list->elems[i].offset < 0 ? KAFKA_OFFSET_NONE : list->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

int kafka_consumer_bounds(struct kafka_consumer *consumer, const char *topic, int32_t partition,
                          int timeout_ms, int64_t *ret_first, int64_t *ret_end)
{
    return errno_of(rd_kafka_query_watermark_offsets(consumer->rk, topic, partition, ret_first,
                                                     ret_end, timeout_ms));
}

int kafka_consumer_partitions(struct kafka_consumer *consumer, const char *topic, int timeout_ms)
{
    return kafka_conf_partitions(consumer->rk, topic, timeout_ms);
}
