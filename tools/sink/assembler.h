/* assembler - turns the messages of clip.v1 into whole clips: which chunks of which clip are here,
 * what to ask the car for, when to store, and which offset of a partition is still needed.
 * Pure: no Kafka, no file, no clock. Messages come in decoded; effects leave through struct
 * assembler_ops (tests give a fake). Times are monotonic nanoseconds. One thread.
 *
 * Invariants
 * 1. A clip is (partition, message key, clip id); a segment of it is (segment, SHA-256). Chunks of
 *    other content, or of another car that claims the id, never mix.
 * 2. Every limit is checked before anything is allocated.
 * 3. assembler_needed() of a partition is never above the first message of a clip that is neither
 *    stored nor released; what the caller commits can lose nothing.
 *
 *            put                put: all there          publish: stored, quarantined
 *   unknown -----> assembling ------------------> publish -----------------> (forgotten, remembered)
 *      ^            |     ^ put                     | retry: tick
 *      |       tick |     |                         v
 *      |            v     |                      assembling
 *      +--------- partial-+   tick (release_after) or gone: bytes to CLIP.part, forgotten */
#ifndef TOOLS_SINK_ASSEMBLER_H
#define TOOLS_SINK_ASSEMBLER_H
#include "proto/err.h"
#include "proto/wire.h"

#include <stdbool.h>
#include <stdint.h>

#define ASSEMBLER_SLOTS_MAX 4 /* different contents of one clip's segments at a time */
#define ASSEMBLER_CLIPS_MAX 65536
#define ASSEMBLER_RETRY_NS INT64_C(5000000000) /* between two tries to store a whole clip */

/* One segment under assembly. */
struct assembler_slot {
    uint8_t sha256[SHA256_BYTES];
    uint8_t segment;
    uint32_t bytes, chunk_bytes, count; /* as every chunk of it declares */
    uint32_t held;                      /* bits set */
    uint8_t *bitmap;                    /* count bits, the lowest of a byte first */
};

struct assembler_clip {
    int32_t partition;
    char vehicle[PSEUDONYM_MAX]; /* the message key, checked */
    uint8_t clip_id[CLIP_ID_BYTES];
    int64_t first_offset;  /* of its first message since it was opened */
    int64_t last_chunk_ns; /* or of its first message, while there is no chunk */
    int64_t retry_ns;      /* not tried again before; 0 when no try failed */
    bool about_known;      /* `final.about` is set: by manifest-open, manifest-final or a .part */
    bool final_known;      /* all of `final` and final_sha256 */
    bool ask_pending;      /* question `ask` has no answer yet */
    bool partial;          /* partial_after has passed since the last chunk */
    uint32_t ask;
    struct wire_final final;
    uint8_t final_sha256[SHA256_BYTES];
    uint32_t slot_count;
    struct assembler_slot slots[ASSEMBLER_SLOTS_MAX];
    struct assembler_clip *next; /* in its bucket */
};

/* What dataset and cache know of a clip that is not in memory. */
enum assembler_state { ASSEMBLER_UNKNOWN, ASSEMBLER_STORED, ASSEMBLER_PARTIAL };
struct assembler_known {
    enum assembler_state state;
    struct wire_about about; /* STORED always, PARTIAL when about_known */
    bool about_known;
    uint32_t segment_count; /* STORED: shas of what is stored */
    uint8_t sha256[SEGMENTS_MAX][SHA256_BYTES];
    uint32_t need_count; /* STORED raw-only */
    uint8_t needs[WIRE_NEEDS_MAX][SHA256_BYTES];
    /* Not STORED: segments whose chunks the caller still has. Bitmaps are malloc'ed and become
     * the assembler's. */
    uint32_t slot_count;
    struct assembler_slot slots[ASSEMBLER_SLOTS_MAX];
};

/* NOT_KEPT: it belongs into quarantine and that is full. The clip is let go of without an answer:
 * the car keeps it, and asks again ever less often. */
enum assembler_stored {
    ASSEMBLER_DONE, ASSEMBLER_QUARANTINED, ASSEMBLER_NOT_KEPT, ASSEMBLER_BAD_SEGMENT
};
struct assembler_outcome {
    enum assembler_stored result;
    uint32_t bad_slot;   /* BAD_SEGMENT: its bytes do not have its SHA-256 */
    uint32_t need_count; /* DONE: stored raw-only for want of these */
    uint8_t needs[WIRE_NEEDS_MAX][SHA256_BYTES];
    char reason[ERR_TEXT_MAX]; /* but for DONE */
};

/* Effects, in the caller. Each returns 0 or a negative errno; an error of `find` and `write` makes
 * assembler_put return -EAGAIN, so that the caller gives the same message again. */
struct assembler_ops {
    int (*find)(void *context, int32_t partition, const char *vehicle,
                const uint8_t clip_id[CLIP_ID_BYTES], struct assembler_known *ret_known);
    /* Is this very content, named by its manifest-final, kept in quarantine? 1, 0 or an error. */
    int (*quarantined)(void *context, const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES],
                       const uint8_t final_sha256[SHA256_BYTES]);
    int (*write)(void *context, const struct assembler_clip *clip,
                 const struct assembler_slot *slot, uint32_t index, const uint8_t *bytes,
                 uint32_t size);
    /* Every chunk of clip->final is held; slots[k] is its segment k. */
    int (*publish)(void *context, const struct assembler_clip *clip,
                   const struct assembler_slot *const slots[SEGMENTS_MAX],
                   struct assembler_outcome *ret_outcome);
    /* Tells of a partial clip; with `release` its bytes must outlive the cache. `gone` is 0 or what
     * the car said. */
    int (*partial)(void *context, const struct assembler_clip *clip, bool release,
                   enum wire_gone_reason gone);
    /* Sent until its delivery report; `hold_offset` stays needed until then. */
    void (*receipt)(void *context, int32_t partition, int64_t hold_offset,
                    const struct wire_receipt *receipt);
    void (*announce)(void *context, const struct assembler_clip *clip, int64_t hold_offset);
    /* The same for a clip that was stored before this process came to read its messages. */
    void (*announce_known)(void *context, int32_t partition, int64_t hold_offset,
                           const struct assembler_known *known);
    /* The clip needs nothing of the cache any more: stored, quarantined or released. */
    void (*forget)(void *context, const struct assembler_clip *clip);
};

struct assembler_config {
    uint32_t clips_max;         /* open at a time, 1..ASSEMBLER_CLIPS_MAX */
    uint32_t vehicle_clips_max; /* of one car */
    int64_t vehicle_bytes_max;  /* declared bytes of one car's open segments */
    int64_t bytes_max;          /* of all cars */
    int64_t partial_after_ns, release_after_ns; /* from the last chunk; partial <= release */
    const struct assembler_ops *ops;
    void *context;
};

/* Why a message was refused: the label of a counter. */
enum assembler_refusal {
    ASSEMBLER_KEY,      /* no key, not a pseudonym, or not the one that the value names */
    ASSEMBLER_KIND,     /* does not belong on clip.v1 */
    ASSEMBLER_CLIP_ID,  /* not made of vehicle, session and ordinal */
    ASSEMBLER_GEOMETRY, /* count, size or S differ from what was declared before */
    ASSEMBLER_LIMIT,    /* open clips or bytes */
    ASSEMBLER_CONTENT,  /* SHA-256 does not hold, or quarantined */
    ASSEMBLER_REFUSALS
};
const char *assembler_refusal_name(enum assembler_refusal refusal);

struct assembler_stats {
    uint64_t messages[WIRE_KIND_END]; /* taken, by kind */
    uint64_t refused[ASSEMBLER_REFUSALS];
    uint64_t chunks, duplicate_chunks, stored_before; /* stored_before: of clips already stored */
    uint64_t stored, raw_only, quarantined, not_kept, bad_segments, publish_retries;
    uint64_t partial, released, resumed, gone, gone_unknown;
    uint64_t receipts_complete, receipts_missing;
    uint32_t open_clips, partial_clips;
    int64_t open_bytes; /* declared */
};

struct assembler;

/* *config is copied. NULL when memory is short or a limit is out of range. */
struct assembler *assembler_open(const struct assembler_config *config);
void assembler_close(struct assembler *assembler); /* takes NULL; calls no op */

/* Where a message stood in its topic. */
struct assembler_place {
    int32_t partition;
    int64_t offset;
    const void *key;
    size_t key_size;
};

/* Takes one decoded message. Returns 0; -EAGAIN (an effect failed: give it again later, nothing was
 * taken); or -EINVAL, -ERANGE, -EBADMSG with *err filled: a dead letter, its reason in
 * *ret_refusal, state untouched but for the clip that ASSEMBLER_CONTENT names. */
int assembler_put(struct assembler *assembler, const struct assembler_place *place,
                  const struct wire_value *value, int64_t now_ns, struct err *err,
                  enum assembler_refusal *ret_refusal);

/* Runs what is due: partial, release, another try to store. Call it about once a second. */
void assembler_tick(struct assembler *assembler, int64_t now_ns);

/* The lowest offset of the partition that an open clip needs, or -1 when none does. */
int64_t assembler_needed(const struct assembler *assembler, int32_t partition);

/* Forgets the partition's clips, calling no op: another member reads it now. */
void assembler_revoke(struct assembler *assembler, int32_t partition);

void assembler_stats(const struct assembler *assembler, struct assembler_stats *ret_stats);

/* 1..PSEUDONYM_MAX-1 of [A-Za-z0-9_.-], not beginning with '.': safe as a part of a path. */
bool assembler_pseudonym_ok(const char *text, size_t size);

static inline bool assembler_bit(const struct assembler_slot *slot, uint32_t index)
{
    return slot->bitmap[index / 8] >> (index % 8) & 1;
}

/* Ranges of chunks that are not held, from chunk *first on; at most `max`. Returns how many, and
 * *first is where to go on. */
uint32_t assembler_missing(const struct assembler_slot *slot, uint32_t *first,
                           struct wire_range *ranges, uint32_t max);

#endif
