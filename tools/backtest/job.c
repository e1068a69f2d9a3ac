#include "tools/backtest/job.h"

#include "triggers/ruleset.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ERROR_BYTES 32768

struct job {
    FILE *to;
};

static void put(struct job *job, enum job_kind kind, const void *payload, size_t size)
{
    const struct job_record record = { (uint32_t)kind, (uint32_t)size };

    /* A reader that has gone away ends this process by SIGPIPE. */
    (void)fwrite(&record, sizeof record, 1, job->to);
    (void)fwrite(payload, 1, size, job->to);
}

static void copy_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from);
}

static void on_loaded(void *context, const struct generation *generation)
{
    for (uint32_t i = 0; generation->rules && i < ruleset_count(generation->rules); i++) {
        const struct rule *rule = ruleset_rule(generation->rules, i);
        struct job_rule record = { .priority = rule->priority };

        if (!rule->enabled)
            continue;
        copy_text(record.id, sizeof record.id, rule->id);
        put(context, JOB_RULE, &record, sizeof record);
    }
}

static void on_note(void *context, const struct pipeline_note *note)
{
    struct job_event record = { .has_clip = note->clip_id != NULL };

    if (note->kind != PIPELINE_NOTE_FIRE && note->kind != PIPELINE_NOTE_SUPPRESSED)
        return;
    copy_text(record.rule, sizeof record.rule, note->event->rule);
    copy_text(record.reason, sizeof record.reason, note->reason);
    record.edge = (uint8_t)note->event->edge;
    record.start_ns = note->event->start_ns - note->offset_ns;
    record.fire_ns = note->t_ns - note->offset_ns;
    put(context, note->kind == PIPELINE_NOTE_FIRE ? JOB_FIRE : JOB_SUPPRESSED, &record,
        sizeof record);
}

static void add_rule(struct job_clip *record, const char *rule)
{
    for (uint32_t i = 0; i < record->rule_count; i++)
        if (!strcmp(record->rules[i], rule))
            return;
    if (record->rule_count < JOB_CLIP_RULES_MAX)
        copy_text(record->rules[record->rule_count++], RULE_NAME_MAX, rule);
}

static void on_clip(void *context, const struct replay_clip *clip)
{
    static struct job_clip record; /* one clip at a time, one job a process */

    memset(&record, 0, sizeof record);
    record.bytes = clip->bytes;
    record.frames = clip->frames;
    add_rule(&record, clip->header->rule);
    for (uint32_t i = 0; i < clip->manifest->event_count; i++)
        if (!clip->manifest->events[i].elsewhere)
            add_rule(&record, clip->manifest->events[i].rule);
    put(context, JOB_CLIP, &record, sizeof record);
}

static void put_error(struct job *job, const struct diags *diags, const struct err *err)
{
    char *text = calloc(1, ERROR_BYTES);
    FILE *lines = text ? fmemopen(text, ERROR_BYTES - 1, "w") : NULL;

    if (lines) {
        char line[ERR_TEXT_MAX + ERR_FILE_MAX + 64];

        diags_print(diags, lines);
        if (err->text[0]) {
            (void)err_format(err, line, sizeof line);
            (void)fprintf(lines, "%s\n", line);
        }
        (void)fclose(lines);
    }
    put(job, JOB_ERROR, text ? text : "no memory", text ? strlen(text) : sizeof "no memory" - 1);
    free(text);
}

static double cpu_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void job_run(const struct replay_options *options, int fd)
{
    static struct diags diags;
    struct job job = { fdopen(fd, "wb") };
    const struct replay_listener listener = { &job, on_loaded, on_note, on_clip };
    struct replay_stats stats;
    struct err err = { 0 };

    if (!job.to)
        return;
    if (replay_run(options, &listener, &diags, &stats, &err)) {
        put_error(&job, &diags, &err);
    } else {
        const struct job_end end = { stats.driven_ns, stats.frames, cpu_seconds(), stats.is_clip };
        put(&job, JOB_END, &end, sizeof end);
    }
    (void)fclose(job.to);
}
