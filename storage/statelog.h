/* statelog - checkpoints of the life-cycles of all rules over one group. Where the ring does not
 * reach back to the start of a clip, the clip begins at a checkpoint instead.
 * The first entry is whole, later ones hold what differs between the equal head and tail of two
 * states. entry = at u64 | size u32 | head u32 | tail u32 | size - head - tail bytes, little-endian.
 * Value with memory: statelog_init, statelog_deinit. Owner: the recorder. */
#ifndef STORAGE_STATELOG_H
#define STORAGE_STATELOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATELOG_BYTES_MAX 4194304 /* of one group; further checkpoints are left out */

struct statelog {
    uint8_t *bytes; /* entries */
    size_t size, room;
    uint8_t *state; /* the last state, whole */
    size_t state_size, state_room;
};

void statelog_init(struct statelog *log);
void statelog_deinit(struct statelog *log);

/* The state at at_ns. Returns 0, -ENOMEM or -ENOBUFS; the log is as before on failure. */
int statelog_put(struct statelog *log, int64_t at_ns, const uint8_t *state, size_t size);
/* Forgets the entries. */
void statelog_clear(struct statelog *log);

/* The first checkpoint at or after from_ns, from entries text. Returns 1 with its time and state, 0
 * when there is none, -ENOBUFS when room is too small, -EBADMSG for text that is not ours. */
int statelog_find(const uint8_t *text, size_t text_size, int64_t from_ns, int64_t *ret_at_ns,
                  uint8_t *ret_state, size_t room, size_t *ret_size);

#endif
