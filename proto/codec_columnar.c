/* The columnar codec: what repeats is put side by side, and one zstd frame takes it.
 *
 * A *key* is all of a row but stamp and data: id, flags, len, dlc. Rows of a key share columns.
 *  - Order is coded, not implied: each row says its rank among the recent successors of the row
 *    before it (successors below). Ranks stand grouped by the key of the row before, so that the
 *    habit of one key is one run of equal bytes. Equal and backward stamps therefore cost nothing.
 *  - Stamps are gaps to the row before, in units of their common divisor, zig-zag, split in byte
 *    planes, grouped by (key before, which successor): a pair of ids has its own typical gap.
 *  - Data bytes are differences to the row before of that key, a column a byte place. Constant
 *    columns are a bit in a mask. Columns without a favourite difference ("noise") stand apart.
 * Each kind is a part of its own (zpack), so that each gets its own entropy table: measured on the
 * RAV4 drive 2.99 B/frame against 3.27 for the same bytes in one run. docs/FORMAT.md section 5.
 *
 * Decoding checks every count and index before use; sizes come from the bytes that are there. */
#include "proto/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define KEYS_MAX 8192
#define RANKS 8             /* successors remembered of each key */
#define RANK_ESCAPE 8       /* a known key that is not among them: its index follows */
#define RANK_NEW 9          /* the next key that has not been seen */
#define COLUMNS (RANKS + 1) /* gap columns of a key: one a successor slot, one for the rest */
#define PLANES 8
#define HEAD_BYTES 16
#define KEY_BYTES 10 /* id 4, flags 1, len 1, dlc 1, rows 3 */
#define TABLE_BYTES_MAX (HEAD_BYTES + KEYS_MAX * (KEY_BYTES + FRAME_DATA_MAX + FRAME_DATA_MAX / 4))
#define HASH_SIZE 32768 /* a power of two above 2 * KEYS_MAX */
#define NOISE_ROWS_MIN 16

/* Most recent first. A slot stays with a key for as long as the key is listed, so that its gaps
 * stay in one column while its rank moves. */
struct successors {
    uint16_t key[RANKS];
    uint8_t slot[RANKS];
    uint8_t count;
};

struct key {
    uint64_t word; /* id, flags, len, dlc */
    uint32_t rows;
    uint32_t start; /* of its rows in `sorted`, and of its ranks */
    uint32_t used;
    uint8_t first[FRAME_DATA_MAX];
    uint8_t changing[FRAME_DATA_MAX / 8], noisy[FRAME_DATA_MAX / 8]; /* bit b: byte place b */
};

struct columnar {
    struct zpack *pack;
    struct key keys[KEYS_MAX];
    struct successors successors[KEYS_MAX];
    uint32_t columns[KEYS_MAX * COLUMNS]; /* rows, then write place, of each gap column */
    uint16_t hash[HASH_SIZE];             /* key index + 1 */
    uint32_t key_count, escape_count;
    uint64_t unit;
    uint32_t planes;
    uint16_t row_key[BLOCK_ROWS_MAX];
    uint8_t row_rank[BLOCK_ROWS_MAX];
    uint32_t row_column[BLOCK_ROWS_MAX];
    uint32_t sorted[BLOCK_ROWS_MAX]; /* row places grouped by key */
    uint8_t escapes[2 * BLOCK_ROWS_MAX];
    uint8_t ranks[BLOCK_ROWS_MAX];
    uint8_t gaps[PLANES][BLOCK_ROWS_MAX];
    uint8_t table[TABLE_BYTES_MAX];
    uint8_t calm[BLOCK_BYTES_MAX];  /* encode: columns; decode: the unpacked body */
    uint8_t noise[BLOCK_BYTES_MAX];
};

struct columnar *columnar_open(struct zpack *pack)
{
    /* Pages are only touched as far as blocks are long. */
    struct columnar *c = malloc(sizeof *c);

    if (c)
        c->pack = pack;
    return c;
}

void columnar_close(struct columnar *columnar) { free(columnar); }

static bool bit(const uint8_t *mask, unsigned at) { return mask[at / 8] >> (at % 8) & 1; }

static void bit_set(uint8_t *mask, unsigned at) { mask[at / 8] |= (uint8_t)(1u << (at % 8)); }

static uint8_t key_len(const struct key *key) { return (uint8_t)(key->word >> 40); }

/* --- the model that both sides keep --- */

/* The rank of `key` after `s`, or RANKS. */
static unsigned successors_rank(const struct successors *s, uint16_t key)
{
    unsigned rank = 0;

    while (rank < s->count && s->key[rank] != key)
        rank++;
    return rank < s->count ? rank : RANKS;
}

static void successors_front(struct successors *s, unsigned rank, uint16_t key, uint8_t slot)
{
    for (unsigned i = rank; i > 0; i--) {
        s->key[i] = s->key[i - 1];
        s->slot[i] = s->slot[i - 1];
    }
    s->key[0] = key;
    s->slot[0] = slot;
}

/* Moves the successor at `rank` to the front, or lists `key` there when rank is RANKS (the oldest
 * one gives up its slot). Returns the gap column: the slot that was hit, or RANKS on a miss. */
static unsigned successors_step(struct successors *s, unsigned rank, uint16_t key)
{
    if (rank < RANKS) {
        uint8_t slot = s->slot[rank];
        if (rank)
            successors_front(s, rank, key, slot);
        return slot;
    }
    uint8_t slot = s->count < RANKS ? s->count++ : s->slot[RANKS - 1];
    successors_front(s, s->count - 1u, key, slot);
    return RANKS;
}

/* --- encoding --- */

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

/* Where the rows of each key start, and where the gaps of each column do. */
static void place(struct columnar *c, uint32_t rows)
{
    uint32_t start = 0;

    for (uint32_t k = 0; k < c->key_count; k++) {
        c->keys[k].start = start;
        c->keys[k].used = 0;
        start += c->keys[k].rows;
    }
    memset(c->columns, 0, sizeof *c->columns * COLUMNS * c->key_count);
    for (uint32_t i = 1; i < rows; i++)
        c->columns[c->row_column[i]]++;
    start = 0;
    for (uint32_t i = 0; i < c->key_count * COLUMNS; i++) {
        uint32_t count = c->columns[i];
        c->columns[i] = start;
        start += count;
    }
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

static int64_t columnar_encode(void *context, const struct codec_rows *rows, uint8_t *out,
                               size_t size)
{
    struct columnar *c = context;
    struct zpack_part parts[5 + PLANES];
    size_t count = 0, calm, noise, total = 0;

    if (note_rows(c, rows) < 0)
        return -EFBIG;
    place(c, rows->rows);
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

/* --- decoding --- */

static int get_head(struct columnar *c, struct bytes_reader *r, uint32_t rows, struct err *err)
{
    c->key_count = bytes_u16(r);
    c->planes = bytes_u8(r);
    uint8_t zero = bytes_u8(r);
    c->escape_count = bytes_u32(r);
    c->unit = bytes_u64(r);
    if (r->failed || c->key_count < 1 || c->key_count > KEYS_MAX || c->key_count > rows)
        return err_plain(err, -EBADMSG, "columnar: %u keys for %u rows, expected 1 to %d",
                         c->key_count, rows, KEYS_MAX);
    if (c->planes > PLANES || zero || c->escape_count >= rows || c->unit < 1 ||
        c->unit > INT64_MAX)
        return err_plain(err, -EBADMSG, "columnar: %u gap planes, %u escapes, unit %llu",
                         c->planes, c->escape_count, (unsigned long long)c->unit);
    return 0;
}

/* A field of `bytes` bytes for each key, plane by plane. */
static const uint8_t *get_field(struct bytes_reader *r, uint32_t keys, unsigned bytes)
{
    return bytes_take(r, (size_t)keys * bytes);
}

static int get_key_words(struct columnar *c, struct bytes_reader *r, uint32_t rows,
                         struct err *err)
{
    uint32_t n = c->key_count, sum = 0;
    const uint8_t *words = get_field(r, n, 7), *counts = get_field(r, n, 3);

    if (r->failed)
        return err_plain(err, -EBADMSG, "columnar: the table of %u keys is cut off", n);
    for (uint32_t k = 0; k < n; k++) {
        struct key *key = &c->keys[k];
        memset(key, 0, sizeof *key);
        for (unsigned byte = 0; byte < 7; byte++)
            key->word |= (uint64_t)words[byte * n + k] << (8 * byte);
        for (unsigned byte = 0; byte < 3; byte++)
            key->rows |= (uint32_t)counts[byte * n + k] << (8 * byte);
        if (key_len(key) > FRAME_DATA_MAX || key->rows < 1 || key->rows > rows - sum)
            return err_plain(err, -EBADMSG, "columnar: key %u has length %u and %u rows of %u",
                             k, key_len(key), key->rows, rows);
        sum += key->rows;
        c->successors[k].count = 0;
    }
    if (sum != rows)
        return err_plain(err, -EBADMSG, "columnar: keys have %u rows, expected %u", sum, rows);
    return 0;
}

static int get_keys(struct columnar *c, struct bytes_reader *r, uint32_t rows, struct err *err)
{
    int rc = get_key_words(c, r, rows, err);

    for (uint32_t k = 0; rc == 0 && k < c->key_count; k++) {
        struct key *key = &c->keys[k];
        size_t len = key_len(key), mask = (len + 7) / 8;
        const uint8_t *p = bytes_take(r, 2 * mask + len);
        if (!p)
            return err_plain(err, -EBADMSG, "columnar: the masks of key %u are cut off", k);
        memcpy(key->changing, p, mask);
        memcpy(key->noisy, p + mask, mask);
        memcpy(key->first, p + 2 * mask, len);
    }
    return rc;
}

/* The key that follows `before` by its next rank, or -EBADMSG. `state` counts escapes and keys
 * seen so far. */
struct walk {
    const uint8_t *ranks, *escapes;
    uint32_t escapes_used, seen;
};

static int walk_step(struct columnar *c, struct walk *walk, uint32_t before, unsigned *ret_column)
{
    struct key *from = &c->keys[before];
    struct successors *s = &c->successors[before];
    unsigned rank = walk->ranks[from->start + from->used - 1];
    uint32_t key;

    if (rank < RANKS) {
        if (rank >= s->count)
            return -EBADMSG;
        key = s->key[rank];
    } else if (rank == RANK_ESCAPE) {
        if (walk->escapes_used == c->escape_count)
            return -EBADMSG;
        key = load_le16(walk->escapes + 2 * (size_t)walk->escapes_used++);
        if (key >= walk->seen || successors_rank(s, (uint16_t)key) < RANKS)
            return -EBADMSG;
        rank = RANKS;
    } else {
        if (rank != RANK_NEW || walk->seen == c->key_count)
            return -EBADMSG;
        key = walk->seen++;
        rank = RANKS;
    }
    *ret_column = before * COLUMNS + successors_step(s, rank, (uint16_t)key);
    return (int)key;
}

/* Fills row_key and row_column. Every key ends with exactly its rows: the sum is right and none
 * may have more. */
static int get_order(struct columnar *c, struct bytes_reader *r, uint32_t rows, struct err *err)
{
    struct walk walk = { bytes_take(r, rows), bytes_take(r, 2 * (size_t)c->escape_count), 0, 1 };
    uint32_t start = 0;
    int key = 0;

    if (r->failed)
        return err_plain(err, -EBADMSG, "columnar: the order of %u rows is cut off", rows);
    for (uint32_t k = 0; k < c->key_count; k++) {
        c->keys[k].start = start;
        start += c->keys[k].rows;
    }
    for (uint32_t i = 0; i < rows; i++) {
        unsigned column = 0;
        if (i)
            key = walk_step(c, &walk, (uint32_t)key, &column);
        if (key < 0 || c->keys[key].used == c->keys[key].rows)
            return err_plain(err, -EBADMSG, "columnar: the order is wrong at row %u of %u", i,
                             rows);
        c->keys[key].used++;
        c->row_key[i] = (uint16_t)key;
        c->row_column[i] = column;
    }
    struct key *last = &c->keys[key];
    if (walk.ranks[last->start + last->used - 1] || walk.escapes_used != c->escape_count)
        return err_plain(err, -EBADMSG, "columnar: the order goes on after row %u", rows);
    return 0;
}

/* Writes the 16 bytes of every row, leaves room for its data, notes its place. */
static int64_t put_heads(struct columnar *c, struct bytes_reader *r,
                         const struct codec_block *block, uint8_t *out, size_t size,
                         uint32_t *offsets)
{
    uint32_t gaps = block->rows - 1;
    const uint8_t *planes = bytes_take(r, (size_t)gaps * c->planes);
    uint64_t stamp = (uint64_t)block->first_stamp_ns;
    size_t at = 0;

    if (!planes)
        return -EBADMSG;
    for (uint32_t i = 0; i < block->rows; i++) {
        struct key *key = &c->keys[c->row_key[i]];
        uint64_t v = 0;
        uint32_t place_in = i ? c->columns[c->row_column[i]]++ : 0;
        for (uint32_t plane = 0; i && plane < c->planes; plane++)
            v = v << 8 | planes[(size_t)plane * gaps + place_in];
        stamp += (uint64_t)unzigzag(v) * c->unit;
        if (size - at < ROWBUF_HEAD_BYTES + (size_t)key_len(key))
            return -ENOBUFS;
        store_le64(out + at, stamp);
        store_le32(out + at + 8, (uint32_t)key->word);
        out[at + 12] = (uint8_t)(key->word >> 32);
        out[at + 13] = block->source;
        out[at + 14] = key_len(key);
        out[at + 15] = (uint8_t)(key->word >> 48);
        offsets[i] = (uint32_t)at;
        c->sorted[key->start + key->used++] = (uint32_t)at;
        at += ROWBUF_HEAD_BYTES + (size_t)key_len(key);
    }
    return (int64_t)at;
}

/* Takes the columns of a key off the calm or the noise part; NULL marks a constant one. */
static void get_columns(const struct key *key, struct bytes_reader *calm,
                        struct bytes_reader *noise, const uint8_t *columns[FRAME_DATA_MAX])
{
    for (unsigned b = 0; b < key_len(key); b++) {
        struct bytes_reader *from = bit(key->noisy, b) ? noise : calm;
        columns[b] = bit(key->changing, b) ? bytes_take(from, key->rows - 1) : NULL;
    }
}

static void put_key_data(const struct columnar *c, const struct key *key,
                         const uint8_t *const columns[FRAME_DATA_MAX], uint8_t *out)
{
    const uint8_t *before = key->first;
    size_t len = key_len(key);

    for (uint32_t i = 0; i < key->rows; i++) {
        uint8_t *data = out + c->sorted[key->start + i] + ROWBUF_HEAD_BYTES;
        for (size_t b = 0; b < len; b++)
            data[b] = (uint8_t)(before[b] + (i && columns[b] ? columns[b][i - 1] : 0));
        before = data;
    }
}

/* Bytes of the noise part: all that noisy columns hold. */
static size_t noise_bytes(const struct columnar *c)
{
    size_t bytes = 0;

    for (uint32_t k = 0; k < c->key_count; k++)
        for (unsigned b = 0; b < key_len(&c->keys[k]); b++)
            if (bit(c->keys[k].noisy, b) && bit(c->keys[k].changing, b))
                bytes += c->keys[k].rows - 1;
    return bytes;
}

static int get_data(struct columnar *c, struct bytes_reader *r, uint8_t *out, struct err *err)
{
    size_t noise_size = noise_bytes(c);

    if (noise_size > bytes_left(r))
        return err_plain(err, -EBADMSG, "columnar: %zu noise bytes, %zu are left", noise_size,
                         bytes_left(r));
    struct bytes_reader calm = bytes_reader_init(r->at, bytes_left(r) - noise_size);
    struct bytes_reader noise = bytes_reader_init(calm.end, noise_size);
    for (uint32_t k = 0; k < c->key_count; k++) {
        const uint8_t *columns[FRAME_DATA_MAX] = { 0 };
        get_columns(&c->keys[k], &calm, &noise, columns);
        if (calm.failed || noise.failed)
            return err_plain(err, -EBADMSG, "columnar: the data of key %u is cut off", k);
        put_key_data(c, &c->keys[k], columns, out);
    }
    if (bytes_left(&calm) || bytes_left(&noise))
        return err_plain(err, -EBADMSG, "columnar: %zu bytes after the last column",
                         bytes_left(&calm));
    return 0;
}

static int unpack(struct columnar *c, const struct codec_block *block, size_t *ret_size,
                  struct err *err)
{
    int64_t content = zpack_content(block->bytes, block->size);

    if (content < 0)
        return err_plain(err, -EBADMSG, "columnar: no zstd frame with a content size");
    if (content > BLOCK_BYTES_MAX)
        return err_plain(err, -EBADMSG, "columnar: declares %lld bytes, at most %d are allowed",
                         (long long)content, BLOCK_BYTES_MAX);
    int rc = zpack_decode(c->pack, block->bytes, block->size, c->calm, (size_t)content);
    if (rc < 0)
        return err_plain(err, rc, "columnar: the zstd frame is damaged");
    *ret_size = (size_t)content;
    return 0;
}

static int64_t columnar_decode(void *context, const struct codec_block *block, uint8_t *out,
                               size_t size, uint32_t *offsets, struct err *err)
{
    struct columnar *c = context;
    size_t content = 0;

    if (unpack(c, block, &content, err) < 0)
        return -EBADMSG;
    struct bytes_reader r = bytes_reader_init(c->calm, content);
    if (get_head(c, &r, block->rows, err) < 0 || get_keys(c, &r, block->rows, err) < 0 ||
        get_order(c, &r, block->rows, err) < 0)
        return -EBADMSG;
    place(c, block->rows);
    int64_t bytes = put_heads(c, &r, block, out, size, offsets);
    if (bytes == -EBADMSG)
        return err_plain(err, -EBADMSG, "columnar: the gaps are cut off");
    if (bytes < 0)
        return bytes;
    return get_data(c, &r, out, err) < 0 ? -EBADMSG : bytes;
}

const struct codec codec_columnar = { "columnar", columnar_encode, columnar_decode };
