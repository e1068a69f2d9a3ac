/* Protobuf into header and manifest. */
#include "proto/clip_pb.h"

#include "proto/clip.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Everything of a decoded struct lives in one arena, so that hostile input meets one bound and
 * deinit is one walk. */
struct arena {
    struct arena_piece {
        struct arena_piece *next;
    } *pieces;
    size_t left;
};

static void *arena_alloc(void *context, size_t size)
{
    struct arena *arena = context;
    size_t need = sizeof(struct arena_piece) + size;

    if (size > CLIP_PB_MEMORY_MAX || need > arena->left)
        return NULL;
    struct arena_piece *piece = calloc(1, need);
    if (!piece)
        return NULL;
    arena->left -= need;
    piece->next = arena->pieces;
    arena->pieces = piece;
    return piece + 1;
}

/* Pieces are only released together. */
static void arena_free(void *context, void *piece)
{
    (void)context;
    (void)piece;
}

static void arena_close(struct arena *arena)
{
    while (arena && arena->pieces) {
        struct arena_piece *next = arena->pieces->next;
        free(arena->pieces);
        arena->pieces = next;
    }
    free(arena);
}

static struct arena *arena_open(void)
{
    struct arena *arena = calloc(1, sizeof *arena);

    if (arena)
        arena->left = CLIP_PB_MEMORY_MAX;
    return arena;
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, struct arena *arena,
                                const uint8_t *bytes, size_t size)
{
    ProtobufCAllocator allocator = { arena_alloc, arena_free, arena };

    return protobuf_c_message_unpack(type, &allocator, size, bytes);
}

/* Exactly `size` bytes, or (where `optional`) none, which is all zero. */
static bool get_bytes(ProtobufCBinaryData from, size_t size, bool optional, uint8_t *to)
{
    memset(to, 0, size);
    if (from.len == 0 && optional)
        return true;
    if (from.len != size)
        return false;
    memcpy(to, from.data, size);
    return true;
}

static bool get_clock(const Roadloop__Clock *from, struct clip_clock *to)
{
    *to = (struct clip_clock){ .source = "" };
    if (from)
        *to = (struct clip_clock){ true, from->mono_ns, from->utc_ns, from->uncertainty_ns,
                                   from->source };
    return true;
}

static bool get_dbcs(struct arena *arena, Roadloop__Dbc **from, size_t count,
                     const struct clip_dbc **ret_dbcs, uint32_t *ret_count)
{
    struct clip_dbc *dbcs = arena_alloc(arena, sizeof *dbcs * (count < 1 ? 1 : count));

    if (!dbcs || count > CLIP_DBCS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        dbcs[i].bus = from[i]->bus;
        dbcs[i].name = from[i]->name;
        if (!get_bytes(from[i]->sha256, SHA256_BYTES, true, dbcs[i].sha256))
            return false;
    }
    *ret_dbcs = dbcs;
    *ret_count = (uint32_t)count;
    return true;
}

static bool get_sources(const Roadloop__Header *m, struct source_table *table)
{
    if (m->n_sources > SOURCES_MAX)
        return false;
    table->count = (uint32_t)m->n_sources;
    for (size_t i = 0; i < m->n_sources; i++) {
        const Roadloop__Source *from = m->sources[i];
        size_t length = strlen(from->name);
        if (!source_name_fits(from->name, length) || from->tick_ns < 1 ||
            from->origin > STAMP_HARDWARE)
            return false;
        memcpy(table->items[i].name, from->name, length + 1);
        table->items[i].tick_ns = from->tick_ns;
        table->items[i].origin = (enum stamp_origin)from->origin;
    }
    return true;
}

static bool get_header_values(const Roadloop__Header *m, struct clip_header *h)
{
    h->format_version = m->format_version;
    h->ordinal = m->ordinal;
    h->segment = m->segment;
    h->segments = m->segments;
    h->vehicle = m->vehicle;
    h->rule = m->rule;
    h->purpose = m->purpose;
    h->clip_class = m->clip_class;
    h->key_id = m->key_id;
    h->priority = m->priority > PRIORITY_MAX ? UINT8_MAX : (uint8_t)m->priority;
    h->codec = m->codec > UINT8_MAX ? UINT8_MAX : (uint8_t)m->codec;
    h->generation = m->generation;
    h->engine_version = m->engine_version;
    h->start_ns = m->start_ns;
    h->offset_ns = m->offset_ns;
    h->first_step = m->first_step;
    h->mono_floor_ns = m->mono_floor_ns;
    h->state = m->state.data;
    h->state_bytes = (uint32_t)m->state.len;
    return get_bytes(m->clip_id, CLIP_ID_BYTES, false, h->clip_id) &&
           get_bytes(m->session_id, SESSION_ID_BYTES, false, h->session_id) &&
           get_bytes(m->rule_hash, SHA256_BYTES, true, h->rule_hash) &&
           get_bytes(m->pack_sha256, SHA256_BYTES, true, h->pack_sha256) &&
           get_bytes(m->shaping_sha256, SHA256_BYTES, true, h->shaping_sha256) &&
           get_bytes(m->recording_sha256, SHA256_BYTES, true, h->recording_sha256);
}

int clip_pb_header_unpack(const uint8_t *bytes, size_t size, struct clip_header *ret_header,
                          struct err *err)
{
    struct clip_header h = { 0 };
    struct arena *arena = arena_open();
    Roadloop__Header *m = NULL;

    if (arena)
        m = (Roadloop__Header *)unpack(&roadloop__header__descriptor, arena, bytes, size);
    if (m && m->format_version != CLIP_FORMAT_VERSION) {
        uint32_t version = m->format_version;
        arena_close(arena);
        return err_plain(err, -EBADMSG, "header: format version %u, this program reads %d",
                         version, CLIP_FORMAT_VERSION);
    }
    if (!m || !get_header_values(m, &h) || !get_sources(m, &h.sources) ||
        !get_dbcs(arena, m->dbcs, m->n_dbcs, &h.dbcs, &h.dbc_count) ||
        !get_clock(m->clock, &h.clock) || !clip_pb_header_fits(&h)) {
        arena_close(arena);
        return err_plain(err, -EBADMSG, "header: not a header of this format, or a field is "
                         "beyond its limit");
    }
    h.owned = arena;
    *ret_header = h;
    return 0;
}

static bool get_event(struct arena *arena, const Roadloop__Event *m, struct clip_event *e)
{
    struct clip_value *values = arena_alloc(arena, sizeof *values * (m->n_values + 1));

    if (!values || m->n_values > ATTACH_MAX || m->edge > CLIP_EDGE_MANUAL)
        return false;
    *e = (struct clip_event){
        .rule = m->rule, .ordinal = m->ordinal, .edge = (enum clip_edge)m->edge,
        .start_ns = m->start_ns, .fire_ns = m->fire_ns, .end_ns = m->end_ns,
        .closed_ns = m->closed_ns, .offset_ns = m->offset_ns, .fire_step = m->fire_step,
        .ended = m->ended, .closed = m->closed, .elsewhere = m->elsewhere,
        .generation = m->generation,
        .reason = m->reason, .values = values, .value_count = (uint32_t)m->n_values,
    };
    for (size_t i = 0; i < m->n_values; i++) {
        const Roadloop__Value *from = m->values[i];
        if (from->kind > CLIP_VALUE_DURATION)
            return false;
        values[i] = (struct clip_value){ from->name, from->text, from->unit,
                                         (enum clip_value_kind)from->kind, from->integer,
                                         from->number };
    }
    return get_bytes(m->rule_hash, SHA256_BYTES, true, e->rule_hash);
}

static bool get_events(struct arena *arena, const Roadloop__Manifest *m, struct clip_manifest *to)
{
    struct clip_event *events = arena_alloc(arena, sizeof *events * (m->n_events + 1));

    if (!events || m->n_events > CLIP_EVENTS_MAX)
        return false;
    for (size_t i = 0; i < m->n_events; i++)
        if (!get_event(arena, m->events[i], &events[i]))
            return false;
    to->events = events;
    to->event_count = (uint32_t)m->n_events;
    return true;
}

static bool get_interface(const Roadloop__Interface *m, struct clip_interface *to)
{
    if (!m)
        return true;
    *to = (struct clip_interface){
        .known = true, .up = m->up, .bus_state = (uint8_t)m->bus_state, .mono_ns = m->mono_ns,
        .rx_frames = m->rx_frames, .rx_errors = m->rx_errors, .rx_dropped = m->rx_dropped,
        .rx_overruns = m->rx_overruns, .rx_missed = m->rx_missed, .bitrate = m->bitrate,
        .tx_error_count = m->tx_error_count, .rx_error_count = m->rx_error_count,
        .restarts = m->restarts, .bus_errors = m->bus_errors,
        .arbitration_lost = m->arbitration_lost, .warnings = m->warnings,
        .passives = m->passives, .bus_offs = m->bus_offs,
    };
    return m->bus_state <= CLIP_BUS_SLEEPING;
}

static bool get_source_events(const Roadloop__Completeness *m, struct clip_completeness *c)
{
    if (m->n_source_events > CLIP_SOURCE_EVENTS_MAX)
        return false;
    for (size_t i = 0; i < m->n_source_events; i++) {
        const Roadloop__SourceEvent *from = m->source_events[i];
        if (from->source >= m->n_sources || from->kind >= CLIP_SOURCE_EVENT_KINDS ||
            from->value > CLIP_BUS_SLEEPING)
            return false;
        c->source_events[i] = (struct clip_source_event){ from->mono_ns, (uint8_t)from->source,
                                                          (uint8_t)from->kind,
                                                          (uint8_t)from->value };
    }
    c->source_event_count = (uint32_t)m->n_source_events;
    c->source_events_left_out = m->source_events_left_out;
    return true;
}

static bool get_completeness(const Roadloop__Completeness *m, struct clip_completeness *c)
{
    c->clock_quality = "";
    if (!m)
        return true;
    if (m->n_sources > SOURCES_MAX)
        return false;
    c->source_count = (uint32_t)m->n_sources;
    for (size_t i = 0; i < m->n_sources; i++) {
        const Roadloop__SourceCounts *from = m->sources[i];
        c->sources[i] = (struct clip_source_counts){
            from->received, from->dropped_kernel, from->dropped_queue, from->dropped_filter,
            from->late, from->error_frames, from->stored, from->dropped_driver
        };
        if (!get_interface(from->interface, &c->interfaces[i]))
            return false;
    }
    c->gaps = m->gaps;
    c->clamped = m->clamped;
    c->discontinuities = m->discontinuities;
    c->skipped_lines = m->skipped_lines;
    c->clock_quality = m->clock_quality;
    return get_source_events(m, c);
}

static bool get_overlaps(struct arena *arena, const Roadloop__Manifest *m,
                         struct clip_manifest *to)
{
    uint8_t(*ids)[CLIP_ID_BYTES] = arena_alloc(arena, CLIP_ID_BYTES * (m->n_overlaps + 1));

    if (!ids || m->n_overlaps > CLIP_OVERLAPS_MAX)
        return false;
    for (size_t i = 0; i < m->n_overlaps; i++)
        if (!get_bytes(m->overlaps[i], CLIP_ID_BYTES, false, ids[i]))
            return false;
    to->overlaps = (const uint8_t(*)[CLIP_ID_BYTES])ids;
    to->overlap_count = (uint32_t)m->n_overlaps;
    return true;
}

static bool get_manifest_values(const Roadloop__Manifest *m, struct clip_manifest *to)
{
    to->segment = m->segment;
    to->last_segment = m->last_segment;
    to->frames = m->frames;
    to->row_bytes = m->row_bytes;
    to->groups = m->groups;
    to->body_bytes = m->body_bytes;
    to->start_ns = m->start_ns;
    to->end_ns = m->end_ns;
    to->start_offset_ns = m->start_offset_ns;
    to->end_offset_ns = m->end_offset_ns;
    to->first_step = m->first_step;
    to->last_step = m->last_step;
    to->end = m->end > CLIP_END_LIMIT ? (enum clip_end)(CLIP_END_LIMIT + 1)
                                      : (enum clip_end)m->end;
    to->end_detail = m->end_detail;
    to->continues = m->continues_id.len > 0;
    to->early_state = m->early_state.data;
    to->early_state_bytes = (uint32_t)m->early_state.len;
    to->early_seed = m->early_seed.data;
    to->early_seed_bytes = (uint32_t)m->early_seed.len;
    return get_bytes(m->clip_id, CLIP_ID_BYTES, false, to->clip_id) &&
           get_bytes(m->body_sha256, SHA256_BYTES, false, to->body_sha256) &&
           get_bytes(m->continues_id, CLIP_ID_BYTES, true, to->continues_id) &&
           get_bytes(m->pack_sha256, SHA256_BYTES, true, to->pack_sha256) &&
           get_bytes(m->shaping_sha256, SHA256_BYTES, true, to->shaping_sha256);
}

int clip_pb_manifest_unpack(const uint8_t *bytes, size_t size, struct clip_manifest *ret_manifest,
                            struct err *err)
{
    struct clip_manifest to = { 0 };
    struct arena *arena = arena_open();
    Roadloop__Manifest *m = NULL;

    if (arena)
        m = (Roadloop__Manifest *)unpack(&roadloop__manifest__descriptor, arena, bytes, size);
    if (!m || !get_manifest_values(m, &to) || !get_events(arena, m, &to) ||
        !get_completeness(m->completeness, &to.completeness) || !get_overlaps(arena, m, &to) ||
        !get_dbcs(arena, m->dbcs, m->n_dbcs, &to.dbcs, &to.dbc_count) ||
        !get_clock(m->clock, &to.clock) || !clip_pb_manifest_fits(&to)) {
        arena_close(arena);
        return err_plain(err, -EBADMSG, "manifest: not a manifest of this format, or a field is "
                         "beyond its limit");
    }
    to.owned = arena;
    *ret_manifest = to;
    return 0;
}

void clip_header_deinit(struct clip_header *header)
{
    arena_close(header->owned);
    memset(header, 0, sizeof *header);
}

void clip_manifest_deinit(struct clip_manifest *manifest)
{
    arena_close(manifest->owned);
    memset(manifest, 0, sizeof *manifest);
}
