/* sink_fake - an assembler with its effects in memory: what test_assembler, test_receipts and
 * fuzz_assembler share. Segments are kept as bytes, so that publish can hash them. */
#ifndef TESTS_SINK_FAKE_H
#define TESTS_SINK_FAKE_H
#include "proto/clip.h"
#include "tools/sink/assembler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_CLIPS 64
#define FAKE_WORDS 64
#define FAKE_CHUNK 4096

struct fake_clip {
    bool used, stored, quarantined, part;
    char vehicle[PSEUDONYM_MAX];
    uint8_t clip_id[CLIP_ID_BYTES];
    struct wire_final final;
    uint8_t final_sha256[SHA256_BYTES];
    uint32_t slot_count; /* cached or in the part */
    struct assembler_slot slots[ASSEMBLER_SLOTS_MAX];
    uint8_t *bytes[ASSEMBLER_SLOTS_MAX];
};

struct fake {
    struct assembler *assembler;
    struct fake_clip clips[FAKE_CLIPS];
    struct wire_receipt receipts[FAKE_WORDS];
    int64_t holds[FAKE_WORDS];
    unsigned receipt_count, announced, announced_known, partials, releases, forgotten, published;
    int64_t announce_hold;
    enum wire_gone_reason gone;
    unsigned need_count;      /* what publish says is missing */
    int fail_find, fail_write, fail_publish, fail_partial; /* errno to return, 0 none */
    bool quarantine_full, quarantine_next;
};

static struct fake_clip *fake_clip(struct fake *f, const char *vehicle, const uint8_t *id, bool add)
{
    for (unsigned i = 0; i < FAKE_CLIPS; i++)
        if (f->clips[i].used && !memcmp(f->clips[i].clip_id, id, CLIP_ID_BYTES) &&
            !strcmp(f->clips[i].vehicle, vehicle))
            return &f->clips[i];
    for (unsigned i = 0; add && i < FAKE_CLIPS; i++)
        if (!f->clips[i].used) {
            f->clips[i].used = true;
            snprintf(f->clips[i].vehicle, PSEUDONYM_MAX, "%s", vehicle);
            memcpy(f->clips[i].clip_id, id, CLIP_ID_BYTES);
            return &f->clips[i];
        }
    return NULL;
}

static void fake_drop_slots(struct fake_clip *c)
{
    for (uint32_t i = 0; i < c->slot_count; i++) {
        free(c->slots[i].bitmap);
        free(c->bytes[i]);
    }
    c->slot_count = 0;
}

static int fake_find(void *context, int32_t partition, const char *vehicle, const uint8_t *id,
                     struct assembler_known *known)
{
    struct fake *f = context;
    struct fake_clip *c = fake_clip(f, vehicle, id, false);

    (void)partition;
    if (f->fail_find)
        return f->fail_find;
    if (c && c->stored) {
        known->state = ASSEMBLER_STORED;
        known->about = c->final.about;
        known->about_known = true;
        known->segment_count = c->final.about.segments;
        for (uint32_t k = 0; k < known->segment_count; k++)
            memcpy(known->sha256[k], c->final.segments[k].sha256, SHA256_BYTES);
        return 0;
    }
    if (c && c->part)
        known->state = ASSEMBLER_PARTIAL;
    for (uint32_t i = 0; c && i < c->slot_count; i++) {
        known->slots[i] = c->slots[i];
        known->slots[i].bitmap = malloc((c->slots[i].count + 7) / 8);
        memcpy(known->slots[i].bitmap, c->slots[i].bitmap, (c->slots[i].count + 7) / 8);
        known->slot_count++;
    }
    return 0;
}

static int fake_quarantined(void *context, const char *vehicle, const uint8_t *id,
                            const uint8_t *final_sha256)
{
    struct fake_clip *c = fake_clip(context, vehicle, id, false);

    return c && c->quarantined && !memcmp(c->final_sha256, final_sha256, SHA256_BYTES);
}

static int fake_write(void *context, const struct assembler_clip *clip,
                      const struct assembler_slot *slot, uint32_t index, const uint8_t *bytes,
                      uint32_t size)
{
    struct fake *f = context;
    struct fake_clip *c;
    uint32_t i = 0;

    if (f->fail_write || !(c = fake_clip(f, clip->vehicle, clip->clip_id, true)))
        return f->fail_write ? f->fail_write : -ENOSPC;
    while (i < c->slot_count && (c->slots[i].segment != slot->segment ||
                                 memcmp(c->slots[i].sha256, slot->sha256, SHA256_BYTES)))
        i++;
    if (i < c->slot_count && c->slots[i].chunk_bytes != slot->chunk_bytes) {
        free(c->slots[i].bitmap); /* what the part held in another geometry is replaced */
        free(c->bytes[i]);
        c->slot_count--;
        c->slots[i] = c->slots[c->slot_count];
        c->bytes[i] = c->bytes[c->slot_count];
        i = c->slot_count;
    }
    if (i == c->slot_count) {
        if (i == ASSEMBLER_SLOTS_MAX)
            return -ENOSPC;
        c->slot_count++;
        c->slots[i] = *slot;
        c->slots[i].held = 0;
        c->slots[i].bitmap = calloc(1, (slot->count + 7) / 8);
        c->bytes[i] = calloc(1, slot->bytes);
    }
    if ((uint64_t)index * slot->chunk_bytes + size > slot->bytes)
        abort(); /* a write outside the segment is the bug that this fake is for */
    memcpy(c->bytes[i] + (size_t)index * slot->chunk_bytes, bytes, size);
    c->slots[i].held += !(c->slots[i].bitmap[index / 8] >> (index % 8) & 1);
    c->slots[i].bitmap[index / 8] |= (uint8_t)(1 << (index % 8));
    return 0;
}

static int fake_publish(void *context, const struct assembler_clip *clip,
                        const struct assembler_slot *const slots[SEGMENTS_MAX],
                        struct assembler_outcome *outcome)
{
    struct fake *f = context;
    struct fake_clip *c = fake_clip(f, clip->vehicle, clip->clip_id, true);

    if (f->fail_publish)
        return f->fail_publish;
    for (uint32_t k = 0; k < clip->final.about.segments; k++) {
        uint8_t sha256[SHA256_BYTES];
        uint32_t i = 0;
        while (i < c->slot_count && memcmp(c->slots[i].sha256, slots[k]->sha256, SHA256_BYTES))
            i++;
        if (i < c->slot_count)
            sha256_of(c->bytes[i], c->slots[i].bytes, sha256);
        if (i == c->slot_count || memcmp(sha256, slots[k]->sha256, SHA256_BYTES)) {
            outcome->result = ASSEMBLER_BAD_SEGMENT;
            outcome->bad_slot = k;
            snprintf(outcome->reason, sizeof outcome->reason, "segment %u is not its SHA-256", k);
            return 0;
        }
    }
    f->published++;
    if (f->quarantine_full) {
        outcome->result = ASSEMBLER_NOT_KEPT;
        snprintf(outcome->reason, sizeof outcome->reason, "quarantine is full");
        return 0;
    }
    if (f->quarantine_next || (c->stored && memcmp(c->final.segments[0].sha256,
                                                   clip->final.segments[0].sha256, SHA256_BYTES))) {
        outcome->result = ASSEMBLER_QUARANTINED;
        snprintf(outcome->reason, sizeof outcome->reason, "other content under a known id");
        c->quarantined = true;
        memcpy(c->final_sha256, clip->final_sha256, SHA256_BYTES);
        return 0;
    }
    outcome->need_count = f->need_count;
    c->stored = true;
    c->final = clip->final;
    return 0;
}

static int fake_partial(void *context, const struct assembler_clip *clip, bool release,
                        enum wire_gone_reason gone)
{
    struct fake *f = context;
    struct fake_clip *c = fake_clip(f, clip->vehicle, clip->clip_id, true);

    if (f->fail_partial || !c)
        return f->fail_partial ? f->fail_partial : -ENOSPC;
    f->partials += !release;
    f->releases += release;
    f->gone = gone;
    c->part |= release;
    return 0;
}

static void fake_receipt(void *context, int32_t partition, int64_t hold,
                         const struct wire_receipt *receipt)
{
    struct fake *f = context;
    struct wire_value value = { .kind = WIRE_RECEIPT, .receipt = *receipt };
    uint8_t bytes[WIRE_RECEIPT_MAX];

    (void)partition;
    if (wire_encode(&value, bytes, sizeof bytes, NULL) < 0)
        abort(); /* a receipt that cannot be sent */
    f->holds[f->receipt_count % FAKE_WORDS] = hold;
    f->receipts[f->receipt_count++ % FAKE_WORDS] = *receipt;
}

static void fake_announce(void *context, const struct assembler_clip *clip, int64_t hold)
{
    struct fake *f = context;

    (void)clip;
    f->announced++;
    f->announce_hold = hold;
}

static void fake_announce_known(void *context, int32_t partition, int64_t hold,
                                const struct assembler_known *known)
{
    (void)partition;
    (void)hold;
    (void)known;
    ((struct fake *)context)->announced_known++;
}

static void fake_forget(void *context, const struct assembler_clip *clip)
{
    struct fake *f = context;
    struct fake_clip *c = fake_clip(f, clip->vehicle, clip->clip_id, false);

    f->forgotten++;
    if (c && !c->part)
        fake_drop_slots(c);
}

static const struct assembler_ops fake_ops = {
    .find = fake_find, .quarantined = fake_quarantined, .write = fake_write,
    .publish = fake_publish, .partial = fake_partial, .receipt = fake_receipt,
    .announce = fake_announce, .announce_known = fake_announce_known, .forget = fake_forget,
};

static inline struct assembler_config fake_config(struct fake *f)
{
    return (struct assembler_config){ .clips_max = 32, .vehicle_clips_max = 4,
                                      .vehicle_bytes_max = 2 * SEGMENT_BYTES_MAX,
                                      .bytes_max = 4ll * SEGMENT_BYTES_MAX,
                                      .partial_after_ns = 900 * NS_PER_S,
                                      .release_after_ns = 3600 * NS_PER_S, .ops = &fake_ops,
                                      .context = f };
}

static inline void fake_open(struct fake *f)
{
    struct assembler_config config = fake_config(f);

    memset(f, 0, sizeof *f);
    f->assembler = assembler_open(&config);
}

/* A restart of the sink: memory is gone, dataset and cache are not. */
static inline void fake_restart(struct fake *f)
{
    struct assembler_config config = fake_config(f);

    assembler_close(f->assembler);
    f->assembler = assembler_open(&config);
}

static inline void fake_close(struct fake *f)
{
    assembler_close(f->assembler);
    for (unsigned i = 0; i < FAKE_CLIPS; i++)
        fake_drop_slots(&f->clips[i]);
}
#endif
