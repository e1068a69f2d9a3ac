/* assembler_table - the open clips and the memory of stored ones, behind assembler.c alone. */
#ifndef TOOLS_SINK_ASSEMBLER_TABLE_H
#define TOOLS_SINK_ASSEMBLER_TABLE_H
#include "tools/sink/assembler.h"

#define ASSEMBLER_BUCKETS 1024 /* power of two: clip ids are SHA-256, so any bits do */
#define ASSEMBLER_DONE_MAX 4096    /* stored clips remembered, so that their chunks cost no look-up */

struct assembler_done {
    bool used;
    char vehicle[PSEUDONYM_MAX];
    uint8_t clip_id[CLIP_ID_BYTES];
    uint32_t segment_count;
    uint8_t sha256[SEGMENTS_MAX][SHA256_BYTES];
};

struct assembler_table {
    uint32_t count;
    int64_t bytes;
    struct assembler_clip *buckets[ASSEMBLER_BUCKETS];
    struct assembler_done done[ASSEMBLER_DONE_MAX]; /* direct-mapped by clip id */
};

struct assembler_clip *table_find(const struct assembler_table *table, int32_t partition,
                                  const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES]);
/* Opens an empty clip; -ERANGE with *err beyond a limit, -ENOMEM. */
int table_open(struct assembler_table *table, const struct assembler_config *config,
               const struct assembler_clip *like, struct err *err,
               struct assembler_clip **ret_clip);
void table_drop(struct assembler_table *table, struct assembler_clip *clip);
void table_clear(struct assembler_table *table);

struct assembler_slot *slot_find(struct assembler_clip *clip, unsigned segment,
                                 const uint8_t sha256[SHA256_BYTES]);
/* Adds an empty slot of the geometry in *like; -ERANGE with *err beyond a limit, -ENOMEM. A bitmap
 * given in *like is taken over, also on failure (freed). */
int slot_add(struct assembler_table *table, const struct assembler_config *config,
             struct assembler_clip *clip, const struct assembler_slot *like, struct err *err,
             struct assembler_slot **ret_slot);

/* Is the segment of a clip that was stored not long ago? */
bool done_has(const struct assembler_table *table, const char *vehicle,
              const uint8_t clip_id[CLIP_ID_BYTES], const uint8_t sha256[SHA256_BYTES]);
bool done_known(const struct assembler_table *table, const char *vehicle,
                const uint8_t clip_id[CLIP_ID_BYTES]);
void done_put(struct assembler_table *table, const char *vehicle,
              const uint8_t clip_id[CLIP_ID_BYTES], const uint8_t (*sha256)[SHA256_BYTES],
              uint32_t count);

#endif
