/* diff - which events one pack gives and another does not, on the same drives. Pure. */
#ifndef TOOLS_BACKTEST_DIFF_H
#define TOOLS_BACKTEST_DIFF_H
#include "tools/backtest/tally.h"

#define DIFF_MOVED_NS NS_PER_S /* a fire no further away is the same event, moved */

enum diff_kind { DIFF_SAME, DIFF_MOVED, DIFF_GAINED, DIFF_LOST };
#define DIFF_KINDS 4
extern const char *const diff_names[DIFF_KINDS]; /* "same", "moved", ... */

struct diff_event {
    enum diff_kind kind;
    const char *rule; /* borrowed from the tally that has it */
    uint32_t drive;
    uint8_t edge;
    int64_t fire_ns, old_fire_ns; /* of a gained one the second is unset, of a lost one the first */
};

struct diff {
    struct diff_event *events; /* by rule, drive, edge and time */
    size_t count;
    uint64_t counts[DIFF_KINDS];
};

/* Pairs events of one rule, drive and edge in the order of time. Returns 0 or -ENOMEM. */
int diff_make(const struct tally *now, const struct tally *old, struct diff *ret_diff);
void diff_deinit(struct diff *diff);

#endif
