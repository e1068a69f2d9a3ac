/* roadloop status: what the daemon does now, for people, or as its JSON. */
#include "tools/ask.h"
#include "tools/cmd.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: roadloop status [--watch] [--json] [--metrics] [--config FILE | --socket PATH]\n"
    "\n"
    "What the daemon does now; --metrics gives its OpenMetrics text instead. Exit status: 0 all is\n"
    "well, 1 no daemon or something is wrong (a bus is missing, clips are parked, the disk fails).\n";

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

/* Each returns whether all is well with its part. */
static bool print_sources(const json_t *root)
{
    bool well = true;
    size_t i;
    json_t *source;

    json_array_foreach(json_object_get(root, "sources"), i, source) {
        const char *state = text(source, "state");
        (void)printf("  %-12s %-8s", text(source, "name"), state);
        if (json_object_get(source, "frames"))
            (void)printf(" %10" JSON_INTEGER_FORMAT " frames, dropped %" JSON_INTEGER_FORMAT
                         " kernel, %" JSON_INTEGER_FORMAT " queue",
                         number(source, "frames"), number(source, "dropped_kernel"),
                         number(source, "dropped_queue"));
        (void)printf("%s%s\n", text(source, "why")[0] ? ": " : "", text(source, "why"));
        well &= !state[0] || strcmp(state, "up") == 0;
    }
    return well;
}

static bool print_clips(const json_t *root)
{
    static const char *const keys[] = { "opened", "open", "sealed", "delivered", "pending",
                                        "parked", "evicted", "expired", "erased" };
    const json_t *clips = json_object_get(root, "clips");

    (void)printf("clips");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        (void)printf("%s %s %" JSON_INTEGER_FORMAT, i ? "," : "  ", keys[i], number(clips, keys[i]));
    (void)printf(" (events %" JSON_INTEGER_FORMAT ")\n", number(clips, "events"));
    return number(clips, "parked") == 0;
}

static bool print_ends(const json_t *root)
{
    const json_t *store = json_object_get(root, "store"), *upload = json_object_get(root, "upload");
    bool degraded = json_is_true(json_object_get(store, "degraded"));

    (void)printf("store   %s%s%s, %" JSON_INTEGER_FORMAT " bytes on disk\n",
                 degraded ? "DEGRADED" : "good", degraded ? ": " : "", text(store, "reason"),
                 number(store, "disk_bytes"));
    (void)printf("upload  %s, %s, %" JSON_INTEGER_FORMAT " bytes%s%s\n", text(upload, "transport"),
                 json_is_true(json_object_get(upload, "connected")) ? "connected" : "not connected",
                 number(upload, "bytes"), text(upload, "error")[0] ? ", last error: " : "",
                 text(upload, "error"));
    return !degraded;
}

static bool print_status(const json_t *root)
{
    bool well;

    (void)printf("%s  vehicle %s, generation %" JSON_INTEGER_FORMAT ", up %" JSON_INTEGER_FORMAT
                 " s, session %s\n", text(root, "state"), text(root, "vehicle"),
                 number(root, "generation"), number(root, "uptime_ms") / 1000,
                 text(root, "session"));
    if (number(root, "reloads_failed"))
        (void)printf("reload  %" JSON_INTEGER_FORMAT " refused; last: %s\n",
                     number(root, "reloads_failed"), text(root, "reload_error"));
    if (!json_is_true(json_object_get(root, "clock_set")))
        (void)printf("clock   the wall clock is not set\n");
    well = print_sources(root);
    well &= print_clips(root);
    well &= print_ends(root);
    return well;
}

static int show(const char *path, const char *request, bool raw)
{
    static char answer[ASK_ANSWER_MAX];
    struct err err;

    if (ask(path, request, answer, &err) < 0) {
        (void)cmd_fail("status", &err);
        return CMD_NO;
    }
    json_t *root = raw ? NULL : json_loads(answer, 0, NULL);
    if (raw || !root) {
        (void)printf("%s\n", answer);
        return CMD_GOOD;
    }
    bool well = !json_object_get(root, "error") && print_status(root);
    json_decref(root);
    return well ? CMD_GOOD : CMD_NO;
}

int cmd_status(int argc, char **argv)
{
    static const struct option options[] = {
        { "watch", no_argument, NULL, 'w' },         { "json", no_argument, NULL, 'j' },
        { "metrics", no_argument, NULL, 'm' },       { "config", required_argument, NULL, 'c' },
        { "socket", required_argument, NULL, 's' },  { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const char *socket = NULL, *config = NULL, *request = "{\"do\":\"status\"}";
    bool watch = false, raw = false;
    char path[ASK_PATH_MAX];
    struct err err;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'w': watch = true; break;
        case 'j': raw = true; break;
        case 'm': raw = true; request = "{\"do\":\"metrics\"}"; break;
        case 'c': config = optarg; break;
        case 's': socket = optarg; break;
        case 'h': (void)fputs(usage, stdout); return CMD_GOOD;
        default: return cmd_usage("status", usage, NULL);
        }
    }
    if (optind < argc)
        return cmd_usage("status", usage, "it takes no arguments");
    if (ask_path(socket, config, path, &err) < 0)
        return cmd_fail("status", &err);
    for (;;) {
        int status = show(path, request, raw);
        if (!watch)
            return status;
        (void)fflush(stdout);
        (void)sleep(1);
        (void)fputs(isatty(STDOUT_FILENO) && !raw ? "\033[H\033[2J" : "", stdout);
    }
}
