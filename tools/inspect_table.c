/* For people: what, when, how much, why; hashes last. */
#include "proto/formats/lines.h"
#include "tools/inspect.h"

#include <inttypes.h>
#include <string.h>

#define LABEL "  %-14s "

/* Text of a clip is input: control bytes never reach the terminal. */
static void put_text(FILE *to, const char *text)
{
    for (const char *at = text; *at; at++)
        (void)fputc((unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at, to);
}

static void put_label_text(FILE *to, const char *label, const char *text)
{
    if (!*text)
        return;
    (void)fprintf(to, LABEL, label);
    put_text(to, text);
    (void)fputc('\n', to);
}

static void put_hex(FILE *to, const char *label, const uint8_t *bytes, size_t size)
{
    static const uint8_t none[SHA256_BYTES];
    char text[SHA256_HEX];

    if (!memcmp(bytes, none, size))
        return;
    hex_from(bytes, size, text);
    (void)fprintf(to, LABEL "%s\n", label, text);
}

static void put_seconds(FILE *to, int64_t mono_ns, int64_t offset_ns)
{
    char text[LINES_SECONDS_MAX];
    int64_t own = (int64_t)((uint64_t)mono_ns - (uint64_t)offset_ns);

    (void)fprintf(to, "%.*s", (int)lines_put_seconds9(own, text), text);
}

static void put_dbcs(FILE *to, const struct clip_dbc *dbcs, uint32_t count)
{
    char hash[SHA256_HEX];

    for (uint32_t i = 0; i < count; i++) {
        hex_from(dbcs[i].sha256, SHA256_BYTES, hash);
        (void)fprintf(to, LABEL, "database");
        put_text(to, dbcs[i].bus);
        (void)fputs(*dbcs[i].bus ? "=" : "", to);
        put_text(to, dbcs[i].name);
        (void)fprintf(to, " %s\n", hash);
    }
}

static void table_begin(FILE *to, const char *name) { (void)fprintf(to, "%s\n", name); }

static void table_header(FILE *to, const struct clip_header *h, bool first)
{
    const char *codec = codec_name(h->codec);

    (void)first;
    (void)fprintf(to, "\nsegment %u of %u, format %u\n", h->segment + 1, h->segments,
                  h->format_version);
    put_hex(to, "clip", h->clip_id, CLIP_ID_BYTES);
    put_hex(to, "session", h->session_id, SESSION_ID_BYTES);
    put_label_text(to, "vehicle", h->vehicle);
    put_label_text(to, "rule", h->rule);
    put_hex(to, "rule hash", h->rule_hash, SHA256_BYTES);
    put_label_text(to, "purpose", h->purpose);
    put_label_text(to, "class", h->clip_class);
    put_label_text(to, "key", h->key_id);
    (void)fprintf(to, LABEL "priority %u, generation %u, codec %s, engine %u\n", "opened with",
                  h->priority, h->generation, codec ? codec : "unknown", h->engine_version);
    for (uint32_t i = 0; i < h->sources.count; i++)
        (void)fprintf(to, LABEL "%u: %s, tick %u ns, stamps: %s\n", "source", i,
                      h->sources.items[i].name, h->sources.items[i].tick_ns,
                      stamp_origin_name(h->sources.items[i].origin));
    put_dbcs(to, h->dbcs, h->dbc_count);
    put_hex(to, "pack", h->pack_sha256, SHA256_BYTES);
    put_hex(to, "shaping", h->shaping_sha256, SHA256_BYTES);
    put_hex(to, "recording", h->recording_sha256, SHA256_BYTES);
    (void)fprintf(to, LABEL "%u bytes of rule states\n", "life-cycle", h->state_bytes);
}

static void table_seed(FILE *to, uint32_t rows, bool first)
{
    (void)first;
    (void)fprintf(to, LABEL "%u rows from before the clip\n", "seed", rows);
}

static void table_group(FILE *to, const struct clip_item *item, const struct group_block *blocks,
                        bool first)
{
    const struct group_head *head = &item->group;

    if (first)
        (void)fprintf(to, LABEL "%8s %9s %7s  %-20s %s\n", "groups", "rows", "bytes", "B/frame",
                      "from", "blocks");
    (void)fprintf(to, LABEL "%8u %9u %7.3f  ", "", head->rows, item->bytes,
                  (double)item->bytes / head->rows);
    put_seconds(to, head->stamp_min_ns, 0);
    for (uint32_t i = 0; i < head->blocks; i++) {
        const char *codec = codec_name(blocks[i].codec);
        (void)fprintf(to, "  %u: %u %s", blocks[i].source, blocks[i].rows,
                      codec ? codec : "unknown");
    }
    (void)fputc('\n', to);
}

static void put_value(FILE *to, const struct clip_value *value)
{
    (void)fputc(' ', to);
    put_text(to, value->name);
    (void)fputc('=', to);
    switch (value->kind) {
    case CLIP_VALUE_UNKNOWN: (void)fprintf(to, "unknown"); break;
    case CLIP_VALUE_BOOL: (void)fprintf(to, value->integer ? "true" : "false"); break;
    case CLIP_VALUE_TEXT: put_text(to, value->text); break;
    case CLIP_VALUE_NUMBER: (void)fprintf(to, "%.10g", value->number); break;
    case CLIP_VALUE_INT: (void)fprintf(to, "%" PRId64, value->integer); break;
    case CLIP_VALUE_DURATION:
        put_seconds(to, value->integer, 0);
        (void)fputc('s', to);
        break;
    }
    (void)fputs(*value->unit ? " " : "", to);
    put_text(to, value->unit);
}

static void put_event(FILE *to, const struct clip_event *e)
{
    (void)fprintf(to, LABEL, "event");
    put_text(to, e->rule);
    (void)fprintf(to, " %s at ", clip_edge_name(e->edge));
    put_seconds(to, e->fire_ns, e->offset_ns);
    if (e->ended) {
        (void)fprintf(to, ", ended ");
        put_seconds(to, e->end_ns, e->offset_ns);
    }
    (void)fputs(*e->reason ? ", " : "", to);
    put_text(to, e->reason);
    for (uint32_t i = 0; i < e->value_count; i++)
        put_value(to, &e->values[i]);
    (void)fputc('\n', to);
}

static void put_interface(FILE *to, uint32_t source, const struct clip_interface *from)
{
    if (!from->known)
        return;
    (void)fprintf(to, LABEL "source %u: %s, bus %s, errors sent %" PRIu32 " received %" PRIu32
                  "; frames %" PRIu64 ", errors %" PRIu64 ", dropped %" PRIu64 ", overruns %" PRIu64
                  ", missed %" PRIu64 "; bus-off %" PRIu32 ", restarts %" PRIu32 "\n", "interface",
                  source, from->up ? "up" : "down",
                  clip_bus_state_name((enum clip_bus_state)from->bus_state), from->tx_error_count,
                  from->rx_error_count, from->rx_frames, from->rx_errors, from->rx_dropped,
                  from->rx_overruns, from->rx_missed, from->bus_offs, from->restarts);
}

static void put_source_events(FILE *to, const struct clip_completeness *c, int64_t offset_ns)
{
    for (uint32_t i = 0; i < c->source_event_count; i++) {
        const struct clip_source_event *event = &c->source_events[i];
        (void)fprintf(to, LABEL, "source event");
        put_seconds(to, event->mono_ns, offset_ns);
        (void)fprintf(to, ", source %u: %s %s\n", event->source,
                      clip_source_event_name((enum clip_source_event_kind)event->kind),
                      clip_source_event_value(event));
    }
    if (c->source_events_left_out)
        (void)fprintf(to, LABEL "%" PRIu64 " more\n", "source event", c->source_events_left_out);
}

static void put_completeness(FILE *to, const struct clip_completeness *c, int64_t offset_ns)
{
    for (uint32_t i = 0; i < c->source_count; i++) {
        const struct clip_source_counts *s = &c->sources[i];
        (void)fprintf(to, LABEL "source %u: %" PRIu64 " received, %" PRIu64 " stored; dropped by "
                      "driver %" PRIu64 ", kernel %" PRIu64 ", queue %" PRIu64 ", filter %" PRIu64
                      "; late %" PRIu64 ", error frames %" PRIu64 "\n", "books", i, s->received,
                      s->stored, s->dropped_driver, s->dropped_kernel, s->dropped_queue,
                      s->dropped_filter, s->late, s->error_frames);
        put_interface(to, i, &c->interfaces[i]);
    }
    put_source_events(to, c, offset_ns);
    (void)fprintf(to, LABEL "gaps %" PRIu64 ", clamped %" PRIu64 ", discontinuities %" PRIu64
                  ", skipped lines %" PRIu64 ", clock ", "", c->gaps, c->clamped,
                  c->discontinuities, c->skipped_lines);
    put_text(to, *c->clock_quality ? c->clock_quality : "unknown");
    (void)fputc('\n', to);
}

static void table_manifest(FILE *to, const struct clip_manifest *m)
{
    for (uint32_t i = 0; i < m->event_count; i++)
        put_event(to, &m->events[i]);
    (void)fprintf(to, LABEL, "window");
    put_seconds(to, m->start_ns, m->start_offset_ns);
    (void)fprintf(to, " to ");
    put_seconds(to, m->end_ns, m->end_offset_ns);
    (void)fprintf(to, ", %s", clip_end_name(m->end));
    (void)fputs(*m->end_detail ? ": " : "", to);
    put_text(to, m->end_detail);
    (void)fprintf(to, "\n" LABEL "%" PRIu64 " in %u groups, %" PRIu64 " bytes", "frames", m->frames,
                  m->groups, m->body_bytes);
    if (m->frames)
        (void)fprintf(to, ", %.3f B/frame", (double)m->body_bytes / (double)m->frames);
    (void)fputc('\n', to);
    put_completeness(to, &m->completeness, m->start_offset_ns);
    if (m->continues)
        put_hex(to, "continues", m->continues_id, CLIP_ID_BYTES);
    for (uint32_t i = 0; i < m->overlap_count; i++)
        put_hex(to, "overlaps", m->overlaps[i], CLIP_ID_BYTES);
    put_hex(to, "SHA-256", m->body_sha256, SHA256_BYTES);
}

static void table_broken(FILE *to) { (void)fprintf(to, LABEL "none\n", "manifest"); }

static void table_end(FILE *to, const struct inspect_result *result)
{
    (void)fprintf(to, "\n%s: %" PRIu64 " frames, %" PRIu64 " of %" PRIu64 " bytes are good",
                  inspect_state(result), result->stats.rows, result->stats.good_bytes,
                  result->stats.fed_bytes);
    (void)fputs(*result->text ? "; " : "", to);
    put_text(to, result->text);
    (void)fputc('\n', to);
}

const struct inspect_printer inspect_table = { table_begin, table_header, table_seed, table_group,
                                               table_manifest, table_broken, table_end };
