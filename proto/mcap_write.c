/* Invariants:
 * - `position` is the number of bytes given to the sink; `crc` runs over the bytes of the section
 *   that is open: the data section from byte 0, then the summary from its first byte.
 * - `chunk` holds whole records; `entry_count` entries point into it, linked by channel.
 * - A call that fails before it puts its first byte leaves everything as it was.
 *
 *   open --(schema, channel, message: into the chunk)--> chunk open
 *   chunk open --(full, too long, attachment, metadata, finish: flush_chunk)--> open
 *   open --(finish)--> finished */
#include "proto/mcap_write.h"

#include "proto/crc32.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#define MESSAGE_RECORD_MIN (MCAP_RECORD_HEAD + 2 + 4 + 8 + 8)
#define NO_ENTRY UINT32_MAX

/* A region of fixed size that records are serialized into. */
struct area {
    uint8_t *bytes;
    size_t used, size;
};

/* One message of the open chunk. */
struct entry {
    uint64_t log_time;
    uint32_t offset;
    uint32_t next; /* of the same channel, or NO_ENTRY */
};

struct channel_state {
    uint64_t messages;
    uint32_t first, last; /* entries of the open chunk, or NO_ENTRY */
    bool known;
};

struct span {
    uint64_t start, end; /* 0, 0 while empty */
    bool any;
};

struct mcap_writer {
    struct mcap_write_config config;
    struct mcap_sink sink;
    int failed; /* errno of the sink, kept */
    bool finished;
    uint64_t position;
    uint32_t crc;

    struct area scratch, chunk, packed;
    ZSTD_CCtx *zstd;
    struct span chunk_span;
    uint64_t chunk_first_time; /* log_time of its first message */

    struct entry *entries;
    size_t entry_count, entry_max;
    struct channel_state *channels; /* MCAP_IDS */
    uint8_t *schemas;               /* MCAP_IDS: 1 when written */
    uint16_t *touched;              /* channels with messages in the open chunk */
    size_t touched_count;

    struct area schema_group, channel_group, chunk_group, attachment_group, metadata_group;
    struct mcap_statistics statistics;
    struct span span;
};

static int stdio_put(void *context, const void *bytes, size_t size)
{
    FILE *file = context;

    errno = 0;
    if (fwrite(bytes, 1, size, file) == size)
        return 0;
    return errno ? -errno : -EIO;
}

struct mcap_sink mcap_sink_stdio(FILE *file) { return (struct mcap_sink){ stdio_put, file }; }

static int put(struct mcap_writer *w, const void *bytes, size_t size)
{
    if (w->failed)
        return w->failed;
    if (!size)
        return 0;
    w->crc = crc32_ieee(w->crc, bytes, size);
    w->failed = w->sink.put(w->sink.context, bytes, size);
    w->position += size;
    return w->failed;
}

/* --- serialization: the caller has checked that the record fits --- */

static void add_u8(struct area *a, uint8_t v) { a->bytes[a->used++] = v; }

static void add_u16(struct area *a, uint16_t v)
{
    store_le16(a->bytes + a->used, v);
    a->used += 2;
}

static void add_u32(struct area *a, uint32_t v)
{
    store_le32(a->bytes + a->used, v);
    a->used += 4;
}

static void add_u64(struct area *a, uint64_t v)
{
    store_le64(a->bytes + a->used, v);
    a->used += 8;
}

static void add_raw(struct area *a, struct mcap_bytes view)
{
    if (view.size)
        memcpy(a->bytes + a->used, view.at, view.size);
    a->used += view.size;
}

static void add_view(struct area *a, struct mcap_bytes view)
{
    add_u32(a, (uint32_t)view.size);
    add_raw(a, view);
}

static void add_head(struct area *a, uint8_t opcode, uint64_t body_bytes)
{
    add_u8(a, opcode);
    add_u64(a, body_bytes);
}

static bool fits(const struct area *a, uint64_t bytes) { return bytes <= a->size - a->used; }

/* Bytes of a string, map or array with its length. */
static uint64_t sized(struct mcap_bytes view) { return 4 + (uint64_t)view.size; }

static void span_add(struct span *span, uint64_t time)
{
    if (!span->any || time < span->start)
        span->start = time;
    if (!span->any || time > span->end)
        span->end = time;
    span->any = true;
}

/* --- open and close --- */

static int area_open(struct area *area, size_t size)
{
    area->bytes = malloc(size);
    area->size = size;
    return area->bytes ? 0 : -ENOMEM;
}

/* Reserved, not touched: a page costs memory when it is first written. */
static int open_areas(struct mcap_writer *w)
{
    size_t chunk_bytes = (size_t)w->config.chunk_bytes + MCAP_WRITE_RECORD_MAX;

    w->entry_max = w->config.chunk_bytes / MESSAGE_RECORD_MIN + 2;
    w->entries = malloc(w->entry_max * sizeof *w->entries);
    w->channels = calloc(MCAP_IDS, sizeof *w->channels);
    w->schemas = calloc(MCAP_IDS, 1);
    w->touched = malloc(MCAP_IDS * sizeof *w->touched);
    if (!w->entries || !w->channels || !w->schemas || !w->touched)
        return -ENOMEM;
    if (area_open(&w->scratch, MCAP_WRITE_RECORD_MAX) || area_open(&w->chunk, chunk_bytes) ||
        area_open(&w->packed, ZSTD_compressBound(chunk_bytes)) ||
        area_open(&w->schema_group, MCAP_WRITE_SCHEMA_BYTES_MAX) ||
        area_open(&w->channel_group, MCAP_WRITE_CHANNEL_BYTES_MAX) ||
        area_open(&w->chunk_group, MCAP_WRITE_INDEX_BYTES_MAX) ||
        area_open(&w->attachment_group, MCAP_WRITE_SMALL_BYTES_MAX) ||
        area_open(&w->metadata_group, MCAP_WRITE_SMALL_BYTES_MAX))
        return -ENOMEM;
    w->zstd = ZSTD_createCCtx();
    return w->zstd ? 0 : -ENOMEM;
}

static int check_config(const struct mcap_write_config *config)
{
    const unsigned chunk_only = MCAP_USE_MESSAGE_INDEX | MCAP_USE_CHUNK_INDEX;

    if ((config->features & chunk_only) && !(config->features & MCAP_USE_CHUNKS))
        return -EINVAL;
    if (config->chunk_bytes < 1 || config->chunk_bytes > MCAP_WRITE_CHUNK_MAX)
        return -ERANGE;
    if (config->compress && (config->level < 1 || config->level > 12))
        return -ERANGE;
    if (strlen(config->profile) + strlen(config->library) > MCAP_WRITE_RECORD_MAX / 2)
        return -ERANGE;
    return 0;
}

static int put_header(struct mcap_writer *w)
{
    struct mcap_bytes profile = mcap_text(w->config.profile);
    struct mcap_bytes library = mcap_text(w->config.library);

    w->scratch.used = 0;
    add_head(&w->scratch, MCAP_HEADER, sized(profile) + sized(library));
    add_view(&w->scratch, profile);
    add_view(&w->scratch, library);
    (void)put(w, mcap_magic, sizeof mcap_magic);
    return put(w, w->scratch.bytes, w->scratch.used);
}

int mcap_writer_open(const struct mcap_write_config *config, const struct mcap_sink *sink,
                     struct mcap_writer **ret_writer)
{
    int rc = check_config(config);

    if (rc)
        return rc;
    struct mcap_writer *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->config = *config;
    w->sink = *sink;
    rc = open_areas(w);
    if (!rc)
        rc = put_header(w);
    if (rc) {
        mcap_writer_close(w);
        return rc;
    }
    *ret_writer = w;
    return 0;
}

void mcap_writer_close(struct mcap_writer *w)
{
    if (!w)
        return;
    ZSTD_freeCCtx(w->zstd);
    free(w->entries);
    free(w->channels);
    free(w->schemas);
    free(w->touched);
    free(w->scratch.bytes);
    free(w->chunk.bytes);
    free(w->packed.bytes);
    free(w->schema_group.bytes);
    free(w->channel_group.bytes);
    free(w->chunk_group.bytes);
    free(w->attachment_group.bytes);
    free(w->metadata_group.bytes);
    free(w);
}

uint64_t mcap_writer_position(const struct mcap_writer *w) { return w->position; }

uint64_t mcap_writer_messages(const struct mcap_writer *w) { return w->statistics.message_count; }

/* --- chunks --- */

static int compare_ids(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static uint32_t entries_of(const struct mcap_writer *w, uint16_t id)
{
    uint32_t count = 0;

    for (uint32_t i = w->channels[id].first; i != NO_ENTRY; i = w->entries[i].next)
        count++;
    return count;
}

/* One MessageIndex record, put from the scratch area in pieces: a channel may have more entries
 * than the area holds. */
static int put_message_index(struct mcap_writer *w, uint16_t id)
{
    uint32_t count = entries_of(w, id);

    w->scratch.used = 0;
    add_head(&w->scratch, MCAP_MESSAGE_INDEX, 2 + 4 + 16 * (uint64_t)count);
    add_u16(&w->scratch, id);
    add_u32(&w->scratch, 16 * count);
    for (uint32_t i = w->channels[id].first; i != NO_ENTRY; i = w->entries[i].next) {
        if (!fits(&w->scratch, 16)) {
            (void)put(w, w->scratch.bytes, w->scratch.used);
            w->scratch.used = 0;
        }
        add_u64(&w->scratch, w->entries[i].log_time);
        add_u64(&w->scratch, w->entries[i].offset);
    }
    return put(w, w->scratch.bytes, w->scratch.used);
}

static const char *compression_name(const struct mcap_writer *w)
{
    return w->config.compress ? "zstd" : "";
}

static uint64_t chunk_index_body(const struct mcap_writer *w, size_t channels)
{
    return 8 * 4 + 4 + 10 * (uint64_t)channels + 8 + 4 + strlen(compression_name(w)) + 8 + 8;
}

/* Writes the message indexes (rising channel ids) and notes them in the chunk's own index. */
static int put_chunk_indexes(struct mcap_writer *w, uint64_t chunk_start, size_t stored_bytes)
{
    struct area *group = &w->chunk_group;
    bool noted = w->config.features & MCAP_USE_CHUNK_INDEX;
    bool indexed = w->config.features & MCAP_USE_MESSAGE_INDEX;
    size_t channels = indexed ? w->touched_count : 0;
    uint64_t index_start = w->position;

    if (noted) {
        add_head(group, MCAP_CHUNK_INDEX, chunk_index_body(w, channels));
        add_u64(group, w->chunk_span.start);
        add_u64(group, w->chunk_span.end);
        add_u64(group, chunk_start);
        add_u64(group, index_start - chunk_start);
        add_u32(group, (uint32_t)(10 * channels));
    }
    for (size_t i = 0; i < channels; i++) {
        if (noted) {
            add_u16(group, w->touched[i]);
            add_u64(group, w->position);
        }
        (void)put_message_index(w, w->touched[i]);
    }
    if (noted) {
        add_u64(group, w->position - index_start);
        add_view(group, mcap_text(compression_name(w)));
        add_u64(group, stored_bytes);
        add_u64(group, w->chunk.used);
    }
    return w->failed;
}

static void chunk_begin(struct mcap_writer *w)
{
    for (size_t i = 0; i < w->touched_count; i++)
        w->channels[w->touched[i]].first = w->channels[w->touched[i]].last = NO_ENTRY;
    w->touched_count = 0;
    w->entry_count = 0;
    w->chunk.used = 0;
    w->chunk_span = (struct span){ 0 };
}

/* Room in the summary is checked first, so that a full index costs no bytes in the file. */
static int flush_chunk(struct mcap_writer *w)
{
    struct mcap_bytes stored = mcap_view(w->chunk.bytes, w->chunk.used);
    uint64_t start = w->position;

    if (!w->chunk.used)
        return w->failed;
    if ((w->config.features & MCAP_USE_CHUNK_INDEX) &&
        !fits(&w->chunk_group, MCAP_RECORD_HEAD + chunk_index_body(w, w->touched_count)))
        return -ENOBUFS;
    qsort(w->touched, w->touched_count, sizeof *w->touched, compare_ids);
    if (w->config.compress) {
        size_t packed = ZSTD_compressCCtx(w->zstd, w->packed.bytes, w->packed.size, stored.at,
                                          stored.size, w->config.level);
        if (ZSTD_isError(packed))
            return -ENOMEM; /* the bound is kept, so only memory can be short */
        stored = mcap_view(w->packed.bytes, packed);
    }
    struct mcap_bytes compression = mcap_text(compression_name(w));
    w->scratch.used = 0;
    add_head(&w->scratch, MCAP_CHUNK, 8 + 8 + 8 + 4 + sized(compression) + 8 + stored.size);
    add_u64(&w->scratch, w->chunk_span.start);
    add_u64(&w->scratch, w->chunk_span.end);
    add_u64(&w->scratch, w->chunk.used);
    add_u32(&w->scratch, crc32_ieee(0, w->chunk.bytes, w->chunk.used));
    add_view(&w->scratch, compression);
    add_u64(&w->scratch, stored.size);
    (void)put(w, w->scratch.bytes, w->scratch.used);
    (void)put(w, stored.at, stored.size);
    w->statistics.chunk_count++;
    (void)put_chunk_indexes(w, start, stored.size);
    chunk_begin(w);
    return w->failed;
}

/* Where a schema, channel or message of that size goes: the chunk, or the scratch area that
 * record_put gives to the sink. NULL with *ret_rc filled when it cannot be written. */
static struct area *record_area(struct mcap_writer *w, uint64_t body_bytes, int *ret_rc)
{
    *ret_rc = w->failed ? w->failed : w->finished ? -EINVAL : 0;
    if (!*ret_rc && body_bytes > MCAP_WRITE_RECORD_MAX - MCAP_RECORD_HEAD)
        *ret_rc = -EMSGSIZE;
    if (*ret_rc)
        return NULL;
    if (!(w->config.features & MCAP_USE_CHUNKS)) {
        w->scratch.used = 0;
        return &w->scratch;
    }
    if (w->chunk.used >= w->config.chunk_bytes)
        *ret_rc = flush_chunk(w);
    return *ret_rc ? NULL : &w->chunk;
}

static int record_put(struct mcap_writer *w, struct area *area)
{
    return area == &w->scratch ? put(w, area->bytes, area->used) : 0;
}

/* Copies the record that `area` ends with to the group that the summary repeats. */
static void repeat(struct area *group, const struct area *area, uint64_t record_bytes)
{
    add_raw(group, mcap_view(area->bytes + area->used - record_bytes, (size_t)record_bytes));
}

int mcap_write_schema(struct mcap_writer *w, const struct mcap_schema *schema)
{
    uint64_t body = 2 + sized(schema->name) + sized(schema->encoding) + sized(schema->data);
    int rc;

    if (schema->id == 0)
        return -EINVAL;
    if (w->schemas[schema->id])
        return -EEXIST;
    if (!fits(&w->schema_group, MCAP_RECORD_HEAD + body))
        return body > MCAP_WRITE_RECORD_MAX ? -EMSGSIZE : -ENOBUFS;
    struct area *area = record_area(w, body, &rc);
    if (!area)
        return rc;
    add_head(area, MCAP_SCHEMA, body);
    add_u16(area, schema->id);
    add_view(area, schema->name);
    add_view(area, schema->encoding);
    add_view(area, schema->data);
    repeat(&w->schema_group, area, MCAP_RECORD_HEAD + body);
    w->schemas[schema->id] = 1;
    w->statistics.schema_count++;
    return record_put(w, area);
}

int mcap_write_channel(struct mcap_writer *w, const struct mcap_channel *channel)
{
    struct channel_state *state = &w->channels[channel->id];
    uint64_t body = 2 + 2 + sized(channel->topic) + sized(channel->message_encoding) +
                    sized(channel->metadata);
    int rc;

    if (channel->schema_id && !w->schemas[channel->schema_id])
        return -EINVAL;
    if (state->known)
        return -EEXIST;
    if (!fits(&w->channel_group, MCAP_RECORD_HEAD + body))
        return body > MCAP_WRITE_RECORD_MAX ? -EMSGSIZE : -ENOBUFS;
    struct area *area = record_area(w, body, &rc);
    if (!area)
        return rc;
    add_head(area, MCAP_CHANNEL, body);
    add_u16(area, channel->id);
    add_u16(area, channel->schema_id);
    add_view(area, channel->topic);
    add_view(area, channel->message_encoding);
    add_view(area, channel->metadata);
    repeat(&w->channel_group, area, MCAP_RECORD_HEAD + body);
    *state = (struct channel_state){ .first = NO_ENTRY, .last = NO_ENTRY, .known = true };
    w->statistics.channel_count++;
    return record_put(w, area);
}

static void index_message(struct mcap_writer *w, const struct mcap_message *message)
{
    struct channel_state *state = &w->channels[message->channel_id];
    uint32_t index = (uint32_t)w->entry_count++;

    assert(w->entry_count <= w->entry_max);
    w->entries[index] = (struct entry){ message->log_time, (uint32_t)w->chunk.used, NO_ENTRY };
    if (state->first == NO_ENTRY) {
        state->first = index;
        w->touched[w->touched_count++] = message->channel_id;
    } else {
        w->entries[state->last].next = index;
    }
    state->last = index;
    span_add(&w->chunk_span, message->log_time);
}

/* The span that closes a chunk is measured from its first message; one that goes back in time
 * closes nothing. */
static bool chunk_too_long(const struct mcap_writer *w, uint64_t log_time)
{
    return w->config.chunk_ns && w->entry_count && log_time > w->chunk_first_time &&
           log_time - w->chunk_first_time >= w->config.chunk_ns;
}

int mcap_write_message(struct mcap_writer *w, const struct mcap_message *message)
{
    uint64_t body = 2 + 4 + 8 + 8 + (uint64_t)message->data.size;
    int rc;

    if (!w->channels[message->channel_id].known)
        return -EINVAL;
    if (chunk_too_long(w, message->log_time) && (rc = flush_chunk(w)))
        return rc;
    struct area *area = record_area(w, body, &rc);
    if (!area)
        return rc;
    if (area == &w->chunk) {
        if (!w->entry_count)
            w->chunk_first_time = message->log_time;
        index_message(w, message);
    }
    add_head(area, MCAP_MESSAGE, body);
    add_u16(area, message->channel_id);
    add_u32(area, message->sequence);
    add_u64(area, message->log_time);
    add_u64(area, message->publish_time);
    add_raw(area, message->data);
    span_add(&w->span, message->log_time);
    w->statistics.message_count++;
    w->channels[message->channel_id].messages++;
    return record_put(w, area);
}

/* --- attachments and metadata: between chunks --- */

static int between_chunks(struct mcap_writer *w)
{
    if (w->failed || w->finished)
        return w->failed ? w->failed : -EINVAL;
    return flush_chunk(w);
}

static void note_attachment(struct mcap_writer *w, const struct mcap_attachment *attachment,
                            uint64_t offset, uint64_t length)
{
    struct area *group = &w->attachment_group;

    add_head(group, MCAP_ATTACHMENT_INDEX,
             8 * 5 + sized(attachment->name) + sized(attachment->media_type));
    add_u64(group, offset);
    add_u64(group, length);
    add_u64(group, attachment->log_time);
    add_u64(group, attachment->create_time);
    add_u64(group, attachment->data.size);
    add_view(group, attachment->name);
    add_view(group, attachment->media_type);
}

int mcap_write_attachment(struct mcap_writer *w, const struct mcap_attachment *attachment)
{
    uint64_t names = sized(attachment->name) + sized(attachment->media_type);
    uint64_t body = 8 + 8 + names + 8 + attachment->data.size + 4;
    uint8_t crc_bytes[4];

    if (names > MCAP_WRITE_RECORD_MAX / 2)
        return -EMSGSIZE;
    if (!fits(&w->attachment_group, MCAP_RECORD_HEAD + 8 * 5 + names))
        return -ENOBUFS;
    int rc = between_chunks(w);
    if (rc)
        return rc;
    uint64_t offset = w->position;
    struct area *head = &w->scratch;
    head->used = 0;
    add_head(head, MCAP_ATTACHMENT, body);
    add_u64(head, attachment->log_time);
    add_u64(head, attachment->create_time);
    add_view(head, attachment->name);
    add_view(head, attachment->media_type);
    add_u64(head, attachment->data.size);
    uint32_t crc = crc32_ieee(0, head->bytes + MCAP_RECORD_HEAD, head->used - MCAP_RECORD_HEAD);
    crc = crc32_ieee(crc, attachment->data.at, attachment->data.size);
    store_le32(crc_bytes, crc);
    (void)put(w, head->bytes, head->used);
    (void)put(w, attachment->data.at, attachment->data.size);
    (void)put(w, crc_bytes, sizeof crc_bytes);
    w->statistics.attachment_count++;
    if (w->config.features & MCAP_USE_ATTACHMENT_INDEX)
        note_attachment(w, attachment, offset, w->position - offset);
    return w->failed;
}

int mcap_write_metadata(struct mcap_writer *w, const struct mcap_metadata *metadata)
{
    uint64_t body = sized(metadata->name) + sized(metadata->metadata);
    struct area *group = &w->metadata_group;

    if (body > MCAP_WRITE_RECORD_MAX - MCAP_RECORD_HEAD)
        return -EMSGSIZE;
    if (!fits(group, MCAP_RECORD_HEAD + 8 + 8 + sized(metadata->name)))
        return -ENOBUFS;
    int rc = between_chunks(w);
    if (rc)
        return rc;
    uint64_t offset = w->position;
    w->scratch.used = 0;
    add_head(&w->scratch, MCAP_METADATA, body);
    add_view(&w->scratch, metadata->name);
    add_view(&w->scratch, metadata->metadata);
    (void)put(w, w->scratch.bytes, w->scratch.used);
    w->statistics.metadata_count++;
    if (w->config.features & MCAP_USE_METADATA_INDEX) {
        add_head(group, MCAP_METADATA_INDEX, 8 + 8 + sized(metadata->name));
        add_u64(group, offset);
        add_u64(group, w->position - offset);
        add_view(group, metadata->name);
    }
    return w->failed;
}

/* --- the end of the file --- */

#define GROUPS_MAX 6

/* Where the groups of the summary lie, for the summary offsets. */
struct groups {
    struct mcap_summary_offset items[GROUPS_MAX];
    size_t count;
};

static void put_group(struct mcap_writer *w, struct groups *groups, uint8_t opcode,
                      const struct area *group)
{
    if (!group->used)
        return;
    groups->items[groups->count++] =
        (struct mcap_summary_offset){ opcode, w->position, group->used };
    (void)put(w, group->bytes, group->used);
}

static void build_statistics(struct mcap_writer *w)
{
    const struct mcap_statistics *s = &w->statistics;
    uint32_t counted = 0;

    for (size_t id = 0; id < MCAP_IDS; id++)
        counted += w->channels[id].messages != 0;
    w->scratch.used = 0;
    add_head(&w->scratch, MCAP_STATISTICS,
             8 + 2 + 4 * 4 + 8 + 8 + 4 + 10 * (uint64_t)counted);
    add_u64(&w->scratch, s->message_count);
    add_u16(&w->scratch, s->schema_count);
    add_u32(&w->scratch, s->channel_count);
    add_u32(&w->scratch, s->attachment_count);
    add_u32(&w->scratch, s->metadata_count);
    add_u32(&w->scratch, s->chunk_count);
    add_u64(&w->scratch, w->span.start);
    add_u64(&w->scratch, w->span.end);
    add_u32(&w->scratch, 10 * counted);
    for (size_t id = 0; id < MCAP_IDS; id++) {
        if (!w->channels[id].messages)
            continue;
        add_u16(&w->scratch, (uint16_t)id);
        add_u64(&w->scratch, w->channels[id].messages);
    }
}

/* Groups in the order that the conformance set expects; an area without its feature stays out. */
static void put_summary(struct mcap_writer *w, struct groups *groups)
{
    unsigned features = w->config.features;

    if (features & MCAP_REPEAT_SCHEMAS)
        put_group(w, groups, MCAP_SCHEMA, &w->schema_group);
    if (features & MCAP_REPEAT_CHANNELS)
        put_group(w, groups, MCAP_CHANNEL, &w->channel_group);
    if (features & MCAP_USE_STATISTICS) {
        build_statistics(w);
        put_group(w, groups, MCAP_STATISTICS, &w->scratch);
    }
    put_group(w, groups, MCAP_METADATA_INDEX, &w->metadata_group);
    put_group(w, groups, MCAP_ATTACHMENT_INDEX, &w->attachment_group);
    put_group(w, groups, MCAP_CHUNK_INDEX, &w->chunk_group);
}

static void put_summary_offsets(struct mcap_writer *w, const struct groups *groups)
{
    w->scratch.used = 0;
    for (size_t i = 0; i < groups->count; i++) {
        add_head(&w->scratch, MCAP_SUMMARY_OFFSET, 1 + 8 + 8);
        add_u8(&w->scratch, groups->items[i].group_opcode);
        add_u64(&w->scratch, groups->items[i].group_start);
        add_u64(&w->scratch, groups->items[i].group_length);
    }
    (void)put(w, w->scratch.bytes, w->scratch.used);
}

/* The data section's CRC covers all before DataEnd; the summary's begins after it. */
static void put_data_end(struct mcap_writer *w)
{
    w->scratch.used = 0;
    add_head(&w->scratch, MCAP_DATA_END, 4);
    add_u32(&w->scratch, w->crc);
    (void)put(w, w->scratch.bytes, w->scratch.used);
    w->crc = 0;
}

static void put_footer(struct mcap_writer *w, uint64_t summary_start, uint64_t offset_start)
{
    uint8_t crc_bytes[4];

    w->scratch.used = 0;
    add_head(&w->scratch, MCAP_FOOTER, 8 + 8 + 4);
    add_u64(&w->scratch, summary_start);
    add_u64(&w->scratch, offset_start);
    (void)put(w, w->scratch.bytes, w->scratch.used);
    store_le32(crc_bytes, w->crc);
    (void)put(w, crc_bytes, sizeof crc_bytes);
    (void)put(w, mcap_magic, sizeof mcap_magic);
}

int mcap_writer_finish(struct mcap_writer *w)
{
    struct groups groups = { .count = 0 };
    int rc = between_chunks(w);

    if (rc)
        return rc;
    put_data_end(w);
    uint64_t summary_start = w->position;
    put_summary(w, &groups);
    uint64_t offset_start = w->position;
    if (w->config.features & MCAP_USE_SUMMARY_OFFSETS)
        put_summary_offsets(w, &groups);
    else
        offset_start = 0;
    /* A file without a summary says so with zeros. */
    if (!groups.count)
        summary_start = offset_start = 0;
    put_footer(w, summary_start, offset_start);
    w->finished = true;
    return w->failed;
}
