/* The status as one line of JSON: what a person asks first. All counters are in the metrics. */
#include "daemon/snapshot.h"

#include "proto/json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *snapshot_state_name(enum snapshot_state state)
{
    static const char *const names[SNAPSHOT_STATE_COUNT] = { "starting", "running", "ended",
                                                             "stopping" };
    return names[state];
}

static void put_number(struct json_text *text, const char *key, uint64_t value)
{
    json_printf(text, "\"%s\":%" PRIu64 ",", key, value);
}

static void put_text(struct json_text *text, const char *key, const char *value)
{
    json_printf(text, "\"%s\":", key);
    json_quote(text, value);
    json_printf(text, ",");
}

static void put_interface(struct json_text *text, const struct clip_interface *interface)
{
    if (!interface->known)
        return;
    put_text(text, "bus", clip_bus_state_name((enum clip_bus_state)interface->bus_state));
    put_number(text, "bitrate", interface->bitrate);
    put_number(text, "interface_frames", interface->rx_frames);
    put_number(text, "interface_errors", interface->rx_errors);
    put_number(text, "interface_dropped", interface->rx_dropped + interface->rx_overruns +
                                              interface->rx_missed);
}

/* Every object ends with a member without a comma. */
static void put_source(struct json_text *text, const struct snapshot *snapshot, uint32_t i)
{
    static const char *const states[] = { "up", "down", "missing" };
    const struct source_stats *stats = &snapshot->capture.sources[i];

    json_printf(text, "%s{", i ? "," : "");
    put_text(text, "name", snapshot->sources.items[i].name);
    put_text(text, "state", states[stats->state < 3 ? stats->state : 2]);
    put_text(text, "why", stats->state == SOURCE_UP ? "" : strerror(stats->last_errno));
    put_number(text, "frames", stats->frames);
    put_number(text, "errors", stats->error_frames);
    put_text(text, "stamps", stamp_origin_name((enum stamp_origin)stats->origin));
    put_interface(text, &snapshot->interfaces[i]);
    put_number(text, "dropped_kernel", stats->dropped_kernel);
    put_number(text, "dropped_queue", snapshot->capture.dropped_queue[i] +
                                          snapshot->flow.dropped_queue[i]);
    put_number(text, "malformed", stats->malformed);
    json_printf(text, "\"buffer\":%" PRIu32 "}", stats->rcvbuf_bytes);
}

/* A recording has one player for all its buses. */
static void put_sources(struct json_text *text, const struct snapshot *snapshot)
{
    json_printf(text, "\"sources\":[");
    for (uint32_t i = 0; i < snapshot->sources.count; i++) {
        if (i < snapshot->capture.source_count)
            put_source(text, snapshot, i);
        else
            json_printf(text, "%s{\"name\":\"%s\"}", i ? "," : "", snapshot->sources.items[i].name);
    }
    json_printf(text, "],");
}

static void put_clips(struct json_text *text, const struct snapshot *snapshot)
{
    const struct pipeline_stats *pipeline = &snapshot->flow.pipeline;
    const struct outbox_books *books = &snapshot->store.books;

    json_printf(text, "\"clips\":{");
    put_number(text, "rows", pipeline->rows);
    put_number(text, "events", pipeline->events);
    put_number(text, "opened", pipeline->clips_opened);
    put_number(text, "open", pipeline->clips_open);
    put_number(text, "sealed", books->sealed);
    put_number(text, "delivered", books->delivered);
    put_number(text, "pending", books->pending);
    put_number(text, "parked", books->parked);
    put_number(text, "evicted", books->evicted);
    put_number(text, "expired", books->expired);
    json_printf(text, "\"erased\":%" PRIu64 ",\"stale\":%s},", books->erased,
                snapshot->store.books_stale ? "true" : "false");
}

static void put_store(struct json_text *text, const struct snapshot *snapshot)
{
    const struct clipstore_stats *store = &snapshot->store.clipstore;

    json_printf(text, "\"store\":{\"degraded\":%s,", store->degraded ? "true" : "false");
    put_text(text, "reason", store->reason);
    json_printf(text, "\"disk_bytes\":%" PRId64 ",\"quarantined\":%" PRIu64 "},",
                store->disk_bytes, store->quarantined);
    json_printf(text, "\"upload\":{");
    put_text(text, "transport", snapshot->transport);
    put_text(text, "error", snapshot->upload.transport.last_error);
    put_text(text, "refused", snapshot->upload.transport.last_poison);
    put_number(text, "bytes", snapshot->upload.bytes_sent);
    json_printf(text, "\"connected\":%s},",
                snapshot->upload.transport.connected ? "true" : "false");
}

static void put_threads(struct json_text *text, const struct snapshot *snapshot)
{
    json_printf(text, "\"threads\":{");
    for (int i = 0; i < WORKER_COUNT; i++)
        json_printf(text, "%s\"%s\":%" PRId64, i ? "," : "", worker_name((enum worker_id)i),
                    snapshot->heartbeat_age_ns[i] / NS_PER_MS);
    json_printf(text, "}");
}

int status_json(const struct snapshot *snapshot, char *text, size_t size)
{
    struct json_text out = { text, size, 0 };

    json_printf(&out, "{");
    put_text(&out, "state", snapshot_state_name((enum snapshot_state)snapshot->state));
    put_text(&out, "version", ROADLOOP_VERSION);
    put_text(&out, "vehicle", snapshot->vehicle);
    put_text(&out, "session", snapshot->session);
    put_text(&out, "config", snapshot->config);
    put_number(&out, "uptime_ms", (uint64_t)(snapshot->uptime_ns / NS_PER_MS));
    put_number(&out, "generation", snapshot->generation);
    put_text(&out, "digest", snapshot->digest);
    put_number(&out, "reloads", snapshot->reloads);
    put_number(&out, "reloads_failed", snapshot->reloads_failed);
    put_text(&out, "reload_error", snapshot->reload_error);
    put_number(&out, "memory_bytes", snapshot->memory_bytes);
    json_printf(&out, "\"clock_set\":%s,", snapshot->clock_set ? "true" : "false");
    put_sources(&out, snapshot);
    put_clips(&out, snapshot);
    put_store(&out, snapshot);
    put_threads(&out, snapshot);
    json_printf(&out, "}");
    return json_full(&out) ? -ENOBUFS : (int)out.length;
}

int where_json(const struct outbox_clip *clip, char *text, size_t size)
{
    struct json_text out = { text, size, 0 };
    char id[CLIP_ID_HEX];

    hex_from(clip->final.about.clip_id, CLIP_ID_BYTES, id);
    json_printf(&out, "{");
    put_text(&out, "clip", id);
    put_text(&out, "state", outbox_state_name(clip->state));
    put_text(&out, "reason", clip->reason);
    put_text(&out, "rule", clip->final.about.rule);
    put_number(&out, "priority", clip->final.about.priority);
    put_number(&out, "segments", clip->final.about.segments);
    put_number(&out, "sealed", clip->sealed);
    put_number(&out, "ask", clip->ask);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < clip->sealed && i < SEGMENTS_MAX; i++)
        bytes += clip->final.segments[i].bytes;
    put_number(&out, "bytes", bytes);
    json_printf(&out, "\"on_disk\":%s}", clip->on_disk ? "true" : "false");
    return json_full(&out) ? -ENOBUFS : (int)out.length;
}
