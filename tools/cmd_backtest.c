/* roadloop backtest: what packs would have sent from recorded drives. */
#include "tools/backtest/report.h"
#include "tools/cmd.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOURS_A_DAY 2.0

static const char usage[] =
    "usage: roadloop backtest PACK LOG... [--dbc [BUS=]FILE]... [--rules PACK]... [--corpus FILE]\n"
    "                         [--diff OLDPACK]... [--sweep PARAM=FROM:TO:STEP]\n"
    "                         [--fail-if 'FIGURE > NUMBER']... [--hours-per-day H] [--jobs N]\n"
    "                         [--events] [--json] [--config FILE] [--codec C] [--vehicle NAME]\n"
    "                         [--in FMT] [--progress]\n"
    "\n"
    "Runs the rules over recorded drives, each LOG a drive, several side by side, by the code of the\n"
    "car: events an hour with their exact 95 % interval, clips, MB a day after compression, what was\n"
    "held back and by what, and which rules share clips. --corpus names drives of several vehicle\n"
    "lines. --diff lists the events that this pack gains, loses or moves against an old one. --sweep\n"
    "runs once for each value of a param. --fail-if ends with status 1 when it holds; its figures are\n"
    "events, events_per_hour, suppressed, clips, mb, mb_per_day, and with --diff gained, lost, moved;\n"
    "RULE:FIGURE asks of one rule. A day has 2 hours of driving unless --hours-per-day says otherwise.\n"
    "Exit status: 0 good, 1 a --fail-if holds, 2 bad input.\n";

struct arguments {
    struct backtest backtest;
    struct fail_if conditions[FAIL_IFS_MAX];
    struct report report;
    bool json;
};

static int number(const char *text, double low, double high, double *ret_value)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !isfinite(value) || value < low || value > high)
        return -EINVAL;
    *ret_value = value;
    return 0;
}

static int add_condition(struct arguments *a, const char *text, struct err *err)
{
    if (a->report.condition_count == FAIL_IFS_MAX)
        return err_plain(err, -EINVAL, "at most %d --fail-if", FAIL_IFS_MAX);
    return fail_if_parse(text, &a->conditions[a->report.condition_count++], err);
}

static int take_flag(struct arguments *a, const char *name)
{
    if (!strcmp(name, "--json"))
        a->json = true;
    else if (!strcmp(name, "--events"))
        a->report.events = true;
    else if (!strcmp(name, "--progress"))
        a->backtest.show_progress = true;
    else
        return 0;
    return 1;
}

static int take_lists(struct arguments *a, const char *name, const char *value)
{
    if (!strcmp(name, "--dbc"))
        return backtest_list_add(&a->backtest.dbcs, value);
    if (!strcmp(name, "--diff"))
        return backtest_list_add(&a->backtest.old_packs, value);
    return backtest_list_add(&a->backtest.packs, value);
}

static int take_option(struct arguments *a, const char *name, const char *value, struct err *err)
{
    double jobs;

    if (!strcmp(name, "--rules") || !strcmp(name, "--dbc") || !strcmp(name, "--diff"))
        return take_lists(a, name, value);
    if (!strcmp(name, "--corpus"))
        return backtest_add_corpus(&a->backtest, value, err);
    if (!strcmp(name, "--sweep"))
        return sweep_parse(value, &a->backtest.sweep, err);
    if (!strcmp(name, "--fail-if"))
        return add_condition(a, value, err);
    if (!strcmp(name, "--hours-per-day"))
        return number(value, 0.01, 24, &a->report.hours_a_day);
    if (!strcmp(name, "--jobs")) {
        int rc = number(value, 1, 64, &jobs);
        a->backtest.processes = rc ? 0 : (uint32_t)jobs;
        return rc;
    }
    const char **text = !strcmp(name, "--config") ? &a->backtest.config
                        : !strcmp(name, "--codec") ? &a->backtest.codec
                        : !strcmp(name, "--vehicle") ? &a->backtest.vehicle
                        : !strcmp(name, "--in") ? &a->backtest.format : NULL;
    if (!text)
        return -EINVAL;
    *text = value;
    return 0;
}

/* The first name is the pack, unless --rules or a corpus brings packs: told apart by its ending. */
static int take_name(struct arguments *a, const char *name)
{
    size_t length = strlen(name);
    bool is_pack = length > 5 && (!strcmp(name + length - 5, ".yaml") ||
                                  !strcmp(name + length - 4, ".yml"));

    return is_pack ? take_lists(a, "--rules", name) : backtest_add_log(&a->backtest, name);
}

static int parse_arguments(int argc, char **argv, struct arguments *a)
{
    char why[160];
    struct err err = { 0 };

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = NULL;
        int rc;

        if (name[0] != '-' || !name[1])
            rc = take_name(a, name);
        else if (take_flag(a, name))
            continue;
        else
            rc = (value = i + 1 < argc ? argv[++i] : NULL) ? take_option(a, name, value, &err)
                                                           : -EINVAL;
        if (rc && err.text[0])
            return cmd_fail("backtest", &err);
        if (rc) {
            (void)snprintf(why, sizeof why, "cannot take %.60s %.80s", name, value ? value : "");
            return cmd_usage("backtest", usage, why);
        }
    }
    if (!a->backtest.drive_count)
        return cmd_usage("backtest", usage, "needs a recording");
    if (a->backtest.sweep.count && a->backtest.old_packs.count)
        return cmd_usage("backtest", usage, "--sweep and --diff do not go together");
    return 0;
}

static int run(struct arguments *a)
{
    struct err err = { 0 };
    int rc = backtest_run(&a->backtest, &err);

    if (!rc)
        rc = a->json ? report_json(&a->report, &err) : report_text(&a->report, &err);
    if (rc < 0)
        return err.text[0] ? cmd_fail("backtest", &err) : CMD_BAD;
    return rc ? CMD_NO : CMD_GOOD;
}

int cmd_backtest(int argc, char **argv)
{
    static struct arguments a;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    if (argc > 1 && !strcmp(argv[1], "--help"))
        return (void)fputs(usage, stdout), CMD_GOOD;
    backtest_init(&a.backtest);
    a.backtest.processes = processors < 1 ? 1 : processors > 64 ? 64 : (uint32_t)processors;
    a.backtest.show_progress = isatty(2);
    a.report = (struct report){ &a.backtest, HOURS_A_DAY, false, a.conditions, 0 };
    int rc = parse_arguments(argc, argv, &a);
    if (!rc)
        rc = run(&a);
    backtest_deinit(&a.backtest);
    return rc;
}
