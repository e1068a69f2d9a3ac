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

/* Goes over the rows of a group: those before the clip's first are seeds, the first one inside gives
 * its place, and stragglers after it are kept as such. */
static void place_in(struct recorder *recorder, const struct rowbuf *rows, int64_t start_ns,
                     struct clip_header *header, bool *found)
{
    struct rowbuf_cursor cursor = rowbuf_begin(rows);
    int64_t mono_before_ns = header->mono_floor_ns;
    struct row row;

    while (rowbuf_next(rows, &cursor, &row)) {
        bool inside = row_mapped_ns(&row) >= start_ns;

        if (!inside && *found)
            seeds_cut_late(&recorder->seeds, &row);
        else if (!inside)
            seeds_cut_put(&recorder->seeds, &row);
        if (inside && !*found) {
            *found = true;
            header->first_step = row.step;
            header->offset_ns = row.offset_ns;
            header->mono_floor_ns = mono_before_ns;
        }
        mono_before_ns = row.mono_ns;
    }
    if (!*found)
        header->mono_floor_ns = mono_before_ns;
}

/* A group that begins at or after the first row inside, and holds rows from before the start, is
 * looked through for them; without any it need not be decoded. */
static int place_in_block(struct recorder *recorder, const struct recorder_block *block,
                          int64_t start_ns, struct clip_header *header, bool *found)
{
    struct group_head head;
    struct err err;
    int rc = 0;

    if (!*found) {
        header->first_step = block->span.first_step;
        header->mono_floor_ns = block->span.mono_before_ns;
        header->offset_ns = block->span.offset_ns;
        rc = seeds_cut_begin(&recorder->seeds, block->seeds, block->seeds_bytes);
    }
    if (!rc && block->span.mapped_min_ns < start_ns)
        rc = group_decode(recorder->coder, block->bytes, block->size, &head, recorder->decoded,
                          &err);
    if (!rc && block->span.mapped_min_ns < start_ns)
        place_in(recorder, recorder->decoded, start_ns, header, found);
    *found = true;
    return rc;
}

int ring_place(struct recorder *recorder, int64_t start_ns, struct clip_header *header)
{
    bool found = false;
    int rc = 0;

    for (size_t i = 0; !rc && i < recorder->ring_count; i++) {
        const struct recorder_block *block = ring_block(recorder, i);
        if (found || block->span.mapped_max_ns >= start_ns)
            rc = place_in_block(recorder, block, start_ns, header, &found);
    }
    if (rc || (found && recorder->open.begun && recorder->open.span.mapped_min_ns >= start_ns))
        return rc;
    if (!found) {
        header->first_step = recorder->next_step;
        header->mono_floor_ns = recorder->open.begun ? recorder->open.span.mono_before_ns
                                                     : recorder->mono_ns;
        rc = recorder->open.begun
                 ? seeds_cut_begin(&recorder->seeds, recorder->open.seeds,
                                   recorder->open.seeds_bytes)
                 : seeds_cut_now(&recorder->seeds);
    }
    if (!rc)
        place_in(recorder, recorder->rows, start_ns, header, &found);
    return rc;
}
