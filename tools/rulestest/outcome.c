#include "tools/rulestest/outcome.h"

#include "daemon/generation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int outcome_init(struct outcome *outcome)
{
    *outcome = (struct outcome){ .events = calloc(OUTCOME_EVENTS_MAX, sizeof *outcome->events) };
    return outcome->events ? 0 : -ENOMEM;
}

void outcome_deinit(struct outcome *outcome)
{
    free(outcome->events);
    outcome->events = NULL;
}

/* --- listening --- */

static void copy_values(struct outcome_event *to, const struct clip_event *from)
{
    for (uint32_t i = 0; i < from->value_count && i < ATTACH_MAX; i++) {
        const struct clip_value *v = &from->values[i];
        struct outcome_value *value = &to->values[to->value_count++];

        (void)snprintf(value->name, sizeof value->name, "%s", v->name);
        (void)snprintf(value->text, sizeof value->text, "%s", v->text ? v->text : "");
        (void)snprintf(value->unit, sizeof value->unit, "%s", v->unit ? v->unit : "");
        value->kind = v->kind;
        value->integer = v->integer;
        value->number = v->number;
    }
}

static void add_event(struct outcome *outcome, const struct pipeline_note *note)
{
    const struct clip_event *event = note->event;
    int64_t base_ns = note->offset_ns + outcome->base_ns;

    if (outcome->count == OUTCOME_EVENTS_MAX) {
        outcome->too_many = true;
        return;
    }
    struct outcome_event *to = &outcome->events[outcome->count++];
    *to = (struct outcome_event){ .suppressed = note->kind == PIPELINE_NOTE_SUPPRESSED,
                                  .edge = (uint8_t)event->edge,
                                  .start_ns = event->start_ns - base_ns,
                                  .fire_ns = note->t_ns - base_ns };
    (void)snprintf(to->rule, sizeof to->rule, "%s", event->rule);
    (void)snprintf(to->reason, sizeof to->reason, "%s", note->reason);
    copy_values(to, event);
}

static void end_event(struct outcome *outcome, const struct pipeline_note *note)
{
    int64_t base_ns = note->offset_ns + outcome->base_ns;

    for (uint32_t i = outcome->count; i-- > 0;) {
        struct outcome_event *e = &outcome->events[i];
        if (e->suppressed || e->ended || e->edge != (uint8_t)note->event->edge ||
            strcmp(e->rule, note->event->rule) != 0)
            continue;
        e->ended = true;
        e->end_ns = note->event->end_ns - base_ns;
        e->closed_ns = note->event->closed_ns - base_ns;
        (void)snprintf(e->reason, sizeof e->reason, "%s", note->reason);
        return;
    }
}

static void on_note(void *context, const struct pipeline_note *note)
{
    if (note->kind == PIPELINE_NOTE_FIRE || note->kind == PIPELINE_NOTE_SUPPRESSED)
        add_event(context, note);
    else if (note->kind == PIPELINE_NOTE_END)
        end_event(context, note);
}

static void on_clip(void *context, const struct replay_clip *clip)
{
    struct outcome *outcome = context;
    const struct clip_manifest *m = clip->manifest;

    for (uint32_t i = 0; i < m->event_count; i++)
        for (uint32_t k = 0; k < outcome->count; k++) {
            struct outcome_event *e = &outcome->events[k];
            const struct clip_event *listed = &m->events[i];

            if (e->suppressed || e->has_clip || listed->elsewhere || strcmp(e->rule, listed->rule) ||
                e->fire_ns != listed->fire_ns - listed->offset_ns - outcome->base_ns)
                continue;
            e->has_clip = true;
            e->clip_start_ns = m->start_ns - m->start_offset_ns - outcome->base_ns;
            e->clip_end_ns = m->end_ns - m->end_offset_ns - outcome->base_ns;
        }
}

/* --- as replay --- */

static int put_frames(const struct stimulus *s, struct recording_writer *writer, struct err *err)
{
    struct recording_item item = { .kind = RECORDING_FRAME };
    int rc = 0;

    for (uint32_t i = 0; !rc && i < s->count; i++) {
        item.row.frame = s->frames[i];
        rc = recording_writer_put(writer, &item, err);
    }
    return rc ? rc : recording_writer_commit(writer, err);
}

static int write_log(const struct stimulus *s, const char *path, struct err *err)
{
    const struct recording_writer_config config = { .path = path, .sources = &s->sources };
    struct recording_writer *writer = NULL;
    int rc = recording_writer_open(&config, &writer, err);

    if (!rc)
        rc = put_frames(s, writer, err);
    recording_writer_close(writer);
    return rc;
}

/* A folder for the log of one case. */
static int make_folder(char *folder, size_t size, struct err *err)
{
    const char *temporary = getenv("TMPDIR");

    (void)snprintf(folder, size, "%.400s/roadloop-test-XXXXXX",
                   temporary && temporary[0] ? temporary : "/tmp");
    if (!mkdtemp(folder))
        return err_at(err, -errno, folder, 0, 0, "cannot be made: %s", strerror(errno));
    return 0;
}

static int run_log(const struct outcome_setup *setup, const char *path, struct diags *diags,
                   struct outcome *outcome, struct err *err)
{
    const struct replay_listener listener = { outcome, NULL, on_note, on_clip };
    struct replay_options options = { .texts = setup->packs,
                                      .text_count = setup->pack_count,
                                      .dbc_count = setup->dbc_count,
                                      .log_count = path ? 1 : setup->log_count,
                                      .other_rules = true };
    struct replay_stats stats;

    options.logs[0] = path;
    for (uint32_t i = 0; !path && i < setup->log_count; i++)
        options.logs[i] = setup->logs[i];
    for (uint32_t i = 0; i < setup->dbc_count; i++)
        options.dbcs[i] = setup->dbcs[i];
    return replay_run(&options, &listener, diags, &stats, err);
}

int outcome_replay(const struct outcome_setup *setup, struct diags *diags, struct outcome *outcome,
                   struct err *err)
{
    char folder[512], path[544];

    outcome->base_ns = setup->stimulus ? STIMULUS_BASE_NS : 0;
    if (!setup->stimulus)
        return run_log(setup, NULL, diags, outcome, err);
    int rc = make_folder(folder, sizeof folder, err);
    if (rc)
        return rc;
    (void)snprintf(path, sizeof path, "%s/case.log", folder);
    rc = write_log(setup->stimulus, path, err);
    if (!rc)
        rc = run_log(setup, path, diags, outcome, err);
    (void)unlink(path);
    (void)rmdir(folder);
    return rc;
}

/* --- as the car --- */

static void drain(struct pipeline *pipeline, struct outcome *outcome)
{
    struct recorder_command command;
    struct pipeline_note note;

    while (pipeline_take_note(pipeline, &note))
        on_note(outcome, &note);
    while (pipeline_take(pipeline, &command))
        recorder_command_deinit(&command);
}

/* Everything that is due before `until_ns`, each at its own instant. */
static int let_time_pass(struct pipeline *pipeline, int64_t until_ns, struct outcome *outcome)
{
    int rc = 0;

    for (int64_t due; !rc && (due = pipeline_next_due(pipeline)) < until_ns; drain(pipeline, outcome))
        rc = pipeline_advance(pipeline, due);
    return rc;
}

static int drive(struct pipeline *pipeline, const struct stimulus *s, struct outcome *outcome)
{
    int rc = 0;

    for (uint32_t i = 0; !rc && i < s->count; i++) {
        if (i)
            rc = let_time_pass(pipeline, s->frames[i].stamp_ns, outcome);
        if (!rc)
            rc = pipeline_frame(pipeline, &s->frames[i]);
        drain(pipeline, outcome);
    }
    if (!rc)
        rc = pipeline_finish(pipeline);
    drain(pipeline, outcome);
    return rc;
}

int outcome_live(const struct outcome_setup *setup, struct diags *diags, struct outcome *outcome,
                 struct err *err)
{
    const struct generation_config from = { .texts = setup->packs,
                                            .text_count = setup->pack_count,
                                            .dbcs = setup->dbcs,
                                            .dbc_count = setup->dbc_count };
    struct generation *generation;
    struct session session = { .vehicle = "test" };
    struct shaping shaping;
    struct pipeline *pipeline = NULL;

    outcome->base_ns = STIMULUS_BASE_NS;
    shaping_init(&shaping);
    int rc = generation_load(&from, diags, &generation);
    if (rc)
        return rc;
    const struct pipeline_config config = { .session = &session,
                                            .shaping = &shaping,
                                            .sources = &setup->stimulus->sources,
                                            .clock_quality = "test" };
    rc = pipeline_open(&config, generation, &pipeline, err);
    if (!rc && (rc = drive(pipeline, setup->stimulus, outcome)))
        (void)err_plain(err, rc, "the frames cannot be taken: %s", strerror(-rc));
    pipeline_close(pipeline);
    generation_close(generation);
    return rc;
}

const char *outcome_differs(const struct outcome *a, const struct outcome *b)
{
    static char text[512];

    for (uint32_t i = 0; i < a->count && i < b->count; i++) {
        const struct outcome_event *x = &a->events[i], *y = &b->events[i];

        if (!strcmp(x->rule, y->rule) && x->suppressed == y->suppressed && x->edge == y->edge &&
            x->start_ns == y->start_ns && x->fire_ns == y->fire_ns && x->ended == y->ended &&
            x->end_ns == y->end_ns && x->closed_ns == y->closed_ns && !strcmp(x->reason, y->reason))
            continue;
        (void)snprintf(text, sizeof text,
                       "item %u is %.100s at %.9f in replay, and %.100s at %.9f in the car", i + 1,
                       x->rule, (double)x->fire_ns / 1e9, y->rule, (double)y->fire_ns / 1e9);
        return text;
    }
    if (a->count == b->count)
        return NULL;
    (void)snprintf(text, sizeof text, "%u items in replay, %u in the car", a->count, b->count);
    return text;
}
