/* mcap_write - writes an MCAP file as a stream of bytes, front to back: the sink is never asked to
 * seek. Same calls, same bytes (for one version of libzstd). One thread at a time; no file, no clock.
 *
 * Schemas, channels and messages go into chunks, if chunks are on; attachments and metadata between
 * them. All memory is reserved at open: a chunk and its compressed form, an index entry for every
 * message that a chunk can hold, and the summary (MCAP_WRITE_*_MAX); what does not fit is -ENOBUFS.
 * Every CRC of the format is written: chunks, attachments, data section, summary. */
#ifndef PROTO_MCAP_WRITE_H
#define PROTO_MCAP_WRITE_H
#include "proto/mcap.h"

#include <stdio.h>

#define MCAP_WRITE_RECORD_MAX 4194304        /* a schema, channel, message or metadata record */
#define MCAP_WRITE_CHUNK_DEFAULT 1048576
#define MCAP_WRITE_CHUNK_MAX 16777216        /* chunk_bytes of the configuration */
#define MCAP_WRITE_SCHEMA_BYTES_MAX 33554432 /* all schemas, repeated in the summary */
#define MCAP_WRITE_CHANNEL_BYTES_MAX 16777216
#define MCAP_WRITE_INDEX_BYTES_MAX 67108864  /* all chunk indexes: about 16 h of 1 s chunks */
#define MCAP_WRITE_SMALL_BYTES_MAX 1048576   /* all attachment indexes, all metadata indexes */

/* What a file has; the names are those of the specification's conformance set. */
enum mcap_feature {
    MCAP_USE_CHUNKS = 1 << 0,           /* ch */
    MCAP_USE_MESSAGE_INDEX = 1 << 1,    /* mx, needs ch */
    MCAP_USE_STATISTICS = 1 << 2,       /* st */
    MCAP_REPEAT_SCHEMAS = 1 << 3,       /* rsh */
    MCAP_REPEAT_CHANNELS = 1 << 4,      /* rch */
    MCAP_USE_ATTACHMENT_INDEX = 1 << 5, /* ax */
    MCAP_USE_METADATA_INDEX = 1 << 6,   /* mdx */
    MCAP_USE_CHUNK_INDEX = 1 << 7,      /* chx, needs ch */
    MCAP_USE_SUMMARY_OFFSETS = 1 << 8,  /* sum */
    MCAP_USE_ALL = (1 << 9) - 1,
};

/* Where the bytes go. `put` takes all of them and returns 0, or a negative errno. */
struct mcap_sink {
    int (*put)(void *context, const void *bytes, size_t size);
    void *context;
};

/* Writes to an open stdio stream, which stays the caller's; a short write is -EIO (or its errno). */
struct mcap_sink mcap_sink_stdio(FILE *file);

struct mcap_write_config {
    const char *profile, *library;
    unsigned features;    /* enum mcap_feature */
    bool compress;        /* zstd for chunks, else stored as they are */
    int level;            /* of zstd, 1..12 */
    uint32_t chunk_bytes; /* a chunk is closed when it has so many; 1..MCAP_WRITE_CHUNK_MAX */
    uint64_t chunk_ns;    /* or when a message's log_time is so much after its first; 0: never */
};

struct mcap_writer;

/* Writes magic and header. Returns 0, -EINVAL (features that need chunks without them), -ERANGE,
 * -ENOMEM, or what the sink returned; *ret_writer is untouched then. */
int mcap_writer_open(const struct mcap_write_config *config, const struct mcap_sink *sink,
                     struct mcap_writer **ret_writer);
/* Frees; takes NULL. A file without mcap_writer_finish is torn. */
void mcap_writer_close(struct mcap_writer *writer);

/* Each returns 0 or a negative errno. An errno of the sink is kept, and every later call returns
 * it. -EINVAL: schema id 0, a schema or channel that was not written before, after finish;
 * -EEXIST: the id is taken; -EMSGSIZE: a record above MCAP_WRITE_RECORD_MAX; -ENOBUFS: a limit
 * above. These leave the file as it was. */
int mcap_write_schema(struct mcap_writer *writer, const struct mcap_schema *schema);
int mcap_write_channel(struct mcap_writer *writer, const struct mcap_channel *channel);
int mcap_write_message(struct mcap_writer *writer, const struct mcap_message *message);
/* The crc field is computed; the data is not copied. Closes the open chunk first. */
int mcap_write_attachment(struct mcap_writer *writer, const struct mcap_attachment *attachment);
int mcap_write_metadata(struct mcap_writer *writer, const struct mcap_metadata *metadata);
/* Closes the last chunk and writes DataEnd, summary, footer and magic. */
int mcap_writer_finish(struct mcap_writer *writer);

/* Bytes given to the sink so far. */
uint64_t mcap_writer_position(const struct mcap_writer *writer);
uint64_t mcap_writer_messages(const struct mcap_writer *writer);

#endif
