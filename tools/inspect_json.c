/* One JSON object: the clip's records in the order in which they stand. Numbers beyond 53 bits
 * are texts; times "…_ns" are on the session's clock, "start", "end", "t" in the recording's own. */
#include "proto/formats/lines.h"
#include "tools/inspect.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void put_text(FILE *to, const char *text)
{
    (void)fputc('"', to);
    for (const char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\')
            (void)fprintf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)fprintf(to, "\\u%04x", c);
        else
            (void)fputc(c, to);
    }
    (void)fputc('"', to);
}

static void put_key_text(FILE *to, const char *key, const char *text)
{
    (void)fprintf(to, "\"%s\":", key);
    put_text(to, text);
}

static void put_hex(FILE *to, const char *key, const uint8_t *bytes, size_t size)
{
    char text[SHA256_HEX];

    hex_from(bytes, size, text);
    (void)fprintf(to, "\"%s\":\"%s\"", key, text);
}

static void put_seconds(FILE *to, const char *key, int64_t mono_ns, int64_t offset_ns)
{
    char text[LINES_SECONDS_MAX];
    int64_t own = (int64_t)((uint64_t)mono_ns - (uint64_t)offset_ns);

    (void)fprintf(to, "\"%s\":\"%.*s\"", key, (int)lines_put_seconds9(own, text), text);
}

static void put_ns(FILE *to, const char *key, int64_t ns)
{
    (void)fprintf(to, "\"%s\":\"%" PRId64 "\"", key, ns);
}

static void put_dbcs(FILE *to, const struct clip_dbc *dbcs, uint32_t count)
{
    (void)fprintf(to, ",\"dbcs\":[");
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(to, "%s{", i ? "," : "");
        put_key_text(to, "bus", dbcs[i].bus);
        (void)fputc(',', to);
        put_key_text(to, "name", dbcs[i].name);
        (void)fputc(',', to);
        put_hex(to, "sha256", dbcs[i].sha256, SHA256_BYTES);
        (void)fputc('}', to);
    }
    (void)fputc(']', to);
}

static void put_clock(FILE *to, const struct clip_clock *clock)
{
    if (!clock->known)
        return;
    (void)fprintf(to, ",\"clock\":{");
    put_ns(to, "mono_ns", clock->mono_ns);
    (void)fputc(',', to);
    put_ns(to, "utc_ns", clock->utc_ns);
    (void)fputc(',', to);
    put_ns(to, "uncertainty_ns", clock->uncertainty_ns);
    (void)fputc(',', to);
    put_key_text(to, "source", clock->source);
    (void)fputc('}', to);
}

static void json_begin(FILE *to, const char *name)
{
    (void)fputc('{', to);
    put_key_text(to, "file", name);
    (void)fprintf(to, ",\"segments\":[");
}

static void put_sources(FILE *to, const struct source_table *sources)
{

    (void)fprintf(to, ",\"sources\":[");
    for (uint32_t i = 0; i < sources->count; i++) {
        (void)fprintf(to, "%s{", i ? "," : "");
        put_key_text(to, "name", sources->items[i].name);
        (void)fprintf(to, ",\"tick_ns\":%u,\"origin\":\"%s\"}", sources->items[i].tick_ns,
                      stamp_origin_name(sources->items[i].origin));
    }
    (void)fputc(']', to);
}

static void put_labels(FILE *to, const struct clip_header *h)
{
    put_key_text(to, "vehicle", h->vehicle);
    (void)fputc(',', to);
    put_key_text(to, "rule", h->rule);
    (void)fputc(',', to);
    put_hex(to, "rule_hash", h->rule_hash, SHA256_BYTES);
    (void)fputc(',', to);
    put_key_text(to, "purpose", h->purpose);
    (void)fputc(',', to);
    put_key_text(to, "class", h->clip_class);
    (void)fputc(',', to);
    put_key_text(to, "key_id", h->key_id);
}

static void json_header(FILE *to, const struct clip_header *h, bool first)
{
    (void)fprintf(to, "%s{\"header\":{\"format_version\":%u,", first ? "" : ",",
                  h->format_version);
    put_hex(to, "clip_id", h->clip_id, CLIP_ID_BYTES);
    (void)fputc(',', to);
    put_hex(to, "session_id", h->session_id, SESSION_ID_BYTES);
    (void)fprintf(to, ",\"ordinal\":%" PRIu64 ",\"segment\":%u,\"segments\":%u,", h->ordinal,
                  h->segment, h->segments);
    put_labels(to, h);
    const char *codec = codec_name(h->codec);
    (void)fprintf(to, ",\"priority\":%u,\"codec\":\"%s\",\"generation\":%u,\"engine_version\":%u,",
                  h->priority, codec ? codec : "unknown", h->generation, h->engine_version);
    put_seconds(to, "start", h->start_ns, h->offset_ns);
    (void)fputc(',', to);
    put_ns(to, "start_ns", h->start_ns);
    (void)fputc(',', to);
    put_ns(to, "offset_ns", h->offset_ns);
    (void)fprintf(to, ",\"first_step\":%" PRIu64 ",", h->first_step);
    put_ns(to, "mono_floor_ns", h->mono_floor_ns);
    put_sources(to, &h->sources);
    (void)fputc(',', to);
    put_hex(to, "pack_sha256", h->pack_sha256, SHA256_BYTES);
    (void)fputc(',', to);
    put_hex(to, "shaping_sha256", h->shaping_sha256, SHA256_BYTES);
    (void)fputc(',', to);
    put_hex(to, "recording_sha256", h->recording_sha256, SHA256_BYTES);
    put_dbcs(to, h->dbcs, h->dbc_count);
    put_clock(to, &h->clock);
    (void)fprintf(to, ",\"state_bytes\":%u},\"records\":[", h->state_bytes);
}

static void json_seed(FILE *to, uint32_t rows, bool first)
{
    (void)fprintf(to, "%s{\"kind\":\"seed\",\"rows\":%u}", first ? "" : ",", rows);
}

static void json_group(FILE *to, const struct clip_item *item, const struct group_block *blocks,
                       bool first)
{
    const struct group_head *head = &item->group;

    (void)fprintf(to, "%s{\"kind\":\"group\",\"offset\":%" PRIu64 ",\"bytes\":%u,\"generation\":%u,"
                  "\"rows\":%u,\"first_step\":%" PRIu64 ",\"last_step\":%" PRIu64 ",",
                  first ? "" : ",", item->offset, item->bytes, head->generation, head->rows,
                  head->first_step, head->last_step);
    put_ns(to, "offset_ns", head->offset_ns);
    (void)fputc(',', to);
    put_seconds(to, "stamp_min", head->stamp_min_ns, 0);
    (void)fputc(',', to);
    put_seconds(to, "stamp_max", head->stamp_max_ns, 0);
    (void)fprintf(to, ",\"blocks\":[");
    for (uint32_t i = 0; i < head->blocks; i++) {
        const char *codec = codec_name(blocks[i].codec);
        (void)fprintf(to, "%s{\"source\":%u,\"codec\":\"%s\",\"rows\":%u,\"bytes\":%u}",
                      i ? "," : "", blocks[i].source, codec ? codec : "unknown", blocks[i].rows,
                      blocks[i].bytes);
    }
    (void)fprintf(to, "]}");
}

static void put_value(FILE *to, const struct clip_value *value)
{
    put_text(to, value->name);
    (void)fputc(':', to);
    switch (value->kind) {
    case CLIP_VALUE_UNKNOWN: (void)fprintf(to, "null"); break;
    case CLIP_VALUE_BOOL: (void)fprintf(to, value->integer ? "true" : "false"); break;
    case CLIP_VALUE_TEXT: put_text(to, value->text); break;
    case CLIP_VALUE_NUMBER:
        /* JSON has no infinity */
        (void)fprintf(to, isfinite(value->number) ? "%.17g" : "null", value->number);
        break;
    case CLIP_VALUE_INT:
    case CLIP_VALUE_DURATION: (void)fprintf(to, "%" PRId64, value->integer); break;
    }
}

static void put_event(FILE *to, const struct clip_event *e)
{
    (void)fputc('{', to);
    put_key_text(to, "rule", e->rule);
    (void)fputc(',', to);
    put_hex(to, "rule_hash", e->rule_hash, SHA256_BYTES);
    (void)fprintf(to, ",\"ordinal\":%" PRIu64 ",\"edge\":\"%s\",\"generation\":%u,", e->ordinal,
                  clip_edge_name(e->edge), e->generation);
    put_seconds(to, "start", e->start_ns, e->offset_ns);
    (void)fputc(',', to);
    put_seconds(to, "fire", e->fire_ns, e->offset_ns);
    (void)fprintf(to, ",\"fire_step\":%" PRIu64, e->fire_step);
    if (e->ended) {
        (void)fputc(',', to);
        put_seconds(to, "end", e->end_ns, e->offset_ns);
    }
    if (e->closed) {
        (void)fputc(',', to);
        put_seconds(to, "closed", e->closed_ns, e->offset_ns);
    }
    (void)fputc(',', to);
    put_key_text(to, "reason", e->reason);
    (void)fprintf(to, ",\"values\":{");
    for (uint32_t i = 0; i < e->value_count; i++) {
        (void)fputs(i ? "," : "", to);
        put_value(to, &e->values[i]);
    }
    (void)fprintf(to, "}}");
}

static void put_interface(FILE *to, const struct clip_interface *from)
{
    if (!from->known)
        return;
    (void)fprintf(to, ",\"interface\":{\"up\":%s,\"bus_state\":\"%s\",\"bitrate\":%" PRIu32
                  ",\"tx_error_count\":%" PRIu32 ",\"rx_error_count\":%" PRIu32
                  ",\"rx_frames\":%" PRIu64 ",\"rx_errors\":%" PRIu64 ",\"rx_dropped\":%" PRIu64
                  ",\"rx_overruns\":%" PRIu64 ",\"rx_missed\":%" PRIu64, from->up ? "true" : "false",
                  clip_bus_state_name((enum clip_bus_state)from->bus_state), from->bitrate,
                  from->tx_error_count, from->rx_error_count, from->rx_frames, from->rx_errors,
                  from->rx_dropped, from->rx_overruns, from->rx_missed);
    (void)fprintf(to, ",\"restarts\":%" PRIu32 ",\"bus_errors\":%" PRIu32
                  ",\"arbitration_lost\":%" PRIu32 ",\"warnings\":%" PRIu32
                  ",\"passives\":%" PRIu32 ",\"bus_offs\":%" PRIu32 "}", from->restarts,
                  from->bus_errors, from->arbitration_lost, from->warnings, from->passives,
                  from->bus_offs);
}

static void put_source_events(FILE *to, const struct clip_completeness *c, int64_t offset_ns)
{
    (void)fprintf(to, ",\"source_events\":[");
    for (uint32_t i = 0; i < c->source_event_count; i++) {
        const struct clip_source_event *event = &c->source_events[i];
        (void)fprintf(to, "%s{\"source\":%u,\"event\":\"%s\",\"value\":\"%s\",", i ? "," : "",
                      event->source,
                      clip_source_event_name((enum clip_source_event_kind)event->kind),
                      clip_source_event_value(event));
        put_seconds(to, "t", event->mono_ns, offset_ns);
        (void)fputc('}', to);
    }
    (void)fprintf(to, "],\"source_events_left_out\":%" PRIu64, c->source_events_left_out);
}

static void put_completeness(FILE *to, const struct clip_completeness *c, int64_t offset_ns)
{
    (void)fprintf(to, ",\"completeness\":{\"sources\":[");
    for (uint32_t i = 0; i < c->source_count; i++) {
        const struct clip_source_counts *s = &c->sources[i];
        (void)fprintf(to, "%s{\"received\":%" PRIu64 ",\"dropped_kernel\":%" PRIu64
                      ",\"dropped_queue\":%" PRIu64 ",\"dropped_filter\":%" PRIu64
                      ",\"dropped_driver\":%" PRIu64 ",\"late\":%" PRIu64
                      ",\"error_frames\":%" PRIu64 ",\"stored\":%" PRIu64,
                      i ? "," : "", s->received, s->dropped_kernel, s->dropped_queue,
                      s->dropped_filter, s->dropped_driver, s->late, s->error_frames, s->stored);
        put_interface(to, &c->interfaces[i]);
        (void)fputc('}', to);
    }
    (void)fputc(']', to);
    put_source_events(to, c, offset_ns);
    (void)fprintf(to, ",\"gaps\":%" PRIu64 ",\"clamped\":%" PRIu64 ",\"discontinuities\":%" PRIu64
                  ",\"skipped_lines\":%" PRIu64 ",", c->gaps, c->clamped, c->discontinuities,
                  c->skipped_lines);
    put_key_text(to, "clock_quality", c->clock_quality);
    (void)fputc('}', to);
}

static void put_relatives(FILE *to, const struct clip_manifest *m)
{
    if (m->continues) {
        (void)fputc(',', to);
        put_hex(to, "continues", m->continues_id, CLIP_ID_BYTES);
    }
    (void)fprintf(to, ",\"overlaps\":[");
    for (uint32_t i = 0; i < m->overlap_count; i++) {
        char id[CLIP_ID_HEX];
        hex_from(m->overlaps[i], CLIP_ID_BYTES, id);
        (void)fprintf(to, "%s\"%s\"", i ? "," : "", id);
    }
    (void)fputc(']', to);
}

static void json_manifest(FILE *to, const struct clip_manifest *m)
{
    (void)fprintf(to, "],\"manifest\":{");
    put_hex(to, "clip_id", m->clip_id, CLIP_ID_BYTES);
    (void)fprintf(to, ",\"segment\":%u,\"last_segment\":%s,\"frames\":%" PRIu64
                  ",\"row_bytes\":%" PRIu64 ",\"groups\":%u,\"body_bytes\":%" PRIu64 ",",
                  m->segment, m->last_segment ? "true" : "false", m->frames, m->row_bytes,
                  m->groups, m->body_bytes);
    put_hex(to, "body_sha256", m->body_sha256, SHA256_BYTES);
    (void)fputc(',', to);
    put_seconds(to, "start", m->start_ns, m->start_offset_ns);
    (void)fputc(',', to);
    put_seconds(to, "end", m->end_ns, m->end_offset_ns);
    (void)fprintf(to, ",\"first_step\":%" PRIu64 ",\"last_step\":%" PRIu64 ",\"reason\":\"%s\",",
                  m->first_step, m->last_step, clip_end_name(m->end));
    put_key_text(to, "detail", m->end_detail);
    put_relatives(to, m);
    put_completeness(to, &m->completeness, m->start_offset_ns);
    put_dbcs(to, m->dbcs, m->dbc_count);
    put_clock(to, &m->clock);
    (void)fprintf(to, ",\"events\":[");
    for (uint32_t i = 0; i < m->event_count; i++) {
        (void)fputs(i ? "," : "", to);
        put_event(to, &m->events[i]);
    }
    (void)fprintf(to, "]}}");
}

static void json_broken(FILE *to) { (void)fprintf(to, "]}"); }

static void json_end(FILE *to, const struct inspect_result *result)
{
    (void)fprintf(to, "],\"bytes\":%" PRIu64 ",\"good_bytes\":%" PRIu64 ",\"frames\":%" PRIu64
                  ",\"state\":\"%s\",", result->stats.fed_bytes, result->stats.good_bytes,
                  result->stats.rows, inspect_state(result));
    put_key_text(to, "error", result->text);
    (void)fprintf(to, "}\n");
}

const struct inspect_printer inspect_json = { json_begin, json_header, json_seed, json_group,
                                              json_manifest, json_broken, json_end };
