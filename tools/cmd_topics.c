/* roadloop topics create: makes the topics of one environment, or says how those that are there differ. */
#include "tools/cmd.h"
#include "tools/kafka_options.h"
#include "tools/topics.h"
#include "uploader/trouble.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 15000
#define LATE_TRIES 20
#define LATE_NS 250000000
#define PARTITIONS_DEFAULT 12
#define PARTITIONS_MAX KAFKA_PLACES_MAX /* what one sink can read */
#define REPLICATION_MAX 3               /* of a default; more is asked for */

static const char usage[] =
    "usage: roadloop topics create --bootstrap HOST:PORT[,...] --env NAME [OPTIONS]\n"
    "\n"
    "Makes clip, receipt, artifact, status, dataset and dlq of roadloop.<env>.*.v1 as docs/KAFKA.md has them.\n"
    "One that is there is left as it is; what differs is said. A partition count is never changed: the key of a\n"
    "vehicle would go to another partition.\n"
    "  --partitions N       of all but artifact, which has one (12); at most 256\n"
    "  --replication N      copies (as many as brokers, at most 3); from 3 on min.insync.replicas=2\n"
    "  --dry-run            only say what would be done\n"
    "  --kafka KEY=VALUE    a librdkafka setting (security.protocol, ssl.ca.location, ...); KEY.file=PATH and\n"
    "                       KEY.env=NAME take the value from a file or the environment\n"
    "Exit status: 0 all are as they should be, 1 one differs, 2 they cannot be made.\n";

struct options {
    const char *bootstrap, *env;
    long partitions, replication; /* replication 0: by the brokers */
    bool dry_run;
    struct kafka_options kafka;
};

static int parse_count(const char *text, long max, long *ret_value)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end || value < 1 || value > max)
        return -EINVAL;
    *ret_value = value;
    return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        { "bootstrap", required_argument, NULL, 'b' },  { "env", required_argument, NULL, 'e' },
        { "partitions", required_argument, NULL, 'p' }, { "replication", required_argument, NULL, 'r' },
        { "dry-run", no_argument, NULL, 'd' },          { "kafka", required_argument, NULL, 'k' },
        { NULL, 0, NULL, 0 },
    };
    int option, rc = 0;

    while (!rc && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'b': o->bootstrap = optarg; break;
        case 'e': o->env = optarg; break;
        case 'p': rc = parse_count(optarg, PARTITIONS_MAX, &o->partitions); break;
        case 'r': rc = parse_count(optarg, INT16_MAX, &o->replication); break;
        case 'd': o->dry_run = true; break;
        case 'k': rc = kafka_options_add(&o->kafka, optarg); break;
        default: rc = -EINVAL; break;
        }
    }
    return rc || optind < argc || !o->bootstrap || !o->env ? -EINVAL : 0;
}

/* Exit status of one topic that is there. */
static int compare(const struct kafka_topic *wanted, const struct kafka_topic *found)
{
    char lines[TOPICS_DIFFERENCES_MAX][TOPICS_TEXT_MAX];
    uint32_t count = topics_differ(wanted, found, lines);

    (void)printf("%-32s %s\n", wanted->name, count ? "is there and differs" : "is there, as it should be");
    for (uint32_t i = 0; i < count; i++)
        (void)printf("    %s\n", lines[i]);
    if (found->partitions != wanted->partitions)
        (void)printf("    a partition count is not changed: keys would move; use --partitions %d, or a new env\n",
                     found->partitions);
    return count ? CMD_NO : CMD_GOOD;
}

static void print_made(const struct kafka_topic *topic, bool dry_run)
{
    (void)printf("%-32s %s: %d partition%s, %d cop%s", topic->name, dry_run ? "would be made" : "made",
                 topic->partitions, topic->partitions == 1 ? "" : "s", topic->replication,
                 topic->replication == 1 ? "y" : "ies");
    for (uint32_t i = 0; i < topic->config_count; i++)
        (void)printf(", %s=%s", topic->configs[i].key, topic->configs[i].value);
    (void)printf("\n");
}

/* Made a moment ago by somebody else: the broker that we ask has not heard of it yet. */
static int describe_late(struct kafka_admin *admin, struct kafka_topic *found, struct err *err)
{
    const struct timespec pause = { .tv_nsec = LATE_NS };
    int rc = -ENOENT;

    for (int i = 0; i < LATE_TRIES && rc == -ENOENT; i++) {
        (void)nanosleep(&pause, NULL);
        rc = kafka_admin_describe(admin, found, WAIT_MS, err);
    }
    return rc;
}

/* Exit status of one topic, with *err where it is CMD_BAD. */
static int take_topic(struct kafka_admin *admin, const struct kafka_topic *wanted, bool dry_run,
                      struct err *err)
{
    struct kafka_topic found = *wanted;
    bool made = false;

    for (uint32_t i = 0; i < found.config_count; i++)
        found.configs[i].value[0] = '\0';
    int rc = kafka_admin_describe(admin, &found, WAIT_MS, err);
    if (rc == -ENOENT) {
        rc = dry_run ? 0 : kafka_admin_create(admin, wanted, WAIT_MS, err);
        made = rc == 0;
        if (rc == -EEXIST)
            rc = describe_late(admin, &found, err);
    }
    if (rc == 0 && !made)
        return compare(wanted, &found);
    if (rc)
        return CMD_BAD;
    print_made(wanted, dry_run);
    return CMD_GOOD;
}

static int create(const struct options *o, struct err *err)
{
    const struct kafka_config config = { .bootstrap = o->bootstrap, .client_id = "roadloop-topics",
                                         .settings = o->kafka.items,
                                         .setting_count = o->kafka.count };
    struct kafka_admin *admin;
    struct kafka_topic wanted;
    int status = CMD_GOOD;

    if (kafka_admin_open(&config, err, &admin))
        return CMD_BAD;
    int brokers = kafka_admin_brokers(admin, WAIT_MS, err);
    int32_t copies = brokers < REPLICATION_MAX ? brokers : REPLICATION_MAX;
    const struct topics_wish wish = { o->env, (int32_t)o->partitions,
                                      o->replication ? (int32_t)o->replication : copies };
    if (brokers < 0)
        status = CMD_BAD;
    for (int t = 0; t < WIRE_TOPIC_COUNT && status != CMD_BAD; t++) {
        int one = CMD_BAD;
        if (topics_want((enum wire_topic)t, &wish, &wanted))
            (void)err_plain(err, -EINVAL, "environment '%s': expected 1 to 32 of [a-z0-9-]", o->env);
        else
            one = take_topic(admin, &wanted, o->dry_run, err);
        status = one > status ? one : status;
    }
    kafka_admin_close(admin);
    return status;
}

int cmd_topics(int argc, char **argv)
{
    struct options o = { .partitions = PARTITIONS_DEFAULT };
    struct err err;

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help"))
            return fputs(usage, stdout) < 0 ? CMD_BAD : CMD_GOOD;
    if (argc < 2 || strcmp(argv[1], "create"))
        return cmd_usage("topics", usage, "create?");
    if (parse(argc - 1, argv + 1, &o))
        return cmd_usage("topics create", usage, NULL);
    int status = create(&o, &err);
    if (status != CMD_BAD)
        return status;
    (void)cmd_fail("topics create", &err);
    const struct trouble *trouble = trouble_of(err.text);
    if (trouble)
        (void)fprintf(stderr, "    %s: %s\n", trouble->name, trouble->remedy);
    return CMD_BAD;
}
