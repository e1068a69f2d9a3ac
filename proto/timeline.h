/* timeline - gives every frame its place: step, time on the session's clock, offset in force.
 * mapped = stamp_ns + offset_ns; mono_ns = max(mono of the row before, mapped). A backward step of
 * up to TIMELINE_CLAMP_NS is clamped and counted; a larger one is a discontinuity: the offset is
 * rebased such that the frame continues at the last mono. The offset begins at 0. A frame with
 * FRAME_LATE (live merge) is never a discontinuity.
 * A value: pure, no clock, no memory, no thread. Times are ns. */
#ifndef PROTO_TIMELINE_H
#define PROTO_TIMELINE_H
#include "proto/frame.h"

#define TIMELINE_CLAMP_NS (50 * NS_PER_MS)
/* 146 years either way. Mono never leaves it, so that a difference of two of them, and one plus any
 * duration of a rule, fit in 64 bits whatever stamps a recording claims. */
#define TIMELINE_MONO_MAX_NS ((INT64_C(1) << 62) - 1)

struct timeline {
    int64_t mono_ns, offset_ns; /* of the last row; offset in force for the next */
    uint64_t next_step;
    bool started; /* a row, or a mark that set mono_ns, came before */
    uint64_t clamped, discontinuities;
};

enum timeline_place { TIMELINE_PLAIN, TIMELINE_CLAMPED, TIMELINE_DISCONTINUITY };

void timeline_init(struct timeline *timeline);

/* Places a frame. *ret_row gets a copy of it. A stamp so large that the sum would overflow is held
 * at the last mono and counted as clamped. */
enum timeline_place timeline_put(struct timeline *timeline, const struct frame *frame,
                                 struct row *ret_row);

/* Obeys a place that was recorded (.rlc): step, mono and offset of the row hold. Returns
 * TIMELINE_DISCONTINUITY when the offset changes after the first row, TIMELINE_CLAMPED where mono
 * is not the mapped time; -EINVAL, with nothing changed, when step or mono run back or mono is
 * beyond the bounds. */
int timeline_obey(struct timeline *timeline, const struct row *row);

/* A clock event: from the next frame on this offset holds, and mono is at least mono_ns. Returns
 * whether it is a discontinuity (the offset changed and a row came before). */
bool timeline_clock(struct timeline *timeline, int64_t offset_ns, int64_t mono_ns);

#endif
