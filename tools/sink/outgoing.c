#include "tools/sink/outgoing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DLQ_HEADERS 5

enum letter_kind { LETTER_RECEIPT, LETTER_ANNOUNCEMENT, LETTER_DEAD };

/* One message; key, value and headers stand in `bytes`. */
struct letter {
    enum letter_kind kind;
    bool in_flight;
    uint64_t serial; /* what the report carries */
    int32_t partition;
    int64_t hold_offset, not_before_ns, size;
    size_t key_size, value_size;
    uint32_t header_count;
    struct kafka_header headers[KAFKA_HEADERS_MAX]; /* into `bytes` */
    uint8_t bytes[];                                /* key, value, header names and values */
};

struct outgoing {
    struct kafka_producer *producer;
    char topics[WIRE_TOPIC_COUNT][WIRE_TOPIC_MAX];
    uint64_t serial;
    uint32_t count;
    int64_t bytes;
    struct letter *letters[OUTGOING_MESSAGES_MAX];
    struct outgoing_stats stats;
};

struct kafka_producer *outgoing_producer(const struct outgoing *o)
{
    return o->producer;
}

int outgoing_open(const struct kafka_config *kafka, const char *env, struct err *err,
                  struct outgoing **ret_outgoing)
{
    struct outgoing *o = calloc(1, sizeof *o);

    if (!o)
        return err_plain(err, -ENOMEM, "no memory");
    int rc = 0;
    for (unsigned i = 0; !rc && i < WIRE_TOPIC_COUNT; i++)
        rc = wire_topic_name((enum wire_topic)i, env, o->topics[i]);
    if (rc)
        (void)err_plain(err, rc, "environment '%s': expected 1 to 32 of [a-z0-9-]", env);
    else
        rc = kafka_producer_open(kafka, err, &o->producer);
    if (rc) {
        outgoing_close(o, 0);
        return rc;
    }
    *ret_outgoing = o;
    return 0;
}

void outgoing_close(struct outgoing *o, int flush_ms)
{
    if (!o)
        return;
    kafka_producer_close(o->producer, flush_ms);
    for (uint32_t i = 0; i < o->count; i++)
        free(o->letters[i]);
    free(o);
}

static size_t put_bytes(struct letter *letter, size_t at, const void *from, size_t size)
{
    if (size)
        memcpy(letter->bytes + at, from, size);
    return at + size;
}

static size_t headers_size(const struct kafka_header *headers, uint32_t count)
{
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++)
        size += strlen(headers[i].name) + 1 + headers[i].size;
    return size;
}

static int add(struct outgoing *o, const struct letter *like, const void *key, const void *value,
               const struct kafka_header *headers)
{
    size_t size = like->key_size + like->value_size + headers_size(headers, like->header_count);

    if (o->count == OUTGOING_MESSAGES_MAX)
        return -ENOBUFS;
    struct letter *letter = malloc(sizeof *letter + size);
    if (!letter)
        return -ENOMEM;
    *letter = *like;
    letter->size = (int64_t)size;
    letter->serial = ++o->serial;
    size_t at = put_bytes(letter, put_bytes(letter, 0, key, like->key_size), value,
                          like->value_size);
    for (uint32_t i = 0; i < like->header_count; i++) {
        letter->headers[i].name = (const char *)letter->bytes + at;
        at = put_bytes(letter, at, headers[i].name, strlen(headers[i].name) + 1);
        letter->headers[i].value = letter->bytes + at;
        letter->headers[i].size = headers[i].size;
        at = put_bytes(letter, at, headers[i].value, headers[i].size);
    }
    o->letters[o->count++] = letter;
    o->bytes += letter->size;
    return 0;
}

static uint32_t convert_headers(const struct wire_headers *from, struct kafka_header *to)
{
    for (uint32_t i = 0; i < from->count; i++)
        to[i] = (struct kafka_header){ from->items[i].name, from->items[i].value,
                                       strlen(from->items[i].value) };
    return from->count;
}

int outgoing_receipt(struct outgoing *o, int32_t partition, int64_t hold_offset,
                     const struct wire_receipt *receipt)
{
    struct wire_value value = { .kind = WIRE_RECEIPT, .receipt = *receipt };
    struct kafka_header headers[WIRE_HEADERS_MAX];
    uint8_t bytes[WIRE_RECEIPT_MAX];
    struct wire_headers named;
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);

    if (size < 0)
        return size;
    wire_headers_of(&value, "/sink/roadloop", &named);
    struct letter like = { .kind = LETTER_RECEIPT, .partition = partition,
                           .hold_offset = hold_offset, .key_size = strlen(receipt->pseudonym),
                           .value_size = (size_t)size,
                           .header_count = convert_headers(&named, headers) };
    return add(o, &like, receipt->pseudonym, bytes, headers);
}

int outgoing_announce(struct outgoing *o, int32_t partition, int64_t hold_offset,
                      const struct wire_dataset *dataset)
{
    struct kafka_header headers[WIRE_HEADERS_MAX];
    struct wire_headers named;
    char json[WIRE_DATASET_MAX];
    int size = wire_dataset_encode(dataset, json, sizeof json);

    if (size < 0)
        return size;
    wire_headers_of_dataset(dataset, "/sink/roadloop", &named);
    struct letter like = { .kind = LETTER_ANNOUNCEMENT, .partition = partition,
                           .hold_offset = hold_offset,
                           .key_size = strlen(dataset->about.pseudonym),
                           .value_size = (size_t)size,
                           .header_count = convert_headers(&named, headers) };
    return add(o, &like, dataset->about.pseudonym, json, headers);
}

static void text_header(struct kafka_header *header, const char *name, const char *text)
{
    *header = (struct kafka_header){ name, text, strlen(text) };
}

int outgoing_dead_letter(struct outgoing *o, const struct kafka_event *message, const char *reason,
                         bool hold)
{
    struct kafka_header headers[KAFKA_HEADERS_MAX];
    char partition[16], offset[32], ts[32];
    uint32_t count = message->header_count;
    const void *key = message->key_size ? message->key : (const void *)"-";

    /* More headers than a message of ours can have: its last make room. */
    if (count > KAFKA_HEADERS_MAX - DLQ_HEADERS)
        count = KAFKA_HEADERS_MAX - DLQ_HEADERS;
    memcpy(headers, message->headers, count * sizeof headers[0]);
    (void)snprintf(partition, sizeof partition, "%" PRId32, message->place.partition);
    (void)snprintf(offset, sizeof offset, "%" PRId64, message->place.offset);
    (void)snprintf(ts, sizeof ts, "%" PRId64, message->timestamp_ms);
    text_header(&headers[count++], WIRE_DLQ_TOPIC, message->place.topic);
    text_header(&headers[count++], WIRE_DLQ_PARTITION, partition);
    text_header(&headers[count++], WIRE_DLQ_OFFSET, offset);
    text_header(&headers[count++], WIRE_DLQ_REASON, reason);
    text_header(&headers[count++], WIRE_DLQ_TS, ts);
    struct letter like = { .kind = LETTER_DEAD,
                           .partition = hold ? message->place.partition : -1,
                           .hold_offset = message->place.offset,
                           .key_size = message->key_size ? message->key_size : 1,
                           .value_size = message->value_size, .header_count = count };
    return add(o, &like, key, message->value, headers);
}

bool outgoing_has_room(const struct outgoing *o)
{
    return o->count < OUTGOING_MESSAGES_MAX / 2 && o->bytes < OUTGOING_BYTES_MAX;
}

static void remove_letter(struct outgoing *o, uint32_t i)
{
    o->bytes -= o->letters[i]->size;
    free(o->letters[i]);
    memmove(o->letters + i, o->letters + i + 1, (o->count - i - 1) * sizeof *o->letters);
    o->count--;
}

static int send_letter(struct outgoing *o, const struct letter *letter)
{
    static const enum wire_topic topics[] = { WIRE_TOPIC_RECEIPT, WIRE_TOPIC_DATASET,
                                              WIRE_TOPIC_DLQ };
    const struct kafka_message message = {
        .topic = o->topics[topics[letter->kind]], .partition = KAFKA_PARTITION_ANY,
        .key = letter->bytes, .key_size = letter->key_size,
        .value = letter->bytes + letter->key_size, .value_size = letter->value_size,
        .headers = letter->headers, .header_count = letter->header_count,
        .opaque = letter->serial };

    return kafka_produce(o->producer, &message);
}

static void send_due(struct outgoing *o, int64_t now_ns)
{
    for (uint32_t i = 0; i < o->count; i++) {
        struct letter *letter = o->letters[i];
        if (letter->in_flight || now_ns < letter->not_before_ns)
            continue;
        int rc = send_letter(o, letter);
        if (rc == -EAGAIN || rc == -ENOTCONN)
            return;
        if (rc == -ENOENT) { /* no such topic at present: it may be made (again) */
            letter->not_before_ns = now_ns + OUTGOING_RETRY_NS;
            o->stats.retried++;
            return;
        }
        if (!rc) {
            letter->in_flight = true;
            continue;
        }
        o->stats.poisoned++;
        remove_letter(o, i--);
    }
}

static void take_report(struct outgoing *o, const struct kafka_report *report, int64_t now_ns)
{
    uint64_t *const delivered[] = { &o->stats.receipts, &o->stats.announcements,
                                    &o->stats.dead_letters };
    uint32_t i = 0;

    while (i < o->count && o->letters[i]->serial != report->opaque)
        i++;
    if (i == o->count)
        return;
    if (report->result == KAFKA_RETRY) {
        o->letters[i]->in_flight = false;
        o->letters[i]->not_before_ns = now_ns + OUTGOING_RETRY_NS;
        o->stats.retried++;
        return;
    }
    if (report->result == KAFKA_DONE)
        ++*delivered[o->letters[i]->kind];
    else
        o->stats.poisoned++;
    remove_letter(o, i);
}

void outgoing_pump(struct outgoing *o, int64_t now_ns, int timeout_ms)
{
    struct kafka_report report;

    send_due(o, now_ns);
    while (kafka_poll_report(o->producer, timeout_ms, &report) == 1) {
        take_report(o, &report, now_ns);
        timeout_ms = 0;
    }
}

int64_t outgoing_needed(const struct outgoing *o, int32_t partition)
{
    int64_t needed = -1;

    for (uint32_t i = 0; i < o->count; i++) {
        const struct letter *letter = o->letters[i];
        if (letter->partition == partition && letter->hold_offset >= 0 &&
            (needed < 0 || letter->hold_offset < needed))
            needed = letter->hold_offset;
    }
    return needed;
}

void outgoing_revoke(struct outgoing *o, int32_t partition)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->letters[i]->partition == partition)
            o->letters[i]->partition = -1;
}

void outgoing_stats(const struct outgoing *o, struct outgoing_stats *ret_stats)
{
    *ret_stats = o->stats;
    ret_stats->waiting = o->count;
    ret_stats->waiting_bytes = o->bytes;
}
