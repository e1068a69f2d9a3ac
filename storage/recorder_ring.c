#include "storage/recorder_inside.h"

#include <errno.h>

static void evict(struct recorder *recorder)
{
    struct recorder_block *block = ring_block(recorder, 0);

    if (!recorder->evicted || block->span.mapped_max_ns > recorder->evicted_max_ns)
        recorder->evicted_max_ns = block->span.mapped_max_ns;
    recorder->evicted = true;
    recorder->ring_at = (recorder->ring_at + 1) % RING_BLOCKS_MAX;
    recorder->ring_count--;
    recorder->ring_bytes -= block_cost(block);
    recorder->stats.groups_evicted++;
    block_drop(block);
}

void ring_push(struct recorder *recorder, struct recorder_block *block)
{
    if (recorder->ring_count == RING_BLOCKS_MAX)
        evict(recorder);
    recorder->ring[(recorder->ring_at + recorder->ring_count) % RING_BLOCKS_MAX] = block;
    recorder->ring_count++;
    recorder->ring_bytes += block_cost(block);
    /* The newest block stays even if it alone is too large: the clip that is to be cut needs it. */
    while (recorder->ring_bytes > recorder->config.ring_bytes && recorder->ring_count > 1)
        evict(recorder);
}

int64_t ring_reach(const struct recorder *recorder)
{
    if (!recorder->evicted || recorder->evicted_max_ns == INT64_MAX)
        return INT64_MIN;
    return recorder->evicted_max_ns + 1;
}

int ring_state(struct recorder *recorder, int64_t from_ns, int64_t *ret_at_ns, size_t *ret_size)
{
    for (size_t i = 0; i < recorder->ring_count; i++) {
        const struct recorder_block *block = ring_block(recorder, i);
        int rc = statelog_find(block->states, block->states_bytes, from_ns, ret_at_ns,
                               recorder->state_scratch, CLIP_STATE_BYTES_MAX, ret_size);
        if (rc)
            return rc;
    }
    return statelog_find(recorder->states.bytes, recorder->states.size, from_ns, ret_at_ns,
                         recorder->state_scratch, CLIP_STATE_BYTES_MAX, ret_size);
}

/* Goes over the rows of the group in which the clip begins: those before it are seeds, the first one
 * inside gives its place. */
static void place_in(struct recorder *recorder, const struct rowbuf *rows, int64_t start_ns,
                     struct clip_header *header)
{
    struct rowbuf_cursor cursor = rowbuf_begin(rows);
    int64_t mono_before_ns = header->mono_floor_ns;
    bool found = false;
    struct row row;

    while (rowbuf_next(rows, &cursor, &row)) {
        if (row_mapped_ns(&row) < start_ns) {
            seeds_cut_put(&recorder->seeds, &row);
        } else if (!found) {
            found = true;
            header->first_step = row.step;
            header->offset_ns = row.offset_ns;
            header->mono_floor_ns = mono_before_ns;
        }
        mono_before_ns = row.mono_ns;
    }
    if (!found) {
        header->first_step = recorder->next_step;
        header->mono_floor_ns = mono_before_ns;
    }
}

static int place_in_block(struct recorder *recorder, const struct recorder_block *block,
                          int64_t start_ns, struct clip_header *header)
{
    struct group_head head;
    struct err err;

    header->first_step = block->span.first_step;
    header->mono_floor_ns = block->span.mono_before_ns;
    header->offset_ns = block->span.offset_ns;
    int rc = seeds_cut_begin(&recorder->seeds, block->seeds, block->seeds_bytes);
    if (rc || block->span.mapped_min_ns >= start_ns)
        return rc;
    rc = group_decode(recorder->coder, block->bytes, block->size, &head, recorder->decoded, &err);
    if (!rc)
        place_in(recorder, recorder->decoded, start_ns, header);
    return rc;
}

int ring_place(struct recorder *recorder, int64_t start_ns, struct clip_header *header)
{
    for (size_t i = 0; i < recorder->ring_count; i++) {
        const struct recorder_block *block = ring_block(recorder, i);
        if (block->span.mapped_max_ns >= start_ns)
            return place_in_block(recorder, block, start_ns, header);
    }
    int rc = seeds_cut_begin(&recorder->seeds, recorder->open.seeds, recorder->open.seeds_bytes);
    if (rc)
        return rc;
    header->mono_floor_ns = recorder->open.begun ? recorder->open.span.mono_before_ns
                                                 : recorder->mono_ns;
    header->first_step = recorder->next_step;
    place_in(recorder, recorder->rows, start_ns, header);
    return 0;
}
