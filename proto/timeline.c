#include "proto/timeline.h"

#include <errno.h>
#include <string.h>

void timeline_init(struct timeline *timeline)
{
    memset(timeline, 0, sizeof *timeline);
}

/* A stamp beyond the bounds is a forged or broken one; its frame keeps its place at the bound. */
static int64_t bounded(int64_t mono_ns)
{
    if (mono_ns > TIMELINE_MONO_MAX_NS)
        return TIMELINE_MONO_MAX_NS;
    return mono_ns < -TIMELINE_MONO_MAX_NS ? -TIMELINE_MONO_MAX_NS : mono_ns;
}

static void fill_row(const struct timeline *timeline, const struct frame *frame,
                     struct row *ret_row)
{
    ret_row->step = timeline->next_step;
    ret_row->mono_ns = timeline->mono_ns;
    ret_row->offset_ns = timeline->offset_ns;
    ret_row->frame = *frame;
}

/* Whether the offset can be rebased so that this stamp maps to the last mono; stamps that lie
 * further apart than 63 bits hold cannot, and are clamped. */
static bool rebase(struct timeline *timeline, int64_t stamp_ns)
{
    int64_t offset_ns;

    if (__builtin_sub_overflow(timeline->mono_ns, stamp_ns, &offset_ns))
        return false;
    timeline->offset_ns = offset_ns;
    timeline->discontinuities++;
    return true;
}

static enum timeline_place place_backward(struct timeline *timeline, const struct frame *frame,
                                          int64_t mapped_ns)
{
    int64_t back_ns;
    bool small = !__builtin_sub_overflow(timeline->mono_ns, mapped_ns, &back_ns) &&
                 back_ns <= TIMELINE_CLAMP_NS;

    if (!small && !(frame->flags & FRAME_LATE) && rebase(timeline, frame->stamp_ns))
        return TIMELINE_DISCONTINUITY;
    timeline->clamped++;
    return TIMELINE_CLAMPED;
}

enum timeline_place timeline_put(struct timeline *timeline, const struct frame *frame,
                                 struct row *ret_row)
{
    enum timeline_place place = TIMELINE_PLAIN;
    int64_t mapped_ns;

    if (__builtin_add_overflow(frame->stamp_ns, timeline->offset_ns, &mapped_ns))
        mapped_ns = timeline->started ? timeline->mono_ns : frame->stamp_ns;
    mapped_ns = bounded(mapped_ns);
    if (!timeline->started || mapped_ns >= timeline->mono_ns)
        timeline->mono_ns = mapped_ns;
    else
        place = place_backward(timeline, frame, mapped_ns);
    timeline->started = true;
    fill_row(timeline, frame, ret_row);
    timeline->next_step++;
    return place;
}

int timeline_obey(struct timeline *timeline, const struct row *row)
{
    int place = TIMELINE_PLAIN;
    int64_t mapped_ns;

    if (row->step < timeline->next_step)
        return -EINVAL;
    if (timeline->started && row->mono_ns < timeline->mono_ns)
        return -EINVAL;
    if (row->mono_ns != bounded(row->mono_ns))
        return -EINVAL;
    if (timeline->started && row->offset_ns != timeline->offset_ns) {
        place = TIMELINE_DISCONTINUITY;
        timeline->discontinuities++;
    } else if (__builtin_add_overflow(row->frame.stamp_ns, row->offset_ns, &mapped_ns) ||
               row->mono_ns != mapped_ns) {
        place = TIMELINE_CLAMPED;
        timeline->clamped++;
    }
    timeline->started = true;
    timeline->mono_ns = row->mono_ns;
    timeline->offset_ns = row->offset_ns;
    timeline->next_step = row->step + 1;
    return place;
}

bool timeline_clock(struct timeline *timeline, int64_t offset_ns, int64_t mono_ns)
{
    bool jump = timeline->started && offset_ns != timeline->offset_ns;

    timeline->offset_ns = offset_ns;
    if (!timeline->started || mono_ns > timeline->mono_ns)
        timeline->mono_ns = mono_ns;
    timeline->started = true;
    if (jump)
        timeline->discontinuities++;
    return jump;
}
