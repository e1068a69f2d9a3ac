#include "triggers/timers.h"

#include <errno.h>
#include <stdlib.h>

#define UNSET UINT32_MAX

int timers_init(struct timers *timers, uint32_t slots)
{
    *timers = (struct timers){ .slots = slots };
    timers->due = malloc((slots + 1) * sizeof *timers->due);
    timers->heap = malloc((slots + 1) * sizeof *timers->heap);
    timers->place = malloc((slots + 1) * sizeof *timers->place);
    if (!timers->due || !timers->heap || !timers->place)
        return -ENOMEM;
    for (uint32_t i = 0; i < slots; i++) {
        timers->due[i] = TIMER_NEVER;
        timers->place[i] = UNSET;
    }
    return 0;
}

void timers_deinit(struct timers *timers)
{
    free(timers->due);
    free(timers->heap);
    free(timers->place);
    *timers = (struct timers){ 0 };
}

static void put(struct timers *t, uint32_t at, uint32_t slot)
{
    t->heap[at] = slot;
    t->place[slot] = at;
}

static void sift_up(struct timers *t, uint32_t at, uint32_t slot)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (t->due[t->heap[parent]] <= t->due[slot])
            break;
        put(t, at, t->heap[parent]);
        at = parent;
    }
    put(t, at, slot);
}

static void sift_down(struct timers *t, uint32_t at, uint32_t slot)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && t->due[t->heap[child + 1]] < t->due[t->heap[child]])
            child++;
        if (t->due[slot] <= t->due[t->heap[child]])
            break;
        put(t, at, t->heap[child]);
        at = child;
    }
    put(t, at, slot);
}

void timers_set(struct timers *t, uint32_t slot, int64_t due_ns)
{
    int64_t before = t->due[slot];

    if (due_ns == TIMER_NEVER) {
        timers_clear(t, slot);
        return;
    }
    t->due[slot] = due_ns;
    if (t->place[slot] == UNSET)
        sift_up(t, t->count++, slot);
    else if (due_ns < before)
        sift_up(t, t->place[slot], slot);
    else
        sift_down(t, t->place[slot], slot);
}

void timers_clear(struct timers *t, uint32_t slot)
{
    uint32_t at = t->place[slot];

    if (at == UNSET)
        return;
    t->place[slot] = UNSET;
    t->due[slot] = TIMER_NEVER;
    uint32_t last = t->heap[--t->count];
    if (last == slot)
        return;
    if (at > 0 && t->due[last] < t->due[t->heap[(at - 1) / 2]])
        sift_up(t, at, last);
    else
        sift_down(t, at, last);
}

uint32_t timers_pop(struct timers *t)
{
    uint32_t slot = t->heap[0];

    timers_clear(t, slot);
    return slot;
}
