#include "proto/mcap_meta.h"

#include "proto/clip_json.h"
#include "proto/dbset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define MAP_BYTES 262144
#define NAME_BYTES 320

/* The map under construction and the writer that takes it. */
struct maker {
    const struct mcap_meta *meta;
    struct mcap_writer *writer;
    struct mcap_map map;
};

/* As in the encoders of clip.h, NULL stands for "". */
static void add_text(struct maker *m, const char *key, const char *value)
{
    mcap_map_add(&m->map, key, mcap_text(value ? value : ""));
}

static void add_number(struct maker *m, const char *key, int64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64, value);
    add_text(m, key, text);
}

static void add_count(struct maker *m, const char *key, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    add_text(m, key, text);
}

static void add_hex(struct maker *m, const char *key, const uint8_t *bytes, size_t size)
{
    char hex[SHA256_HEX];

    hex_from(bytes, size, hex);
    add_text(m, key, hex);
}

/* Writes what was added as one record and begins anew. -ENOBUFS when it did not fit. */
static int put_map(struct maker *m, const char *name)
{
    const struct mcap_metadata record = { mcap_text(name), mcap_map_view(&m->map) };

    if (m->map.failed)
        return -ENOBUFS;
    int rc = mcap_write_metadata(m->writer, &record);
    m->map.used = 0;
    return rc;
}

static const struct clip_header *header_of(const struct mcap_meta *meta)
{
    return meta->config->clip ? meta->config->clip->header : NULL;
}

static const struct clip_manifest *manifest_of(const struct mcap_meta *meta)
{
    return meta->config->clip ? meta->config->clip->manifest : NULL;
}

static int put_vehicle(struct maker *m)
{
    const struct clip_header *h = header_of(m->meta);

    add_text(m, "pseudonym", h ? h->vehicle : "");
    if (h)
        add_hex(m, "session", h->session_id, SESSION_ID_BYTES);
    return put_map(m, "vehicle");
}

static int put_clip(struct maker *m)
{
    const struct clip_header *h = header_of(m->meta);
    const struct clip_manifest *manifest = manifest_of(m->meta);

    if (!h)
        return put_map(m, "clip");
    add_hex(m, "id", h->clip_id, CLIP_ID_BYTES);
    add_count(m, "ordinal", h->ordinal);
    add_count(m, "segments", h->segments);
    if (manifest) {
        add_number(m, "start_mono_ns", manifest->start_ns);
        add_number(m, "end_mono_ns", manifest->end_ns);
        add_text(m, "end", clip_end_name(manifest->end));
        add_text(m, "end_detail", manifest->end_detail);
    }
    return put_map(m, "clip");
}

static int put_trigger(struct maker *m)
{
    const struct clip_header *h = header_of(m->meta);
    const struct clip_manifest *manifest = manifest_of(m->meta);

    if (!h)
        return put_map(m, "trigger");
    add_text(m, "rule", h->rule);
    add_hex(m, "rule_sha256", h->rule_hash, SHA256_BYTES);
    add_count(m, "priority", h->priority);
    add_text(m, "purpose", h->purpose);
    add_text(m, "class", h->clip_class);
    if (manifest)
        add_count(m, "events", manifest->event_count);
    return put_map(m, "trigger");
}

static int put_clock(struct maker *m)
{
    const struct clip_header *h = header_of(m->meta);

    add_text(m, "log_time", m->meta->wall_known ? "unix" : "recording");
    add_number(m, "wall_offset_ns", m->meta->wall_offset_ns);
    if (h && h->clock.known) {
        add_text(m, "source", h->clock.source);
        add_number(m, "uncertainty_ns", h->clock.uncertainty_ns);
    }
    return put_map(m, "clock");
}

static void add_source_counts(struct maker *m, const char *bus,
                              const struct clip_source_counts *counts)
{
    const struct {
        const char *name;
        uint64_t count;
    } items[] = {
        { "received", counts->received },           { "stored", counts->stored },
        { "dropped_kernel", counts->dropped_kernel }, { "dropped_queue", counts->dropped_queue },
        { "dropped_filter", counts->dropped_filter }, { "late", counts->late },
        { "error_frames", counts->error_frames },   { "dropped_driver", counts->dropped_driver },
    };

    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        char key[SOURCE_NAME_MAX + 32];
        (void)snprintf(key, sizeof key, "%s.%s", bus, items[i].name);
        add_count(m, key, items[i].count);
    }
}

static int put_loss(struct maker *m)
{
    const struct export_mcap_config *config = m->meta->config;
    const struct clip_manifest *manifest = manifest_of(m->meta);

    if (manifest) {
        for (uint32_t i = 0; i < config->sources->count; i++)
            add_source_counts(m, config->sources->items[i].name,
                              &manifest->completeness.sources[i]);
        add_count(m, "gaps", manifest->completeness.gaps);
        add_count(m, "clamped", manifest->completeness.clamped);
        add_count(m, "discontinuities", manifest->completeness.discontinuities);
        add_text(m, "clock_quality", manifest->completeness.clock_quality);
        return put_map(m, "loss");
    }
    add_count(m, "clamped", m->meta->timeline->clamped);
    add_count(m, "discontinuities", m->meta->timeline->discontinuities);
    for (unsigned i = 0; config->skips && i < RECORDING_SKIP_COUNT; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "lines.%s", recording_skip_name((enum recording_skip)i));
        add_count(m, key, config->skips->count[i]);
    }
    return put_map(m, "loss");
}

static int put_versions(struct maker *m)
{
    const struct export_mcap_config *config = m->meta->config;
    const struct clip_header *h = header_of(m->meta);

    add_text(m, "roadloop", ROADLOOP_VERSION);
    if (config->recording_sha256)
        add_hex(m, "recording_sha256", config->recording_sha256, SHA256_BYTES);
    if (h) {
        add_count(m, "clip_format", h->format_version);
        add_count(m, "engine", h->engine_version);
        add_hex(m, "pack_sha256", h->pack_sha256, SHA256_BYTES);
        add_hex(m, "shaping_sha256", h->shaping_sha256, SHA256_BYTES);
    }
    for (uint32_t g = 0; g < config->generation_count; g++) {
        const struct dbset *set = config->generations[g].dbset;
        for (uint32_t i = 0; set && i < set->count; i++) {
            char key[NAME_BYTES];
            (void)snprintf(key, sizeof key, "generation.%u.dbc.%s.%s",
                           config->generations[g].generation, set->entries[i].bus,
                           set->entries[i].name);
            add_hex(m, key, set->entries[i].sha256, SHA256_BYTES);
        }
    }
    return put_map(m, "versions");
}

/* --- attachments --- */

static int attach(const struct maker *m, const char *name, const char *media_type,
                  const void *bytes, size_t size)
{
    return mcap_write_attachment(
        m->writer, &(struct mcap_attachment){ .log_time = m->meta->first_log_time,
                                              .name = mcap_text(name),
                                              .media_type = mcap_text(media_type),
                                              .data = mcap_view(bytes, size) });
}

static bool same_entry(const struct dbset_entry *a, const struct dbset_entry *b)
{
    return !strcmp(a->bus, b->bus) && !strcmp(a->name, b->name);
}

/* The entry of that bus and name in an earlier generation, or NULL. */
static const struct dbset_entry *earlier(const struct export_mcap_config *config, uint32_t g,
                                         const struct dbset_entry *entry)
{
    for (uint32_t i = 0; i < g; i++) {
        const struct dbset *set = config->generations[i].dbset;
        for (uint32_t k = 0; set && k < set->count; k++)
            if (same_entry(&set->entries[k], entry))
                return &set->entries[k];
    }
    return NULL;
}

static int attach_dbc(const struct maker *m, uint32_t g, const struct dbset_entry *entry)
{
    const struct export_mcap_config *config = m->meta->config;
    const struct dbset_entry *before = earlier(config, g, entry);
    char name[NAME_BYTES], generation[32] = "";

    if (before && !memcmp(before->sha256, entry->sha256, SHA256_BYTES))
        return 0;
    if (before)
        (void)snprintf(generation, sizeof generation, "generation/%u/",
                       config->generations[g].generation);
    (void)snprintf(name, sizeof name, "%sdbc/%s/%s", generation, entry->bus, entry->name);
    return attach(m, name, MCAP_META_DBC_TYPE, entry->bytes, entry->size);
}

static int attach_dbcs(const struct maker *m)
{
    const struct export_mcap_config *config = m->meta->config;

    for (uint32_t g = 0; g < config->generation_count; g++) {
        const struct dbset *set = config->generations[g].dbset;
        for (uint32_t i = 0; set && i < set->count; i++) {
            int rc = attach_dbc(m, g, &set->entries[i]);
            if (rc)
                return rc;
        }
    }
    return 0;
}

bool mcap_meta_dbc_name(const char *name, char ret_bus[SOURCE_NAME_MAX], const char **ret_file)
{
    if (strncmp(name, "dbc/", 4))
        return false;
    const char *rest = name + 4, *slash = strchr(rest, '/');
    size_t bus = slash ? (size_t)(slash - rest) : SOURCE_NAME_MAX;
    if (bus >= SOURCE_NAME_MAX || strchr(slash + 1, '/'))
        return false;
    memcpy(ret_bus, rest, bus);
    ret_bus[bus] = '\0';
    *ret_file = slash + 1;
    return **ret_file != '\0';
}

int mcap_meta_dbset(const struct recording_clip *clip, struct dbset *set, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; !rc && i < clip->attachment_count; i++) {
        const struct recording_attachment *a = &clip->attachments[i];
        char bus[SOURCE_NAME_MAX];
        const char *file;
        if (mcap_meta_dbc_name(a->name, bus, &file))
            rc = dbset_add(set, bus, file, a->bytes, a->size, false, NULL, err);
    }
    return rc;
}

static int attach_given(const struct maker *m)
{
    for (uint32_t i = 0; i < m->meta->config->attachment_count; i++) {
        const struct recording_attachment *a = &m->meta->config->attachments[i];
        int rc = attach(m, a->name, a->media_type, a->bytes, a->size);
        if (rc)
            return rc;
    }
    return 0;
}

/* The three records one after the other. With out NULL: only their size. */
static int64_t encode_clip(const struct recording_clip *clip, uint8_t *out, size_t size)
{
    int64_t sizes[3] = { 0 }, used = 0;

    for (int i = 0; i < 3; i++) {
        uint8_t *to = out ? out + used : NULL;
        size_t room = out ? size - (size_t)used : 0;
        if (i == 0)
            sizes[i] = clip_header_encode(clip->header, to, room);
        else if (i == 1 && clip->seed_count)
            sizes[i] = clip_seed_encode(clip->seed, clip->seed_count, to, room);
        else if (i == 2 && clip->manifest)
            sizes[i] = clip_manifest_encode(clip->manifest, to, room);
        if (sizes[i] < 0)
            return sizes[i];
        used += sizes[i];
    }
    return used;
}

static int attach_records(const struct maker *m, const struct recording_clip *clip)
{
    int64_t size = encode_clip(clip, NULL, 0);
    uint8_t *bytes = size < 0 ? NULL : malloc((size_t)size + 1);

    if (!bytes)
        return size < 0 ? (int)size : -ENOMEM;
    int64_t used = encode_clip(clip, bytes, (size_t)size);
    int rc = used < 0 ? (int)used
                      : attach(m, MCAP_META_CLIP, MCAP_META_CLIP_TYPE, bytes, (size_t)used);
    free(bytes);
    return rc;
}

static int attach_json(const struct maker *m, const struct recording_clip *clip)
{
    struct json_text text = { .at = malloc(CLIP_JSON_BYTES_MAX), .size = CLIP_JSON_BYTES_MAX };

    if (!text.at)
        return -ENOMEM;
    clip_json(clip->header, clip->manifest, &text);
    int rc = json_full(&text) ? -ENOBUFS
                              : attach(m, MCAP_META_MANIFEST, "application/json", text.at,
                                       text.length);
    free(text.at);
    return rc;
}

static int attach_clip(const struct maker *m)
{
    const struct recording_clip *clip = m->meta->config->clip;
    int rc = clip ? attach_records(m, clip) : 0;

    return clip && !rc ? attach_json(m, clip) : rc;
}

int mcap_meta_write(const struct mcap_meta *meta, struct mcap_writer *writer, struct err *err)
{
    static int (*const records[])(struct maker *m) = { put_vehicle, put_clip, put_trigger,
                                                       put_clock,   put_loss, put_versions };
    static int (*const attachments[])(const struct maker *m) = { attach_dbcs, attach_given,
                                                                 attach_clip };
    struct maker m = { meta, writer, { .bytes = malloc(MAP_BYTES), .size = MAP_BYTES } };
    int rc = m.map.bytes ? 0 : -ENOMEM;

    for (size_t i = 0; !rc && i < sizeof records / sizeof records[0]; i++)
        rc = records[i](&m);
    for (size_t i = 0; !rc && i < sizeof attachments / sizeof attachments[0]; i++)
        rc = attachments[i](&m);
    free(m.map.bytes);
    return rc ? err_plain(err, rc, "metadata and attachments of the MCAP: %s", strerror(-rc)) : 0;
}
