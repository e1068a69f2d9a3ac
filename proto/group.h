/* group - the unit that a segment and the ring hold: a run of rows of all sources in their exact
 * order, encoded. One frames block per source that has rows, and an order block where the merge by
 * (stamp, source) departs from the true order. A group stands alone: no state crosses it.
 * Bytes: docs/FORMAT.md section 4. The encoded form is a whole record (tag, length, body, XXH3-64)
 * and is appended to a segment as it is. Everything that is read is bounded by proto/limits.h
 * before anything is allocated. A coder is used by one thread at a time. */
#ifndef PROTO_GROUP_H
#define PROTO_GROUP_H
#include "proto/err.h"
#include "proto/rowbuf.h"

#define GROUP_RECORD_BYTES_MAX (BLOCK_BYTES_MAX + 4194304) /* rows, and heads and order beside them */

enum codec_id {
    CODEC_ROWS = 0,     /* plain rows: the control, and what an overloaded encoder falls back to */
    CODEC_COLUMNAR = 1, /* columns per arbitration id in one zstd frame */
};
#define CODEC_COUNT 2

/* "rows", "columnar"; NULL for an unknown id. */
const char *codec_name(unsigned codec);
/* The codec of that name, or -EINVAL. */
int codec_from_name(const char *name);

struct group_head {
    uint32_t generation;
    uint32_t rows;
    int64_t offset_ns;
    uint64_t first_step, last_step;
    int64_t mono_floor_ns;              /* mono of the first row: nothing in the group is earlier */
    int64_t stamp_min_ns, stamp_max_ns; /* without offset */
    uint32_t blocks;                    /* frames blocks, 0..SOURCES_MAX */
};

struct group_block {
    uint8_t source;
    uint8_t codec; /* as stored: a block that columnar does not shrink is stored as rows */
    uint32_t rows;
    uint32_t tick_ns;
    int64_t first_stamp_ns, last_stamp_ns; /* of its first and last row */
    uint32_t bytes;                        /* encoded, head included */
};

struct group_config {
    uint8_t codec; /* enum codec_id */
    uint32_t generation;
    const struct source_table *sources; /* for the ticks; every source of a row must be in it */
};

/* Scratch memory for one encode or decode at a time. Address space for the largest group is taken at
 * once, pages only as far as groups are long: encoding 16,000 classic rows touches 2.2 MiB, the
 * 131,072 that a group may have 8.6 MiB. */
struct group_coder;

/* NULL when memory is short; close takes NULL. */
struct group_coder *group_coder_open(void);
void group_coder_close(struct group_coder *coder);

/* Upper bound of the encoded size of these rows with any codec. */
size_t group_bound(const struct rowbuf *rows);

/* Encodes all rows (at least one) into out[0..size), which may be NULL to use the coder's own
 * buffer: see group_bytes. Returns the bytes of the record; -ENOBUFS when out is too small,
 * -EINVAL for no rows, an unknown codec or a source that the table does not have; -EFBIG when the
 * rows cannot form a legal block (more than BLOCK_BYTES_MAX of row bytes). */
int64_t group_encode(struct group_coder *coder, const struct group_config *config,
                     const struct rowbuf *rows, uint8_t *out, size_t size);
/* The record of the last group_encode with out NULL; borrowed until the next call on the coder. */
const uint8_t *group_bytes(const struct group_coder *coder);

/* Reads the heads only (hash of the record checked when `verify`). `record` is the whole record.
 * ret_blocks may be NULL, else has SOURCES_MAX places. Returns 0 or -EBADMSG with *err filled. */
int group_peek(const uint8_t *record, size_t size, bool verify, struct group_head *ret_head,
               struct group_block *ret_blocks, struct err *err);

/* Clears *ret_rows and fills it with the rows in step order. Every hash, count, index and size is
 * checked. Returns 0; -EBADMSG with *err filled (what, and in which block); -ENOBUFS when ret_rows
 * is smaller than the group, -ENOMEM. On failure ret_rows is empty. */
int group_decode(struct group_coder *coder, const uint8_t *record, size_t size,
                 struct group_head *ret_head, struct rowbuf *ret_rows, struct err *err);

#endif
