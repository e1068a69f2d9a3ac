/* Header and manifest into protobuf: the message borrows everything from the struct. */
#include "proto/clip_pb.h"

#include "proto/clip.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t no_bytes[SHA256_BYTES];

/* protobuf-c takes char *; nothing is written through it. */
static char *text_of(const char *text) { return (char *)(uintptr_t)(text ? text : ""); }

/* A hash of zeros is left out. */
static ProtobufCBinaryData hash_of(const uint8_t *bytes, size_t size)
{
    if (!memcmp(bytes, no_bytes, size))
        return (ProtobufCBinaryData){ 0, NULL };
    return (ProtobufCBinaryData){ size, (uint8_t *)(uintptr_t)bytes };
}

static ProtobufCBinaryData bytes_of(const uint8_t *bytes, size_t size)
{
    return (ProtobufCBinaryData){ size, (uint8_t *)(uintptr_t)bytes };
}

struct dbc_list {
    Roadloop__Dbc items[CLIP_DBCS_MAX], *pointers[CLIP_DBCS_MAX];
};

static Roadloop__Dbc **list_dbcs(struct dbc_list *list, const struct clip_dbc *dbcs,
                                 uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        roadloop__dbc__init(&list->items[i]);
        list->items[i].bus = text_of(dbcs[i].bus);
        list->items[i].name = text_of(dbcs[i].name);
        list->items[i].sha256 = hash_of(dbcs[i].sha256, SHA256_BYTES);
        list->pointers[i] = &list->items[i];
    }
    return list->pointers;
}

static Roadloop__Clock *clock_message(Roadloop__Clock *message, const struct clip_clock *clock)
{
    if (!clock->known)
        return NULL;
    roadloop__clock__init(message);
    message->mono_ns = clock->mono_ns;
    message->utc_ns = clock->utc_ns;
    message->uncertainty_ns = clock->uncertainty_ns;
    message->source = text_of(clock->source);
    return message;
}

static int64_t pack(const ProtobufCMessage *message, uint8_t *out, size_t size)
{
    size_t need = protobuf_c_message_get_packed_size(message);

    if (!out)
        return (int64_t)need;
    if (need > size)
        return -ENOBUFS;
    return (int64_t)protobuf_c_message_pack(message, out);
}

static void fill_header(Roadloop__Header *m, const struct clip_header *h)
{
    m->format_version = CLIP_FORMAT_VERSION;
    m->clip_id = bytes_of(h->clip_id, CLIP_ID_BYTES);
    m->session_id = bytes_of(h->session_id, SESSION_ID_BYTES);
    m->ordinal = h->ordinal;
    m->segment = h->segment;
    m->segments = h->segments;
    m->vehicle = text_of(h->vehicle);
    m->rule = text_of(h->rule);
    m->rule_hash = hash_of(h->rule_hash, SHA256_BYTES);
    m->purpose = text_of(h->purpose);
    m->clip_class = text_of(h->clip_class);
    m->key_id = text_of(h->key_id);
    m->priority = h->priority;
    m->codec = h->codec;
    m->generation = h->generation;
    m->engine_version = h->engine_version;
    m->start_ns = h->start_ns;
    m->offset_ns = h->offset_ns;
    m->first_step = h->first_step;
    m->mono_floor_ns = h->mono_floor_ns;
    m->pack_sha256 = hash_of(h->pack_sha256, SHA256_BYTES);
    m->shaping_sha256 = hash_of(h->shaping_sha256, SHA256_BYTES);
    m->recording_sha256 = hash_of(h->recording_sha256, SHA256_BYTES);
    m->state = bytes_of(h->state, h->state_bytes);
}

int64_t clip_pb_header_pack(const struct clip_header *header, uint8_t *out, size_t size)
{
    Roadloop__Header message = ROADLOOP__HEADER__INIT;
    Roadloop__Source sources[SOURCES_MAX], *source_list[SOURCES_MAX];
    Roadloop__Clock clock;
    struct dbc_list dbcs;

    if (!clip_pb_header_fits(header))
        return -ERANGE;
    fill_header(&message, header);
    for (uint32_t i = 0; i < header->sources.count; i++) {
        const struct source *source = &header->sources.items[i];
        roadloop__source__init(&sources[i]);
        sources[i].name = text_of(source->name);
        sources[i].tick_ns = source->tick_ns;
        sources[i].origin = (uint32_t)source->origin;
        source_list[i] = &sources[i];
    }
    message.n_sources = header->sources.count;
    message.sources = source_list;
    message.n_dbcs = header->dbc_count;
    message.dbcs = list_dbcs(&dbcs, header->dbcs, header->dbc_count);
    message.clock = clock_message(&clock, &header->clock);
    return pack(&message.base, out, size);
}

/* What a manifest's lists need beside the struct; too large for the stack. */
struct manifest_lists {
    Roadloop__Event events[CLIP_EVENTS_MAX], *event_list[CLIP_EVENTS_MAX];
    Roadloop__Value values[CLIP_EVENTS_MAX * ATTACH_MAX], *value_list[CLIP_EVENTS_MAX * ATTACH_MAX];
    Roadloop__SourceCounts counts[SOURCES_MAX], *count_list[SOURCES_MAX];
    Roadloop__Interface interfaces[SOURCES_MAX];
    Roadloop__SourceEvent news[CLIP_SOURCE_EVENTS_MAX], *news_list[CLIP_SOURCE_EVENTS_MAX];
    Roadloop__Completeness completeness;
    Roadloop__Clock clock;
    ProtobufCBinaryData overlaps[CLIP_OVERLAPS_MAX];
    struct dbc_list dbcs;
};

static void fill_event(Roadloop__Event *m, const struct clip_event *e, Roadloop__Value *values,
                       Roadloop__Value **list)
{
    roadloop__event__init(m);
    m->rule = text_of(e->rule);
    m->rule_hash = hash_of(e->rule_hash, SHA256_BYTES);
    m->ordinal = e->ordinal;
    m->edge = (uint32_t)e->edge;
    m->start_ns = e->start_ns;
    m->fire_ns = e->fire_ns;
    m->end_ns = e->ended ? e->end_ns : 0;
    m->closed_ns = e->closed ? e->closed_ns : 0;
    m->offset_ns = e->offset_ns;
    m->fire_step = e->fire_step;
    m->ended = e->ended;
    m->closed = e->closed;
    m->elsewhere = e->elsewhere;
    m->generation = e->generation;
    m->reason = text_of(e->reason);
    m->n_values = e->value_count;
    m->values = list;
    for (uint32_t i = 0; i < e->value_count; i++) {
        const struct clip_value *value = &e->values[i];
        roadloop__value__init(&values[i]);
        values[i].name = text_of(value->name);
        values[i].kind = (uint32_t)value->kind;
        values[i].integer = value->integer;
        values[i].number = value->number;
        values[i].text = text_of(value->text);
        values[i].unit = text_of(value->unit);
        list[i] = &values[i];
    }
}

static Roadloop__Interface *fill_interface(Roadloop__Interface *m, const struct clip_interface *from)
{
    if (!from->known)
        return NULL;
    roadloop__interface__init(m);
    m->up = from->up;
    m->bus_state = from->bus_state;
    m->mono_ns = from->mono_ns;
    m->rx_frames = from->rx_frames;
    m->rx_errors = from->rx_errors;
    m->rx_dropped = from->rx_dropped;
    m->rx_overruns = from->rx_overruns;
    m->rx_missed = from->rx_missed;
    m->bitrate = from->bitrate;
    m->tx_error_count = from->tx_error_count;
    m->rx_error_count = from->rx_error_count;
    m->restarts = from->restarts;
    m->bus_errors = from->bus_errors;
    m->arbitration_lost = from->arbitration_lost;
    m->warnings = from->warnings;
    m->passives = from->passives;
    m->bus_offs = from->bus_offs;
    return m;
}

static void fill_source_events(struct manifest_lists *lists, const struct clip_completeness *c)
{
    for (uint32_t i = 0; i < c->source_event_count; i++) {
        roadloop__source_event__init(&lists->news[i]);
        lists->news[i].source = c->source_events[i].source;
        lists->news[i].kind = c->source_events[i].kind;
        lists->news[i].value = c->source_events[i].value;
        lists->news[i].mono_ns = c->source_events[i].mono_ns;
        lists->news_list[i] = &lists->news[i];
    }
    lists->completeness.n_source_events = c->source_event_count;
    lists->completeness.source_events = lists->news_list;
    lists->completeness.source_events_left_out = c->source_events_left_out;
}

static void fill_completeness(struct manifest_lists *lists, const struct clip_completeness *c)
{
    Roadloop__Completeness *m = &lists->completeness;

    roadloop__completeness__init(m);
    for (uint32_t i = 0; i < c->source_count; i++) {
        const struct clip_source_counts *from = &c->sources[i];
        roadloop__source_counts__init(&lists->counts[i]);
        lists->counts[i].received = from->received;
        lists->counts[i].dropped_kernel = from->dropped_kernel;
        lists->counts[i].dropped_queue = from->dropped_queue;
        lists->counts[i].dropped_filter = from->dropped_filter;
        lists->counts[i].late = from->late;
        lists->counts[i].error_frames = from->error_frames;
        lists->counts[i].stored = from->stored;
        lists->counts[i].dropped_driver = from->dropped_driver;
        lists->counts[i].interface = fill_interface(&lists->interfaces[i], &c->interfaces[i]);
        lists->count_list[i] = &lists->counts[i];
    }
    m->n_sources = c->source_count;
    m->sources = lists->count_list;
    m->gaps = c->gaps;
    m->clamped = c->clamped;
    m->discontinuities = c->discontinuities;
    m->skipped_lines = c->skipped_lines;
    m->clock_quality = text_of(c->clock_quality);
    fill_source_events(lists, c);
}

static void fill_manifest(Roadloop__Manifest *m, const struct clip_manifest *from)
{
    m->clip_id = bytes_of(from->clip_id, CLIP_ID_BYTES);
    m->segment = from->segment;
    m->last_segment = from->last_segment;
    m->frames = from->frames;
    m->row_bytes = from->row_bytes;
    m->groups = from->groups;
    m->body_bytes = from->body_bytes;
    m->body_sha256 = bytes_of(from->body_sha256, SHA256_BYTES);
    m->start_ns = from->start_ns;
    m->end_ns = from->end_ns;
    m->start_offset_ns = from->start_offset_ns;
    m->end_offset_ns = from->end_offset_ns;
    m->first_step = from->first_step;
    m->last_step = from->last_step;
    m->end = (uint32_t)from->end;
    m->end_detail = text_of(from->end_detail);
    if (from->continues)
        m->continues_id = bytes_of(from->continues_id, CLIP_ID_BYTES);
    m->pack_sha256 = hash_of(from->pack_sha256, SHA256_BYTES);
    m->shaping_sha256 = hash_of(from->shaping_sha256, SHA256_BYTES);
    m->early_state = bytes_of(from->early_state, from->early_state_bytes);
    m->early_seed = bytes_of(from->early_seed, from->early_seed_bytes);
}

int64_t clip_pb_manifest_pack(const struct clip_manifest *manifest, uint8_t *out, size_t size)
{
    Roadloop__Manifest message = ROADLOOP__MANIFEST__INIT;

    if (!clip_pb_manifest_fits(manifest))
        return -ERANGE;
    struct manifest_lists *lists = malloc(sizeof *lists);
    if (!lists)
        return -ENOMEM;
    fill_manifest(&message, manifest);
    for (uint32_t i = 0; i < manifest->event_count; i++) {
        fill_event(&lists->events[i], &manifest->events[i], lists->values + i * ATTACH_MAX,
                   lists->value_list + i * ATTACH_MAX);
        lists->event_list[i] = &lists->events[i];
    }
    message.n_events = manifest->event_count;
    message.events = lists->event_list;
    fill_completeness(lists, &manifest->completeness);
    message.completeness = &lists->completeness;
    for (uint32_t i = 0; i < manifest->overlap_count; i++)
        lists->overlaps[i] = bytes_of(manifest->overlaps[i], CLIP_ID_BYTES);
    message.n_overlaps = manifest->overlap_count;
    message.overlaps = lists->overlaps;
    message.n_dbcs = manifest->dbc_count;
    message.dbcs = list_dbcs(&lists->dbcs, manifest->dbcs, manifest->dbc_count);
    message.clock = clock_message(&lists->clock, &manifest->clock);
    int64_t bytes = pack(&message.base, out, size);
    free(lists);
    return bytes;
}
