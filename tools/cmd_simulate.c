/* roadloop simulate: a fleet in one process, for the load of brokers and sinks. */
#include "daemon/config.h"
#include "tools/cmd.h"
#include "tools/replay.h"
#include "tools/sim/fleet.h"
#include "uploader/transport_kafka.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define INPUTS_MAX 64
#define FILES_MAX (CUTS_MAX * SEGMENTS_MAX)
#define PROGRESS_NS (10 * NS_PER_S)
#define LOOK_NS NS_PER_S      /* at the outboxes, while it waits for the last receipts */
#define NAP_NS (2 * NS_PER_MS)
#define FLUSH_MS 500
#define FDS_VEHICLE 10        /* outbox with its journal, segments being sent */
#define FDS_UPLINK 24         /* sockets and wake-up pipes of a producer and a consumer */
#define MS_A_MINUTE 60000.0

static const char usage[] =
    "usage: roadloop simulate DRIVE|CLIP.rlc... --bootstrap HOST:PORT[,...] --env NAME [OPTIONS]\n"
    "       roadloop simulate DRIVE|CLIP.rlc... --config ROADLOOP.YAML [OPTIONS]\n"
    "Vehicles that send clips of recorded drives, by the uploader, scheduler and outbox of the daemon.\n"
    "  --vehicles N         each with its own key, outbox and receipts (10)\n"
    "  --rate R             clips a minute of each vehicle (1)\n"
    "  --duration S         clips are made for so many seconds (60)\n"
    "  --drain S            then it waits so long for the last receipts (120)\n"
    "  --seed S             which vehicle makes which clip when (1)\n"
    "  --per-connection N   vehicles to a connection, 1 to 10 (10)\n"
    "  --rules PACK, --dbc [BUS=]FILE   what cuts clips out of recordings; again for more\n"
    "  --config FILE        of the daemon: brokers, environment, librdkafka's settings, packs,\n"
    "                       databases, chunk, quota, rate of the link\n"
    "  --kafka KEY=VALUE    a librdkafka setting (security.protocol, ssl.ca.location, ...)\n"
    "  --ask-after S        a clip without a receipt asks after so many seconds (60)\n"
    "  --name PREFIX        of the vehicles: PREFIX-00000, ... (sim)\n"
    "  --state DIR          for the outboxes, made and kept (a folder in TMPDIR, removed)\n"
    "  --json               the books as JSON lines\n"
    "At the end the books of each vehicle: clips made = stored + refused + pending. Exit status: 0\n"
    "they close, 1 they do not, 2 bad input.\n";

struct options {
    const char *inputs[INPUTS_MAX];
    uint32_t input_count;
    struct replay_options cut; /* packs and databases */
    struct config config;      /* of the daemon */
    const char *bootstrap, *env, *name, *state;
    double vehicles, rate, duration_s, drain_s, seed, per_uplink, ask_s;
    bool json;
    struct kafka_setting settings[KAFKA_SETTINGS_MAX];
    uint32_t setting_count;
};

struct simulation {
    const struct options *options;
    char dir[IO_PATH_MAX]; /* outboxes, and clips that were cut */
    const char *paths[FILES_MAX]; /* into names */
    char (*names)[2 * IO_PATH_MAX]; /* FILES_MAX */
    uint32_t path_count;
    struct cuts *cuts;
    struct fleet *fleet;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

static int64_t mono_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- Options ---- */

struct number_option {
    const char *name;
    double *to, min, max;
};

static int take_number(const struct number_option *option, const char *value)
{
    char *end;
    double number = strtod(value, &end);

    if (end == value || *end || !(number >= option->min && number <= option->max))
        return -EINVAL;
    *option->to = number;
    return 0;
}

static int take_setting(struct options *o, char *text)
{
    char *equals = strchr(text, '=');

    if (!equals || o->setting_count == KAFKA_SETTINGS_MAX)
        return -EINVAL;
    *equals = '\0'; /* argv is ours to change */
    o->settings[o->setting_count++] = (struct kafka_setting){ text, equals + 1 };
    return 0;
}

static int take_list(const char **list, uint32_t *count, const char *value)
{
    if (*count == REPLAY_INPUTS_MAX)
        return -EINVAL;
    list[(*count)++] = value;
    return 0;
}

static int take_option(struct options *o, const char *name, char *value)
{
    const struct number_option numbers[] = {
        { "--vehicles", &o->vehicles, 1, FLEET_VEHICLES_MAX },
        { "--rate", &o->rate, 0.001, 6000 },
        { "--duration", &o->duration_s, 0.001, 31536000 },
        { "--drain", &o->drain_s, 0, 31536000 },
        { "--seed", &o->seed, 0, 9007199254740992.0 },
        { "--per-connection", &o->per_uplink, 1, UPLINK_PORTS },
        { "--ask-after", &o->ask_s, 0.1, 86400 } };
    const struct {
        const char *name, **to;
    } texts[] = { { "--bootstrap", &o->bootstrap }, { "--env", &o->env },
                  { "--name", &o->name }, { "--state", &o->state }, { "--config", &o->cut.config } };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (!strcmp(name, numbers[i].name))
            return take_number(&numbers[i], value);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!strcmp(name, texts[i].name)) {
            *texts[i].to = value;
            return 0;
        }
    if (!strcmp(name, "--rules"))
        return take_list(o->cut.packs, &o->cut.pack_count, value);
    if (!strcmp(name, "--dbc"))
        return take_list(o->cut.dbcs, &o->cut.dbc_count, value);
    return !strcmp(name, "--kafka") ? take_setting(o, value) : -ENOENT;
}

static int parse(int argc, char **argv, struct options *o, struct err *err)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) {
            o->json = true;
        } else if (argv[i][0] != '-') {
            if (o->input_count == INPUTS_MAX)
                return err_plain(err, -ERANGE, "more than %d drives and clips", INPUTS_MAX);
            o->inputs[o->input_count++] = argv[i];
        } else if (i + 1 == argc) {
            return err_plain(err, -EINVAL, "option '%s' needs a value, or is unknown", argv[i]);
        } else {
            int rc = take_option(o, argv[i], argv[i + 1]);
            if (rc)
                return err_plain(err, rc, rc == -ENOENT ? "no option '%s'"
                                                        : "option '%s' does not take '%s'",
                                 argv[i], argv[i + 1]);
            i++;
        }
    }
    return o->input_count ? 0 : err_plain(err, -EINVAL, "which drives, or which clips?");
}

/* The daemon's configuration, under what the command line says. */
static int load_config(struct options *o, struct diags *diags, struct err *err)
{
    config_init(&o->config);
    if (o->cut.config && config_load(o->cut.config, diags, &o->config))
        return -EBADMSG;
    for (uint32_t i = 0; i < o->config.upload.setting_count; i++) {
        if (o->setting_count == KAFKA_SETTINGS_MAX)
            return err_plain(err, -ERANGE, "more than %d settings", KAFKA_SETTINGS_MAX);
        o->settings[o->setting_count++] = (struct kafka_setting){
            o->config.upload.settings[i].key, o->config.upload.settings[i].value };
    }
    if (!o->bootstrap)
        o->bootstrap = o->config.upload.brokers;
    if (!o->env && o->cut.config)
        o->env = o->config.upload.environment;
    if (!o->bootstrap[0] || !o->env)
        return err_plain(err, -EINVAL, "%s is missing", o->env ? "--bootstrap" : "--env");
    if (strlen(o->name) > FLEET_PREFIX_MAX)
        return err_plain(err, -EINVAL, "--name: longer than %d bytes", FLEET_PREFIX_MAX);
    return 0;
}

/* ---- Clips ---- */

static int add_path(struct simulation *s, const char *path, struct err *err)
{
    if (s->path_count == FILES_MAX || strlen(path) >= sizeof s->names[0])
        return err_plain(err, -ERANGE, "more than %d segments, or a path of more than %zu bytes",
                         FILES_MAX, sizeof s->names[0]);
    char *name = s->names[s->path_count];
    (void)snprintf(name, sizeof s->names[0], "%s", path);
    s->paths[s->path_count++] = name;
    return 0;
}

/* By name: the segments of a clip stand together, in order. */
static int add_folder(struct simulation *s, const char *dir, struct err *err)
{
    struct dirent **names;
    char path[2 * IO_PATH_MAX];
    int rc = 0, count = scandir(dir, &names, NULL, alphasort);

    if (count < 0)
        return err_at(err, -errno, dir, 0, 0, "cannot be read: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        size_t length = strlen(names[i]->d_name);
        (void)snprintf(path, sizeof path, "%.*s/%s", IO_PATH_MAX, dir, names[i]->d_name);
        if (!rc && length > 4 && !strcmp(names[i]->d_name + length - 4, ".rlc"))
            rc = add_path(s, path, err);
        free(names[i]);
    }
    free(names);
    return rc;
}

/* The engine that the daemon runs cuts the drive; its clips are read back like any others. */
static int cut_drive(struct simulation *s, const char *drive, uint32_t number, struct diags *diags,
                     struct err *err)
{
    struct replay_options options = s->options->cut;
    const struct replay_listener nobody = { 0 };
    struct replay_stats stats;
    char dir[IO_PATH_MAX + 32];

    (void)snprintf(dir, sizeof dir, "%s/drive-%u", s->dir, number);
    options.logs[0] = drive;
    options.log_count = 1;
    options.out = dir;
    int rc = replay_run(&options, &nobody, diags, &stats, err);
    return rc ? rc : add_folder(s, dir, err);
}

static bool is_clip(const char *path)
{
    size_t length = strlen(path);

    return length > 4 && !strcmp(path + length - 4, ".rlc");
}

static int load_clips(struct simulation *s, struct diags *diags, struct err *err)
{
    int rc = 0;

    s->names = calloc(FILES_MAX, sizeof s->names[0]);
    if (!s->names)
        return err_plain(err, -ENOMEM, "no memory for names");
    for (uint32_t i = 0; !rc && i < s->options->input_count; i++) {
        const char *input = s->options->inputs[i];
        rc = is_clip(input) ? add_path(s, input, err) : cut_drive(s, input, i, diags, err);
    }
    if (!rc)
        rc = cuts_load(s->paths, s->path_count, err, &s->cuts);
    return rc;
}

/* ---- The fleet ---- */

static int open_kafka(void *context, const char *client_id, struct transport *ret_transport,
                      struct err *err)
{
    const struct options *o = context;
    const struct transport_kafka_config config = {
        .kafka = { .bootstrap = o->bootstrap, .client_id = client_id, .settings = o->settings,
                   .setting_count = o->setting_count },
        .env = o->env, .receipts = true };

    return transport_kafka_open(&config, err, ret_transport);
}

/* Each vehicle and connection holds descriptors: the limit is raised as far as it goes. */
static int raise_descriptors(const struct options *o, struct err *err)
{
    struct rlimit limit;
    double need = o->vehicles * FDS_VEHICLE +
                  (o->vehicles / o->per_uplink + 1) * FDS_UPLINK + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return err_plain(err, -errno, "limit of descriptors: %s", strerror(errno));
    if ((double)limit.rlim_cur >= need)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if ((double)limit.rlim_cur >= need / 2) /* most vehicles send nothing at any moment */
        return 0;
    return err_plain(err, -EMFILE, "%.0f vehicles need %.0f descriptors, this process may have %llu: "
                     "raise it (ulimit -n), or start several with fewer vehicles and other names",
                     o->vehicles, need / 2, (unsigned long long)limit.rlim_cur);
}

static int open_fleet(struct simulation *s, struct err *err)
{
    const struct options *o = s->options;
    struct fleet_config config = {
        .prefix = o->name, .dir = s->dir, .vehicles = (uint32_t)o->vehicles,
        .per_uplink = (uint32_t)o->per_uplink,
        .period_ns = (int64_t)(MS_A_MINUTE / o->rate * (double)NS_PER_MS),
        .duration_ns = (int64_t)(o->duration_s * (double)NS_PER_S), .seed = (uint64_t)o->seed,
        .vehicle = { .chunk_bytes = (uint32_t)o->config.store.chunk_bytes,
                     .quota_bytes = o->config.store.quota_bytes,
                     .rate = { o->config.upload.rate_bytes, o->config.upload.burst_bytes },
                     .ask_first_ns = (int64_t)(o->ask_s * (double)NS_PER_S) },
        .open_transport = open_kafka, .context = (void *)(uintptr_t)o };
    int rc = raise_descriptors(o, err);

    return rc ? rc : fleet_open(&config, s->cuts, mono_ns(), err, &s->fleet);
}

static void print_progress(const struct simulation *s, double seconds)
{
    struct fleet_stats t;

    if (fleet_stats(s->fleet, &t))
        return;
    (void)fprintf(stderr, "%6.0f s: %u vehicles, %u connections (%u up), %" PRIu64 " of %" PRIu64
                  " clips made, %" PRIu64 " stored, %" PRIu64 " refused, %" PRIu64
                  " pending, %.1f MB sent, %.1f s behind\n", seconds, t.vehicles, t.uplinks,
                  t.connected, t.made, fleet_clips(s->fleet), t.stored, t.refused, t.pending,
                  (double)t.sent_bytes / 1e6, (double)t.behind_ns / 1e9);
}

/* All clips are made, and none is pending or the time for that is over. */
static bool is_done(const struct simulation *s, bool over)
{
    struct fleet_stats t;

    return fleet_stats(s->fleet, &t) == 0 && t.due >= fleet_clips(s->fleet) &&
           (over || t.pending == 0);
}

static void run(const struct simulation *s)
{
    const struct timespec nap = { 0, NAP_NS };
    const struct options *o = s->options;
    int64_t start_ns = mono_ns(), now_ns = start_ns;
    int64_t made_ns = start_ns + (int64_t)(o->duration_s * (double)NS_PER_S);
    int64_t end_ns = made_ns + (int64_t)(o->drain_s * (double)NS_PER_S);
    int64_t look_ns = made_ns, progress_ns = start_ns + PROGRESS_NS;

    for (; !stop_asked; now_ns = mono_ns()) {
        if (!fleet_step(s->fleet, true, now_ns))
            (void)nanosleep(&nap, NULL);
        if (now_ns >= progress_ns) {
            print_progress(s, (double)(now_ns - start_ns) / 1e9);
            progress_ns += PROGRESS_NS;
        }
        if (now_ns < look_ns)
            continue;
        look_ns = now_ns + LOOK_NS;
        if (is_done(s, now_ns >= end_ns))
            break;
    }
    print_progress(s, (double)(now_ns - start_ns) / 1e9);
}

/* ---- The end ---- */

static void print_json(const char *name, const struct vehicle_books *b)
{
    (void)printf("{\"vehicle\": \"%s\", \"made\": %" PRIu64 ", \"stored\": %" PRIu64
                 ", \"refused\": %" PRIu64 ", \"pending\": %" PRIu64 ", \"receipts\": %" PRIu64
                 ", \"sent_bytes\": %" PRIu64 ", \"chunks_again\": %" PRIu64
                 ", \"questions\": %" PRIu64 ", \"close\": %s}\n",
                 name, b->made, b->stored, b->refused, b->pending, b->receipts, b->sent_bytes,
                 b->chunks_again, b->questions, b->close ? "true" : "false");
}

static void print_row(const char *name, const struct vehicle_books *b)
{
    (void)printf("%-24s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %12" PRIu64
                 " %9" PRIu64 " %9" PRIu64 "  %s\n",
                 name, b->made, b->stored, b->refused, b->pending, b->receipts, b->sent_bytes,
                 b->chunks_again, b->questions, b->close ? "closes" : "DOES NOT CLOSE");
}

static int print_books(const struct simulation *s)
{
    struct vehicle_books sum = { .close = true }, b;
    bool json = s->options->json;
    const char *name;

    if (!json)
        (void)printf("%-24s %9s %9s %9s %9s %9s %12s %9s %9s\n", "vehicle", "made", "stored",
                     "refused", "pending", "receipts", "bytes sent", "again", "questions");
    for (uint32_t i = 0; i < (uint32_t)s->options->vehicles; i++) {
        if (fleet_books(s->fleet, i, &name, &b))
            return CMD_NO;
        (json ? print_json : print_row)(name, &b);
        sum.made += b.made;
        sum.stored += b.stored;
        sum.refused += b.refused;
        sum.pending += b.pending;
        sum.receipts += b.receipts;
        sum.sent_bytes += b.sent_bytes;
        sum.chunks_again += b.chunks_again;
        sum.questions += b.questions;
        sum.close &= b.close;
    }
    (json ? print_json : print_row)("all", &sum);
    return sum.close ? CMD_GOOD : CMD_NO;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path);
}

static int make_dir(struct simulation *s, struct err *err)
{
    const char *parent = getenv("TMPDIR");

    if (s->options->state) {
        (void)snprintf(s->dir, sizeof s->dir, "%s", s->options->state);
        if (strlen(s->options->state) < 400 && mkdir(s->dir, 0750) == 0)
            return 0;
        return err_at(err, -errno, s->options->state, 0, 0, "cannot be made (a run begins in a new "
                      "folder): %s", strerror(errno));
    }
    (void)snprintf(s->dir, sizeof s->dir, "%.300s/roadloop-simulate-XXXXXX",
                   parent && parent[0] ? parent : "/tmp");
    return mkdtemp(s->dir) ? 0 : err_at(err, -errno, s->dir, 0, 0, "cannot be made: %s",
                                        strerror(errno));
}

static void close_all(struct simulation *s)
{
    fleet_close(s->fleet, FLUSH_MS);
    cuts_close(s->cuts);
    free(s->names);
    if (s->dir[0] && !s->options->state)
        (void)nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static int simulate(const struct options *o, struct diags *diags, struct err *err)
{
    struct simulation s = { .options = o };
    int status = CMD_BAD, rc = make_dir(&s, err);

    if (rc)
        s.dir[0] = '\0';
    if (!rc)
        rc = load_clips(&s, diags, err);
    if (!rc)
        rc = open_fleet(&s, err);
    if (!rc) {
        (void)fprintf(stderr, "%u clips of %u drives and files; %.0f vehicles make %" PRIu64
                      " clips in %.0f s\n", cuts_count(s.cuts), o->input_count, o->vehicles,
                      fleet_clips(s.fleet), o->duration_s);
        run(&s);
        status = print_books(&s);
    }
    close_all(&s);
    return status;
}

int cmd_simulate(int argc, char **argv)
{
    static struct diags diags;
    static struct options o = { .name = "sim", .vehicles = 10, .rate = 1, .duration_s = 60,
                                .drain_s = 120, .seed = 1, .per_uplink = UPLINK_PORTS,
                                .ask_s = 60 };
    struct err err = { 0 };

    if (argc > 1 && !strcmp(argv[1], "--help"))
        return fputs(usage, stdout) < 0 ? CMD_BAD : CMD_GOOD;
    if (parse(argc, argv, &o, &err) || load_config(&o, &diags, &err)) {
        diags_print(&diags, stderr);
        return err.text[0] ? cmd_usage("simulate", usage, err.text) : CMD_BAD;
    }
    catch_signals();
    int status = simulate(&o, &diags, &err);
    diags_print(&diags, stderr);
    return err.text[0] && status == CMD_BAD ? cmd_fail("simulate", &err) : status;
}
