#include "daemon/pipeline.h"

#include "daemon/pipeline_inside.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const fail_names[PIPELINE_FAIL_COUNT] = { "clips", "memory" };
static_assert((int)REASON_COUNT <= PIPELINE_SUPPRESS_MAX, "every reason has a counter");

const char *pipeline_fail_name(enum pipeline_fail fail)
{
    return (unsigned)fail < PIPELINE_FAIL_COUNT ? fail_names[fail] : "unknown";
}

/* --- opening --- */

static int open_engine(const struct generation *generation, const struct source_table *sources,
                       struct engine **ret_engine, struct err *err)
{
    const struct engine_config config = { generation->rules, sources };

    *ret_engine = NULL;
    if (!generation->rules)
        return 0;
    int rc = engine_open(&config, ret_engine);
    return rc ? err_plain(err, rc, "no memory for the rules") : 0;
}

/* Room for the states of this engine; more than a header may carry is not kept. */
static int reserve_state(struct pipeline *pipeline, const struct engine *engine)
{
    size_t need = engine ? engine_state_max(engine) : 0;

    if (need <= pipeline->state_room)
        return 0;
    uint8_t *state = realloc(pipeline->state, need);
    if (!state)
        return -ENOMEM;
    pipeline->state = state;
    pipeline->state_room = need;
    return 0;
}

static void copy_config(struct pipeline *pipeline, const struct pipeline_config *config)
{
    pipeline->session = *config->session;
    pipeline->shaping = *config->shaping;
    pipeline->sources = *config->sources;
    pipeline->skipped_lines = config->skipped_lines;
    (void)snprintf(pipeline->clock_quality, sizeof pipeline->clock_quality, "%s",
                   config->clock_quality ? config->clock_quality : "");
    pipeline_wall(pipeline, &config->clock);
    timeline_init(&pipeline->timeline);
}

int pipeline_open(const struct pipeline_config *config, const struct generation *generation,
                  struct pipeline **ret_pipeline, struct err *err)
{
    int codec = codec_from_name(config->shaping->codec);

    if (codec < 0)
        return err_plain(err, -EINVAL, "no codec '%s'", config->shaping->codec);
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline)
        return err_plain(err, -ENOMEM, "no memory for the pipeline");
    copy_config(pipeline, config);
    pipeline->codec = codec;
    pipeline->generation = *generation;
    int rc = open_engine(generation, &pipeline->sources, &pipeline->engine, err);
    if (!rc && reserve_state(pipeline, pipeline->engine))
        rc = err_plain(err, -ENOMEM, "no memory for the states of the rules");
    if (rc) {
        pipeline_close(pipeline);
        return rc;
    }
    (void)command_put(pipeline, &(struct recorder_command){ .kind = RECORDER_GENERATION,
                                                            .generation = generation->number });
    *ret_pipeline = pipeline;
    return 0;
}

void pipeline_close(struct pipeline *pipeline)
{
    if (!pipeline)
        return;
    for (size_t i = 0; i < pipeline->command_count; i++)
        recorder_command_deinit(&pipeline->commands[pipeline->command_at + i]);
    for (size_t i = 0; i < pipeline->note_count; i++)
        event_drop(pipeline->notes[pipeline->note_at + i].record);
    for (size_t i = 0; i < pipeline->recent_count; i++)
        event_drop(pipeline->recent[(pipeline->recent_at + i) % RECENT_EVENTS_MAX]);
    for (uint32_t i = 0; i < pipeline->live_count; i++)
        event_drop(pipeline->live[i]);
    event_drop(pipeline->taken.record);
    clips_free(pipeline);
    engine_close(pipeline->engine);
    free(pipeline->commands);
    free(pipeline->notes);
    free(pipeline->state);
    free(pipeline->handover);
    free(pipeline);
}

/* --- queues --- */

bool command_put(struct pipeline *pipeline, const struct recorder_command *command)
{
    if (pipeline->command_at && pipeline->command_at + pipeline->command_count ==
                                    pipeline->command_room) {
        memmove(pipeline->commands, pipeline->commands + pipeline->command_at,
                pipeline->command_count * sizeof *pipeline->commands);
        pipeline->command_at = 0;
    }
    if (pipeline->command_count == pipeline->command_room) {
        size_t room = pipeline->command_room ? 2 * pipeline->command_room : 256;
        struct recorder_command *commands =
            realloc(pipeline->commands, room * sizeof *commands);
        if (!commands)
            return false;
        pipeline->commands = commands;
        pipeline->command_room = room;
    }
    pipeline->commands[pipeline->command_at + pipeline->command_count++] = *command;
    return true;
}

int pipeline_take(struct pipeline *pipeline, struct recorder_command *ret_command)
{
    if (!pipeline->command_count)
        return 0;
    *ret_command = pipeline->commands[pipeline->command_at++];
    if (!--pipeline->command_count)
        pipeline->command_at = 0;
    return 1;
}

int pipeline_take_note(struct pipeline *pipeline, struct pipeline_note *ret_note)
{
    if (!pipeline->note_count)
        return 0;
    event_drop(pipeline->taken.record);
    pipeline->taken = pipeline->notes[pipeline->note_at++];
    if (!--pipeline->note_count)
        pipeline->note_at = 0;
    if (pipeline->taken.note.clip_id)
        pipeline->taken.note.clip_id = pipeline->taken.clip_id;
    if (pipeline->taken.record)
        pipeline->taken.note.event = &pipeline->taken.record->event;
    *ret_note = pipeline->taken.note;
    return 1;
}

static bool is_busy(const struct pipeline *pipeline)
{
    return pipeline->command_count >= PIPELINE_WAITING_MAX ||
           pipeline->note_count >= PIPELINE_WAITING_MAX;
}

/* --- the engine's events --- */

static void on_fire(struct pipeline *pipeline, const struct rule_event *event)
{
    struct event_record *record = event_fire(pipeline, event);

    pipeline->stats.fired++;
    if (!record || !event_live(pipeline, record)) {
        pipeline->stats.failed[PIPELINE_FAIL_MEMORY]++;
        event_drop(record);
        return;
    }
    clips_fire(pipeline, record);
    note_put(pipeline, PIPELINE_NOTE_FIRE, record, "", event->fire_ns,
             record->in_clip ? record->clip_id : NULL);
    event_remember(pipeline, record);
    event_drop(record);
}

static void on_change(struct pipeline *pipeline, const struct rule_event *event)
{
    struct event_record *record = event_find(pipeline, event->number);

    if (!record) /* there was no memory for its fire */
        return;
    struct clip_event *kept = &record->event;
    kept->ended = event->kind != EVENT_CONTINUE;
    kept->end_ns = kept->ended ? event->end_ns : 0;
    if (kept->ended)
        kept->reason = rule_reason_name(event->reason);
    if (event->kind == EVENT_CLOSED) {
        kept->closed = true;
        kept->closed_ns = event->closed_ns;
        pipeline->stats.ended++;
        note_put(pipeline, PIPELINE_NOTE_END, record, kept->reason, event->closed_ns,
                 record->in_clip ? record->clip_id : NULL);
    }
    if (record->in_clip)
        clips_update(pipeline, record);
    if (kept->closed)
        event_unlive(pipeline, record);
}

static void on_suppressed(struct pipeline *pipeline, const struct rule_event *event)
{
    struct event_record *record = event_fire(pipeline, event);
    const char *reason = event->exception ? event->exception : rule_reason_name(event->reason);

    pipeline->stats.suppressed[event->reason]++;
    if (!record)
        return;
    record->event.reason = rule_reason_name(event->reason);
    note_put(pipeline, PIPELINE_NOTE_SUPPRESSED, record, reason, event->t_ns, NULL);
    event_drop(record);
}

static void drain(struct pipeline *pipeline, struct engine *engine)
{
    struct rule_event event;

    while (engine_take(engine, &event)) {
        clips_due(pipeline, event.t_ns);
        if (event.kind == EVENT_FIRE || event.kind == EVENT_SUPPRESSED)
            pipeline->stats.events++;
        if (event.kind == EVENT_FIRE)
            on_fire(pipeline, &event);
        else if (event.kind == EVENT_SUPPRESSED)
            on_suppressed(pipeline, &event);
        else
            on_change(pipeline, &event);
    }
}

/* Timers due before mono_ns run, then what is over by then is closed. */
static void run_until(struct pipeline *pipeline, int64_t mono_ns)
{
    if (pipeline->engine)
        while (engine_advance(pipeline->engine, mono_ns))
            drain(pipeline, pipeline->engine);
    clips_due(pipeline, mono_ns);
}

/* --- rows --- */

static void count_load(struct pipeline *pipeline, const struct row *row)
{
    int64_t slot = row->mono_ns / LOAD_SLOT_NS;
    size_t at = (size_t)(((slot % LOAD_SLOTS) + LOAD_SLOTS) % LOAD_SLOTS);

    if (pipeline->load[at].slot != slot || !pipeline->row_bytes) {
        pipeline->load[at].slot = slot;
        pipeline->load[at].before = pipeline->row_bytes;
    }
    pipeline->row_bytes += frame_row_bytes(&row->frame);
}

static int put_loss(struct pipeline *pipeline, uint8_t source, enum recorder_loss_kind kind,
                    uint64_t count)
{
    struct recorder_command command = { .kind = RECORDER_LOSS };

    command.loss.kind = kind;
    command.loss.source = source;
    command.loss.mono_ns = pipeline->now_ns;
    command.loss.count = count;
    return command_put(pipeline, &command) ? 0 : -ENOMEM;
}

static int put_early_losses(struct pipeline *pipeline)
{
    int rc = 0;

    for (unsigned kind = 0; kind < RECORDER_LOSS_KINDS; kind++)
        for (uint32_t s = 0; s < pipeline->sources.count && !rc; s++)
            if (pipeline->early_losses[kind][s])
                rc = put_loss(pipeline, (uint8_t)s, (enum recorder_loss_kind)kind,
                              pipeline->early_losses[kind][s]);
    return rc;
}

static void begin(struct pipeline *pipeline, const struct row *row)
{
    if (pipeline->stats.rows)
        return;
    if (!pipeline->begun) /* else restored in mid-drive, at a time before this row */
        pipeline->first_mono_ns = pipeline->generation_ns = row->mono_ns;
    pipeline->last_step = row->step ? row->step - 1 : 0;
    pipeline->checkpoint_ns = row->mono_ns;
    offset_put(pipeline, row->mono_ns, row->offset_ns);
    if (pipeline->engine && !pipeline->begun)
        engine_begin(pipeline->engine, row->mono_ns);
    pipeline->begun = true;
    if (pipeline->engine) /* `initial: fire` fires before this row */
        drain(pipeline, pipeline->engine);
}

void pipeline_seed(struct pipeline *pipeline, const struct row *row)
{
    if (pipeline->engine && !pipeline->begun)
        engine_seed(pipeline->engine, row);
}

int pipeline_restore(struct pipeline *pipeline, int64_t at_ns, const uint8_t *state, size_t size)
{
    uint64_t step = engine_state_step(state, size);
    int rc = 0;

    if (pipeline->begun)
        return -EINVAL;
    if (pipeline->engine && size) {
        at_ns = engine_state_time(at_ns, state, size);
        rc = engine_state_load(pipeline->engine, at_ns, state, size);
    }
    if (pipeline->engine)
        engine_begin(pipeline->engine, at_ns);
    pipeline->first_mono_ns = pipeline->generation_ns = at_ns;
    pipeline->begun = true;
    if (step != UINT64_MAX) /* a reload stands in the midst of it: timers due there name it */
        pipeline->last_step = step;
    return rc;
}

static void discontinuity(struct pipeline *pipeline, int64_t mono_ns, int64_t offset_ns)
{
    if (pipeline->engine && pipeline->begun) {
        engine_discontinuity(pipeline->engine, pipeline->now_ns);
        drain(pipeline, pipeline->engine);
    }
    offset_put(pipeline, mono_ns, offset_ns);
}

static void checkpoint(struct pipeline *pipeline, int64_t mono_ns)
{
    if (!pipeline->engine || mono_ns < pipeline->checkpoint_ns)
        return;
    pipeline->checkpoint_ns = mono_ns + CHECKPOINT_NS;
    struct recorder_state *state = state_copy(pipeline, mono_ns);
    if (!state)
        return; /* one place less where a clip could begin when the ring is short */
    if (!command_put(pipeline,
                     &(struct recorder_command){ .kind = RECORDER_STATE, .state = state }))
        free(state);
}

static int put_row(struct pipeline *pipeline, const struct row *row)
{
    struct recorder_command command = { .kind = RECORDER_ROW, .row = *row };

    begin(pipeline, row);
    run_until(pipeline, row->mono_ns);
    pipeline->now_ns = row->mono_ns;
    if (!pipeline->stats.rows && put_early_losses(pipeline))
        return -ENOMEM;
    pipeline->last_step = row->step;
    command.read = pipeline->engine && engine_reads(pipeline->engine, &row->frame);
    if (!command_put(pipeline, &command))
        return -ENOMEM;
    pipeline->stats.rows++;
    pipeline->stats.late += !!(row->frame.flags & FRAME_LATE);
    count_load(pipeline, row);
    if (pipeline->engine) {
        engine_step(pipeline->engine, row);
        drain(pipeline, pipeline->engine);
    }
    clips_limit(pipeline);
    checkpoint(pipeline, row->mono_ns);
    return 0;
}

int pipeline_frame(struct pipeline *pipeline, const struct frame *frame)
{
    struct row row;

    if (is_busy(pipeline))
        return -EBUSY;
    pipeline->stats.frames++;
    if (timeline_put(&pipeline->timeline, frame, &row) == TIMELINE_DISCONTINUITY)
        discontinuity(pipeline, row.mono_ns, row.offset_ns);
    return put_row(pipeline, &row);
}

int pipeline_row(struct pipeline *pipeline, const struct row *row)
{
    if (is_busy(pipeline))
        return -EBUSY;
    int place = timeline_obey(&pipeline->timeline, row);
    if (place < 0)
        return place;
    pipeline->stats.frames++;
    if (place == TIMELINE_DISCONTINUITY)
        discontinuity(pipeline, row->mono_ns, row->offset_ns);
    return put_row(pipeline, row);
}

int pipeline_clock(struct pipeline *pipeline, int64_t offset_ns, int64_t mono_ns)
{
    if (is_busy(pipeline))
        return -EBUSY;
    if (timeline_clock(&pipeline->timeline, offset_ns, mono_ns) && pipeline->stats.rows)
        discontinuity(pipeline, pipeline->timeline.mono_ns, offset_ns);
    return 0;
}

int pipeline_advance(struct pipeline *pipeline, int64_t mono_ns)
{
    if (is_busy(pipeline))
        return -EBUSY;
    if (!pipeline->begun || mono_ns < pipeline->now_ns || mono_ns == INT64_MAX)
        return 0;
    run_until(pipeline, mono_ns + 1);
    pipeline->now_ns = mono_ns;
    return 0;
}

int64_t pipeline_next_due(const struct pipeline *pipeline)
{
    int64_t due_ns = clips_next_due(pipeline);

    if (pipeline->engine && pipeline->begun && engine_next_due(pipeline->engine) < due_ns)
        due_ns = engine_next_due(pipeline->engine);
    return due_ns;
}

int pipeline_loss(struct pipeline *pipeline, uint8_t source, enum recorder_loss_kind kind,
                  uint64_t count)
{
    if (is_busy(pipeline))
        return -EBUSY;
    if (source >= pipeline->sources.count || (unsigned)kind >= RECORDER_LOSS_KINDS)
        return -ERANGE;
    pipeline->stats.lost[kind] += count;
    if (!pipeline->stats.rows) { /* it has no time yet: that of the first row, which is on its way */
        pipeline->early_losses[kind][source] += count;
        return 0;
    }
    return put_loss(pipeline, source, kind, count);
}

int pipeline_source_event(struct pipeline *pipeline, const struct clip_source_event *event)
{
    if (event->source >= pipeline->sources.count || event->kind >= CLIP_SOURCE_EVENT_KINDS ||
        (event->kind == CLIP_SOURCE_STAMPS && event->value > STAMP_HARDWARE))
        return -ERANGE;
    if (event->kind == CLIP_SOURCE_STAMPS) /* headers of later clips begin with it */
        pipeline->sources.items[event->source].origin = (enum stamp_origin)event->value;
    pipeline->source_events[pipeline->source_event_count++ % RECENT_SOURCE_EVENTS_MAX] = *event;
    return 0;
}

static uint64_t driver_drops(const struct clip_interface *interface)
{
    return interface->rx_dropped + interface->rx_overruns + interface->rx_missed;
}

int pipeline_interface(struct pipeline *pipeline, uint8_t source,
                       const struct clip_interface *interface)
{
    if (source >= pipeline->sources.count)
        return -ERANGE;
    if (is_busy(pipeline))
        return -EBUSY;
    const struct clip_interface before = pipeline->interfaces[source];
    pipeline->interfaces[source] = *interface;
    if (!before.known || !interface->known)
        return 0;
    if (interface->bus_state != before.bus_state)
        (void)pipeline_source_event(pipeline, &(struct clip_source_event){
            interface->mono_ns, source, CLIP_SOURCE_BUS_STATE, interface->bus_state });
    /* Fewer than before: the interface was made again, and counts from zero. */
    uint64_t from = driver_drops(interface) < driver_drops(&before) ? 0 : driver_drops(&before);
    uint64_t lost = driver_drops(interface) - from;
    return lost ? pipeline_loss(pipeline, source, RECORDER_LOSS_DRIVER, lost) : 0;
}

void pipeline_wall(struct pipeline *pipeline, const struct clip_clock *clock)
{
    pipeline->clock = *clock;
    (void)snprintf(pipeline->clock_source, sizeof pipeline->clock_source, "%s",
                   clock->source ? clock->source : "");
    pipeline->clock.source = pipeline->clock_source;
}

/* --- rare inputs --- */

/* The life-cycles with which the new rules begin: a clip that reaches back beyond the reload replays
 * from there. Those before the reload's instant would not do: the old rules may have fired in it
 * already, and the new ones would do so again. Without room a replay begins with none. */
static void keep_handover(struct pipeline *pipeline, struct engine *engine)
{
    size_t size = engine_state_handover(engine, pipeline->now_ns, pipeline->last_step, NULL,
                                        0);

    free(pipeline->handover);
    pipeline->handover = size <= CLIP_STATE_BYTES_MAX ? malloc(size) : NULL;
    pipeline->handover_size = pipeline->handover ? size : 0;
    if (pipeline->handover)
        (void)engine_state_handover(engine, pipeline->now_ns, pipeline->last_step,
                                    pipeline->handover, size);
}

int pipeline_reload(struct pipeline *pipeline, const struct generation *generation,
                    struct err *err)
{
    struct engine *next, *old = pipeline->engine;

    if (is_busy(pipeline))
        return err_plain(err, -EBUSY, "output waits to be taken");
    int rc = open_engine(generation, &pipeline->sources, &next, err);
    if (rc)
        return rc;
    if (reserve_state(pipeline, next)) {
        engine_close(next);
        return err_plain(err, -ENOMEM, "no memory for the states of the rules");
    }
    if (next && pipeline->begun)
        keep_handover(pipeline, old ? old : next);
    if (old && next && pipeline->begun)
        engine_reload(old, next, pipeline->now_ns);
    else if (old && pipeline->begun)
        engine_finish(old, REASON_RELOAD);
    if (old)
        drain(pipeline, old);
    if (!old && next && pipeline->begun)
        engine_begin(next, pipeline->now_ns);
    engine_close(old);
    pipeline->engine = next;
    pipeline->generation = *generation;
    pipeline->generation_ns = pipeline->now_ns;
    if (next) /* what fires at once is of the new generation */
        drain(pipeline, next);
    pipeline->stats.reloads++;
    note_put(pipeline, PIPELINE_NOTE_RELOADED, NULL, "", pipeline->now_ns, NULL);
    return command_put(pipeline, &(struct recorder_command){ .kind = RECORDER_GENERATION,
                                                             .generation = generation->number })
               ? 0
               : err_plain(err, -ENOMEM, "no memory for a command");
}

int pipeline_manual(struct pipeline *pipeline, const struct pipeline_trigger *trigger)
{
    if (is_busy(pipeline))
        return -EBUSY;
    if (trigger->pre_ns < 0 || trigger->pre_ns > SHAPING_CLIP_NS_MAX || trigger->post_ns < 0 ||
        trigger->post_ns > SHAPING_CLIP_NS_MAX || trigger->priority >= PRIORITY_CRASH ||
        (trigger->note && strlen(trigger->note) >= CLIP_TEXT_MAX))
        return -ERANGE;
    if (!pipeline->stats.rows)
        return -EAGAIN;
    struct event_record *record = event_manual(pipeline, trigger);
    if (!record)
        return -ENOMEM;
    pipeline->stats.events++;
    pipeline->stats.fired++;
    pipeline->stats.ended++;
    pipeline->stats.manual++;
    clips_fire(pipeline, record);
    note_put(pipeline, PIPELINE_NOTE_FIRE, record, "", pipeline->now_ns,
             record->in_clip ? record->clip_id : NULL);
    event_drop(record);
    return 0;
}

int pipeline_finish(struct pipeline *pipeline)
{
    if (is_busy(pipeline))
        return -EBUSY;
    if (pipeline->engine && pipeline->begun) {
        engine_finish(pipeline->engine, REASON_INPUT_END);
        drain(pipeline, pipeline->engine);
    }
    clips_finish(pipeline);
    return 0;
}

/* --- counting --- */

void pipeline_stats(const struct pipeline *pipeline, struct pipeline_stats *ret_stats)
{
    *ret_stats = pipeline->stats;
    ret_stats->clamped = pipeline->timeline.clamped;
    ret_stats->discontinuities = pipeline->timeline.discontinuities;
    ret_stats->clips_open = 0;
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++)
        ret_stats->clips_open += pipeline->clips[i].used;
}

static int books_equal(uint64_t left, uint64_t right, const char *what, struct err *err)
{
    if (left == right)
        return 0;
    return err_plain(err, -EBADMSG, "the books do not close: %s: %" PRIu64 " and %" PRIu64, what,
                     left, right);
}

int pipeline_books(const struct pipeline_stats *pipeline, const struct recorder_stats *recorder,
                   struct err *err)
{
    uint64_t suppressed = 0, failed = recorder->events_failed, clips_failed = 0;

    for (unsigned i = 0; i < PIPELINE_SUPPRESS_MAX; i++)
        suppressed += pipeline->suppressed[i];
    for (unsigned i = 0; i < PIPELINE_FAIL_COUNT; i++)
        failed += pipeline->failed[i];
    for (unsigned i = 0; i < RECORDER_FAIL_COUNT; i++)
        clips_failed += recorder->clips_failed[i];
    int rc = books_equal(pipeline->events,
                         recorder->events_sealed + pipeline->in_open_clips + suppressed + failed,
                         "events = sealed + open + suppressed + failed", err);
    if (!rc)
        rc = books_equal(pipeline->clips_opened,
                         recorder->clips_sealed + recorder->clips_open + clips_failed,
                         "clips opened = sealed + open + failed", err);
    if (!rc)
        rc = books_equal(pipeline->frames, recorder->rows_stored + recorder->rows_dropped,
                         "frames received = stored + dropped", err);
    return rc;
}
