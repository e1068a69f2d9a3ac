#include "storage/recorder.h"

#include "storage/recorder_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A group must stay encodable: its rows may not exceed what a block holds. */
#define GROUP_ROW_BYTES_MAX (BLOCK_BYTES_MAX - 65536)
/* A cut needs marks where rows are left out; it never needs more than this beside the rows. */
#define CUT_MARK_BYTES 1048576

static const char *const fail_names[RECORDER_FAIL_COUNT] = { "memory", "refused", "format" };

const char *recorder_fail_name(enum recorder_fail fail)
{
    return (unsigned)fail < RECORDER_FAIL_COUNT ? fail_names[fail] : "unknown";
}

void recorder_command_deinit(struct recorder_command *command)
{
    switch (command->kind) {
    case RECORDER_STATE:
        free(command->state);
        break;
    case RECORDER_EXTEND:
        free(command->extend.state);
        break;
    case RECORDER_OPEN:
        if (command->open)
            clip_header_deinit(&command->open->header);
        free(command->open);
        break;
    case RECORDER_SEAL:
    case RECORDER_CLOSE:
        if (command->close)
            clip_manifest_deinit(&command->close->manifest);
        free(command->close);
        break;
    default:
        break;
    }
    memset(command, 0, sizeof *command);
}

static int check_config(const struct recorder_config *config)
{
    if (config->open_bytes < 4096 || config->open_bytes > ROWBUF_BYTES_MAX)
        return -ERANGE;
    if (config->ring_bytes < 4096 || config->pin_bytes < 4096 || config->block_ns < 1)
        return -ERANGE;
    if (config->codec >= CODEC_COUNT || config->sources.count > SOURCES_MAX)
        return -ERANGE;
    return 0;
}

static int allocate(struct recorder *recorder)
{
    size_t cut_bytes = recorder->config.open_bytes + CUT_MARK_BYTES;

    if (cut_bytes > ROWBUF_BYTES_MAX)
        cut_bytes = ROWBUF_BYTES_MAX;
    recorder->coder = group_coder_open();
    recorder->rows = rowbuf_open(recorder->config.open_bytes);
    recorder->decoded = rowbuf_open(cut_bytes);
    recorder->chosen = rowbuf_open(cut_bytes);
    recorder->ring = calloc(RING_BLOCKS_MAX, sizeof *recorder->ring);
    recorder->state_scratch = malloc(CLIP_STATE_BYTES_MAX);
    if (!recorder->coder || !recorder->rows || !recorder->decoded || !recorder->chosen ||
        !recorder->ring || !recorder->state_scratch || seeds_init(&recorder->seeds))
        return -ENOMEM;
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct clip_slot *slot = &recorder->slots[i];
        slot->held = calloc(HELD_BLOCKS_MAX, sizeof *slot->held);
        slot->sha = sha256_open();
        if (!slot->held || !slot->sha)
            return -ENOMEM;
    }
    return 0;
}

int recorder_open(const struct recorder_config *config, struct recorder **ret_recorder)
{
    int rc = check_config(config);

    if (rc)
        return rc;
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder)
        return -ENOMEM;
    recorder->config = *config;
    statelog_init(&recorder->states);
    rc = allocate(recorder);
    if (rc) {
        recorder_close(recorder);
        return rc;
    }
    *ret_recorder = recorder;
    return 0;
}

void recorder_close(struct recorder *recorder)
{
    if (!recorder)
        return;
    for (size_t i = 0; i < recorder->ring_count; i++)
        block_drop(ring_block(recorder, i));
    for (size_t i = 0; i < recorder->pieces.count; i++)
        block_drop(recorder->pieces.items[(recorder->pieces.at + i) % recorder->pieces.room].block);
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        clip_free(&recorder->slots[i]);
        sha256_close(recorder->slots[i].sha);
        free(recorder->slots[i].held);
    }
    free(recorder->pieces.items);
    free(recorder->ring);
    free(recorder->state_scratch);
    free(recorder->open.seeds);
    seeds_deinit(&recorder->seeds);
    statelog_deinit(&recorder->states);
    rowbuf_close(recorder->rows);
    rowbuf_close(recorder->decoded);
    rowbuf_close(recorder->chosen);
    group_coder_close(recorder->coder);
    free(recorder);
}

/* --- the open group --- */

static struct recorder_block *encode_open(struct recorder *recorder)
{
    struct group_config config = { .codec = recorder->config.codec,
                                   .generation = recorder->open.span.generation,
                                   .sources = &recorder->config.sources };

    if (recorder->pressed && recorder->config.live) {
        config.codec = CODEC_ROWS;
        recorder->stats.groups_plain++;
    }
    int64_t size = group_encode(recorder->coder, &config, recorder->rows, NULL, 0);
    if (size < 0)
        return NULL;
    return block_open(group_bytes(recorder->coder), (size_t)size);
}

/* Gives the block the states of the group; without memory for them a cut finds none there. */
static void keep_states(struct recorder *recorder, struct recorder_block *block)
{
    if (recorder->states.size && (block->states = malloc(recorder->states.size))) {
        memcpy(block->states, recorder->states.bytes, recorder->states.size);
        block->states_bytes = recorder->states.size;
    }
    statelog_clear(&recorder->states);
}

static void lose_open(struct recorder *recorder)
{
    recorder->stats.rows_dropped += recorder->open.counts.frames;
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++)
        if (recorder->slots[i].used)
            clip_truncate(&recorder->slots[i], "memory");
    free(recorder->open.seeds);
}

static void close_group(struct recorder *recorder)
{
    struct open_group *open = &recorder->open;

    if (!open->begun)
        return;
    struct recorder_block *block = encode_open(recorder);
    if (!block) {
        lose_open(recorder);
    } else {
        block->span = open->span;
        block->counts = open->counts;
        block->seeds = open->seeds;
        block->seeds_bytes = open->seeds_bytes;
        keep_states(recorder, block);
        recorder->stats.groups++;
        recorder->stats.group_bytes += block->size;
        recorder->stats.rows_stored += block->counts.frames;
        block_hold(block); /* the ring may evict it at once */
        ring_push(recorder, block);
        for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++)
            if (recorder->slots[i].used)
                segment_offer(recorder, &recorder->slots[i], block);
        block_drop(block);
    }
    rowbuf_clear(recorder->rows);
    memset(open, 0, sizeof *open);
}

static void begin_group(struct recorder *recorder, const struct row *row)
{
    struct open_group *open = &recorder->open;
    int64_t mapped_ns = row_mapped_ns(row);

    open->begun = true;
    open->mono_first_ns = row->mono_ns;
    open->span = (struct block_span){ .first_step = row->step,
                                      .last_step = row->step,
                                      .mapped_min_ns = mapped_ns,
                                      .mapped_max_ns = mapped_ns,
                                      .mono_before_ns = recorder->any_row ? recorder->mono_ns
                                                                          : row->mono_ns,
                                      .offset_ns = row->offset_ns,
                                      .generation = recorder->generation };
    /* Without memory for the seeds a clip that begins here has none: its rules start unknown. */
    (void)seeds_save(&recorder->seeds, &open->seeds, &open->seeds_bytes);
}

static bool must_close(const struct recorder *recorder, const struct row *row)
{
    const struct open_group *open = &recorder->open;

    if (!open->begun)
        return false;
    return row->offset_ns != open->span.offset_ns ||
           recorder->generation != open->span.generation ||
           row->mono_ns - open->mono_first_ns >= recorder->config.block_ns ||
           open->counts.row_bytes + frame_row_bytes(&row->frame) > GROUP_ROW_BYTES_MAX;
}

static int store_row(struct recorder *recorder, const struct row *row)
{
    int64_t mapped_ns = row_mapped_ns(row);
    struct block_span *span = &recorder->open.span;

    if (must_close(recorder, row))
        close_group(recorder);
    int rc = rowbuf_put(recorder->rows, row);
    if (rc == -ENOBUFS) {
        close_group(recorder);
        rc = rowbuf_put(recorder->rows, row);
    }
    if (rc)
        return rc;
    if (!recorder->open.begun)
        begin_group(recorder, row);
    span->last_step = row->step;
    if (mapped_ns < span->mapped_min_ns)
        span->mapped_min_ns = mapped_ns;
    if (mapped_ns > span->mapped_max_ns)
        span->mapped_max_ns = mapped_ns;
    block_count_row(&recorder->open.counts, row);
    return 0;
}

static int put_row(struct recorder *recorder, const struct recorder_command *command)
{
    const struct row *row = &command->row;

    if (row->frame.source >= recorder->config.sources.count)
        return -EINVAL;
    if (recorder->any_row && (row->step < recorder->next_step || row->mono_ns < recorder->mono_ns))
        return -EINVAL;
    int rc = store_row(recorder, row);
    if (rc)
        return rc;
    if (command->read)
        seeds_put(&recorder->seeds, row);
    recorder->stats.rows++;
    recorder->stats.row_bytes += frame_row_bytes(&row->frame);
    recorder->any_row = true;
    recorder->next_step = row->step + 1;
    recorder->mono_ns = row->mono_ns;
    return 0;
}

/* --- commands --- */

static struct loss *loss_at(struct recorder *recorder, size_t i)
{
    return &recorder->losses[(recorder->loss_at + i) % LOSSES_MAX];
}

/* The oldest goes into the next of its source and kind: a clip may then state more than it lost, never
 * less. */
static void fold_oldest_loss(struct recorder *recorder)
{
    const struct loss *oldest = loss_at(recorder, 0);

    for (size_t i = 1; i < recorder->loss_count; i++) {
        struct loss *later = loss_at(recorder, i);
        if (later->source == oldest->source && later->kind == oldest->kind) {
            later->count += oldest->count;
            break;
        }
    }
    recorder->loss_at = (recorder->loss_at + 1) % LOSSES_MAX;
    recorder->loss_count--;
}

static void put_loss(struct recorder *recorder, const struct recorder_command *command)
{
    /* Reports of one burst are one entry: what is merged lies within a tenth of a second. */
    for (size_t i = recorder->loss_count; i-- > 0;) {
        struct loss *last = loss_at(recorder, i);
        if (command->loss.mono_ns - last->mono_ns >= 100 * NS_PER_MS)
            break;
        if (last->source == command->loss.source && last->kind == command->loss.kind) {
            last->count += command->loss.count;
            return;
        }
    }
    if (recorder->loss_count == LOSSES_MAX)
        fold_oldest_loss(recorder);
    recorder->losses[(recorder->loss_at + recorder->loss_count++) % LOSSES_MAX] =
        (struct loss){ .mono_ns = command->loss.mono_ns,
                       .count = command->loss.count,
                       .source = command->loss.source,
                       .kind = (uint8_t)command->loss.kind };
}

static int put_clip(struct recorder *recorder, struct recorder_command *command)
{
    bool used = command->clip < CLIPS_OPEN_MAX && recorder->slots[command->clip].used;

    if (command->clip >= CLIPS_OPEN_MAX || used == (command->kind == RECORDER_OPEN))
        return -EINVAL;
    if (command->kind == RECORDER_OPEN)
        clip_open(recorder, command->clip, command->open);
    else if (command->kind == RECORDER_EXTEND)
        clip_extend(recorder, command->clip, command);
    else if (command->kind == RECORDER_SEAL)
        clip_seal(recorder, command->clip, command->close);
    else
        clip_close(recorder, command->clip, command->close);
    return 0;
}

static int dispatch(struct recorder *recorder, struct recorder_command *command)
{
    switch (command->kind) {
    case RECORDER_ROW:
        return put_row(recorder, command);
    case RECORDER_GENERATION:
        recorder->generation = command->generation;
        return 0;
    case RECORDER_STATE:
        /* A checkpoint that does not fit is one place less where a clip could begin. */
        (void)statelog_put(&recorder->states, command->state->at_ns, command->state->bytes,
                           command->state->size);
        return 0;
    case RECORDER_LOSS:
        if (command->loss.source >= SOURCES_MAX || (unsigned)command->loss.kind >= RECORDER_LOSS_KINDS)
            return -EINVAL;
        put_loss(recorder, command);
        return 0;
    default:
        return put_clip(recorder, command);
    }
}

int recorder_put(struct recorder *recorder, struct recorder_command *command)
{
    if (!recorder->config.live &&
        recorder->pieces.outstanding_bytes > recorder->config.pin_bytes)
        return -EAGAIN;
    int rc = dispatch(recorder, command);
    recorder_command_deinit(command);
    return rc;
}

/* --- pieces --- */

bool piece_put(struct recorder *recorder, const struct recorder_piece *piece)
{
    struct piece_queue *queue = &recorder->pieces;

    if (queue->count == queue->room) {
        size_t room = queue->room ? 2 * queue->room : 64;
        struct recorder_piece *items = calloc(room, sizeof *items);
        if (!items)
            return false;
        for (size_t i = 0; i < queue->count; i++)
            items[i] = queue->items[(queue->at + i) % queue->room];
        free(queue->items);
        *queue = (struct piece_queue){ items, 0, queue->count, room, queue->outstanding_bytes };
    }
    queue->items[(queue->at + queue->count++) % queue->room] = *piece;
    queue->outstanding_bytes += piece->size;
    return true;
}

void pieces_forget(struct recorder *recorder, const uint8_t clip_id[CLIP_ID_BYTES])
{
    struct piece_queue *queue = &recorder->pieces;
    size_t kept = 0;

    for (size_t i = 0; i < queue->count; i++) {
        struct recorder_piece *piece = &queue->items[(queue->at + i) % queue->room];
        if (memcmp(piece->clip_id, clip_id, CLIP_ID_BYTES)) {
            queue->items[(queue->at + kept++) % queue->room] = *piece;
            continue;
        }
        queue->outstanding_bytes -= piece->size;
        block_drop(piece->block);
    }
    queue->count = kept;
}

int recorder_take(struct recorder *recorder, struct recorder_piece *ret_piece)
{
    struct piece_queue *queue = &recorder->pieces;

    if (!queue->count)
        return 0;
    *ret_piece = queue->items[queue->at];
    queue->at = (queue->at + 1) % queue->room;
    queue->count--;
    return 1;
}

void recorder_release(struct recorder *recorder, struct recorder_block *block)
{
    if (!block)
        return;
    assert(recorder->pieces.outstanding_bytes >= block->size);
    recorder->pieces.outstanding_bytes -= block->size;
    block_drop(block);
}

void recorder_refuse(struct recorder *recorder, const uint8_t clip_id[CLIP_ID_BYTES])
{
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct clip_slot *slot = &recorder->slots[i];
        if (!slot->used || memcmp(slot->header.clip_id, clip_id, CLIP_ID_BYTES))
            continue;
        slot->failed = true;
        slot->why = RECORDER_FAIL_REFUSED;
        pieces_forget(recorder, clip_id);
    }
}

void recorder_pressure(struct recorder *recorder, bool pressed) { recorder->pressed = pressed; }

void recorder_stats(const struct recorder *recorder, struct recorder_stats *ret_stats)
{
    *ret_stats = recorder->stats;
    ret_stats->rows_stored += recorder->open.counts.frames;
    ret_stats->ring_bytes = recorder->ring_bytes;
    ret_stats->pinned_bytes = recorder->pieces.outstanding_bytes;
    ret_stats->open_row_bytes = recorder->open.counts.row_bytes;
    ret_stats->seeds_dropped = recorder->seeds.dropped;
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        ret_stats->clips_open += recorder->slots[i].used;
        ret_stats->pinned_bytes += recorder->slots[i].held_bytes;
    }
}
