#include "tools/sink/assembler_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bucket_of(const uint8_t clip_id[CLIP_ID_BYTES])
{
    return ((uint32_t)clip_id[0] << 8 | clip_id[1]) & (ASSEMBLER_BUCKETS - 1);
}

struct assembler_clip *table_find(const struct assembler_table *table, int32_t partition,
                                  const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES])
{
    struct assembler_clip *clip = table->buckets[bucket_of(clip_id)];

    while (clip && (clip->partition != partition || memcmp(clip->clip_id, clip_id, CLIP_ID_BYTES) ||
                    strcmp(clip->vehicle, vehicle)))
        clip = clip->next;
    return clip;
}

static int64_t clip_bytes(const struct assembler_clip *clip)
{
    int64_t bytes = 0;

    for (uint32_t i = 0; i < clip->slot_count; i++)
        bytes += clip->slots[i].bytes;
    return bytes;
}

/* Runs only when a clip or a segment begins, so a walk is cheap enough and has no second truth. */
static uint32_t vehicle_load(const struct assembler_table *table, const char *vehicle,
                             int64_t *ret_bytes)
{
    uint32_t clips = 0;

    *ret_bytes = 0;
    for (uint32_t b = 0; b < ASSEMBLER_BUCKETS; b++)
        for (const struct assembler_clip *clip = table->buckets[b]; clip; clip = clip->next) {
            if (strcmp(clip->vehicle, vehicle))
                continue;
            clips++;
            *ret_bytes += clip_bytes(clip);
        }
    return clips;
}

int table_open(struct assembler_table *table, const struct assembler_config *config,
               const struct assembler_clip *like, struct err *err,
               struct assembler_clip **ret_clip)
{
    int64_t bytes;

    if (table->count >= config->clips_max)
        return err_plain(err, -ERANGE, "%u clips are open, at most %u are assembled at a time",
                         table->count, config->clips_max);
    uint32_t clips = vehicle_load(table, like->vehicle, &bytes);
    if (clips >= config->vehicle_clips_max)
        return err_plain(err, -ERANGE, "vehicle '%s' has %u open clips, at most %u are assembled at "
                         "a time", like->vehicle, clips, config->vehicle_clips_max);
    struct assembler_clip *clip = malloc(sizeof *clip);
    if (!clip)
        return -ENOMEM;
    *clip = *like;
    struct assembler_clip **bucket = &table->buckets[bucket_of(clip->clip_id)];
    clip->next = *bucket;
    *bucket = clip;
    table->count++;
    *ret_clip = clip;
    return 0;
}

void table_drop(struct assembler_table *table, struct assembler_clip *clip)
{
    struct assembler_clip **at = &table->buckets[bucket_of(clip->clip_id)];

    while (*at != clip)
        at = &(*at)->next;
    *at = clip->next;
    table->count--;
    table->bytes -= clip_bytes(clip);
    for (uint32_t i = 0; i < clip->slot_count; i++)
        free(clip->slots[i].bitmap);
    free(clip);
}

void table_clear(struct assembler_table *table)
{
    struct assembler_clip *next;

    for (uint32_t b = 0; b < ASSEMBLER_BUCKETS; b++)
        for (struct assembler_clip *clip = table->buckets[b]; clip; clip = next) {
            next = clip->next;
            table_drop(table, clip);
        }
}

struct assembler_slot *slot_find(struct assembler_clip *clip, unsigned segment,
                                 const uint8_t sha256[SHA256_BYTES])
{
    for (uint32_t i = 0; i < clip->slot_count; i++)
        if (clip->slots[i].segment == segment &&
            !memcmp(clip->slots[i].sha256, sha256, SHA256_BYTES))
            return &clip->slots[i];
    return NULL;
}

static int slot_limits(const struct assembler_table *table, const struct assembler_config *config,
                       const struct assembler_clip *clip, uint32_t bytes, struct err *err)
{
    int64_t vehicle_bytes;

    if (clip->slot_count == ASSEMBLER_SLOTS_MAX)
        return err_plain(err, -ERANGE, "clip has %d different segments under assembly, the limit",
                         ASSEMBLER_SLOTS_MAX);
    (void)vehicle_load(table, clip->vehicle, &vehicle_bytes);
    if (vehicle_bytes + bytes > config->vehicle_bytes_max)
        return err_plain(err, -ERANGE, "vehicle '%s' would have %lld bytes under assembly, at most "
                         "%lld", clip->vehicle, (long long)(vehicle_bytes + bytes),
                         (long long)config->vehicle_bytes_max);
    if (table->bytes + bytes > config->bytes_max)
        return err_plain(err, -ERANGE, "%lld bytes would be under assembly, at most %lld",
                         (long long)(table->bytes + bytes), (long long)config->bytes_max);
    return 0;
}

int slot_add(struct assembler_table *table, const struct assembler_config *config,
             struct assembler_clip *clip, const struct assembler_slot *like, struct err *err,
             struct assembler_slot **ret_slot)
{
    int rc = slot_limits(table, config, clip, like->bytes, err);
    uint8_t *bitmap = like->bitmap;

    if (!rc && !bitmap)
        bitmap = calloc(1, (like->count + 7) / 8);
    if (rc || !bitmap) {
        free(like->bitmap);
        return rc ? rc : -ENOMEM;
    }
    struct assembler_slot *slot = &clip->slots[clip->slot_count++];
    *slot = *like;
    slot->bitmap = bitmap;
    table->bytes += slot->bytes;
    if (ret_slot)
        *ret_slot = slot;
    return 0;
}

static uint32_t done_place(const uint8_t clip_id[CLIP_ID_BYTES])
{
    return ((uint32_t)clip_id[2] << 8 | clip_id[3]) % ASSEMBLER_DONE_MAX;
}

bool done_known(const struct assembler_table *table, const char *vehicle,
                const uint8_t clip_id[CLIP_ID_BYTES])
{
    const struct assembler_done *done = &table->done[done_place(clip_id)];

    return done->used && !memcmp(done->clip_id, clip_id, CLIP_ID_BYTES) &&
           !strcmp(done->vehicle, vehicle);
}

bool done_has(const struct assembler_table *table, const char *vehicle,
              const uint8_t clip_id[CLIP_ID_BYTES], const uint8_t sha256[SHA256_BYTES])
{
    const struct assembler_done *done = &table->done[done_place(clip_id)];

    if (!done_known(table, vehicle, clip_id))
        return false;
    for (uint32_t i = 0; i < done->segment_count; i++)
        if (!memcmp(done->sha256[i], sha256, SHA256_BYTES))
            return true;
    return false;
}

void done_put(struct assembler_table *table, const char *vehicle,
              const uint8_t clip_id[CLIP_ID_BYTES], const uint8_t (*sha256)[SHA256_BYTES],
              uint32_t count)
{
    struct assembler_done *done = &table->done[done_place(clip_id)];

    memset(done, 0, sizeof *done);
    done->used = true;
    memcpy(done->vehicle, vehicle, strlen(vehicle) + 1);
    memcpy(done->clip_id, clip_id, CLIP_ID_BYTES);
    done->segment_count = count;
    for (uint32_t i = 0; i < count; i++)
        memcpy(done->sha256[i], sha256[i], SHA256_BYTES);
}
