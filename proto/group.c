#include "proto/group.h"

#include "proto/codec.h"
#include "proto/hash.h"
#include "proto/order.h"
#include "proto/record.h"
#include "proto/zpack.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define HEAD_BYTES 64
#define BLOCK_HEAD_BYTES 32
#define BLOCK_TAIL_BYTES 8
#define BLOCK_OVERHEAD (BLOCK_HEAD_BYTES + BLOCK_TAIL_BYTES)
#define ORDER_SOURCE 0xff /* in the place of a source: the order block */

static const struct codec *const codecs[CODEC_COUNT] = {
    [CODEC_ROWS] = &codec_rows,
    [CODEC_COLUMNAR] = &codec_columnar,
};

/* One source of the group in hand: its rows are base[offsets[next .. end)]. */
struct lane {
    uint32_t next, end;
};

struct group_coder {
    struct zpack *pack;
    struct columnar *columnar;
    struct order order;
    uint32_t *offsets;   /* rows of source 0, then of source 1, ... */
    uint8_t *plain;      /* decode: the rows of all blocks */
    uint8_t *record;     /* encode into our own buffer */
    struct lane lanes[SOURCES_MAX];
    int lane_count; /* lanes at and beyond it are empty */
};

const char *codec_name(unsigned codec)
{
    return codec < CODEC_COUNT ? codecs[codec]->name : NULL;
}

int codec_from_name(const char *name)
{
    for (int i = 0; i < CODEC_COUNT; i++)
        if (!strcmp(name, codecs[i]->name))
            return i;
    return -EINVAL;
}

struct group_coder *group_coder_open(void)
{
    struct group_coder *coder = calloc(1, sizeof *coder);

    if (!coder)
        return NULL;
    /* Large buffers are touched only as far as groups are long. */
    coder->pack = zpack_open();
    coder->columnar = coder->pack ? columnar_open(coder->pack) : NULL;
    coder->offsets = malloc(sizeof *coder->offsets * ROWBUF_ROWS_MAX);
    coder->plain = malloc(BLOCK_BYTES_MAX);
    coder->record = malloc(GROUP_RECORD_BYTES_MAX);
    if (!coder->columnar || !coder->offsets || !coder->plain || !coder->record ||
        order_init(&coder->order) < 0) {
        group_coder_close(coder);
        return NULL;
    }
    return coder;
}

void group_coder_close(struct group_coder *coder)
{
    if (!coder)
        return;
    order_deinit(&coder->order);
    columnar_close(coder->columnar);
    zpack_close(coder->pack);
    free(coder->offsets);
    free(coder->plain);
    free(coder->record);
    free(coder);
}

/* The least (stamp, source) among the heads of the lanes, or -1 when all are empty. */
static int merge_pick(const struct group_coder *coder, const uint8_t *base)
{
    int64_t least = 0;
    int pick = -1;

    for (int s = 0; s < coder->lane_count; s++) {
        const struct lane *lane = &coder->lanes[s];
        if (lane->next == lane->end)
            continue;
        int64_t stamp = plain_stamp(base + coder->offsets[lane->next]);
        if (pick < 0 || stamp < least) {
            pick = s;
            least = stamp;
        }
    }
    return pick;
}

/* --- encoding --- */

size_t group_bound(const struct rowbuf *rows)
{
    struct rowbuf_info info;

    rowbuf_info(rows, &info);
    return RECORD_HEAD_BYTES + RECORD_TAIL_BYTES + HEAD_BYTES + (SOURCES_MAX + 1) * BLOCK_OVERHEAD +
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
        if (merge_pick(coder, base) != source) {
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
        payload = codecs[codec]->encode(coder->columnar, rows, out + BLOCK_HEAD_BYTES, plain);
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
    memset(out, 0, HEAD_BYTES);
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
        out = coder->record;
        size = GROUP_RECORD_BYTES_MAX;
    }
    if (size < RECORD_HEAD_BYTES + HEAD_BYTES + RECORD_TAIL_BYTES)
        return -ENOBUFS;
    const uint8_t *base = split(coder, rows, &info);
    rewind_lanes(coder, &info);
    find_exceptions(coder, rows, base);
    rewind_lanes(coder, &info);
    size_t at = RECORD_HEAD_BYTES + HEAD_BYTES, room = size - RECORD_TAIL_BYTES;
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

const uint8_t *group_bytes(const struct group_coder *coder) { return coder->record; }

/* --- decoding --- */

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

/* Unpacks all blocks into coder->plain; offsets are from there. */
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
        int64_t bytes = codecs[block->codec]->decode(coder->columnar, &from, coder->plain + at,
                                                     BLOCK_BYTES_MAX - at, offsets, err);
        if (bytes == -ENOBUFS)
            return err_plain(err, -EBADMSG, "group: more than %d bytes of rows", BLOCK_BYTES_MAX);
        if (bytes < 0)
            return block_failed(block, err);
        if (plain_stamp(coder->plain + at) != block->first_stamp_ns ||
            plain_stamp(coder->plain + at + offsets[block->rows - 1]) != block->last_stamp_ns)
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
    return merge_pick(coder, coder->plain);
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
        plain_to_frame(coder->plain + coder->offsets[lane->next++], &row.frame);
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
