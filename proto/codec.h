/* codec - how the rows of one source become the bytes of a block: one table, one entry a codec.
 * Only proto/group.c calls this. A codec keeps no state from block to block. */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H
#include "proto/err.h"
#include "proto/rowbuf.h"
#include "proto/zpack.h"

/* Rows of one source, in order: plain rows at base + offsets[i]. */
struct codec_rows {
    const uint8_t *base;
    const uint32_t *offsets;
    uint32_t rows;
    uint8_t source;
};

/* What the block's head says when it is decoded; every field is checked against the bytes. */
struct codec_block {
    uint32_t rows; /* 1..BLOCK_ROWS_MAX */
    uint8_t source;
    int64_t first_stamp_ns;
    const uint8_t *bytes;
    size_t size;
};

struct codec {
    const char *name;
    /* Returns the bytes written; -ENOBUFS when they do not fit; -EFBIG when the codec cannot hold
     * these rows. Either makes the caller store the block as plain rows. */
    int64_t (*encode)(void *context, const struct codec_rows *rows, uint8_t *out, size_t size);
    /* Writes rows in plain form to out[0..size), their places to offsets[0..block->rows). Returns
     * the bytes written; -EBADMSG with *err filled; -ENOBUFS when the rows need more than size. */
    int64_t (*decode)(void *context, const struct codec_block *block, uint8_t *out, size_t size,
                      uint32_t *offsets, struct err *err);
};

/* Working memory of `columnar`; `rows` needs none. */
struct columnar;
struct columnar *columnar_open(struct zpack *pack); /* pack is borrowed */
void columnar_close(struct columnar *columnar);

extern const struct codec codec_rows, codec_columnar;

#endif
