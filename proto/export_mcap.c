/* Invariants:
 * - Channel ids: 1 + source for raw topics, then one for marks and one for events, then decoded
 *   channels in the order in which their messages first appear: all of it follows from the input.
 * - `routes` are those of the generation in force.
 * - Events before `next_event` are written; `event_order` has them by fire time. */
#include "proto/export_mcap.h"

#include "proto/dbset.h"
#include "proto/mcap_frame.h"
#include "proto/mcap_meta.h"
#include "proto/mcap_signals.h"
#include "proto/timeline.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNK_NS 1000000000
#define ZSTD_LEVEL 3
#define BODY_BYTES (MCAP_WRITE_RECORD_MAX - 4096) /* of a message or descriptor */
#define MAP_BYTES 262144
#define TABLE_SIZE (4 * EXPORT_MCAP_CHANNELS_MAX)

enum { SCHEMA_FRAME = 1, SCHEMA_MARK, SCHEMA_EVENT, SCHEMA_DECODED };
enum { CHANNEL_RAW = 1, CHANNEL_MARK = CHANNEL_RAW + SOURCES_MAX, CHANNEL_EVENT, CHANNEL_DECODED };

/* A DBC message on one bus. */
struct decoded_channel {
    const struct dbset_entry *entry;
    uint32_t message; /* index in its database */
    uint8_t source;
    bool too_large; /* its schema or topic passes a limit: its frames stay raw */
    uint16_t id;
    uint32_t sequence;
    struct mcap_signals *signals;
};

struct export_mcap {
    struct export_mcap_config config;
    struct mcap_writer *writer;
    struct timeline timeline;
    bool wall_known;
    int64_t wall_offset_ns;

    uint8_t *body; /* BODY_BYTES */
    uint8_t *map;  /* MAP_BYTES */
    uint32_t raw_sequence[SOURCES_MAX], mark_sequence, event_sequence;

    bool routed;
    struct dbset_route routes[SOURCES_MAX];
    struct decoded_channel *channels;
    uint32_t channel_count;
    uint16_t *table; /* TABLE_SIZE places: 1 + index in channels, or 0 */

    uint32_t *event_order;
    uint32_t event_count, next_event;
    uint64_t first_log_time;
    bool any;
    struct export_mcap_stats stats;
};

/* --- time --- */

static int64_t add_ns(int64_t a, int64_t b)
{
    int64_t sum;

    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

/* A time of the session as the file has it. MCAP times are unsigned. */
static uint64_t file_time(struct export_mcap *e, int64_t mono_ns)
{
    int64_t ns = add_ns(mono_ns, e->wall_offset_ns);

    if (ns >= 0)
        return (uint64_t)ns;
    e->stats.times_clamped++;
    return 0;
}

static void find_wall(struct export_mcap *e)
{
    const struct recording_clip *clip = e->config.clip;
    const struct clip_clock *clock = clip ? &clip->header->clock : NULL;

    e->wall_known = e->config.wall_known;
    e->wall_offset_ns = e->wall_known ? e->config.wall_offset_ns : 0;
    if (e->wall_known || !clock)
        return;
    if (!clock->known && clip->manifest)
        clock = &clip->manifest->clock;
    if (!clock->known || __builtin_sub_overflow(clock->utc_ns, clock->mono_ns, &e->wall_offset_ns))
        return;
    e->wall_known = true;
}

/* --- errors --- */

static int fail(struct err *err, int rc)
{
    if (rc < 0)
        (void)err_plain(err, rc, "cannot write the MCAP: %s", strerror(-rc));
    return rc;
}

/* --- schemas and channels that every file has --- */

static int put_schema(struct export_mcap *e, uint16_t id, const char *name, const struct pbw *w)
{
    if (w->failed)
        return -EMSGSIZE;
    return mcap_write_schema(e->writer, &(struct mcap_schema){ id, mcap_text(name),
                                                               mcap_text("protobuf"),
                                                               mcap_view(w->bytes, w->used) });
}

static int put_channel(struct export_mcap *e, uint16_t id, uint16_t schema, const char *topic,
                       const struct mcap_map *map)
{
    return mcap_write_channel(e->writer,
                              &(struct mcap_channel){ id, schema, mcap_text(topic),
                                                      mcap_text("protobuf"), mcap_map_view(map) });
}

static void add_number(struct mcap_map *map, const char *key, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    mcap_map_add(map, key, mcap_text(text));
}

static int define_raw(struct export_mcap *e, uint32_t source)
{
    const struct source *s = &e->config.sources->items[source];
    struct mcap_map map = { .bytes = e->map, .size = MAP_BYTES };
    char topic[SOURCE_NAME_MAX + 16];

    mcap_map_add(&map, "bus", mcap_text(s->name));
    add_number(&map, "source", source);
    add_number(&map, "tick_ns", s->tick_ns);
    add_number(&map, "origin", (uint64_t)s->origin);
    (void)snprintf(topic, sizeof topic, "/can/%s/raw", s->name);
    return put_channel(e, (uint16_t)(CHANNEL_RAW + source), SCHEMA_FRAME, topic, &map);
}

static int define_own(struct export_mcap *e)
{
    static const char *const schemas[] = { MCAP_FRAME_SCHEMA, MCAP_MARK_SCHEMA, MCAP_EVENT_SCHEMA };
    const struct mcap_map none = { .bytes = e->map };
    int rc = 0;

    for (uint16_t i = 0; !rc && i < 3; i++) {
        struct pbw w = pbw_init(e->body, BODY_BYTES);
        mcap_frame_descriptor(&w, schemas[i]);
        rc = put_schema(e, (uint16_t)(SCHEMA_FRAME + i), schemas[i], &w);
    }
    for (uint32_t i = 0; !rc && i < e->config.sources->count; i++)
        rc = define_raw(e, i);
    if (!rc)
        rc = put_channel(e, CHANNEL_MARK, SCHEMA_MARK, "/roadloop/mark", &none);
    if (!rc)
        rc = put_channel(e, CHANNEL_EVENT, SCHEMA_EVENT, "/event", &none);
    return rc;
}

/* --- open and close --- */

static const struct clip_manifest *manifest_of(const struct export_mcap *e)
{
    return e->config.clip ? e->config.clip->manifest : NULL;
}

/* Insertion sort: at most CLIP_EVENTS_MAX, nearly sorted. */
static int order_events(struct export_mcap *e)
{
    const struct clip_manifest *manifest = manifest_of(e);

    if (!manifest || e->event_order)
        return 0;
    e->event_order = malloc(((size_t)manifest->event_count + 1) * sizeof *e->event_order);
    if (!e->event_order)
        return -ENOMEM;
    for (uint32_t i = 0; i < manifest->event_count; i++) {
        uint32_t at = i;
        while (at && manifest->events[e->event_order[at - 1]].fire_ns >
                         manifest->events[i].fire_ns) {
            e->event_order[at] = e->event_order[at - 1];
            at--;
        }
        e->event_order[at] = i;
    }
    e->event_count = manifest->event_count;
    return 0;
}

/* The databases of a generation serve until the next one that is listed. */
static void route(struct export_mcap *e, uint32_t generation)
{
    const struct dbset *set = NULL;

    for (uint32_t i = 0; i < e->config.generation_count; i++)
        if (e->config.generations[i].generation <= generation)
            set = e->config.generations[i].dbset;
    e->routed = set != NULL;
    for (uint32_t i = 0; set && i < e->config.sources->count; i++)
        dbset_route_init(&e->routes[i], set, e->config.sources->items[i].name);
}

static int open_parts(struct export_mcap *e, const struct mcap_sink *sink)
{
    const struct mcap_write_config config = {
        .profile = "", .library = "roadloop/" ROADLOOP_VERSION, .features = MCAP_USE_ALL,
        .compress = true, .level = ZSTD_LEVEL, .chunk_bytes = MCAP_WRITE_CHUNK_DEFAULT,
        .chunk_ns = CHUNK_NS,
    };

    e->body = malloc(BODY_BYTES);
    e->map = malloc(MAP_BYTES);
    e->channels = calloc(EXPORT_MCAP_CHANNELS_MAX, sizeof *e->channels);
    e->table = calloc(TABLE_SIZE, sizeof *e->table);
    if (!e->body || !e->map || !e->channels || !e->table)
        return -ENOMEM;
    find_wall(e);
    route(e, e->config.clip ? e->config.clip->header->generation : 0);
    int rc = order_events(e);
    if (!rc)
        rc = mcap_writer_open(&config, sink, &e->writer);
    return rc ? rc : define_own(e);
}

int export_mcap_open(const struct export_mcap_config *config, const struct mcap_sink *sink,
                     struct export_mcap **ret_export, struct err *err)
{
    struct export_mcap *e = calloc(1, sizeof *e);

    if (!e)
        return fail(err, -ENOMEM);
    e->config = *config;
    timeline_init(&e->timeline);
    int rc = config->generation_count > EXPORT_MCAP_GENERATIONS_MAX ? -ERANGE
                                                                    : open_parts(e, sink);
    if (rc) {
        export_mcap_close(e);
        return fail(err, rc);
    }
    *ret_export = e;
    return 0;
}

void export_mcap_close(struct export_mcap *e)
{
    if (!e)
        return;
    mcap_writer_close(e->writer);
    for (uint32_t i = 0; i < e->channel_count; i++)
        mcap_signals_free(e->channels[i].signals);
    free(e->channels);
    free(e->table);
    free(e->event_order);
    free(e->body);
    free(e->map);
    free(e);
}

void export_mcap_stats(const struct export_mcap *e, struct export_mcap_stats *ret_stats)
{
    *ret_stats = e->stats;
    ret_stats->bytes = mcap_writer_position(e->writer);
}

/* --- messages --- */

static int put_message(struct export_mcap *e, uint16_t channel, uint32_t *sequence,
                       uint64_t log_time, uint64_t publish_time, const struct pbw *w)
{
    if (w->failed)
        return -EMSGSIZE;
    if (!e->any)
        e->first_log_time = log_time;
    e->any = true;
    return mcap_write_message(e->writer,
                              &(struct mcap_message){ channel, (*sequence)++, log_time,
                                                      publish_time, mcap_view(w->bytes, w->used) });
}

/* Events that fired before mono_ns: each stands behind the rows of its own time. */
static int put_events(struct export_mcap *e, int64_t mono_ns, bool all)
{
    const struct clip_manifest *manifest = manifest_of(e);
    int rc = order_events(e);

    while (!rc && e->next_event < e->event_count) {
        const struct clip_event *event = &manifest->events[e->event_order[e->next_event]];
        if (!all && event->fire_ns >= mono_ns)
            break;
        struct pbw w = pbw_init(e->body, BODY_BYTES);
        mcap_event_encode(&w, event, e->wall_offset_ns);
        uint64_t time = file_time(e, event->fire_ns);
        rc = put_message(e, CHANNEL_EVENT, &e->event_sequence, time, time, &w);
        e->next_event++;
        e->stats.events++;
    }
    return rc;
}

static size_t table_place(const struct dbset_entry *entry, uint32_t message, uint8_t source)
{
    uint64_t hash = load_le64(entry->sha256) + message * UINT64_C(0x9e3779b97f4a7c15) + source;

    return (size_t)((hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 40) % TABLE_SIZE;
}

/* The same database under another generation has the same channels. */
static bool is_channel(const struct decoded_channel *c, const struct dbset_entry *entry,
                       uint32_t message, uint8_t source)
{
    return c->message == message && c->source == source &&
           !memcmp(c->entry->sha256, entry->sha256, SHA256_BYTES);
}

static int define_decoded(struct export_mcap *e, struct decoded_channel *c)
{
    const struct dbc_message *message = &c->entry->dbc->messages[c->message];
    const char *bus = e->config.sources->items[c->source].name;
    struct mcap_map map = { .bytes = e->map, .size = MAP_BYTES };
    struct pbw w = pbw_init(e->body, BODY_BYTES);
    char bus_name[MCAP_SIGNALS_NAME_MAX];
    char text[2 * MCAP_SIGNALS_NAME_MAX + 32], hex[SHA256_HEX];

    (void)pbw_identifier(bus, bus_name, sizeof bus_name);
    (void)snprintf(text, sizeof text, "roadloop.%s.%s", bus_name,
                   mcap_signals_name(c->signals));
    mcap_signals_descriptor(c->signals, bus, &w);
    int rc = put_schema(e, c->id, text, &w);
    if (rc)
        return rc;
    hex_from(c->entry->sha256, SHA256_BYTES, hex);
    mcap_map_add(&map, "bus", mcap_text(bus));
    mcap_map_add(&map, "dbc", mcap_text(c->entry->name));
    mcap_map_add(&map, "dbc_sha256", mcap_text(hex));
    mcap_map_add(&map, "message", mcap_text(message->name));
    add_number(&map, "id", message->id);
    for (uint32_t i = 0; i < message->signal_count; i++) {
        if (!message->signals[i].unit[0])
            continue;
        (void)snprintf(text, sizeof text, "unit.%s", mcap_signals_field(c->signals, i));
        mcap_map_add(&map, text, mcap_text(message->signals[i].unit));
    }
    (void)snprintf(text, sizeof text, "/can/%s/%s", bus, mcap_signals_name(c->signals));
    return put_channel(e, c->id, c->id, text, &map);
}

/* -EMSGSIZE and -ENOBUFS (of the writer's summary) keep the message raw and the file whole. */
static int new_channel(struct export_mcap *e, const struct dbset_entry *entry, uint32_t message,
                       uint8_t source, struct decoded_channel **ret_channel)
{
    struct decoded_channel *c = &e->channels[e->channel_count];

    *c = (struct decoded_channel){ .entry = entry, .message = message, .source = source,
                                   .id = (uint16_t)(CHANNEL_DECODED + e->channel_count) };
    int rc = mcap_signals_make(&entry->dbc->messages[message], &c->signals);
    if (rc)
        return rc;
    e->channel_count++;
    rc = define_decoded(e, c);
    if (rc == -EMSGSIZE || rc == -ENOBUFS) {
        c->too_large = true;
        rc = 0;
    }
    *ret_channel = c;
    return rc;
}

/* NULL in *ret_channel when there are too many. */
static int find_channel(struct export_mcap *e, const struct dbset_entry *entry, uint32_t message,
                        uint8_t source, struct decoded_channel **ret_channel)
{
    size_t at = table_place(entry, message, source);

    for (; e->table[at]; at = (at + 1) % TABLE_SIZE)
        if (is_channel(&e->channels[e->table[at] - 1], entry, message, source)) {
            *ret_channel = &e->channels[e->table[at] - 1];
            return 0;
        }
    *ret_channel = NULL;
    if (e->channel_count == EXPORT_MCAP_CHANNELS_MAX)
        return 0;
    e->table[at] = (uint16_t)(e->channel_count + 1);
    return new_channel(e, entry, message, source, ret_channel);
}

static int put_decoded(struct export_mcap *e, const struct frame *frame, uint64_t log_time,
                       uint64_t publish_time)
{
    struct mcap_signals_count count;
    struct decoded_channel *channel;
    struct dbset_match match;

    if (!e->routed || !dbset_find(&e->routes[frame->source], frame->id, frame->flags, &match))
        return 0;
    const struct dbset_entry *entry =
        &e->routes[frame->source].set->entries[match.entry];
    uint32_t message = (uint32_t)(match.message - entry->dbc->messages);
    int rc = find_channel(e, entry, message, frame->source, &channel);
    if (rc)
        return rc;
    if (!channel) {
        e->stats.channels_full++;
        return 0;
    }
    struct pbw w = pbw_init(e->body, BODY_BYTES);
    if (!channel->too_large)
        mcap_signals_encode(channel->signals, frame->data, frame->len, &w, &count);
    if (channel->too_large || w.failed) {
        e->stats.too_large++;
        return 0;
    }
    e->stats.decoded++;
    e->stats.signals += count.values;
    e->stats.absent += count.absent;
    e->stats.not_numbers += count.not_numbers;
    return put_message(e, channel->id, &channel->sequence, log_time, publish_time, &w);
}

static int put_row(struct export_mcap *e, const struct recording_item *item)
{
    const struct row *row = &item->row;
    uint8_t source = row->frame.source;
    int rc = put_events(e, row->mono_ns, false);

    if (rc)
        return rc;
    uint64_t log_time = file_time(e, row->mono_ns);
    uint64_t publish_time = file_time(e, add_ns(row->frame.stamp_ns, row->offset_ns));
    struct pbw w = pbw_init(e->body, BODY_BYTES);
    mcap_frame_encode(&w, item);
    rc = put_message(e, (uint16_t)(CHANNEL_RAW + source), &e->raw_sequence[source], log_time,
                     publish_time, &w);
    e->stats.frames++;
    return rc ? rc : put_decoded(e, &row->frame, log_time, publish_time);
}

static int put_mark(struct export_mcap *e, const struct recording_item *item)
{
    struct pbw w = pbw_init(e->body, BODY_BYTES);

    if (item->kind == RECORDING_CLOCK)
        (void)timeline_clock(&e->timeline, item->offset_ns, item->mono_ns);
    else
        route(e, item->generation);
    mcap_mark_encode(&w, item);
    e->stats.marks++;
    uint64_t time = file_time(e, e->timeline.mono_ns);
    return put_message(e, CHANNEL_MARK, &e->mark_sequence, time, time, &w);
}

int export_mcap_put(struct export_mcap *e, const struct recording_item *item, struct err *err)
{
    struct recording_item placed = *item;

    if (item->kind != RECORDING_FRAME)
        return fail(err, put_mark(e, item));
    if (item->row.frame.source >= e->config.sources->count)
        return err_plain(err, -EINVAL, "a frame of source %u, which the table does not have",
                         item->row.frame.source);
    if (!item->placed)
        (void)timeline_put(&e->timeline, &item->row.frame, &placed.row);
    else if (timeline_obey(&e->timeline, &item->row) < 0)
        return err_plain(err, -EBADMSG, "step %llu runs back",
                         (unsigned long long)item->row.step);
    placed.placed = true;
    return fail(err, put_row(e, &placed));
}

int export_mcap_finish(struct export_mcap *e, struct err *err)
{
    int rc = fail(err, put_events(e, 0, true));

    if (rc)
        return rc;
    const struct mcap_meta meta = { &e->config, &e->timeline, e->wall_known, e->wall_offset_ns,
                                    e->first_log_time };
    rc = mcap_meta_write(&meta, e->writer, err);
    return rc ? rc : fail(err, mcap_writer_finish(e->writer));
}

/* --- all of a recording --- */

static int copy_items(struct recording *recording, struct export_mcap *e, struct err *err)
{
    struct recording_item item;
    int rc;

    while ((rc = recording_next(recording, &item, err)) == 1) {
        rc = export_mcap_put(e, &item, err);
        if (rc)
            return rc;
    }
    return rc ? rc : export_mcap_finish(e, err);
}

int export_mcap_recording(struct recording *recording, const struct export_mcap_config *config,
                          const struct mcap_sink *sink, struct export_mcap_stats *ret_stats,
                          struct err *err)
{
    struct export_mcap_config whole = *config;
    struct export_mcap *e = NULL;
    struct recording_scan scan;
    int rc = recording_scan(recording, &scan, err);

    if (rc)
        return rc;
    whole.sources = recording_sources(recording);
    whole.clip = recording_clip(recording);
    whole.skips = &scan.skips;
    whole.recording_sha256 = scan.sha256;
    rc = export_mcap_open(&whole, sink, &e, err);
    if (rc)
        return rc;
    rc = copy_items(recording, e, err);
    if (!rc)
        export_mcap_stats(e, ret_stats);
    export_mcap_close(e);
    return rc;
}
