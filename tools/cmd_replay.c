/* roadloop replay: recordings through the objects of the daemon; events and clips as a table or as
 * JSON lines. */
#include "proto/clip_json.h"
#include "proto/formats/lines.h"
#include "proto/json.h"
#include "tools/cmd.h"
#include "tools/cmd_replay_to.h"
#include "tools/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES 65536
#define TIME_TEXT 32

static const char usage[] =
    "usage: roadloop replay LOG... [--rules PACK]... [--dbc [BUS=]FILE]... [--config FILE]\n"
    "                       [--out DIR] [--json] [--speed 1|max] [--wall-start T]\n"
    "                       [--codec rows|columnar] [--vehicle NAME] [--in FMT] [--strict]\n"
    "       roadloop replay LOG... --to [BUS=]DEST... [--speed N|max] [--in FMT] [--strict]\n"
    "\n"
    "Shows where the rules fire on recorded drives, and writes the clips to DIR. Several logs are\n"
    "merged by stamp. A clip (.rlc or .mcap) is a log too: it begins with the signals and rule\n"
    "states of its drive, and must fire what its manifest lists; an .rlc needs its --rules and\n"
    "--dbc, an .mcap brings them. T is the time of the first frame, 2024-05-01T12:00:00Z or seconds\n"
    "since 1970. With --to it plays to CAN interfaces or sockets instead (--to alone says more).\n"
    "Exit status: 0 good, 1 a clip fired something else than it lists, 2 bad input.\n";

struct printer {
    bool json;
    char *line; /* LINE_MAX_BYTES */
    uint64_t cut; /* lines that did not fit */
};

/* --- text --- */

static const char *seconds_text(int64_t ns, char text[TIME_TEXT])
{
    clip_json_time(ns, text);
    return text;
}

static const char *value_text(const struct clip_value *value, char *text, size_t size)
{
    switch (value->kind) {
    case CLIP_VALUE_UNKNOWN: (void)snprintf(text, size, "unknown"); break;
    case CLIP_VALUE_BOOL: (void)snprintf(text, size, "%s", value->integer ? "true" : "false"); break;
    case CLIP_VALUE_INT:
    case CLIP_VALUE_DURATION: (void)snprintf(text, size, "%" PRId64, value->integer); break;
    case CLIP_VALUE_NUMBER: (void)snprintf(text, size, "%.9g", value->number); break;
    case CLIP_VALUE_TEXT: (void)snprintf(text, size, "%s", value->text); break;
    }
    return text;
}

static void text_line(const char *t, const char *what, const char *rule, const char *detail)
{
    (void)printf("%-22s %-10s %-32s %s\n", t, what, rule, detail);
}

static void text_fire(const struct pipeline_note *note)
{
    const struct clip_event *event = note->event;
    char t[TIME_TEXT], detail[2048] = "", value[CLIP_TEXT_MAX];
    size_t at = 0;

    for (uint32_t i = 0; i < event->value_count && at < sizeof detail; i++) {
        const struct clip_value *v = &event->values[i];
        int n = snprintf(detail + at, sizeof detail - at, "%s%s=%s%s%s", at ? " " : "", v->name,
                         value_text(v, value, sizeof value), v->unit[0] ? " " : "", v->unit);
        at += n > 0 ? (size_t)n : 0;
    }
    if (!note->clip_id && at < sizeof detail)
        (void)snprintf(detail + at, sizeof detail - at, "%sno clip: too many are open",
                       at ? " " : "");
    text_line(seconds_text(note->t_ns - note->offset_ns, t),
              event->edge == CLIP_EDGE_FALL ? "fire (fall)" : "fire", event->rule, detail);
}

static void text_note(const struct pipeline_note *note)
{
    char t[TIME_TEXT], closed[TIME_TEXT], detail[CLIP_TEXT_MAX];
    const struct clip_event *event = note->event;

    if (note->kind == PIPELINE_NOTE_FIRE) {
        text_fire(note);
    } else if (note->kind == PIPELINE_NOTE_END) {
        (void)snprintf(detail, sizeof detail, "%s, closed %s", note->reason,
                       seconds_text(event->closed_ns - note->offset_ns, closed));
        text_line(seconds_text(event->end_ns - note->offset_ns, t), "end", event->rule, detail);
    } else if (note->kind == PIPELINE_NOTE_SUPPRESSED) {
        text_line(seconds_text(note->t_ns - note->offset_ns, t), "suppressed", event->rule,
                  note->reason);
    }
}

static void text_clip(const struct replay_clip *clip)
{
    const struct clip_manifest *manifest = clip->manifest;
    char start[TIME_TEXT], end[TIME_TEXT], id[CLIP_ID_HEX], detail[512];

    hex_from(manifest->clip_id, CLIP_ID_BYTES, id);
    (void)snprintf(detail, sizeof detail,
                   "%s from %s, %" PRIu64 " frames, %" PRIu64 " bytes (%.2f B/frame), %u event%s, %s",
                   id, seconds_text(manifest->start_ns - manifest->start_offset_ns, start),
                   clip->frames, clip->bytes,
                   clip->frames ? (double)clip->bytes / (double)clip->frames : 0.0,
                   manifest->event_count, manifest->event_count == 1 ? "" : "s",
                   clip_end_name(manifest->end));
    text_line(seconds_text(manifest->end_ns - manifest->end_offset_ns, end), "clip",
              clip->header->rule, detail);
}

/* --- JSON --- */

static void json_value(struct json_text *text, const struct clip_value *value)
{
    char plain[CLIP_TEXT_MAX];

    json_quote(text, value->name);
    json_printf(text, ":{\"value\":");
    if (value->kind == CLIP_VALUE_UNKNOWN)
        json_printf(text, "null");
    else if (value->kind == CLIP_VALUE_TEXT)
        json_quote(text, value->text);
    else if (value->kind == CLIP_VALUE_NUMBER)
        json_printf(text, "%.17g", value->number);
    else
        json_printf(text, "%s", value_text(value, plain, sizeof plain));
    if (value->unit[0]) {
        json_printf(text, ",\"unit\":");
        json_quote(text, value->unit);
    }
    json_printf(text, "}");
}

static void json_head(struct json_text *text, const char *event, const char *rule, int64_t t_ns)
{
    char t[TIME_TEXT];

    json_printf(text, "{\"event\":\"%s\",\"rule\":", event);
    json_quote(text, rule);
    json_printf(text, ",\"t\":\"%s\"", seconds_text(t_ns, t));
}

static void json_time(struct json_text *text, const char *key, int64_t t_ns)
{
    char t[TIME_TEXT];

    json_printf(text, ",\"%s\":\"%s\"", key, seconds_text(t_ns, t));
}

static void json_id(struct json_text *text, const uint8_t *clip_id)
{
    char id[CLIP_ID_HEX];

    if (!clip_id) {
        json_printf(text, ",\"clip\":null");
        return;
    }
    hex_from(clip_id, CLIP_ID_BYTES, id);
    json_printf(text, ",\"clip\":\"%s\"", id);
}

static void json_fire(struct json_text *text, const struct pipeline_note *note)
{
    const struct clip_event *event = note->event;

    json_head(text, "fire", event->rule, note->t_ns - note->offset_ns);
    json_time(text, "start", event->start_ns - note->offset_ns);
    json_printf(text, ",\"edge\":\"%s\",\"step\":%" PRIu64 ",\"generation\":%u",
                clip_edge_name(event->edge), event->fire_step, note->generation);
    json_printf(text, ",\"values\":{");
    for (uint32_t i = 0; i < event->value_count; i++) {
        json_printf(text, "%s", i ? "," : "");
        json_value(text, &event->values[i]);
    }
    json_printf(text, "}");
    json_id(text, note->clip_id);
}

static bool json_note(struct json_text *text, const struct pipeline_note *note)
{
    const struct clip_event *event = note->event;

    if (note->kind == PIPELINE_NOTE_FIRE) {
        json_fire(text, note);
    } else if (note->kind == PIPELINE_NOTE_END) {
        json_head(text, "end", event->rule, event->end_ns - note->offset_ns);
        json_printf(text, ",\"edge\":\"%s\",\"reason\":", clip_edge_name(event->edge));
        json_quote(text, note->reason);
        json_time(text, "closed", event->closed_ns - note->offset_ns);
        json_id(text, note->clip_id);
    } else if (note->kind == PIPELINE_NOTE_SUPPRESSED) {
        json_head(text, "suppressed", event->rule, note->t_ns - note->offset_ns);
        json_time(text, "start", event->start_ns - note->offset_ns);
        json_printf(text, ",\"edge\":\"%s\",\"reason\":", clip_edge_name(event->edge));
        json_quote(text, note->reason);
    } else {
        return false;
    }
    json_printf(text, "}");
    return true;
}

static void json_clip(struct json_text *text, const struct replay_clip *clip)
{
    const struct clip_manifest *manifest = clip->manifest;

    json_head(text, "clip", clip->header->rule, manifest->end_ns - manifest->end_offset_ns);
    json_id(text, manifest->clip_id);
    json_printf(text, ",\"path\":");
    json_quote(text, clip->path);
    json_time(text, "start", manifest->start_ns - manifest->start_offset_ns);
    json_time(text, "end", manifest->end_ns - manifest->end_offset_ns);
    json_printf(text,
                ",\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"events\":%u,\"segments\":%u"
                ",\"generation\":%u,\"reason\":\"%s\"",
                clip->frames, clip->bytes, manifest->event_count, clip->header->segments,
                clip->header->generation, clip_end_name(manifest->end));
    if (manifest->end_detail[0]) {
        json_printf(text, ",\"detail\":");
        json_quote(text, manifest->end_detail);
    }
    json_printf(text, "}");
}

/* --- listening --- */

static void put_line(struct printer *printer, const struct json_text *text)
{
    if (json_full(text))
        printer->cut++;
    else
        (void)puts(printer->line);
}

static void on_note(void *context, const struct pipeline_note *note)
{
    struct printer *printer = context;
    struct json_text text = { printer->line, LINE_MAX_BYTES, 0 };

    if (!printer->json)
        text_note(note);
    else if (json_note(&text, note))
        put_line(printer, &text);
}

static void on_clip(void *context, const struct replay_clip *clip)
{
    struct printer *printer = context;
    struct json_text text = { printer->line, LINE_MAX_BYTES, 0 };

    if (!printer->json) {
        text_clip(clip);
        return;
    }
    json_clip(&text, clip);
    put_line(printer, &text);
}

/* --- arguments --- */

static int add(const char **list, uint32_t *count, const char *value)
{
    if (*count == REPLAY_INPUTS_MAX)
        return -ENOSPC;
    list[(*count)++] = value;
    return 0;
}

/* "2024-05-01T12:00:00[.5]Z", or seconds since 1970. */
static int parse_wall(const char *text, int64_t *ret_ns)
{
    struct tm tm = { 0 };
    uint32_t tick_ns;
    int64_t fraction_ns = 0;
    int used = 0;

    if (!lines_seconds(text, strlen(text), ret_ns, &tick_ns))
        return 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used) != 6)
        return -EINVAL;
    const char *rest = text + used;
    size_t length = strlen(rest);
    if (!length || rest[length - 1] != 'Z')
        return -EINVAL;
    if (length > 1) { /* ".5": as seconds it wants a digit before the point */
        char seconds[32];
        if (rest[0] != '.' || length > 11)
            return -EINVAL;
        (void)snprintf(seconds, sizeof seconds, "0%.*s", (int)length - 1, rest);
        if (lines_seconds(seconds, strlen(seconds), &fraction_ns, &tick_ns))
            return -EINVAL;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time_t seconds = timegm(&tm);
    *ret_ns = (int64_t)seconds * NS_PER_S + fraction_ns;
    return 0;
}

static int parse_speed(const char *value, bool *ret_real_time)
{
    if (strcmp(value, "1") && strcmp(value, "max"))
        return -EINVAL;
    *ret_real_time = value[0] == '1';
    return 0;
}

static int parse_option(struct replay_options *o, const char *name, const char *value)
{
    if (!strcmp(name, "--json"))
        o->json = true;
    else if (!strcmp(name, "--strict"))
        o->strict = true;
    else if (!value)
        return -EINVAL;
    else if (!strcmp(name, "--rules"))
        return add(o->packs, &o->pack_count, value);
    else if (!strcmp(name, "--dbc"))
        return add(o->dbcs, &o->dbc_count, value);
    else if (!strcmp(name, "--config"))
        o->config = value;
    else if (!strcmp(name, "--out"))
        o->out = value;
    else if (!strcmp(name, "--codec"))
        o->codec = value;
    else if (!strcmp(name, "--vehicle"))
        o->vehicle = value;
    else if (!strcmp(name, "--in"))
        o->format = value;
    else if (!strcmp(name, "--speed"))
        return parse_speed(value, &o->real_time);
    else if (!strcmp(name, "--wall-start"))
        return o->wall_known = true, parse_wall(value, &o->wall_start_ns);
    else
        return -EINVAL;
    return 0;
}

static bool takes_value(const char *name)
{
    return strcmp(name, "--json") && strcmp(name, "--strict");
}

static int parse_arguments(int argc, char **argv, struct replay_options *o)
{
    char why[160];

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];

        if (name[0] != '-' || !name[1]) {
            if (add(o->logs, &o->log_count, name))
                return cmd_usage("replay", usage, "too many logs");
            continue;
        }
        const char *value = takes_value(name) && i + 1 < argc ? argv[++i] : NULL;
        if (parse_option(o, name, value)) {
            (void)snprintf(why, sizeof why, "cannot take %.40s %.80s", name, value ? value : "");
            return cmd_usage("replay", usage, why);
        }
    }
    return o->log_count ? 0 : cmd_usage("replay", usage, "needs a recording");
}

/* --- the end --- */

static void report_skips(const struct recording_skips *skips)
{
    for (int i = 0; i < RECORDING_SKIP_COUNT; i++)
        if (skips->count[i])
            (void)fprintf(stderr, "roadloop replay: %" PRIu64 " %s %s (first at line %" PRIu64 ")\n",
                          skips->count[i], recording_skip_name((enum recording_skip)i),
                          i == RECORDING_NOTE_UNSORTED ? "kept" : "skipped", skips->first_line[i]);
}

static void report(const struct replay_stats *stats)
{
    const struct pipeline_stats *p = &stats->pipeline;
    const struct recorder_stats *r = &stats->recorder;
    uint64_t suppressed = 0;

    for (unsigned i = 0; i < PIPELINE_SUPPRESS_MAX; i++)
        suppressed += p->suppressed[i];
    (void)fprintf(stderr,
                  "%" PRIu64 " frames in %.2f s (%.0f a second), %" PRIu64 " events, %" PRIu64
                  " suppressed, %" PRIu64 " clips\n",
                  p->frames, stats->seconds,
                  stats->seconds > 0 ? (double)p->frames / stats->seconds : 0.0, p->fired,
                  suppressed, r->clips_sealed);
    for (unsigned i = 0; i < PIPELINE_FAIL_COUNT; i++)
        if (p->failed[i])
            (void)fprintf(stderr, "%" PRIu64 " events without a clip: %s\n", p->failed[i],
                          pipeline_fail_name((enum pipeline_fail)i));
    if (p->discontinuities)
        (void)fprintf(stderr, "%" PRIu64 " discontinuities in time\n", p->discontinuities);
}

static int verdict(const struct replay_stats *stats)
{
    if (stats->unexpected || stats->matched != stats->listed) {
        (void)fprintf(stderr,
                      "roadloop replay: the manifest lists %" PRIu64 " events; %" PRIu64
                      " of them fired again, and %" PRIu64 " others\n",
                      stats->listed, stats->matched, stats->unexpected);
        return CMD_NO;
    }
    return CMD_GOOD;
}

int cmd_replay(int argc, char **argv)
{
    static struct diags diags;
    struct replay_options options = { 0 };
    struct replay_stats stats;
    struct printer printer = { 0 };
    const struct replay_listener listener = { .context = &printer, .note = on_note, .clip = on_clip };
    struct err err = { 0 };

    if (argc > 1 && !strcmp(argv[1], "--help"))
        return (void)fputs(usage, stdout), CMD_GOOD;
    if (replay_to_wanted(argc, argv))
        return cmd_replay_to(argc, argv);
    if (parse_arguments(argc, argv, &options))
        return CMD_BAD;
    printer.json = options.json;
    printer.line = malloc(LINE_MAX_BYTES);
    if (!printer.line)
        return CMD_BAD;
    int rc = replay_run(&options, &listener, &diags, &stats, &err);
    free(printer.line);
    diags_print(&diags, stderr);
    if (rc)
        return err.text[0] ? cmd_fail("replay", &err) : CMD_BAD;
    report_skips(&stats.skips);
    if (!options.json)
        report(&stats);
    return verdict(&stats);
}
