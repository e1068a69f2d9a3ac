#include "uploader/kafka_conf.h"
#include "uploader/trouble.h"

#include <assert.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

/* Invariants: 1. A slot is taken by kafka_produce and given back by exactly one report.
 * 2. After a fatal error nothing is produced until every slot is back and the handle is new:
 *    open -> (fatal) dying -> (all reports taken) reopen -> open. */
#define LOOK_AGAIN_MS 1000 /* for the metadata of a topic that was not there */
#define SLOTS 1024 /* messages with no report yet; queue.buffering.max.messages below says so too */

struct kafka_producer {
    struct kafka_conf_copy kept;
    rd_kafka_t *rk; /* NULL while it cannot be made anew */
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *reports; /* delivery reports being handed out, or NULL */
    bool dying;
    uint64_t files; /* kafka_conf_files when the handle was made */
    char error_topic[KAFKA_TOPIC_MAX]; /* of stats.last_error; "": of the connection */
    uint64_t opaques[SLOTS];
    uint32_t sizes[SLOTS];
    uint32_t free_slots[SLOTS], free_count;
    struct kafka_producer_stats stats;
};

static const struct kafka_conf_pair pairs[] = {
    { "acks", "all" },
    { "enable.idempotence", "false" }, /* fatal after an unknown outcome: #4438; we dedup by id */
    { "max.in.flight.requests.per.connection", "5" },
    { "partitioner", "murmur2_random" }, /* Java's default; librdkafka's own differs */
    { "compression.codec", "none" },     /* segments are zstd already */
    { "linger.ms", "50" },
    { "retry.backoff.ms", "1000" },
    { "topic.metadata.propagation.max.ms", "5000" }, /* a topic that is not there is said so soon */
    { "message.timeout.ms", "300000" },
    { "queue.buffering.max.kbytes", "4096" },
    { "queue.buffering.max.messages", "1024" },
};

/* ---- What an error code means for the message: everything not listed is worth another try ---- */
static const rd_kafka_resp_err_t poison[] = {
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,   RD_KAFKA_RESP_ERR_INVALID_RECORD,
    RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,  RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
    RD_KAFKA_RESP_ERR__BAD_MSG,
};

static enum kafka_result result_of(rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return KAFKA_DONE;
    for (size_t i = 0; i < sizeof poison / sizeof poison[0]; i++)
        if (poison[i] == code)
            return KAFKA_POISON;
    return KAFKA_RETRY;
}

static int make_handle(struct kafka_producer *producer, struct err *err)
{
    char reason[KAFKA_REASON_MAX];
    rd_kafka_conf_t *conf;

    producer->files = kafka_conf_files(&producer->kept);
    int rc = kafka_conf_make(&producer->kept.config, pairs, sizeof pairs / sizeof pairs[0], err,
                             &conf);
    if (rc)
        return rc;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
    producer->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!producer->rk) {
        rd_kafka_conf_destroy(conf);
        return err_plain(err, -EINVAL, "kafka: %s", reason);
    }
    producer->queue = rd_kafka_queue_get_main(producer->rk);
    (void)rd_kafka_set_log_queue(producer->rk, producer->queue);
    producer->dying = false;
    producer->stats.connected = true; /* until librdkafka says that all brokers are down */
    return 0;
}

static void drop_handle(struct kafka_producer *producer)
{
    if (producer->reports)
        rd_kafka_event_destroy(producer->reports);
    producer->reports = NULL;
    if (producer->queue)
        rd_kafka_queue_destroy(producer->queue);
    producer->queue = NULL;
    if (producer->rk)
        rd_kafka_destroy(producer->rk);
    producer->rk = NULL;
}

int kafka_producer_open(const struct kafka_config *config, struct err *err,
                        struct kafka_producer **ret_producer)
{
    struct kafka_producer *producer = calloc(1, sizeof *producer);
    if (!producer)
        return err_plain(err, -ENOMEM, "kafka: no memory");
    for (uint32_t i = 0; i < SLOTS; i++)
        producer->free_slots[i] = SLOTS - 1 - i;
    producer->free_count = SLOTS;
    int rc = kafka_conf_keep(config, &producer->kept);
    if (rc)
        (void)err_plain(err, rc, "kafka: too many settings, or no memory");
    else
        rc = make_handle(producer, err);
    if (rc) {
        kafka_producer_close(producer, 0);
        return rc;
    }
    *ret_producer = producer;
    return 0;
}

void kafka_producer_close(struct kafka_producer *producer, int flush_ms)
{
    struct kafka_report report;

    if (!producer)
        return;
    while (producer->rk && producer->free_count < SLOTS && flush_ms > 0) {
        int step_ms = flush_ms < 50 ? flush_ms : 50;
        if (kafka_poll_report(producer, step_ms, &report) == 0)
            flush_ms -= step_ms;
    }
    if (producer->rk)
        (void)rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    drop_handle(producer);
    kafka_conf_release(&producer->kept);
    free(producer);
}

/* What says less never hides what says more: "all brokers are down" comes after the reason. */
static void note(struct kafka_producer *producer, const char *topic, const char *text)
{
    struct kafka_producer_stats *stats = &producer->stats;

    if (producer->dying || (trouble_of(stats->last_error) && !trouble_of(text)))
        return;
    (void)snprintf(stats->last_error, sizeof stats->last_error, "%s", text);
    (void)snprintf(producer->error_topic, sizeof producer->error_topic, "%s", topic);
}

/* Open messages come back as purged reports, so that none is forgotten. */
static void begin_dying(struct kafka_producer *producer)
{
    if (producer->dying)
        return;
    producer->dying = true;
    producer->stats.recreated++;
    (void)rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

static rd_kafka_resp_err_t produce(struct kafka_producer *producer,
                                   const struct kafka_message *message, rd_kafka_headers_t *headers,
                                   uint32_t slot)
{
    /* The topic goes by name: librdkafka keeps one handle a topic inside, and metadata stays warm
     * because partitions are asked for before the first message (#5032). */
    return rd_kafka_producev(
        producer->rk, RD_KAFKA_V_TOPIC(message->topic), RD_KAFKA_V_PARTITION(message->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(message->key, message->key_size),
        /* The cast drops const: with F_COPY librdkafka only reads. */
        RD_KAFKA_V_VALUE((void *)(uintptr_t)message->value, message->value_size),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE((void *)((uintptr_t)slot + 1)),
        RD_KAFKA_V_END);
}

static rd_kafka_headers_t *headers_of(const struct kafka_message *message)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(message->header_count);

    for (uint32_t i = 0; headers && i < message->header_count; i++)
        (void)rd_kafka_header_add(headers, message->headers[i].name, -1, message->headers[i].value,
                                  (ssize_t)message->headers[i].size);
    return headers;
}

/* librdkafka knows the topic as one that is not there, and would look again in minutes only: asking makes it look now.
 * What is to be sent waits meanwhile, so the wait here costs nothing else. */
static void look_again(struct kafka_producer *producer, const char *topic)
{
    (void)kafka_conf_partitions(producer->rk, topic, LOOK_AGAIN_MS);
}

static int errno_of(struct kafka_producer *producer, rd_kafka_resp_err_t code, const char *topic)
{
    char reason[KAFKA_REASON_MAX];

    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return -EAGAIN;
    (void)snprintf(reason, sizeof reason, "%s: %s", topic, rd_kafka_err2str(code));
    note(producer, topic, reason);
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: return -EMSGSIZE;
    case RD_KAFKA_RESP_ERR__FATAL: begin_dying(producer); return -ENOTCONN;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        look_again(producer, topic);
        return -ENOENT;
    default: return -EINVAL;
    }
}

int kafka_produce(struct kafka_producer *producer, const struct kafka_message *message)
{
    if (message->key_size == 0 || message->opaque == 0 || message->header_count > KAFKA_HEADERS_MAX)
        return -EINVAL;
    if (!producer->rk || producer->dying)
        return -ENOTCONN;
    if (producer->free_count == 0)
        return -EAGAIN;
    rd_kafka_headers_t *headers = headers_of(message);
    if (!headers)
        return -EAGAIN;
    uint32_t slot = producer->free_slots[producer->free_count - 1];
    rd_kafka_resp_err_t code = produce(producer, message, headers, slot);
    if (code) {
        rd_kafka_headers_destroy(headers); /* taken over only on success */
        return errno_of(producer, code, message->topic);
    }
    producer->free_count--;
    producer->opaques[slot] = message->opaque;
    producer->sizes[slot] = (uint32_t)message->value_size;
    producer->stats.produced++;
    producer->stats.queued_bytes += (int64_t)message->value_size;
    return 0;
}

static void note_result(struct kafka_producer *producer, const char *topic,
                        const struct kafka_report *report)
{
    struct kafka_producer_stats *stats = &producer->stats;

    if (report->result == KAFKA_RETRY) {
        note(producer, topic, report->reason);
    } else if (report->result == KAFKA_POISON) {
        (void)snprintf(stats->last_poison, sizeof stats->last_poison, "%s", report->reason);
    } else {
        stats->connected = true;
        if (!producer->error_topic[0] || !strcmp(producer->error_topic, topic))
            stats->last_error[0] = producer->error_topic[0] = '\0';
    }
}

static void take_report(struct kafka_producer *producer, const rd_kafka_message_t *message,
                        struct kafka_report *report)
{
    uint32_t slot = (uint32_t)((uintptr_t)message->_private - 1);

    assert(slot < SLOTS && producer->opaques[slot]);
    *report = (struct kafka_report){ .opaque = producer->opaques[slot],
                                     .result = result_of(message->err),
                                     .partition = message->partition,
                                     .offset = message->offset };
    if (message->err)
        (void)snprintf(report->reason, sizeof report->reason, "%s: %s",
                       rd_kafka_topic_name(message->rkt), rd_kafka_err2str(message->err));
    producer->opaques[slot] = 0;
    producer->free_slots[producer->free_count++] = slot;
    producer->stats.queued_bytes -= producer->sizes[slot];
    uint64_t *const counts[] = { [KAFKA_DONE] = &producer->stats.done,
                                 [KAFKA_RETRY] = &producer->stats.retried,
                                 [KAFKA_POISON] = &producer->stats.poisoned };
    ++*counts[report->result];
    note_result(producer, rd_kafka_topic_name(message->rkt), report);
}

static void take_error(struct kafka_producer *producer, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);

    char reason[KAFKA_REASON_MAX];

    (void)snprintf(reason, sizeof reason, "%s", rd_kafka_event_error_string(event));
    kafka_conf_explain(&producer->kept, reason);
    note(producer, "", reason);
    if (code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_event_error_is_fatal(event))
        begin_dying(producer);
    else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        producer->stats.connected = false;
}

/* One event of the queue. Reports stay in producer->reports; everything else is done with here. */
static bool take_event(struct kafka_producer *producer, int timeout_ms)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(producer->queue, timeout_ms);

    if (!event)
        return false;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR: producer->reports = event; return true;
    case RD_KAFKA_EVENT_ERROR: take_error(producer, event); break;
    case RD_KAFKA_EVENT_LOG: producer->stats.log_lines++; break;
    default: break;
    }
    rd_kafka_event_destroy(event);
    return true;
}

static bool next_report(struct kafka_producer *producer, struct kafka_report *ret_report)
{
    if (!producer->reports)
        return false;
    const rd_kafka_message_t *message = rd_kafka_event_message_next(producer->reports);
    if (message) {
        take_report(producer, message, ret_report);
        return true;
    }
    rd_kafka_event_destroy(producer->reports);
    producer->reports = NULL;
    return false;
}

int kafka_poll_report(struct kafka_producer *producer, int timeout_ms,
                      struct kafka_report *ret_report)
{
    if (producer->rk && producer->stats.last_error[0] &&
        producer->files != kafka_conf_files(&producer->kept))
        begin_dying(producer);
    if ((producer->dying && producer->free_count == SLOTS) || !producer->rk) {
        drop_handle(producer);
        if (make_handle(producer, NULL) != 0)
            return 0;
    }
    do {
        if (next_report(producer, ret_report))
            return 1;
        /* Wait only once: what came may have been a log line, and the caller has a loop. */
        if (!take_event(producer, timeout_ms))
            return 0;
        timeout_ms = 0;
    } while (true);
}

void kafka_producer_stats(const struct kafka_producer *producer,
                          struct kafka_producer_stats *ret_stats)
{
    *ret_stats = producer->stats;
    ret_stats->queued = SLOTS - producer->free_count;
}

void kafka_producer_break(struct kafka_producer *producer)
{
    (void)rd_kafka_test_fatal_error(producer->rk, RD_KAFKA_RESP_ERR_UNKNOWN, "asked for by a test");
}

int kafka_producer_partitions(struct kafka_producer *producer, const char *topic, int timeout_ms)
{
    return producer->rk ? kafka_conf_partitions(producer->rk, topic, timeout_ms) : -EIO;
}

int kafka_producer_bounds(struct kafka_producer *producer, const char *topic, int32_t partition,
                          int timeout_ms, int64_t *ret_first, int64_t *ret_end)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__STATE;

    if (producer->rk)
        code = rd_kafka_query_watermark_offsets(producer->rk, topic, partition, ret_first, ret_end,
                                                timeout_ms);
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return 0;
    case RD_KAFKA_RESP_ERR__TIMED_OUT: case RD_KAFKA_RESP_ERR__TRANSPORT: return -ETIMEDOUT;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC: case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: return -ENOENT;
    default: return -EIO;
    }
}
