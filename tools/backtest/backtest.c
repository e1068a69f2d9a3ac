#include "tools/backtest/backtest.h"

#include "tools/backtest/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ERRORS_SHOWN 5
#define CORPUS_BYTES_MAX (64u << 20) /* paths of a corpus file */

struct run { /* one job: a drive through a variant */
    struct replay_options options;
    struct ruleset_pack packs[BACKTEST_LIST_MAX];
};

void backtest_init(struct backtest *backtest)
{
    memset(backtest, 0, sizeof *backtest);
    arena_init(&backtest->arena, CORPUS_BYTES_MAX);
}

void backtest_deinit(struct backtest *backtest)
{
    for (uint32_t i = 0; backtest->tallies && i < backtest->variant_count; i++)
        tally_deinit(&backtest->tallies[i]);
    free(backtest->tallies);
    free(backtest->drives);
    arena_deinit(&backtest->arena);
}

int backtest_list_add(struct backtest_list *list, const char *item)
{
    if (list->count == BACKTEST_LIST_MAX)
        return -ENOSPC;
    list->items[list->count++] = item;
    return 0;
}

int backtest_add_log(struct backtest *backtest, const char *log)
{
    if (backtest->drive_count == BACKTEST_DRIVES_MAX)
        return -ENOSPC;
    if (backtest->drive_count == backtest->drive_room) {
        uint32_t room = backtest->drive_room ? backtest->drive_room * 2 : 64;
        struct backtest_drive *more = realloc(backtest->drives, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        backtest->drives = more;
        backtest->drive_room = room;
    }
    struct backtest_drive *drive = &backtest->drives[backtest->drive_count++];
    memset(drive, 0, sizeof *drive);
    return log ? backtest_list_add(&drive->logs, log) : 0;
}

/* --- the jobs --- */

static const struct backtest_list *packs_of(const struct backtest *backtest,
                                            const struct backtest_drive *drive, uint32_t variant)
{
    if (variant && backtest->old_packs.count)
        return &backtest->old_packs;
    return drive->packs.count ? &drive->packs : &backtest->packs;
}

static int plan_one(const struct backtest *backtest, struct texts *texts, uint32_t drive_index,
                    uint32_t variant, struct run *run, uint32_t *ret_swept, struct err *err)
{
    const struct backtest_drive *drive = &backtest->drives[drive_index];
    const struct backtest_list *packs = packs_of(backtest, drive, variant);
    const struct backtest_list *dbcs = drive->dbcs.count ? &drive->dbcs : &backtest->dbcs;
    uint32_t swept = 0;

    if (!packs->count)
        return err_at(err, -EINVAL, drive->logs.items[0], 0, 0,
                      "no rules to run on it; give --rules, or 'rules' in the corpus");
    int rc = texts_packs(texts, packs->items, packs->count,
                         backtest->sweep.count ? &backtest->sweep : NULL, variant, run->packs,
                         &swept, err);
    if (rc)
        return rc;
    *ret_swept += swept;
    run->options = (struct replay_options){ .log_count = drive->logs.count,
                                            .dbc_count = dbcs->count,
                                            .texts = run->packs,
                                            .text_count = packs->count,
                                            .config = backtest->config,
                                            .codec = backtest->codec,
                                            .vehicle = backtest->vehicle,
                                            .format = backtest->format,
                                            .other_rules = true };
    memcpy(run->options.logs, drive->logs.items, sizeof drive->logs.items);
    memcpy(run->options.dbcs, dbcs->items, sizeof dbcs->items);
    return 0;
}

static int no_such_param(const struct backtest *backtest, struct texts *texts, struct err *err)
{
    const char *names[64];
    uint32_t count = 0;

    for (uint32_t i = 0; i < backtest->drive_count && count < 64; i++) {
        const struct backtest_list *packs = packs_of(backtest, &backtest->drives[i], 0);
        count += texts_params(texts, packs->items, packs->count, names + count, 64 - count);
    }
    const char *near = err_nearest(backtest->sweep.name, names, count);
    return err_plain(err, -EINVAL, "--sweep: no pack has a param '%s'%s%s%s", backtest->sweep.name,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int plan(const struct backtest *backtest, struct texts *texts, struct run *runs,
                struct pool_job *jobs, struct err *err)
{
    uint32_t swept = 0;
    int rc = 0;

    for (uint32_t v = 0; v < backtest->variant_count; v++)
        for (uint32_t d = 0; d < backtest->drive_count; d++) {
            uint32_t at = v * backtest->drive_count + d;
            rc = plan_one(backtest, texts, d, v, &runs[at], &swept, err);
            if (rc)
                return rc;
            jobs[at].options = &runs[at].options;
        }
    return backtest->sweep.count && !swept ? no_such_param(backtest, texts, err) : 0;
}

/* --- their results --- */

/* One wrong pack is wrong on every drive: the same text is told once. */
static void tell_errors(const struct backtest *backtest, const struct pool_job *jobs,
                        uint32_t count)
{
    char *last = NULL;
    uint32_t failed = 0, shown = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!jobs[i].failed)
            continue;
        failed++;
        char *text = pool_error(&jobs[i]);
        if (text && shown < ERRORS_SHOWN && (!last || strcmp(last, text) != 0)) {
            (void)fprintf(stderr, "roadloop backtest: %s:\n%s",
                          backtest->drives[i % backtest->drive_count].logs.items[0], text);
            shown++;
        }
        free(last);
        last = text;
    }
    free(last);
    (void)fprintf(stderr, "roadloop backtest: %u of %u runs failed\n", failed, count);
}

static int collect(struct backtest *backtest, const struct pool_job *jobs, uint32_t count,
                   struct err *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (jobs[i].failed) {
            tell_errors(backtest, jobs, count);
            err->text[0] = '\0';
            return -EBADMSG;
        }
    for (uint32_t i = 0; i < count; i++) {
        int rc = tally_take(&backtest->tallies[i / backtest->drive_count],
                            i % backtest->drive_count, jobs[i].bytes, jobs[i].size);
        if (rc)
            return err_plain(err, rc, "the results cannot be added up: %s", strerror(-rc));
    }
    return 0;
}

struct progress {
    uint32_t count;
    struct timespec began;
};

static double since(const struct timespec *began)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / 1e9;
}

static void show_progress(void *context, uint32_t ended)
{
    const struct progress *progress = context;
    double left = since(&progress->began) / ended * (progress->count - ended);

    (void)fprintf(stderr, "\r%u of %u runs, about %.0f s left ", ended, progress->count, left);
    if (ended == progress->count)
        (void)fprintf(stderr, "\r%48s\r", "");
}

static int run_all(struct backtest *backtest, struct texts *texts, struct run *runs,
                   struct pool_job *jobs, struct err *err)
{
    struct progress progress = { .count = backtest->variant_count * backtest->drive_count };
    int rc = plan(backtest, texts, runs, jobs, err);

    if (rc)
        return rc;
    (void)clock_gettime(CLOCK_MONOTONIC, &progress.began);
    rc = pool_run(jobs, progress.count, backtest->processes,
                  backtest->show_progress ? show_progress : NULL, &progress);
    backtest->wall_seconds = since(&progress.began);
    if (rc)
        return err_plain(err, rc, "cannot run the drives: %s", strerror(-rc));
    return collect(backtest, jobs, progress.count, err);
}

int backtest_run(struct backtest *backtest, struct err *err)
{
    struct texts *texts = NULL;

    backtest->variant_count = backtest->sweep.count ? backtest->sweep.count
                              : backtest->old_packs.count ? 2 : 1;
    size_t count = (size_t)backtest->variant_count * backtest->drive_count;
    struct run *runs = calloc(count, sizeof *runs);
    struct pool_job *jobs = calloc(count, sizeof *jobs);
    backtest->tallies = calloc(backtest->variant_count, sizeof *backtest->tallies);
    int rc = !runs || !jobs || !backtest->tallies || texts_open(&texts)
                 ? err_plain(err, -ENOMEM, "no memory")
                 : run_all(backtest, texts, runs, jobs, err);
    for (size_t i = 0; jobs && i < count; i++)
        free(jobs[i].bytes);
    free(jobs);
    free(runs);
    texts_close(texts);
    return rc;
}
