/* The life of a clip: its slot and the commands that move its window. */
#include "storage/recorder_inside.h"

#include <stdlib.h>
#include <string.h>

/* --- a slot --- */

void clip_truncate(struct clip_slot *slot, const char *by)
{
    if (!slot->truncated)
        slot->truncated_by = by;
    slot->truncated = true;
}

void clip_fail(struct clip_slot *slot, enum recorder_fail why)
{
    if (!slot->failed)
        slot->why = why;
    slot->failed = true;
}

static void drop_held(struct clip_slot *slot)
{
    for (uint32_t i = 0; i < slot->held_count; i++)
        block_drop(slot->held[i]);
    slot->held_count = 0;
    slot->held_bytes = 0;
}

void clip_free(struct clip_slot *slot)
{
    struct recorder_block **held = slot->held;
    struct sha256 *sha = slot->sha;

    drop_held(slot);
    free(slot->early_state);
    free(slot->early_seed);
    if (slot->used)
        clip_header_deinit(&slot->header);
    memset(slot, 0, sizeof *slot);
    slot->held = held; /* allocated once, reused by the next clip */
    slot->sha = sha;
}

/* --- commands --- */

/* The ring does not reach back to the start: the clip begins at the next checkpoint, so that the
 * life-cycles are known there. */
static void truncate_start(struct recorder *recorder, struct clip_slot *slot, int64_t state_ns)
{
    int64_t reach_ns = ring_reach(recorder), at_ns;
    size_t size;

    if (slot->start_ns >= reach_ns)
        return;
    slot->pre_truncated = true;
    slot->start_ns = reach_ns;
    if (state_ns >= reach_ns) {
        /* The state of a reload that the ring still reaches: earlier ones are of other rules. */
    } else if (ring_state(recorder, reach_ns, &at_ns, &size) == 1) {
        slot->start_ns = at_ns;
        slot->header.state = recorder->state_scratch;
        slot->header.state_bytes = (uint32_t)size;
    } else {
        slot->header.state_bytes = 0;
    }
    slot->header.start_ns = slot->start_ns;
}

void clip_open(struct recorder *recorder, uint8_t index, struct recorder_open *open)
{
    struct clip_slot *slot = &recorder->slots[index];

    slot->used = true;
    slot->header = open->header; /* ownership moves */
    memset(&open->header, 0, sizeof open->header);
    slot->start_ns = slot->header.start_ns;
    slot->end_ns = open->end_ns;
    recorder->stats.clips_opened++;
    truncate_start(recorder, slot, open->state_ns);
    if (ring_place(recorder, slot->start_ns, &slot->header)) {
        clip_fail(slot, RECORDER_FAIL_MEMORY);
        return;
    }
    segment_begin(recorder, slot);
    slot->header.state_bytes = 0; /* only the first segment carries it */
    for (size_t i = 0; i < recorder->ring_count; i++)
        segment_offer(recorder, slot, ring_block(recorder, i));
}

/* A copy of the state that the scratch holds. */
static struct recorder_state *keep_state(const struct recorder *recorder, int64_t at_ns,
                                         size_t size)
{
    struct recorder_state *state = malloc(sizeof *state + size);

    if (!state)
        return NULL;
    state->at_ns = at_ns;
    state->size = (uint32_t)size;
    memcpy(state->bytes, recorder->state_scratch, size);
    return state;
}

/* Seeds and states of the new start go into the manifest: header and seed are written already.
 * Without memory for them a replay begins at the old start. */
static void keep_early(struct recorder *recorder, struct clip_slot *slot,
                       struct recorder_state *state)
{
    struct clip_header place = { 0 };
    uint32_t count;

    free(slot->early_state);
    free(slot->early_seed);
    slot->early_state = state;
    slot->early_seed = NULL;
    slot->early_seed_bytes = 0;
    if (ring_place(recorder, slot->start_ns, &place))
        return;
    const struct row *rows = seeds_cut_take(&recorder->seeds, &count);
    int64_t room = clip_seed_encode(rows, count, NULL, 0);
    uint8_t *seed = room < 0 ? NULL : malloc((size_t)room);
    int64_t size = seed ? clip_seed_encode(rows, count, seed, (size_t)room) : -1;
    if (size < 0) {
        free(seed);
        return;
    }
    slot->early_seed = seed;
    slot->early_seed_bytes = (size_t)size;
}

/* Where the window can begin: at start_ns, or at a checkpoint after it where the ring does not reach
 * back; *state is then replaced. */
static int64_t reachable_start(struct recorder *recorder, struct clip_slot *slot, int64_t start_ns,
                               struct recorder_state **state)
{
    int64_t reach_ns = ring_reach(recorder), at_ns;
    size_t size;

    if (start_ns >= reach_ns)
        return start_ns;
    slot->pre_truncated = true;
    if (*state && (*state)->at_ns >= reach_ns)
        return reach_ns; /* of a reload, as in truncate_start */
    free(*state);
    *state = NULL;
    if (ring_state(recorder, reach_ns, &at_ns, &size) != 1)
        return reach_ns;
    *state = keep_state(recorder, at_ns, size);
    return at_ns;
}

/* The window begins earlier: what the ring still has of [start, old start) and was passed over is
 * appended. Later rows follow by the new window. Takes the state over. */
static void extend_back(struct recorder *recorder, struct clip_slot *slot, int64_t start_ns,
                        struct recorder_state *state)
{
    if (start_ns < slot->start_ns)
        start_ns = reachable_start(recorder, slot, start_ns, &state);
    if (start_ns >= slot->start_ns) {
        free(state);
        return;
    }
    struct cut cut = { start_ns, slot->start_ns - 1, 0, slot->sent_step };
    for (size_t i = 0; i < recorder->ring_count; i++)
        segment_cut_block(recorder, slot, ring_block(recorder, i), &cut);
    if (recorder->open.begun && recorder->open.span.first_step < slot->sent_step)
        segment_cut_open(recorder, slot, &cut);
    slot->start_ns = start_ns;
    keep_early(recorder, slot, state);
}

void clip_extend(struct recorder *recorder, uint8_t index, struct recorder_command *command)
{
    struct clip_slot *slot = &recorder->slots[index];

    extend_back(recorder, slot, command->extend.start_ns, command->extend.state);
    command->extend.state = NULL; /* taken */
    slot->end_ns = command->extend.end_ns;
    segment_take_held(recorder, slot, false);
}

void clip_seal(struct recorder *recorder, uint8_t index, struct recorder_close *close)
{
    struct clip_slot *slot = &recorder->slots[index];

    if (!close)
        clip_fail(slot, RECORDER_FAIL_MEMORY);
    segment_rest(recorder, slot);
    if (!slot->failed)
        segment_end(recorder, slot, &close->manifest);
    slot->segment++;
    slot->header.first_step = recorder->next_step;
    slot->header.mono_floor_ns = recorder->mono_ns;
    if (!slot->failed)
        segment_begin(recorder, slot);
}

/* Events that other clips list belong to their books. */
static uint32_t own_events(const struct clip_manifest *manifest)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < manifest->event_count; i++)
        count += !manifest->events[i].elsewhere;
    return count;
}

/* What waits to be taken is forgotten; the store learns of it unless it refused the clip itself. */
static void give_up(struct recorder *recorder, struct clip_slot *slot)
{
    struct recorder_piece piece = { .kind = RECORDER_FAILED,
                                    .clip = (uint8_t)(slot - recorder->slots),
                                    .segment = slot->segment,
                                    .segments = slot->header.segments };

    memcpy(piece.clip_id, slot->header.clip_id, CLIP_ID_BYTES);
    pieces_forget(recorder, slot->header.clip_id);
    recorder->stats.clips_failed[slot->why]++;
    if (slot->why != RECORDER_FAIL_REFUSED)
        (void)piece_put(recorder, &piece);
}

void clip_close(struct recorder *recorder, uint8_t index, struct recorder_close *close)
{
    struct clip_slot *slot = &recorder->slots[index];
    uint32_t events = close ? own_events(&close->manifest) : 0;

    if (!close)
        clip_fail(slot, RECORDER_FAIL_MEMORY);
    else
        slot->end_ns = close->manifest.end_ns;
    if (!slot->failed) {
        segment_rest(recorder, slot);
        segment_end(recorder, slot, &close->manifest);
    }
    if (slot->failed) {
        recorder->stats.events_failed += events;
        give_up(recorder, slot);
    } else {
        recorder->stats.clips_sealed++;
        recorder->stats.clips_truncated += slot->truncated;
        recorder->stats.clips_pre_truncated += slot->pre_truncated;
        recorder->stats.events_sealed += events;
    }
    clip_free(slot);
}
