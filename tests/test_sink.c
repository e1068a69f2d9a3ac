/* The sink against librdkafka's mock cluster in this process: what it stores, answers and refuses,
 * and what kill -9 does to it. SINK_KILLS and SINK_SEED make the kill test longer or repeat it. */
#include "tests/sink_clips.h"
#include "tools/sink/dataset.h"
#include "tools/sink/sink.h"
#include "uploader/filedrop.h"

#include <errno.h>
#include <ftw.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PARTITIONS 4
#define WAIT_NS (INT64_C(60) * 1000000000)

static char binary[512];

struct fixture {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
    char root[64], dataset[96], cache[96], topics[WIRE_TOPIC_COUNT][WIRE_TOPIC_MAX];
    struct kafka_setting quick[4];
    struct kafka_config kafka;
    struct kafka_producer *car;
    struct kafka_consumer *words;
    struct sink *sink;
    struct sink_config config;
    int64_t skew_ns; /* added to the sink's clock: hours pass in no time */
    uint64_t sent;
    unsigned complete, missing, needs, announced, dead;
    struct wire_receipt last;
    char reasons[64][ERR_TEXT_MAX];
};

static int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void open_words(struct fixture *f)
{
    static const enum wire_topic topics[] = { WIRE_TOPIC_RECEIPT, WIRE_TOPIC_DATASET,
                                              WIRE_TOPIC_DLQ };
    const struct kafka_consumer_config config = { .kafka = f->kafka, .group = "words",
                                                  .fetch_bytes = 1048576 };
    struct kafka_place places[3] = { { .partition = 0 } };
    struct err err;

    assert_int_equal(kafka_consumer_open(&config, &err, &f->words), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(places[i].topic, sizeof places[i].topic, "%s", f->topics[topics[i]]);
        places[i].offset = KAFKA_OFFSET_BEGIN;
    }
    assert_int_equal(kafka_consumer_assign(f->words, places, 3), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct err err;

    (void)rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    f->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    f->cluster = rd_kafka_mock_cluster_new(f->rk, 1);
    for (unsigned i = 0; i < WIRE_TOPIC_COUNT; i++) {
        (void)wire_topic_name((enum wire_topic)i, "test", f->topics[i]);
        (void)rd_kafka_mock_topic_create(f->cluster, f->topics[i],
                                         i == WIRE_TOPIC_CLIP ? PARTITIONS : 1, 1);
    }
    f->quick[0] = (struct kafka_setting){ "linger.ms", "0" };
    f->quick[1] = (struct kafka_setting){ "reconnect.backoff.max.ms", "100" };
    f->quick[2] = (struct kafka_setting){ "retry.backoff.ms", "50" };
    f->quick[3] = (struct kafka_setting){ "fetch.wait.max.ms", "10" };
    f->kafka = (struct kafka_config){ rd_kafka_mock_cluster_bootstraps(f->cluster), "test",
                                      f->quick, 4 };
    snprintf(f->root, sizeof f->root, "/tmp/test_sink.XXXXXX");
    if (!mkdtemp(f->root) || kafka_producer_open(&f->kafka, &err, &f->car))
        return -1;
    snprintf(f->dataset, sizeof f->dataset, "%s/dataset", f->root);
    snprintf(f->cache, sizeof f->cache, "%s/cache.sqlite", f->root);
    open_words(f);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sink_close(f->sink, clock_ns(), 1000);
    kafka_consumer_close(f->words);
    kafka_producer_close(f->car, 0);
    rd_kafka_mock_cluster_destroy(f->cluster);
    rd_kafka_destroy(f->rk);
    (void)nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void open_sink(struct fixture *f)
{
    static const int32_t partitions[PARTITIONS] = { 0, 1, 2, 3 };
    struct err err = { .text = "" };

    f->config = (struct sink_config){
        .bootstrap = f->kafka.bootstrap, .settings = f->quick, .setting_count = 4, .env = "test",
        .group = "sink", .partitions = partitions, .partition_count = PARTITIONS,
        .dataset = f->dataset, .cache = f->cache, .partial_after_ns = 900 * INT64_C(1000000000),
        .release_after_ns = 3600 * INT64_C(1000000000), .clips_max = 100, .vehicle_clips_max = 50,
        .vehicle_bytes_max = INT64_C(1) << 30, .bytes_max = INT64_C(1) << 32,
        .quarantine_bytes_max = INT64_C(1) << 30,
        .member = (uint64_t)clock_ns() };
    if (sink_open(&f->config, 0, &err, &f->sink))
        fail_msg("%s", err.text);
}

static void close_sink(struct fixture *f)
{
    sink_close(f->sink, clock_ns() + f->skew_ns, 5000);
    f->sink = NULL;
}

/* ---- The car ---- */

static void post(struct fixture *f, enum wire_topic topic, const char *key, const void *bytes,
                 size_t size)
{
    const struct kafka_message message = { .topic = f->topics[topic],
                                           .partition = KAFKA_PARTITION_ANY, .key = key,
                                           .key_size = strlen(key), .value = bytes,
                                           .value_size = size, .opaque = ++f->sent };
    struct kafka_report report;

    while (kafka_produce(f->car, &message) == -EAGAIN)
        (void)kafka_poll_report(f->car, 50, &report);
    for (int64_t until = clock_ns() + WAIT_NS; clock_ns() < until;)
        if (kafka_poll_report(f->car, 50, &report) == 1) {
            assert_int_equal(report.result, KAFKA_DONE);
            return;
        }
    fail_msg("no delivery report");
}

static void post_value(struct fixture *f, const struct made_clip *c, const struct wire_value *value)
{
    static uint8_t bytes[WIRE_CHUNK_VALUE_MAX];
    struct err err = { .text = "" };
    int size = wire_encode(value, bytes, sizeof bytes, &err);

    if (size < 0)
        fail_msg("%s", err.text);
    post(f, WIRE_TOPIC_CLIP, c->final.about.pseudonym, bytes, (size_t)size);
}

/* skip: chunk of segment 0 that a broken proxy drops; UINT32_MAX none */
static void post_clip(struct fixture *f, const struct made_clip *c, uint32_t skip)
{
    struct wire_value open = { .kind = WIRE_OPEN, .open = c->final.about };
    struct wire_value final = { .kind = WIRE_FINAL, .final = c->final };

    post_value(f, c, &open);
    for (uint8_t k = 0; k < c->final.about.segments; k++)
        for (uint32_t i = 0; i < wire_chunk_count(&c->final.segments[k]); i++) {
            struct wire_value chunk = made_chunk(c, k, i);
            if (k || i != skip)
                post_value(f, c, &chunk);
        }
    post_value(f, c, &final);
}

static void take_receipt(struct fixture *f, const struct kafka_event *event)
{
    struct wire_value value;
    struct err err;

    assert_int_equal(wire_decode(event->value, event->value_size, &err, &value), 0);
    f->last = value.receipt;
    f->complete += value.receipt.result == WIRE_COMPLETE;
    f->missing += value.receipt.result == WIRE_MISSING;
    f->needs += value.receipt.need_count > 0;
}

static void take_dead(struct fixture *f, const struct kafka_event *event)
{
    static const char *const names[] = { WIRE_DLQ_TOPIC, WIRE_DLQ_PARTITION, WIRE_DLQ_OFFSET,
                                         WIRE_DLQ_REASON, WIRE_DLQ_TS };
    unsigned found = 0;

    for (uint32_t i = 0; i < event->header_count; i++)
        for (unsigned k = 0; k < 5; k++)
            if (!strcmp(event->headers[i].name, names[k])) {
                found |= 1u << k;
                if (k == 3)
                    snprintf(f->reasons[f->dead], ERR_TEXT_MAX, "%.*s",
                             (int)event->headers[i].size, (const char *)event->headers[i].value);
            }
    assert_int_equal(found, 31);
    f->dead++;
}

/* The sink and the listener, until `done` or a minute. */
static bool turn_until(struct fixture *f, bool (*done)(struct fixture *))
{
    struct kafka_event event;
    struct err err;

    for (int64_t until = clock_ns() + WAIT_NS; clock_ns() < until;) {
        if (f->sink)
            assert_int_equal(sink_step(f->sink, clock_ns() + f->skew_ns, 20, &err), 0);
        while (kafka_consumer_poll(f->words, f->sink ? 0 : 20, &event) == 1) {
            if (event.kind != KAFKA_MESSAGE)
                continue;
            if (!strcmp(event.place.topic, f->topics[WIRE_TOPIC_RECEIPT]))
                take_receipt(f, &event);
            else if (!strcmp(event.place.topic, f->topics[WIRE_TOPIC_DATASET]))
                f->announced++;
            else
                take_dead(f, &event);
        }
        if (done(f))
            return true;
    }
    return false;
}

static unsigned want_complete, want_dead, want_missing;
static bool is_done(struct fixture *f)
{
    return f->complete >= want_complete && f->announced >= want_complete && f->dead >= want_dead &&
           f->missing >= want_missing;
}

static void turn(struct fixture *f, unsigned complete, unsigned dead, unsigned missing)
{
    want_complete = complete;
    want_dead = dead;
    want_missing = missing;
    if (!turn_until(f, is_done))
        fail_msg("%u complete, %u announced, %u dead, %u missing", f->complete, f->announced,
                 f->dead, f->missing);
}

static void assert_stored(struct fixture *f, const struct made_clip *c, enum record_status status)
{
    const struct dataset_config config = { .root = f->dataset };
    struct dataset *dataset;
    struct dataset_place place;
    struct record record;
    struct err err = { .text = "" };
    char name[FILES_PATH_MAX], *bytes;
    size_t size, at = 0;

    assert_int_equal(dataset_open(&config, &err, &dataset), 0);
    if (dataset_find(dataset, c->final.about.pseudonym, c->final.about.clip_id, &record, &place,
                     &err) != 1)
        fail_msg("clip %llu is not stored: %s", (unsigned long long)c->final.about.ordinal,
                 err.text);
    assert_int_equal(record.status, status);
    dataset_name(&place, ".rlc", name);
    assert_int_equal(files_read(dataset_files(dataset), name, MADE_MAX * 2, &bytes, &size), 0);
    for (uint32_t k = 0; k < c->final.about.segments; k++) {
        assert_true(at + c->final.segments[k].bytes <= size);
        assert_memory_equal(bytes + at, c->bytes[k], c->final.segments[k].bytes);
        at += c->final.segments[k].bytes;
    }
    assert_int_equal(at, size);
    free(bytes);
    dataset_close(dataset);
}

static void make(struct made_clip *c, const char *vehicle, uint64_t ordinal, uint8_t segments,
                 bool with_dbc)
{
    const struct made_config config = { .vehicle = vehicle, .ordinal = ordinal,
                                        .segments = segments, .groups = 12, .chunk_bytes = 4096,
                                        .with_dbc = with_dbc };
    made_clip(c, &config);
}

/* ---- Tests ---- */

static void test_clips_are_stored_and_poison_becomes_dead_letters(void **state)
{
    struct fixture *f = *state;
    struct made_clip clips[4];
    static uint8_t big[WIRE_CHUNK_VALUE_MAX + 1];
    struct wire_value stray = { .kind = WIRE_GONE };
    uint8_t torn[4096];

    open_sink(f);
    for (unsigned i = 0; i < 4; i++) {
        char vehicle[16];
        snprintf(vehicle, sizeof vehicle, "car-%u", i);
        make(&clips[i], vehicle, i, (uint8_t)(1 + i % 2), false);
        post(f, WIRE_TOPIC_CLIP, vehicle, "not a value of ours", 19); /* one poison before each */
        post_clip(f, &clips[i], UINT32_MAX);
    }
    struct wire_value chunk = made_chunk(&clips[0], 0, 0);
    int size = wire_encode(&chunk, big, sizeof big, NULL);
    memcpy(torn, big, 2000);
    post(f, WIRE_TOPIC_CLIP, "car-0", torn, 2000);                /* cut off */
    big[100] ^= 1;
    post(f, WIRE_TOPIC_CLIP, "car-0", big, (size_t)size);         /* a flipped bit */
    post(f, WIRE_TOPIC_CLIP, "car-0", big, sizeof big);           /* too large */
    post(f, WIRE_TOPIC_CLIP, "../../etc/passwd", big, (size_t)size);
    post(f, WIRE_TOPIC_CLIP, "car-0", NULL, 0);                   /* tombstone */
    stray.gone.reason = WIRE_GONE_EVICTED;
    snprintf(stray.gone.pseudonym, PSEUDONYM_MAX, "car-7");
    post_value(f, &clips[0], &stray);                             /* another car's word */
    turn(f, 4, 10, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_stored(f, &clips[i], RECORD_COMPLETE);
    struct sink_stats stats;
    sink_stats(f->sink, &stats);
    assert_int_equal(stats.refused[SINK_WIRE], 7);
    assert_int_equal(stats.refused[SINK_OVERSIZE], 1);
    assert_int_equal(stats.refused[SINK_EMPTY], 1);
    assert_int_equal(stats.refused[ASSEMBLER_KEY], 1);
    assert_int_equal(stats.outgoing.dead_letters, 10);
    close_sink(f);
    open_sink(f); /* everything is committed: nothing is read again */
    post_clip(f, &clips[1], UINT32_MAX);
    turn(f, 5, 10, 0);
    sink_stats(f->sink, &stats);
    assert_int_equal(stats.assembler.stored, 0);
    assert_int_equal(stats.offsets_none, 0);
    for (unsigned i = 0; i < 4; i++)
        made_free(&clips[i]);
}

static void post_dbc(struct fixture *f, bool wrong)
{
    static uint8_t bytes[WIRE_ARTIFACT_VALUE_MAX];
    uint8_t zip[4096];
    char hex[SHA256_HEX];
    int size = wire_artifact_deflate(made_dbc, sizeof made_dbc - 1, zip, sizeof zip);
    struct wire_value value = { .kind = WIRE_ARTIFACT,
                                .artifact = { .kind = WIRE_ARTIFACT_DBC, .name = "demo.dbc",
                                              .raw_bytes = sizeof made_dbc - 1,
                                              .size = (uint32_t)size, .payload = zip } };

    sha256_of(made_dbc, sizeof made_dbc - 1, value.artifact.sha256);
    value.artifact.sha256[31] ^= wrong;
    hex_from(value.artifact.sha256, SHA256_BYTES, hex);
    size = wire_encode(&value, bytes, sizeof bytes, NULL);
    assert_true(size > 0);
    post(f, WIRE_TOPIC_ARTIFACT, hex, bytes, (size_t)size);
}

static void test_artifacts_absent_wrong_and_there(void **state)
{
    struct fixture *f = *state;
    struct made_clip clips[3];
    struct sink_stats stats;

    for (unsigned i = 0; i < 3; i++)
        make(&clips[i], "car-1", i, 1, true);
    open_sink(f);
    post_clip(f, &clips[0], UINT32_MAX);
    turn(f, 1, 0, 0);
    assert_int_equal(f->needs, 1); /* stored raw-only, and the car is told what is missing */
    assert_stored(f, &clips[0], RECORD_RAW_ONLY);
    post_dbc(f, true);
    post_clip(f, &clips[1], UINT32_MAX);
    turn(f, 2, 1, 0); /* the wrong one is a dead letter */
    assert_int_equal(f->needs, 2);
    assert_stored(f, &clips[1], RECORD_RAW_ONLY);
    post_dbc(f, false); /* read on to the end before the clip is written */
    post_clip(f, &clips[2], UINT32_MAX);
    turn(f, 3, 1, 0);
    assert_int_equal(f->needs, 2);
    assert_stored(f, &clips[2], RECORD_COMPLETE);
    sink_stats(f->sink, &stats);
    assert_int_equal(stats.refused[SINK_ARTIFACT], 1);
    assert_int_equal(stats.assembler.raw_only, 2);
    assert_true(stats.publish.decoded > 0);
    for (unsigned i = 0; i < 3; i++)
        made_free(&clips[i]);
}

static void test_a_dropped_chunk_is_asked_for_and_completes_the_clip(void **state)
{
    struct fixture *f = *state;
    struct made_clip clip;
    struct wire_value question = { .kind = WIRE_QUESTION }, chunk;

    make(&clip, "car-1", 3, 1, false);
    assert_true(wire_chunk_count(&clip.final.segments[0]) > 3);
    open_sink(f);
    post_clip(f, &clip, 2);
    want_complete = want_dead = 0;
    want_missing = 1;
    /* All of them (open, chunks but one, final) before the clock jumps: what came after would be young. */
    uint64_t posted = 1 + wire_chunk_count(&clip.final.segments[0]) - 1 + 1;
    for (struct sink_stats s = { .messages = 0 }; s.messages < posted;) {
        struct err err;
        assert_int_equal(sink_step(f->sink, clock_ns(), 20, &err), 0);
        sink_stats(f->sink, &s);
    }
    f->skew_ns = 1000 * INT64_C(1000000000); /* past partial_after */
    turn(f, 0, 0, 1);
    assert_int_equal(f->last.range_count, 1);
    assert_int_equal(f->last.ranges[0].first, 2);
    assert_int_equal(f->last.ranges[0].count, 1);
    f->skew_ns = 4000 * INT64_C(1000000000); /* past release_after: bytes go to CLIP.part */
    for (struct sink_stats s = { .messages = 0 }; !s.assembler.released;) {
        struct err err;
        assert_int_equal(sink_step(f->sink, clock_ns() + f->skew_ns, 20, &err), 0);
        sink_stats(f->sink, &s);
    }
    f->announced = 0;
    close_sink(f);
    snprintf(f->cache, sizeof f->cache, "%s/another.sqlite", f->root); /* another member */
    open_sink(f);
    chunk = made_chunk(&clip, 0, 2);
    post_value(f, &clip, &chunk);
    question.question.ask = 1;
    question.question.final = clip.final;
    memcpy(question.question.final_sha256, clip.final_sha256, SHA256_BYTES);
    post_value(f, &clip, &question);
    turn(f, 1, 0, 1);
    assert_memory_equal(f->last.final_sha256, clip.final_sha256, SHA256_BYTES);
    assert_int_equal(f->last.ask, 1);
    assert_stored(f, &clip, RECORD_COMPLETE);
    made_free(&clip);
}

/* What a command prints, and its exit status. */
static int command(const char *arguments, char *text, size_t size)
{
    char line[2048];

    snprintf(line, sizeof line, "%s %s 2>&1", binary, arguments);
    FILE *pipe = popen(line, "r");
    size_t n = fread(text, 1, size - 1, pipe);
    text[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_status_and_catalogue_say_what_is_there(void **state)
{
    struct fixture *f = *state;
    struct made_clip clip, half;
    char line[1024], text[4096];

    make(&clip, "car-1", 0, 1, true);
    make(&half, "car-1", 1, 1, true);
    snprintf(line, sizeof line, "sink status --bootstrap %s --env test --group sink --json",
             f->kafka.bootstrap);
    post_clip(f, &clip, UINT32_MAX);
    assert_int_equal(command(line, text, sizeof text), 1); /* nobody reads: it lags */
    assert_non_null(strstr(text, "\"committed\": null"));
    post_dbc(f, false);
    open_sink(f);
    turn(f, 1, 0, 0);
    close_sink(f);
    assert_int_equal(command(line, text, sizeof text), 0);
    assert_non_null(strstr(text, "\"lag\": 0, \"partitions\": [{"));
    post_clip(f, &half, 1); /* an open clip holds its partition's offset */
    open_sink(f);
    for (struct sink_stats s = { .messages = 0 }; s.messages < 4;) {
        struct err err;
        assert_int_equal(sink_step(f->sink, clock_ns(), 20, &err), 0);
        sink_stats(f->sink, &s);
    }
    close_sink(f);
    assert_int_equal(command(line, text, sizeof text), 1);
    snprintf(line, sizeof line, "catalogue %s %s/c.sqlite --json", f->dataset, f->root);
    for (int again = 0; again < 2; again++) { /* replaced, not added to */
        assert_int_equal(command(line, text, sizeof text), 0);
        assert_string_equal(text, "{\"clips\": 1, \"events\": 1, \"timed_by_session\": 0, "
                                  "\"broken\": 0}\n");
    }
    assert_int_equal(command("catalogue /nonexistent x.sqlite", text, sizeof text), 2);
    assert_string_equal(text, "roadloop catalogue: /nonexistent: dataset: No such file or directory\n");
    snprintf(line, sizeof line, "sink reexport %s --all", f->dataset);
    assert_int_equal(command(line, text, sizeof text), 0);
    assert_non_null(strstr(text, ".r1.mcap"));
    assert_int_equal(command("sink run --dataset x", text, sizeof text), 2);
    assert_int_equal(command("sink run --dataset x --partitions 3-1 --bootstrap x --env e", text,
                             sizeof text), 2);
    made_free(&clip);
    made_free(&half);
}

static void drop_value(struct transport *transport, const struct made_clip *c,
                       const struct wire_value *value, uint64_t opaque)
{
    static uint8_t bytes[WIRE_CHUNK_VALUE_MAX];
    struct transport_report report;
    struct transport_message message = { .topic = WIRE_TOPIC_CLIP,
                                         .key = c->final.about.pseudonym, .value = bytes,
                                         .decoded = value, .opaque = opaque };
    int size = wire_encode(value, bytes, sizeof bytes, NULL);

    assert_true(size > 0);
    message.size = (size_t)size;
    assert_int_equal(transport->ops->send(transport->context, &message), 0);
    assert_int_equal(transport->ops->poll_report(transport->context, 0, &report), 1);
    assert_int_equal(report.result, TRANSPORT_DONE);
}

static void test_a_dropped_clip_is_stored_and_answered_beside_it(void **state)
{
    struct fixture *f = *state;
    struct made_clip clip;
    struct transport transport;
    struct transport_receipt receipt;
    struct wire_value open = { .kind = WIRE_OPEN }, final = { .kind = WIRE_FINAL };
    char drop[96];
    struct err err = { .text = "" };
    uint64_t opaque = 0;

    make(&clip, "car-1", 4, 2, false);
    snprintf(drop, sizeof drop, "%s/drop", f->root);
    assert_int_equal(mkdir(drop, 0700), 0);
    assert_int_equal(filedrop_open(drop, &err, &transport), 0);
    open.open = clip.final.about;
    final.final = clip.final;
    drop_value(&transport, &clip, &open, ++opaque);
    for (uint8_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < wire_chunk_count(&clip.final.segments[k]); i++) {
            struct wire_value chunk = made_chunk(&clip, k, i);
            drop_value(&transport, &clip, &chunk, ++opaque);
        }
    drop_value(&transport, &clip, &final, ++opaque);
    const struct sink_config config = {
        .dataset = f->dataset, .cache = f->cache, .drop = drop, .partial_after_ns = 1,
        .release_after_ns = 1, .clips_max = 1, .vehicle_clips_max = 1,
        .vehicle_bytes_max = INT64_C(1) << 30, .bytes_max = INT64_C(1) << 30 };
    if (sink_open(&config, 0, &err, &f->sink))
        fail_msg("%s", err.text);
    for (int i = 0; i < 3; i++) /* the answer is given once, also after the car took it */
        assert_int_equal(sink_step(f->sink, (i + 1) * INT64_C(2000000000), 0, &err), 0);
    assert_int_equal(transport.ops->poll_receipt(transport.context, &receipt), 1);
    assert_int_equal(receipt.receipt.result, WIRE_COMPLETE);
    assert_memory_equal(receipt.receipt.final_sha256, clip.final_sha256, SHA256_BYTES);
    assert_int_equal(sink_step(f->sink, INT64_C(20000000000), 0, &err), 0);
    assert_int_equal(transport.ops->poll_receipt(transport.context, &receipt), 0);
    struct sink_stats stats;
    sink_stats(f->sink, &stats);
    assert_int_equal(stats.drops_stored, 1);
    assert_stored(f, &clip, RECORD_COMPLETE);
    transport.ops->close(transport.context, 0);
    made_free(&clip);
}

/* ---- kill -9 ---- */

static pid_t start_process(const struct fixture *f)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    (void)!freopen("/dev/null", "w", stderr);
    execl(binary, binary, "sink", "run", "--bootstrap", f->kafka.bootstrap, "--env", "test",
          "--group", "sink", "--partitions", "0-3", "--dataset", f->dataset, "--cache", f->cache,
          "--kafka", "reconnect.backoff.max.ms=100", (char *)NULL);
    _exit(127);
}

static void sleep_ms(unsigned ms)
{
    struct timespec wait = { ms / 1000, (long)(ms % 1000) * 1000000 };
    nanosleep(&wait, NULL);
}

static unsigned env_number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static unsigned stored_found;
static int count_json(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    stored_found += flag == FTW_F && strstr(path, "/date=") && strstr(path, ".json");
    return 0;
}

static unsigned count_stored(const struct fixture *f)
{
    stored_found = 0;
    (void)nftw(f->dataset, count_json, 16, FTW_PHYS);
    return stored_found;
}

static void test_kill_9_at_any_moment_loses_and_doubles_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned kills = env_number("SINK_KILLS", 10), seed = env_number("SINK_SEED", 1);
    unsigned count = kills * 2;
    struct made_clip *clips = calloc(count, sizeof *clips);

    print_message("SINK_SEED=%u SINK_KILLS=%u\n", seed, kills);
    for (unsigned i = 0; i < count; i++) {
        char vehicle[16];
        snprintf(vehicle, sizeof vehicle, "car-%u", i % 5);
        make(&clips[i], vehicle, i, (uint8_t)(1 + i % 2), false);
    }
    for (unsigned i = 0; i < kills; i++) {
        pid_t pid = start_process(f);
        seed = seed * 1664525u + 1013904223u;
        post_clip(f, &clips[2 * i], UINT32_MAX);
        sleep_ms(seed >> 16 & 511); /* the moment of the kill is what is tested */
        post_clip(f, &clips[2 * i + 1], UINT32_MAX);
        sleep_ms(seed >> 8 & 511);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        print_message("%u clips stored at kill %u\n", count_stored(f), i + 1);
    }
    pid_t pid = start_process(f);
    turn(f, count, 0, 0); /* receipts and announcements of every clip, perhaps more than one */
    kill(pid, SIGTERM);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(count_stored(f), count); /* each once */
    for (unsigned i = 0; i < count; i++) {
        assert_stored(f, &clips[i], RECORD_COMPLETE);
        made_free(&clips[i]);
    }
    free(clips);
}

int main(int argc, char **argv)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_clips_are_stored_and_poison_becomes_dead_letters),
        T(test_artifacts_absent_wrong_and_there),
        T(test_a_dropped_chunk_is_asked_for_and_completes_the_clip),
        T(test_status_and_catalogue_say_what_is_there),
        T(test_a_dropped_clip_is_stored_and_answered_beside_it),
        T(test_kill_9_at_any_moment_loses_and_doubles_nothing),
    };
    const char *slash = strrchr(argv[0], '/');

    (void)argc;
    snprintf(binary, sizeof binary, "%.*s/../roadloop", slash ? (int)(slash - argv[0]) : 1,
             slash ? argv[0] : ".");
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
