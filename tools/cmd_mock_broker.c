/* roadloop mock-broker: librdkafka's mock cluster in a process of its own, for the demo and the
 * end-to-end tests. It keeps everything in memory, has no security and no retention: never for a
 * fleet. Commands come on standard input, one a line; the end of the input ends it. */
#include "tools/cmd.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROKERS_MAX 8
#define LINE_MAX_BYTES 256

static const char usage[] =
    "usage: roadloop mock-broker [--brokers N] [--topic NAME[:PARTITIONS]]...\n"
    "A Kafka cluster in memory, for demos and tests. Prints the bootstrap servers on the first\n"
    "line, then answers commands from standard input with 'ok' or 'error TEXT':\n"
    "  down [BROKER]     closes connections and refuses new ones (all brokers without a number)\n"
    "  up [BROKER]\n"
    "  rtt MS [BROKER]   answers take that much longer\n"
    "  topic NAME[:PARTITIONS]\n"
    "  leader TOPIC PARTITION BROKER\n"
    "  fail APIKEY CODE [COUNT]   the next COUNT requests of that API get this error code\n"
    "  quit\n";

struct mock {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
    int brokers;
};

static int mock_open(struct mock *mock, int brokers, struct err *err)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    mock->brokers = brokers;
    /* Its own handle has no broker to talk to and would warn about that. */
    (void)rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
    mock->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!mock->rk) {
        rd_kafka_conf_destroy(conf);
        return err_plain(err, -EIO, "%s", reason);
    }
    mock->cluster = rd_kafka_mock_cluster_new(mock->rk, brokers);
    return mock->cluster ? 0 : err_plain(err, -EIO, "librdkafka made no mock cluster");
}

static void mock_close(struct mock *mock)
{
    if (mock->cluster)
        rd_kafka_mock_cluster_destroy(mock->cluster);
    if (mock->rk)
        rd_kafka_destroy(mock->rk);
}

/* "name" or "name:partitions". */
static const char *make_topic(struct mock *mock, const char *text)
{
    char name[LINE_MAX_BYTES];
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    long partitions = colon ? strtol(colon + 1, NULL, 10) : 4;

    if (size == 0 || size >= sizeof name || partitions < 1 || partitions > 1024)
        return "expected NAME[:PARTITIONS], 1 to 1024 partitions";
    memcpy(name, text, size);
    name[size] = '\0';
    if (rd_kafka_mock_topic_create(mock->cluster, name, (int)partitions, 1) != 0)
        return "cannot make the topic (it may exist)";
    return NULL;
}

typedef rd_kafka_resp_err_t broker_call(rd_kafka_mock_cluster_t *, int32_t);

static const char *each_broker(struct mock *mock, long broker, broker_call *call)
{
    for (int32_t id = 1; id <= mock->brokers; id++)
        if ((broker == 0 || broker == id) && call(mock->cluster, id) != 0)
            return "no such broker";
    return broker > mock->brokers || broker < 0 ? "no such broker" : NULL;
}

static const char *set_rtt(struct mock *mock, long ms, long broker)
{
    if (ms < 0 || ms > 600000)
        return "expected 0 to 600000 ms";
    for (int32_t id = 1; id <= mock->brokers; id++)
        if (broker == 0 || broker == id)
            (void)rd_kafka_mock_broker_set_rtt(mock->cluster, id, (int)ms);
    return NULL;
}

static const char *fail_requests(struct mock *mock, long api, long code, long count)
{
    if (api < 0 || api > 100 || count < 0 || count > 1000)
        return "expected APIKEY 0 to 100, COUNT at most 1000";
    for (long i = 0; i < (count ? count : 1); i++)
        rd_kafka_mock_push_request_errors(mock->cluster, (int16_t)api, 1,
                                          (rd_kafka_resp_err_t)code);
    return NULL;
}

/* NULL when done, else what was wrong. */
static const char *obey(struct mock *mock, const char *line, bool *quit)
{
    char word[16] = "", name[LINE_MAX_BYTES] = "";
    long a = 0, b = 0, c = 0;
    int fields = sscanf(line, "%15s", word);

    if (fields < 1)
        return NULL;
    if (!strcmp(word, "quit")) {
        *quit = true;
        return NULL;
    }
    if (!strcmp(word, "topic"))
        return sscanf(line, "%*s %255s", name) == 1 ? make_topic(mock, name) : "expected a name";
    if (!strcmp(word, "leader"))
        return sscanf(line, "%*s %255s %ld %ld", name, &a, &b) == 3 &&
                       rd_kafka_mock_partition_set_leader(mock->cluster, name, (int32_t)a,
                                                          (int32_t)b) == 0
                   ? NULL
                   : "expected TOPIC PARTITION BROKER";
    (void)sscanf(line, "%*s %ld %ld %ld", &a, &b, &c);
    if (!strcmp(word, "down"))
        return each_broker(mock, a, rd_kafka_mock_broker_set_down);
    if (!strcmp(word, "up"))
        return each_broker(mock, a, rd_kafka_mock_broker_set_up);
    if (!strcmp(word, "rtt"))
        return set_rtt(mock, a, b);
    if (!strcmp(word, "fail"))
        return fail_requests(mock, a, b, c);
    return "no such command (see roadloop mock-broker --help)";
}

static void serve(struct mock *mock)
{
    char line[LINE_MAX_BYTES];
    bool quit = false;

    while (!quit && fgets(line, sizeof line, stdin)) {
        const char *problem = obey(mock, line, &quit);
        (void)printf("%s%s\n", problem ? "error " : "ok", problem ? problem : "");
        (void)fflush(stdout);
    }
}

static int parse_and_run(struct mock *mock, int argc, char **argv, struct err *err)
{
    int brokers = 1;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc || (strcmp(argv[i], "--brokers") && strcmp(argv[i], "--topic")))
            return err_plain(err, -EINVAL, "found '%s', expected --brokers N or --topic NAME",
                             argv[i]);
        if (!strcmp(argv[i], "--brokers"))
            brokers = (int)strtol(argv[i + 1], NULL, 10);
    }
    if (brokers < 1 || brokers > BROKERS_MAX)
        return err_plain(err, -EINVAL, "--brokers: expected 1 to %d", BROKERS_MAX);
    int rc = mock_open(mock, brokers, err);
    for (int i = 1; !rc && i < argc; i += 2) {
        const char *problem = strcmp(argv[i], "--topic") ? NULL : make_topic(mock, argv[i + 1]);
        if (problem)
            rc = err_plain(err, -EINVAL, "--topic %s: %s", argv[i + 1], problem);
    }
    if (rc)
        return rc;
    (void)printf("%s\n", rd_kafka_mock_cluster_bootstraps(mock->cluster));
    (void)fflush(stdout);
    serve(mock);
    return 0;
}

int cmd_mock_broker(int argc, char **argv)
{
    struct mock mock = { 0 };
    struct err err;

    if (argc > 1 && !strcmp(argv[1], "--help")) {
        (void)fputs(usage, stdout);
        return CMD_GOOD;
    }
    int rc = parse_and_run(&mock, argc, argv, &err);
    mock_close(&mock);
    return rc ? cmd_fail("mock-broker", &err) : CMD_GOOD;
}
