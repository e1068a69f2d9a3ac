#include "uploader/transport_kafka.h"

#include "uploader/trouble.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS_MAX 10 /* of receipts: one a pseudonym; `simulate` shares a connection */
#define METADATA_MS 1000 /* a call inside listen; the upload thread may wait that long */

static_assert(WIRE_HEADERS_MAX <= KAFKA_HEADERS_MAX, "all headers fit a message");

struct context {
    struct kafka_producer *producer;
    struct kafka_consumer *consumer;
    char topics[WIRE_TOPIC_COUNT][WIRE_TOPIC_MAX];
    struct kafka_place places[PARTITIONS_MAX]; /* offset: next to read */
    uint32_t place_count;
    uint64_t receipts, receipts_bad, receipts_skipped;
    char receipt_error[TRANSPORT_REASON_MAX]; /* why receipts cannot be read, or "" */
};

static void close_context(void *opaque, int flush_ms)
{
    struct context *c = opaque;

    kafka_consumer_close(c->consumer);
    kafka_producer_close(c->producer, flush_ms);
    free(c);
}

static int send_message(void *opaque, const struct transport_message *message)
{
    struct context *c = opaque;
    struct kafka_header headers[WIRE_HEADERS_MAX];
    const struct wire_headers *from = message->headers;

    for (uint32_t i = 0; i < from->count; i++)
        headers[i] = (struct kafka_header){ from->items[i].name, from->items[i].value,
                                            strlen(from->items[i].value) };
    const struct kafka_message out = { .topic = c->topics[message->topic],
                                       .partition = KAFKA_PARTITION_ANY, .key = message->key,
                                       .key_size = strlen(message->key), .value = message->value,
                                       .value_size = message->size, .headers = headers,
                                       .header_count = from->count, .opaque = message->opaque };
    return kafka_produce(c->producer, &out);
}

static int poll_report(void *opaque, int timeout_ms, struct transport_report *ret_report)
{
    static const enum transport_result results[] = { [KAFKA_DONE] = TRANSPORT_DONE,
                                                     [KAFKA_RETRY] = TRANSPORT_RETRY,
                                                     [KAFKA_POISON] = TRANSPORT_POISON };
    struct context *c = opaque;
    struct kafka_report report;

    if (kafka_poll_report(c->producer, timeout_ms, &report) != 1)
        return 0;
    *ret_report = (struct transport_report){ .opaque = report.opaque,
                                             .result = results[report.result] };
    (void)snprintf(ret_report->reason, sizeof ret_report->reason, "%s", report.reason);
    return 1;
}

/* Where reading begins: the stored offset, unless it is gone or too far behind; then the end. Every
 * open clip asks in its turn, so nothing depends on what is skipped. */
static int start_of(struct context *c, int32_t partition, bool stored, int64_t offset,
                    int64_t *ret_start)
{
    int64_t first, end;

    int rc = kafka_producer_bounds(c->producer, c->topics[WIRE_TOPIC_RECEIPT], partition,
                                   METADATA_MS, &first, &end);
    if (rc)
        return rc;
    bool usable = stored && offset >= first && offset <= end &&
                  end - offset <= TRANSPORT_KAFKA_BEHIND_MAX;
    if (stored && !usable && end > offset)
        c->receipts_skipped += (uint64_t)(end - offset);
    *ret_start = usable ? offset : end;
    return 0;
}

/* Only what concerns the topic: of the connection the producer says the same. */
static void note_receipts(struct context *c, const char *reason)
{
    if (!reason[0])
        c->receipt_error[0] = '\0';
    else if (trouble_of(reason))
        (void)snprintf(c->receipt_error, sizeof c->receipt_error, "%s: %.120s",
                       c->topics[WIRE_TOPIC_RECEIPT], reason);
}

static int listen_to(void *opaque, const char *pseudonym,
                     int (*stored)(void *argument, int32_t partition, int64_t *ret_offset),
                     void *argument)
{
    struct context *c = opaque;
    const char *topic = c->topics[WIRE_TOPIC_RECEIPT];
    int64_t offset = 0, start = 0;

    if (!c->consumer)
        return 0;
    int count = kafka_producer_partitions(c->producer, topic, METADATA_MS);
    if (count < 0) {
        note_receipts(c, count == -ENOENT   ? "there is no such topic"
                         : count == -EACCES ? "Topic authorization failed"
                                            : "");
        return count;
    }
    note_receipts(c, "");
    int32_t partition = wire_partition(pseudonym, strlen(pseudonym), count);
    for (uint32_t i = 0; i < c->place_count; i++)
        if (c->places[i].partition == partition)
            return 0;
    if (c->place_count >= PARTITIONS_MAX)
        return -ENOBUFS;
    bool have = stored && stored(argument, partition, &offset) == 1;
    int rc = start_of(c, partition, have, offset, &start);
    if (rc)
        return rc;
    struct kafka_place *place = &c->places[c->place_count];
    (void)snprintf(place->topic, sizeof place->topic, "%s", topic);
    place->partition = partition;
    place->offset = start;
    rc = kafka_consumer_assign(c->consumer, c->places, c->place_count + 1);
    c->place_count += rc == 0;
    return rc;
}

/* The log lost the place where we were: to the end, as at the start. */
static void reset(struct context *c, int32_t partition)
{
    for (uint32_t i = 0; i < c->place_count; i++)
        if (c->places[i].partition == partition) {
            c->receipts_skipped++;
            c->places[i].offset = KAFKA_OFFSET_END;
        }
    (void)kafka_consumer_assign(c->consumer, c->places, c->place_count);
}

static void move_on(struct context *c, const struct kafka_place *at)
{
    for (uint32_t i = 0; i < c->place_count; i++)
        if (c->places[i].partition == at->partition)
            c->places[i].offset = at->offset + 1;
}

static int poll_receipt(void *opaque, struct transport_receipt *ret_receipt)
{
    struct context *c = opaque;
    struct kafka_event event;
    struct wire_value value;

    while (c->consumer && kafka_consumer_poll(c->consumer, 0, &event) == 1) {
        if (event.kind == KAFKA_RESET)
            reset(c, event.place.partition);
        if (event.kind == KAFKA_ERROR && event.place.partition >= 0)
            note_receipts(c, event.reason);
        if (event.kind == KAFKA_MESSAGE || event.kind == KAFKA_END)
            note_receipts(c, "");
        if (event.kind != KAFKA_MESSAGE)
            continue;
        move_on(c, &event.place);
        if (wire_decode(event.value, event.value_size, NULL, &value) != 0 ||
            value.kind != WIRE_RECEIPT) {
            c->receipts_bad++;
            continue;
        }
        c->receipts++;
        ret_receipt->receipt = value.receipt;
        ret_receipt->partition = event.place.partition;
        ret_receipt->next = event.place.offset + 1;
        return 1;
    }
    return 0;
}

static void stats(const void *opaque, struct transport_stats *ret_stats)
{
    const struct context *c = opaque;
    struct kafka_producer_stats from;

    kafka_producer_stats(c->producer, &from);
    *ret_stats = (struct transport_stats){ .in_flight_bytes = from.queued_bytes,
                                           .sent = from.produced, .done = from.done,
                                           .retried = from.retried, .poisoned = from.poisoned,
                                           .receipts = c->receipts,
                                           .receipts_bad = c->receipts_bad,
                                           .receipts_skipped = c->receipts_skipped,
                                           .connected = from.connected };
    (void)snprintf(ret_stats->last_error, sizeof ret_stats->last_error, "%s",
                   from.last_error[0] ? from.last_error : c->receipt_error);
    (void)snprintf(ret_stats->last_poison, sizeof ret_stats->last_poison, "%s", from.last_poison);
}

static const struct transport_ops ops = { .send = send_message, .poll_report = poll_report,
                                          .poll_receipt = poll_receipt, .listen = listen_to,
                                          .stats = stats, .close = close_context };

int transport_kafka_open(const struct transport_kafka_config *config, struct err *err,
                         struct transport *ret_transport)
{
    const struct kafka_consumer_config consumer = { .kafka = config->kafka,
                                                    .group = "roadloop-car" };
    struct context *c = calloc(1, sizeof *c);
    int rc = 0;

    if (!c)
        return err_plain(err, -ENOMEM, "kafka: no memory");
    for (int i = 0; !rc && i < WIRE_TOPIC_COUNT; i++)
        rc = wire_topic_name((enum wire_topic)i, config->env, c->topics[i]);
    if (rc)
        (void)err_plain(err, rc, "kafka environment: found '%s', expected 1 to 32 of [a-z0-9-]",
                        config->env);
    if (!rc)
        rc = kafka_producer_open(&config->kafka, err, &c->producer);
    if (!rc && config->receipts)
        rc = kafka_consumer_open(&consumer, err, &c->consumer);
    if (rc) {
        close_context(c, 0);
        return rc;
    }
    *ret_transport = (struct transport){ &ops, c };
    return 0;
}
