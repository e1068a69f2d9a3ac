/* mcap_chunk - inflates the records of one Chunk and checks them: what both readers share. */
#ifndef PROTO_MCAP_CHUNK_H
#define PROTO_MCAP_CHUNK_H
#include "proto/mcap.h"

/* Zero-initialised is empty. The memory is kept for the next chunk. */
struct mcap_inflater {
    uint8_t *bytes;
    size_t size;
    void *zstd; /* ZSTD_DCtx */
};

void mcap_inflater_deinit(struct mcap_inflater *inflater);

/* Gives the records of `chunk`, which is at byte `offset` of file `name` (may be NULL): a view that
 * is valid until the next call. Returns 0; -ERANGE above MCAP_CHUNK_BYTES_MAX, before memory is
 * taken; -ENOTSUP for a compression other than zstd and none; -EBADMSG when the bytes do not
 * inflate to the size or the CRC that the chunk says; -ENOMEM. */
int mcap_chunk_inflate(struct mcap_inflater *inflater, const struct mcap_chunk *chunk,
                       uint64_t offset, const char *name, struct mcap_bytes *ret_records,
                       struct err *err);

/* A record inside inflated records. */
struct mcap_chunk_cursor {
    struct mcap_bytes records;
    size_t at;
};
/* Returns 1 with the next Schema, Channel or Message (offset and in_chunk set), 0 at the end,
 * -EBADMSG for anything that has no place in a chunk. Unknown opcodes are skipped. */
int mcap_chunk_next(struct mcap_chunk_cursor *cursor, const char *name,
                    struct mcap_record *ret_record, struct err *err);

#endif
