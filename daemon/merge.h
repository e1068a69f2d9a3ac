/* merge - frames of several live buses in one order: by (stamp, source), each source in its own.
 * A frame is held until merge_advance says that nothing earlier can come. What was stamped before that
 * point and comes after it is late: it gets FRAME_LATE and its place among what comes now.
 * Pure: no clock; memory is taken at open. Owner: the pipeline thread.
 *
 * Invariants: 1. frames of one source leave in the order in which they came; 2. of the heads, the
 * least (stamp, source) leaves first; 3. without FRAME_LATE, nothing leaves that was stamped at or
 * before a closed time and came after its closing. */
#ifndef DAEMON_MERGE_H
#define DAEMON_MERGE_H
#include "proto/frame.h"

#include <stddef.h>

#define MERGE_FRAMES_MAX 65536

struct merge;

struct merge_stats {
    uint64_t late;   /* marked */
    uint64_t forced; /* left before their time was closed, because no room was left */
    uint32_t held;   /* now */
};

/* Room for `frames` (2..MERGE_FRAMES_MAX) of all sources together. Returns 0, -ERANGE or -ENOMEM. */
int merge_open(struct merge **ret_merge, uint32_t frames);
void merge_close(struct merge *merge); /* takes NULL */
size_t merge_memory_bytes(const struct merge *merge);

/* Copies a frame in. Returns 0, or -EAGAIN when no room is left: then merge_take gives the earliest
 * head although its time is open (counted as forced), and the frame is to be put again. */
int merge_put(struct merge *merge, const struct frame *frame);
/* Nothing stamped at or before stamp_ns will come, but late. Never goes back. */
void merge_advance(struct merge *merge, int64_t stamp_ns);
/* The clock stepped: stamps before and after it do not compare. All that is held may leave now, and
 * the closed time is forgotten; call merge_take until it returns 0, then put what comes after. */
void merge_flush(struct merge *merge);
/* Takes the next frame whose time is closed: 1, or 0 when there is none. */
int merge_take(struct merge *merge, struct frame *ret_frame);
void merge_stats(const struct merge *merge, struct merge_stats *ret_stats);

#endif
