#include "storage/seeds.h"

#include "proto/bytes.h"
#include "storage/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SAVED_HEAD 41 /* step, mono, offset, stamp, id, flags, source, len, dlc */
#define ROOM_FIRST 256
#define NONE UINT64_MAX /* as a step: no row */

static uint32_t key_hash(const struct frame *frame)
{
    uint32_t h = (frame->id ^ (uint32_t)frame->source << 24 ^
                  (frame->flags & FRAME_EFF ? UINT32_C(1) << 31 : 0)) * UINT32_C(2654435761);

    return h ^ h >> 15;
}

static bool same_key(const struct frame *a, const struct frame *b)
{
    return a->id == b->id && a->source == b->source && !((a->flags ^ b->flags) & FRAME_EFF);
}

/* The slot of that key, or the free one where it belongs. */
static uint32_t find(const struct seeds *seeds, const struct frame *frame)
{
    uint32_t at = key_hash(frame) & seeds->slot_mask;

    while (seeds->slots[at] && !same_key(&seeds->rows[seeds->slots[at] - 1].frame, frame))
        at = (at + 1) & seeds->slot_mask;
    return at;
}

static int grow(struct seeds *seeds, uint32_t room)
{
    struct seeds next = { .count = seeds->count, .room = room, .slot_mask = 2 * room - 1,
                          .dropped = seeds->dropped };

    next.slots = calloc((size_t)2 * room, sizeof *next.slots);
    next.rows = calloc(room, sizeof *next.rows);
    next.cut = calloc(room, sizeof *next.cut);
    next.late = calloc(SEEDS_LATE_MAX, sizeof *next.late);
    next.out = calloc((size_t)room + SEEDS_LATE_MAX, sizeof *next.out);
    if (!next.slots || !next.rows || !next.cut || !next.late || !next.out) {
        seeds_deinit(&next);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < seeds->count; i++) {
        next.rows[i] = seeds->rows[i];
        next.cut[i] = seeds->cut[i];
        next.slots[find(&next, &seeds->rows[i].frame)] = i + 1;
    }
    seeds_deinit(seeds);
    *seeds = next;
    return 0;
}

int seeds_init(struct seeds *seeds)
{
    memset(seeds, 0, sizeof *seeds);
    return grow(seeds, ROOM_FIRST);
}

void seeds_deinit(struct seeds *seeds)
{
    free(seeds->slots);
    free(seeds->rows);
    free(seeds->cut);
    free(seeds->late);
    free(seeds->out);
    memset(seeds, 0, sizeof *seeds);
}

/* Index of the frame's key, which becomes known if it was not; -1 when there is no room. */
static int64_t index_of(struct seeds *seeds, const struct frame *frame)
{
    uint32_t at = find(seeds, frame);

    if (seeds->slots[at])
        return (int64_t)seeds->slots[at] - 1;
    if (seeds->count == seeds->room) {
        if (seeds->room >= RECORDER_KEYS_MAX || grow(seeds, 2 * seeds->room)) {
            seeds->dropped++;
            return -1;
        }
        at = find(seeds, frame);
    }
    uint32_t index = seeds->count++;
    seeds->slots[at] = index + 1;
    seeds->rows[index].frame = *frame; /* the key, until the row itself is put */
    seeds->rows[index].step = NONE;
    seeds->cut[index].step = NONE;
    return index;
}

static bool seen_by_rules(const struct frame *frame)
{
    return !(frame->flags & (FRAME_RTR | FRAME_ERR | FRAME_LATE));
}

void seeds_put(struct seeds *seeds, const struct row *row)
{
    int64_t index = seen_by_rules(&row->frame) ? index_of(seeds, &row->frame) : -1;

    if (index >= 0)
        seeds->rows[index] = *row;
}

static uint8_t *save_row(uint8_t *at, const struct row *row)
{
    const struct frame *frame = &row->frame;

    store_le64(at, row->step);
    store_le64(at + 8, (uint64_t)row->mono_ns);
    store_le64(at + 16, (uint64_t)row->offset_ns);
    store_le64(at + 24, (uint64_t)frame->stamp_ns);
    store_le32(at + 32, frame->id);
    store_le16(at + 36, frame->flags);
    at[38] = frame->source;
    at[39] = frame->len;
    at[40] = frame->dlc;
    memcpy(at + SAVED_HEAD, frame->data, frame->len);
    return at + SAVED_HEAD + frame->len;
}

int seeds_save(const struct seeds *seeds, uint8_t **ret_bytes, size_t *ret_size)
{
    size_t size = 0;

    for (uint32_t i = 0; i < seeds->count; i++)
        if (seeds->rows[i].step != NONE)
            size += (size_t)SAVED_HEAD + seeds->rows[i].frame.len;
    uint8_t *bytes = size ? malloc(size) : NULL, *at = bytes;
    if (size && !bytes)
        return -ENOMEM;
    for (uint32_t i = 0; i < seeds->count; i++)
        if (at && seeds->rows[i].step != NONE)
            at = save_row(at, &seeds->rows[i]);
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

static bool load_row(struct bytes_reader *reader, struct row *ret_row)
{
    struct frame *frame = &ret_row->frame;

    memset(ret_row, 0, sizeof *ret_row);
    ret_row->step = bytes_u64(reader);
    ret_row->mono_ns = (int64_t)bytes_u64(reader);
    ret_row->offset_ns = (int64_t)bytes_u64(reader);
    frame->stamp_ns = (int64_t)bytes_u64(reader);
    frame->id = bytes_u32(reader);
    frame->flags = bytes_u16(reader);
    frame->source = bytes_u8(reader);
    frame->len = bytes_u8(reader);
    frame->dlc = bytes_u8(reader);
    if (frame->len > FRAME_DATA_MAX)
        return false;
    const uint8_t *data = bytes_take(reader, frame->len);
    if (data)
        memcpy(frame->data, data, frame->len);
    return !reader->failed;
}

int seeds_cut_begin(struct seeds *seeds, const uint8_t *saved, size_t size)
{
    struct bytes_reader reader = bytes_reader_init(saved, size);
    struct row row;

    seeds->late_count = 0;
    for (uint32_t i = 0; i < seeds->room; i++)
        seeds->cut[i].step = NONE;
    while (bytes_left(&reader)) {
        if (!load_row(&reader, &row))
            return -EBADMSG;
        seeds_cut_put(seeds, &row);
    }
    return 0;
}

int seeds_cut_now(struct seeds *seeds)
{
    seeds->late_count = 0;
    for (uint32_t i = 0; i < seeds->room; i++)
        seeds->cut[i].step = NONE;
    for (uint32_t i = 0; i < seeds->count; i++)
        seeds->cut[i] = seeds->rows[i];
    return 0;
}

void seeds_cut_put(struct seeds *seeds, const struct row *row)
{
    uint32_t slot = seeds->slots[find(seeds, &row->frame)];

    if (slot && seen_by_rules(&row->frame))
        seeds->cut[slot - 1] = *row;
}

void seeds_cut_late(struct seeds *seeds, const struct row *row)
{
    if (seeds->late_count == SEEDS_LATE_MAX)
        seeds_cut_put(seeds, row);
    else
        seeds->late[seeds->late_count++] = *row;
}

static int by_step(const void *a, const void *b)
{
    uint64_t x = ((const struct row *)a)->step, y = ((const struct row *)b)->step;

    return x < y ? -1 : x > y;
}

const struct row *seeds_cut_take(struct seeds *seeds, uint32_t *ret_count)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < seeds->count; i++)
        if (seeds->cut[i].step != NONE)
            seeds->out[count++] = seeds->cut[i];
    for (uint32_t i = 0; i < seeds->late_count; i++)
        seeds->out[count++] = seeds->late[i];
    if (count)
        qsort(seeds->out, count, sizeof *seeds->out, by_step);
    *ret_count = count;
    return seeds->out;
}
