/* What the assembler's decisions do to cache, dataset and Kafka. */
#include "tools/sink/sink_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sink_note_error(struct sink *sink, const struct err *err)
{
    sink->stats.degraded = true;
    sink->stats.errors++;
    (void)err_format(err, sink->stats.last_error, sizeof sink->stats.last_error);
}

static int note(struct sink *sink, int rc, const char *what)
{
    struct err err;

    if (rc < 0) {
        (void)err_plain(&err, rc, "%s: %s", what, strerror(-rc));
        sink_note_error(sink, &err);
    }
    return rc;
}

/* ---- find ---- */

static void known_stored(const struct record *record, struct assembler_known *known)
{
    known->state = ASSEMBLER_STORED;
    known->about = record->final.about;
    known->about_known = true;
    known->segment_count = record->final.about.segments;
    for (uint32_t k = 0; k < known->segment_count; k++)
        memcpy(known->sha256[k], record->final.segments[k].sha256, SHA256_BYTES);
    known->need_count = record->need_count;
    memcpy(known->needs, record->needs, sizeof known->needs);
}

static struct assembler_slot *known_slot(struct assembler_known *known,
                                         const struct assembler_slot *like)
{
    for (uint32_t i = 0; i < known->slot_count; i++)
        if (known->slots[i].segment == like->segment &&
            !memcmp(known->slots[i].sha256, like->sha256, SHA256_BYTES))
            return &known->slots[i];
    return NULL;
}

static uint32_t chunk_size(const struct assembler_slot *slot, uint32_t index)
{
    uint32_t left = slot->bytes - index * slot->chunk_bytes;

    return left < slot->chunk_bytes ? left : slot->chunk_bytes;
}

/* Chunks that CLIP.part has and the cache has not. */
static int import_slot(struct sink *sink, const struct assembler_clip *clip,
                       const struct assembler_slot *part, int fd, uint32_t place,
                       const struct assembler_slot *cached)
{
    uint8_t buffer[CHUNK_BYTES_MAX];

    for (uint32_t k = 0; k < part->count; k++) {
        uint32_t size = chunk_size(part, k);
        if (!assembler_bit(part, k) || (cached && assembler_bit(cached, k)))
            continue;
        int rc = files_pread(fd, buffer, size,
                             (int64_t)place * SEGMENT_BYTES_MAX + (int64_t)k * part->chunk_bytes);
        if (!rc)
            rc = cache_write(sink->cache, clip, part, k, buffer, size);
        if (rc)
            return rc;
    }
    return 0;
}

static int import_part(struct sink *sink, const struct record *record, int32_t partition,
                       const struct assembler_known *known)
{
    struct assembler_clip clip = { .partition = partition, .first_offset = sink->offset };
    char name[FILES_PATH_MAX];
    off_t size;
    int rc = 0;

    memcpy(clip.vehicle, record->vehicle, PSEUDONYM_MAX);
    memcpy(clip.clip_id, record->clip_id, CLIP_ID_BYTES);
    dataset_partial_name(record->vehicle, record->clip_id, ".part", name);
    int fd = files_open_read(dataset_files(sink->dataset), name, &size);
    if (fd < 0)
        return fd;
    for (uint32_t i = 0; !rc && i < record->slot_count; i++)
        rc = import_slot(sink, &clip, &record->slots[i], fd, i,
                         known_slot((struct assembler_known *)(uintptr_t)known,
                                    &record->slots[i]));
    (void)close(fd);
    return rc;
}

static void free_slots(struct assembler_known *known)
{
    struct record record = { .slot_count = known->slot_count };

    memcpy(record.slots, known->slots, sizeof record.slots);
    record_deinit(&record);
    known->slot_count = 0;
}

/* The cache is read first (what it has need not be copied), then once more with the part in it. */
static int find_partial(struct sink *sink, int32_t partition, const char *vehicle,
                        const uint8_t clip_id[CLIP_ID_BYTES], struct assembler_known *known)
{
    struct record record;
    struct err err;
    int rc = dataset_find_partial(sink->dataset, vehicle, clip_id, &record, &err);

    if (rc == -EBADMSG) { /* what it names is asked for again; a broken file blocks nobody */
        sink_note_error(sink, &err);
        return 0;
    }
    if (rc != 1)
        return rc;
    known->state = ASSEMBLER_PARTIAL;
    known->about_known = record.about_known;
    known->about = record.final.about;
    rc = record.has_part ? import_part(sink, &record, partition, known) : 0;
    if (rc == -ENOENT || rc == -ENODATA)
        rc = 0;
    record_deinit(&record);
    if (rc)
        return rc;
    free_slots(known);
    return cache_find(sink->cache, partition, vehicle, clip_id, known);
}

static int effect_find(void *context, int32_t partition, const char *vehicle,
                       const uint8_t clip_id[CLIP_ID_BYTES], struct assembler_known *ret_known)
{
    struct sink *sink = context;
    struct err err;
    int rc = dataset_find(sink->dataset, vehicle, clip_id, &sink->found, &sink->found_place, &err);

    if (rc == 1) {
        known_stored(&sink->found, ret_known);
        return 0;
    }
    if (rc < 0) {
        sink_note_error(sink, &err);
        if (rc != -EBADMSG)
            return rc;
    }
    rc = cache_find(sink->cache, partition, vehicle, clip_id, ret_known);
    if (!rc)
        rc = find_partial(sink, partition, vehicle, clip_id, ret_known);
    if (rc)
        free_slots(ret_known);
    return note(sink, rc, "cache");
}

static int effect_quarantined(void *context, const char *vehicle,
                              const uint8_t clip_id[CLIP_ID_BYTES],
                              const uint8_t final_sha256[SHA256_BYTES])
{
    struct sink *sink = context;

    return dataset_quarantined(sink->dataset, vehicle, clip_id, final_sha256);
}

static int effect_write(void *context, const struct assembler_clip *clip,
                        const struct assembler_slot *slot, uint32_t index, const uint8_t *bytes,
                        uint32_t size)
{
    struct sink *sink = context;

    return note(sink, cache_write(sink->cache, clip, slot, index, bytes, size), "cache");
}

/* ---- publish ---- */

static int open_pieces(struct sink *sink, const struct assembler_clip *clip,
                       const struct assembler_slot *const slots[SEGMENTS_MAX],
                       struct dataset_piece *pieces, struct assembler_outcome *outcome)
{
    for (uint32_t k = 0; k < clip->final.about.segments; k++) {
        pieces[k] = (struct dataset_piece){ .fd = cache_read(sink->cache, clip, slots[k]),
                                            .bytes = slots[k]->bytes };
        memcpy(pieces[k].sha256, slots[k]->sha256, SHA256_BYTES);
        if (pieces[k].fd >= 0)
            continue;
        outcome->bad_slot = k;
        return pieces[k].fd;
    }
    return 0;
}

static int effect_publish(void *context, const struct assembler_clip *clip,
                          const struct assembler_slot *const slots[SEGMENTS_MAX],
                          struct assembler_outcome *ret_outcome)
{
    struct sink *sink = context;
    struct dataset_piece pieces[SEGMENTS_MAX];
    struct err err = { .text = "" };

    for (uint32_t k = 0; k < SEGMENTS_MAX; k++)
        pieces[k].fd = -1;
    int rc = open_pieces(sink, clip, slots, pieces, ret_outcome);
    if (rc == -ENOENT) { /* the cache lost them: as good as never received */
        ret_outcome->result = ASSEMBLER_BAD_SEGMENT;
        (void)snprintf(ret_outcome->reason, sizeof ret_outcome->reason,
                       "chunks of segment %u are gone from the cache", ret_outcome->bad_slot);
        rc = 0;
    } else if (!rc) {
        rc = publish_clip(sink->publisher, &clip->final, clip->final_sha256, pieces, ret_outcome,
                          &sink->published, &err);
    }
    for (uint32_t k = 0; k < SEGMENTS_MAX; k++)
        if (pieces[k].fd >= 0)
            (void)close(pieces[k].fd);
    if (rc)
        sink_note_error(sink, &err);
    else if (ret_outcome->result != ASSEMBLER_BAD_SEGMENT)
        (void)dataset_drop_partial(sink->dataset, clip->vehicle, clip->clip_id);
    return rc;
}

/* ---- partial ---- */

static int copy_slot(struct sink *sink, const struct assembler_clip *clip, uint32_t place, int fd,
                     const char *name)
{
    const struct assembler_slot *slot = &clip->slots[place];
    uint8_t buffer[CHUNK_BYTES_MAX];
    int rc = 0, from = cache_read(sink->cache, clip, slot);

    if (from < 0)
        return from == -ENOENT && !slot->held ? 0 : from;
    for (uint32_t k = 0; !rc && k < slot->count; k++) {
        uint32_t size = chunk_size(slot, k);
        int64_t at = (int64_t)k * slot->chunk_bytes;
        if (!assembler_bit(slot, k))
            continue;
        rc = files_pread(from, buffer, size, at);
        if (!rc)
            rc = files_pwrite(dataset_files(sink->dataset), fd, name, buffer, size,
                              (int64_t)place * SEGMENT_BYTES_MAX + at);
    }
    (void)close(from);
    return rc;
}

static int make_part(struct sink *sink, const struct assembler_clip *clip,
                     struct dataset_temp *temp)
{
    int rc = 0;

    dataset_temp(sink->dataset, ".part", temp);
    int fd = files_open_write(dataset_files(sink->dataset), temp->name, true);
    if (fd < 0)
        return fd;
    for (uint32_t i = 0; !rc && i < clip->slot_count; i++)
        rc = copy_slot(sink, clip, i, fd, temp->name);
    (void)close(fd);
    return rc;
}

static void partial_record(const struct assembler_clip *clip, bool part,
                           enum wire_gone_reason gone, struct record *record)
{
    memset(record, 0, sizeof *record);
    record->status = RECORD_PARTIAL;
    record->about_known = clip->about_known;
    record->final_known = clip->final_known;
    record->final = clip->final;
    memcpy(record->final_sha256, clip->final_sha256, SHA256_BYTES);
    memcpy(record->vehicle, clip->vehicle, PSEUDONYM_MAX);
    memcpy(record->clip_id, clip->clip_id, CLIP_ID_BYTES);
    record->has_part = part;
    record->slot_count = clip->slot_count;
    memcpy(record->slots, clip->slots, sizeof record->slots); /* bitmaps stay the assembler's */
    if (gone)
        (void)snprintf(record->reason, sizeof record->reason, "gone from the car: %s",
                       wire_gone_name(gone));
}

/* A statement without bytes must not replace one with bytes. */
static bool has_part(struct sink *sink, const struct assembler_clip *clip)
{
    struct record record;
    bool has = false;

    if (dataset_find_partial(sink->dataset, clip->vehicle, clip->clip_id, &record, NULL) == 1) {
        has = record.has_part;
        record_deinit(&record);
    }
    return has;
}

static void announce_partial(struct sink *sink, const struct assembler_clip *clip,
                             const struct record *record)
{
    struct wire_dataset dataset;

    if (!record->about_known)
        return;
    publish_announcement(record, &dataset);
    for (uint32_t i = 0; i < clip->slot_count; i++)
        dataset.bytes += clip->slots[i].bytes;
    if (outgoing_announce(sink->outgoing, clip->partition, clip->first_offset, &dataset))
        sink->stats.dropped_words++;
}

static int effect_partial(void *context, const struct assembler_clip *clip, bool release,
                          enum wire_gone_reason gone)
{
    struct sink *sink = context;
    struct dataset_temp temp = { .name = "" };
    struct record record;
    bool part = release || has_part(sink, clip);
    int rc = part ? make_part(sink, clip, &temp) : 0;

    partial_record(clip, part, gone, &record);
    char *json = rc ? NULL : record_write(&record, NULL);
    if (!rc)
        rc = json ? dataset_put_partial(sink->dataset, clip->vehicle, clip->clip_id,
                                        part ? &temp : NULL, json)
                  : -ENOMEM;
    free(json);
    if (rc)
        dataset_discard(sink->dataset, &temp);
    else if (release)
        announce_partial(sink, clip, &record);
    return note(sink, rc, "partial clip");
}

/* ---- words ---- */

static void effect_receipt(void *context, int32_t partition, int64_t hold_offset,
                           const struct wire_receipt *receipt)
{
    struct sink *sink = context;

    if (outgoing_receipt(sink->outgoing, partition, hold_offset, receipt))
        sink->stats.dropped_words++;
}

static void announce(struct sink *sink, int32_t partition, int64_t hold_offset,
                     const struct record *record)
{
    struct wire_dataset dataset;

    publish_announcement(record, &dataset);
    if (outgoing_announce(sink->outgoing, partition, hold_offset, &dataset))
        sink->stats.dropped_words++;
}

static void effect_announce(void *context, const struct assembler_clip *clip, int64_t hold_offset)
{
    struct sink *sink = context;

    announce(sink, clip->partition, hold_offset, &sink->published);
}

static void effect_announce_known(void *context, int32_t partition, int64_t hold_offset,
                                  const struct assembler_known *known)
{
    struct sink *sink = context;

    (void)known; /* the record behind it was found a moment ago */
    announce(sink, partition, hold_offset, &sink->found);
}

static void effect_forget(void *context, const struct assembler_clip *clip)
{
    struct sink *sink = context;

    (void)note(sink, cache_forget(sink->cache, clip), "cache");
}

const struct assembler_ops sink_effects = {
    .find = effect_find, .quarantined = effect_quarantined, .write = effect_write,
    .publish = effect_publish, .partial = effect_partial, .receipt = effect_receipt,
    .announce = effect_announce, .announce_known = effect_announce_known,
    .forget = effect_forget,
};
