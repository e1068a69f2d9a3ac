/* group_impl - what encoder and decoder of groups share; for proto/group*.c only. */
#ifndef PROTO_GROUP_IMPL_H
#define PROTO_GROUP_IMPL_H
#include "proto/codec.h"
#include "proto/group.h"
#include "proto/order.h"

#define GROUP_HEAD_BYTES 64
#define BLOCK_HEAD_BYTES 32
#define BLOCK_TAIL_BYTES 8
#define BLOCK_OVERHEAD (BLOCK_HEAD_BYTES + BLOCK_TAIL_BYTES)
#define ORDER_SOURCE 0xff /* in the place of a source: the order block */

extern const struct codec *const group_codecs[CODEC_COUNT];

/* One source of the group in hand: its rows are base[offsets[next .. end)]. */
struct lane {
    uint32_t next, end;
};

struct group_coder {
    struct zpack *pack;
    struct columnar *columnar;
    struct order order;
    uint32_t *offsets;   /* rows of source 0, then of source 1, ... */
    uint8_t *bytes;      /* decode: the rows of all blocks; encode: our own record. Never both: each */
                         /* is touched as far as a group is long, and stays resident from then on */
    struct lane lanes[SOURCES_MAX];
    int lane_count; /* lanes at and beyond it are empty */
};

/* The least (stamp, source) among the heads of the lanes, whose offsets count from base; -1 when
 * all are empty. */
int group_pick(const struct group_coder *coder, const uint8_t *base);

#endif
