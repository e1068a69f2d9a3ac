#include "daemon/merge.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct held {
    struct frame frame;
    uint32_t next; /* of the same source, or of the free list */
};

struct merge {
    struct held *held;
    uint32_t capacity, free_head, count;
    uint32_t first[SOURCES_MAX], last[SOURCES_MAX]; /* a queue a source; NONE when empty */
    int64_t closed_ns;
    uint32_t to_flush; /* frames from before a clock step: they may leave although time is open */
    bool to_force;     /* one may, because a put found no room */
    uint64_t late, forced;
};

int merge_open(struct merge **ret_merge, uint32_t frames)
{
    if (frames < 2 || frames > MERGE_FRAMES_MAX)
        return -ERANGE;
    struct merge *merge = calloc(1, sizeof *merge);
    struct held *held = calloc(frames, sizeof *held);
    if (!merge || !held) {
        free(merge);
        free(held);
        return -ENOMEM;
    }
    merge->held = held;
    merge->capacity = frames;
    for (uint32_t i = 0; i < frames; i++)
        held[i].next = i + 1 < frames ? i + 1 : NONE;
    for (uint32_t s = 0; s < SOURCES_MAX; s++)
        merge->first[s] = merge->last[s] = NONE;
    merge->closed_ns = INT64_MIN;
    *ret_merge = merge;
    return 0;
}

void merge_close(struct merge *merge)
{
    if (!merge)
        return;
    free(merge->held);
    free(merge);
}

size_t merge_memory_bytes(const struct merge *merge)
{
    return sizeof *merge + (size_t)merge->capacity * sizeof *merge->held;
}

int merge_put(struct merge *merge, const struct frame *frame)
{
    uint32_t at = merge->free_head, source = frame->source;

    assert(source < SOURCES_MAX);
    if (at == NONE) {
        merge->to_force = true;
        return -EAGAIN;
    }
    struct held *held = &merge->held[at];
    merge->free_head = held->next;
    held->frame = *frame;
    held->next = NONE;
    if (merge->last[source] == NONE)
        merge->first[source] = at;
    else
        merge->held[merge->last[source]].next = at;
    merge->last[source] = at;
    merge->count++;
    if (frame->stamp_ns <= merge->closed_ns) {
        held->frame.flags |= FRAME_LATE;
        merge->late++;
    }
    return 0;
}

void merge_advance(struct merge *merge, int64_t stamp_ns)
{
    if (stamp_ns > merge->closed_ns)
        merge->closed_ns = stamp_ns;
}

void merge_flush(struct merge *merge)
{
    merge->closed_ns = INT64_MIN;
    merge->to_flush = merge->count;
}

/* At most SOURCES_MAX heads, so a scan is as good as a heap and easier to trust. */
static uint32_t least_head(const struct merge *merge)
{
    uint32_t best = NONE;

    for (uint32_t s = 0; s < SOURCES_MAX; s++) {
        if (merge->first[s] == NONE)
            continue;
        if (best == NONE || merge->held[merge->first[s]].frame.stamp_ns <
                                merge->held[merge->first[best]].frame.stamp_ns)
            best = s;
    }
    return best;
}

int merge_take(struct merge *merge, struct frame *ret_frame)
{
    uint32_t source = merge->count ? least_head(merge) : NONE;

    if (source == NONE)
        return 0;
    uint32_t at = merge->first[source];
    struct held *held = &merge->held[at];
    if (held->frame.stamp_ns > merge->closed_ns && !merge->to_flush) {
        if (!merge->to_force)
            return 0;
        merge->forced++;
    }
    merge->to_force = false;
    merge->to_flush -= merge->to_flush > 0;
    *ret_frame = held->frame;
    merge->first[source] = held->next;
    if (held->next == NONE)
        merge->last[source] = NONE;
    held->next = merge->free_head;
    merge->free_head = at;
    merge->count--;
    return 1;
}

void merge_stats(const struct merge *merge, struct merge_stats *ret_stats)
{
    *ret_stats = (struct merge_stats){ merge->late, merge->forced, merge->count };
}
