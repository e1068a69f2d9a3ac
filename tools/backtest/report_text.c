#include "proto/clip_json.h"
#include "tools/backtest/diff.h"
#include "tools/backtest/report.h"
#include "tools/backtest/statistics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DIFFS_SHOWN 40

static void table_line(const struct report *report, const struct tally *tally,
                       const struct tally_rule *rule, const char *name)
{
    struct figures f;
    char interval[48];

    figures_of(report, tally, rule, &f);
    (void)snprintf(interval, sizeof interval, "%.3g to %.3g", f.low_a_hour, f.high_a_hour);
    (void)printf("%-36s %7" PRIu64 " %8.4g  %-18s %6" PRIu64 " %8.3f %9.3f", name, f.events,
                 f.a_hour, interval, f.clips, f.clips ? (double)f.bytes / 1e6 / (double)f.clips : 0,
                 f.mb_a_day);
    for (uint32_t i = 0; rule && i < rule->reason_count; i++)
        (void)printf("%s%" PRIu64 " %s", i ? ", " : "  ", rule->suppressed[i].count,
                     rule->suppressed[i].name);
    (void)printf("\n");
}

static void table(const struct report *report, const struct tally *tally)
{
    (void)printf("%-36s %7s %8s  %-18s %6s %8s %9s  %s\n", "RULE", "EVENTS", "A HOUR", "95 %",
                 "CLIPS", "MB/CLIP", "MB/DAY", "HELD BACK");
    for (uint32_t i = 0; i < tally->rule_count; i++)
        table_line(report, tally, &tally->rules[i], tally->rules[i].id);
    table_line(report, tally, NULL, "all");
}

/* A pair that shares clips pays for them once: without one of the two little is saved. */
static void together(const struct tally *tally)
{
    for (uint32_t a = 0; a < tally->rule_count; a++)
        for (uint32_t b = 0; b < tally->rule_count; b++) {
            uint64_t both = tally_together(tally, a, b), of_a = tally_together(tally, a, a);
            uint64_t of_b = tally_together(tally, b, b);

            if (a == b || !both || of_a > of_b || (of_a == of_b && a > b))
                continue;
            (void)printf("%s is in a clip with %s in %" PRIu64 " of its %" PRIu64 " clips\n",
                         tally->rules[a].id, tally->rules[b].id, both, of_a);
        }
}

static int day(const struct report *report, const struct tally *tally, struct err *err)
{
    struct figures all;
    double p50, p99;

    figures_of(report, tally, NULL, &all);
    if (all.hours <= 0)
        return 0;
    if (day_percentiles(tally->clip_bytes, tally->clip_count,
                        (double)tally->clip_count / all.hours * report->hours_a_day, &p50, &p99))
        return err_plain(err, -ENOMEM, "no memory");
    (void)printf("\nA vehicle that drives %g h a day sends %.3f MB a day: half of its days stay below "
                 "%.3f MB, 99 of 100 below %.3f MB.\n",
                 report->hours_a_day, all.mb_a_day, p50 / 1e6, p99 / 1e6);
    return 0;
}

static void corpus(const struct backtest *backtest)
{
    const struct tally *t = &backtest->tallies[0];
    double hours = (double)t->driven_ns / 3600e9, cpu = 0;

    for (uint32_t v = 0; v < backtest->variant_count; v++)
        cpu += backtest->tallies[v].cpu_seconds;
    (void)printf("%u drives, %.3g h, %" PRIu64 " frames in %.2f s on %u processes: %.0f times real "
                 "time; %.0f ns of CPU a frame\n\n",
                 t->drives, hours, t->frames, backtest->wall_seconds, backtest->processes,
                 backtest->wall_seconds > 0
                     ? hours * 3600 * backtest->variant_count / backtest->wall_seconds : 0,
                 t->frames ? cpu * 1e9 / ((double)t->frames * backtest->variant_count) : 0);
}

static void warnings(const struct backtest *backtest)
{
    const struct tally *t = &backtest->tallies[0];

    if (t->clip_drives)
        (void)printf("\nWarning: %u of %u recordings are clips, moments that some rule chose. Rates "
                     "from them are too high; use whole drives.\n", t->clip_drives, t->drives);
    if (t->driven_ns < INT64_C(3600) * NS_PER_S)
        (void)printf("\nWarning: less than an hour was driven; the interval of a rate is wide. Read "
                     "its upper end.\n");
}

static void events(const struct backtest *backtest)
{
    const struct tally *t = &backtest->tallies[0];

    (void)printf("\n");
    for (size_t i = 0; i < t->event_count; i++) {
        const struct tally_event *e = &t->events[i];
        char time[32];

        clip_json_time(e->fire_ns, time);
        (void)printf("%20s  %-36s %s\n", time, t->rules[e->rule].id,
                     backtest->drives[e->drive].logs.items[0]);
    }
}

static int differences(const struct backtest *backtest, struct err *err)
{
    struct diff diff;
    uint32_t shown = 0;

    if (diff_make(&backtest->tallies[0], &backtest->tallies[1], &diff))
        return err_plain(err, -ENOMEM, "no memory");
    (void)printf("\nAgainst the old pack: %" PRIu64 " events the same, %" PRIu64 " moved by up to 1 s, "
                 "%" PRIu64 " gained, %" PRIu64 " lost.\n",
                 diff.counts[DIFF_SAME], diff.counts[DIFF_MOVED], diff.counts[DIFF_GAINED],
                 diff.counts[DIFF_LOST]);
    for (size_t i = 0; i < diff.count; i++) {
        const struct diff_event *e = &diff.events[i];
        if (e->kind == DIFF_SAME || shown++ >= DIFFS_SHOWN)
            continue;
        char time[32];
        clip_json_time(e->kind == DIFF_LOST ? e->old_fire_ns : e->fire_ns, time);
        (void)printf("  %-7s %-36s %20s", diff_names[e->kind], e->rule, time);
        if (e->kind == DIFF_MOVED)
            (void)printf(" (%+.3f s)", (double)(e->fire_ns - e->old_fire_ns) / 1e9);
        (void)printf("  %s\n", backtest->drives[e->drive].logs.items[0]);
    }
    if (shown > DIFFS_SHOWN)
        (void)printf("  and %u more; --json lists all\n", shown - DIFFS_SHOWN);
    diff_deinit(&diff);
    return 0;
}

static void sweep(const struct report *report)
{
    const struct backtest *backtest = report->backtest;
    char value[SWEEP_TEXT_MAX];

    (void)printf("%-16s %8s %8s  %-18s %6s %9s\n", backtest->sweep.name, "EVENTS", "A HOUR", "95 %",
                 "CLIPS", "MB/DAY");
    for (uint32_t v = 0; v < backtest->variant_count; v++) {
        struct figures f;
        char interval[48];

        figures_of(report, &backtest->tallies[v], NULL, &f);
        sweep_value(&backtest->sweep, v, value);
        (void)snprintf(interval, sizeof interval, "%.3g to %.3g", f.low_a_hour, f.high_a_hour);
        (void)printf("%-16s %8" PRIu64 " %8.4g  %-18s %6" PRIu64 " %9.3f\n", value, f.events,
                     f.a_hour, interval, f.clips, f.mb_a_day);
    }
}

int report_text(const struct report *report, struct err *err)
{
    const struct backtest *backtest = report->backtest;
    const struct tally *tally = &backtest->tallies[0];
    int rc = 0;

    corpus(backtest);
    if (backtest->sweep.count) {
        sweep(report);
    } else {
        table(report, tally);
        rc = day(report, tally, err);
        together(tally);
    }
    if (!rc && backtest->old_packs.count)
        rc = differences(backtest, err);
    if (!rc && report->events)
        events(backtest);
    warnings(backtest);
    return rc ? rc : report_verdict(report, err);
}
