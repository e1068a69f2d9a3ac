#include "storage/block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct recorder_block *block_open(const uint8_t *bytes, size_t size)
{
    struct recorder_block *block = calloc(1, sizeof *block);

    if (!block)
        return NULL;
    block->bytes = malloc(size ? size : 1);
    if (!block->bytes) {
        free(block);
        return NULL;
    }
    if (bytes && size)
        memcpy(block->bytes, bytes, size);
    block->size = size;
    block->refs = 1;
    return block;
}

void block_hold(struct recorder_block *block)
{
    assert(block->refs > 0);
    block->refs++;
}

void block_drop(struct recorder_block *block)
{
    if (!block)
        return;
    assert(block->refs > 0);
    if (--block->refs)
        return;
    if (block->header)
        clip_header_deinit(block->header);
    if (block->manifest)
        clip_manifest_deinit(block->manifest);
    free(block->header);
    free(block->manifest);
    free(block->seeds);
    free(block->states);
    free(block->bytes);
    free(block);
}

size_t block_cost(const struct recorder_block *block)
{
    return sizeof *block + block->size + block->seeds_bytes + block->states_bytes;
}

void block_count_row(struct block_counts *counts, const struct row *row)
{
    const struct frame *frame = &row->frame;

    counts->frames++;
    counts->row_bytes += frame_row_bytes(frame);
    counts->stored[frame->source]++;
    if (frame->flags & FRAME_LATE)
        counts->late[frame->source]++;
    if (frame->flags & FRAME_ERR)
        counts->errors[frame->source]++;
    if (row_mapped_ns(row) < row->mono_ns && !(frame->flags & FRAME_LATE))
        counts->clamped++;
}

void block_count_add(struct block_counts *to, const struct block_counts *from)
{
    to->frames += from->frames;
    to->row_bytes += from->row_bytes;
    to->clamped += from->clamped;
    for (unsigned i = 0; i < SOURCES_MAX; i++) {
        to->stored[i] += from->stored[i];
        to->late[i] += from->late[i];
        to->errors[i] += from->errors[i];
    }
}
