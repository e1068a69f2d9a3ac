/* Store and uploader together: sealed clips go out and come back as receipts, over a transport in
 * memory, a drop folder, and Kafka (librdkafka's mock in this process). The clock is a number; only
 * the mock is waited for, by deadlines. */
#include "uploader/uploader.h"

#include "storage/clipstore.h"
#include "tests/memory_transport.h"
#include "tests/segments.h"
#include "uploader/filedrop.h"
#include "uploader/transport_kafka.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define S NS_PER_S
#define CLIPS 4

struct car {
    char dir[64], clips[80], artifacts[88];
    struct clipstore *store;
    struct uploader *uploader;
    struct made made[CLIPS];
    unsigned made_count;
    int64_t now_ns;
    struct far_end far;
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    struct car *car = calloc(1, sizeof *car);
    struct err err = { 0 };

    (void)snprintf(car->dir, sizeof car->dir, "/tmp/roadloop-test-XXXXXX");
    assert_non_null(mkdtemp(car->dir));
    (void)snprintf(car->clips, sizeof car->clips, "%s/clips", car->dir);
    (void)snprintf(car->artifacts, sizeof car->artifacts, "%s/artifacts", car->dir);
    const struct clipstore_config config = { .dir = car->dir, .io = io_system(),
                                             .chunk_bytes = 4096, .quota_bytes = 10000000,
                                             .relaxed = true };
    assert_int_equal(clipstore_open(&config, 0, &err, &car->store), 0);
    *state = car;
    return 0;
}

static int teardown(void **state)
{
    struct car *car = *state;
    struct outbox_books books;

    assert_int_equal(clipstore_books(car->store, &books), 0);
    assert_true(outbox_books_close(&books)); /* G3 at the end of each test */
    uploader_close(car->uploader, 0);
    clipstore_close(car->store);
    for (unsigned i = 0; i < car->made_count; i++)
        made_close(&car->made[i]);
    far_deinit(&car->far);
    (void)nftw(car->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(car);
    return 0;
}

static int stored_offset(void *argument, int32_t partition, int64_t *ret_offset)
{
    return clipstore_offset(((struct car *)argument)->store, partition, ret_offset);
}

static void open_asking(struct car *car, struct transport transport, int64_t ask_first_ns)
{
    const struct uploader_config config = { .clips_dir = car->clips,
                                            .artifacts_dir = car->artifacts,
                                            .rate = { 1000000, 100000 }, .ship_artifacts = true,
                                            .receipts = true, .ask_first_ns = ask_first_ns,
                                            .stored_offset = stored_offset, .argument = car };
    struct err err = { 0 };

    assert_int_equal(uploader_open(&config, transport, car->now_ns, &err, &car->uploader), 0);
}

static void open_uploader(struct car *car, struct transport transport)
{
    open_asking(car, transport, 5 * S);
}

static void seal(struct car *car, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct made_config config = { .ordinal = i, .priority = (uint8_t)i, .segments = 1,
                                            .groups = 3 };
        struct made *m = &car->made[car->made_count++];
        made_open(m, &config);
        for (unsigned n = 0; n < m->groups + 2; n++) {
            struct recorder_piece piece = made_piece(m, n);
            assert_int_equal(clipstore_put(car->store, &piece, car->now_ns), 0);
        }
    }
}

/* One round of the loop that the daemon runs. */
static void round_trip(struct car *car, int wait_ms)
{
    struct job job;
    struct outcome outcome;

    while (clipstore_next_job(car->store, &job) == 1)
        assert_int_equal(uploader_put(car->uploader, &job, car->now_ns), 0);
    (void)uploader_turn(car->uploader, wait_ms, car->now_ns);
    while (uploader_take(car->uploader, &outcome) == 1)
        clipstore_outcome(car->store, &outcome, car->now_ns);
    (void)clipstore_turn(car->store, car->now_ns);
    car->now_ns += S;
}

static uint64_t delivered(struct car *car)
{
    struct outbox_books books;
    assert_int_equal(clipstore_books(car->store, &books), 0);
    return books.delivered;
}

static void run_until_delivered(struct car *car, uint64_t count, unsigned rounds, int wait_ms)
{
    for (unsigned i = 0; i < rounds && delivered(car) < count; i++)
        round_trip(car, wait_ms);
    if (delivered(car) < count) {
        struct uploader_stats stats;
        uploader_stats(car->uploader, &stats);
        fail_msg("%u of %u clips delivered; %u open, %u waiting; last error '%s'",
                 (unsigned)delivered(car), (unsigned)count, stats.scheduler.open,
                 stats.scheduler.waiting, stats.transport.last_error);
    }
    for (unsigned i = 0; i < 4; i++)
        round_trip(car, 0); /* commits, and the files go */
}

static void expect_no_files(struct car *car)
{
    struct io_names names;
    const struct io io = io_system();

    assert_int_equal(io.ops->list(io.context, car->clips, &names), 0);
    assert_int_equal(names.count, 0);
    io_names_deinit(&names);
}

static void test_clips_go_out_and_are_deleted(void **state)
{
    struct car *car = *state;

    seal(car, CLIPS);
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    run_until_delivered(car, CLIPS, 60, 0);
    for (unsigned i = 0; i < CLIPS; i++) {
        struct far_clip *clip = far_clip(&car->far, car->made[i].header.clip_id);
        assert_true(clip->complete);
        assert_memory_equal(clip->bytes[0], car->made[i].bytes, car->made[i].size);
    }
    assert_int_equal(car->far.listened, 1);
    expect_no_files(car);
    int64_t offset;
    assert_int_equal(clipstore_offset(car->store, 3, &offset), 1);
}

/* Chunks that were acknowledged and lost are asked for, and only they are sent again. */
static void test_only_what_is_missing_is_sent_again(void **state)
{
    struct car *car = *state;
    struct uploader_stats stats;

    seal(car, CLIPS);
    car->far.lose_each = 5;
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    run_until_delivered(car, CLIPS, 400, 0);
    uploader_stats(car->uploader, &stats);
    assert_in_range(stats.chunks_again, CLIPS, stats.chunks_sent / 3);
    assert_true(stats.questions >= CLIPS / 2);
}

static void test_failed_sends_back_off_and_succeed(void **state)
{
    struct car *car = *state;
    struct uploader_stats stats;

    seal(car, CLIPS);
    car->far.fail_each = 3;
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    run_until_delivered(car, CLIPS, 2000, 0);
    uploader_stats(car->uploader, &stats);
    assert_true(stats.backoffs > 0);
}

/* Bit rot on the flash: the clip is parked with its reason, its neighbours go. */
static void test_damaged_segment_is_parked(void **state)
{
    struct car *car = *state;
    char name[JOB_NAME_MAX], path[160];
    struct outbox_clip clip;

    seal(car, 3);
    job_segment_name(car->made[1].header.clip_id, 0, name);
    (void)snprintf(path, sizeof path, "%s/%s", car->clips, name);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xff\x00", 2, 3000), 2);
    (void)close(fd);
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    run_until_delivered(car, 2, 60, 0);
    assert_int_equal(clipstore_find(car->store, car->made[1].header.clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_PARKED);
    assert_string_equal(clip.reason, "segment file: its bytes are not those that were sealed");
    assert_false(far_clip(&car->far, car->made[1].header.clip_id)->complete);
}

/* A row that makes no legal manifest is told, with its reason: nothing waits for it unseen. */
static void test_job_that_no_sink_would_take_is_parked(void **state)
{
    struct car *car = *state;
    struct job job;
    struct outcome outcome;
    struct uploader_stats stats;

    seal(car, 1);
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    assert_int_equal(clipstore_next_job(car->store, &job), 1);
    job.sealed = (uint8_t)(job.final.about.segments + 1);
    assert_int_equal(uploader_put(car->uploader, &job, car->now_ns), 0);
    assert_int_equal(uploader_take(car->uploader, &outcome), 1);
    assert_int_equal(outcome.kind, OUTCOME_PARKED);
    assert_memory_equal(outcome.clip_id, job.final.about.clip_id, CLIP_ID_BYTES);
    assert_string_equal(outcome.reason,
                        "the outbox's row makes no legal manifest (2 of 1 segments sealed)");
    uploader_stats(car->uploader, &stats);
    assert_int_equal(stats.parked, 1);
    assert_int_equal(stats.scheduler.clips, 0);
}

/* Descriptors that run out are no fault of the clip: it waits, and goes when there are some again. */
static void test_no_descriptor_left_parks_nothing(void **state)
{
    struct car *car = *state;
    struct rlimit before, none;
    struct outbox_books books;

    seal(car, 2);
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned i = 0; i < 3; i++)
        round_trip(car, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(clipstore_books(car->store, &books), 0);
    assert_int_equal(books.parked, 0);
    assert_int_equal(books.pending, 2);
    run_until_delivered(car, 2, 200, 0);
}

static bool deaf;

static int listen_unless_deaf(void *context, const char *pseudonym,
                              int (*stored)(void *argument, int32_t partition, int64_t *ret_offset),
                              void *argument)
{
    return deaf ? -ETIMEDOUT : far_listen(context, pseudonym, stored, argument);
}

static int receipt_unless_deaf(void *context, struct transport_receipt *ret)
{
    if (deaf)
        ((struct far_end *)context)->receipt_count = 0; /* said, and not heard */
    return deaf ? 0 : far_poll_receipt(context, ret);
}

/* The broker was there for the clips and not for the question where receipts begin: what was
 * answered meanwhile is asked for when they are heard, not in an hour. */
static void test_answers_that_were_not_heard_are_asked_for(void **state)
{
    struct car *car = *state;
    static struct transport_ops ops; /* teardown closes by it */
    struct uploader_stats stats;

    ops = far_ops;
    ops.listen = listen_unless_deaf;
    ops.poll_receipt = receipt_unless_deaf;
    seal(car, CLIPS);
    deaf = true;
    open_asking(car, (struct transport){ &ops, &car->far }, 3600 * S);
    for (unsigned i = 0; i < 40; i++)
        round_trip(car, 0);
    uploader_stats(car->uploader, &stats);
    assert_int_equal(stats.scheduler.waiting, CLIPS);
    assert_int_equal(stats.questions, 0);
    deaf = false;
    run_until_delivered(car, CLIPS, 10, 0);
    uploader_stats(car->uploader, &stats);
    assert_int_equal(stats.questions, CLIPS);
    assert_int_equal(stats.chunks_again, 0);
}

/* A status goes out once, the latest only, again when it was lost, and never counts as a clip. */
static void test_status_goes_out(void **state)
{
    struct car *car = *state;
    struct wire_status status = { .pseudonym = "car-1", .session_id = { 9 },
                                  .state = WIRE_STATE_OK, .version = "1", .generation = 3 };
    struct uploader_stats stats;

    seal(car, 1);
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    uploader_status(car->uploader, &status);
    status.generation = 4;
    uploader_status(car->uploader, &status);
    run_until_delivered(car, 1, 60, 0);
    assert_int_equal(car->far.statuses, 1);
    assert_int_equal(car->far.status.generation, 4);
    car->far.fail_each = 1;
    uploader_status(car->uploader, &status);
    round_trip(car, 0);
    assert_int_equal(car->far.statuses, 1);
    car->far.fail_each = 0;
    for (unsigned i = 0; i < 60 && car->far.statuses < 2; i++)
        round_trip(car, 0);
    assert_int_equal(car->far.statuses, 2);
    uploader_stats(car->uploader, &stats);
    assert_int_equal(stats.statuses, 3);
    assert_int_equal(stats.parked, 0);
}

/* Refused for good by the transport: parked, nothing behind it waits, the reason stays. */
static void test_refused_clip_is_parked(void **state)
{
    struct car *car = *state;
    struct outbox_books books;

    seal(car, 2);
    car->far.refuse = -EMSGSIZE;
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    for (unsigned i = 0; i < 10; i++)
        round_trip(car, 0);
    assert_int_equal(clipstore_books(car->store, &books), 0);
    assert_int_equal(books.parked, 2);
}

/* Artifacts that the store keeps travel before the first clip that names them. */
static void test_artifacts_travel_first(void **state)
{
    struct car *car = *state;
    uint8_t packed[256], bytes[512];
    const char text[] = "BO_ 256 A: 8 X\n";
    struct wire_value value = { .kind = WIRE_ARTIFACT };

    int size = wire_artifact_deflate(text, sizeof text, packed, sizeof packed);
    assert_true(size > 0);
    value.artifact = (struct wire_artifact){ .kind = WIRE_ARTIFACT_DBC, .name = "a.dbc",
                                             .raw_bytes = sizeof text, .size = (uint32_t)size,
                                             .payload = packed };
    value.artifact.sha256[0] = 0xdb; /* the hash that segments.h names */
    size = wire_encode(&value, bytes, sizeof bytes, NULL);
    assert_true(size > 0);
    const struct clipstore_artifact artifact = { bytes, (size_t)size };
    assert_int_equal(clipstore_artifacts(car->store, &artifact, 1), 0);
    seal(car, 2);
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    run_until_delivered(car, 2, 60, 0);
    assert_int_equal(car->far.artifact_count, 1); /* once, for both clips */
    assert_int_equal(car->far.artifacts[0][0], 0xdb);
    struct uploader_stats stats;
    uploader_stats(car->uploader, &stats);
    assert_int_equal(stats.scheduler.artifacts_lost, 1); /* the pack, that nobody kept */
}

/* A sink that is away for weeks: the car asks after a restart, and the clip ends. */
static void test_restart_while_waiting(void **state)
{
    struct car *car = *state;
    struct outbox_clip clip;

    seal(car, 1);
    car->far.mute = true;
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    for (unsigned i = 0; i < 30; i++)
        round_trip(car, 0);
    assert_int_equal(clipstore_find(car->store, car->made[0].header.clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_ACKED);
    assert_true(clip.ask >= 2);
    uploader_close(car->uploader, 0);
    clipstore_forget_jobs(car->store);
    car->far.mute = false;
    uint32_t chunks = car->far.sends;
    open_uploader(car, (struct transport){ &far_ops, &car->far });
    run_until_delivered(car, 1, 10, 0);
    assert_int_equal(car->far.sends, chunks + 1); /* one question, no byte of the clip */
}

/* ---- Drop folder ---- */

static void answer_drop(const char *dir, const struct made *m)
{
    char hex[CLIP_ID_HEX], path[160];
    uint8_t bytes[WIRE_RECEIPT_MAX], sha256[SHA256_BYTES];
    struct wire_value value;

    hex_from(m->header.clip_id, CLIP_ID_BYTES, hex);
    (void)snprintf(path, sizeof path, "%s/%s.manifest", dir, hex);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    assert_int_equal(wire_decode(bytes, (size_t)n, NULL, &value), 0);
    assert_int_equal(value.kind, WIRE_FINAL);
    sha256_of(bytes, (size_t)n, sha256);
    struct wire_value receipt = { .kind = WIRE_RECEIPT };
    receipt.receipt.result = WIRE_COMPLETE;
    memcpy(receipt.receipt.clip_id, m->header.clip_id, CLIP_ID_BYTES);
    memcpy(receipt.receipt.final_sha256, sha256, SHA256_BYTES);
    (void)snprintf(receipt.receipt.pseudonym, PSEUDONYM_MAX, "car-1");
    n = wire_encode(&receipt, bytes, sizeof bytes, NULL);
    (void)snprintf(path, sizeof path, "%s/%s.receipt", dir, hex);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_int_equal(write(fd, bytes, (size_t)n), n);
    (void)close(fd);
}

/* K60, K62: whole files under their names, and the receipt that lets the car delete. */
static void test_drop_folder(void **state)
{
    struct car *car = *state;
    struct transport transport;
    struct err err = { 0 };
    char drop[80], path[160], hex[CLIP_ID_HEX];
    uint8_t bytes[65536];

    (void)snprintf(drop, sizeof drop, "%s/drop", car->dir);
    assert_int_equal(filedrop_open(drop, &err, &transport), -ENOENT);
    assert_non_null(strstr(err.text, "drop folder"));
    assert_int_equal(mkdir(drop, 0755), 0);
    assert_int_equal(filedrop_open(drop, &err, &transport), 0);
    seal(car, 2);
    open_uploader(car, transport);
    for (unsigned i = 0; i < 5; i++)
        round_trip(car, 0);
    for (unsigned i = 0; i < 2; i++) {
        const struct made *m = &car->made[i];
        hex_from(m->header.clip_id, CLIP_ID_BYTES, hex);
        (void)snprintf(path, sizeof path, "%s/%s.rlc", drop, hex);
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, bytes, sizeof bytes), m->size);
        assert_memory_equal(bytes, m->bytes, m->size);
        (void)close(fd);
        (void)snprintf(path, sizeof path, "%s/%s-0.part", drop, hex);
        assert_int_equal(access(path, F_OK), -1);
        answer_drop(drop, m);
    }
    run_until_delivered(car, 2, 5, 0);
    expect_no_files(car);
}

static int put_drop(struct transport *transport, const struct wire_value *value)
{
    static uint8_t bytes[WIRE_ARTIFACT_VALUE_MAX];
    struct transport_report report;
    int size = wire_encode(value, bytes, sizeof bytes, NULL);

    assert_true(size > 0);
    int rc = transport->ops->send(transport->context, &(struct transport_message){
        .value = bytes, .size = (size_t)size, .decoded = value, .opaque = 1 });
    if (rc == 0)
        assert_int_equal(transport->ops->poll_report(transport->context, 0, &report), 1);
    return rc;
}

/* The file holds the encoded value and nothing else; without a value it is not there. */
static void expect_drop(const char *dir, const char *name, const struct wire_value *value)
{
    static uint8_t want[WIRE_ARTIFACT_VALUE_MAX], found[WIRE_ARTIFACT_VALUE_MAX];
    char path[240];

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY);
    if (!value) {
        assert_int_equal(fd, -1);
        return;
    }
    assert_true(fd >= 0);
    int size = wire_encode(value, want, sizeof want, NULL);
    assert_int_equal(read(fd, found, sizeof found), size);
    assert_memory_equal(found, want, (size_t)size);
    (void)close(fd);
}

static unsigned count_names(const char *dir)
{
    struct io_names names;
    const struct io io = io_system();

    assert_int_equal(io.ops->list(io.context, dir, &names), 0);
    unsigned count = (unsigned)names.count;
    io_names_deinit(&names);
    return count;
}

/* K61, K63, K64, K65: what gets a name, when, and what never does. */
static void test_drop_folder_names_only_what_is_whole(void **state)
{
    struct car *car = *state;
    struct transport transport;
    struct transport_receipt receipt;
    struct transport_stats stats;
    struct err err = { 0 };
    char drop[80], hex[SHA256_HEX], name[160];
    uint8_t bytes[5000] = { 1, 2, 3 };
    struct wire_value final = { .kind = WIRE_FINAL }, ask = { .kind = WIRE_QUESTION };

    final.final.about = (struct wire_about){ .clip_id = { 0xab }, .segments = 1, .pseudonym = "car-1" };
    final.final.segments[0] = (struct wire_segment){ .bytes = 4096, .chunk_bytes = 4096 };
    (void)snprintf(drop, sizeof drop, "%s/drop", car->dir);
    assert_int_equal(mkdir(drop, 0755), 0);
    assert_int_equal(filedrop_open(drop, &err, &transport), 0);
    struct wire_value chunk = { .kind = WIRE_CHUNK, .chunk = { .clip_id = { 0xab }, .count = 1,
        .chunk_bytes = 4096, .segment_bytes = 4096, .size = 4096, .payload = bytes } };
    assert_int_equal(put_drop(&transport, &chunk), 0);
    assert_int_equal(put_drop(&transport, &final), -EIO); /* K65: not the SHA-256 of the segment */
    hex_from(final.final.about.clip_id, CLIP_ID_BYTES, hex);
    (void)snprintf(name, sizeof name, "%s.manifest", hex);
    expect_drop(drop, name, NULL);
    (void)snprintf(name, sizeof name, "%s.rlc", hex);
    expect_drop(drop, name, NULL);
    sha256_of(bytes, 4096, final.final.segments[0].sha256);
    assert_int_equal(put_drop(&transport, &final), 0);
    (void)snprintf(name, sizeof name, "%s.manifest", hex);
    expect_drop(drop, name, &final);
    assert_int_equal(count_names(drop), 2); /* K64: .rlc, .manifest; no .new, no .part */
    ask.question = (struct wire_question){ .ask = 4, .final = final.final };
    assert_int_equal(put_drop(&transport, &ask), 0); /* K61: the latest question in its place */
    (void)wire_encode(&final, bytes, sizeof bytes, NULL);
    expect_drop(drop, name, &ask);
    struct wire_value gone = { .kind = WIRE_GONE, .gone = { .clip_id = { 0xab }, .ask = 4,
                               .reason = WIRE_GONE_EVICTED, .pseudonym = "car-1" } };
    assert_int_equal(put_drop(&transport, &gone), 0); /* K63 */
    (void)snprintf(name, sizeof name, "%s.gone", hex);
    expect_drop(drop, name, &gone);
    struct wire_value artifact = { .kind = WIRE_ARTIFACT, .artifact = { .kind = WIRE_ARTIFACT_DBC,
                                   .name = "a.dbc", .raw_bytes = 4 } };
    sha256_of("abcd", 4, artifact.artifact.sha256);
    int size = wire_artifact_deflate("abcd", 4, bytes, sizeof bytes);
    artifact.artifact.size = (uint32_t)size;
    artifact.artifact.payload = bytes;
    assert_int_equal(put_drop(&transport, &artifact), 0);
    hex_from(artifact.artifact.sha256, SHA256_BYTES, hex);
    (void)snprintf(name, sizeof name, "%s.artifact", hex);
    expect_drop(drop, name, &artifact);
    assert_int_equal(count_names(drop), 4);
    (void)snprintf(name, sizeof name, "%s/%032d.receipt.new", drop, 7); /* K64 */
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    (void)close(fd);
    assert_int_equal(transport.ops->poll_receipt(transport.context, &receipt), 0);
    transport.ops->stats(transport.context, &stats);
    assert_int_equal(stats.receipts + stats.receipts_bad, 0);
    transport.ops->close(transport.context, 0);
}

/* ---- Kafka ---- */

#define ENV "test"
#define CLIP_TOPIC "roadloop.test.clip.v1"
#define RECEIPT_TOPIC "roadloop.test.receipt.v1"

/* A sink that believes every manifest-final after it has seen as many chunks as it counts. */
static void serve_sink(struct kafka_consumer *consumer, struct kafka_producer *producer,
                       struct far_end *far)
{
    struct kafka_event event;
    struct wire_value value;
    struct kafka_report report;
    uint8_t bytes[WIRE_RECEIPT_MAX], sha256[SHA256_BYTES];

    while (kafka_consumer_poll(consumer, 20, &event) == 1) {
        if (event.kind != KAFKA_MESSAGE)
            continue;
        assert_int_equal(wire_decode(event.value, event.value_size, NULL, &value), 0);
        assert_int_equal(event.place.partition, wire_partition("car-1", 5, 4));
        if (value.kind == WIRE_CHUNK)
            far_keep(far, &value.chunk);
        if (value.kind != WIRE_FINAL && value.kind != WIRE_QUESTION)
            continue;
        sha256_of(event.value, event.value_size, sha256);
        struct wire_value answer = { .kind = WIRE_RECEIPT };
        far_answer(far, value.kind == WIRE_FINAL ? &value.final : &value.question.final,
                   value.kind == WIRE_FINAL ? sha256 : value.question.final_sha256,
                   value.kind == WIRE_FINAL ? 0 : value.question.ask);
        answer.receipt = far->receipts[--far->receipt_count].receipt;
        int size = wire_encode(&answer, bytes, sizeof bytes, NULL);
        const struct kafka_message message = { .topic = RECEIPT_TOPIC,
                                               .partition = KAFKA_PARTITION_ANY, .key = "car-1",
                                               .key_size = 5, .value = bytes,
                                               .value_size = (size_t)size, .opaque = 1 };
        assert_int_equal(kafka_produce(producer, &message), 0);
        while (kafka_poll_report(producer, 100, &report) != 1) {
        }
    }
}

/* K20 to K29 in one piece: clips through Kafka and receipts back, one chunk of seven lost. */
static void test_through_kafka(void **state)
{
    struct car *car = *state;
    struct kafka_setting quick[] = { { "linger.ms", "0" } };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct kafka_producer *producer;
    struct kafka_consumer *consumer;
    struct kafka_place places[4];
    struct transport transport;
    struct err err = { 0 };

    (void)rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, 1);
    (void)rd_kafka_mock_topic_create(cluster, CLIP_TOPIC, 4, 1);
    (void)rd_kafka_mock_topic_create(cluster, RECEIPT_TOPIC, 4, 1);
    struct transport_kafka_config config = {
        .kafka = { rd_kafka_mock_cluster_bootstraps(cluster), "car-1", quick, 1 },
        .env = "Bad Env", .receipts = true
    };
    assert_int_equal(transport_kafka_open(&config, &err, &transport), -EINVAL);
    config.env = ENV;
    assert_int_equal(transport_kafka_open(&config, &err, &transport), 0);
    assert_int_equal(kafka_producer_open(&config.kafka, &err, &producer), 0);
    const struct kafka_consumer_config sink = { .kafka = config.kafka, .group = "sink" };
    assert_int_equal(kafka_consumer_open(&sink, &err, &consumer), 0);
    for (int32_t p = 0; p < 4; p++)
        places[p] = (struct kafka_place){ CLIP_TOPIC, p, KAFKA_OFFSET_BEGIN };
    assert_int_equal(kafka_consumer_assign(consumer, places, 4), 0);

    seal(car, CLIPS);
    car->far.lose_each = 7;
    open_uploader(car, transport);
    for (unsigned i = 0; i < 300 && delivered(car) < CLIPS; i++) {
        round_trip(car, 20);
        serve_sink(consumer, producer, &car->far);
    }
    assert_int_equal(delivered(car), CLIPS);
    int64_t offset = 0;
    (void)clipstore_flush(car->store, car->now_ns);
    assert_int_equal(clipstore_offset(car->store, wire_partition("car-1", 5, 4), &offset), 1);
    assert_true(offset >= CLIPS);
    kafka_consumer_close(consumer);
    kafka_producer_close(producer, 0);
    uploader_close(car->uploader, 100);
    car->uploader = NULL;
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
}

static int offset_given(void *argument, int32_t partition, int64_t *ret_offset)
{
    (void)partition;
    *ret_offset = *(int64_t *)argument;
    return 1;
}

static void fill_receipts(const struct kafka_config *kafka, int32_t partition, unsigned count)
{
    struct wire_value value = { .kind = WIRE_RECEIPT };
    struct kafka_producer *producer;
    struct kafka_report report;
    struct err err;
    uint8_t bytes[WIRE_RECEIPT_MAX];
    unsigned reports = 0;

    value.receipt.result = WIRE_COMPLETE;
    (void)snprintf(value.receipt.pseudonym, PSEUDONYM_MAX, "car-1");
    assert_int_equal(kafka_producer_open(kafka, &err, &producer), 0);
    for (unsigned i = 0; i < count;) {
        value.receipt.ask = i;
        int size = wire_encode(&value, bytes, sizeof bytes, NULL);
        const struct kafka_message message = { .topic = RECEIPT_TOPIC, .partition = partition,
            .key = "car-1", .key_size = 5, .value = bytes, .value_size = (size_t)size, .opaque = 1 };
        i += kafka_produce(producer, &message) == 0;
        reports += kafka_poll_report(producer, 0, &report) == 1;
    }
    while (reports < count)
        reports += kafka_poll_report(producer, 100, &report) == 1;
    kafka_producer_close(producer, 0);
}

/* Waits for as many as are wanted, then a little for more; returns how many came. */
static unsigned read_receipts(const struct transport_kafka_config *config, int64_t offset,
                              unsigned want, uint32_t *ret_first_ask, uint64_t *ret_skipped)
{
    struct transport transport;
    struct transport_receipt receipt;
    struct transport_stats stats;
    struct err err;
    unsigned count = 0;

    assert_int_equal(transport_kafka_open(config, &err, &transport), 0);
    int rc = -1;
    for (int i = 0; i < 100 && rc; i++)
        rc = transport.ops->listen(transport.context, "car-1", offset_given, &offset);
    assert_int_equal(rc, 0);
    for (int turn = 0, more = 0; turn < 800 && more < 20; turn++, more += count >= want) {
        while (transport.ops->poll_receipt(transport.context, &receipt) == 1)
            if (!count++)
                *ret_first_ask = receipt.receipt.ask;
        (void)usleep(25000);
    }
    transport.ops->stats(transport.context, &stats);
    *ret_skipped = stats.receipts_skipped;
    transport.ops->close(transport.context, 0);
    return count;
}

/* K51: from the stored offset; more than 10,000 behind, or at a place that the log does not have, the
 * car goes to the end, counts what it passes over, and asks. */
static void test_receipts_are_read_from_the_stored_offset(void **state)
{
    struct kafka_setting quick[] = { { "linger.ms", "5" } };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int32_t own = wire_partition("car-1", 5, 4);
    uint32_t ask = 0;
    uint64_t skipped;

    (void)state;
    (void)rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, 1);
    (void)rd_kafka_mock_topic_create(cluster, RECEIPT_TOPIC, 4, 1);
    const struct transport_kafka_config config = {
        .kafka = { rd_kafka_mock_cluster_bootstraps(cluster), "car-1", quick, 1 },
        .env = ENV, .receipts = true
    };
    fill_receipts(&config.kafka, (own + 1) % 4, 5); /* another car's partition is never read */
    fill_receipts(&config.kafka, own, TRANSPORT_KAFKA_BEHIND_MAX + 1);
    assert_int_equal(read_receipts(&config, TRANSPORT_KAFKA_BEHIND_MAX - 2, 3, &ask,
                                   &skipped), 3);
    assert_int_equal(ask, TRANSPORT_KAFKA_BEHIND_MAX - 2);
    assert_int_equal(skipped, 0);
    assert_int_equal(read_receipts(&config, 0, 0, &ask, &skipped), 0);
    assert_int_equal(skipped, TRANSPORT_KAFKA_BEHIND_MAX + 1);
    assert_int_equal(read_receipts(&config, 99999, 0, &ask, &skipped), 0);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clips_go_out_and_are_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_what_is_missing_is_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_sends_back_off_and_succeed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_segment_is_parked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job_that_no_sink_would_take_is_parked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptor_left_parks_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_that_were_not_heard_are_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_status_goes_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_clip_is_parked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_artifacts_travel_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop_folder_names_only_what_is_whole, setup,
                                        teardown),
        cmocka_unit_test(test_receipts_are_read_from_the_stored_offset),
        cmocka_unit_test_setup_teardown(test_through_kafka, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
