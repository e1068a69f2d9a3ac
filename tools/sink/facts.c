#include "tools/sink/facts.h"

#include "proto/clip_json.h"
#include "tools/sink/record.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 65536

struct walk {
    struct facts *facts;
    const struct wire_about *about;
    struct err *err;
    uint32_t segments;
    json_t *events, *parts;
};

static json_t *hex_of(const uint8_t *bytes, size_t size)
{
    char text[SHA256_HEX];

    hex_from(bytes, size, text);
    return json_string(text);
}

static json_t *time_of(int64_t mono_ns, int64_t offset_ns)
{
    char text[32];

    clip_json_time(mono_ns - offset_ns, text);
    return json_string(text);
}

static void set(json_t *to, const char *key, json_t *value)
{
    (void)json_object_set_new(to, key, value);
}

static void set_number(json_t *to, const char *key, uint64_t value)
{
    set(to, key, json_integer((json_int_t)value));
}

/* ---- Generations ---- */

static struct facts_generation *generation_of(struct facts *facts, uint32_t generation)
{
    for (uint32_t i = 0; i < facts->generation_count; i++)
        if (facts->generations[i].generation == generation)
            return &facts->generations[i];
    if (facts->generation_count == FACTS_GENERATIONS_MAX)
        return NULL;
    struct facts_generation *g = &facts->generations[facts->generation_count++];
    g->generation = generation;
    return g;
}

static void put_dbc(struct facts_generation *g, const struct clip_dbc *dbc)
{
    if (g->dbc_count == FACTS_DBCS_MAX)
        return;
    struct facts_dbc *to = &g->dbcs[g->dbc_count++];
    (void)snprintf(to->bus, sizeof to->bus, "%s", dbc->bus);
    (void)snprintf(to->name, sizeof to->name, "%s", dbc->name);
    memcpy(to->sha256, dbc->sha256, SHA256_BYTES);
}

static bool has_dbc(const struct facts_generation *g, const struct clip_dbc *dbc)
{
    for (uint32_t i = 0; i < g->dbc_count; i++)
        if (!strcmp(g->dbcs[i].bus, dbc->bus) &&
            !memcmp(g->dbcs[i].sha256, dbc->sha256, SHA256_BYTES))
            return true;
    return false;
}

static bool bus_changed(const struct facts_generation *first, const struct clip_manifest *m,
                        const char *bus)
{
    for (uint32_t i = 0; i < m->dbc_count; i++)
        if (!strcmp(m->dbcs[i].bus, bus) && !has_dbc(first, &m->dbcs[i]))
            return true;
    return false;
}

/* A header lists the databases of its own generation; the manifest those of later ones beside
 * them. A later generation has what is new in the manifest and, for the other buses, what the
 * header has. */
static void put_later_dbcs(struct facts *facts, const struct clip_header *header,
                           const struct clip_manifest *m)
{
    const struct facts_generation *first = generation_of(facts, header->generation);

    for (uint32_t i = 0; i < facts->generation_count; i++) {
        struct facts_generation *g = &facts->generations[i];
        if (g == first || g->dbc_count)
            continue;
        for (uint32_t k = 0; k < header->dbc_count; k++)
            if (!bus_changed(first, m, header->dbcs[k].bus))
                put_dbc(g, &header->dbcs[k]);
        for (uint32_t k = 0; k < m->dbc_count; k++)
            if (!has_dbc(first, &m->dbcs[k]))
                put_dbc(g, &m->dbcs[k]);
    }
}

/* ---- Content ---- */

static json_t *value_json(const struct clip_value *value)
{
    switch (value->kind) {
    case CLIP_VALUE_BOOL:
        return json_boolean(value->integer);
    case CLIP_VALUE_INT:
    case CLIP_VALUE_DURATION:
        return json_integer(value->integer);
    case CLIP_VALUE_NUMBER: {
        json_t *number = json_real(value->number);
        return number ? number : json_null(); /* NaN and infinity have no JSON */
    }
    case CLIP_VALUE_TEXT:
        return json_string(value->text);
    default:
        return json_null();
    }
}

static json_t *event_json(const struct clip_event *event)
{
    json_t *to = json_object(), *values = json_object();

    set(to, "rule", json_string(event->rule));
    set(to, "rule_sha256", hex_of(event->rule_hash, SHA256_BYTES));
    set_number(to, "ordinal", event->ordinal);
    set(to, "edge", json_string(clip_edge_name(event->edge)));
    set(to, "start", time_of(event->start_ns, event->offset_ns));
    set(to, "t", time_of(event->fire_ns, event->offset_ns));
    if (event->ended)
        set(to, "end", time_of(event->end_ns, event->offset_ns));
    if (event->closed)
        set(to, "closed", time_of(event->closed_ns, event->offset_ns));
    set_number(to, "step", event->fire_step);
    set_number(to, "generation", event->generation);
    set(to, "reason", json_string(event->reason));
    for (uint32_t i = 0; i < event->value_count; i++)
        set(values, event->values[i].name, value_json(&event->values[i]));
    set(to, "values", values);
    return to;
}

static json_t *sources_json(const struct clip_header *header, const struct clip_manifest *m)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < header->sources.count; i++) {
        const struct clip_source_counts *counts = &m->completeness.sources[i];
        json_t *to = json_object();
        set(to, "name", json_string(header->sources.items[i].name));
        set_number(to, "tick_ns", header->sources.items[i].tick_ns);
        set_number(to, "received", counts->received);
        set_number(to, "stored", counts->stored);
        set_number(to, "dropped_kernel", counts->dropped_kernel);
        set_number(to, "dropped_queue", counts->dropped_queue);
        set_number(to, "dropped_filter", counts->dropped_filter);
        set_number(to, "dropped_driver", counts->dropped_driver);
        set_number(to, "late", counts->late);
        set_number(to, "error_frames", counts->error_frames);
        set(to, "stamps", json_string(stamp_origin_name(header->sources.items[i].origin)));
        (void)json_array_append_new(list, to);
    }
    return list;
}

/* Interfaces that came and went, stamps and bus states that changed. */
static json_t *source_events_json(const struct clip_manifest *m)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < m->completeness.source_event_count; i++) {
        const struct clip_source_event *event = &m->completeness.source_events[i];
        json_t *to = json_object();
        set_number(to, "source", event->source);
        set(to, "event", json_string(clip_source_event_name((enum clip_source_event_kind)event->kind)));
        set(to, "value", json_string(clip_source_event_value(event)));
        set(to, "t", time_of(event->mono_ns, m->start_offset_ns));
        (void)json_array_append_new(list, to);
    }
    return list;
}

static json_t *part_json(const struct clip_header *header, const struct clip_manifest *m)
{
    json_t *to = json_object();

    set_number(to, "segment", m->segment);
    set(to, "closed", json_string(clip_end_name(m->end)));
    set(to, "detail", json_string(m->end_detail));
    set_number(to, "generation", header->generation);
    set_number(to, "frames", m->frames);
    set_number(to, "row_bytes", m->row_bytes);
    set_number(to, "groups", m->groups);
    set(to, "start", time_of(m->start_ns, m->start_offset_ns));
    set(to, "end", time_of(m->end_ns, m->end_offset_ns));
    set(to, "mono_start", time_of(m->start_ns, 0)); /* what a session's clock pair refers to */
    set_number(to, "first_step", m->first_step);
    set_number(to, "last_step", m->last_step);
    set_number(to, "gaps", m->completeness.gaps);
    set_number(to, "clamped", m->completeness.clamped);
    set_number(to, "discontinuities", m->completeness.discontinuities);
    set_number(to, "skipped_lines", m->completeness.skipped_lines);
    set(to, "clock_quality", json_string(m->completeness.clock_quality));
    set(to, "sources", sources_json(header, m));
    set(to, "source_events", source_events_json(m));
    return to;
}

/* ---- The walk over the records ---- */

static int check_header(struct walk *w, const struct clip_header *header)
{
    const struct wire_about *about = w->about;

    if (memcmp(header->clip_id, about->clip_id, CLIP_ID_BYTES) ||
        strcmp(header->vehicle, about->pseudonym) || header->ordinal != about->ordinal ||
        memcmp(header->session_id, about->session_id, SESSION_ID_BYTES))
        return err_plain(w->err, -EBADMSG, "segment %u belongs to another clip than its manifest "
                         "says (vehicle '%s')", header->segment, header->vehicle);
    if (header->segment != w->segments || header->segments != about->segments)
        return err_plain(w->err, -EBADMSG, "segment %u of %u stands at place %u of %u",
                         header->segment, header->segments, w->segments, about->segments);
    w->segments++;
    struct facts_generation *g = generation_of(w->facts, header->generation);
    /* The second segment's header repeats the list. */
    uint32_t new_count = g && !g->dbc_count ? header->dbc_count : 0;
    for (uint32_t i = 0; i < new_count; i++)
        put_dbc(g, &header->dbcs[i]);
    memcpy(w->facts->pack_sha256, header->pack_sha256, SHA256_BYTES);
    return 0;
}

static int take_manifest(struct walk *w, const struct clip_item *item)
{
    const struct clip_manifest *m = item->manifest;

    put_later_dbcs(w->facts, item->header, m);
    for (uint32_t i = 0; i < m->event_count; i++)
        (void)json_array_append_new(w->events, event_json(&m->events[i]));
    (void)json_array_append_new(w->parts, part_json(item->header, m));
    if (m->continues)
        set(w->facts->content, "continues", hex_of(m->continues_id, CLIP_ID_BYTES));
    for (uint32_t i = 0; i < m->overlap_count; i++) {
        json_t *list = json_object_get(w->facts->content, "overlaps");
        (void)json_array_append_new(list, hex_of(m->overlaps[i], CLIP_ID_BYTES));
    }
    return 0;
}

static int take_item(struct walk *w, const struct clip_item *item)
{
    switch (item->kind) {
    case CLIP_ITEM_HEADER:
        return check_header(w, item->header);
    case CLIP_ITEM_GROUP:
        if (!generation_of(w->facts, item->group.generation))
            return err_plain(w->err, -EBADMSG, "more than %d generations in one clip",
                             FACTS_GENERATIONS_MAX);
        return 0;
    case CLIP_ITEM_MANIFEST:
        return take_manifest(w, item);
    default:
        return 0;
    }
}

static int drain(struct walk *w, struct clip_reader *reader)
{
    struct clip_item item;
    int rc;

    while ((rc = clip_reader_next(reader, &item, w->err)) == 1) {
        rc = take_item(w, &item);
        if (rc)
            return rc;
    }
    return rc;
}

static int feed(struct walk *w, struct clip_reader *reader, const uint8_t *bytes, size_t size)
{
    while (size) {
        int64_t taken = clip_reader_put(reader, bytes, size);
        if (taken < 0)
            return (int)taken;
        bytes += taken;
        size -= (size_t)taken;
        int rc = drain(w, reader);
        if (rc)
            return rc;
    }
    return 0;
}

static int walk_file(struct walk *w, struct clip_reader *reader, int fd)
{
    uint8_t buffer[READ_BYTES];

    for (;;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            break;
        int rc = feed(w, reader, buffer, (size_t)n);
        if (rc)
            return rc;
    }
    int rc = clip_reader_finish(reader, w->err);
    if (!rc && w->segments != w->about->segments)
        rc = err_plain(w->err, -EBADMSG, "%u segments, %u announced", w->segments,
                       w->about->segments);
    return rc == -EPIPE ? -EBADMSG : rc;
}

static void put_databases(struct facts *facts)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < facts->generation_count; i++)
        for (uint32_t k = 0; k < facts->generations[i].dbc_count; k++) {
            const struct facts_dbc *dbc = &facts->generations[i].dbcs[k];
            json_t *to = json_object();
            set_number(to, "generation", facts->generations[i].generation);
            set(to, "bus", json_string(dbc->bus));
            set(to, "name", json_string(dbc->name));
            set(to, "sha256", hex_of(dbc->sha256, SHA256_BYTES));
            (void)json_array_append_new(list, to);
        }
    set(facts->content, "databases", list);
    set(facts->content, "pack_sha256", hex_of(facts->pack_sha256, SHA256_BYTES));
}

int facts_read(const char *path, const struct wire_about *about, struct facts *ret_facts,
               struct err *err)
{
    struct facts facts = { .content = json_object(),
                           .generations = calloc(FACTS_GENERATIONS_MAX,
                                                 sizeof *facts.generations) };
    struct walk w = { .facts = &facts, .about = about, .err = err, .events = json_array(),
                      .parts = json_array() };
    const struct clip_reader_config config = { .heads_only = false };
    struct clip_reader *reader = clip_reader_open(&config);
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

    if (!facts.content || !facts.generations || !reader)
        rc = err_plain(err, -ENOMEM, "no memory");
    else if (fd < 0)
        rc = err_at(err, -errno, path, 0, 0, "%s", strerror(errno));
    set(facts.content, "overlaps", json_array());
    if (!rc)
        rc = walk_file(&w, reader, fd);
    set(facts.content, "parts", w.parts);
    set(facts.content, "events", w.events);
    if (!rc)
        put_databases(&facts);
    clip_reader_close(reader);
    if (fd >= 0)
        (void)close(fd);
    if (rc) {
        facts_deinit(&facts);
        return rc;
    }
    *ret_facts = facts;
    return 0;
}

void facts_deinit(struct facts *facts)
{
    json_decref(facts->content);
    free(facts->generations);
    facts->content = NULL;
    facts->generations = NULL;
}
