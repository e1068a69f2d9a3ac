/* rowbuf - a bounded buffer of compact rows in step order: the recorder's open rows, a cut of them,
 * and what a decoded group gives back.
 * A row costs 16 bytes and its data. Steps and mono times are kept exactly but cost nothing where
 * they follow from the row before (step one more, mono = max(mono before, stamp + offset)); where
 * they do not, a mark of ROWBUF_MARK_BYTES stands before the row. All rows of one buffer share one
 * offset_ns. No clock, no thread: the owner is one thread. Memory is allocated at open only. */
#ifndef PROTO_ROWBUF_H
#define PROTO_ROWBUF_H
#include "proto/bytes.h"
#include "proto/frame.h"

#include <stddef.h>

#define ROWBUF_HEAD_BYTES 16
#define ROWBUF_MARK_BYTES 24
#define ROWBUF_ROWS_MAX BLOCK_ROWS_MAX
#define ROWBUF_BYTES_MAX 16777216 /* 8 MiB of rows, and room for marks */

struct rowbuf;

/* What is known of the rows held; all 0 when empty. */
struct rowbuf_info {
    uint32_t rows;
    uint32_t marks;                   /* rows whose step or mono is not implied */
    size_t bytes;                     /* in use, marks included */
    size_t row_bytes;                 /* sum of frame_row_bytes: what limits count */
    uint64_t first_step, last_step;
    int64_t offset_ns;
    int64_t mono_first_ns, mono_last_ns;
    int64_t stamp_min_ns, stamp_max_ns; /* as the sources gave them, without offset */
    uint32_t source_rows[SOURCES_MAX];
};

/* Iterates in step order; a value that the caller owns. Valid while nothing is put or cleared. */
struct rowbuf_cursor {
    size_t at;
    uint64_t next_step;
    int64_t mono_ns;
};

/* Room for capacity_bytes (64..ROWBUF_BYTES_MAX) of rows. NULL when memory is short or the
 * capacity is out of range. rowbuf_close takes NULL. */
struct rowbuf *rowbuf_open(size_t capacity_bytes);
void rowbuf_close(struct rowbuf *buf);
void rowbuf_clear(struct rowbuf *buf);

/* Copies *row in. Returns 0; -ENOBUFS when it does not fit or ROWBUF_ROWS_MAX rows are held;
 * -EINVAL when its step is not after the last one, its offset is not that of the rows held, its
 * mono runs back, or the frame is malformed (source, len, dlc or id out of range). The buffer is
 * untouched on failure. */
int rowbuf_put(struct rowbuf *buf, const struct row *row);

void rowbuf_info(const struct rowbuf *buf, struct rowbuf_info *ret_info);
uint32_t rowbuf_count(const struct rowbuf *buf);

struct rowbuf_cursor rowbuf_begin(const struct rowbuf *buf);
/* Gives the next row; false at the end, with *ret_row untouched. */
bool rowbuf_next(const struct rowbuf *buf, struct rowbuf_cursor *cursor, struct row *ret_row);

/* The plain form of the next row, borrowed: ROWBUF_HEAD_BYTES (stamp i64, id u32, flags u8, source
 * u8, len u8, dlc u8; little-endian) and its data; NULL at the end. The cursor then says step and
 * mono of that row: next_step - 1, mono_ns. */
const uint8_t *rowbuf_peek(const struct rowbuf *buf, struct rowbuf_cursor *cursor);

static inline int64_t plain_stamp(const uint8_t *row) { return (int64_t)load_le64(row); }
static inline uint32_t plain_id(const uint8_t *row) { return load_le32(row + 8); }
static inline uint8_t plain_flags(const uint8_t *row) { return row[12]; }
static inline uint8_t plain_source(const uint8_t *row) { return row[13]; }
static inline uint8_t plain_len(const uint8_t *row) { return row[14]; }
static inline uint8_t plain_dlc(const uint8_t *row) { return row[15]; }

/* Between the plain form and a frame. plain_from_frame writes 16 + len bytes and returns them. */
size_t plain_from_frame(const struct frame *frame, uint8_t *row);
void plain_to_frame(const uint8_t *row, struct frame *ret_frame);

/* -EINVAL when the frame breaks an invariant of frame.h, else 0: id in range for its flags, len
 * and dlc consistent with the kind (an RTR frame has len 0 and dlc 0..15), data beyond len zero. */
int frame_check(const struct frame *frame);
/* Whether name[0..length) may name a source: 1 to SOURCE_NAME_MAX - 1 of [A-Za-z0-9_.-]. */
bool source_name_fits(const char *name, size_t length);

#endif
