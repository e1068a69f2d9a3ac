/* One object a line: "item" says what it is. */
#include "proto/clip_json.h"
#include "tools/backtest/diff.h"
#include "tools/backtest/report.h"
#include "tools/backtest/statistics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define LINE_BYTES 16384

static void put(struct json_text *line, const char *key, const char *value)
{
    json_printf(line, ",\"%s\":", key);
    json_quote(line, value);
}

static void put_figures(struct json_text *line, const struct figures *f)
{
    json_printf(line, ",\"hours\":%.9g,\"events\":%" PRIu64 ",\"suppressed\":%" PRIu64
                ",\"clips\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"events_per_hour\":%.12g"
                ",\"low\":%.12g,\"high\":%.12g,\"mb_per_day\":%.9g",
                f->hours, f->events, f->suppressed, f->clips, f->bytes, f->a_hour, f->low_a_hour,
                f->high_a_hour, f->mb_a_day);
}

static void rule_line(const struct report *report, const struct tally *tally, uint32_t index,
                      char *bytes)
{
    const struct tally_rule *rule = &tally->rules[index];
    struct json_text line = { bytes, LINE_BYTES, 0 };
    struct figures f;

    figures_of(report, tally, rule, &f);
    json_printf(&line, "{\"item\":\"rule\"");
    put(&line, "rule", rule->id);
    put_figures(&line, &f);
    json_printf(&line, ",\"without_clip\":%" PRIu64 ",\"reasons\":{", rule->without_clip);
    for (uint32_t i = 0; i < rule->reason_count; i++) {
        json_printf(&line, "%s", i ? "," : "");
        json_quote(&line, rule->suppressed[i].name);
        json_printf(&line, ":%" PRIu64, rule->suppressed[i].count);
    }
    json_printf(&line, "},\"together\":{");
    for (uint32_t other = 0, n = 0; other < tally->rule_count; other++) {
        uint64_t both = tally_together(tally, index, other);
        if (other == index || !both)
            continue;
        json_printf(&line, "%s", n++ ? "," : "");
        json_quote(&line, tally->rules[other].id);
        json_printf(&line, ":%" PRIu64, both);
    }
    json_printf(&line, "}}");
    (void)puts(bytes);
}

static void time_field(struct json_text *line, const char *key, int64_t ns)
{
    char text[32];

    clip_json_time(ns, text);
    json_printf(line, ",\"%s\":\"%s\"", key, text);
}

static void event_lines(const struct backtest *backtest, char *bytes)
{
    const struct tally *t = &backtest->tallies[0];

    for (size_t i = 0; i < t->event_count; i++) {
        struct json_text line = { bytes, LINE_BYTES, 0 };
        const struct tally_event *e = &t->events[i];

        json_printf(&line, "{\"item\":\"event\"");
        put(&line, "rule", t->rules[e->rule].id);
        put(&line, "edge", clip_edge_name(e->edge));
        put(&line, "log", backtest->drives[e->drive].logs.items[0]);
        time_field(&line, "t", e->fire_ns);
        time_field(&line, "start", e->start_ns);
        json_printf(&line, "}");
        (void)puts(bytes);
    }
}

static int diff_lines(const struct backtest *backtest, char *bytes)
{
    struct diff diff;

    if (diff_make(&backtest->tallies[0], &backtest->tallies[1], &diff))
        return -ENOMEM;
    for (size_t i = 0; i < diff.count; i++) {
        struct json_text line = { bytes, LINE_BYTES, 0 };
        const struct diff_event *e = &diff.events[i];

        json_printf(&line, "{\"item\":\"%s\"", diff_names[e->kind]);
        put(&line, "rule", e->rule);
        put(&line, "edge", clip_edge_name(e->edge));
        put(&line, "log", backtest->drives[e->drive].logs.items[0]);
        if (e->kind != DIFF_LOST)
            time_field(&line, "t", e->fire_ns);
        if (e->kind != DIFF_GAINED)
            time_field(&line, "old_t", e->old_fire_ns);
        json_printf(&line, "}");
        (void)puts(bytes);
    }
    diff_deinit(&diff);
    return 0;
}

static int summary(const struct report *report, uint32_t variant, char *bytes)
{
    const struct backtest *backtest = report->backtest;
    const struct tally *t = &backtest->tallies[variant];
    struct json_text line = { bytes, LINE_BYTES, 0 };
    char value[SWEEP_TEXT_MAX];
    double p50, p99;
    struct figures all;

    figures_of(report, t, NULL, &all);
    if (day_percentiles(t->clip_bytes, t->clip_count,
                        all.hours > 0 ? (double)t->clip_count / all.hours * report->hours_a_day : 0,
                        &p50, &p99))
        return -ENOMEM;
    json_printf(&line, "{\"item\":\"%s\"", backtest->sweep.count ? "sweep" : "summary");
    if (backtest->sweep.count) {
        sweep_value(&backtest->sweep, variant, value);
        put(&line, "param", backtest->sweep.name);
        put(&line, "value", value);
    }
    put_figures(&line, &all);
    json_printf(&line, ",\"drives\":%u,\"clip_drives\":%u,\"frames\":%" PRIu64
                ",\"hours_per_day\":%.6g,\"mb_p50\":%.9g,\"mb_p99\":%.9g,\"seconds\":%.3f"
                ",\"cpu_seconds\":%.3f}",
                t->drives, t->clip_drives, t->frames, report->hours_a_day, p50 / 1e6, p99 / 1e6,
                backtest->wall_seconds, t->cpu_seconds);
    (void)puts(bytes);
    return 0;
}

int report_json(const struct report *report, struct err *err)
{
    const struct backtest *backtest = report->backtest;
    const struct tally *tally = &backtest->tallies[0];
    char *bytes = malloc(LINE_BYTES);
    int rc = bytes ? 0 : -ENOMEM;

    for (uint32_t i = 0; !rc && !backtest->sweep.count && i < tally->rule_count; i++)
        rule_line(report, tally, i, bytes);
    if (!rc && report->events)
        event_lines(backtest, bytes);
    if (!rc && backtest->old_packs.count)
        rc = diff_lines(backtest, bytes);
    for (uint32_t v = 0; !rc && v < (backtest->sweep.count ? backtest->variant_count : 1); v++)
        rc = summary(report, v, bytes);
    free(bytes);
    return rc ? err_plain(err, rc, "no memory") : report_verdict(report, err);
}
