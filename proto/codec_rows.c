/* The plain control: each row is its 16 bytes and its data, nothing is compressed. */
#include "proto/codec.h"

#include <errno.h>

static int64_t rows_encode(void *context, const struct codec_rows *rows, uint8_t *out, size_t size)
{
    size_t at = 0;

    (void)context;
    for (uint32_t i = 0; i < rows->rows; i++) {
        const uint8_t *row = rows->base + rows->offsets[i];
        size_t need = ROWBUF_HEAD_BYTES + (size_t)plain_len(row);
        if (size - at < need)
            return -ENOBUFS;
        memcpy(out + at, row, need);
        at += need;
    }
    return (int64_t)at;
}

/* Whether a frame can be is for rowbuf_put to say; here only what keeps the walk in bounds. */
static int64_t rows_decode(void *context, const struct codec_block *block, uint8_t *out,
                           size_t size, uint32_t *offsets, struct err *err)
{
    struct bytes_reader reader = bytes_reader_init(block->bytes, block->size);
    size_t at = 0;

    (void)context;
    for (uint32_t i = 0; i < block->rows; i++) {
        const uint8_t *head = bytes_take(&reader, ROWBUF_HEAD_BYTES);
        const uint8_t *data = head ? bytes_take(&reader, plain_len(head)) : NULL;
        if (!data)
            return err_plain(err, -EBADMSG, "row %u of %u is cut off", i, block->rows);
        size_t need = ROWBUF_HEAD_BYTES + (size_t)plain_len(head);
        if (plain_len(head) > FRAME_DATA_MAX || plain_source(head) != block->source)
            return err_plain(err, -EBADMSG, "row %u has length %u and source %u, expected at most "
                             "%d and source %u", i, plain_len(head), plain_source(head),
                             FRAME_DATA_MAX, block->source);
        if (size - at < need)
            return -ENOBUFS;
        memcpy(out + at, head, need);
        offsets[i] = (uint32_t)at;
        at += need;
    }
    if (bytes_left(&reader))
        return err_plain(err, -EBADMSG, "%zu bytes after the last row", bytes_left(&reader));
    return (int64_t)at;
}

const struct codec codec_rows = { "rows", rows_encode, rows_decode };
