#include "proto/group.h"

#include "proto/record.h"
#include "proto/zpack.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct group_coder *coder;
static struct rowbuf *rows, *back;
static struct source_table sources;
static uint64_t seed;
static uint8_t *kept; /* the record of the last round trip: decoding takes the coder's own buffer */

static uint32_t draw(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below ? (uint32_t)(seed >> 33) % below : 0;
}

static int setup(void **state)
{
    (void)state;
    coder = group_coder_open();
    rows = rowbuf_open(ROWBUF_BYTES_MAX);
    back = rowbuf_open(ROWBUF_BYTES_MAX);
    sources.count = SOURCES_MAX;
    for (uint32_t i = 0; i < SOURCES_MAX; i++)
        sources.items[i].tick_ns = 1000;
    return !coder || !rows || !back;
}

static int teardown(void **state)
{
    (void)state;
    free(kept);
    kept = NULL;
    group_coder_close(coder);
    rowbuf_close(rows);
    rowbuf_close(back);
    return 0;
}

/* Encodes `rows`, decodes, and compares every field of every row. Returns the record's size. */
static size_t round_trip(uint8_t codec)
{
    struct group_config config = { codec, 7, &sources };
    struct group_head head;
    struct err err = { 0 };
    int64_t size = group_encode(coder, &config, rows, NULL, 0);

    assert_true(size > 0);
    assert_true((size_t)size <= group_bound(rows));
    free(kept);
    kept = malloc((size_t)size);
    memcpy(kept, group_bytes(coder), (size_t)size);
    int rc = group_decode(coder, kept, (size_t)size, &head, back, &err);
    if (rc)
        print_message("seed %llu: %s\n", (unsigned long long)seed, err.text);
    assert_int_equal(rc, 0);
    assert_int_equal(head.generation, 7);
    assert_int_equal(head.rows, rowbuf_count(rows));
    assert_int_equal(rowbuf_count(back), rowbuf_count(rows));
    struct rowbuf_cursor a = rowbuf_begin(rows), b = rowbuf_begin(back);
    struct row want, got;
    memset(&want, 0, sizeof want);
    memset(&got, 0, sizeof got);
    while (rowbuf_next(rows, &a, &want)) {
        assert_true(rowbuf_next(back, &b, &got));
        assert_memory_equal(&want, &got, sizeof want);
    }
    return (size_t)size;
}

static void random_kind(struct frame *frame)
{
    bool fd = draw(4) == 0;

    frame->flags = (uint16_t)(draw(8) == 0 ? FRAME_EFF : 0);
    if (fd)
        frame->flags = (uint16_t)(frame->flags | FRAME_FD | (draw(2) ? FRAME_BRS : 0) |
                                  (draw(2) ? FRAME_ESI : 0));
    else if (draw(8) == 0)
        frame->flags |= FRAME_RTR;
    else if (draw(16) == 0)
        frame->flags = FRAME_ERR;
    frame->flags = (uint16_t)(frame->flags | (draw(10) ? 0 : FRAME_TX) | (draw(20) ? 0
                                                                              : FRAME_LATE));
    frame->dlc = (uint8_t)draw(16);
    frame->len = frame->flags & FRAME_RTR ? 0 : frame_dlc_to_len(frame->dlc, fd);
}

struct shape {
    uint32_t rows, ids, sources;
    uint32_t back;   /* one row in so many has a stamp behind the one before it; 0: none */
    uint32_t ties;   /* one row in so many has the stamp of the one before it; 0: none */
    uint32_t skips;  /* one row in so many is not the next step; 0: none */
    int64_t grid_ns;
    bool steady;     /* ids in a fixed rotation, as on a bus */
};

static void fill(const struct shape *shape)
{
    struct row row = { .step = draw(1000), .offset_ns = (int64_t)draw(5) - 2 };
    int64_t stamp = 1700000000 * NS_PER_S;

    rowbuf_clear(rows);
    for (uint32_t i = 0; i < shape->rows; i++) {
        struct frame *frame = &row.frame;
        uint32_t id = shape->steady ? i % shape->ids : draw(shape->ids);
        uint64_t keep = seed;
        memset(frame, 0, sizeof *frame);
        seed = id; /* the kind is a function of the id, as on a bus */
        random_kind(frame);
        seed = keep;
        frame->id = frame->flags & (FRAME_EFF | FRAME_ERR) ? id * 977 % (1u << 29) : id % 0x800;
        frame->source = (uint8_t)draw(shape->sources);
        for (uint32_t b = 0; b < frame->len; b++)
            frame->data[b] = (uint8_t)(b < 2 ? 0x55 : b < 4 ? i / 8 : draw(256));
        if (shape->back && draw(shape->back) == 0)
            frame->stamp_ns = stamp - (int64_t)draw(50) * shape->grid_ns;
        else if (!(shape->ties && draw(shape->ties) == 0))
            stamp += (int64_t)(1 + draw(900)) * shape->grid_ns;
        frame->stamp_ns = frame->stamp_ns ? frame->stamp_ns : stamp;
        int64_t at = frame->stamp_ns + row.offset_ns;
        row.mono_ns = at > row.mono_ns ? at : row.mono_ns;
        row.step += 1 + (shape->skips && draw(shape->skips) == 0 ? draw(5) : 0);
        if (shape->skips && draw(shape->skips * 4) == 0)
            row.mono_ns += 12345;
        assert_int_equal(rowbuf_put(rows, &row), 0);
    }
}

static void test_any_rows_come_back(void **state)
{
    static const struct shape shapes[] = {
        { .rows = 1, .ids = 1, .sources = 1, .grid_ns = 1 },
        { .rows = 2, .ids = 1, .sources = 2, .grid_ns = 1000 },
        { .rows = 500, .ids = 1, .sources = 1, .grid_ns = 1000, .steady = true },
        { .rows = 5000, .ids = 40, .sources = 2, .grid_ns = 1000, .ties = 3, .steady = true },
        { .rows = 5000, .ids = 40, .sources = 32, .grid_ns = 1, .ties = 3, .back = 50 },
        { .rows = 20000, .ids = 2000, .sources = 3, .grid_ns = 1000, .back = 7, .ties = 2 },
        { .rows = 3000, .ids = 100, .sources = 4, .grid_ns = 100000, .skips = 9 },
        { .rows = 12000, .ids = 12000, .sources = 1, .grid_ns = 1000 }, /* beyond KEYS_MAX */
    };

    (void)state;
    for (seed = 1; seed < 4; seed++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            for (uint8_t codec = 0; codec < CODEC_COUNT; codec++) {
                uint64_t keep = seed;
                fill(&shapes[i]);
                (void)round_trip(codec);
                seed = keep;
            }
}

static void test_extreme_stamps_come_back(void **state)
{
    static const int64_t stamps[] = { 0, INT64_MIN, INT64_MAX, -1, INT64_MIN, 1, INT64_MAX,
                                      INT64_MAX - 1, 0, INT64_MIN };
    struct row row = { .mono_ns = INT64_MAX };

    (void)state;
    for (uint8_t codec = 0; codec < CODEC_COUNT; codec++)
        for (unsigned spread = 1; spread < 3; spread++) {
            rowbuf_clear(rows);
            for (size_t i = 0; i < 400; i++) {
                row.step = i;
                row.frame = (struct frame){ .stamp_ns = stamps[i % 10], .id = 5, .len = 8,
                                            .dlc = 8, .source = (uint8_t)(i % spread) };
                assert_int_equal(rowbuf_put(rows, &row), 0);
            }
            (void)round_trip(codec);
        }
}

static void test_columnar_shrinks_a_steady_bus(void **state)
{
    const struct shape shape = { .rows = 8000, .ids = 50, .sources = 1, .grid_ns = 1000,
                                 .ties = 2, .steady = true };

    (void)state;
    seed = 3;
    fill(&shape);
    size_t plain = round_trip(CODEC_ROWS), columnar = round_trip(CODEC_COLUMNAR);
    assert_true(columnar * 2 < plain);
}

/* Two buses that interleave by (stamp, source) need no order block; one row out of place does. */
static void test_order_costs_only_where_it_departs(void **state)
{
    struct row row = { 0 };
    size_t sizes[2];

    (void)state;
    for (int swapped = 0; swapped < 2; swapped++) {
        rowbuf_clear(rows);
        for (uint32_t i = 0; i < 1000; i++) {
            row.step = i;
            row.frame = (struct frame){ .stamp_ns = 1000000 + i / 2 * 1000, .id = 1,
                                        .source = (uint8_t)(i % 2) };
            if (swapped && (i == 500 || i == 501))
                row.frame.source ^= 1;
            row.mono_ns = row.frame.stamp_ns;
            assert_int_equal(rowbuf_put(rows, &row), 0);
        }
        sizes[swapped] = round_trip(CODEC_ROWS);
    }
    assert_true(sizes[1] > sizes[0]);
    assert_true(sizes[1] < sizes[0] + 100);
    struct group_head head;
    struct group_block blocks[SOURCES_MAX];
    struct group_config config = { CODEC_COLUMNAR, 1, &sources };
    int64_t size = group_encode(coder, &config, rows, NULL, 0);
    assert_int_equal(group_peek(group_bytes(coder), (size_t)size, true, &head, blocks, NULL), 0);
    assert_int_equal(head.blocks, 2);
    assert_int_equal(blocks[1].source, 1);
    assert_int_equal(blocks[1].rows, 500);
    assert_int_equal(blocks[0].codec, CODEC_COLUMNAR);
    assert_int_equal(blocks[0].tick_ns, 1000);
}

/* Exceptions and marks in the order block of a record, 0 without one. */
static uint32_t order_entries(const uint8_t *record, size_t size)
{
    for (size_t at = RECORD_HEAD_BYTES + 64; at + 40 < size;) {
        if (record[at] == 0xff)
            return load_le32(record + at + 4);
        at += 40 + load_le32(record + at + 12);
    }
    return 0;
}

static void test_a_run_out_of_order_is_one_exception(void **state)
{
    struct row row = { 0 };

    (void)state;
    rowbuf_clear(rows);
    for (uint32_t i = 0; i < 400; i++) { /* 20 rows of source 1, then the 20 of source 0 beside */
        row.step = i;
        row.frame = (struct frame){ .stamp_ns = 1000000 + (i / 40 * 20 + i % 20) * 1000, .id = 1,
                                    .source = i / 20 % 2 == 0 };
        row.mono_ns = row.frame.stamp_ns > row.mono_ns ? row.frame.stamp_ns : row.mono_ns;
        assert_int_equal(rowbuf_put(rows, &row), 0);
    }
    size_t size = round_trip(CODEC_ROWS);
    assert_int_equal(order_entries(kept, size), 10);
    row.step = 1000; /* one step left out is one mark */
    assert_int_equal(rowbuf_put(rows, &row), 0);
    size = round_trip(CODEC_ROWS);
    assert_int_equal(order_entries(kept, size), 11);
}

/* Gaps of 1 to 200 ms on a grid of 1 ms are one byte each, whatever the unit of the stamps. */
static void test_gaps_count_in_the_units_of_their_grid(void **state)
{
    struct row row = { 0 };

    (void)state;
    rowbuf_clear(rows);
    seed = 9;
    for (uint32_t i = 0; i < 2000; i++) {
        row.step = i;
        row.mono_ns += (1 + (int64_t)draw(100)) * NS_PER_MS;
        row.frame = (struct frame){ .stamp_ns = row.mono_ns, .id = 1 };
        assert_int_equal(rowbuf_put(rows, &row), 0);
    }
    assert_true(round_trip(CODEC_COLUMNAR) < 2000 + 200);
}

static void test_bad_requests_are_refused(void **state)
{
    struct group_config config = { CODEC_COLUMNAR, 1, &sources };
    struct source_table one = { .count = 1 };
    struct row row = { .frame = { .id = 1, .source = 1 } };
    uint8_t small[100];

    (void)state;
    rowbuf_clear(rows);
    assert_int_equal(group_encode(coder, &config, rows, NULL, 0), -EINVAL);
    assert_int_equal(rowbuf_put(rows, &row), 0);
    assert_int_equal(group_encode(coder, &config, rows, small, sizeof small), -ENOBUFS);
    config.sources = &one;
    assert_int_equal(group_encode(coder, &config, rows, NULL, 0), -EINVAL);
    config.sources = &sources;
    config.codec = CODEC_COUNT;
    assert_int_equal(group_encode(coder, &config, rows, NULL, 0), -EINVAL);
    assert_int_equal(codec_from_name("columnar"), CODEC_COLUMNAR);
    assert_int_equal(codec_from_name("colunar"), -EINVAL);
    assert_string_equal(codec_name(CODEC_ROWS), "rows");
    assert_null(codec_name(CODEC_COUNT));
}

/* A record whose hashes are right but whose content is not: what a hostile writer would send. */
static void reseal(uint8_t *record, size_t size, size_t block)
{
    uint32_t payload = load_le32(record + block + 12);

    store_le64(record + block + 32 + payload, hash_xxh3(record + block, 32 + (size_t)payload));
    (void)record_seal(record, RECORD_GROUP, size - RECORD_HEAD_BYTES - RECORD_TAIL_BYTES);
}

static void test_every_byte_is_covered_by_a_hash(void **state)
{
    const struct shape shape = { .rows = 300, .ids = 5, .sources = 2, .grid_ns = 1000, .ties = 2,
                                 .steady = true };
    struct group_head head;
    struct err err;

    (void)state;
    seed = 5;
    fill(&shape);
    size_t size = round_trip(CODEC_COLUMNAR);
    uint8_t *record = malloc(size);
    memcpy(record, kept, size);
    for (size_t i = 0; i < size; i++) {
        record[i] ^= 0x10;
        assert_int_equal(group_decode(coder, record, size, &head, back, &err), -EBADMSG);
        assert_int_equal(rowbuf_count(back), 0);
        assert_int_equal(group_peek(record, size, true, &head, NULL, &err), -EBADMSG);
        record[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(group_decode(coder, record, cut, &head, back, &err), -EBADMSG);
    free(record);
}

/* Every byte of heads and payloads set to several values with all hashes made good again: it is
 * refused or gives rows, and nothing else happens (ASan, UBSan look on). */
static void test_hostile_content_is_harmless(void **state)
{
    const struct shape shape = { .rows = 60, .ids = 5, .sources = 1, .grid_ns = 1000, .ties = 2,
                                 .steady = true };
    static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
    const size_t block = RECORD_HEAD_BYTES + 64;
    struct group_head head;
    struct err err;

    (void)state;
    for (uint8_t codec = 0; codec < CODEC_COUNT; codec++) {
        seed = 6;
        fill(&shape);
        size_t size = round_trip(codec);
        uint8_t *good = malloc(size), *bad = malloc(size);
        memcpy(good, kept, size);
        for (size_t i = RECORD_HEAD_BYTES; i < size - RECORD_TAIL_BYTES; i++)
            for (size_t v = 0; v < sizeof values; v++) {
                if (i >= block + 12 && i < block + 16)
                    continue; /* the payload's length places the hash */
                memcpy(bad, good, size);
                bad[i] = values[v];
                reseal(bad, size, block);
                int rc = group_decode(coder, bad, size, &head, back, &err);
                assert_true(rc == 0 || rc == -EBADMSG);
            }
        free(good);
        free(bad);
    }
}

/* What stands in the payload of the one columnar block, in place of the true body. */
struct broken {
    const char *why; /* part of the message */
    /* Changes the unpacked body of `size` bytes; returns its new size. */
    size_t (*change)(uint8_t *body, size_t size);
};

#define BODY_RANKS(body) (16 + (size_t)load_le16(body) * 10) /* keys with no data follow */

static size_t no_keys(uint8_t *body, size_t size) { store_le16(body, 0); return size; }
static size_t many_keys(uint8_t *body, size_t size) { store_le16(body, 301); return size; }
static size_t nine_planes(uint8_t *body, size_t size) { body[2] = 9; return size; }
static size_t zero_unit(uint8_t *body, size_t size) { store_le64(body + 8, 0); return size; }
static size_t huge_unit(uint8_t *body, size_t size)
{
    store_le64(body + 8, UINT64_C(1) << 63);
    return size;
}
static size_t many_escapes(uint8_t *body, size_t size)
{
    store_le32(body + 4, UINT32_MAX);
    return size;
}
static size_t long_key(uint8_t *body, size_t size)
{
    memset(body + 16 + (size_t)load_le16(body) * 5, 65, 1);
    return size;
}
static size_t short_sum(uint8_t *body, size_t size)
{
    body[16 + (size_t)load_le16(body) * 7]--;
    return size;
}
static size_t bad_rank(uint8_t *body, size_t size)
{
    body[BODY_RANKS(body)] = 10;
    return size;
}
static size_t unknown_successor(uint8_t *body, size_t size)
{
    body[BODY_RANKS(body)] = 7; /* index >= count */
    return size;
}
static size_t escape_without_key(uint8_t *body, size_t size)
{
    body[BODY_RANKS(body)] = 8;
    return size;
}
static size_t one_byte_less(uint8_t *body, size_t size) { (void)body; return size - 1; }
static size_t one_byte_more(uint8_t *body, size_t size) { body[size] = 0; return size + 1; }
static size_t only_head(uint8_t *body, size_t size) { (void)body; (void)size; return 16; }
static size_t too_large(uint8_t *body, size_t size)
{
    memset(body + size, 0, BLOCK_BYTES_MAX + 1 - size); /* a bomb: 8 MiB in a few hundred bytes */
    return BLOCK_BYTES_MAX + 1;
}

static const struct broken broken_bodies[] = {
    { "0 keys", no_keys }, { "301 keys", many_keys }, { "9 gap planes", nine_planes },
    { "unit 0", zero_unit }, { "unit 9223372036854775808", huge_unit },
    { "4294967295 escapes", many_escapes }, { "has length 65", long_key },
    { "keys have 299 rows", short_sum }, { "order is wrong at row 1", bad_rank },
    { "order is wrong at row 1", unknown_successor },
    { "order is wrong at row 1", escape_without_key }, { "cut off", one_byte_less },
    { "after the last column", one_byte_more }, { "is cut off", only_head },
    { "at most 8388608 are allowed", too_large },
};

/* A group of one block with that payload, its hashes good. */
static size_t wrap(const uint8_t *head, const uint8_t *payload, size_t size, uint8_t *record)
{
    uint8_t *block = record + RECORD_HEAD_BYTES + 64;

    memcpy(record, head, RECORD_HEAD_BYTES + 64 + 32);
    store_le32(block + 12, (uint32_t)size);
    memcpy(block + 32, payload, size);
    store_le64(block + 32 + size, hash_xxh3(block, 32 + size));
    return record_seal(record, RECORD_GROUP, 64 + 40 + size);
}

static void expect_refused(const uint8_t *record, size_t size, const char *why)
{
    struct group_head head;
    struct err err = { 0 };

    assert_int_equal(group_decode(coder, record, size, &head, back, &err), -EBADMSG);
    if (!strstr(err.text, why))
        print_message("expected '%s', found '%s'\n", why, err.text);
    assert_non_null(strstr(err.text, why));
}

static void test_broken_columns_are_refused_by_name(void **state)
{
    struct zpack *pack = zpack_open();
    uint8_t *good = malloc(65536), *record = malloc(1 << 20), *packed = malloc(1 << 20);
    uint8_t *body = malloc(BLOCK_BYTES_MAX + 1), *bad = malloc(BLOCK_BYTES_MAX + 1);

    (void)state;
    rowbuf_clear(rows);
    for (uint32_t i = 0; i < 300; i++) {
        struct row row = { .step = i, .mono_ns = i * 1000 + i % 7,
                           .frame = { .stamp_ns = i * 1000 + i % 7, .id = i % 3 } };
        assert_int_equal(rowbuf_put(rows, &row), 0);
    }
    size_t size = round_trip(CODEC_COLUMNAR);
    memcpy(good, kept, size);
    const uint8_t *block = good + RECORD_HEAD_BYTES + 64;
    assert_int_equal(block[1], CODEC_COLUMNAR);
    int64_t content = zpack_content(block + 32, load_le32(block + 12));
    assert_int_equal(zpack_decode(pack, block + 32, load_le32(block + 12), body, (size_t)content),
                     0);
    for (size_t i = 0; i < sizeof broken_bodies / sizeof broken_bodies[0]; i++) {
        memcpy(bad, body, (size_t)content);
        struct zpack_part part = { bad, broken_bodies[i].change(bad, (size_t)content) };
        int64_t bytes = zpack_encode(pack, &part, 1, packed, 1 << 20);
        assert_true(bytes > 0);
        expect_refused(record, wrap(good, packed, (size_t)bytes, record), broken_bodies[i].why);
    }
    static const uint8_t no_size[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x01, 0x00, 0x00 };
    static const uint8_t huge[] = { 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0 };
    expect_refused(record, wrap(good, no_size, sizeof no_size, record), "content size");
    expect_refused(record, wrap(good, huge, sizeof huge, record), "declares 1099511627776 bytes");
    expect_refused(record, wrap(good, body, 40, record), "no zstd frame");
    memcpy(packed, block + 32, load_le32(block + 12));
    packed[load_le32(block + 12)] = 0; /* a byte after the frame */
    expect_refused(record, wrap(good, packed, load_le32(block + 12) + 1, record), "damaged");
    zpack_close(pack);
    free(good);
    free(record);
    free(packed);
    free(body);
    free(bad);
}

static void test_broken_heads_are_refused_by_name(void **state)
{
    static const struct { size_t at; uint8_t value; const char *why; } cases[] = {
        { 8 + 4, 0, "0 rows" }, { 8 + 6, 255, "rows in" }, { 8 + 56, 0, "in 0 blocks" },
        { 8 + 56, 33, "in 33 blocks" }, { 8 + 56, 2, "block" }, { 8 + 57, 2, "this version" },
        { 8 + 63, 1, "this version" }, { 8 + 24, 1, "run backward" },
        { 8 + 64, 32, "source 32" }, { 8 + 65, 9, "unknown codec 9" },
        { 8 + 66, 1, "this version" }, { 8 + 68, 9, "blocks have 9 rows" },
        { 8 + 64 + 16, 7, "do not match its head" }, { 8 + 40, 9, "run backward" },
        { 8 + 57, 1, "cut off" },
    };
    struct row row = { .mono_ns = 1000 };

    (void)state;
    rowbuf_clear(rows);
    for (uint32_t i = 0; i < 10; i++) {
        row.step = i;
        row.frame = (struct frame){ .stamp_ns = 5, .id = 1 };
        assert_int_equal(rowbuf_put(rows, &row), 0);
    }
    size_t size = round_trip(CODEC_ROWS);
    uint8_t *good = malloc(size), *bad = malloc(size);
    memcpy(good, kept, size);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(bad, good, size);
        bad[cases[i].at] = cases[i].value;
        reseal(bad, size, RECORD_HEAD_BYTES + 64);
        expect_refused(bad, size, cases[i].why);
    }
    free(good);
    free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_rows_come_back),
        cmocka_unit_test(test_extreme_stamps_come_back),
        cmocka_unit_test(test_columnar_shrinks_a_steady_bus),
        cmocka_unit_test(test_order_costs_only_where_it_departs),
        cmocka_unit_test(test_a_run_out_of_order_is_one_exception),
        cmocka_unit_test(test_gaps_count_in_the_units_of_their_grid),
        cmocka_unit_test(test_bad_requests_are_refused),
        cmocka_unit_test(test_every_byte_is_covered_by_a_hash),
        cmocka_unit_test(test_hostile_content_is_harmless),
        cmocka_unit_test(test_broken_columns_are_refused_by_name),
        cmocka_unit_test(test_broken_heads_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
