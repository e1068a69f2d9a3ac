/* roadloop where: the state of one clip in the vehicle, and why it was not sent. */
#include "proto/hash.h"
#include "tools/ask.h"
#include "tools/cmd.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

static const char usage[] =
    "usage: roadloop where CLIP [--json] [--config FILE | --socket PATH]\n"
    "\n"
    "CLIP is a clip id (32 hex digits), or the name of one of its files. Exit status: 0 found,\n"
    "1 the vehicle does not know it or no daemon runs.\n";

/* What comes next, for the state that the outbox names. */
static const char *meaning(const char *state)
{
    static const struct { const char *state, *text; } table[] = {
        { "sealed", "on disk, waits for its turn" },
        { "sent", "being sent" },
        { "broker-acked", "the broker has all of it; waits for the sink's receipt" },
        { "receipted", "the sink has it" },
        { "deletable", "delivered; its files go when room is needed" },
        { "parked", "waits for a person: see the reason" },
        { "evicted", "gone: the quota needed its place" },
        { "expired", "gone: older than it may be" },
        { "erased", "gone: erased on request" },
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].state, state) == 0)
            return table[i].text;
    return "";
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

static int print(const char *answer)
{
    json_t *root = json_loads(answer, 0, NULL);
    bool found = root && !json_object_get(root, "error");

    if (!found) {
        (void)fprintf(stderr, "roadloop where: %s\n", root ? text(root, "error") : answer);
    } else {
        (void)printf("%s  %s: %s\n", text(root, "clip"), text(root, "state"),
                     meaning(text(root, "state")));
        (void)printf("  rule %s, priority %lld, %lld of %lld segments, %lld bytes, files %s\n",
                     text(root, "rule"),
                     (long long)json_integer_value(json_object_get(root, "priority")),
                     (long long)json_integer_value(json_object_get(root, "sealed")),
                     (long long)json_integer_value(json_object_get(root, "segments")),
                     (long long)json_integer_value(json_object_get(root, "bytes")),
                     json_is_true(json_object_get(root, "on_disk")) ? "on disk" : "gone");
        if (text(root, "reason")[0])
            (void)printf("  reason: %s\n", text(root, "reason"));
    }
    json_decref(root);
    return found ? CMD_GOOD : CMD_NO;
}

/* The id out of "path/ID-0.rlc". */
static bool take_id(const char *argument, char id[CLIP_ID_HEX])
{
    const char *slash = strrchr(argument, '/'), *name = slash ? slash + 1 : argument;
    uint8_t bytes[CLIP_ID_BYTES];

    if (strlen(name) < CLIP_ID_HEX - 1)
        return false;
    memcpy(id, name, CLIP_ID_HEX - 1);
    id[CLIP_ID_HEX - 1] = 0;
    return hex_to(id, CLIP_ID_BYTES, bytes) == 0;
}

int cmd_where(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },          { "config", required_argument, NULL, 'c' },
        { "socket", required_argument, NULL, 's' },  { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    static char answer[ASK_ANSWER_MAX];
    const char *socket = NULL, *config = NULL;
    char path[ASK_PATH_MAX], id[CLIP_ID_HEX], line[128];
    bool raw = false;
    struct err err;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'j': raw = true; break;
        case 'c': config = optarg; break;
        case 's': socket = optarg; break;
        case 'h': (void)fputs(usage, stdout); return CMD_GOOD;
        default: return cmd_usage("where", usage, NULL);
        }
    }
    if (argc - optind != 1 || !take_id(argv[optind], id))
        return cmd_usage("where", usage, "it takes one clip id of 32 hex digits");
    if (ask_path(socket, config, path, &err) < 0)
        return cmd_fail("where", &err);
    (void)snprintf(line, sizeof line, "{\"do\":\"where\",\"clip\":\"%s\"}", id);
    if (ask(path, line, answer, &err) < 0) {
        (void)cmd_fail("where", &err);
        return CMD_NO;
    }
    if (!raw)
        return print(answer);
    (void)printf("%s\n", answer);
    return strncmp(answer, "{\"error\"", 8) == 0 ? CMD_NO : CMD_GOOD;
}
