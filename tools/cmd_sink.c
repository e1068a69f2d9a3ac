/* roadloop sink run|status|reexport: the receiving end, its lag, and MCAP made again. */
#include "tools/cmd.h"
#include "tools/cmd_sink.h"
#include "uploader/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define POLL_MS 200
#define FLUSH_MS 5000
#define METRICS_NS INT64_C(2000000000)
#define DEFAULT_GROUP "roadloop-sink"

static const char usage[] =
    "usage: roadloop sink run --dataset DIR --bootstrap HOST:PORT[,...] --env NAME [OPTIONS]\n"
    "       roadloop sink run --dataset DIR --drop DIR [OPTIONS]\n"
    "       roadloop sink status --bootstrap HOST:PORT --env NAME [--group G] [--json]\n"
    "       roadloop sink reexport DATASET [--artifacts DIR] [--all] [CLIP]...\n"
    "run: stores the clips of roadloop.<env>.clip.v1 until SIGTERM.\n"
    "  --group G            consumer group (roadloop-sink); more instances share the load\n"
    "  --partitions 0-3,7   read these by assign(), without joining the group: fast restarts\n"
    "  --drop DIR           also take clips from a folder (transport 'file')\n"
    "  --artifacts DIR      databases and packs by content, for fleets that do not ship them\n"
    "  --cache FILE         chunks of open clips (DATASET.cache); one for each instance\n"
    "  --partial-after S    ask for what is missing so long after a clip's last chunk (900)\n"
    "  --release-after S    put a partial clip down as CLIP.part (4 times --partial-after)\n"
    "  --open-clips N       at a time (4096); --vehicle-clips N of one car (64)\n"
    "  --vehicle-bytes N    declared bytes of one car's open clips (536870912)\n"
    "  --quarantine-bytes N kept of one car's clips that cannot be stored (268435456)\n"
    "  --metrics FILE       OpenMetrics text, every 2 s\n"
    "  --kafka KEY=VALUE    a librdkafka setting (security.protocol, ssl.ca.location, ...);\n"
    "                       KEY.file=PATH and KEY.env=NAME take it from a file or the environment\n"
    "status: committed offset, end and lag of each partition. Exit status 1 when it lags.\n"
    "reexport: CLIP.rN.mcap for clips stored raw-only (--all: every clip, or those named).\n";

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

int64_t cmd_sink_clock(bool wall)
{
    struct timespec now;

    (void)clock_gettime(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- Options ---- */

static int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        return -EINVAL;
    *ret_value = value;
    return 0;
}

/* "0-3,7" */
static int parse_partitions(const char *text, struct cmd_sink_options *o)
{
    while (*text) {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (end == text || first < 0)
            return -EINVAL;
        if (*end == '-') {
            text = end + 1;
            last = strtol(text, &end, 10);
            if (end == text)
                return -EINVAL;
        }
        if (last < first || last > INT32_MAX || (*end && *end != ','))
            return -EINVAL;
        for (long p = first; p <= last; p++) {
            if (o->partition_count == SINK_PARTITIONS_MAX)
                return -ERANGE;
            o->partitions[o->partition_count++] = (int32_t)p;
        }
        text = *end ? end + 1 : end;
    }
    return o->partition_count ? 0 : -EINVAL;
}

struct text_option {
    const char *name;
    const char **to;
};

struct number_option {
    const char *name;
    int64_t *to, min, max;
};

static int take_option(const char *name, char *value, struct cmd_sink_options *o)
{
    const struct text_option texts[] = {
        { "--bootstrap", &o->bootstrap }, { "--env", &o->env },     { "--group", &o->group },
        { "--dataset", &o->dataset },     { "--drop", &o->drop },   { "--artifacts", &o->artifacts },
        { "--cache", &o->cache },         { "--metrics", &o->metrics } };
    const struct number_option numbers[] = {
        { "--partial-after", &o->partial_after_s, 1, 86400 },
        { "--release-after", &o->release_after_s, 1, 864000 },
        { "--open-clips", &o->open_clips, 1, ASSEMBLER_CLIPS_MAX },
        { "--vehicle-clips", &o->vehicle_clips, 1, ASSEMBLER_CLIPS_MAX },
        { "--vehicle-bytes", &o->vehicle_bytes, SEGMENT_BYTES_MAX, INT64_C(1) << 40 },
        { "--quarantine-bytes", &o->quarantine_bytes, 0, INT64_C(1) << 40 } };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!strcmp(name, texts[i].name)) {
            *texts[i].to = value;
            return 0;
        }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (!strcmp(name, numbers[i].name))
            return parse_number(value, numbers[i].min, numbers[i].max, numbers[i].to);
    if (!strcmp(name, "--partitions"))
        return parse_partitions(value, o);
    return !strcmp(name, "--kafka") ? kafka_options_add(&o->kafka, value) : -ENOENT;
}

/* Words that are no options stay in o->words. */
static int parse(int argc, char **argv, struct cmd_sink_options *o, struct err *err)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "--all")) {
            *(argv[i][2] == 'j' ? &o->json : &o->all) = true;
            continue;
        }
        if (argv[i][0] != '-') {
            o->words[o->word_count++] = argv[i];
            continue;
        }
        if (i + 1 == argc)
            return err_plain(err, -EINVAL, "option '%s' needs a value, or is unknown", argv[i]);
        int rc = take_option(argv[i], argv[i + 1], o);
        if (rc)
            return err_plain(err, rc, rc == -ENOENT ? "no option '%s'"
                                                    : "option '%s' does not take '%s'",
                             argv[i], argv[i + 1]);
        i++;
    }
    return 0;
}

/* ---- run ---- */

static void run_config(const struct cmd_sink_options *o, const char *cache,
                       struct sink_config *config)
{
    *config = (struct sink_config){
        .bootstrap = o->bootstrap, .settings = o->kafka.items, .setting_count = o->kafka.count,
        .env = o->env, .group = o->group,
        .partitions = o->partition_count ? o->partitions : NULL,
        .partition_count = o->partition_count, .dataset = o->dataset, .cache = cache,
        .artifacts = o->artifacts, .drop = o->drop,
        .partial_after_ns = o->partial_after_s * NS_PER_S,
        .release_after_ns = (o->release_after_s ? o->release_after_s : 4 * o->partial_after_s) *
                            NS_PER_S,
        .clips_max = (uint32_t)o->open_clips, .vehicle_clips_max = (uint32_t)o->vehicle_clips,
        .vehicle_bytes_max = o->vehicle_bytes, .bytes_max = INT64_C(1) << 40,
        .quarantine_bytes_max = o->quarantine_bytes };
    if (getrandom(&config->member, sizeof config->member, 0) != sizeof config->member)
        config->member = (uint64_t)cmd_sink_clock(true);
}

static void print_summary(const struct sink *sink)
{
    struct sink_stats stats;
    uint64_t refused = 0;

    sink_stats(sink, &stats);
    for (unsigned i = 0; i < SINK_REFUSALS; i++)
        refused += stats.refused[i];
    (void)fprintf(stderr, "roadloop sink: %" PRIu64 " messages, %" PRIu64 " clips stored (%" PRIu64
                  " raw-only), %" PRIu64 " quarantined, %" PRIu64 " dead letters, %u open\n",
                  stats.messages, stats.assembler.stored + stats.drops_stored,
                  stats.publish.raw_only, stats.assembler.quarantined, refused,
                  stats.assembler.open_clips);
}

/* What was said of trouble, so that it is said once and not once a turn. */
struct said {
    char text[ERR_TEXT_MAX];
    uint32_t kinds;    /* mask of trouble.h */
    uint64_t messages; /* taken when a kind was last said */
};

static void print_trouble(const struct sink *sink, struct said *said)
{
    struct sink_stats stats;

    sink_stats(sink, &stats);
    if (stats.messages > said->messages)
        said->kinds = 0; /* it went on since: the same kind would be new */
    if (!strcmp(said->text, stats.last_error))
        return;
    (void)snprintf(said->text, sizeof said->text, "%s", stats.last_error);
    const struct trouble *trouble = trouble_of(said->text);
    uint32_t kind = trouble ? UINT32_C(1) << trouble->index : 0;
    if (!said->text[0] || (said->kinds & kind))
        return;
    said->kinds |= kind;
    said->messages = stats.messages;
    if (trouble)
        (void)fprintf(stderr, "roadloop sink: %s: %s; do: %s\n", trouble->name, said->text,
                      trouble->remedy);
    else
        (void)fprintf(stderr, "roadloop sink: %s\n", said->text);
}

static int loop(struct sink *sink, const char *metrics, struct err *err)
{
    struct said said = { .kinds = 0 };
    int64_t metrics_ns = 0;
    int rc = 0;

    while (!stop_asked && !rc) {
        int64_t now_ns = cmd_sink_clock(false);
        rc = sink_step(sink, now_ns, POLL_MS, err);
        if (now_ns < metrics_ns)
            continue;
        metrics_ns = now_ns + METRICS_NS;
        print_trouble(sink, &said);
        if (metrics && sink_write_metrics(sink, metrics))
            (void)fprintf(stderr, "roadloop sink: metrics cannot be written to %s\n", metrics);
    }
    if (metrics)
        (void)sink_write_metrics(sink, metrics);
    return rc;
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static int run(struct cmd_sink_options *o)
{
    char cache[PATH_MAX];
    struct sink_config config;
    struct sink *sink;
    struct err err;

    if (!o->dataset)
        return cmd_usage("sink run", usage, "--dataset is missing");
    if (!o->bootstrap && !o->drop)
        return cmd_usage("sink run", usage, "--bootstrap or --drop is missing");
    if (o->bootstrap && !o->env)
        return cmd_usage("sink run", usage, "--env is missing");
    if (o->release_after_s && o->release_after_s < o->partial_after_s)
        return cmd_usage("sink run", usage, "--release-after is below --partial-after");
    size_t size = strlen(o->dataset);
    while (size > 1 && o->dataset[size - 1] == '/')
        size--;
    (void)snprintf(cache, sizeof cache, "%.*s.cache", (int)size, o->dataset);
    run_config(o, o->cache ? o->cache : cache, &config);
    catch_signals();
    if (sink_open(&config, cmd_sink_clock(true), &err, &sink))
        return cmd_fail("sink", &err);
    (void)fprintf(stderr, "roadloop sink: ready\n");
    int rc = loop(sink, o->metrics, &err);
    print_summary(sink);
    sink_close(sink, cmd_sink_clock(false), FLUSH_MS);
    return rc ? cmd_fail("sink", &err) : CMD_GOOD;
}

int cmd_sink(int argc, char **argv)
{
    struct cmd_sink_options o = { .group = DEFAULT_GROUP, .partial_after_s = 900,
                                  .open_clips = 4096, .vehicle_clips = 64,
                                  .vehicle_bytes = INT64_C(512) << 20,
                                  .quarantine_bytes = INT64_C(256) << 20 };
    struct err err;
    int status = CMD_BAD;

    if (argc < 2)
        return cmd_usage("sink", usage, "run, status or reexport?");
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help"))
            return fputs(usage, stdout) < 0 ? CMD_BAD : CMD_GOOD;
    o.words = calloc((size_t)argc, sizeof *o.words);
    if (!o.words)
        return CMD_BAD;
    if (parse(argc - 1, argv + 1, &o, &err))
        status = cmd_usage("sink", usage, err.text);
    else if (!strcmp(argv[1], "run"))
        status = o.word_count ? cmd_usage("sink run", usage, "takes options only") : run(&o);
    else if (!strcmp(argv[1], "status"))
        status = o.bootstrap && o.env ? cmd_sink_status(&o)
                                      : cmd_usage("sink status", usage,
                                                  "needs --bootstrap and --env");
    else if (!strcmp(argv[1], "reexport"))
        status = o.word_count ? cmd_sink_reexport(&o)
                              : cmd_usage("sink reexport", usage, "which dataset?");
    else
        status = cmd_usage("sink", usage, "run, status or reexport?");
    free(o.words);
    return status;
}
