/* Rows of one source into key table, ranks, gaps and columns: proto/columnar.c has the idea. */
#include "proto/columnar.h"

#include <errno.h>

static void bit_set(uint8_t *mask, unsigned at) { mask[at / 8] |= (uint8_t)(1u << (at % 8)); }

static uint64_t word_of(const uint8_t *row)
{
    return (uint64_t)plain_id(row) | (uint64_t)plain_flags(row) << 32 |
           (uint64_t)plain_len(row) << 40 | (uint64_t)plain_dlc(row) << 48;
}

/* Index of the key of that word, added when new; -EFBIG when there are too many. */
static int key_find(struct columnar *c, uint64_t word)
{
    uint32_t at = (uint32_t)(word * UINT64_C(0x9e3779b97f4a7c15) >> 40) % HASH_SIZE;

    for (; c->hash[at]; at = (at + 1) % HASH_SIZE)
        if (c->keys[c->hash[at] - 1].word == word)
            return c->hash[at] - 1;
    if (c->key_count == KEYS_MAX)
        return -EFBIG;
    struct key *key = &c->keys[c->key_count];
    memset(key, 0, sizeof *key);
    key->word = word;
    c->successors[c->key_count].count = 0;
    c->hash[at] = (uint16_t)++c->key_count;
    return (int)c->key_count - 1;
}

/* Key, rank and gap column of row i; the row before it has key `before`. */
static int note_row(struct columnar *c, const struct codec_rows *rows, uint32_t i, int before)
{
    uint64_t word = word_of(rows->base + rows->offsets[i]);
    struct successors *s = before < 0 ? NULL : &c->successors[before];
    uint32_t known = c->key_count;
    int key;

    /* The likeliest successor needs no search. */
    if (s && s->count && c->keys[s->key[0]].word == word)
        key = s->key[0];
    else
        key = key_find(c, word);
    if (key < 0)
        return key;
    c->row_key[i] = (uint16_t)key;
    c->keys[key].rows++;
    if (!s)
        return key;
    unsigned rank = successors_rank(s, (uint16_t)key);
    unsigned column = successors_step(s, rank, (uint16_t)key);
    if (rank == RANKS && (uint32_t)key < known)
        store_le16(c->escapes + 2 * c->escape_count++, (uint16_t)key);
    c->row_rank[i] = (uint8_t)(rank < RANKS ? rank : (uint32_t)key < known ? RANK_ESCAPE
                                                                           : RANK_NEW);
    c->row_column[i] = (uint32_t)before * COLUMNS + column;
    return key;
}

static int note_rows(struct columnar *c, const struct codec_rows *rows)
{
    int key = -1;

    memset(c->hash, 0, sizeof c->hash);
    c->key_count = c->escape_count = 0;
    for (uint32_t i = 0; i < rows->rows; i++) {
        key = note_row(c, rows, i, key);
        if (key < 0)
            return key;
    }
    return 0;
}

/* Rows grouped by key, and ranks grouped by the key before. The last row has no rank after it:
 * its place stays 0. */
static void sort_rows(struct columnar *c, const struct codec_rows *rows)
{
    for (uint32_t i = 0; i < rows->rows; i++) {
        struct key *key = &c->keys[c->row_key[i]];
        uint32_t at = key->start + key->used++;
        c->sorted[at] = rows->offsets[i];
        c->ranks[at] = i + 1 < rows->rows ? c->row_rank[i + 1] : 0;
    }
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Differences wrap: any two stamps have one, and adding it back is exact. */
static int64_t gap_of(const struct codec_rows *rows, uint32_t i)
{
    uint64_t now = (uint64_t)plain_stamp(rows->base + rows->offsets[i]);
    return (int64_t)(now - (uint64_t)plain_stamp(rows->base + rows->offsets[i - 1]));
}

static void find_unit(struct columnar *c, const struct codec_rows *rows)
{
    uint64_t unit = 0, all = 0;

    for (uint32_t i = 1; i < rows->rows && unit != 1; i++) {
        int64_t gap = gap_of(rows, i);
        uint64_t size = gap < 0 ? 0 - (uint64_t)gap : (uint64_t)gap;
        if (!unit || size % unit)
            unit = common_divisor(size, unit);
    }
    c->unit = unit ? unit : 1;
    /* A magnitude of 2^63 would not fit an int64_t divisor: INT64_MIN alone gives it. */
    if (c->unit > INT64_MAX)
        c->unit = 1;
    for (uint32_t i = 1; i < rows->rows; i++)
        all |= zigzag(gap_of(rows, i) / (int64_t)c->unit);
    for (c->planes = 0; all; all >>= 8)
        c->planes++;
}

static void put_gaps(struct columnar *c, const struct codec_rows *rows)
{
    for (uint32_t i = 1; i < rows->rows; i++) {
        uint64_t v = zigzag(gap_of(rows, i) / (int64_t)c->unit);
        uint32_t at = c->columns[c->row_column[i]]++;
        for (uint32_t plane = 0; plane < c->planes; plane++)
            c->gaps[plane][at] = (uint8_t)(v >> (8 * plane));
    }
}

/* One difference dominates a calm column; in a noisy one none reaches a quarter of the rows. */
static bool is_noise(const uint8_t *column, uint32_t count)
{
    uint32_t seen[256] = { 0 }, most = 0;

    if (count < NOISE_ROWS_MIN)
        return false;
    for (uint32_t i = 0; i < count; i++)
        seen[column[i]]++;
    for (unsigned i = 0; i < 256; i++)
        most = seen[i] > most ? seen[i] : most;
    return most < count / 4;
}

/* Writes the differences of a key's rows as `len` columns of rows - 1 bytes at `out`, and the or
 * of each column to `any`. */
static void difference(const struct columnar *c, const struct key *key, const uint8_t *base,
                       uint8_t *out, uint8_t any[FRAME_DATA_MAX])
{
    size_t stride = key->rows - 1, len = key_len(key);
    const uint8_t *before = base + c->sorted[key->start] + ROWBUF_HEAD_BYTES;

    memset(any, 0, FRAME_DATA_MAX);
    for (size_t i = 0; i < stride; i++) {
        const uint8_t *data = base + c->sorted[key->start + 1 + i] + ROWBUF_HEAD_BYTES;
        for (size_t b = 0; b < len; b++) {
            uint8_t d = (uint8_t)(data[b] - before[b]);
            out[b * stride + i] = d;
            any[b] |= d;
        }
        before = data;
    }
}

static void put_data(struct columnar *c, const struct codec_rows *rows, size_t *ret_calm,
                     size_t *ret_noise)
{
    size_t calm = 0, noise = 0;
    uint8_t any[FRAME_DATA_MAX];

    for (uint32_t k = 0; k < c->key_count; k++) {
        struct key *key = &c->keys[k];
        size_t stride = key->rows - 1, len = key_len(key);
        uint8_t *columns = c->calm + calm;
        memcpy(key->first, rows->base + c->sorted[key->start] + ROWBUF_HEAD_BYTES, len);
        difference(c, key, rows->base, columns, any);
        for (unsigned b = 0; b < len; b++) {
            const uint8_t *column = columns + b * stride;
            if (!any[b])
                continue;
            bit_set(key->changing, b);
            if (is_noise(column, (uint32_t)stride)) {
                bit_set(key->noisy, b);
                memcpy(c->noise + noise, column, stride);
                noise += stride;
            } else {
                memmove(c->calm + calm, column, stride);
                calm += stride;
            }
        }
    }
    *ret_calm = calm;
    *ret_noise = noise;
}

/* Head and key table. Fields of all keys stand field by field: equal bytes come together. */
static size_t put_table(struct columnar *c)
{
    uint8_t *p = c->table;
    uint32_t n = c->key_count;

    store_le16(p, (uint16_t)n);
    p[2] = (uint8_t)c->planes;
    p[3] = 0;
    store_le32(p + 4, c->escape_count);
    store_le64(p + 8, c->unit);
    p += HEAD_BYTES;
    for (unsigned byte = 0; byte < 7; byte++)
        for (uint32_t k = 0; k < n; k++)
            *p++ = (uint8_t)(c->keys[k].word >> (8 * byte));
    for (unsigned byte = 0; byte < 3; byte++)
        for (uint32_t k = 0; k < n; k++)
            *p++ = (uint8_t)(c->keys[k].rows >> (8 * byte));
    for (uint32_t k = 0; k < n; k++) {
        const struct key *key = &c->keys[k];
        size_t len = key_len(key), mask = (len + 7) / 8;
        memcpy(p, key->changing, mask);
        memcpy(p + mask, key->noisy, mask);
        memcpy(p + 2 * mask, key->first, len);
        p += 2 * mask + len;
    }
    return (size_t)(p - c->table);
}

int64_t columnar_encode(void *context, const struct codec_rows *rows, uint8_t *out,
                               size_t size)
{
    struct columnar *c = context;
    struct zpack_part parts[5 + PLANES];
    size_t count = 0, calm, noise, total = 0;

    if (note_rows(c, rows) < 0)
        return -EFBIG;
    columnar_place(c, rows->rows);
    sort_rows(c, rows);
    find_unit(c, rows);
    put_gaps(c, rows);
    put_data(c, rows, &calm, &noise);
    parts[count++] = (struct zpack_part){ c->table, put_table(c) };
    parts[count++] = (struct zpack_part){ c->ranks, rows->rows };
    parts[count++] = (struct zpack_part){ c->escapes, 2 * (size_t)c->escape_count };
    for (uint32_t plane = c->planes; plane > 0; plane--)
        parts[count++] = (struct zpack_part){ c->gaps[plane - 1], rows->rows - 1 };
    parts[count++] = (struct zpack_part){ c->calm, calm };
    parts[count++] = (struct zpack_part){ c->noise, noise };
    for (size_t i = 0; i < count; i++)
        total += parts[i].size;
    if (total > BLOCK_BYTES_MAX)
        return -EFBIG;
    return zpack_encode(c->pack, parts, count, out, size);
}
