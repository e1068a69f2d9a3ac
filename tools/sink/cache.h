/* cache - chunks of open clips on local disk, so that a restart does not write them again.
 * It may lag behind Kafka and may be lost at any time: what is committed to Kafka never counts on
 * it. One SQLite file for which chunks are held, one file a segment for their bytes, in "<path>.d/".
 * A row is committed only after its bytes are synced. One thread. */
#ifndef TOOLS_SINK_CACHE_H
#define TOOLS_SINK_CACHE_H
#include "proto/err.h"
#include "tools/sink/assembler.h"
#include "tools/sink/files.h"

#define CACHE_DIRTY_MAX 256 /* segments written since the last flush; one more flushes */

struct cache;

/* 0, or what db_open and files_open return, *err filled. */
int cache_open(const char *path, struct err *err, struct cache **ret_cache);
void cache_close(struct cache *cache); /* flushes; takes NULL */

/* Fills the slots of *ret_known with what is held (bitmaps malloc'ed). 0 or a negative errno. */
int cache_find(struct cache *cache, int32_t partition, const char *vehicle,
               const uint8_t clip_id[CLIP_ID_BYTES], struct assembler_known *ret_known);
int cache_write(struct cache *cache, const struct assembler_clip *clip,
                const struct assembler_slot *slot, uint32_t index, const uint8_t *bytes,
                uint32_t size);
/* A descriptor to read the segment from its first byte; the caller closes it. */
int cache_read(struct cache *cache, const struct assembler_clip *clip,
               const struct assembler_slot *slot);
/* Sync, then commit. Call it every second or so. */
int cache_flush(struct cache *cache);

int cache_forget(struct cache *cache, const struct assembler_clip *clip);
int cache_revoke(struct cache *cache, int32_t partition);
/* Drops the partition's segments whose first message lies below `committed`: somebody else finished
 * or released them. Returns how many, or a negative errno. */
int cache_purge(struct cache *cache, int32_t partition, int64_t committed);
int64_t cache_segments(struct cache *cache);

#endif
