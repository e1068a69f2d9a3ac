/* order - where the rows of a group depart from the merge by (stamp, source): the order block.
 * Used by proto/group.c only. docs/FORMAT.md section 4.3. */
#ifndef PROTO_ORDER_H
#define PROTO_ORDER_H
#include "proto/err.h"
#include "proto/limits.h"
#include "proto/zpack.h"

#include <stdint.h>

/* At row `position` of the group the next `run` rows come from `source`. */
struct order_exception {
    uint32_t position, run;
    uint8_t source;
};

/* Row `position` has a step or a mono that does not follow from the row before it. */
struct order_mark {
    uint32_t position;
    uint64_t step;
    int64_t mono_ns;
};

struct order {
    struct order_exception *exceptions; /* room for BLOCK_ROWS_MAX of each */
    struct order_mark *marks;
    uint32_t exception_count, mark_count;
    uint8_t *scratch; /* the unpacked block */
};

/* -ENOMEM; deinit takes a zeroed struct. */
int order_init(struct order *order);
void order_deinit(struct order *order);

size_t order_bound(uint32_t exceptions, uint32_t marks);
/* Returns the bytes written, or -ENOBUFS. */
int64_t order_encode(struct order *order, struct zpack *pack, uint8_t *out, size_t size);
/* Positions ascend and lie below `rows`, runs are at least 1 and do not overlap, sources are below
 * SOURCES_MAX: else -EBADMSG with *err filled. */
int order_decode(struct order *order, struct zpack *pack, const uint8_t *bytes, size_t size,
                 uint32_t rows, struct err *err);

#endif
