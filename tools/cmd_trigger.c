/* roadloop trigger: a clip by hand, around now. roadloop reload: the same way. */
#include "daemon/config.h"
#include "proto/json.h"
#include "tools/ask.h"
#include "tools/cmd.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char trigger_usage[] =
    "usage: roadloop trigger [--pre 10s] [--post 10s] [--priority 5] [--note TEXT]\n"
    "                        [--config FILE | --socket PATH]\n"
    "\n"
    "Cuts a clip around now; a priority is 0 to 8. Needs root or the group that control.group names.\n";
static const char reload_usage[] =
    "usage: roadloop reload [--config FILE | --socket PATH]\n"
    "\n"
    "Reads the configuration, packs and databases again and says whether they are in force.\n";

/* The daemon's answer in words. True when it is a yes. */
static bool print_answer(const char *command, const char *answer, const char *yes)
{
    json_t *said = json_loads(answer, 0, NULL);
    const char *error = json_string_value(json_object_get(said, "error"));
    bool good = json_is_true(json_object_get(said, "ok"));

    if (good)
        (void)printf("%s %" JSON_INTEGER_FORMAT "\n", yes,
                     json_integer_value(json_object_get(said, "generation")));
    else
        (void)fprintf(stderr, "roadloop %s: %s\n", command, error ? error : answer);
    json_decref(said);
    return good;
}

/* `yes` is what to say before the generation in force. */
static int send_line(const char *command, const char *socket, const char *config, const char *line,
                     const char *yes)
{
    static char answer[ASK_ANSWER_MAX];
    char path[ASK_PATH_MAX];
    struct err err;

    if (ask_path(socket, config, path, &err) < 0)
        return cmd_fail(command, &err);
    if (ask(path, line, answer, &err) < 0) {
        (void)cmd_fail(command, &err);
        return CMD_NO;
    }
    return print_answer(command, answer, yes) ? CMD_GOOD : CMD_NO;
}

int cmd_trigger(int argc, char **argv)
{
    static const struct option options[] = {
        { "pre", required_argument, NULL, 'a' },     { "post", required_argument, NULL, 'b' },
        { "priority", required_argument, NULL, 'p' },{ "note", required_argument, NULL, 'n' },
        { "config", required_argument, NULL, 'c' },  { "socket", required_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
    };
    const char *socket = NULL, *config = NULL, *note = "";
    int64_t pre_ns = 10 * NS_PER_S, post_ns = 10 * NS_PER_S;
    long priority = 5;
    char bytes[2048], *end = NULL;
    struct json_text line = { bytes, sizeof bytes, 0 };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'a':
        case 'b':
            if (config_duration(optarg, option == 'a' ? &pre_ns : &post_ns) < 0)
                return cmd_usage("trigger", trigger_usage, "a duration is such as 10s or 500ms");
            break;
        case 'p':
            priority = strtol(optarg, &end, 10);
            if (end == optarg || *end || priority < 0 || priority >= PRIORITY_MAX)
                return cmd_usage("trigger", trigger_usage, "a priority is 0 to 8");
            break;
        case 'n': note = optarg; break;
        case 'c': config = optarg; break;
        case 's': socket = optarg; break;
        case 'h': (void)fputs(trigger_usage, stdout); return CMD_GOOD;
        default: return cmd_usage("trigger", trigger_usage, NULL);
        }
    }
    if (optind < argc)
        return cmd_usage("trigger", trigger_usage, "it takes no arguments");
    json_printf(&line, "{\"do\":\"trigger\",\"pre\":%" PRId64 ",\"post\":%" PRId64
                ",\"priority\":%ld,\"note\":", pre_ns, post_ns, priority);
    json_quote(&line, note);
    json_printf(&line, "}");
    if (json_full(&line))
        return cmd_usage("trigger", trigger_usage, "the note is too long");
    return send_line("trigger", socket, config, bytes,
                     "a clip around now is being cut, with the rules of generation");
}

int cmd_reload(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "socket", required_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    const char *socket = NULL, *config = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c': config = optarg; break;
        case 's': socket = optarg; break;
        case 'h': (void)fputs(reload_usage, stdout); return CMD_GOOD;
        default: return cmd_usage("reload", reload_usage, NULL);
        }
    }
    if (optind < argc)
        return cmd_usage("reload", reload_usage, "it takes no arguments");
    return send_line("reload", socket, config, "{\"do\":\"reload\"}", "in force: generation");
}
