/* What a clip takes: groups of the ring and of the open rows, whole or cut; header and manifest around
 * them. */
#include "storage/recorder_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- pieces of a segment --- */

/* Queues the bytes of a block, which gains a reference, and counts them in the segment's body. */
static bool send(struct recorder *recorder, struct clip_slot *slot, enum recorder_piece_kind kind,
                 struct recorder_block *block)
{
    struct recorder_piece piece = { .kind = kind,
                                    .clip = (uint8_t)(slot - recorder->slots),
                                    .segment = slot->segment,
                                    .segments = slot->header.segments,
                                    .bytes = block->bytes,
                                    .size = block->size,
                                    .block = block,
                                    .header = block->header,
                                    .manifest = block->manifest };

    memcpy(piece.clip_id, slot->header.clip_id, CLIP_ID_BYTES);
    if (!piece_put(recorder, &piece)) {
        clip_fail(slot, RECORDER_FAIL_MEMORY);
        return false;
    }
    block_hold(block);
    sha256_put(slot->sha, block->bytes, block->size);
    slot->body_bytes += block->size;
    return true;
}

/* Whether the clip may grow by that much; else it is truncated from here on. */
static bool fits(const struct recorder *recorder, struct clip_slot *slot, size_t size)
{
    size_t pinned = recorder->pieces.outstanding_bytes;

    if (slot->failed || slot->truncated)
        return false;
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++)
        pinned += recorder->slots[i].held_bytes;
    if (recorder->config.live && pinned + size > recorder->config.pin_bytes)
        clip_truncate(slot, "pins");
    else if (slot->body_bytes + size > SEGMENT_BYTES_MAX - MANIFEST_BYTES_MAX)
        clip_truncate(slot, "segment");
    return !slot->truncated;
}

static void send_group(struct recorder *recorder, struct clip_slot *slot,
                       struct recorder_block *block)
{
    if (!fits(recorder, slot, block->size) || !send(recorder, slot, RECORDER_DATA, block))
        return;
    slot->groups++;
    block_count_add(&slot->counts, &block->counts);
    if (!slot->any_row || block->span.first_step < slot->first_step)
        slot->first_step = block->span.first_step;
    if (!slot->any_row || block->span.last_step > slot->last_step)
        slot->last_step = block->span.last_step;
    slot->any_row = true;
}

/* --- cutting --- */

static bool in_cut(const struct cut *cut, const struct row *row)
{
    int64_t mapped_ns = row_mapped_ns(row);

    return mapped_ns >= cut->lo_ns && mapped_ns <= cut->hi_ns && row->step >= cut->from_step &&
           row->step < cut->to_step;
}

static void send_chosen(struct recorder *recorder, struct clip_slot *slot, uint32_t generation,
                        const struct block_counts *counts)
{
    struct group_config config = { .codec = recorder->config.codec,
                                   .generation = generation,
                                   .sources = &recorder->config.sources };
    struct rowbuf_info info;

    rowbuf_info(recorder->chosen, &info);
    if (!info.rows)
        return;
    int64_t size = group_encode(recorder->coder, &config, recorder->chosen, NULL, 0);
    struct recorder_block *block =
        size < 0 ? NULL : block_open(group_bytes(recorder->coder), (size_t)size);
    rowbuf_clear(recorder->chosen);
    if (!block) {
        clip_truncate(slot, "memory");
        return;
    }
    block->span.first_step = info.first_step;
    block->span.last_step = info.last_step;
    block->counts = *counts;
    recorder->stats.groups_cut++;
    send_group(recorder, slot, block);
    block_drop(block);
}

/* The rows of one group that lie in the cut, as a group of their own; as two where the marks for
 * rows left out do not fit beside the rows. */
static void cut_rows(struct recorder *recorder, struct clip_slot *slot, const struct rowbuf *rows,
                     uint32_t generation, const struct cut *cut)
{
    struct rowbuf_cursor cursor = rowbuf_begin(rows);
    struct block_counts counts = { 0 };
    struct row row;

    rowbuf_clear(recorder->chosen);
    while (rowbuf_next(rows, &cursor, &row)) {
        if (!in_cut(cut, &row))
            continue;
        if (rowbuf_put(recorder->chosen, &row) == -ENOBUFS) {
            send_chosen(recorder, slot, generation, &counts);
            counts = (struct block_counts){ 0 };
            int rc = rowbuf_put(recorder->chosen, &row);
            assert(rc == 0); /* an empty buffer holds any one row */
            (void)rc;
        }
        block_count_row(&counts, &row);
    }
    send_chosen(recorder, slot, generation, &counts);
}

void segment_cut_block(struct recorder *recorder, struct clip_slot *slot,
                       struct recorder_block *block, const struct cut *cut)
{
    const struct block_span *span = &block->span;
    struct group_head head;
    struct err err;

    if (span->mapped_max_ns < cut->lo_ns || span->mapped_min_ns > cut->hi_ns ||
        span->last_step < cut->from_step || span->first_step >= cut->to_step)
        return;
    if (span->mapped_min_ns >= cut->lo_ns && span->mapped_max_ns <= cut->hi_ns &&
        span->first_step >= cut->from_step && span->last_step < cut->to_step) {
        recorder->stats.groups_shared++;
        send_group(recorder, slot, block);
        return;
    }
    if (group_decode(recorder->coder, block->bytes, block->size, &head, recorder->decoded, &err))
        clip_truncate(slot, "memory");
    else
        cut_rows(recorder, slot, recorder->decoded, span->generation, cut);
}

void segment_cut_open(struct recorder *recorder, struct clip_slot *slot, const struct cut *cut)
{
    const struct open_group *open = &recorder->open;

    if (open->begun && open->span.mapped_max_ns >= cut->lo_ns &&
        open->span.mapped_min_ns <= cut->hi_ns && open->span.last_step >= cut->from_step)
        cut_rows(recorder, slot, recorder->rows, open->span.generation, cut);
}

/* Rows that the clip still wants. */
static struct cut wanted(const struct clip_slot *slot)
{
    return (struct cut){ slot->start_ns, slot->end_ns, slot->sent_step, UINT64_MAX };
}

static void consider(struct recorder *recorder, struct clip_slot *slot,
                     struct recorder_block *block)
{
    struct cut cut = wanted(slot);

    segment_cut_block(recorder, slot, block, &cut);
    slot->sent_step = block->span.last_step + 1;
}

/* The front of the held groups is considered once nothing in it lies beyond the end, or when the
 * end is final. */
void segment_take_held(struct recorder *recorder, struct clip_slot *slot, bool final)
{
    uint32_t done = 0;

    while (done < slot->held_count &&
           (final || slot->held[done]->span.mapped_max_ns <= slot->end_ns)) {
        struct recorder_block *block = slot->held[done++];
        slot->held_bytes -= block->size;
        consider(recorder, slot, block);
        block_drop(block);
    }
    slot->held_count -= done;
    memmove(slot->held, slot->held + done, slot->held_count * sizeof slot->held[0]);
}

void segment_offer(struct recorder *recorder, struct clip_slot *slot, struct recorder_block *block)
{
    if (!slot->held_count && block->span.mapped_max_ns <= slot->end_ns) {
        consider(recorder, slot, block);
        return;
    }
    if (slot->held_count == HELD_BLOCKS_MAX) {
        clip_truncate(slot, "held");
        return;
    }
    if (!fits(recorder, slot, block->size))
        return;
    block_hold(block);
    slot->held[slot->held_count++] = block;
    slot->held_bytes += block->size;
}

void segment_rest(struct recorder *recorder, struct clip_slot *slot)
{
    segment_take_held(recorder, slot, true);
    struct cut cut = wanted(slot);
    segment_cut_open(recorder, slot, &cut);
    slot->sent_step = recorder->next_step;
}

/* --- header, seed, manifest --- */

static struct recorder_block *header_block(struct recorder *recorder,
                                           const struct clip_header *header)
{
    uint32_t seed_count = 0;
    const struct row *seed =
        header->segment ? NULL : seeds_cut_take(&recorder->seeds, &seed_count);
    int64_t head_size = clip_header_encode(header, NULL, 0);
    int64_t seed_size = clip_seed_encode(seed, seed_count, NULL, 0);
    struct err err;

    if (head_size < 0 || seed_size < 0)
        return NULL;
    struct recorder_block *block = block_open(NULL, (size_t)(head_size + seed_size));
    if (!block)
        return NULL;
    block->header = calloc(1, sizeof *block->header);
    if (!block->header || clip_header_encode(header, block->bytes, (size_t)head_size) < 0 ||
        clip_header_decode(block->bytes, (size_t)head_size, block->header, &err)) {
        free(block->header); /* not decoded: holds nothing */
        block->header = NULL;
        block_drop(block);
        return NULL;
    }
    seed_size = clip_seed_encode(seed, seed_count, block->bytes + head_size, (size_t)seed_size);
    if (seed_size < 0) {
        block_drop(block);
        return NULL;
    }
    block->size = (size_t)(head_size + seed_size);
    return block;
}

void segment_begin(struct recorder *recorder, struct clip_slot *slot)
{
    uint8_t unused[SHA256_BYTES];

    sha256_take(slot->sha, unused); /* begins anew */
    slot->body_bytes = 0;
    slot->groups = 0;
    slot->any_row = false;
    slot->first_step = slot->last_step = 0;
    slot->counts = (struct block_counts){ 0 };
    slot->header.segment = slot->segment;
    struct recorder_block *block = header_block(recorder, &slot->header);
    if (!block) {
        clip_fail(slot, RECORDER_FAIL_FORMAT);
        return;
    }
    (void)send(recorder, slot, RECORDER_BEGIN, block);
    block_drop(block);
}

static void fill_losses(const struct recorder *recorder, const struct clip_manifest *manifest,
                        struct clip_completeness *to)
{
    for (size_t i = 0; i < recorder->loss_count; i++) {
        const struct loss *loss = &recorder->losses[(recorder->loss_at + i) % LOSSES_MAX];
        struct clip_source_counts *counts = &to->sources[loss->source];

        if (loss->mono_ns < manifest->start_ns || loss->mono_ns > manifest->end_ns)
            continue;
        to->gaps += loss->kind != RECORDER_LOSS_FILTER;
        if (loss->kind == RECORDER_LOSS_DRIVER)
            counts->dropped_driver += loss->count;
        else if (loss->kind == RECORDER_LOSS_KERNEL)
            counts->dropped_kernel += loss->count;
        else if (loss->kind == RECORDER_LOSS_QUEUE)
            counts->dropped_queue += loss->count;
        else
            counts->dropped_filter += loss->count;
    }
}

static void fill_completeness(const struct recorder *recorder, const struct clip_slot *slot,
                              struct clip_manifest *manifest)
{
    struct clip_completeness *to = &manifest->completeness;

    to->source_count = recorder->config.sources.count;
    fill_losses(recorder, manifest, to);
    to->clamped = slot->counts.clamped;
    for (uint32_t i = 0; i < recorder->config.sources.count; i++) {
        struct clip_source_counts *counts = &to->sources[i];
        counts->stored = slot->counts.stored[i];
        counts->late = slot->counts.late[i];
        counts->error_frames = slot->counts.errors[i];
        counts->received = counts->stored + counts->dropped_kernel + counts->dropped_queue +
                           counts->dropped_filter + counts->dropped_driver;
    }
}

static void fill_manifest(const struct recorder *recorder, struct clip_slot *slot,
                          struct clip_manifest *manifest)
{
    memcpy(manifest->clip_id, slot->header.clip_id, CLIP_ID_BYTES);
    manifest->segment = slot->segment;
    manifest->last_segment = slot->segment + 1 == slot->header.segments;
    manifest->frames = slot->counts.frames;
    manifest->row_bytes = slot->counts.row_bytes;
    manifest->groups = slot->groups;
    manifest->body_bytes = slot->body_bytes;
    sha256_take(slot->sha, manifest->body_sha256);
    manifest->first_step = slot->first_step;
    manifest->last_step = slot->last_step;
    if (manifest->start_ns < slot->start_ns)
        manifest->start_ns = slot->start_ns;
    fill_completeness(recorder, slot, manifest);
    if (slot->early_seed) {
        manifest->early_seed = slot->early_seed;
        manifest->early_seed_bytes = (uint32_t)slot->early_seed_bytes;
    }
    if (slot->early_seed && slot->early_state) {
        manifest->early_state = slot->early_state->bytes;
        manifest->early_state_bytes = slot->early_state->size;
    }
    if (slot->truncated) {
        manifest->end = CLIP_END_TRUNCATED;
        manifest->end_detail = slot->truncated_by;
    } else if (slot->pre_truncated) {
        manifest->end_detail = "pre_truncated";
    }
}

void segment_end(struct recorder *recorder, struct clip_slot *slot, struct clip_manifest *manifest)
{
    struct err err;

    fill_manifest(recorder, slot, manifest);
    int64_t size = clip_manifest_encode(manifest, NULL, 0);
    struct recorder_block *block = size < 0 ? NULL : block_open(NULL, (size_t)size);
    if (block)
        block->manifest = calloc(1, sizeof *block->manifest);
    if (!block || !block->manifest ||
        clip_manifest_encode(manifest, block->bytes, (size_t)size) < 0 ||
        clip_manifest_decode(block->bytes, (size_t)size, block->manifest, &err)) {
        clip_fail(slot, size < 0 ? RECORDER_FAIL_FORMAT : RECORDER_FAIL_MEMORY);
        if (block) {
            free(block->manifest);
            block->manifest = NULL;
        }
        block_drop(block);
        return;
    }
    if (send(recorder, slot, RECORDER_END, block))
        recorder->stats.segments++;
    block_drop(block);
}
