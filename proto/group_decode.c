/* A group record back into rows. Sizes and counts are checked against limits.h and against each
 * other before they are used. */
#include "proto/group_impl.h"
#include "proto/record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A record taken apart; the pointers are into it. */
struct view {
    struct group_head head;
    struct group_block blocks[SOURCES_MAX];
    const uint8_t *payloads[SOURCES_MAX];
    const uint8_t *order; /* payload of the order block, or NULL */
    size_t order_bytes;
    bool has_order;
};

static int read_head(struct bytes_reader *r, struct view *view, struct err *err)
{
    struct group_head *head = &view->head;

    head->generation = bytes_u32(r);
    head->rows = bytes_u32(r);
    head->offset_ns = (int64_t)bytes_u64(r);
    head->first_step = bytes_u64(r);
    head->last_step = bytes_u64(r);
    head->mono_floor_ns = (int64_t)bytes_u64(r);
    head->stamp_min_ns = (int64_t)bytes_u64(r);
    head->stamp_max_ns = (int64_t)bytes_u64(r);
    head->blocks = bytes_u8(r);
    uint8_t order = bytes_u8(r);
    uint64_t zero = (uint64_t)bytes_u16(r) | bytes_u32(r);
    view->has_order = order;
    if (r->failed || order > 1 || zero)
        return err_plain(err, -EBADMSG, "group: head is not one of this version");
    if (head->rows < 1 || head->rows > ROWBUF_ROWS_MAX || head->blocks < 1 ||
        head->blocks > SOURCES_MAX)
        return err_plain(err, -EBADMSG, "group: %u rows in %u blocks, at most %d rows in %d blocks "
                         "are allowed", head->rows, head->blocks, ROWBUF_ROWS_MAX, SOURCES_MAX);
    if (head->last_step < head->first_step || head->stamp_max_ns < head->stamp_min_ns ||
        head->last_step - head->first_step < head->rows - 1)
        return err_plain(err, -EBADMSG, "group: steps or stamps of the head run backward");
    return 0;
}

/* Head, payload and hash of the next block. */
static int read_block(struct bytes_reader *r, struct group_block *ret_block,
                      const uint8_t **ret_payload, bool verify, struct err *err)
{
    const uint8_t *start = r->at;

    ret_block->source = bytes_u8(r);
    ret_block->codec = bytes_u8(r);
    uint16_t zero = bytes_u16(r);
    ret_block->rows = bytes_u32(r);
    ret_block->tick_ns = bytes_u32(r);
    uint32_t payload = bytes_u32(r);
    ret_block->first_stamp_ns = (int64_t)bytes_u64(r);
    ret_block->last_stamp_ns = (int64_t)bytes_u64(r);
    *ret_payload = bytes_take(r, payload);
    const uint8_t *tail = bytes_take(r, BLOCK_TAIL_BYTES);
    if (r->failed || zero)
        return err_plain(err, -EBADMSG, "block: cut off or not one of this version");
    ret_block->bytes = payload + BLOCK_OVERHEAD;
    if (verify && load_le64(tail) != hash_xxh3(start, BLOCK_HEAD_BYTES + (size_t)payload))
        return err_plain(err, -EBADMSG, "block of source %u: XXH3 differs", ret_block->source);
    return 0;
}

static int read_blocks(struct bytes_reader *r, struct view *view, bool verify, struct err *err)
{
    uint32_t rows = 0;
    int before = -1;

    for (uint32_t i = 0; i < view->head.blocks; i++) {
        struct group_block *block = &view->blocks[i];
        int rc = read_block(r, block, &view->payloads[i], verify, err);
        if (rc < 0)
            return rc;
        if (block->source >= SOURCES_MAX || block->source <= before)
            return err_plain(err, -EBADMSG, "block %u: source %u after source %d", i,
                             block->source, before);
        if (block->codec >= CODEC_COUNT)
            return err_plain(err, -EBADMSG, "block of source %u: unknown codec %u", block->source,
                             block->codec);
        if (block->rows < 1 || block->rows > view->head.rows - rows)
            return err_plain(err, -EBADMSG, "block of source %u: %u rows, the group has %u",
                             block->source, block->rows, view->head.rows);
        rows += block->rows;
        before = block->source;
    }
    if (rows != view->head.rows)
        return err_plain(err, -EBADMSG, "group: blocks have %u rows, the head says %u", rows,
                         view->head.rows);
    return 0;
}

static int read_order(struct bytes_reader *r, struct view *view, bool verify, struct err *err)
{
    struct group_block block;

    if (!view->has_order)
        return 0;
    int rc = read_block(r, &block, &view->order, verify, err);
    if (rc < 0)
        return rc;
    if (block.source != ORDER_SOURCE || block.codec)
        return err_plain(err, -EBADMSG, "order block: source %u, expected %d", block.source,
                         ORDER_SOURCE);
    view->order_bytes = block.bytes - BLOCK_OVERHEAD;
    return 0;
}

static int read_view(const uint8_t *record, size_t size, bool verify, struct view *view,
                     struct err *err)
{
    if (size > GROUP_RECORD_BYTES_MAX || !record_holds(record, size, RECORD_GROUP, verify))
        return err_plain(err, -EBADMSG, "group: not a whole group record, or its XXH3 differs");
    struct bytes_reader r = bytes_reader_init(record + RECORD_HEAD_BYTES,
                                              size - RECORD_HEAD_BYTES - RECORD_TAIL_BYTES);
    if (read_head(&r, view, err) < 0 || read_blocks(&r, view, verify, err) < 0 ||
        read_order(&r, view, verify, err) < 0)
        return -EBADMSG;
    if (bytes_left(&r))
        return err_plain(err, -EBADMSG, "group: %zu bytes after the last block", bytes_left(&r));
    return 0;
}

int group_peek(const uint8_t *record, size_t size, bool verify, struct group_head *ret_head,
               struct group_block *ret_blocks, struct err *err)
{
    struct view view = { 0 };

    if (read_view(record, size, verify, &view, err) < 0)
        return -EBADMSG;
    *ret_head = view.head;
    if (ret_blocks)
        memcpy(ret_blocks, view.blocks, sizeof view.blocks);
    return 0;
}

/* Adds the block to what the error says, keeping the codec's own words. */
static int block_failed(const struct group_block *block, struct err *err)
{
    struct err inner = *err;

    return err_plain(err, -EBADMSG, "block of source %u: %.400s", block->source, inner.text);
}

/* Unpacks all blocks into coder->bytes; offsets are from there. */
static int decode_blocks(struct group_coder *coder, const struct view *view, struct err *err)
{
    uint32_t rows = 0;
    size_t at = 0;

    memset(coder->lanes, 0, sizeof coder->lanes);
    for (uint32_t i = 0; i < view->head.blocks; i++) {
        const struct group_block *block = &view->blocks[i];
        struct codec_block from = { block->rows, block->source, block->first_stamp_ns,
                                    view->payloads[i], block->bytes - BLOCK_OVERHEAD };
        uint32_t *offsets = coder->offsets + rows;
        int64_t bytes = group_codecs[block->codec]->decode(coder->columnar, &from, coder->bytes + at,
                                                     BLOCK_BYTES_MAX - at, offsets, err);
        if (bytes == -ENOBUFS)
            return err_plain(err, -EBADMSG, "group: more than %d bytes of rows", BLOCK_BYTES_MAX);
        if (bytes < 0)
            return block_failed(block, err);
        if (plain_stamp(coder->bytes + at) != block->first_stamp_ns ||
            plain_stamp(coder->bytes + at + offsets[block->rows - 1]) != block->last_stamp_ns)
            return err_plain(err, -EBADMSG, "block of source %u: stamps do not match its head",
                             block->source);
        for (uint32_t n = 0; n < block->rows; n++)
            offsets[n] += (uint32_t)at;
        coder->lanes[block->source] = (struct lane){ rows, rows + block->rows };
        coder->lane_count = block->source + 1;
        rows += block->rows;
        at += (size_t)bytes;
    }
    return 0;
}

/* Which lane row `position` comes from. */
static int next_lane(const struct group_coder *coder, uint32_t position, uint32_t *exception)
{
    const struct order *order = &coder->order;

    if (*exception < order->exception_count) {
        const struct order_exception *e = &order->exceptions[*exception];
        if (position >= e->position) {
            if (position == e->position + e->run - 1)
                ++*exception;
            return e->source;
        }
    }
    return group_pick(coder, coder->bytes);
}

/* Step and mono of the next row: as they follow, or as its mark says. */
static void next_place(const struct group_coder *coder, const struct group_head *head,
                       uint32_t position, uint32_t *mark, struct row *row)
{
    const struct order *order = &coder->order;
    int64_t at = (int64_t)((uint64_t)row->frame.stamp_ns + (uint64_t)head->offset_ns);

    if (position) {
        row->step++;
        row->mono_ns = at > row->mono_ns ? at : row->mono_ns;
    }
    if (*mark < order->mark_count && order->marks[*mark].position == position) {
        row->step = order->marks[*mark].step;
        row->mono_ns = order->marks[*mark].mono_ns;
        ++*mark;
    }
}

static int merge(struct group_coder *coder, const struct group_head *head, struct rowbuf *rows,
                 struct err *err)
{
    struct row row = { .step = head->first_step, .mono_ns = head->mono_floor_ns,
                       .offset_ns = head->offset_ns };
    uint32_t exception = 0, mark = 0;

    for (uint32_t position = 0; position < head->rows; position++) {
        int source = next_lane(coder, position, &exception);
        struct lane *lane = &coder->lanes[source];
        if (lane->next == lane->end)
            return err_plain(err, -EBADMSG, "order: source %d has no row for place %u", source,
                             position);
        plain_to_frame(coder->bytes + coder->offsets[lane->next++], &row.frame);
        next_place(coder, head, position, &mark, &row);
        int rc = rowbuf_put(rows, &row);
        if (rc == -EINVAL)
            return err_plain(err, -EBADMSG, "group: row %u of %u cannot be", position, head->rows);
        if (rc < 0)
            return err_plain(err, rc, "group: %u rows do not fit the buffer", head->rows);
    }
    return 0;
}

static int check_head(const struct group_head *head, const struct rowbuf *rows, struct err *err)
{
    struct rowbuf_info info;

    rowbuf_info(rows, &info);
    if (info.last_step != head->last_step || info.stamp_min_ns != head->stamp_min_ns ||
        info.stamp_max_ns != head->stamp_max_ns)
        return err_plain(err, -EBADMSG, "group: steps or stamps do not match its head");
    return 0;
}

int group_decode(struct group_coder *coder, const uint8_t *record, size_t size,
                 struct group_head *ret_head, struct rowbuf *ret_rows, struct err *err)
{
    struct view view = { 0 };
    struct err own = { 0 };

    assert(record != coder->bytes); /* group_bytes is gone with this call */
    err = err ? err : &own;
    rowbuf_clear(ret_rows);
    coder->order.exception_count = coder->order.mark_count = 0;
    int rc = read_view(record, size, true, &view, err);
    if (rc == 0)
        rc = decode_blocks(coder, &view, err);
    if (rc == 0 && view.order)
        rc = order_decode(&coder->order, coder->pack, view.order, view.order_bytes,
                          view.head.rows, err);
    if (rc == 0)
        rc = merge(coder, &view.head, ret_rows, err);
    if (rc == 0)
        rc = check_head(&view.head, ret_rows, err);
    if (rc < 0)
        rowbuf_clear(ret_rows);
    else
        *ret_head = view.head;
    return rc;
}
