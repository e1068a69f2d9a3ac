/* Rows of all sources into a group record. */
#include "proto/group_impl.h"
#include "proto/record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

size_t group_bound(const struct rowbuf *rows)
{
    struct rowbuf_info info;

    rowbuf_info(rows, &info);
    return RECORD_HEAD_BYTES + RECORD_TAIL_BYTES + GROUP_HEAD_BYTES + (SOURCES_MAX + 1) * BLOCK_OVERHEAD +
           info.row_bytes + order_bound(info.rows, info.marks);
}

static void start_lanes(struct group_coder *coder, const struct rowbuf_info *info)
{
    uint32_t at = 0;

    for (int s = 0; s < SOURCES_MAX; s++) {
        coder->lanes[s] = (struct lane){ at, at };
        at += info->source_rows[s];
        if (info->source_rows[s])
            coder->lane_count = s + 1;
    }
}

/* Sorts the rows into lanes and notes the marks. Returns the base that offsets count from. */
static const uint8_t *split(struct group_coder *coder, const struct rowbuf *rows,
                            const struct rowbuf_info *info)
{
    struct rowbuf_cursor cursor = rowbuf_begin(rows);
    const uint8_t *base = NULL, *row;
    uint64_t step = info->first_step;
    int64_t mono = info->mono_first_ns;
    uint32_t position = 0;

    start_lanes(coder, info);
    coder->order.mark_count = 0;
    while ((row = rowbuf_peek(rows, &cursor))) {
        base = base ? base : row;
        int64_t at = (int64_t)((uint64_t)plain_stamp(row) + (uint64_t)info->offset_ns);
        mono = at > mono && position ? at : mono;
        if (cursor.next_step - 1 != step || cursor.mono_ns != mono)
            coder->order.marks[coder->order.mark_count++] =
                (struct order_mark){ position, cursor.next_step - 1, cursor.mono_ns };
        step = cursor.next_step;
        mono = cursor.mono_ns;
        position++;
        coder->offsets[coder->lanes[plain_source(row)].end++] = (uint32_t)(row - base);
    }
    return base;
}

/* An exception runs from the first row where the merge would pick another source to the last such
 * row before the source changes: no shorter list says the same. */
static void find_exceptions(struct group_coder *coder, const struct rowbuf *rows,
                            const uint8_t *base)
{
    struct rowbuf_cursor cursor = rowbuf_begin(rows);
    struct order *order = &coder->order;
    struct order_exception *open = NULL;
    const uint8_t *row;

    order->exception_count = 0;
    for (uint32_t position = 0; (row = rowbuf_peek(rows, &cursor)); position++) {
        uint8_t source = plain_source(row);
        if (open && open->source != source)
            open = NULL;
        if (group_pick(coder, base) != source) {
            if (!open) {
                open = &order->exceptions[order->exception_count++];
                *open = (struct order_exception){ position, 1, source };
            }
            open->run = position - open->position + 1;
        }
        coder->lanes[source].next++;
    }
}

static void rewind_lanes(struct group_coder *coder, const struct rowbuf_info *info)
{
    for (int s = 0; s < SOURCES_MAX; s++)
        coder->lanes[s].next = coder->lanes[s].end - info->source_rows[s];
}

static int64_t store_block(uint8_t *out, const struct group_block *block, int64_t payload)
{
    out[0] = block->source;
    out[1] = block->codec;
    store_le16(out + 2, 0);
    store_le32(out + 4, block->rows);
    store_le32(out + 8, block->tick_ns);
    store_le32(out + 12, (uint32_t)payload);
    store_le64(out + 16, (uint64_t)block->first_stamp_ns);
    store_le64(out + 24, (uint64_t)block->last_stamp_ns);
    store_le64(out + BLOCK_HEAD_BYTES + payload,
               hash_xxh3(out, BLOCK_HEAD_BYTES + (size_t)payload));
    return payload + BLOCK_OVERHEAD;
}

/* One frames block. A codec that cannot hold the rows or does not shrink them gives way to plain
 * rows. */
static int64_t put_block(struct group_coder *coder, uint8_t codec, const struct codec_rows *rows,
                         uint32_t tick_ns, uint8_t *out, size_t size)
{
    struct group_block block = { .source = rows->source, .codec = codec, .rows = rows->rows,
                                 .tick_ns = tick_ns };
    size_t plain = 0;

    for (uint32_t i = 0; i < rows->rows; i++)
        plain += ROWBUF_HEAD_BYTES + (size_t)plain_len(rows->base + rows->offsets[i]);
    if (size < plain + BLOCK_OVERHEAD)
        return -ENOBUFS;
    block.first_stamp_ns = plain_stamp(rows->base + rows->offsets[0]);
    block.last_stamp_ns = plain_stamp(rows->base + rows->offsets[rows->rows - 1]);
    int64_t payload = -EFBIG;
    if (codec != CODEC_ROWS)
        payload = group_codecs[codec]->encode(coder->columnar, rows, out + BLOCK_HEAD_BYTES, plain);
    if (payload < 0) {
        block.codec = CODEC_ROWS;
        payload = codec_rows.encode(NULL, rows, out + BLOCK_HEAD_BYTES, plain);
    }
    assert(payload >= 0);
    return store_block(out, &block, payload);
}

static int64_t put_order(struct group_coder *coder, uint8_t *out, size_t size)
{
    struct order *order = &coder->order;

    if (!order->exception_count && !order->mark_count)
        return 0;
    if (size < BLOCK_OVERHEAD)
        return -ENOBUFS;
    struct group_block block = { .source = ORDER_SOURCE,
                                 .rows = order->exception_count + order->mark_count };
    int64_t payload = order_encode(order, coder->pack, out + BLOCK_HEAD_BYTES,
                                   size - BLOCK_OVERHEAD);
    return payload < 0 ? payload : store_block(out, &block, payload);
}

static void store_head(uint8_t *out, const struct group_config *config,
                       const struct rowbuf_info *info, uint32_t blocks, bool order)
{
    memset(out, 0, GROUP_HEAD_BYTES);
    store_le32(out, config->generation);
    store_le32(out + 4, info->rows);
    store_le64(out + 8, (uint64_t)info->offset_ns);
    store_le64(out + 16, info->first_step);
    store_le64(out + 24, info->last_step);
    store_le64(out + 32, (uint64_t)info->mono_first_ns);
    store_le64(out + 40, (uint64_t)info->stamp_min_ns);
    store_le64(out + 48, (uint64_t)info->stamp_max_ns);
    out[56] = (uint8_t)blocks;
    out[57] = order;
}

/* All blocks of the group at out; returns their bytes. */
static int64_t put_blocks(struct group_coder *coder, const struct group_config *config,
                          const struct rowbuf_info *info, const uint8_t *base, uint8_t *out,
                          size_t size, uint32_t *ret_blocks)
{
    size_t at = 0;

    *ret_blocks = 0;
    for (uint32_t s = 0; s < SOURCES_MAX; s++) {
        if (!info->source_rows[s])
            continue;
        if (s >= config->sources->count)
            return -EINVAL;
        struct codec_rows rows = { base, coder->offsets + coder->lanes[s].next,
                                   info->source_rows[s], (uint8_t)s };
        int64_t bytes = put_block(coder, config->codec, &rows, config->sources->items[s].tick_ns,
                                  out + at, size - at);
        if (bytes < 0)
            return bytes;
        at += (size_t)bytes;
        ++*ret_blocks;
    }
    return (int64_t)at;
}

int64_t group_encode(struct group_coder *coder, const struct group_config *config,
                     const struct rowbuf *rows, uint8_t *out, size_t size)
{
    struct rowbuf_info info;
    uint32_t blocks;

    rowbuf_info(rows, &info);
    if (!info.rows || config->codec >= CODEC_COUNT)
        return -EINVAL;
    if (info.row_bytes > BLOCK_BYTES_MAX)
        return -EFBIG;
    if (!out) {
        out = coder->bytes;
        size = GROUP_RECORD_BYTES_MAX;
    }
    if (size < RECORD_HEAD_BYTES + GROUP_HEAD_BYTES + RECORD_TAIL_BYTES)
        return -ENOBUFS;
    const uint8_t *base = split(coder, rows, &info);
    assert(base); /* there is a row */
    rewind_lanes(coder, &info);
    find_exceptions(coder, rows, base);
    rewind_lanes(coder, &info);
    size_t at = RECORD_HEAD_BYTES + GROUP_HEAD_BYTES, room = size - RECORD_TAIL_BYTES;
    int64_t bytes = put_blocks(coder, config, &info, base, out + at, room - at, &blocks);
    if (bytes < 0)
        return bytes;
    at += (size_t)bytes;
    bytes = put_order(coder, out + at, room - at);
    if (bytes < 0)
        return bytes;
    store_head(out + RECORD_HEAD_BYTES, config, &info, blocks, bytes > 0);
    at += (size_t)bytes;
    return (int64_t)record_seal(out, RECORD_GROUP, at - RECORD_HEAD_BYTES);
}

const uint8_t *group_bytes(const struct group_coder *coder) { return coder->bytes; }
