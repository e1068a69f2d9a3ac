/* Invariants:
 * - All views of the summary point into `summary`, which lives until close.
 * - `order` holds the chunk indexes by (message_start_time, offset); those before `next_chunk` are
 *   open, done, or out of the span.
 * - An open chunk holds its messages of the span, sorted by (log_time, offset); `at` is the next. */
#include "proto/mcap_index.h"

#include "proto/crc32.h"
#include "proto/mcap_chunk.h"

#include <errno.h>
#include <stdlib.h>

#define FOOTER_BODY 20
#define TAIL_BYTES (MCAP_RECORD_HEAD + FOOTER_BODY + MCAP_MAGIC_BYTES)

struct place {
    uint64_t log_time;
    size_t offset; /* in the inflated chunk */
};

struct open_chunk {
    const struct mcap_chunk_index *index; /* NULL: free */
    struct mcap_inflater inflater;
    uint8_t *stored; /* the chunk record; its records may be used as they are */
    struct mcap_bytes records;
    struct place *places;
    size_t count, at;
};

struct mcap_index {
    const char *name;
    struct mcap_input input;
    uint8_t *summary, *record;
    size_t summary_bytes;

    struct mcap_schema *schemas;
    struct mcap_channel *channels;
    struct mcap_chunk_index *chunks;
    struct mcap_attachment_index *attachments;
    struct mcap_metadata_index *metadata;
    size_t schema_count, channel_count, chunk_count, attachment_count, metadata_count;
    struct mcap_statistics statistics;
    bool has_statistics;

    const struct mcap_chunk_index **order;
    size_t next_chunk;
    uint64_t start, end;
    struct open_chunk open[MCAP_INDEX_OPEN_CHUNKS];
    size_t open_bytes;
};

/* --- reading pieces of the file --- */

static int read_at(struct mcap_index *x, uint64_t offset, void *bytes, size_t size,
                   struct err *err)
{
    uint8_t *to = bytes;

    while (size) {
        int64_t n = x->input.read(x->input.context, offset, to, size);
        if (n <= 0)
            return err_at(err, n < 0 ? (int)n : -EBADMSG, x->name, 0, 0,
                          "cannot read at byte %llu", (unsigned long long)offset);
        offset += (uint64_t)n;
        to += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Reads the whole record that an index entry points to and parses it. *ret_bytes is the caller's
 * to free. */
static int read_record(struct mcap_index *x, uint8_t opcode, uint64_t offset, uint64_t length,
                       uint8_t **ret_bytes, struct mcap_record *ret_record, struct err *err)
{
    unsigned long long at = (unsigned long long)offset;

    if (length < MCAP_RECORD_HEAD || offset > x->input.size || length > x->input.size - offset)
        return err_at(err, -EBADMSG, x->name, 0, 0, "the index points to %s at byte %llu, %llu "
                      "bytes long: outside the file", mcap_opcode_name(opcode), at,
                      (unsigned long long)length);
    if (length > MCAP_RECORD_BYTES_MAX)
        return err_at(err, -ERANGE, x->name, 0, 0, "%s at byte %llu: %llu bytes, the limit is %d",
                      mcap_opcode_name(opcode), at, (unsigned long long)length,
                      MCAP_RECORD_BYTES_MAX);
    uint8_t *bytes = malloc((size_t)length);
    if (!bytes)
        return err_at(err, -ENOMEM, x->name, 0, 0, "no memory for %llu bytes",
                      (unsigned long long)length);
    int rc = read_at(x, offset, bytes, (size_t)length, err);
    if (!rc && (bytes[0] != opcode || load_le64(bytes + 1) != length - MCAP_RECORD_HEAD ||
                mcap_parse(opcode, mcap_view(bytes + MCAP_RECORD_HEAD,
                                             (size_t)length - MCAP_RECORD_HEAD), ret_record)))
        rc = err_at(err, -EBADMSG, x->name, 0, 0,
                    "the index points to %s at byte %llu, which is not one",
                    mcap_opcode_name(opcode), at);
    if (rc) {
        free(bytes);
        return rc;
    }
    ret_record->offset = offset;
    *ret_bytes = bytes;
    return 0;
}

/* --- the summary --- */

static int read_tail(struct mcap_index *x, uint8_t tail[TAIL_BYTES], struct err *err)
{
    uint8_t magic[MCAP_MAGIC_BYTES];

    if (x->input.size < MCAP_MAGIC_BYTES + TAIL_BYTES)
        return err_at(err, -EBADMSG, x->name, 0, 0, "%llu bytes are no MCAP file",
                      (unsigned long long)x->input.size);
    int rc = read_at(x, 0, magic, sizeof magic, err);
    if (!rc)
        rc = read_at(x, x->input.size - TAIL_BYTES, tail, TAIL_BYTES, err);
    if (rc)
        return rc;
    if (memcmp(magic, mcap_magic, sizeof magic))
        return err_at(err, -EBADMSG, x->name, 0, 0, "the magic at the start is not there");
    if (memcmp(tail + TAIL_BYTES - MCAP_MAGIC_BYTES, mcap_magic, sizeof magic) ||
        tail[0] != MCAP_FOOTER || load_le64(tail + 1) != FOOTER_BODY)
        return err_at(err, -EBADMSG, x->name, 0, 0,
                      "no Footer at the end: the file is cut off or was not finished");
    return 0;
}

static int read_summary(struct mcap_index *x, struct err *err)
{
    uint8_t tail[TAIL_BYTES];
    struct mcap_record footer;
    int rc = read_tail(x, tail, err);

    if (rc)
        return rc;
    (void)mcap_parse(MCAP_FOOTER, mcap_view(tail + MCAP_RECORD_HEAD, FOOTER_BODY), &footer);
    uint64_t start = footer.footer.summary_start, end = x->input.size - TAIL_BYTES;
    if (!start)
        return err_at(err, -ENOENT, x->name, 0, 0, "the file has no summary");
    if (start > end || footer.footer.summary_offset_start > end)
        return err_at(err, -EBADMSG, x->name, 0, 0, "Footer says that the summary starts at byte "
                      "%llu: outside the file", (unsigned long long)start);
    if (end - start > MCAP_SUMMARY_BYTES_MAX)
        return err_at(err, -ERANGE, x->name, 0, 0, "a summary of %llu bytes: the limit is %d",
                      (unsigned long long)(end - start), MCAP_SUMMARY_BYTES_MAX);
    x->summary_bytes = (size_t)(end - start);
    x->summary = malloc(x->summary_bytes + 1);
    if (!x->summary)
        return err_at(err, -ENOMEM, x->name, 0, 0, "no memory for the summary");
    rc = read_at(x, start, x->summary, x->summary_bytes, err);
    if (rc)
        return rc;
    uint32_t crc = crc32_ieee(0, x->summary, x->summary_bytes);
    crc = crc32_ieee(crc, tail, MCAP_RECORD_HEAD + FOOTER_BODY - 4);
    if (footer.footer.summary_crc && footer.footer.summary_crc != crc)
        return err_at(err, -EBADMSG, x->name, 0, 0,
                      "CRC of the summary: the file says %08x, its bytes give %08x",
                      footer.footer.summary_crc, crc);
    return 0;
}

/* The next record of the summary: 1, 0 at its end, -EBADMSG. */
static int next_summary(struct mcap_index *x, size_t *at, struct mcap_record *ret_record,
                        struct err *err)
{
    while (*at < x->summary_bytes) {
        const uint8_t *p = x->summary + *at;
        size_t left = x->summary_bytes - *at;

        if (left < MCAP_RECORD_HEAD || load_le64(p + 1) > left - MCAP_RECORD_HEAD)
            return err_at(err, -EBADMSG, x->name, 0, 0,
                          "a record at byte %zu of the summary runs beyond it", *at);
        struct mcap_bytes body = mcap_view(p + MCAP_RECORD_HEAD, (size_t)load_le64(p + 1));
        int rc = mcap_parse(p[0], body, ret_record);
        if (rc == -EBADMSG)
            return err_at(err, rc, x->name, 0, 0,
                          "%s at byte %zu of the summary: a field runs beyond its %zu bytes",
                          mcap_opcode_name(p[0]), *at, body.size);
        *at += MCAP_RECORD_HEAD + body.size;
        if (rc == 0)
            return 1;
    }
    return 0;
}

static int reserve_tables(struct mcap_index *x, struct err *err)
{
    size_t count[MCAP_DATA_END + 1] = { 0 }, at = 0;
    struct mcap_record record = { 0 };
    int rc;

    while ((rc = next_summary(x, &at, &record, err)) == 1)
        count[record.opcode]++;
    if (rc)
        return rc;
    x->schemas = calloc(count[MCAP_SCHEMA] + 1, sizeof *x->schemas);
    x->channels = calloc(count[MCAP_CHANNEL] + 1, sizeof *x->channels);
    x->chunks = calloc(count[MCAP_CHUNK_INDEX] + 1, sizeof *x->chunks);
    x->order = calloc(count[MCAP_CHUNK_INDEX] + 1, sizeof(struct mcap_chunk_index *));
    x->attachments = calloc(count[MCAP_ATTACHMENT_INDEX] + 1, sizeof *x->attachments);
    x->metadata = calloc(count[MCAP_METADATA_INDEX] + 1, sizeof *x->metadata);
    if (!x->schemas || !x->channels || !x->chunks || !x->order || !x->attachments || !x->metadata)
        return err_at(err, -ENOMEM, x->name, 0, 0, "no memory for the index");
    return 0;
}

static void take_entry(struct mcap_index *x, const struct mcap_record *record)
{
    switch (record->opcode) {
    case MCAP_SCHEMA:
        if (record->schema.id) /* 0 is invalid, to be ignored */
            x->schemas[x->schema_count++] = record->schema;
        break;
    case MCAP_CHANNEL: x->channels[x->channel_count++] = record->channel; break;
    case MCAP_CHUNK_INDEX: x->chunks[x->chunk_count++] = record->chunk_index; break;
    case MCAP_ATTACHMENT_INDEX:
        x->attachments[x->attachment_count++] = record->attachment_index;
        break;
    case MCAP_METADATA_INDEX: x->metadata[x->metadata_count++] = record->metadata_index; break;
    case MCAP_STATISTICS:
        x->statistics = record->statistics;
        x->has_statistics = true;
        break;
    default: break;
    }
}

static int compare_schemas(const void *a, const void *b)
{
    return (int)((const struct mcap_schema *)a)->id - (int)((const struct mcap_schema *)b)->id;
}

static int compare_channels(const void *a, const void *b)
{
    return (int)((const struct mcap_channel *)a)->id - (int)((const struct mcap_channel *)b)->id;
}

static int compare_order(const void *a, const void *b)
{
    const struct mcap_chunk_index *x = *(const struct mcap_chunk_index *const *)a;
    const struct mcap_chunk_index *y = *(const struct mcap_chunk_index *const *)b;

    if (x->message_start_time != y->message_start_time)
        return x->message_start_time < y->message_start_time ? -1 : 1;
    return (x->chunk_start_offset > y->chunk_start_offset) -
           (x->chunk_start_offset < y->chunk_start_offset);
}

/* Sorted by id, one each: what is repeated within the summary counts once. */
static void sort_tables(struct mcap_index *x)
{
    size_t kept = 0;

    qsort(x->schemas, x->schema_count, sizeof *x->schemas, compare_schemas);
    for (size_t i = 0; i < x->schema_count; i++)
        if (!kept || x->schemas[kept - 1].id != x->schemas[i].id)
            x->schemas[kept++] = x->schemas[i];
    x->schema_count = kept;
    kept = 0;
    qsort(x->channels, x->channel_count, sizeof *x->channels, compare_channels);
    for (size_t i = 0; i < x->channel_count; i++)
        if (!kept || x->channels[kept - 1].id != x->channels[i].id)
            x->channels[kept++] = x->channels[i];
    x->channel_count = kept;
    for (size_t i = 0; i < x->chunk_count; i++)
        x->order[i] = &x->chunks[i];
    qsort(x->order, x->chunk_count, sizeof(struct mcap_chunk_index *), compare_order);
}

int mcap_index_open(const char *name, const struct mcap_input *input, struct mcap_index **ret_index,
                    struct err *err)
{
    struct mcap_index *x = calloc(1, sizeof *x);
    struct mcap_record record;
    size_t at = 0;

    if (!x)
        return err_at(err, -ENOMEM, name, 0, 0, "no memory for the index");
    x->name = name;
    x->input = *input;
    int rc = read_summary(x, err);
    if (!rc)
        rc = reserve_tables(x, err);
    if (rc) {
        mcap_index_close(x);
        return rc;
    }
    while (next_summary(x, &at, &record, err) == 1)
        take_entry(x, &record);
    sort_tables(x);
    x->next_chunk = x->chunk_count; /* nothing until a seek */
    *ret_index = x;
    return 0;
}

static void close_chunk(struct mcap_index *x, struct open_chunk *chunk)
{
    x->open_bytes -= chunk->records.size;
    free(chunk->stored);
    free(chunk->places);
    chunk->stored = NULL;
    chunk->places = NULL;
    chunk->index = NULL;
    chunk->records = (struct mcap_bytes){ NULL, 0 };
    mcap_inflater_deinit(&chunk->inflater);
}

static void close_chunks(struct mcap_index *x)
{
    for (size_t i = 0; i < MCAP_INDEX_OPEN_CHUNKS; i++)
        close_chunk(x, &x->open[i]);
}

void mcap_index_close(struct mcap_index *x)
{
    if (!x)
        return;
    close_chunks(x);
    free(x->summary);
    free(x->record);
    free(x->schemas);
    free(x->channels);
    free(x->chunks);
    free(x->order);
    free(x->attachments);
    free(x->metadata);
    free(x);
}

const struct mcap_statistics *mcap_index_statistics(const struct mcap_index *x)
{
    return x->has_statistics ? &x->statistics : NULL;
}

size_t mcap_index_schemas(const struct mcap_index *x, const struct mcap_schema **ret_items)
{
    *ret_items = x->schemas;
    return x->schema_count;
}

size_t mcap_index_channels(const struct mcap_index *x, const struct mcap_channel **ret_items)
{
    *ret_items = x->channels;
    return x->channel_count;
}

size_t mcap_index_attachments(const struct mcap_index *x,
                              const struct mcap_attachment_index **ret_items)
{
    *ret_items = x->attachments;
    return x->attachment_count;
}

size_t mcap_index_metadata(const struct mcap_index *x,
                           const struct mcap_metadata_index **ret_items)
{
    *ret_items = x->metadata;
    return x->metadata_count;
}

size_t mcap_index_chunks(const struct mcap_index *x, const struct mcap_chunk_index **ret_items)
{
    *ret_items = x->chunks;
    return x->chunk_count;
}

/* --- one record --- */

int mcap_index_read_attachment(struct mcap_index *x, const struct mcap_attachment_index *entry,
                               struct mcap_attachment *ret_attachment, struct err *err)
{
    struct mcap_record record;
    uint8_t *bytes;
    int rc = read_record(x, MCAP_ATTACHMENT, entry->offset, entry->length, &bytes, &record, err);

    if (rc)
        return rc;
    free(x->record);
    x->record = bytes;
    const struct mcap_attachment *attachment = &record.attachment;
    const uint8_t *covered_end = attachment->data.at + attachment->data.size;
    uint32_t crc = crc32_ieee(0, record.body.at, (size_t)(covered_end - record.body.at));
    if (attachment->crc && attachment->crc != crc)
        return err_at(err, -EBADMSG, x->name, 0, 0,
                      "CRC of Attachment at byte %llu: the file says %08x, its bytes give %08x",
                      (unsigned long long)entry->offset, attachment->crc, crc);
    *ret_attachment = *attachment;
    return 0;
}

int mcap_index_read_metadata(struct mcap_index *x, const struct mcap_metadata_index *entry,
                             struct mcap_metadata *ret_metadata, struct err *err)
{
    struct mcap_record record;
    uint8_t *bytes;
    int rc = read_record(x, MCAP_METADATA, entry->offset, entry->length, &bytes, &record, err);

    if (rc)
        return rc;
    free(x->record);
    x->record = bytes;
    *ret_metadata = record.metadata;
    return 0;
}

/* --- messages --- */

int mcap_index_seek(struct mcap_index *x, uint64_t start, uint64_t end, struct err *err)
{
    if (!x->chunk_count)
        return err_at(err, -ENOENT, x->name, 0, 0, "the file has no chunk indexes");
    close_chunks(x);
    x->next_chunk = 0;
    x->start = start;
    x->end = end;
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->log_time != y->log_time)
        return x->log_time < y->log_time ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int check_place(const struct mcap_index *x, const struct mcap_chunk_index *index,
                       const struct mcap_message *message, struct err *err)
{
    struct mcap_channel key = { .id = message->channel_id };

    if (!bsearch(&key, x->channels, x->channel_count, sizeof key, compare_channels))
        return err_at(err, -EBADMSG, x->name, 0, 0,
                      "a message on channel %u, which the summary does not have", key.id);
    if (message->log_time < index->message_start_time ||
        message->log_time > index->message_end_time)
        return err_at(err, -EBADMSG, x->name, 0, 0,
                      "a message of the Chunk at byte %llu lies outside the times of its index",
                      (unsigned long long)index->chunk_start_offset);
    return 0;
}

/* Counts, or with `fill` also stores, the messages of the span. */
static int64_t scan_places(struct mcap_index *x, struct open_chunk *chunk, bool fill,
                           struct err *err)
{
    struct mcap_chunk_cursor cursor = { .records = chunk->records };
    struct mcap_record record;
    int64_t count = 0;
    int rc;

    while ((rc = mcap_chunk_next(&cursor, x->name, &record, err)) == 1) {
        if (record.opcode != MCAP_MESSAGE)
            continue;
        rc = check_place(x, chunk->index, &record.message, err);
        if (rc)
            return rc;
        if (record.message.log_time < x->start || record.message.log_time > x->end)
            continue;
        if (fill)
            chunk->places[count] =
                (struct place){ record.message.log_time, (size_t)record.offset };
        count++;
    }
    return rc ? rc : count;
}

static int index_chunk(struct mcap_index *x, struct open_chunk *chunk, struct err *err)
{
    int64_t count = scan_places(x, chunk, false, err);

    if (count < 0)
        return (int)count;
    chunk->places = malloc(((size_t)count + 1) * sizeof *chunk->places);
    if (!chunk->places)
        return err_at(err, -ENOMEM, x->name, 0, 0, "no memory for a chunk's index");
    (void)scan_places(x, chunk, true, err);
    chunk->count = (size_t)count;
    chunk->at = 0;
    qsort(chunk->places, chunk->count, sizeof *chunk->places, compare_places);
    return 0;
}

static struct open_chunk *free_chunk(struct mcap_index *x)
{
    for (size_t i = 0; i < MCAP_INDEX_OPEN_CHUNKS; i++)
        if (!x->open[i].index)
            return &x->open[i];
    return NULL;
}

static int open_chunk(struct mcap_index *x, const struct mcap_chunk_index *index, struct err *err)
{
    struct open_chunk *chunk = free_chunk(x);
    struct mcap_record record = { 0 };

    if (!chunk || index->uncompressed_size > MCAP_INDEX_OPEN_BYTES - x->open_bytes)
        return err_at(err, -ENOBUFS, x->name, 0, 0,
                      "too many chunks overlap at the Chunk at byte %llu: the limit is %d chunks, "
                      "%d bytes", (unsigned long long)index->chunk_start_offset,
                      MCAP_INDEX_OPEN_CHUNKS, MCAP_INDEX_OPEN_BYTES);
    int rc = read_record(x, MCAP_CHUNK, index->chunk_start_offset, index->chunk_length,
                         &chunk->stored, &record, err);
    if (rc)
        return rc;
    chunk->index = index;
    rc = mcap_chunk_inflate(&chunk->inflater, &record.chunk, record.offset, x->name,
                            &chunk->records, err);
    if (!rc && chunk->records.size != index->uncompressed_size)
        rc = err_at(err, -EBADMSG, x->name, 0, 0,
                    "Chunk at byte %llu has %zu bytes, its index says %llu",
                    (unsigned long long)record.offset, chunk->records.size,
                    (unsigned long long)index->uncompressed_size);
    x->open_bytes += chunk->records.size;
    if (!rc)
        rc = index_chunk(x, chunk, err);
    if (rc)
        close_chunk(x, chunk);
    return rc;
}

/* The open chunk whose next message comes first; chunks that have none left are closed. */
static struct open_chunk *least(struct mcap_index *x)
{
    struct open_chunk *best = NULL;

    for (size_t i = 0; i < MCAP_INDEX_OPEN_CHUNKS; i++) {
        struct open_chunk *chunk = &x->open[i];
        if (!chunk->index)
            continue;
        if (chunk->at == chunk->count) {
            close_chunk(x, chunk);
            continue;
        }
        uint64_t time = chunk->places[chunk->at].log_time;
        if (!best || time < best->places[best->at].log_time ||
            (time == best->places[best->at].log_time &&
             chunk->index->chunk_start_offset < best->index->chunk_start_offset))
            best = chunk;
    }
    return best;
}

/* Opens each chunk that may hold a message before, or at the time of, the first one at hand. */
static int open_due(struct mcap_index *x, struct err *err)
{
    while (x->next_chunk < x->chunk_count) {
        const struct mcap_chunk_index *index = x->order[x->next_chunk];
        const struct open_chunk *best = least(x);

        if (best && index->message_start_time > best->places[best->at].log_time)
            return 0;
        x->next_chunk++;
        if (index->message_end_time < x->start || index->message_start_time > x->end)
            continue;
        int rc = open_chunk(x, index, err);
        if (rc)
            return rc;
    }
    return 0;
}

int mcap_index_next(struct mcap_index *x, struct mcap_message *ret_message, struct err *err)
{
    struct mcap_record record;
    int rc = open_due(x, err);

    if (rc)
        return rc;
    struct open_chunk *chunk = least(x);
    if (!chunk)
        return 0;
    struct mcap_chunk_cursor cursor = { chunk->records, chunk->places[chunk->at].offset };
    rc = mcap_chunk_next(&cursor, x->name, &record, err);
    if (rc < 0)
        return rc;
    chunk->at++;
    *ret_message = record.message;
    return 1;
}
