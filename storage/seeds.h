/* seeds - the last row of every frame key that rules read: where signals stand before a group, and
 * so where a replay of a clip begins. One table follows the rows; a scratch set of the same keys is
 * filled for a cut. Memory grows with the keys that were met, never with frames.
 * Handle-free value: seeds_init, seeds_deinit. Owner: the recorder. */
#ifndef STORAGE_SEEDS_H
#define STORAGE_SEEDS_H
#include "proto/frame.h"

#include <stddef.h>

struct seeds {
    uint32_t count, room;  /* keys known; keys that fit */
    uint32_t *slots;       /* open addressing: key index + 1, 0 free */
    uint32_t slot_mask;
    struct row *rows, *cut; /* by key: the last row; scratch of a cut, whose step says UINT64_MAX
                             * where there is none */
    struct row *late, *out; /* scratch of a cut: stragglers; all that is given */
    uint32_t late_count;
    uint64_t dropped;      /* rows of keys beyond RECORDER_KEYS_MAX, or without memory */
};

/* Room for the first keys; it doubles when they are more. Returns 0 or -ENOMEM. */
int seeds_init(struct seeds *seeds);
void seeds_deinit(struct seeds *seeds);

/* A row that rules read went by. Late, remote and error frames, which rules do not see, change
 * nothing. */
void seeds_put(struct seeds *seeds, const struct row *row);

/* Bytes of the last rows: malloc'ed, owned by the caller; NULL and size 0 when there is none.
 * Returns 0 or -ENOMEM. */
int seeds_save(const struct seeds *seeds, uint8_t **ret_bytes, size_t *ret_size);

#define SEEDS_LATE_MAX 1024 /* stragglers of one cut; further ones replace the seed of their key */

/* A cut: begin with saved bytes, go over rows before the cut, and take them in order of step. */
int seeds_cut_begin(struct seeds *seeds, const uint8_t *saved, size_t size); /* 0, -EBADMSG */
int seeds_cut_now(struct seeds *seeds); /* begins with the last rows as they are; 0 */
void seeds_cut_put(struct seeds *seeds, const struct row *row);
/* A row that belongs before the cut by its stamp but came after the first one inside: it is kept
 * beside the seed of its key, read by rules or not, for a replay to take its step. */
void seeds_cut_late(struct seeds *seeds, const struct row *row);
/* The rows are the scratch set, compacted and sorted; valid until the next call. */
const struct row *seeds_cut_take(struct seeds *seeds, uint32_t *ret_count);

#endif
