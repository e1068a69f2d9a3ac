/* roadloop retry: parked clips go back into the queue, after a person mended what parked them. */
#include "proto/hash.h"
#include "tools/ask.h"
#include "tools/cmd.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

static const char usage[] =
    "usage: roadloop retry CLIP | --all [--config FILE | --socket PATH]\n"
    "\n"
    "Sends a parked clip (its id, 32 hex digits), or all of them, once more. `roadloop where CLIP` says\n"
    "why it is parked: mend that first. Needs root or the group that control.group names.\n"
    "Exit status: 0 they wait for their turn now, 1 there is none or no daemon runs.\n";

static int print(const char *answer)
{
    json_t *said = json_loads(answer, 0, NULL);
    const char *error = json_string_value(json_object_get(said, "error"));
    long long count = (long long)json_integer_value(json_object_get(said, "clips"));
    bool good = json_is_true(json_object_get(said, "ok")) && count > 0;

    if (good)
        (void)printf("%lld clip%s will be sent again\n", count, count == 1 ? "" : "s");
    else
        (void)fprintf(stderr, "roadloop retry: %s\n",
                      error ? error : said ? "no clip is parked" : answer);
    json_decref(said);
    return good ? CMD_GOOD : CMD_NO;
}

int cmd_retry(int argc, char **argv)
{
    static const struct option options[] = {
        { "all", no_argument, NULL, 'a' },           { "config", required_argument, NULL, 'c' },
        { "socket", required_argument, NULL, 's' },  { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    static char answer[ASK_ANSWER_MAX];
    const char *socket = NULL, *config = NULL;
    char path[ASK_PATH_MAX], line[128] = "{\"do\":\"retry\"}";
    uint8_t id[CLIP_ID_BYTES];
    bool all = false;
    struct err err;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'a': all = true; break;
        case 'c': config = optarg; break;
        case 's': socket = optarg; break;
        case 'h': (void)fputs(usage, stdout); return CMD_GOOD;
        default: return cmd_usage("retry", usage, NULL);
        }
    }
    if (argc - optind != !all)
        return cmd_usage("retry", usage, "it takes one clip id, or --all");
    if (!all && (strlen(argv[optind]) != CLIP_ID_HEX - 1 || hex_to(argv[optind], CLIP_ID_BYTES, id)))
        return cmd_usage("retry", usage, "a clip id has 32 hex digits");
    if (!all)
        (void)snprintf(line, sizeof line, "{\"do\":\"retry\",\"clip\":\"%s\"}", argv[optind]);
    if (ask_path(socket, config, path, &err) < 0)
        return cmd_fail("retry", &err);
    if (ask(path, line, answer, &err) < 0) {
        (void)cmd_fail("retry", &err);
        return CMD_NO;
    }
    return print(answer);
}
