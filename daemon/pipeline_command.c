/* What the recorder is told of a clip: its header, its window, its manifest. */
#include "daemon/pipeline_inside.h"

#include <stdlib.h>
#include <string.h>

/* --- states of the rules --- */

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
void clip_remember(struct pipeline *pipeline, const struct pipeline_clip *clip)
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

bool clip_put_open(struct pipeline *pipeline, const struct pipeline_clip *clip)
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

void clip_put_extend(struct pipeline *pipeline, const struct pipeline_clip *clip,
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
    clip_remember(pipeline, clip);
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

void clip_put_close(struct pipeline *pipeline, const struct pipeline_clip *clip,
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
