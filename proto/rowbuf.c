#include "proto/rowbuf.h"

#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 64
#define MARK_LEN 0xff /* in the place of len: this is a mark, not a row */

/* Invariants:
 * 1. bytes[0..used) is a sequence of rows (16 + len bytes) and marks (24 bytes); a mark is always
 *    followed by a row.
 * 2. A row without a mark has the step after the row before it, and mono = max(mono of the row
 *    before it, stamp + offset); the first row has info.first_step and info.mono_first_ns. */
struct rowbuf {
    uint8_t *bytes;
    size_t capacity;
    struct rowbuf_info info;
};

struct rowbuf *rowbuf_open(size_t capacity_bytes)
{
    if (capacity_bytes < CAPACITY_MIN || capacity_bytes > ROWBUF_BYTES_MAX)
        return NULL;
    struct rowbuf *buf = calloc(1, sizeof *buf);
    if (!buf)
        return NULL;
    buf->capacity = capacity_bytes;
    buf->bytes = malloc(capacity_bytes);
    if (!buf->bytes) {
        rowbuf_close(buf);
        return NULL;
    }
    return buf;
}

void rowbuf_close(struct rowbuf *buf)
{
    if (!buf)
        return;
    free(buf->bytes);
    free(buf);
}

void rowbuf_clear(struct rowbuf *buf) { memset(&buf->info, 0, sizeof buf->info); }

static bool id_fits(const struct frame *frame)
{
    if (frame->flags & (FRAME_EFF | FRAME_ERR))
        return frame->id < UINT32_C(1) << 29;
    return frame->id < UINT32_C(1) << 11;
}

static bool length_fits(const struct frame *frame)
{
    bool fd = frame->flags & FRAME_FD;

    if (frame->dlc > 15)
        return false;
    if (frame->flags & FRAME_RTR)
        return !fd && frame->len == 0;
    return frame->len == frame_dlc_to_len(frame->dlc, fd);
}

int frame_check(const struct frame *frame)
{
    if (frame->flags > 0xff || frame->source >= SOURCES_MAX || !id_fits(frame))
        return -EINVAL;
    if (frame->flags & (FRAME_BRS | FRAME_ESI) && !(frame->flags & FRAME_FD))
        return -EINVAL;
    if (!length_fits(frame))
        return -EINVAL;
    for (size_t i = frame->len; i < FRAME_DATA_MAX; i++)
        if (frame->data[i])
            return -EINVAL;
    return 0;
}

bool source_name_fits(const char *name, size_t length)
{
    if (length < 1 || length >= SOURCE_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

size_t plain_from_frame(const struct frame *frame, uint8_t *row)
{
    store_le64(row, (uint64_t)frame->stamp_ns);
    store_le32(row + 8, frame->id);
    row[12] = (uint8_t)frame->flags;
    row[13] = frame->source;
    row[14] = frame->len;
    row[15] = frame->dlc;
    memcpy(row + ROWBUF_HEAD_BYTES, frame->data, frame->len);
    return ROWBUF_HEAD_BYTES + (size_t)frame->len;
}

void plain_to_frame(const uint8_t *row, struct frame *ret_frame)
{
    uint8_t len = plain_len(row) <= FRAME_DATA_MAX ? plain_len(row) : FRAME_DATA_MAX;

    *ret_frame = (struct frame){ .stamp_ns = plain_stamp(row), .id = plain_id(row),
                                 .flags = plain_flags(row), .source = plain_source(row),
                                 .len = len, .dlc = plain_dlc(row) };
    memcpy(ret_frame->data, row + ROWBUF_HEAD_BYTES, len);
}

/* Wraps instead of overflowing: stamps are input. */
static int64_t mapped(int64_t stamp_ns, int64_t offset_ns)
{
    return (int64_t)((uint64_t)stamp_ns + (uint64_t)offset_ns);
}

static int64_t mono_after(int64_t before_ns, int64_t stamp_ns, int64_t offset_ns)
{
    int64_t at = mapped(stamp_ns, offset_ns);
    return at > before_ns ? at : before_ns;
}

static bool needs_mark(const struct rowbuf_info *info, const struct row *row)
{
    return info->rows && (row->step != info->last_step + 1 ||
                          row->mono_ns != mono_after(info->mono_last_ns, row->frame.stamp_ns,
                                                     row->offset_ns));
}

static void note_row(struct rowbuf_info *info, const struct row *row)
{
    const struct frame *frame = &row->frame;

    if (!info->rows) {
        info->first_step = row->step;
        info->offset_ns = row->offset_ns;
        info->mono_first_ns = row->mono_ns;
        info->stamp_min_ns = info->stamp_max_ns = frame->stamp_ns;
    }
    if (frame->stamp_ns < info->stamp_min_ns)
        info->stamp_min_ns = frame->stamp_ns;
    if (frame->stamp_ns > info->stamp_max_ns)
        info->stamp_max_ns = frame->stamp_ns;
    info->last_step = row->step;
    info->mono_last_ns = row->mono_ns;
    info->rows++;
    info->row_bytes += frame_row_bytes(frame);
    info->source_rows[frame->source]++;
}

static bool follows(const struct rowbuf_info *info, const struct row *row)
{
    return !info->rows || (row->step > info->last_step && row->offset_ns == info->offset_ns &&
                           row->mono_ns >= info->mono_last_ns);
}

int rowbuf_put(struct rowbuf *buf, const struct row *row)
{
    struct rowbuf_info *info = &buf->info;

    if (frame_check(&row->frame) < 0 || !follows(info, row))
        return -EINVAL;
    bool mark = needs_mark(info, row);
    size_t need = frame_row_bytes(&row->frame) + (mark ? ROWBUF_MARK_BYTES : 0u);
    if (info->rows >= ROWBUF_ROWS_MAX || buf->capacity - info->bytes < need)
        return -ENOBUFS;
    uint8_t *at = buf->bytes + info->bytes;
    if (mark) {
        memset(at, 0, ROWBUF_MARK_BYTES);
        store_le64(at, row->step);
        at[14] = MARK_LEN;
        store_le64(at + 16, (uint64_t)row->mono_ns);
        at += ROWBUF_MARK_BYTES;
        info->marks++;
    }
    (void)plain_from_frame(&row->frame, at);
    info->bytes += need;
    note_row(info, row);
    return 0;
}

void rowbuf_info(const struct rowbuf *buf, struct rowbuf_info *ret_info) { *ret_info = buf->info; }

uint32_t rowbuf_count(const struct rowbuf *buf) { return buf->info.rows; }

struct rowbuf_cursor rowbuf_begin(const struct rowbuf *buf)
{
    return (struct rowbuf_cursor){ 0, buf->info.first_step, buf->info.mono_first_ns };
}

const uint8_t *rowbuf_peek(const struct rowbuf *buf, struct rowbuf_cursor *cursor)
{
    if (cursor->at >= buf->info.bytes)
        return NULL;
    const uint8_t *at = buf->bytes + cursor->at;
    if (at[14] == MARK_LEN) {
        cursor->next_step = load_le64(at);
        cursor->mono_ns = (int64_t)load_le64(at + 16);
        at += ROWBUF_MARK_BYTES;
    } else if (cursor->at) {
        cursor->mono_ns = mono_after(cursor->mono_ns, plain_stamp(at), buf->info.offset_ns);
    }
    cursor->next_step++;
    cursor->at = (size_t)(at - buf->bytes) + ROWBUF_HEAD_BYTES + plain_len(at);
    return at;
}

bool rowbuf_next(const struct rowbuf *buf, struct rowbuf_cursor *cursor, struct row *ret_row)
{
    const uint8_t *at = rowbuf_peek(buf, cursor);

    if (!at)
        return false;
    ret_row->step = cursor->next_step - 1;
    ret_row->mono_ns = cursor->mono_ns;
    ret_row->offset_ns = buf->info.offset_ns;
    plain_to_frame(at, &ret_row->frame);
    return true;
}
