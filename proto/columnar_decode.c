/* A columnar block back into rows. Every count and index is checked before it is used; what is left
 * to say about a frame (id, dlc) is for rowbuf_put. */
#include "proto/columnar.h"

#include <errno.h>

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
        struct bytes_reader *from = mask_bit(key->noisy, b) ? noise : calm;
        columns[b] = mask_bit(key->changing, b) ? bytes_take(from, key->rows - 1) : NULL;
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
            if (mask_bit(c->keys[k].noisy, b) && mask_bit(c->keys[k].changing, b))
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

int64_t columnar_decode(void *context, const struct codec_block *block, uint8_t *out,
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
    columnar_place(c, block->rows);
    int64_t bytes = put_heads(c, &r, block, out, size, offsets);
    if (bytes == -EBADMSG)
        return err_plain(err, -EBADMSG, "columnar: the gaps are cut off");
    if (bytes < 0)
        return bytes;
    return get_data(c, &r, out, err) < 0 ? -EBADMSG : bytes;
}
