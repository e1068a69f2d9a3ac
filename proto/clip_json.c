#include "proto/clip_json.h"

#include <inttypes.h>

void clip_json_time(int64_t ns, char text[32])
{
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

    (void)snprintf(text, 32, "%s%" PRIu64 ".%09" PRIu64, ns < 0 ? "-" : "", size / 1000000000,
                   size % 1000000000);
}

static void put_key(struct json_text *text, const char *key) { json_printf(text, ",\"%s\":", key); }

/* As in the encoders of clip.h, NULL stands for "". */
static void quote(struct json_text *text, const char *value) { json_quote(text, value ? value : ""); }

static void put_text(struct json_text *text, const char *key, const char *value)
{
    put_key(text, key);
    quote(text, value);
}

static void put_number(struct json_text *text, const char *key, uint64_t value)
{
    put_key(text, key);
    json_printf(text, "%" PRIu64, value);
}

static void put_flag(struct json_text *text, const char *key, bool value)
{
    put_key(text, key);
    json_printf(text, "%s", value ? "true" : "false");
}

static void put_hex(struct json_text *text, const char *key, const uint8_t *bytes, size_t size)
{
    char hex[SHA256_HEX];

    hex_from(bytes, size, hex);
    put_key(text, key);
    json_printf(text, "\"%s\"", hex);
}

/* Mono, printed in the recording's own clock. Wraps rather than overflows on hostile bytes. */
static void put_time(struct json_text *text, const char *key, int64_t mono_ns, int64_t offset_ns)
{
    char time[32];

    clip_json_time((int64_t)((uint64_t)mono_ns - (uint64_t)offset_ns), time);
    put_key(text, key);
    json_printf(text, "\"%s\"", time);
}

static void put_dbcs(struct json_text *text, const struct clip_dbc *dbcs, uint32_t count)
{
    put_key(text, "databases");
    json_printf(text, "[");
    for (uint32_t i = 0; i < count; i++) {
        json_printf(text, "%s{\"bus\":", i ? "," : "");
        quote(text, dbcs[i].bus);
        put_text(text, "name", dbcs[i].name);
        put_hex(text, "sha256", dbcs[i].sha256, SHA256_BYTES);
        json_printf(text, "}");
    }
    json_printf(text, "]");
}

static void put_clock(struct json_text *text, const struct clip_clock *clock)
{
    char time[32];

    if (!clock->known)
        return;
    put_key(text, "clock");
    json_printf(text, "{\"source\":");
    quote(text, clock->source);
    put_time(text, "mono", clock->mono_ns, 0);
    clip_json_time(clock->utc_ns, time);
    json_printf(text, ",\"utc\":\"%s\",\"uncertainty_ns\":%" PRId64 "}", time,
                clock->uncertainty_ns);
}

static void put_value(struct json_text *text, const struct clip_value *value)
{
    quote(text, value->name);
    json_printf(text, ":{\"kind\":%d", (int)value->kind);
    switch (value->kind) {
    case CLIP_VALUE_UNKNOWN: break;
    case CLIP_VALUE_NUMBER:
        /* JSON has no infinity and no NaN: those are left out, the kind still says number. */
        if (value->number - value->number == 0) {
            put_key(text, "number");
            json_printf(text, "%.17g", value->number);
        }
        break;
    case CLIP_VALUE_TEXT: put_text(text, "text", value->text); __attribute__((fallthrough));
    default:
        put_key(text, "integer");
        json_printf(text, "%" PRId64, value->integer);
    }
    if (value->unit && value->unit[0])
        put_text(text, "unit", value->unit);
    json_printf(text, "}");
}

static void put_event(struct json_text *text, const struct clip_event *event)
{
    json_printf(text, "{\"rule\":");
    quote(text, event->rule);
    put_hex(text, "rule_sha256", event->rule_hash, SHA256_BYTES);
    put_number(text, "ordinal", event->ordinal);
    put_text(text, "edge", clip_edge_name(event->edge));
    put_time(text, "start", event->start_ns, event->offset_ns);
    put_time(text, "fire", event->fire_ns, event->offset_ns);
    if (event->ended)
        put_time(text, "end", event->end_ns, event->offset_ns);
    if (event->closed)
        put_time(text, "closed", event->closed_ns, event->offset_ns);
    put_number(text, "fire_step", event->fire_step);
    put_number(text, "generation", event->generation);
    put_text(text, "reason", event->reason);
    put_key(text, "values");
    json_printf(text, "{");
    for (uint32_t i = 0; i < event->value_count; i++) {
        if (i)
            json_printf(text, ",");
        put_value(text, &event->values[i]);
    }
    json_printf(text, "}}");
}

static void put_source(struct json_text *text, const struct source *source,
                       const struct clip_source_counts *counts,
                       const struct clip_interface *interface)
{
    json_printf(text, "{\"name\":");
    quote(text, source->name);
    put_number(text, "tick_ns", source->tick_ns);
    if (counts) {
        put_number(text, "received", counts->received);
        put_number(text, "stored", counts->stored);
        put_number(text, "dropped_kernel", counts->dropped_kernel);
        put_number(text, "dropped_queue", counts->dropped_queue);
        put_number(text, "dropped_filter", counts->dropped_filter);
        put_number(text, "dropped_driver", counts->dropped_driver);
        put_number(text, "late", counts->late);
        put_number(text, "error_frames", counts->error_frames);
    }
    put_text(text, "stamps", stamp_origin_name(source->origin));
    if (interface && interface->known) {
        put_flag(text, "up", interface->up);
        put_text(text, "bus_state", clip_bus_state_name((enum clip_bus_state)interface->bus_state));
        put_number(text, "interface_frames", interface->rx_frames);
        put_number(text, "interface_errors", interface->rx_errors);
        put_number(text, "bus_offs", interface->bus_offs);
    }
    json_printf(text, "}");
}

static void put_header(struct json_text *text, const struct clip_header *header,
                       const struct clip_manifest *manifest)
{
    put_hex(text, "clip", header->clip_id, CLIP_ID_BYTES);
    put_hex(text, "session", header->session_id, SESSION_ID_BYTES);
    put_number(text, "ordinal", header->ordinal);
    put_number(text, "segments", header->segments);
    put_text(text, "vehicle", header->vehicle);
    put_text(text, "rule", header->rule);
    put_text(text, "purpose", header->purpose);
    put_text(text, "class", header->clip_class);
    put_number(text, "priority", header->priority);
    put_number(text, "generation", header->generation);
    put_number(text, "engine_version", header->engine_version);
    put_hex(text, "pack_sha256", header->pack_sha256, SHA256_BYTES);
    put_hex(text, "shaping_sha256", header->shaping_sha256, SHA256_BYTES);
    put_hex(text, "recording_sha256", header->recording_sha256, SHA256_BYTES);
    put_key(text, "sources");
    json_printf(text, "[");
    for (uint32_t i = 0; i < header->sources.count; i++) {
        if (i)
            json_printf(text, ",");
        put_source(text, &header->sources.items[i],
                   manifest ? &manifest->completeness.sources[i] : NULL,
                   manifest ? &manifest->completeness.interfaces[i] : NULL);
    }
    json_printf(text, "]");
}

static void put_source_events(struct json_text *text, const struct clip_completeness *c,
                              int64_t offset_ns)
{
    put_key(text, "source_events");
    json_printf(text, "[");
    for (uint32_t i = 0; i < c->source_event_count; i++) {
        const struct clip_source_event *event = &c->source_events[i];
        json_printf(text, "%s{\"source\":%u", i ? "," : "", event->source);
        put_text(text, "event", clip_source_event_name((enum clip_source_event_kind)event->kind));
        put_text(text, "value", clip_source_event_value(event));
        put_time(text, "t", event->mono_ns, offset_ns);
        json_printf(text, "}");
    }
    json_printf(text, "]");
    put_number(text, "source_events_left_out", c->source_events_left_out);
}

static void put_manifest(struct json_text *text, const struct clip_manifest *manifest)
{
    const struct clip_completeness *c = &manifest->completeness;

    put_time(text, "start", manifest->start_ns, manifest->start_offset_ns);
    put_time(text, "end", manifest->end_ns, manifest->end_offset_ns);
    put_text(text, "ended", clip_end_name(manifest->end));
    put_text(text, "ended_detail", manifest->end_detail);
    if (manifest->continues)
        put_hex(text, "continues", manifest->continues_id, CLIP_ID_BYTES);
    put_number(text, "first_step", manifest->first_step);
    put_number(text, "last_step", manifest->last_step);
    put_number(text, "gaps", c->gaps);
    put_number(text, "clamped", c->clamped);
    put_number(text, "discontinuities", c->discontinuities);
    put_number(text, "skipped_lines", c->skipped_lines);
    put_text(text, "clock_quality", c->clock_quality);
    put_source_events(text, c, manifest->start_offset_ns);
    put_key(text, "events");
    json_printf(text, "[");
    for (uint32_t i = 0; i < manifest->event_count; i++) {
        if (i)
            json_printf(text, ",");
        put_event(text, &manifest->events[i]);
    }
    json_printf(text, "]");
}

void clip_json(const struct clip_header *header, const struct clip_manifest *manifest,
               struct json_text *text)
{
    json_printf(text, "{\"format_version\":%u", header->format_version);
    put_header(text, header, manifest);
    if (manifest)
        put_manifest(text, manifest);
    put_flag(text, "whole", manifest && manifest->last_segment);
    put_dbcs(text, manifest ? manifest->dbcs : header->dbcs,
             manifest ? manifest->dbc_count : header->dbc_count);
    put_clock(text, manifest && manifest->clock.known ? &manifest->clock : &header->clock);
    json_printf(text, "}\n");
}
