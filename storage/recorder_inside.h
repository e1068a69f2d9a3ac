/* recorder_inside - what the files of the recorder share; nobody else includes it.
 *   recorder.c        commands, open rows, closing of groups
 *   recorder_ring.c   encoded groups in memory, and where a cut finds its seeds and its state
 *   recorder_clip.c   clip slots: which rows a clip still wants, header and manifest, pieces */
#ifndef STORAGE_RECORDER_INSIDE_H
#define STORAGE_RECORDER_INSIDE_H
#include "proto/group.h"
#include "proto/rowbuf.h"
#include "storage/block.h"
#include "storage/recorder.h"
#include "storage/seeds.h"
#include "storage/statelog.h"

#define RING_BLOCKS_MAX 65536
#define HELD_BLOCKS_MAX 1024 /* groups that one clip holds back until its end is known */
#define LOSSES_MAX 1024      /* remembered reports of lost frames */

struct piece_queue {
    struct recorder_piece *items; /* a ring that doubles */
    size_t at, count, room;
    size_t outstanding_bytes; /* queued, or taken and not released */
};

struct loss {
    int64_t mono_ns;
    uint64_t count;
    uint8_t source, kind;
};

/* Rows with lo <= mapped <= hi and from_step <= step < to_step. */
struct cut {
    int64_t lo_ns, hi_ns;
    uint64_t from_step, to_step;
};

struct clip_slot {
    bool used, failed, truncated, pre_truncated;
    enum recorder_fail why;        /* when failed */
    const char *truncated_by;      /* "pins", "held", "segment", "memory"; NULL */
    struct clip_header header;     /* owned */
    int64_t start_ns, end_ns;      /* window as known */
    uint64_t sent_step;            /* all wanted rows of steps below this are sent */
    uint32_t segment;
    struct sha256 *sha;            /* of the segment so far */
    uint64_t body_bytes;
    uint32_t groups;
    struct block_counts counts;    /* of the segment */
    bool any_row;
    uint64_t first_step, last_step; /* of the rows sent in this segment */
    struct recorder_state *early_state; /* where the window begins, when it moved */
    uint8_t *early_seed;
    size_t early_seed_bytes;
    struct recorder_block **held;  /* HELD_BLOCKS_MAX; oldest first, all not yet considered */
    uint32_t held_count;
    size_t held_bytes;
};

/* The group that is open. */
struct open_group {
    bool begun;
    int64_t mono_first_ns;
    struct block_span span;
    struct block_counts counts;
    uint8_t *seeds; /* before its first row */
    size_t seeds_bytes;
};

struct recorder {
    struct recorder_config config;
    struct group_coder *coder;
    struct rowbuf *rows;    /* open */
    struct rowbuf *decoded; /* scratch of a cut: a group of the ring */
    struct rowbuf *chosen;  /* scratch of a cut: its rows that the clip wants */
    struct open_group open;
    struct statelog states;
    struct seeds seeds;
    uint32_t generation;
    bool pressed;
    bool any_row;
    uint64_t next_step;
    int64_t mono_ns; /* of the last row */

    struct recorder_block **ring; /* RING_BLOCKS_MAX places, used in a circle */
    size_t ring_at, ring_count, ring_bytes;
    bool evicted;
    int64_t evicted_max_ns; /* greatest mapped time that left the ring */

    struct piece_queue pieces;
    struct clip_slot slots[CLIPS_OPEN_MAX];
    struct loss losses[LOSSES_MAX];
    size_t loss_at, loss_count;
    uint8_t *state_scratch; /* CLIP_STATE_BYTES_MAX */
    struct recorder_stats stats;
};

/* recorder_ring.c */
static inline struct recorder_block *ring_block(const struct recorder *recorder, size_t index)
{
    return recorder->ring[(recorder->ring_at + index) % RING_BLOCKS_MAX];
}
/* Takes the reference over; evicts the oldest until the budget holds. */
void ring_push(struct recorder *recorder, struct recorder_block *block);
/* Fills header->first_step, mono_floor_ns and the scratch seeds for a clip that wants rows from
 * start_ns on. Returns 0, -EBADMSG, -ENOMEM. */
int ring_place(struct recorder *recorder, int64_t start_ns, struct clip_header *header);
/* Where a clip can begin at the earliest: INT64_MIN while nothing was evicted. */
int64_t ring_reach(const struct recorder *recorder);
/* The first checkpoint from that time on, in ring and open group; 1, 0 or a negative errno. */
int ring_state(struct recorder *recorder, int64_t from_ns, int64_t *ret_at_ns, size_t *ret_size);

/* recorder_clip.c */
void clip_open(struct recorder *recorder, uint8_t slot, struct recorder_open *open);
void clip_extend(struct recorder *recorder, uint8_t slot, struct recorder_command *command);
void clip_seal(struct recorder *recorder, uint8_t slot, struct recorder_close *close);
void clip_close(struct recorder *recorder, uint8_t slot, struct recorder_close *close);
/* Rows were lost to the clip. */
void clip_truncate(struct clip_slot *slot, const char *by);
void clip_fail(struct clip_slot *slot, enum recorder_fail why); /* the first reason stands */
void clip_free(struct clip_slot *slot);
bool piece_put(struct recorder *recorder, const struct recorder_piece *piece);
void pieces_forget(struct recorder *recorder, const uint8_t clip_id[CLIP_ID_BYTES]);

/* recorder_segment.c: what fails there is noted in the slot. */
void segment_begin(struct recorder *recorder, struct clip_slot *slot); /* header and seed */
void segment_end(struct recorder *recorder, struct clip_slot *slot, struct clip_manifest *manifest);
/* A group closed and stands in the ring. */
void segment_offer(struct recorder *recorder, struct clip_slot *slot, struct recorder_block *block);
/* The front of the held groups is considered once nothing in it lies beyond the end, or when the
 * end is final. */
void segment_take_held(struct recorder *recorder, struct clip_slot *slot, bool final);
/* All rows up to now: the window is final, or the segment is. */
void segment_rest(struct recorder *recorder, struct clip_slot *slot);
/* The rows of a cut, from a group of the ring or from the open one. */
void segment_cut_block(struct recorder *recorder, struct clip_slot *slot,
                       struct recorder_block *block, const struct cut *cut);
void segment_cut_open(struct recorder *recorder, struct clip_slot *slot, const struct cut *cut);

#endif
