/* recorder - rows and clip commands in, pieces of segments out. Pure: no thread, socket, clock or
 * disk; the same commands give the same pieces, whatever the speed and the batches.
 * It owns the open rows, the ring of encoded groups and the clip builders.
 *
 * Commands come in step order. Invariants:
 *  1. A group is a contiguous run of steps of one generation and one offset; it closes after
 *     block_ns of event time, when the open rows are full, at a change of offset or generation.
 *  2. The groups of the ring do not depend on clips.
 *  3. A clip holds exactly the rows whose mapped stamp (stamp + offset) lies in [start, end], each
 *     once; what was sent already is {step <= sent_step, mapped >= start}.
 *  4. A group wholly inside is passed on encoded as it is, any other is decoded, cut, encoded.
 *  5. Live, what is handed out and held for clips stays within pin_bytes: a clip that needs more
 *     ends `truncated`. For a recording recorder_put says -EAGAIN until pieces are released.
 *
 *   recorder_put(ROW..) -> open rows -> ring -> | clip: OPEN .. EXTEND .. SEAL .. CLOSE |
 *   recorder_take -> BEGIN(header) DATA.. END(manifest) -> the store -> recorder_release
 *
 * Memory: open rows, scratch and tables at open; one block a closed group (counted in ring or pins)
 * and one copy a clip; nothing a frame. Owner: the encode thread. Times: ns on mono. */
#ifndef STORAGE_RECORDER_H
#define STORAGE_RECORDER_H
#include "proto/clip.h"
#include "proto/err.h"
#include "proto/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORDER_KEYS_MAX 65536 /* (source, id) pairs that rules read */

struct recorder_config {
    size_t open_bytes;   /* open rows; at most ROWBUF_BYTES_MAX */
    size_t ring_bytes;   /* encoded groups with seeds and states, all counted */
    size_t pin_bytes;    /* pieces handed out and groups held back for clips */
    int64_t block_ns;    /* event time after which a group closes */
    uint8_t codec;       /* enum codec_id */
    bool live;           /* truncate beyond pin_bytes instead of -EAGAIN */
    struct source_table sources;
};

enum recorder_kind {
    RECORDER_ROW,        /* row */
    RECORDER_GENERATION, /* generation: rules changed before the next row */
    RECORDER_STATE,      /* state: life-cycle of every rule at a past or present instant */
    RECORDER_LOSS,       /* loss: frames that never became rows, since the last row */
    RECORDER_OPEN,       /* open: a clip begins */
    RECORDER_EXTEND,     /* extend: its window moves; start only back; end either way */
    RECORDER_SEAL,       /* seal: segment 0 ends with the last row */
    RECORDER_CLOSE,      /* close: the window is final */
};

/* Payloads are heap objects; ownership moves with the command into recorder_put. */
struct recorder_state { /* a checkpoint: where a clip may begin when the ring does not reach back */
    int64_t at_ns;      /* life-cycles as they were before the first instant at or after this */
    uint32_t size;
    uint8_t bytes[];
};

struct recorder_open {
    struct clip_header header; /* a deep copy (owned): start_ns asked for and the state there; the
                                * recorder fills in first_step, mono_floor_ns and segment, and moves
                                * start_ns and state where the ring does not reach back */
    int64_t state_ns;          /* of header.state: start_ns, or a later reload */
    int64_t end_ns;            /* INT64_MAX while an event is active */
};

struct recorder_close {
    struct clip_manifest manifest; /* a deep copy (owned): events, end, overlaps, clock, hashes; the
                                    * recorder fills in what it counts; start_ns and end_ns hold */
};

enum recorder_loss_kind {
    RECORDER_LOSS_KERNEL, RECORDER_LOSS_QUEUE, RECORDER_LOSS_FILTER, RECORDER_LOSS_DRIVER
};
#define RECORDER_LOSS_KINDS 4

struct recorder_command {
    enum recorder_kind kind;
    uint8_t clip; /* slot 0..CLIPS_OPEN_MAX-1 of OPEN, EXTEND, SEAL, CLOSE; free again after CLOSE */
    bool read;    /* ROW: a rule reads frames of this source and id */
    union {
        struct row row;
        uint32_t generation;
        struct recorder_state *state;
        struct recorder_open *open;
        struct recorder_close *close; /* SEAL too: manifest of segment 0 */
        struct {
            int64_t start_ns, end_ns;
            struct recorder_state *state; /* life-cycles at an earlier start_ns; NULL: not moved */
        } extend;
        struct {
            enum recorder_loss_kind kind;
            uint8_t source;
            int64_t mono_ns;
            uint64_t count;
        } loss;
    };
};

/* Releases the payload of a command that nobody put. */
void recorder_command_deinit(struct recorder_command *command);

enum recorder_piece_kind {
    RECORDER_BEGIN,
    RECORDER_DATA,
    RECORDER_END,
    RECORDER_FAILED, /* the clip ends here unsealed (stats say why): its segment is to be dropped */
};

struct recorder_block; /* bytes that stay until recorder_release */

/* The file of a segment is the concatenation of the bytes of its pieces, BEGIN's first (header and
 * seed records), END's last (manifest record). Pieces of several clips interleave. */
struct recorder_piece {
    enum recorder_piece_kind kind;
    uint8_t clip; /* slot */
    uint8_t clip_id[CLIP_ID_BYTES];
    uint32_t segment, segments;
    const uint8_t *bytes; /* borrowed until recorder_release(block) */
    size_t size;
    struct recorder_block *block; /* NULL for FAILED, which carries no bytes */
    /* Borrowed like bytes. */
    const struct clip_header *header;     /* BEGIN, else NULL */
    const struct clip_manifest *manifest; /* END, else NULL */
};

/* Why a clip that was opened is not sealed. */
enum recorder_fail { RECORDER_FAIL_MEMORY, RECORDER_FAIL_REFUSED, RECORDER_FAIL_FORMAT };
#define RECORDER_FAIL_COUNT 3
const char *recorder_fail_name(enum recorder_fail fail);

struct recorder_stats {
    uint64_t rows, row_bytes;         /* received */
    uint64_t rows_stored;             /* in a group that closed, or open */
    uint64_t rows_dropped;            /* lost here: no memory for their group */
    uint64_t groups, group_bytes;     /* closed; encoded bytes */
    uint64_t groups_plain;            /* stayed `rows` because the encoder was under pressure */
    uint64_t groups_shared, groups_cut; /* passed to a clip as they were; encoded anew for it */
    uint64_t groups_evicted;          /* left the ring */
    uint64_t ring_bytes, pinned_bytes, open_row_bytes; /* now */
    uint64_t clips_opened, clips_sealed, clips_open, clips_failed[RECORDER_FAIL_COUNT];
    uint64_t clips_truncated;         /* of those sealed */
    uint64_t clips_pre_truncated;     /* of those sealed: the ring did not reach back to the start */
    uint64_t events_sealed, events_failed; /* events of clips sealed and failed */
    uint64_t segments;
    uint64_t seeds_dropped;           /* keys beyond RECORDER_KEYS_MAX */
};

struct recorder;

/* Returns 0, -ERANGE for a configuration outside the limits, -ENOMEM. */
int recorder_open(const struct recorder_config *config, struct recorder **ret_recorder);
void recorder_close(struct recorder *recorder); /* takes NULL; unreleased blocks go with it */

/* Takes a command and its payload. Returns 0; -EAGAIN (recordings only) with nothing taken: take
 * and release pieces first; -EINVAL for a command out of order: a bug of the caller, payload freed. */
int recorder_put(struct recorder *recorder, struct recorder_command *command);

/* Gives the next piece: 1, or 0 when there is none. */
int recorder_take(struct recorder *recorder, struct recorder_piece *ret_piece);
/* The store is done with the bytes of a piece. NULL is taken. */
void recorder_release(struct recorder *recorder, struct recorder_block *block);
/* The store cannot take more of this clip: its pieces end here, without END, and it counts as
 * failed(refused) when it closes. Unknown and closed clips are ignored. */
void recorder_refuse(struct recorder *recorder, const uint8_t clip_id[CLIP_ID_BYTES]);

/* Live only: the queue before the encoder is over half full, so groups that close stay `rows`. */
void recorder_pressure(struct recorder *recorder, bool pressed);

void recorder_stats(const struct recorder *recorder, struct recorder_stats *ret_stats);

#endif
