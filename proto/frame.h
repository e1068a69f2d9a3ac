/* frame - one CAN or CAN FD unit as captured, and what goes with it through the pipeline.
 * Values only: no ownership, no thread. */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H
#include "proto/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

/* Part of the key of a frame: frames that differ in one of the low six never share an id. */
enum frame_flag {
    FRAME_EFF = 1 << 0,  /* 29-bit arbitration id; else 11-bit */
    FRAME_RTR = 1 << 1,  /* remote request: no data, dlc says how many bytes are asked for */
    FRAME_ERR = 1 << 2,  /* error frame: id holds the error class bits (linux/can/error.h) */
    FRAME_FD = 1 << 3,
    FRAME_BRS = 1 << 4,  /* FD bit rate switch */
    FRAME_ESI = 1 << 5,  /* FD error state indicator */
    FRAME_TX = 1 << 6,   /* sent by this host */
    FRAME_LATE = 1 << 7, /* came after its place in the merge: stored, not shown to rules */
};

struct frame {
    int64_t stamp_ns; /* as the source gave it; a multiple of the source's tick */
    uint32_t id;      /* without flags: 11 or 29 bits */
    uint16_t flags;   /* FRAME_* */
    uint8_t source;   /* index into the session's source table */
    uint8_t len;      /* bytes of data, 0..64 */
    uint8_t dlc;      /* the code on the wire, 0..15; classic CAN may carry 9..15 with len 8 */
    uint8_t data[FRAME_DATA_MAX]; /* bytes at and beyond len are zero */
};

enum stamp_origin { STAMP_UNKNOWN, STAMP_USER, STAMP_KERNEL, STAMP_HARDWARE };

static inline const char *stamp_origin_name(enum stamp_origin origin)
{
    static const char *const names[] = { "unknown", "user", "kernel", "hardware" };

    return names[(unsigned)origin <= STAMP_HARDWARE ? origin : STAMP_UNKNOWN];
}

/* One bus or sensor of a session. */
struct source {
    char name[SOURCE_NAME_MAX]; /* "can0"; [A-Za-z0-9_.-]+ */
    uint32_t tick_ns;           /* resolution of its stamps: 1, 1000 (candump -l), ... */
    enum stamp_origin origin;
};

struct source_table {
    struct source items[SOURCES_MAX];
    uint32_t count;
};

/* A frame in its place: the n-th row of the session, with its time on the session's clock. */
struct row {
    uint64_t step;     /* from 0, one more for each row */
    int64_t mono_ns;   /* never less than that of the row before it in one generation of time */
    int64_t offset_ns; /* in force: stamp_ns + offset_ns is the mapped time before clamping */
    struct frame frame;
};

/* Bytes that a row counts for in every limit (DESIGN.md 4): codec and speed never change it. */
static inline uint32_t frame_row_bytes(const struct frame *frame)
{
    return 16u + frame->len;
}

/* ISO 11898-1 table of DLC codes. */
static inline uint8_t frame_dlc_to_len(uint8_t dlc, bool fd)
{
    static const uint8_t fd_len[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64 };

    dlc &= 15;
    return fd ? fd_len[dlc] : (dlc > 8 ? 8 : dlc);
}

/* The smallest code whose length holds `len` bytes. */
static inline uint8_t frame_len_to_dlc(uint8_t len)
{
    uint8_t dlc = 0;

    while (dlc < 15 && frame_dlc_to_len(dlc, true) < len)
        dlc++;
    return dlc;
}

#endif
