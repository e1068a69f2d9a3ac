/* mcap - vocabulary of the MCAP container, major version '0' (mcap.dev, "MCAP format
 * specification"): opcodes, limits, and records as views. A view borrows: writers read it during
 * the call, readers keep it valid until their next call. Nothing here allocates. */
#ifndef PROTO_MCAP_H
#define PROTO_MCAP_H
#include "proto/bytes.h"
#include "proto/err.h"

#define MCAP_MAGIC_BYTES 8
#define MCAP_RECORD_HEAD 9                /* opcode u8, length of the body u64 */
#define MCAP_RECORD_BYTES_MAX 134217728   /* body of a record that is held whole while reading */
#define MCAP_CHUNK_BYTES_MAX 67108864     /* a chunk, inflated */
#define MCAP_SUMMARY_BYTES_MAX 134217728  /* summary section of a file read by its index */
#define MCAP_IDS 65536                    /* schema and channel ids are 16 bits */

extern const uint8_t mcap_magic[MCAP_MAGIC_BYTES];

enum mcap_opcode {
    MCAP_HEADER = 0x01,
    MCAP_FOOTER = 0x02,
    MCAP_SCHEMA = 0x03,
    MCAP_CHANNEL = 0x04,
    MCAP_MESSAGE = 0x05,
    MCAP_CHUNK = 0x06,
    MCAP_MESSAGE_INDEX = 0x07,
    MCAP_CHUNK_INDEX = 0x08,
    MCAP_ATTACHMENT = 0x09,
    MCAP_ATTACHMENT_INDEX = 0x0a,
    MCAP_STATISTICS = 0x0b,
    MCAP_METADATA = 0x0c,
    MCAP_METADATA_INDEX = 0x0d,
    MCAP_SUMMARY_OFFSET = 0x0e,
    MCAP_DATA_END = 0x0f,
};

/* "Header", "ChunkIndex", ...; "unknown record" for any other opcode. */
const char *mcap_opcode_name(unsigned opcode);

struct mcap_bytes {
    const uint8_t *at;
    size_t size;
};

/* Views of C strings and arrays. */
static inline struct mcap_bytes mcap_text(const char *text)
{
    return (struct mcap_bytes){ (const uint8_t *)text, strlen(text) };
}

static inline struct mcap_bytes mcap_view(const void *bytes, size_t size)
{
    return (struct mcap_bytes){ bytes, size };
}

bool mcap_equal(struct mcap_bytes a, struct mcap_bytes b);
bool mcap_is(struct mcap_bytes a, const char *text);

/* Field names follow the specification. Maps and arrays are views of their serialized entries
 * (without the byte length before them), checked when a record is parsed. Times: ns, unsigned. */
struct mcap_header {
    struct mcap_bytes profile, library;
};
struct mcap_footer {
    uint64_t summary_start, summary_offset_start;
    uint32_t summary_crc;
};
struct mcap_schema {
    uint16_t id; /* not 0 */
    struct mcap_bytes name, encoding, data;
};
struct mcap_channel {
    uint16_t id, schema_id; /* schema_id 0: none */
    struct mcap_bytes topic, message_encoding, metadata;
};
struct mcap_message {
    uint16_t channel_id;
    uint32_t sequence;
    uint64_t log_time, publish_time;
    struct mcap_bytes data;
};
struct mcap_chunk {
    uint64_t message_start_time, message_end_time, uncompressed_size;
    uint32_t uncompressed_crc;
    struct mcap_bytes compression, records;
};
struct mcap_message_index {
    uint16_t channel_id;
    struct mcap_bytes records; /* (log_time u64, offset u64)... */
};
struct mcap_chunk_index {
    uint64_t message_start_time, message_end_time, chunk_start_offset, chunk_length;
    struct mcap_bytes message_index_offsets; /* (channel u16, offset u64)... */
    uint64_t message_index_length;
    struct mcap_bytes compression;
    uint64_t compressed_size, uncompressed_size;
};
struct mcap_attachment {
    uint64_t log_time, create_time;
    struct mcap_bytes name, media_type, data;
    uint32_t crc;
};
struct mcap_attachment_index {
    uint64_t offset, length, log_time, create_time, data_size;
    struct mcap_bytes name, media_type;
};
struct mcap_statistics {
    uint64_t message_count;
    uint16_t schema_count;
    uint32_t channel_count, attachment_count, metadata_count, chunk_count;
    uint64_t message_start_time, message_end_time;
    struct mcap_bytes channel_message_counts; /* (channel u16, count u64)... */
};
struct mcap_metadata {
    struct mcap_bytes name, metadata;
};
struct mcap_metadata_index {
    uint64_t offset, length;
    struct mcap_bytes name;
};
struct mcap_summary_offset {
    uint8_t group_opcode;
    uint64_t group_start, group_length;
};
struct mcap_data_end {
    uint32_t data_section_crc;
};

struct mcap_record {
    uint8_t opcode;
    uint64_t offset; /* of the opcode: in the file, or in the inflated chunk when `in_chunk` */
    bool in_chunk;
    struct mcap_bytes body; /* as stored, with fields that this version does not know */
    union {
        struct mcap_header header;
        struct mcap_footer footer;
        struct mcap_schema schema;
        struct mcap_channel channel;
        struct mcap_message message;
        struct mcap_chunk chunk;
        struct mcap_message_index message_index;
        struct mcap_chunk_index chunk_index;
        struct mcap_attachment attachment;
        struct mcap_attachment_index attachment_index;
        struct mcap_statistics statistics;
        struct mcap_metadata metadata;
        struct mcap_metadata_index metadata_index;
        struct mcap_summary_offset summary_offset;
        struct mcap_data_end data_end;
    };
};

/* Parses a body into the member that belongs to `opcode` and sets `opcode` and `body`; offset and
 * in_chunk are the caller's. Extra bytes at the end are ignored, as the specification asks. Returns
 * 0, -EBADMSG when a field runs beyond the body or a map is torn, -ENOENT for an unknown opcode. */
int mcap_parse(uint8_t opcode, struct mcap_bytes body, struct mcap_record *ret_record);

/* Walks a map<string, string>: true with the next pair, false at the end. */
bool mcap_map_next(struct bytes_reader *at, struct mcap_bytes *ret_key,
                   struct mcap_bytes *ret_value);
/* The value of that key, or a view with `at` NULL. */
struct mcap_bytes mcap_map_find(struct mcap_bytes map, const char *key);

/* A map being built in the caller's storage. Fails sticky: check `failed` at the end. */
struct mcap_map {
    uint8_t *bytes;
    size_t used, size;
    bool failed; /* an entry did not fit; it was left out */
};
void mcap_map_add(struct mcap_map *map, const char *key, struct mcap_bytes value);
static inline struct mcap_bytes mcap_map_view(const struct mcap_map *map)
{
    return (struct mcap_bytes){ map->bytes, map->used };
}

#endif
