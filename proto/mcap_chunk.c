#include "proto/mcap_chunk.h"

#include "proto/crc32.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#define COMPRESSION_SHOWN 32 /* bytes of an unknown compression's name in an error */

void mcap_inflater_deinit(struct mcap_inflater *inflater)
{
    ZSTD_freeDCtx(inflater->zstd);
    free(inflater->bytes);
    *inflater = (struct mcap_inflater){ 0 };
}

static int reserve(struct mcap_inflater *inflater, size_t size)
{
    if (!inflater->zstd)
        inflater->zstd = ZSTD_createDCtx();
    if (!inflater->zstd)
        return -ENOMEM;
    if (inflater->bytes && size <= inflater->size)
        return 0;
    uint8_t *bytes = realloc(inflater->bytes, size ? size : 1);
    if (!bytes)
        return -ENOMEM;
    inflater->bytes = bytes;
    inflater->size = size;
    return 0;
}

static int check_head(const struct mcap_chunk *chunk, uint64_t offset, const char *name,
                      struct err *err)
{
    if (chunk->uncompressed_size > MCAP_CHUNK_BYTES_MAX)
        return err_at(err, -ERANGE, name, 0, 0,
                      "Chunk at byte %llu inflates to %llu bytes: the limit is %d",
                      (unsigned long long)offset, (unsigned long long)chunk->uncompressed_size,
                      MCAP_CHUNK_BYTES_MAX);
    if (mcap_is(chunk->compression, "") || mcap_is(chunk->compression, "zstd"))
        return 0;
    size_t shown = chunk->compression.size;
    return err_at(err, -ENOTSUP, name, 0, 0,
                  "Chunk at byte %llu is compressed with '%.*s'; read here: zstd and none",
                  (unsigned long long)offset,
                  (int)(shown < COMPRESSION_SHOWN ? shown : COMPRESSION_SHOWN),
                  (const char *)chunk->compression.at);
}

int mcap_chunk_inflate(struct mcap_inflater *inflater, const struct mcap_chunk *chunk,
                       uint64_t offset, const char *name, struct mcap_bytes *ret_records,
                       struct err *err)
{
    struct mcap_bytes records = chunk->records;
    unsigned long long at = (unsigned long long)offset;
    int rc = check_head(chunk, offset, name, err);

    if (rc)
        return rc;
    if (mcap_is(chunk->compression, "zstd")) {
        if (reserve(inflater, (size_t)chunk->uncompressed_size))
            return err_at(err, -ENOMEM, name, 0, 0, "no memory for the Chunk at byte %llu", at);
        size_t got = ZSTD_decompressDCtx(inflater->zstd, inflater->bytes,
                                         (size_t)chunk->uncompressed_size, records.at,
                                         records.size);
        if (ZSTD_isError(got))
            return err_at(err, -EBADMSG, name, 0, 0, "Chunk at byte %llu: zstd: %s", at,
                          ZSTD_getErrorName(got));
        records = mcap_view(inflater->bytes, got);
    }
    if (records.size != chunk->uncompressed_size)
        return err_at(err, -EBADMSG, name, 0, 0, "Chunk at byte %llu says %llu bytes, it has %zu",
                      at, (unsigned long long)chunk->uncompressed_size, records.size);
    uint32_t crc = crc32_ieee(0, records.at, records.size);
    if (chunk->uncompressed_crc && chunk->uncompressed_crc != crc)
        return err_at(err, -EBADMSG, name, 0, 0,
                      "CRC of Chunk at byte %llu: the file says %08x, its bytes give %08x", at,
                      chunk->uncompressed_crc, crc);
    *ret_records = records;
    return 0;
}

static bool belongs_in_chunk(uint8_t opcode)
{
    return opcode == MCAP_SCHEMA || opcode == MCAP_CHANNEL || opcode == MCAP_MESSAGE ||
           opcode > MCAP_DATA_END;
}

int mcap_chunk_next(struct mcap_chunk_cursor *cursor, const char *name,
                    struct mcap_record *ret_record, struct err *err)
{
    while (cursor->at < cursor->records.size) {
        size_t offset = cursor->at, left = cursor->records.size - offset;
        const uint8_t *at = cursor->records.at + offset;

        if (left < MCAP_RECORD_HEAD || load_le64(at + 1) > left - MCAP_RECORD_HEAD)
            return err_at(err, -EBADMSG, name, 0, 0,
                          "a record at byte %zu of an inflated chunk runs beyond it", offset);
        if (!belongs_in_chunk(at[0]))
            return err_at(err, -EBADMSG, name, 0, 0, "%s (0x%02x) inside a chunk",
                          mcap_opcode_name(at[0]), at[0]);
        struct mcap_bytes body = mcap_view(at + MCAP_RECORD_HEAD, (size_t)load_le64(at + 1));
        cursor->at += MCAP_RECORD_HEAD + body.size;
        if (at[0] > MCAP_DATA_END)
            continue;
        if (mcap_parse(at[0], body, ret_record))
            return err_at(err, -EBADMSG, name, 0, 0,
                          "%s at byte %zu of an inflated chunk: a field runs beyond its %zu bytes",
                          mcap_opcode_name(at[0]), offset, body.size);
        ret_record->offset = offset;
        ret_record->in_chunk = true;
        return 1;
    }
    return 0;
}
