#include "proto/clip_pb.h"

#include "proto/clip.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t no_bytes[SHA256_BYTES];

/* --- packing: the message borrows everything from the struct --- */

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

static bool text_fits(const char *text, size_t max) { return !text || strlen(text) < max; }

static bool dbcs_fit(const struct clip_dbc *dbcs, uint32_t count)
{
    if (count > CLIP_DBCS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!text_fits(dbcs[i].bus, SOURCE_NAME_MAX) || !text_fits(dbcs[i].name, CLIP_TEXT_MAX))
            return false;
    return true;
}

static bool header_fits(const struct clip_header *h)
{
    return h->segments >= 1 && h->segments <= SEGMENTS_MAX && h->segment < h->segments &&
           text_fits(h->vehicle, PSEUDONYM_MAX) && text_fits(h->rule, RULE_NAME_MAX) &&
           text_fits(h->purpose, CLIP_LABEL_MAX) && text_fits(h->clip_class, CLIP_LABEL_MAX) &&
           text_fits(h->key_id, CLIP_LABEL_MAX) && text_fits(h->clock.source, CLIP_LABEL_MAX) &&
           h->priority <= PRIORITY_MAX && h->sources.count <= SOURCES_MAX &&
           h->state_bytes <= CLIP_STATE_BYTES_MAX && dbcs_fit(h->dbcs, h->dbc_count);
}

static bool event_fits(const struct clip_event *e)
{
    if (!text_fits(e->rule, RULE_NAME_MAX) || !text_fits(e->reason, CLIP_LABEL_MAX) ||
        e->edge > CLIP_EDGE_MANUAL || e->value_count > ATTACH_MAX)
        return false;
    for (uint32_t i = 0; i < e->value_count; i++)
        if (!text_fits(e->values[i].name, CLIP_TEXT_MAX) ||
            !text_fits(e->values[i].text, CLIP_TEXT_MAX) ||
            !text_fits(e->values[i].unit, CLIP_TEXT_MAX) ||
            e->values[i].kind > CLIP_VALUE_DURATION)
            return false;
    return true;
}

static bool manifest_fits(const struct clip_manifest *m)
{
    if (m->segment >= SEGMENTS_MAX || m->event_count > CLIP_EVENTS_MAX ||
        m->overlap_count > CLIP_OVERLAPS_MAX || m->end > CLIP_END_LIMIT ||
        m->completeness.source_count > SOURCES_MAX ||
        !text_fits(m->completeness.clock_quality, CLIP_LABEL_MAX) ||
        !text_fits(m->end_detail, CLIP_TEXT_MAX) || !text_fits(m->clock.source, CLIP_LABEL_MAX) ||
        m->early_state_bytes > CLIP_STATE_BYTES_MAX || m->early_seed_bytes > CLIP_SEED_BYTES_MAX ||
        !dbcs_fit(m->dbcs, m->dbc_count))
        return false;
    for (uint32_t i = 0; i < m->event_count; i++)
        if (!event_fits(&m->events[i]))
            return false;
    return true;
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

    if (!header_fits(header))
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
        lists->count_list[i] = &lists->counts[i];
    }
    m->n_sources = c->source_count;
    m->sources = lists->count_list;
    m->gaps = c->gaps;
    m->clamped = c->clamped;
    m->discontinuities = c->discontinuities;
    m->skipped_lines = c->skipped_lines;
    m->clock_quality = text_of(c->clock_quality);
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

    if (!manifest_fits(manifest))
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

/* --- unpacking --- */

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
        !get_clock(m->clock, &h.clock) || !header_fits(&h)) {
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
            from->late, from->error_frames, from->stored
        };
    }
    c->gaps = m->gaps;
    c->clamped = m->clamped;
    c->discontinuities = m->discontinuities;
    c->skipped_lines = m->skipped_lines;
    c->clock_quality = m->clock_quality;
    return true;
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
        !get_clock(m->clock, &to.clock) || !manifest_fits(&to)) {
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
