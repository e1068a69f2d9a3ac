#include "daemon/pipeline_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* a + b, held at INT64_MAX: an open end plus a second is an open end. */
static int64_t add_ns(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* These rules did not run before the reload that brought them. */
static int64_t state_time(const struct pipeline *pipeline, int64_t at_ns)
{
    return at_ns < pipeline->generation_ns ? pipeline->generation_ns : at_ns;
}

size_t state_save(struct pipeline *pipeline, int64_t at_ns)
{
    if (!pipeline->engine || !pipeline->begun)
        return 0;
    at_ns = state_time(pipeline, at_ns);
    if (at_ns == pipeline->generation_ns && pipeline->handover_size) {
        memcpy(pipeline->state, pipeline->handover, pipeline->handover_size);
        return pipeline->handover_size;
    }
    size_t size = engine_state_save(pipeline->engine, at_ns, pipeline->state,
                                    pipeline->state_room);
    return size <= pipeline->state_room && size <= CLIP_STATE_BYTES_MAX ? size : 0;
}

/* --- windows --- */

static int64_t event_end(const struct event_record *record)
{
    return record->event.ended ? add_ns(record->event.end_ns, record->post_ns) : INT64_MAX;
}

static int64_t event_begin(const struct pipeline *pipeline, const struct event_record *record)
{
    int64_t start_ns = record->event.start_ns - record->pre_ns;

    return start_ns < pipeline->first_mono_ns ? pipeline->first_mono_ns : start_ns;
}

static int64_t members_end(const struct pipeline_clip *clip)
{
    int64_t end_ns = clip->start_ns;

    for (uint32_t i = 0; i < clip->member_count; i++)
        if (event_end(clip->members[i].record) > end_ns)
            end_ns = event_end(clip->members[i].record);
    return end_ns;
}

static bool all_closed(const struct pipeline_clip *clip)
{
    for (uint32_t i = 0; i < clip->member_count; i++)
        if (!clip->members[i].record->event.closed)
            return false;
    return true;
}

/* --- what a clip has in common with others --- */

static void find_overlaps(const struct pipeline *pipeline, const struct pipeline_clip *clip,
                          int64_t end_ns, uint8_t (*ids)[CLIP_ID_BYTES], uint32_t *ret_count)
{
    size_t from = pipeline->recent_clip_count > RECENT_CLIPS_MAX
                      ? pipeline->recent_clip_count - RECENT_CLIPS_MAX
                      : 0;
    uint32_t count = 0;

    for (size_t i = from; i < pipeline->recent_clip_count && count < CLIP_OVERLAPS_MAX; i++) {
        const struct recent_clip *recent = &pipeline->recent_clips[i % RECENT_CLIPS_MAX];
        if (recent->ordinal < clip->ordinal && recent->end_ns >= clip->start_ns &&
            recent->start_ns <= end_ns)
            memcpy(ids[count++], recent->id, CLIP_ID_BYTES);
    }
    *ret_count = count;
}

/* Keeps the window of a clip for those that follow; written again whenever it moves. */
static void remember_window(struct pipeline *pipeline, const struct pipeline_clip *clip)
{
    size_t from = pipeline->recent_clip_count > RECENT_CLIPS_MAX
                      ? pipeline->recent_clip_count - RECENT_CLIPS_MAX
                      : 0;
    size_t at = pipeline->recent_clip_count;

    for (size_t i = from; i < pipeline->recent_clip_count; i++)
        if (pipeline->recent_clips[i % RECENT_CLIPS_MAX].ordinal == clip->ordinal)
            at = i;
    if (at == pipeline->recent_clip_count)
        pipeline->recent_clip_count++;
    struct recent_clip *recent = &pipeline->recent_clips[at % RECENT_CLIPS_MAX];
    recent->ordinal = clip->ordinal;
    memcpy(recent->id, clip->id, CLIP_ID_BYTES);
    recent->start_ns = clip->start_ns;
    recent->end_ns = clip->end_ns;
}

/* --- commands --- */

/* A deep copy that lives with the command: what the bytes of the record say. */
static struct recorder_open *copy_header(const struct clip_header *header, int64_t end_ns)
{
    int64_t size = clip_header_encode(header, NULL, 0);
    struct recorder_open *open = calloc(1, sizeof *open);
    uint8_t *bytes = size < 0 ? NULL : malloc((size_t)size);
    struct err err;

    if (!open || !bytes || clip_header_encode(header, bytes, (size_t)size) < 0 ||
        clip_header_decode(bytes, (size_t)size, &open->header, &err)) {
        free(open);
        open = NULL;
    } else {
        open->end_ns = end_ns;
    }
    free(bytes);
    return open;
}

static struct recorder_close *copy_manifest(const struct clip_manifest *manifest)
{
    int64_t size = clip_manifest_encode(manifest, NULL, 0);
    struct recorder_close *close = calloc(1, sizeof *close);
    uint8_t *bytes = size < 0 ? NULL : malloc((size_t)size);
    struct err err;

    if (!close || !bytes || clip_manifest_encode(manifest, bytes, (size_t)size) < 0 ||
        clip_manifest_decode(bytes, (size_t)size, &close->manifest, &err)) {
        free(close);
        close = NULL;
    }
    free(bytes);
    return close;
}

static bool put_open(struct pipeline *pipeline, const struct pipeline_clip *clip)
{
    struct clip_header header = { .ordinal = clip->ordinal,
                                  .segments = clip->segments,
                                  .vehicle = pipeline->session.vehicle,
                                  .rule = clip->rule,
                                  .clip_class = clip->crash ? "crash" : "",
                                  .priority = clip->priority,
                                  .codec = (uint8_t)pipeline->codec,
                                  .generation = clip->generation,
                                  .engine_version = ENGINE_SEMANTICS_VERSION,
                                  .start_ns = clip->start_ns,
                                  .offset_ns = offset_at(pipeline, clip->start_ns),
                                  .sources = pipeline->sources,
                                  .dbcs = pipeline->generation.dbcs,
                                  .dbc_count = pipeline->generation.dbc_count,
                                  .clock = pipeline->clock };

    header.state_bytes = (uint32_t)state_save(pipeline, clip->start_ns);
    header.state = pipeline->state;
    memcpy(header.clip_id, clip->id, CLIP_ID_BYTES);
    memcpy(header.session_id, pipeline->session.id, SESSION_ID_BYTES);
    memcpy(header.rule_hash, clip->rule_hash, SHA256_BYTES);
    memcpy(header.pack_sha256, pipeline->generation.pack_sha256, SHA256_BYTES);
    memcpy(header.shaping_sha256, pipeline->session.shaping_sha256, SHA256_BYTES);
    memcpy(header.recording_sha256, pipeline->session.recording_sha256, SHA256_BYTES);
    struct recorder_command command = { .kind = RECORDER_OPEN,
                                        .clip = (uint8_t)(clip - pipeline->clips),
                                        .open = copy_header(&header, clip->end_ns) };
    if (command.open)
        command.open->state_ns = state_time(pipeline, clip->start_ns);
    if (command.open && command_put(pipeline, &command))
        return true;
    recorder_command_deinit(&command);
    return false;
}

struct recorder_state *state_copy(struct pipeline *pipeline, int64_t at_ns)
{
    size_t size = state_save(pipeline, at_ns);
    struct recorder_state *state = malloc(sizeof *state + size);

    if (!state)
        return NULL;
    state->at_ns = state_time(pipeline, at_ns);
    state->size = (uint32_t)size;
    if (size)
        memcpy(state->bytes, pipeline->state, size);
    return state;
}

static void put_extend(struct pipeline *pipeline, const struct pipeline_clip *clip,
                       bool start_moved)
{
    struct recorder_command command = { .kind = RECORDER_EXTEND,
                                        .clip = (uint8_t)(clip - pipeline->clips) };

    command.extend.start_ns = clip->start_ns;
    command.extend.end_ns = clip->end_ns;
    if (start_moved)
        command.extend.state = state_copy(pipeline, clip->start_ns);
    if (!command_put(pipeline, &command)) /* CLOSE says the end again */
        free(command.extend.state);
    remember_window(pipeline, clip);
}

static uint64_t discontinuities_in(const struct pipeline *pipeline, int64_t start_ns,
                                   int64_t end_ns)
{
    uint64_t count = 0;

    for (size_t back = 0; back + 1 < pipeline->offset_count && back + 1 < OFFSETS_MAX; back++) {
        int64_t from_ns =
            pipeline->offsets[(pipeline->offset_count - 1 - back) % OFFSETS_MAX].from_ns;
        count += from_ns > start_ns && from_ns <= end_ns;
    }
    return count;
}

/* Own events in the order of their fires, then those of other clips that fired inside: a replay of
 * the clip fires them too. */
static uint32_t list_events(const struct pipeline *pipeline, const struct pipeline_clip *clip,
                            int64_t end_ns, struct clip_event *events)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < clip->member_count; i++)
        if (clip->members[i].own)
            events[count++] = clip->members[i].record->event;
    for (size_t i = 0; i < pipeline->recent_count && count < CLIP_EVENTS_MAX; i++) {
        const struct event_record *record =
            pipeline->recent[(pipeline->recent_at + i) % RECENT_EVENTS_MAX];
        bool own = record->in_clip && !memcmp(record->clip_id, clip->id, CLIP_ID_BYTES);

        if (own || record->event.generation != clip->generation ||
            record->event.fire_ns < clip->start_ns || record->event.fire_ns > end_ns)
            continue;
        events[count] = record->event;
        events[count++].elsewhere = true;
    }
    return count;
}

static void list_source_events(const struct pipeline *pipeline, int64_t start_ns, int64_t end_ns,
                               struct clip_completeness *to)
{
    size_t count = pipeline->source_event_count;
    size_t i = count > RECENT_SOURCE_EVENTS_MAX ? count - RECENT_SOURCE_EVENTS_MAX : 0;

    for (; i < count; i++) {
        const struct clip_source_event *event =
            &pipeline->source_events[i % RECENT_SOURCE_EVENTS_MAX];
        if (event->mono_ns < start_ns || event->mono_ns > end_ns)
            continue;
        to->gaps += event->kind == CLIP_SOURCE_DOWN;
        if (to->source_event_count < CLIP_SOURCE_EVENTS_MAX)
            to->source_events[to->source_event_count++] = *event;
        else
            to->source_events_left_out++;
    }
}

static void put_close(struct pipeline *pipeline, const struct pipeline_clip *clip,
                      enum recorder_kind kind, int64_t end_ns, enum clip_end end)
{
    uint8_t overlaps[CLIP_OVERLAPS_MAX][CLIP_ID_BYTES];
    struct clip_manifest manifest = { .segment = 0,
                                      .events = pipeline->listed,
                                      .start_ns = clip->start_ns,
                                      .end_ns = end_ns,
                                      .start_offset_ns = offset_at(pipeline, clip->start_ns),
                                      .end_offset_ns = offset_at(pipeline, end_ns),
                                      .end = end,
                                      .continues = clip->continues,
                                      .overlaps = (const uint8_t(*)[CLIP_ID_BYTES])overlaps,
                                      .dbcs = pipeline->generation.dbcs,
                                      .dbc_count = pipeline->generation.dbc_count,
                                      .clock = pipeline->clock };

    manifest.event_count = list_events(pipeline, clip, end_ns, pipeline->listed);
    manifest.completeness.source_count = pipeline->sources.count;
    manifest.completeness.skipped_lines = pipeline->skipped_lines;
    manifest.completeness.clock_quality = pipeline->clock_quality;
    manifest.completeness.discontinuities = discontinuities_in(pipeline, clip->start_ns, end_ns);
    list_source_events(pipeline, clip->start_ns, end_ns, &manifest.completeness);
    memcpy(manifest.completeness.interfaces, pipeline->interfaces, sizeof pipeline->interfaces);
    memcpy(manifest.clip_id, clip->id, CLIP_ID_BYTES);
    memcpy(manifest.continues_id, clip->continues_id, CLIP_ID_BYTES);
    memcpy(manifest.pack_sha256, pipeline->generation.pack_sha256, SHA256_BYTES);
    memcpy(manifest.shaping_sha256, pipeline->session.shaping_sha256, SHA256_BYTES);
    find_overlaps(pipeline, clip, end_ns, overlaps, &manifest.overlap_count);
    struct recorder_command command = { .kind = kind,
                                        .clip = (uint8_t)(clip - pipeline->clips),
                                        .close = copy_manifest(&manifest) };
    if (!command.close || !command_put(pipeline, &command)) {
        /* A CLOSE without a manifest makes the recorder fail the clip: it is not lost in silence. */
        recorder_command_deinit(&command);
        command = (struct recorder_command){ .kind = kind,
                                             .clip = (uint8_t)(clip - pipeline->clips) };
        (void)command_put(pipeline, &command);
    }
}

/* --- the life of a clip --- */

static void free_clip(struct pipeline_clip *clip)
{
    for (uint32_t i = 0; i < clip->member_count; i++)
        event_drop(clip->members[i].record);
    clip->member_count = 0;
    clip->used = false;
}

void clips_free(struct pipeline *pipeline)
{
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++)
        free_clip(&pipeline->clips[i]);
}

static void close_clip(struct pipeline *pipeline, struct pipeline_clip *clip, int64_t end_ns,
                       enum clip_end end)
{
    clip->end_ns = end_ns;
    remember_window(pipeline, clip);
    put_close(pipeline, clip, RECORDER_CLOSE, end_ns, end);
    pipeline->stats.clips_closed++;
    pipeline->stats.in_open_clips -= clip->own_count;
    free_clip(clip);
}

static struct pipeline_clip *free_slot(struct pipeline *pipeline)
{
    struct pipeline_clip *slot = NULL;
    uint32_t used = 0;

    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        if (pipeline->clips[i].used)
            used++;
        else if (!slot)
            slot = &pipeline->clips[i];
    }
    return used < pipeline->shaping.clips_open ? slot : NULL;
}

static void add_member(struct pipeline *pipeline, struct pipeline_clip *clip,
                       struct event_record *record, bool own)
{
    assert(clip->member_count < CLIP_EVENTS_MAX);
    event_hold(record);
    clip->members[clip->member_count++] = (struct clip_member){ record, own };
    if (!own)
        return;
    clip->own_count++;
    record->in_clip = true;
    memcpy(record->clip_id, clip->id, CLIP_ID_BYTES);
    pipeline->stats.in_clips++;
    pipeline->stats.in_open_clips++;
}

static void begin_clip(struct pipeline *pipeline, struct pipeline_clip *clip, int64_t start_ns,
                       int64_t max_bytes)
{
    clip->used = true;
    clip->limited = false;
    clip->ordinal = pipeline->next_ordinal++;
    session_clip_id(&pipeline->session, clip->ordinal, clip->id);
    clip->start_ns = start_ns;
    clip->cap_ns = add_ns(start_ns, pipeline->shaping.clip_max_ns);
    clip->max_bytes = pipeline->shaping.clip_max_bytes;
    if (max_bytes > 0 && max_bytes < clip->max_bytes)
        clip->max_bytes = max_bytes;
    clip->member_count = clip->own_count = 0;
    clip->generation = pipeline->generation.number;
}

/* Returns false when no memory was left for the command: the clip is not open then. */
static bool start_clip(struct pipeline *pipeline, struct pipeline_clip *clip)
{
    if (!put_open(pipeline, clip)) {
        clip->used = false;
        return false;
    }
    pipeline->stats.clips_opened++;
    remember_window(pipeline, clip);
    note_put(pipeline, PIPELINE_NOTE_OPENED, NULL, "", clip->start_ns, clip->id);
    if (clip->segments > 1)
        put_close(pipeline, clip, RECORDER_SEAL, pipeline->now_ns, CLIP_END_COMPLETE);
    return true;
}

static void open_clip(struct pipeline *pipeline, struct pipeline_clip *clip,
                      struct event_record *record)
{
    begin_clip(pipeline, clip, event_begin(pipeline, record), record->clip_max_bytes);
    clip->crash = record->priority == PRIORITY_CRASH;
    clip->segments = clip->crash ? 2 : 1;
    clip->merge = record->merge;
    clip->priority = record->priority;
    clip->continues = false;
    memset(clip->continues_id, 0, sizeof clip->continues_id);
    memcpy(clip->streams, record->streams, sizeof clip->streams);
    memcpy(clip->rule_hash, record->event.rule_hash, SHA256_BYTES);
    (void)snprintf(clip->rule, sizeof clip->rule, "%s", record->event.rule);
    clip->end_ns = event_end(record);
    add_member(pipeline, clip, record, true);
    if (start_clip(pipeline, clip))
        return;
    pipeline->stats.failed[PIPELINE_FAIL_MEMORY]++;
    pipeline->stats.in_clips--;
    pipeline->stats.in_open_clips--;
    record->in_clip = false;
    free_clip(clip);
}

static bool joins(const struct pipeline *pipeline, const struct pipeline_clip *clip,
                  const struct event_record *record)
{
    return clip->used && !clip->limited && clip->merge && record->merge &&
           clip->crash == (record->priority == PRIORITY_CRASH) &&
           clip->generation == record->event.generation &&
           !strcmp(clip->streams, record->streams) &&
           record->event.fire_ns <= add_ns(clip->end_ns, pipeline->shaping.join_ns);
}

static void join_clip(struct pipeline *pipeline, struct pipeline_clip *clip,
                      struct event_record *record)
{
    int64_t start_ns = event_begin(pipeline, record);

    add_member(pipeline, clip, record, true);
    pipeline->stats.joins++;
    bool start_moved = start_ns < clip->start_ns;
    if (start_moved) {
        clip->start_ns = start_ns;
        clip->cap_ns = add_ns(start_ns, pipeline->shaping.clip_max_ns);
    }
    clip->end_ns = members_end(clip);
    put_extend(pipeline, clip, start_moved);
}

void clips_update(struct pipeline *pipeline, struct event_record *record)
{
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct pipeline_clip *clip = &pipeline->clips[i];
        bool member = false;

        if (!clip->used || clip->limited)
            continue;
        for (uint32_t k = 0; k < clip->member_count && !member; k++)
            member = clip->members[k].record == record;
        int64_t end_ns = member ? members_end(clip) : clip->end_ns;
        if (end_ns == clip->end_ns)
            continue;
        clip->end_ns = end_ns;
        put_extend(pipeline, clip, false);
    }
}

/* --- limits --- */

/* The next clip takes over what is still going on. */
static void continue_clip(struct pipeline *pipeline, const struct pipeline_clip *clip)
{
    struct pipeline_clip *next = free_slot(pipeline);

    if (!next)
        return;
    begin_clip(pipeline, next, clip->end_ns + 1, clip->max_bytes);
    next->crash = clip->crash;
    next->segments = 1;
    next->merge = clip->merge;
    next->priority = clip->priority;
    next->continues = true;
    memcpy(next->continues_id, clip->id, CLIP_ID_BYTES);
    memcpy(next->streams, clip->streams, sizeof next->streams);
    memcpy(next->rule_hash, clip->rule_hash, SHA256_BYTES);
    memcpy(next->rule, clip->rule, sizeof next->rule);
    next->generation = clip->generation;
    for (uint32_t i = 0; i < clip->member_count; i++)
        if (event_end(clip->members[i].record) > clip->end_ns)
            add_member(pipeline, next, clip->members[i].record, false);
    next->end_ns = members_end(next);
    if (next->member_count && start_clip(pipeline, next))
        pipeline->stats.clips_continued++;
    else
        free_clip(next);
}

/* From here on the end is final: what came at or before it is the clip's, stragglers too, which the
 * seal waits for as for any clip. */
static void limit_clip(struct pipeline *pipeline, struct pipeline_clip *clip, int64_t end_ns)
{
    if (clip->limited || clip->end_ns <= end_ns)
        return;
    clip->limited = true;
    clip->end_ns = end_ns;
    put_extend(pipeline, clip, false);
    continue_clip(pipeline, clip);
}

/* The oldest clip that may take the event: slots are reused, so their order says nothing. */
static struct pipeline_clip *find_clip(struct pipeline *pipeline, const struct event_record *record)
{
    struct pipeline_clip *best = NULL;

    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct pipeline_clip *clip = &pipeline->clips[i];
        if (joins(pipeline, clip, record) && (!best || clip->ordinal < best->ordinal))
            best = clip;
    }
    return best;
}

void clips_fire(struct pipeline *pipeline, struct event_record *record)
{
    struct pipeline_clip *clip = find_clip(pipeline, record);

    if (clip && clip->member_count >= CLIP_OWN_EVENTS_MAX) {
        limit_clip(pipeline, clip, record->event.fire_ns);
        clip = find_clip(pipeline, record);
        if (clip && clip->member_count >= CLIP_OWN_EVENTS_MAX)
            clip = NULL; /* over already, only the second of waiting is not */
    }
    if (clip) {
        join_clip(pipeline, clip, record);
        return;
    }
    struct pipeline_clip *slot = free_slot(pipeline);
    if (slot)
        open_clip(pipeline, slot, record);
    else
        pipeline->stats.failed[PIPELINE_FAIL_CLIPS]++;
}

static uint64_t row_bytes_since(const struct pipeline *pipeline, int64_t start_ns)
{
    int64_t slot = start_ns / LOAD_SLOT_NS, last = pipeline->now_ns / LOAD_SLOT_NS;

    if (last - slot >= LOAD_SLOTS)
        slot = last - LOAD_SLOTS + 1;
    /* The first slot from there on that had rows: those without kept what they had before. */
    for (; slot <= last; slot++) {
        size_t at = (size_t)(((slot % LOAD_SLOTS) + LOAD_SLOTS) % LOAD_SLOTS);
        if (pipeline->load[at].slot == slot)
            return pipeline->row_bytes - pipeline->load[at].before;
    }
    return 0;
}

/* A look back over the whole window costs thousands of slots, so bytes are looked at once in a slot
 * of time: at its first row, which depends on the rows alone. */
void clips_limit(struct pipeline *pipeline)
{
    int64_t slot = pipeline->now_ns / LOAD_SLOT_NS;

    if (slot == pipeline->limit_slot)
        return;
    pipeline->limit_slot = slot;
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct pipeline_clip *clip = &pipeline->clips[i];

        if (!clip->used || clip->limited || clip->start_ns >= pipeline->now_ns)
            continue;
        uint64_t bytes = row_bytes_since(pipeline, clip->start_ns) / pipeline->shaping.size_ratio;
        if (bytes >= (uint64_t)clip->max_bytes)
            limit_clip(pipeline, clip, pipeline->now_ns);
    }
}

static bool is_over(const struct pipeline *pipeline, const struct pipeline_clip *clip,
                    int64_t t_ns)
{
    return clip->used && (clip->limited || all_closed(clip)) &&
           add_ns(clip->end_ns, pipeline->shaping.join_ns) < t_ns;
}

void clips_due(struct pipeline *pipeline, int64_t t_ns)
{
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct pipeline_clip *clip = &pipeline->clips[i];
        if (clip->used && clip->cap_ns < t_ns)
            limit_clip(pipeline, clip, clip->cap_ns);
    }
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct pipeline_clip *clip = &pipeline->clips[i];
        if (is_over(pipeline, clip, t_ns))
            close_clip(pipeline, clip, clip->end_ns,
                       clip->limited ? CLIP_END_LIMIT : CLIP_END_COMPLETE);
    }
}

void clips_finish(struct pipeline *pipeline)
{
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        struct pipeline_clip *clip = &pipeline->clips[i];

        if (!clip->used)
            continue;
        if (clip->end_ns > pipeline->now_ns)
            close_clip(pipeline, clip, pipeline->now_ns, CLIP_END_INPUT);
        else
            close_clip(pipeline, clip, clip->end_ns,
                       clip->limited ? CLIP_END_LIMIT : CLIP_END_COMPLETE);
    }
}

int64_t clips_next_due(const struct pipeline *pipeline)
{
    int64_t due_ns = INT64_MAX;

    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        const struct pipeline_clip *clip = &pipeline->clips[i];
        if (!clip->used)
            continue;
        int64_t end_ns = clip->limited || clip->end_ns < clip->cap_ns
                             ? add_ns(clip->end_ns, pipeline->shaping.join_ns)
                             : clip->cap_ns;
        if (end_ns < due_ns)
            due_ns = end_ns;
    }
    return due_ns;
}
