#include "proto/mcap.h"

#include <errno.h>

const uint8_t mcap_magic[MCAP_MAGIC_BYTES] = { 0x89, 'M', 'C', 'A', 'P', '0', '\r', '\n' };

const char *mcap_opcode_name(unsigned opcode)
{
    static const char *const names[] = {
        [MCAP_HEADER] = "Header",
        [MCAP_FOOTER] = "Footer",
        [MCAP_SCHEMA] = "Schema",
        [MCAP_CHANNEL] = "Channel",
        [MCAP_MESSAGE] = "Message",
        [MCAP_CHUNK] = "Chunk",
        [MCAP_MESSAGE_INDEX] = "MessageIndex",
        [MCAP_CHUNK_INDEX] = "ChunkIndex",
        [MCAP_ATTACHMENT] = "Attachment",
        [MCAP_ATTACHMENT_INDEX] = "AttachmentIndex",
        [MCAP_STATISTICS] = "Statistics",
        [MCAP_METADATA] = "Metadata",
        [MCAP_METADATA_INDEX] = "MetadataIndex",
        [MCAP_SUMMARY_OFFSET] = "SummaryOffset",
        [MCAP_DATA_END] = "DataEnd",
    };
    const char *name = opcode < sizeof names / sizeof names[0] ? names[opcode] : NULL;

    return name ? name : "unknown record";
}

bool mcap_equal(struct mcap_bytes a, struct mcap_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

bool mcap_is(struct mcap_bytes a, const char *text) { return mcap_equal(a, mcap_text(text)); }

static struct mcap_bytes take_view(struct bytes_reader *r, uint64_t size)
{
    if (size > bytes_left(r)) { /* compared as 64 bits: size_t may be smaller */
        r->failed = true;
        return (struct mcap_bytes){ NULL, 0 };
    }
    const uint8_t *at = bytes_take(r, (size_t)size);
    return (struct mcap_bytes){ at, at ? (size_t)size : 0 };
}

/* string, bytes, map or array: u32 length in bytes, then so many. */
static struct mcap_bytes take_u32_view(struct bytes_reader *r)
{
    uint32_t size = bytes_u32(r);
    return take_view(r, size);
}

static struct mcap_bytes take_u64_view(struct bytes_reader *r)
{
    uint64_t size = bytes_u64(r);
    return take_view(r, size);
}

/* An array of fixed entries: a length that is not whole entries is torn. */
static struct mcap_bytes take_entries(struct bytes_reader *r, size_t entry_bytes)
{
    struct mcap_bytes entries = take_u32_view(r);

    if (entries.size % entry_bytes)
        r->failed = true;
    return entries;
}

bool mcap_map_next(struct bytes_reader *at, struct mcap_bytes *ret_key,
                   struct mcap_bytes *ret_value)
{
    if (at->failed || bytes_left(at) == 0)
        return false;
    *ret_key = take_u32_view(at);
    *ret_value = take_u32_view(at);
    return !at->failed;
}

static struct mcap_bytes take_text_map(struct bytes_reader *r)
{
    struct mcap_bytes map = take_u32_view(r), key, value;

    if (r->failed)
        return map;
    struct bytes_reader at = bytes_reader_init(map.at, map.size);
    while (mcap_map_next(&at, &key, &value))
        continue;
    if (at.failed)
        r->failed = true;
    return map;
}

struct mcap_bytes mcap_map_find(struct mcap_bytes map, const char *key)
{
    struct mcap_bytes found, value;

    if (!map.size)
        return (struct mcap_bytes){ NULL, 0 };
    struct bytes_reader at = bytes_reader_init(map.at, map.size);
    while (mcap_map_next(&at, &found, &value))
        if (mcap_is(found, key))
            return value;
    return (struct mcap_bytes){ NULL, 0 };
}

static void map_append(struct mcap_map *map, struct mcap_bytes view)
{
    store_le32(map->bytes + map->used, (uint32_t)view.size);
    if (view.size)
        memcpy(map->bytes + map->used + 4, view.at, view.size);
    map->used += 4 + view.size;
}

void mcap_map_add(struct mcap_map *map, const char *key, struct mcap_bytes value)
{
    struct mcap_bytes name = mcap_text(key);
    size_t left = map->size - map->used;

    if (value.size > left || name.size > left || 8 + name.size + value.size > left) {
        map->failed = true;
        return;
    }
    map_append(map, name);
    map_append(map, value);
}

static void parse_channel(struct bytes_reader *r, struct mcap_channel *channel)
{
    channel->id = bytes_u16(r);
    channel->schema_id = bytes_u16(r);
    channel->topic = take_u32_view(r);
    channel->message_encoding = take_u32_view(r);
    channel->metadata = take_text_map(r);
}

static void parse_chunk(struct bytes_reader *r, struct mcap_chunk *chunk)
{
    chunk->message_start_time = bytes_u64(r);
    chunk->message_end_time = bytes_u64(r);
    chunk->uncompressed_size = bytes_u64(r);
    chunk->uncompressed_crc = bytes_u32(r);
    chunk->compression = take_u32_view(r);
    chunk->records = take_u64_view(r);
}

static void parse_chunk_index(struct bytes_reader *r, struct mcap_chunk_index *index)
{
    index->message_start_time = bytes_u64(r);
    index->message_end_time = bytes_u64(r);
    index->chunk_start_offset = bytes_u64(r);
    index->chunk_length = bytes_u64(r);
    index->message_index_offsets = take_entries(r, 2 + 8);
    index->message_index_length = bytes_u64(r);
    index->compression = take_u32_view(r);
    index->compressed_size = bytes_u64(r);
    index->uncompressed_size = bytes_u64(r);
}

static void parse_attachment(struct bytes_reader *r, struct mcap_attachment *attachment)
{
    attachment->log_time = bytes_u64(r);
    attachment->create_time = bytes_u64(r);
    attachment->name = take_u32_view(r);
    attachment->media_type = take_u32_view(r);
    attachment->data = take_u64_view(r);
    attachment->crc = bytes_u32(r);
}

static void parse_attachment_index(struct bytes_reader *r, struct mcap_attachment_index *index)
{
    index->offset = bytes_u64(r);
    index->length = bytes_u64(r);
    index->log_time = bytes_u64(r);
    index->create_time = bytes_u64(r);
    index->data_size = bytes_u64(r);
    index->name = take_u32_view(r);
    index->media_type = take_u32_view(r);
}

static void parse_statistics(struct bytes_reader *r, struct mcap_statistics *statistics)
{
    statistics->message_count = bytes_u64(r);
    statistics->schema_count = bytes_u16(r);
    statistics->channel_count = bytes_u32(r);
    statistics->attachment_count = bytes_u32(r);
    statistics->metadata_count = bytes_u32(r);
    statistics->chunk_count = bytes_u32(r);
    statistics->message_start_time = bytes_u64(r);
    statistics->message_end_time = bytes_u64(r);
    statistics->channel_message_counts = take_entries(r, 2 + 8);
}

static void parse_message(struct bytes_reader *r, struct mcap_message *message)
{
    message->channel_id = bytes_u16(r);
    message->sequence = bytes_u32(r);
    message->log_time = bytes_u64(r);
    message->publish_time = bytes_u64(r);
    message->data = take_view(r, bytes_left(r)); /* all the rest: a message has no extra fields */
}

static int parse_fields(struct bytes_reader *r, struct mcap_record *record)
{
    switch (record->opcode) {
    case MCAP_HEADER:
        record->header.profile = take_u32_view(r);
        record->header.library = take_u32_view(r);
        return 0;
    case MCAP_FOOTER:
        record->footer.summary_start = bytes_u64(r);
        record->footer.summary_offset_start = bytes_u64(r);
        record->footer.summary_crc = bytes_u32(r);
        return 0;
    case MCAP_SCHEMA:
        record->schema.id = bytes_u16(r);
        record->schema.name = take_u32_view(r);
        record->schema.encoding = take_u32_view(r);
        record->schema.data = take_u32_view(r);
        return 0;
    case MCAP_CHANNEL: parse_channel(r, &record->channel); return 0;
    case MCAP_MESSAGE: parse_message(r, &record->message); return 0;
    case MCAP_CHUNK: parse_chunk(r, &record->chunk); return 0;
    case MCAP_MESSAGE_INDEX:
        record->message_index.channel_id = bytes_u16(r);
        record->message_index.records = take_entries(r, 8 + 8);
        return 0;
    case MCAP_CHUNK_INDEX: parse_chunk_index(r, &record->chunk_index); return 0;
    case MCAP_ATTACHMENT: parse_attachment(r, &record->attachment); return 0;
    case MCAP_ATTACHMENT_INDEX: parse_attachment_index(r, &record->attachment_index); return 0;
    case MCAP_STATISTICS: parse_statistics(r, &record->statistics); return 0;
    case MCAP_METADATA:
        record->metadata.name = take_u32_view(r);
        record->metadata.metadata = take_text_map(r);
        return 0;
    case MCAP_METADATA_INDEX:
        record->metadata_index.offset = bytes_u64(r);
        record->metadata_index.length = bytes_u64(r);
        record->metadata_index.name = take_u32_view(r);
        return 0;
    case MCAP_SUMMARY_OFFSET:
        record->summary_offset.group_opcode = bytes_u8(r);
        record->summary_offset.group_start = bytes_u64(r);
        record->summary_offset.group_length = bytes_u64(r);
        return 0;
    case MCAP_DATA_END: record->data_end.data_section_crc = bytes_u32(r); return 0;
    default: return -ENOENT;
    }
}

int mcap_parse(uint8_t opcode, struct mcap_bytes body, struct mcap_record *ret_record)
{
    struct bytes_reader r = bytes_reader_init(body.at, body.size);

    memset(ret_record, 0, sizeof *ret_record);
    ret_record->opcode = opcode;
    ret_record->body = body;
    int rc = parse_fields(&r, ret_record);
    return rc ? rc : r.failed ? -EBADMSG : 0;
}
