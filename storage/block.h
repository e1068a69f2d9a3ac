/* block - encoded bytes that ring, clips and the store share by counting references, with what the
 * recorder must know of them without decoding: steps, mapped times, counts, and (for a group) the
 * seeds and life-cycle states that a cut inside it needs.
 * Owner: the encode thread; the store only reads bytes and hands the pointer back. */
#ifndef STORAGE_BLOCK_H
#define STORAGE_BLOCK_H
#include "proto/clip.h"
#include "proto/frame.h"

/* What is counted of rows, for the manifest's completeness. */
struct block_counts {
    uint64_t frames, row_bytes, clamped;
    uint32_t stored[SOURCES_MAX], late[SOURCES_MAX], errors[SOURCES_MAX];
};

struct block_span {
    uint64_t first_step, last_step;
    int64_t mapped_min_ns, mapped_max_ns; /* stamp + offset */
    int64_t mono_before_ns; /* of the row before the first; of the first when none was */
    int64_t offset_ns;
    uint32_t generation;
};

struct recorder_block {
    uint32_t refs;
    size_t size;
    uint8_t *bytes;
    struct block_span span;
    struct block_counts counts;
    uint8_t *seeds; /* seeds_save text; NULL when none */
    size_t seeds_bytes;
    uint8_t *states; /* statelog text; NULL when none */
    size_t states_bytes;
    struct clip_header *header;     /* of a BEGIN piece */
    struct clip_manifest *manifest; /* of an END piece */
};

/* A block with one reference and a copy of the bytes (NULL: room for them), or NULL. */
struct recorder_block *block_open(const uint8_t *bytes, size_t size);
void block_hold(struct recorder_block *block);
/* Gives a reference back; the last one frees. Takes NULL. */
void block_drop(struct recorder_block *block);
/* All memory that it holds: what a budget counts. */
size_t block_cost(const struct recorder_block *block);

void block_count_row(struct block_counts *counts, const struct row *row);
void block_count_add(struct block_counts *to, const struct block_counts *from);

static inline int64_t row_mapped_ns(const struct row *row)
{
    int64_t mapped_ns;

    if (__builtin_add_overflow(row->frame.stamp_ns, row->offset_ns, &mapped_ns))
        return row->mono_ns;
    return mapped_ns;
}

#endif
