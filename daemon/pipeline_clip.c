/* Which clip an event belongs to, when a clip ends, and what fails. */
#include "daemon/pipeline_inside.h"

#include <assert.h>
#include <string.h>

/* a + b, held at INT64_MAX: an open end plus a second is an open end. */
static int64_t add_ns(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
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
    clip_remember(pipeline, clip);
    clip_put_close(pipeline, clip, RECORDER_CLOSE, end_ns, end);
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
    if (!clip_put_open(pipeline, clip)) {
        clip->used = false;
        return false;
    }
    pipeline->stats.clips_opened++;
    clip_remember(pipeline, clip);
    note_put(pipeline, PIPELINE_NOTE_OPENED, NULL, "", clip->start_ns, clip->id);
    if (clip->segments > 1)
        clip_put_close(pipeline, clip, RECORDER_SEAL, pipeline->now_ns, CLIP_END_COMPLETE);
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
    clip_put_extend(pipeline, clip, start_moved);
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
        clip_put_extend(pipeline, clip, false);
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
    clip_put_extend(pipeline, clip, false);
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
