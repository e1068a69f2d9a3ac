/* The incremental reader of segments: bytes in, checked records out. */
#include "proto/clip.h"

#include "proto/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES_MIN 65536

/* Invariants:
 * 1. buffer[0..held) is the beginning of one record, or all of it; `good` is where it starts.
 * 2. A header is held (`has_header`) from the first record of a segment until the next header.
 * 3. After a failure nothing changes any more.
 *
 *   WANT_HEADER --header--> WANT_BODY --group, seed--> WANT_BODY --manifest--> WANT_HEADER */
struct clip_reader {
    struct clip_reader_config config;
    uint8_t *buffer;
    size_t capacity, held;
    bool delivered; /* the record in the buffer was given out: drop it at the next call */
    bool failed;
    struct err error;
    bool want_header, has_header, has_manifest, grouped;
    struct clip_header header;
    struct clip_manifest manifest;
    struct row *seed;
    struct group_coder *coder;
    struct rowbuf *rows;
    struct sha256 *sha; /* of the segment so far */
    uint64_t segment_start, segment_rows;
    uint32_t segment_groups;
    struct clip_reader_stats stats;
};

struct clip_reader *clip_reader_open(const struct clip_reader_config *config)
{
    struct clip_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return NULL;
    reader->config = *config;
    reader->want_header = true;
    reader->sha = sha256_open();
    if (!config->heads_only) {
        reader->coder = group_coder_open();
        reader->rows = rowbuf_open(ROWBUF_BYTES_MAX);
    }
    if (!reader->sha || (!config->heads_only && (!reader->coder || !reader->rows))) {
        clip_reader_close(reader);
        return NULL;
    }
    return reader;
}

void clip_reader_close(struct clip_reader *reader)
{
    if (!reader)
        return;
    clip_header_deinit(&reader->header);
    clip_manifest_deinit(&reader->manifest);
    free(reader->seed);
    group_coder_close(reader->coder);
    rowbuf_close(reader->rows);
    sha256_close(reader->sha);
    free(reader->buffer);
    free(reader);
}

/* Fails for good; the place is the start of the record in hand. */
static int fail(struct clip_reader *reader, const char *why, struct err *err)
{
    char text[ERR_TEXT_MAX];

    (void)snprintf(text, sizeof text, "%s", why);
    reader->failed = true;
    (void)err_at(&reader->error, -EBADMSG, reader->config.name, 0, 0, "at byte %llu: %.400s",
                 (unsigned long long)reader->stats.good_bytes, text);
    if (err)
        *err = reader->error;
    return -EBADMSG;
}

/* Body bytes that a record of that tag may have; 0 for an unknown tag. */
static size_t body_max(uint32_t tag)
{
    switch (tag) {
    case RECORD_HEADER: return CLIP_HEADER_BYTES_MAX;
    case RECORD_SEED: return CLIP_SEED_BYTES_MAX;
    case RECORD_GROUP: return GROUP_RECORD_BYTES_MAX - CLIP_RECORD_OVERHEAD;
    case RECORD_MANIFEST: return MANIFEST_BYTES_MAX;
    default: return 0;
    }
}

/* Bytes of the record in hand as far as its head tells; 0 when the head is not legal. */
static size_t record_need(const struct clip_reader *reader)
{
    if (reader->held < RECORD_HEAD_BYTES)
        return RECORD_HEAD_BYTES;
    size_t max = body_max(load_le32(reader->buffer)), body = load_le32(reader->buffer + 4);
    return max && body <= max ? body + CLIP_RECORD_OVERHEAD : 0;
}

/* Grows with the bytes that are there, never by what a head declares. */
static int reserve(struct clip_reader *reader, size_t bytes)
{
    size_t capacity = reader->capacity ? reader->capacity : BUFFER_BYTES_MIN;

    while (capacity < bytes)
        capacity *= 2;
    if (capacity == reader->capacity)
        return 0;
    uint8_t *grown = realloc(reader->buffer, capacity);
    if (!grown)
        return -ENOMEM;
    reader->buffer = grown;
    reader->capacity = capacity;
    return 0;
}

static void drop_delivered(struct clip_reader *reader)
{
    if (!reader->delivered)
        return;
    reader->delivered = false;
    reader->held = 0;
    free(reader->seed);
    reader->seed = NULL;
    if (reader->has_manifest)
        clip_manifest_deinit(&reader->manifest);
    reader->has_manifest = false;
}

int64_t clip_reader_put(struct clip_reader *reader, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    size_t taken = 0;

    drop_delivered(reader);
    if (reader->failed)
        return 0;
    for (;;) {
        size_t need = record_need(reader);
        size_t chunk = need > reader->held ? need - reader->held : 0;
        chunk = chunk < size - taken ? chunk : size - taken;
        if (!chunk)
            break;
        if (reserve(reader, reader->held + chunk) < 0)
            return -ENOMEM;
        memcpy(reader->buffer + reader->held, from + taken, chunk);
        reader->held += chunk;
        taken += chunk;
    }
    reader->stats.fed_bytes += taken;
    return (int64_t)taken;
}

/* The second segment of a clip goes on where the first one ended. */
static const char *why_not_next(const struct clip_header *before, const struct clip_header *next)
{
    if (memcmp(before->clip_id, next->clip_id, CLIP_ID_BYTES) ||
        memcmp(before->session_id, next->session_id, SESSION_ID_BYTES))
        return "the next segment is of another clip";
    if (next->segment != before->segment + 1 || next->segments != before->segments)
        return "the next segment is not the one that follows";
    return NULL;
}

static int take_header(struct clip_reader *reader, size_t size, struct err *err)
{
    struct clip_header header = { 0 };
    struct err why = { 0 };

    if (!reader->want_header)
        return fail(reader, "a header inside a segment", err);
    if (clip_header_decode(reader->buffer, size, &header, &why) < 0)
        return fail(reader, why.text, err);
    const char *wrong = reader->has_header ? why_not_next(&reader->header, &header) : NULL;
    if (wrong) {
        clip_header_deinit(&header);
        return fail(reader, wrong, err);
    }
    clip_header_deinit(&reader->header);
    reader->header = header;
    reader->has_header = true;
    reader->want_header = reader->grouped = false;
    reader->segment_start = reader->stats.good_bytes;
    reader->segment_rows = 0;
    reader->segment_groups = 0;
    reader->stats.segments++;
    return 0;
}

static int take_seed(struct clip_reader *reader, size_t size, struct clip_item *item,
                     struct err *err)
{
    struct err why = { 0 };

    if (reader->want_header || reader->grouped)
        return fail(reader, "a seed that does not follow a header", err);
    reader->grouped = true;
    if (clip_seed_decode(reader->buffer, size, &reader->seed, &item->seed_count, &why) < 0)
        return fail(reader, why.text, err);
    item->seed = reader->seed;
    return 0;
}

static int take_group(struct clip_reader *reader, size_t size, struct clip_item *item,
                      struct err *err)
{
    struct group_block blocks[SOURCES_MAX];
    struct err why = { 0 };
    int rc = group_peek(reader->buffer, size, true, &item->group, blocks, &why);

    if (reader->want_header)
        return fail(reader, "a group without a header", err);
    if (rc == 0 && blocks[item->group.blocks - 1].source >= reader->header.sources.count)
        return fail(reader, "a group of a source that the header does not name", err);
    if (rc == 0 && !reader->config.heads_only)
        rc = group_decode(reader->coder, reader->buffer, size, &item->group, reader->rows, &why);
    if (rc < 0)
        return fail(reader, why.text, err);
    item->rows = reader->config.heads_only ? NULL : reader->rows;
    reader->grouped = true;
    reader->segment_rows += item->group.rows;
    reader->segment_groups++;
    reader->stats.groups++;
    reader->stats.rows += item->group.rows;
    return 0;
}

static const char *why_untrue(struct clip_reader *reader, const struct clip_manifest *manifest)
{
    const struct clip_header *header = &reader->header;
    uint8_t digest[SHA256_BYTES];

    sha256_take(reader->sha, digest);
    if (memcmp(manifest->clip_id, header->clip_id, CLIP_ID_BYTES) ||
        manifest->segment != header->segment)
        return "the manifest is of another segment than the header";
    if (manifest->body_bytes != reader->stats.good_bytes - reader->segment_start)
        return "the manifest counts other bytes than there are: a part is missing";
    if (manifest->frames != reader->segment_rows || manifest->groups != reader->segment_groups)
        return "the manifest counts other frames or groups than there are";
    if (memcmp(manifest->body_sha256, digest, SHA256_BYTES))
        return "the SHA-256 of the segment differs from the manifest's";
    return NULL;
}

static int take_manifest(struct clip_reader *reader, size_t size, struct err *err)
{
    struct err why = { 0 };

    if (reader->want_header)
        return fail(reader, "a manifest without a header", err);
    if (clip_manifest_decode(reader->buffer, size, &reader->manifest, &why) < 0)
        return fail(reader, why.text, err);
    reader->has_manifest = true;
    const char *wrong = why_untrue(reader, &reader->manifest);
    if (wrong)
        return fail(reader, wrong, err);
    reader->want_header = true;
    reader->stats.sealed++;
    return 0;
}

static int take_record(struct clip_reader *reader, size_t size, struct clip_item *item,
                       struct err *err)
{
    switch (load_le32(reader->buffer)) {
    case RECORD_HEADER:
        item->kind = CLIP_ITEM_HEADER;
        return take_header(reader, size, err);
    case RECORD_SEED:
        item->kind = CLIP_ITEM_SEED;
        return take_seed(reader, size, item, err);
    case RECORD_GROUP:
        item->kind = CLIP_ITEM_GROUP;
        return take_group(reader, size, item, err);
    default:
        item->kind = CLIP_ITEM_MANIFEST;
        return take_manifest(reader, size, err);
    }
}

int clip_reader_next(struct clip_reader *reader, struct clip_item *ret_item, struct err *err)
{
    struct clip_item item = { 0 };

    if (reader->failed) {
        if (err)
            *err = reader->error;
        return -EBADMSG;
    }
    drop_delivered(reader);
    size_t need = record_need(reader);
    if (!need)
        return fail(reader, "not a record of a clip", err);
    if (reader->held < RECORD_HEAD_BYTES || reader->held < need)
        return 0;
    item.offset = reader->stats.good_bytes;
    item.bytes = (uint32_t)need;
    item.record = reader->buffer;
    int rc = take_record(reader, need, &item, err);
    if (rc < 0)
        return rc;
    if (item.kind != CLIP_ITEM_MANIFEST)
        sha256_put(reader->sha, reader->buffer, need);
    item.header = &reader->header;
    item.manifest = item.kind == CLIP_ITEM_MANIFEST ? &reader->manifest : NULL;
    reader->stats.good_bytes += need;
    reader->delivered = true;
    *ret_item = item;
    return 1;
}

int clip_reader_finish(struct clip_reader *reader, struct err *err)
{
    if (reader->failed) {
        if (err)
            *err = reader->error;
        return -EBADMSG;
    }
    drop_delivered(reader);
    if (reader->held)
        return err_at(err, -EPIPE, reader->config.name, 0, 0, "at byte %llu: the record is cut off "
                      "after %zu of %zu bytes", (unsigned long long)reader->stats.good_bytes,
                      reader->held, record_need(reader));
    if (!reader->has_header)
        return err_at(err, -EPIPE, reader->config.name, 0, 0, "empty: no header");
    if (!reader->want_header)
        return err_at(err, -EPIPE, reader->config.name, 0, 0,
                      "at byte %llu: ends without a manifest",
                      (unsigned long long)reader->stats.good_bytes);
    return 0;
}

void clip_reader_stats(const struct clip_reader *reader, struct clip_reader_stats *ret_stats)
{
    *ret_stats = reader->stats;
}
