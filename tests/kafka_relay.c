/* What the end-to-end tests do to a broker beside car and sink (tests/e2e/harness.py drives it):
 *   kafka_relay relay FROM TO ENV    copies clip, artifact and status FROM -> TO and receipt TO -> FROM
 *       unchanged, but drops every fifth distinct chunk the first time that it is seen and prints
 *       "dropped CLIP SEGMENT INDEX"; runs until it is killed.
 *   kafka_relay put BROKER           reads lines "TOPIC PARTITION KEY HEX[ seal]" and sends them; with
 *       `seal` bytes 8 to 15 become the XXH3-64 of what follows (docs/KAFKA.md, prefix).
 *   kafka_relay list BROKER TOPIC   prints "PARTITION OFFSET KEY VALUE [NAME=TEXT]..." of
 *       all that the topic holds; KEY, VALUE and TEXT in hex. */
#include "proto/bytes.h"
#include "proto/hash.h"
#include "proto/wire.h"
#include "uploader/kafka.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROP_EVERY 5
#define CHUNKS_SEEN_MAX 65536
#define LINE_BYTES (1 << 21)
#define WAIT_MS 10000

struct seen {
    uint8_t clip[CLIP_ID_BYTES];
    uint32_t segment, index;
};

struct way {
    struct kafka_consumer *from;
    struct kafka_producer *to;
};

static struct seen seen[CHUNKS_SEEN_MAX];
static uint32_t seen_count;

static void die(const char *what)
{
    (void)fprintf(stderr, "kafka_relay: %s\n", what);
    exit(2);
}

static struct kafka_config config_of(const char *bootstrap)
{
    static const struct kafka_setting quick[] = { { "linger.ms", "0" } };

    return (struct kafka_config){ .bootstrap = bootstrap, .client_id = "kafka-relay",
                                  .settings = quick, .setting_count = 1 };
}

static struct kafka_producer *open_producer(const char *bootstrap)
{
    const struct kafka_config config = config_of(bootstrap);
    struct kafka_producer *producer;
    struct err err;

    if (kafka_producer_open(&config, &err, &producer))
        die(err.text);
    return producer;
}

static struct kafka_consumer *open_consumer(const char *bootstrap)
{
    const struct kafka_consumer_config config = { .kafka = config_of(bootstrap),
                                                  .group = "kafka-relay",
                                                  .fetch_bytes = 4194304, .queued_kbytes = 16384 };
    struct kafka_consumer *consumer;
    struct err err;

    if (kafka_consumer_open(&config, &err, &consumer))
        die(err.text);
    return consumer;
}

/* Adds every partition of a topic, from its start. */
static void add_places(struct kafka_consumer *consumer, const char *topic,
                       struct kafka_place *places, uint32_t *count)
{
    int partitions = kafka_consumer_partitions(consumer, topic, WAIT_MS);

    if (partitions < 1)
        die(topic);
    for (int32_t p = 0; p < partitions && *count < KAFKA_PLACES_MAX; p++) {
        struct kafka_place *place = &places[(*count)++];
        *place = (struct kafka_place){ .partition = p, .offset = KAFKA_OFFSET_BEGIN };
        (void)snprintf(place->topic, sizeof place->topic, "%s", topic);
    }
}

static void assign_topics(struct kafka_consumer *consumer, const char *env,
                          const enum wire_topic *topics, size_t topic_count)
{
    static struct kafka_place places[KAFKA_PLACES_MAX];
    char name[WIRE_TOPIC_MAX];
    uint32_t count = 0;

    for (size_t i = 0; i < topic_count; i++) {
        if (wire_topic_name(topics[i], env, name))
            die("ENV is no environment");
        add_places(consumer, name, places, &count);
    }
    if (kafka_consumer_assign(consumer, places, count))
        die("cannot assign");
}

/* Waits for room, never for the report: the test's own check is that everything arrives. */
static void send(struct kafka_producer *producer, const struct kafka_message *message)
{
    struct kafka_report report;
    int rc = kafka_produce(producer, message);

    while (rc == -EAGAIN) {
        (void)kafka_poll_report(producer, 100, &report);
        rc = kafka_produce(producer, message);
    }
    if (rc)
        die("a message cannot be sent");
    while (kafka_poll_report(producer, 0, &report) == 1)
        if (report.result != KAFKA_DONE)
            die(report.reason);
}

/* ---- relay ---- */

static bool is_new(const struct wire_chunk *chunk)
{
    for (uint32_t i = 0; i < seen_count; i++)
        if (!memcmp(seen[i].clip, chunk->clip_id, CLIP_ID_BYTES) &&
            seen[i].segment == chunk->segment && seen[i].index == chunk->index)
            return false;
    if (seen_count == CHUNKS_SEEN_MAX)
        die("too many chunks");
    memcpy(seen[seen_count].clip, chunk->clip_id, CLIP_ID_BYTES);
    seen[seen_count].segment = chunk->segment;
    seen[seen_count++].index = chunk->index;
    return true;
}

static bool is_dropped(const struct kafka_event *event)
{
    char hex[CLIP_ID_HEX];
    struct wire_value value;

    if (wire_decode(event->value, event->value_size, NULL, &value) || value.kind != WIRE_CHUNK ||
        !is_new(&value.chunk) || seen_count % DROP_EVERY)
        return false;
    hex_from(value.chunk.clip_id, CLIP_ID_BYTES, hex);
    (void)printf("dropped %s %u %u\n", hex, value.chunk.segment, value.chunk.index);
    (void)fflush(stdout);
    return true;
}

static void pass(const struct way *way, int timeout_ms)
{
    struct kafka_event event;

    if (kafka_consumer_poll(way->from, timeout_ms, &event) != 1 || event.kind != KAFKA_MESSAGE ||
        is_dropped(&event))
        return;
    send(way->to, &(struct kafka_message){
        .topic = event.place.topic, .partition = event.place.partition, .key = event.key,
        .key_size = event.key_size, .value = event.value, .value_size = event.value_size,
        .headers = event.headers, .header_count = event.header_count, .opaque = 1 });
}

static void relay(const char *from, const char *to, const char *env)
{
    static const enum wire_topic out[] = { WIRE_TOPIC_CLIP, WIRE_TOPIC_ARTIFACT, WIRE_TOPIC_STATUS };
    static const enum wire_topic back[] = { WIRE_TOPIC_RECEIPT };
    const struct way there = { open_consumer(from), open_producer(to) };
    const struct way here = { open_consumer(to), open_producer(from) };

    assign_topics(there.from, env, out, sizeof out / sizeof out[0]);
    assign_topics(here.from, env, back, 1);
    (void)printf("ready\n");
    (void)fflush(stdout);
    for (;;) {
        pass(&there, 5);
        pass(&here, 5);
    }
}

/* ---- put ---- */

static void put_line(struct kafka_producer *producer, char *line, uint8_t *value)
{
    char topic[KAFKA_TOPIC_MAX], key[128], seal[8] = "";
    int partition, at = 0;

    if (sscanf(line, "%127s %d %127s %n", topic, &partition, key, &at) != 3 || !at)
        die("expected TOPIC PARTITION KEY HEX [seal]");
    char *hex = line + at;
    size_t digits = strcspn(hex, " \n");
    (void)sscanf(hex + digits, "%7s", seal);
    hex[digits] = '\0';
    if (digits % 2 || hex_to(hex, digits / 2, value))
        die("HEX is no hex");
    if (!strcmp(seal, "seal"))
        store_le64(value + 8, hash_xxh3(value + WIRE_PREFIX_BYTES, digits / 2 - WIRE_PREFIX_BYTES));
    send(producer, &(struct kafka_message){ .topic = topic, .partition = partition, .key = key,
                                            .key_size = strlen(key), .value = value,
                                            .value_size = digits / 2, .opaque = 1 });
}

static void put(const char *bootstrap)
{
    struct kafka_producer *producer = open_producer(bootstrap);
    char *line = malloc(LINE_BYTES);
    uint8_t *value = malloc(LINE_BYTES / 2);

    assert(line && value);
    while (fgets(line, LINE_BYTES, stdin))
        put_line(producer, line, value);
    kafka_producer_close(producer, WAIT_MS);
    free(value);
    free(line);
}

/* ---- list ---- */

static void print_hex(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        (void)printf("%02x", ((const uint8_t *)bytes)[i]);
}

static void print_message(const struct kafka_event *event)
{
    (void)printf("%d %lld ", event->place.partition, (long long)event->place.offset);
    print_hex(event->key, event->key_size);
    (void)printf(" ");
    print_hex(event->value, event->value_size);
    for (uint32_t i = 0; i < event->header_count; i++) {
        (void)printf(" %s=", event->headers[i].name);
        print_hex(event->headers[i].value, event->headers[i].size);
    }
    (void)printf("\n");
}

/* How many messages the places hold now; the end of an empty partition is not always told. */
static int64_t count_held(struct kafka_consumer *consumer, const struct kafka_place *places,
                          uint32_t count)
{
    int64_t held = 0, first, end;

    for (uint32_t i = 0; i < count; i++) {
        if (kafka_consumer_bounds(consumer, places[i].topic, places[i].partition, WAIT_MS, &first,
                                  &end))
            die("the topic's bounds are not to be had");
        held += end - first;
    }
    return held;
}

static void list(const char *bootstrap, const char *topic)
{
    static struct kafka_place places[KAFKA_PLACES_MAX];
    struct kafka_consumer *consumer = open_consumer(bootstrap);
    struct kafka_event event;
    uint32_t count = 0;

    add_places(consumer, topic, places, &count);
    int64_t left = count_held(consumer, places, count);
    if (kafka_consumer_assign(consumer, places, count))
        die("cannot assign");
    for (int idle = 0; left > 0;) {
        if (kafka_consumer_poll(consumer, 100, &event) != 1 || event.kind != KAFKA_MESSAGE) {
            if (++idle > WAIT_MS / 100)
                die("the topic does not end");
            continue;
        }
        print_message(&event);
        left--;
    }
    kafka_consumer_close(consumer);
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "relay"))
        relay(argv[2], argv[3], argv[4]);
    else if (argc == 3 && !strcmp(argv[1], "put"))
        put(argv[2]);
    else if (argc == 4 && !strcmp(argv[1], "list"))
        list(argv[2], argv[3]);
    else
        die("relay FROM TO ENV, put BROKER, or list BROKER TOPIC");
    return 0;
}
