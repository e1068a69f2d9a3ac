/* roadloop check: do packs and databases load, and what does each rule cost and promise. */
#include "daemon/generation.h"
#include "proto/json.h"
#include "tools/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUTS_MAX 64
#define LINE_BYTES 16384
#define DURATION_TEXT 32

static const char usage[] =
    "usage: roadloop check PACK... [--dbc [BUS=]FILE]... [--strict] [--json]\n"
    "\n"
    "Compiles the packs against the databases and lists, for each rule, the clip around its events,\n"
    "its memory (how far before a clip's begin a sample can matter) and whether every clip of it\n"
    "replays to the same events: it does when the memory is no longer than the clip's pre-roll.\n"
    "--strict refuses what a database should not contain. Exit status: 0 good, 1 a pack or database\n"
    "has errors, 2 bad input.\n";

struct check {
    const char *packs[INPUTS_MAX], *dbcs[INPUTS_MAX];
    uint32_t pack_count, dbc_count;
    bool strict, json;
};

/* The memory that lies before the begin of a clip is covered by its seeds and saved states as far
 * as it is no longer than the pre-roll. */
static bool promise_holds(const struct rule *rule)
{
    return rule->memory_ns >= 0 && rule->memory_ns <= rule->pre_ns;
}

/* "1.5s", "200ms", "unbounded". */
static const char *duration_text(int64_t ns, char text[DURATION_TEXT])
{
    if (ns < 0)
        (void)snprintf(text, DURATION_TEXT, "unbounded");
    else if (ns % NS_PER_S == 0)
        (void)snprintf(text, DURATION_TEXT, "%" PRId64 "s", ns / NS_PER_S);
    else if (ns % NS_PER_MS == 0)
        (void)snprintf(text, DURATION_TEXT, "%" PRId64 "ms", ns / NS_PER_MS);
    else
        (void)snprintf(text, DURATION_TEXT, "%" PRId64 "ns", ns);
    return text;
}

/* --- as text --- */

static void text_rule(const struct rule *rule)
{
    char pre[DURATION_TEXT], post[DURATION_TEXT], memory[DURATION_TEXT];

    (void)printf("%-40s %3u %8s %8s %10s  %s%s\n", rule->id, rule->priority,
                 duration_text(rule->pre_ns, pre), duration_text(rule->post_ns, post),
                 duration_text(rule->memory_ns, memory),
                 promise_holds(rule) ? "yes" : "no: its memory is longer than pre",
                 rule->enabled ? "" : " (disabled)");
}

static void text_all(const struct generation *generation)
{
    const struct ruleset *rules = generation->rules;
    struct ruleset_size size = ruleset_size(rules);

    (void)printf("%-40s %3s %8s %8s %10s  %s\n", "RULE", "PRI", "PRE", "POST", "MEMORY",
                 "CLIPS REPLAY THE SAME");
    for (uint32_t i = 0; i < ruleset_count(rules); i++)
        text_rule(ruleset_rule(rules, i));
    (void)printf("%u rules read %u signals of %u messages; %u nodes, %zu bytes of memory\n",
                 size.rules, size.signals, size.messages, size.nodes, size.engine_bytes);
}

/* --- as JSON lines --- */

static void json_text(struct json_text *line, const char *key, const char *value)
{
    json_printf(line, ",\"%s\":", key);
    json_quote(line, value);
}

static void json_rule(const struct rule *rule, char *bytes)
{
    struct json_text line = { bytes, LINE_BYTES, 0 };
    char hash[SHA256_HEX];

    hex_from(rule->hash, SHA256_BYTES, hash);
    json_printf(&line, "{\"item\":\"rule\"");
    json_text(&line, "rule", rule->id);
    json_text(&line, "file", rule->file);
    json_printf(&line, ",\"line\":%u,\"column\":%u,\"priority\":%u,\"enabled\":%s", rule->line,
                rule->column, rule->priority, rule->enabled ? "true" : "false");
    json_printf(&line, ",\"pre_ns\":%" PRId64 ",\"post_ns\":%" PRId64, rule->pre_ns,
                rule->post_ns);
    if (rule->memory_ns < 0)
        json_printf(&line, ",\"memory_ns\":null");
    else
        json_printf(&line, ",\"memory_ns\":%" PRId64, rule->memory_ns);
    json_printf(&line, ",\"replays\":%s", promise_holds(rule) ? "true" : "false");
    json_text(&line, "hash", hash);
    json_printf(&line, "}");
    (void)puts(bytes);
}

static void json_diagnostics(const struct diags *diags, char *bytes)
{
    for (uint32_t i = 0; i < diags->count; i++) {
        const struct diag *diag = &diags->items[i];
        struct json_text line = { bytes, LINE_BYTES, 0 };

        json_printf(&line, "{\"item\":\"%s\"",
                    diag->severity == DIAG_ERROR ? "error" : "warning");
        json_text(&line, "code", diag->err.code);
        json_text(&line, "file", diag->err.file);
        json_printf(&line, ",\"line\":%u,\"column\":%u", diag->err.line, diag->err.column);
        json_text(&line, "text", diag->err.text);
        json_printf(&line, "}");
        (void)puts(bytes);
    }
}

static void json_summary(const struct generation *generation, const struct diags *diags)
{
    struct ruleset_size size = { 0 };
    char pack[SHA256_HEX] = "";

    if (generation) {
        size = ruleset_size(generation->rules);
        hex_from(generation->pack_sha256, SHA256_BYTES, pack);
    }
    (void)printf("{\"item\":\"summary\",\"errors\":%u,\"warnings\":%u,\"rules\":%u,\"signals\":%u,"
                 "\"messages\":%u,\"nodes\":%u,\"engine_bytes\":%zu,\"pack\":\"%s\"}\n",
                 diags->errors, diags->warnings, size.rules, size.signals, size.messages,
                 size.nodes, size.engine_bytes, pack);
}

static int json_all(const struct generation *generation, const struct diags *diags)
{
    char *bytes = malloc(LINE_BYTES);

    if (!bytes)
        return CMD_BAD;
    json_diagnostics(diags, bytes);
    for (uint32_t i = 0; generation && i < ruleset_count(generation->rules); i++)
        json_rule(ruleset_rule(generation->rules, i), bytes);
    json_summary(generation, diags);
    free(bytes);
    return CMD_GOOD;
}

/* --- the command --- */

static int add(const char **list, uint32_t *count, const char *value)
{
    if (!value || *count == INPUTS_MAX)
        return -EINVAL;
    list[(*count)++] = value;
    return 0;
}

static int parse_arguments(int argc, char **argv, struct check *check)
{
    char why[128];

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        int rc = 0;

        if (!strcmp(name, "--json"))
            check->json = true;
        else if (!strcmp(name, "--strict"))
            check->strict = true;
        else if (!strcmp(name, "--dbc"))
            rc = add(check->dbcs, &check->dbc_count, i + 1 < argc ? argv[++i] : NULL);
        else
            rc = name[0] == '-' ? -EINVAL : add(check->packs, &check->pack_count, name);
        if (rc) {
            (void)snprintf(why, sizeof why, "cannot take %.80s", name);
            return cmd_usage("check", usage, why);
        }
    }
    return check->pack_count ? 0 : cmd_usage("check", usage, "needs a pack");
}

int cmd_check(int argc, char **argv)
{
    static struct diags diags;
    struct check check = { 0 };
    struct generation *generation = NULL;

    if (argc > 1 && !strcmp(argv[1], "--help"))
        return (void)fputs(usage, stdout), CMD_GOOD;
    if (parse_arguments(argc, argv, &check))
        return CMD_BAD;
    const struct generation_config config = { .packs = check.packs,
                                              .pack_count = check.pack_count,
                                              .dbcs = check.dbcs,
                                              .dbc_count = check.dbc_count,
                                              .strict = check.strict,
                                              .today_utc_ns = (int64_t)time(NULL) * NS_PER_S };
    int rc = generation_load(&config, &diags, &generation);
    int status = rc == 0 ? CMD_GOOD : rc == -EBADMSG || rc == -ERANGE ? CMD_NO : CMD_BAD;

    if (check.json) {
        if (json_all(generation, &diags))
            status = CMD_BAD;
    } else {
        diags_print(&diags, stderr);
        if (generation)
            text_all(generation);
    }
    generation_close(generation);
    return status;
}
