#include "proto/order.h"

#include "proto/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define HEAD_BYTES 8
#define EXCEPTION_BYTES 7 /* position 3 (difference), run 3, source 1 */
#define MARK_BYTES 19     /* position 3 (difference), step 8 (difference), mono 8 (difference) */
#define RAW_BYTES_MAX (HEAD_BYTES + (size_t)BLOCK_ROWS_MAX * (EXCEPTION_BYTES + MARK_BYTES))
static_assert(BLOCK_ROWS_MAX <= 1 << 24, "positions and runs have three bytes");

int order_init(struct order *order)
{
    memset(order, 0, sizeof *order);
    order->exceptions = malloc(sizeof *order->exceptions * BLOCK_ROWS_MAX);
    order->marks = malloc(sizeof *order->marks * BLOCK_ROWS_MAX);
    order->scratch = malloc(RAW_BYTES_MAX);
    if (order->exceptions && order->marks && order->scratch)
        return 0;
    order_deinit(order);
    return -ENOMEM;
}

void order_deinit(struct order *order)
{
    free(order->exceptions);
    free(order->marks);
    free(order->scratch);
    memset(order, 0, sizeof *order);
}

static size_t raw_bytes(uint32_t exceptions, uint32_t marks)
{
    return HEAD_BYTES + (size_t)exceptions * EXCEPTION_BYTES + (size_t)marks * MARK_BYTES;
}

size_t order_bound(uint32_t exceptions, uint32_t marks)
{
    return zpack_bound(raw_bytes(exceptions, marks), 1);
}

/* A table of fields as byte planes, lowest byte first: value i has its byte b at b * count + i. */
static void plane_put(uint8_t *planes, uint32_t count, uint32_t i, unsigned bytes, uint64_t value)
{
    for (unsigned b = 0; b < bytes; b++)
        planes[(size_t)b * count + i] = (uint8_t)(value >> (8 * b));
}

static uint64_t plane_get(const uint8_t *planes, uint32_t count, uint32_t i, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned b = bytes; b > 0; b--)
        value = value << 8 | planes[(size_t)(b - 1) * count + i];
    return value;
}

static void put_exceptions(const struct order *order, uint8_t *to)
{
    uint32_t n = order->exception_count, before = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct order_exception *e = &order->exceptions[i];
        plane_put(to, n, i, 3, e->position - before);
        plane_put(to + 3 * (size_t)n, n, i, 3, e->run);
        to[6 * (size_t)n + i] = e->source;
        before = e->position;
    }
}

static void put_marks(const struct order *order, uint8_t *to)
{
    struct order_mark before = { 0 };
    uint32_t n = order->mark_count;

    for (uint32_t i = 0; i < n; i++) {
        const struct order_mark *m = &order->marks[i];
        plane_put(to, n, i, 3, m->position - before.position);
        plane_put(to + 3 * (size_t)n, n, i, 8, m->step - before.step);
        plane_put(to + 11 * (size_t)n, n, i, 8, (uint64_t)m->mono_ns - (uint64_t)before.mono_ns);
        before = *m;
    }
}

int64_t order_encode(struct order *order, struct zpack *pack, uint8_t *out, size_t size)
{
    uint8_t *raw = order->scratch;
    size_t exceptions = (size_t)order->exception_count * EXCEPTION_BYTES;

    store_le32(raw, order->exception_count);
    store_le32(raw + 4, order->mark_count);
    put_exceptions(order, raw + HEAD_BYTES);
    put_marks(order, raw + HEAD_BYTES + exceptions);
    struct zpack_part part = { raw, raw_bytes(order->exception_count, order->mark_count) };
    return zpack_encode(pack, &part, 1, out, size);
}

static int get_exceptions(struct order *order, const uint8_t *from, uint32_t rows, struct err *err)
{
    uint32_t n = order->exception_count, free_from = 0, before = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct order_exception *e = &order->exceptions[i];
        e->position = before + (uint32_t)plane_get(from, n, i, 3);
        e->run = (uint32_t)plane_get(from + 3 * (size_t)n, n, i, 3);
        e->source = from[6 * (size_t)n + i];
        if (e->position < free_from || e->position >= rows || e->run < 1 ||
            e->run > rows - e->position || e->source >= SOURCES_MAX)
            return err_plain(err, -EBADMSG, "order: exception %u: %u rows of source %u at row %u "
                             "of %u", i, e->run, e->source, e->position, rows);
        free_from = e->position + e->run;
        before = e->position;
    }
    return 0;
}

static int get_marks(struct order *order, const uint8_t *from, uint32_t rows, struct err *err)
{
    struct order_mark before = { 0 };
    uint32_t n = order->mark_count;

    for (uint32_t i = 0; i < n; i++) {
        struct order_mark *m = &order->marks[i];
        uint32_t skip = (uint32_t)plane_get(from, n, i, 3);
        m->position = before.position + skip;
        m->step = before.step + plane_get(from + 3 * (size_t)n, n, i, 8);
        m->mono_ns = (int64_t)((uint64_t)before.mono_ns +
                               plane_get(from + 11 * (size_t)n, n, i, 8));
        if (!skip || m->position >= rows)
            return err_plain(err, -EBADMSG, "order: mark %u at row %u of %u", i, m->position,
                             rows);
        before = *m;
    }
    return 0;
}

int order_decode(struct order *order, struct zpack *pack, const uint8_t *bytes, size_t size,
                 uint32_t rows, struct err *err)
{
    int64_t content = zpack_content(bytes, size);

    if (content < HEAD_BYTES || content > (int64_t)RAW_BYTES_MAX)
        return err_plain(err, -EBADMSG, "order: declares %lld bytes, expected %d to %zu",
                         (long long)content, HEAD_BYTES, RAW_BYTES_MAX);
    if (zpack_decode(pack, bytes, size, order->scratch, (size_t)content) < 0)
        return err_plain(err, -EBADMSG, "order: the zstd frame is damaged");
    uint32_t exceptions = load_le32(order->scratch), marks = load_le32(order->scratch + 4);
    if (exceptions > rows || marks > rows || raw_bytes(exceptions, marks) != (size_t)content)
        return err_plain(err, -EBADMSG, "order: %u exceptions and %u marks for %u rows in %lld "
                         "bytes", exceptions, marks, rows, (long long)content);
    order->exception_count = exceptions;
    order->mark_count = marks;
    int rc = get_exceptions(order, order->scratch + HEAD_BYTES, rows, err);
    if (rc < 0)
        return rc;
    return get_marks(order, order->scratch + HEAD_BYTES + (size_t)exceptions * EXCEPTION_BYTES,
                     rows, err);
}
