/* The figures behind both forms of a report, and --fail-if. */
#include "tools/backtest/diff.h"
#include "tools/backtest/report.h"
#include "tools/backtest/statistics.h"

#include <errno.h>
#include <string.h>

#define NS_PER_HOUR (3600.0 * NS_PER_S)

enum metric {
    METRIC_EVENTS, METRIC_EVENTS_PER_HOUR, METRIC_SUPPRESSED, METRIC_CLIPS, METRIC_MB,
    METRIC_MB_PER_DAY, METRIC_GAINED, METRIC_LOST, METRIC_MOVED, METRIC_COUNT
};
static const char *const metrics[METRIC_COUNT] = { "events", "events_per_hour", "suppressed",
                                                   "clips", "mb", "mb_per_day", "gained", "lost",
                                                   "moved" };

void figures_of(const struct report *report, const struct tally *tally,
                const struct tally_rule *rule, struct figures *ret_figures)
{
    struct figures f = { .hours = (double)(rule ? rule->driven_ns : tally->driven_ns) / NS_PER_HOUR };
    double low, high;

    for (uint32_t i = 0; tally->rules && i < tally->rule_count; i++) {
        const struct tally_rule *r = &tally->rules[i];
        if (rule && r != rule)
            continue;
        f.events += r->events;
        f.suppressed += tally_suppressed(r);
        f.clips += r->clips;
        f.bytes += r->bytes;
    }
    poisson_interval(f.events, &low, &high);
    if (f.hours > 0) {
        f.a_hour = (double)f.events / f.hours;
        f.low_a_hour = low / f.hours;
        f.high_a_hour = high / f.hours;
        f.mb_a_day = (double)f.bytes / 1e6 / f.hours * report->hours_a_day;
    }
    *ret_figures = f;
}

/* --- --fail-if --- */

int fail_if_parse(const char *text, struct fail_if *ret_condition, struct err *err)
{
    struct fail_if c = { .metric = METRIC_COUNT, .text = text };
    char subject[RULE_NAME_MAX + 32];
    int used = 0;

    if (sscanf(text, " %159[^ <>=!] %2[<>=!] %lf %n", subject, c.relation, &c.bound, &used) != 3 ||
        text[used])
        return err_plain(err, -EINVAL,
                         "--fail-if '%s': a condition is [RULE:]FIGURE RELATION NUMBER, as in "
                         "'mb_per_day > 300'", text);
    const char *colon = strrchr(subject, ':');
    const char *name = colon ? colon + 1 : subject;
    if (colon)
        (void)snprintf(c.rule, sizeof c.rule, "%.*s", (int)(colon - subject), subject);
    for (int i = 0; i < METRIC_COUNT; i++)
        if (!strcmp(metrics[i], name))
            c.metric = i;
    if (c.metric == METRIC_COUNT) {
        const char *near = err_nearest(name, metrics, METRIC_COUNT);
        return err_plain(err, -EINVAL, "--fail-if '%s': no figure '%s'; did you mean '%s'?", text,
                         name, near ? near : "mb_per_day");
    }
    static const char *const relations[] = { "<", "<=", ">", ">=", "==", "!=" };
    for (size_t i = 0; i < sizeof relations / sizeof *relations; i++)
        if (!strcmp(relations[i], c.relation))
            return *ret_condition = c, 0;
    return err_plain(err, -EINVAL, "--fail-if '%s': no relation '%s'; there are < <= > >= == !=",
                     text, c.relation);
}

static bool holds(const struct fail_if *c, double value)
{
    switch (c->relation[0]) {
    case '<': return c->relation[1] ? value <= c->bound : value < c->bound;
    case '>': return c->relation[1] ? value >= c->bound : value > c->bound;
    case '=': return value == c->bound;
    default: return value != c->bound;
    }
}

static double figure(const struct report *report, const struct fail_if *c,
                     const struct tally_rule *rule)
{
    struct figures f;

    figures_of(report, &report->backtest->tallies[0], rule, &f);
    switch (c->metric) {
    case METRIC_EVENTS: return (double)f.events;
    case METRIC_EVENTS_PER_HOUR: return f.a_hour;
    case METRIC_SUPPRESSED: return (double)f.suppressed;
    case METRIC_CLIPS: return (double)f.clips;
    case METRIC_MB: return (double)f.bytes / 1e6;
    default: return f.mb_a_day;
    }
}

static double difference(const struct diff *diff, const struct fail_if *c)
{
    enum diff_kind kind = c->metric == METRIC_GAINED ? DIFF_GAINED
                          : c->metric == METRIC_LOST ? DIFF_LOST : DIFF_MOVED;
    uint64_t count = 0;

    for (size_t i = 0; i < diff->count; i++)
        count += diff->events[i].kind == kind &&
                 (!c->rule[0] || !strcmp(c->rule, diff->events[i].rule));
    return (double)count;
}

static int no_such_rule(const struct tally *tally, const struct fail_if *c, struct err *err)
{
    const char *names[RULES_MAX];
    uint32_t count = 0;

    for (; count < tally->rule_count && count < RULES_MAX; count++)
        names[count] = tally->rules[count].id;
    const char *near = err_nearest(c->rule, names, count);
    return err_plain(err, -EINVAL, "--fail-if '%s': no rule '%s'%s%s%s", c->text, c->rule,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int judge(const struct report *report, const struct diff *diff, const struct fail_if *c,
                 struct err *err)
{
    const struct tally *tally = &report->backtest->tallies[0];
    int32_t rule = c->rule[0] ? tally_find(tally, c->rule) : -1;
    bool is_diff = c->metric >= METRIC_GAINED;

    if (is_diff && !report->backtest->old_packs.count)
        return err_plain(err, -EINVAL, "--fail-if '%s': needs --diff", c->text);
    if (c->rule[0] && rule < 0 && !is_diff)
        return no_such_rule(tally, c, err);
    double value = is_diff ? difference(diff, c)
                           : figure(report, c, rule < 0 ? NULL : &tally->rules[rule]);
    if (!holds(c, value))
        return 0;
    (void)fprintf(stderr, "roadloop backtest: fails, since %s: it is %.6g\n", c->text, value);
    return 1;
}

int report_verdict(const struct report *report, struct err *err)
{
    const struct backtest *backtest = report->backtest;
    struct diff diff = { .count = 0 };
    int verdict = 0;

    if (backtest->old_packs.count && diff_make(&backtest->tallies[0], &backtest->tallies[1], &diff))
        return err_plain(err, -ENOMEM, "no memory");
    for (uint32_t i = 0; verdict >= 0 && i < report->condition_count; i++) {
        int rc = judge(report, &diff, &report->conditions[i], err);
        verdict = rc < 0 || rc > verdict ? rc : verdict;
    }
    diff_deinit(&diff);
    return verdict;
}
