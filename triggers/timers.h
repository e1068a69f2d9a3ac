/* timers - a heap of deadlines, one a slot at most: setting a slot again moves its deadline.
 * Fixed size, O(log n); ties come out in any order, so callers take all that is due at one instant
 * and order them by themselves. Values in the caller's storage; single thread. */
#ifndef TRIGGERS_TIMERS_H
#define TRIGGERS_TIMERS_H
#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER INT64_MAX

struct timers {
    int64_t *due;       /* of each slot; TIMER_NEVER when unset */
    uint32_t *heap;     /* slots, earliest first */
    uint32_t *place;    /* of a slot in the heap; UINT32_MAX when unset */
    uint32_t count, slots;
};

/* Allocates once for slots 0..slots-1. Returns 0 or -ENOMEM. */
int timers_init(struct timers *timers, uint32_t slots);
void timers_deinit(struct timers *timers);
void timers_set(struct timers *timers, uint32_t slot, int64_t due_ns);
void timers_clear(struct timers *timers, uint32_t slot);
static inline int64_t timers_next(const struct timers *timers)
{
    return timers->count ? timers->due[timers->heap[0]] : TIMER_NEVER;
}
/* Removes and gives the earliest slot; requires count > 0. */
uint32_t timers_pop(struct timers *timers);

#endif
