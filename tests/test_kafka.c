/* kafka.h against librdkafka's mock cluster in this process. Waits are bounded by deadlines, never
 * by sleeps. Statement numbers (K..) are those of docs/KAFKA.md. */
#include "uploader/kafka.h"

#include "proto/wire.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define TOPIC "roadloop.test.clip.v1"
#define PARTITIONS 4
#define WAIT_MS 15000

struct fixture {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
    struct kafka_setting quick[3];
    struct kafka_config config;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    (void)rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    f->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    f->cluster = rd_kafka_mock_cluster_new(f->rk, 1);
    (void)rd_kafka_mock_topic_create(f->cluster, TOPIC, PARTITIONS, 1);
    f->quick[0] = (struct kafka_setting){ "linger.ms", "0" };
    f->quick[1] = (struct kafka_setting){ "reconnect.backoff.max.ms", "100" };
    f->quick[2] = (struct kafka_setting){ "retry.backoff.ms", "50" };
    f->config = (struct kafka_config){ rd_kafka_mock_cluster_bootstraps(f->cluster), "car-1",
                                       f->quick, 3 };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    rd_kafka_mock_cluster_destroy(f->cluster);
    rd_kafka_destroy(f->rk);
    free(f);
    return 0;
}

static struct kafka_producer *open_producer(struct fixture *f)
{
    struct kafka_producer *producer = NULL;
    struct err err = { 0 };

    assert_int_equal(kafka_producer_open(&f->config, &err, &producer), 0);
    return producer;
}

static struct kafka_consumer *open_consumer(struct fixture *f, const char *group)
{
    const struct kafka_consumer_config config = { .kafka = f->config, .group = group,
                                                  .session_timeout_ms = 6000 };
    struct kafka_consumer *consumer = NULL;
    struct err err = { 0 };

    assert_int_equal(kafka_consumer_open(&config, &err, &consumer), 0);
    return consumer;
}

static int post(struct kafka_producer *producer, const char *key, const void *value, size_t size,
                uint64_t opaque)
{
    static const struct kafka_header headers[] = { { "rl_kind", "chunk", 5 }, { "empty", "", 0 } };
    const struct kafka_message message = { .topic = TOPIC, .partition = KAFKA_PARTITION_ANY,
                                           .key = key, .key_size = strlen(key), .value = value,
                                           .value_size = size, .headers = headers,
                                           .header_count = 2, .opaque = opaque };
    return kafka_produce(producer, &message);
}

static void expect_report(struct kafka_producer *producer, struct kafka_report *report)
{
    for (int left_ms = WAIT_MS; left_ms > 0; left_ms -= 100)
        if (kafka_poll_report(producer, 100, report) == 1)
            return;
    fail_msg("no delivery report in %d ms", WAIT_MS);
}

/* The next event that is not an error or the end of a partition. */
static void expect_event(struct kafka_consumer *consumer, enum kafka_event_kind kind,
                         struct kafka_event *event)
{
    for (int left_ms = WAIT_MS; left_ms > 0; left_ms -= 100)
        if (kafka_consumer_poll(consumer, 100, event) == 1 && event->kind == kind)
            return;
    fail_msg("no event of kind %d in %d ms", kind, WAIT_MS);
}

/* K20, K21: one report for each message, with what was sent coming out on the partition that our
 * own murmur2 gives: librdkafka is the oracle of the partitioner. */
static void test_partitioner_agrees_with_librdkafka(void **state)
{
    struct fixture *f = *state;
    struct kafka_producer *producer = open_producer(f);
    char key[32];

    assert_int_equal(kafka_producer_partitions(producer, TOPIC, WAIT_MS), PARTITIONS);
    for (unsigned i = 0; i < 200; i++) {
        struct kafka_report report;
        size_t size = (size_t)snprintf(key, sizeof key, "%.*s%u", (int)(i % 9), "vehicle_x", i * i);
        assert_int_equal(post(producer, key, "v", 1, i + 1), 0);
        expect_report(producer, &report);
        assert_int_equal(report.opaque, i + 1);
        assert_int_equal(report.result, KAFKA_DONE);
        assert_int_equal(report.partition, wire_partition(key, size, PARTITIONS));
    }
    struct kafka_producer_stats stats;
    kafka_producer_stats(producer, &stats);
    assert_int_equal(stats.done, 200);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.queued_bytes, 0);
    kafka_producer_close(producer, 0);
}

/* K22: key, value, headers and offset arrive unchanged; assign needs no group; the end is told. */
static void test_assigned_consumer_reads_what_was_sent(void **state)
{
    struct fixture *f = *state;
    struct kafka_producer *producer = open_producer(f);
    struct kafka_consumer *consumer = open_consumer(f, "roadloop-car");
    struct kafka_report report;
    struct kafka_event event;
    uint8_t value[70000];

    memset(value, 0xa5, sizeof value);
    assert_int_equal(post(producer, "car-1", value, sizeof value, 7), 0);
    expect_report(producer, &report);
    struct kafka_place place = { TOPIC, report.partition, KAFKA_OFFSET_BEGIN };
    assert_int_equal(kafka_consumer_assign(consumer, &place, 1), 0);
    expect_event(consumer, KAFKA_MESSAGE, &event);
    assert_int_equal(event.place.offset, report.offset);
    assert_int_equal(event.key_size, 5);
    assert_memory_equal(event.key, "car-1", 5);
    assert_int_equal(event.value_size, sizeof value);
    assert_memory_equal(event.value, value, sizeof value);
    assert_int_equal(event.header_count, 2);
    assert_string_equal(event.headers[0].name, "rl_kind");
    assert_memory_equal(event.headers[0].value, "chunk", 5);
    assert_int_equal(event.headers[1].size, 0);
    expect_event(consumer, KAFKA_END, &event);
    assert_int_equal(event.place.partition, report.partition);

    int64_t first, end;
    assert_int_equal(kafka_consumer_bounds(consumer, TOPIC, place.partition, WAIT_MS, &first, &end),
                     0);
    assert_int_equal(end, report.offset + 1);
    end = -1;
    assert_int_equal(kafka_producer_bounds(producer, TOPIC, place.partition, WAIT_MS, &first, &end),
                     0);
    assert_int_equal(end, report.offset + 1);
    kafka_consumer_close(consumer);
    kafka_producer_close(producer, 0);
}

/* K23: offsets are committed by assign()ed members too, and come back after a restart. */
static void test_committed_offset_survives_the_consumer(void **state)
{
    struct fixture *f = *state;
    struct kafka_consumer *consumer = open_consumer(f, "sink");
    struct kafka_place place = { TOPIC, 2, 41 };

    assert_int_equal(kafka_consumer_committed(consumer, &place, 1, WAIT_MS), 0);
    assert_int_equal(place.offset, KAFKA_OFFSET_NONE);
    place.offset = 41;
    assert_int_equal(kafka_consumer_commit(consumer, &place, 1, true), 0);
    kafka_consumer_close(consumer);
    consumer = open_consumer(f, "sink");
    place.offset = 0;
    assert_int_equal(kafka_consumer_committed(consumer, &place, 1, WAIT_MS), 0);
    assert_int_equal(place.offset, 41);
    kafka_consumer_close(consumer);
}

/* K24: an offset that the log does not have is told, not silently replaced. */
static void test_offset_out_of_range_is_told(void **state)
{
    struct fixture *f = *state;
    struct kafka_consumer *consumer = open_consumer(f, "car");
    struct kafka_place place = { TOPIC, 1, 1000 };
    struct kafka_event event;

    assert_int_equal(kafka_consumer_assign(consumer, &place, 1), 0);
    expect_event(consumer, KAFKA_RESET, &event);
    assert_string_equal(event.place.topic, TOPIC);
    assert_int_equal(event.place.partition, 1);
    kafka_consumer_close(consumer);
}

/* K25: a group member is given its partitions and reads after it answered. */
static void test_group_member_gets_all_partitions(void **state)
{
    struct fixture *f = *state;
    struct kafka_producer *producer = open_producer(f);
    struct kafka_consumer *consumer = open_consumer(f, "sink-group");
    const char *const topics[] = { TOPIC };
    struct kafka_place places[PARTITIONS];
    struct kafka_report report;
    struct kafka_event event;

    assert_int_equal(post(producer, "car-1", "x", 1, 1), 0);
    expect_report(producer, &report);
    assert_int_equal(kafka_consumer_subscribe(consumer, topics, 1), 0);
    expect_event(consumer, KAFKA_ASSIGNED, &event);
    assert_int_equal(event.place_count, PARTITIONS);
    memcpy(places, event.places, sizeof places);
    for (unsigned i = 0; i < PARTITIONS; i++)
        places[i].offset = KAFKA_OFFSET_BEGIN;
    assert_int_equal(kafka_consumer_assign(consumer, places, PARTITIONS), 0);
    expect_event(consumer, KAFKA_MESSAGE, &event);
    assert_int_equal(event.place.partition, report.partition);
    assert_int_equal(kafka_consumer_pause(consumer, places, PARTITIONS, true), 0);
    assert_int_equal(kafka_consumer_pause(consumer, places, PARTITIONS, false), 0);
    kafka_consumer_close(consumer);
    kafka_producer_close(producer, 0);
}

/* K26: while the broker is away nothing is reported as done; when it is back, the same message is. */
static void test_broker_away_and_back(void **state)
{
    struct fixture *f = *state;
    struct kafka_producer *producer = open_producer(f);
    struct kafka_report report;

    assert_int_equal(rd_kafka_mock_broker_set_down(f->cluster, 1), 0);
    assert_int_equal(post(producer, "car-1", "x", 1, 5), 0);
    assert_int_equal(kafka_poll_report(producer, 300, &report), 0);
    assert_int_equal(rd_kafka_mock_broker_set_up(f->cluster, 1), 0);
    expect_report(producer, &report);
    assert_int_equal(report.result, KAFKA_DONE);
    kafka_producer_close(producer, 0);
}

/* K27: what cannot be repaired by sending again is told apart from what can. */
static void test_results_are_told_apart(void **state)
{
    struct fixture *f = *state;
    struct kafka_producer *producer = open_producer(f);
    struct kafka_report report;

    rd_kafka_mock_push_request_errors(f->cluster, 0, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(post(producer, "car-1", "x", 1, 1), 0);
    expect_report(producer, &report);
    assert_int_equal(report.result, KAFKA_POISON);
    assert_true(report.reason[0]);
    rd_kafka_mock_push_request_errors(f->cluster, 0, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_int_equal(post(producer, "car-1", "x", 1, 2), 0);
    expect_report(producer, &report);
    assert_int_equal(report.result, KAFKA_RETRY);
    static uint8_t huge[1100000];
    assert_int_equal(post(producer, "car-1", huge, sizeof huge, 3), -EMSGSIZE);
    assert_int_equal(post(producer, "", "x", 1, 4), -EINVAL);
    assert_int_equal(post(producer, "car-1", "x", 1, 0), -EINVAL);
    kafka_producer_close(producer, 0);
}

/* K28: after a fatal error every open message comes back as RETRY and a new handle goes on. */
static void test_fatal_error_makes_the_handle_anew(void **state)
{
    struct fixture *f = *state;
    struct kafka_producer *producer = open_producer(f);
    struct kafka_producer_stats stats;
    struct kafka_report report;
    bool seen[4] = { false };

    assert_int_equal(rd_kafka_mock_broker_set_down(f->cluster, 1), 0);
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(post(producer, "car-1", "x", 1, i), 0);
    kafka_producer_break(producer);
    for (unsigned i = 0; i < 3; i++) {
        expect_report(producer, &report);
        assert_int_equal(report.result, KAFKA_RETRY);
        assert_false(seen[report.opaque]);
        seen[report.opaque] = true;
    }
    assert_int_equal(rd_kafka_mock_broker_set_up(f->cluster, 1), 0);
    assert_int_equal(kafka_poll_report(producer, 0, &report), 0);
    assert_int_equal(post(producer, "car-1", "x", 1, 9), 0);
    expect_report(producer, &report);
    assert_int_equal(report.result, KAFKA_DONE);
    kafka_producer_stats(producer, &stats);
    assert_int_equal(stats.recreated, 1);
    assert_int_equal(stats.queued, 0);
    kafka_producer_close(producer, 0);
}

/* K29: the queue is bounded; beyond it the caller is told to wait. */
static void test_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct kafka_producer *producer = open_producer(f);
    unsigned taken = 0;
    int rc = 0;

    assert_int_equal(rd_kafka_mock_broker_set_down(f->cluster, 1), 0);
    while (taken < 5000 && (rc = post(producer, "car-1", "x", 1, taken + 1)) == 0)
        taken++;
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(taken, 1024);
    kafka_producer_close(producer, 0);
}

/* K30: what the contract rests on cannot be configured away; the rest is passed through. */
static void test_settings_are_passed_through_or_refused(void **state)
{
    static const struct {
        const char *key, *value;
        int want;
        const char *says;
    } cases[] = {
        { "security.protocol", "plaintext", 0, "" },
        { "enable.idempotence", "true", -EINVAL, "fixed by the contract" },
        { "acks", "1", -EINVAL, "fixed by the contract" },
        { "partitioner", "random", -EINVAL, "fixed by the contract" },
        { "plugin.library.paths", "x.so", -EINVAL, "fixed by the contract" },
        { "no.such.key", "1", -EINVAL, "no.such.key" },
        { "ssl.ca.location", "/dev/null", 0, "" },
        { "message.timeout.ms", "many", -EINVAL, "message.timeout.ms" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kafka_setting setting = { cases[i].key, cases[i].value };
        struct kafka_config config = f->config;
        struct kafka_producer *producer = NULL;
        struct err err = { 0 };
        config.settings = &setting;
        config.setting_count = 1;
        assert_int_equal(kafka_producer_open(&config, &err, &producer), cases[i].want);
        assert_non_null(strstr(err.text, cases[i].says));
        kafka_producer_close(producer, 0);
    }
}

/* K31: a value from a file or the environment; an error names the place and never what is in it. */
static void test_secrets_come_from_files_and_the_environment(void **state)
{
    static const struct {
        const char *key, *content;
        int want;
        const char *says;
    } cases[] = {
        { "security.protocol.file", "plaintext\nrest\n", 0, "" },
        { "security.protocol.file", "plaintext", 0, "" },
        { "security.protocol.file", "hush-hush\n", -EINVAL, "security.protocol.file: the value" },
        { "security.protocol.file", "\n", -ENODATA, "its first line is empty" },
        { "acks.file", "1\n", -EINVAL, "fixed by the contract" },
        { "no.such.file", "1\n", -EINVAL, "there is no such setting" },
        { "security.protocol.env", NULL, -ENODATA, "there is no variable" },
        { "security.protocol.file", NULL, -ENOENT, "No such file" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[] = "/tmp/roadloop-test-XXXXXX";
        struct kafka_setting setting = { cases[i].key, path };
        struct kafka_config config = f->config;
        struct kafka_producer *producer = NULL;
        struct err err = { 0 };
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        if (cases[i].content)
            assert_int_equal(write(fd, cases[i].content, strlen(cases[i].content)),
                             strlen(cases[i].content));
        else
            assert_int_equal(unlink(path), 0);
        assert_int_equal(close(fd), 0);
        config.settings = &setting;
        config.setting_count = 1;
        assert_int_equal(kafka_producer_open(&config, &err, &producer), cases[i].want);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_null(strstr(err.text, "hush-hush"));
        kafka_producer_close(producer, 0);
        (void)unlink(path);
    }
    assert_int_equal(setenv("ROADLOOP_TEST_SECRET", "plaintext", 1), 0);
    struct kafka_setting setting = { "security.protocol.env", "ROADLOOP_TEST_SECRET" };
    struct kafka_config config = f->config;
    struct kafka_producer *producer = NULL;
    struct err err = { 0 };
    config.settings = &setting;
    config.setting_count = 1;
    assert_int_equal(kafka_producer_open(&config, &err, &producer), 0);
    kafka_producer_close(producer, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_partitioner_agrees_with_librdkafka, setup, teardown),
        cmocka_unit_test_setup_teardown(test_assigned_consumer_reads_what_was_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_committed_offset_survives_the_consumer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_offset_out_of_range_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_member_gets_all_partitions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broker_away_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_results_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fatal_error_makes_the_handle_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings_are_passed_through_or_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_secrets_come_from_files_and_the_environment, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
