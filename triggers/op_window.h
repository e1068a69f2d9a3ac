/* op_window - the ring of a window: every sample and change of an operand over the last d.
 * Invariants: stamps ascend; entry 0 is the only one that may begin before t - d, and its value
 * still held at t - d (at a step also if it was left exactly then); known_ns is the time from entry 0 to
 * the last one in which the operand was known. */
#ifndef TRIGGERS_OP_WINDOW_H
#define TRIGGERS_OP_WINDOW_H
#include "triggers/engine_private.h"

#define WINDOW_SLOTS 256       /* of d / 256: what a source above its rate is cut down to */
#define WINDOW_SLOTS_ROOM 260  /* one entry each, both ends and the value at t - d */

struct window_entry {
    int64_t t;
    union {
        double d;
        int64_t i;
    };
    uint8_t v;      /* LOGIC_U: unknown; else of a condition F or T, of a number NUMBER_KNOWN */
    bool is_sample; /* else the operand changed by time alone */
};

struct window {
    struct op_state head;
    uint32_t first, count, room;
    uint64_t popped;    /* entries that left, ever: entry i has the number popped + i */
    int64_t known_ns;
    uint64_t best[2];   /* numbers of the least and the greatest known value, the newest of equals */
    uint64_t seen[2];   /* the number of the first entry that best does not know of yet */
    bool has_best[2];
    struct window_entry ring[];
};

static inline struct window_entry *window_at(struct window *w, uint32_t i)
{
    uint32_t at = w->first + i;

    return &w->ring[at < w->room ? at : at - w->room];
}

static inline bool window_is_known(const struct window_entry *entry)
{
    return entry->v != LOGIC_U;
}

/* Lets go what has left, and puts what is new of the operand. */
void window_update(struct engine *e, uint32_t index, struct window *w);
/* Known time in [t - d, t]. */
int64_t window_known(const struct engine *e, const struct node *n, struct window *w);
/* The first time after now at which the known time reaches `need_ns` or no longer does, if the operand stays
 * as it is; TIMER_NEVER. */
int64_t window_turn(const struct engine *e, const struct node *n, struct window *w, int64_t known_ns,
                    int64_t need_ns);

#endif
