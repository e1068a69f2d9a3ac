/* roadloop sink reexport: a new MCAP from the stored .rlc, for clips that were stored raw-only, or
 * for all after the exporter changed. */
#include "tools/cmd.h"
#include "tools/cmd_sink.h"
#include "tools/sink/walk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct reexport {
    const struct cmd_sink_options *options;
    struct publisher *publisher;
    uint32_t done, waiting, failed, named;
};

static bool is_meant(struct reexport *r, const struct record *record, const char *clip)
{
    const struct cmd_sink_options *o = r->options;

    for (int i = 1; i < o->word_count; i++)
        if (!strcmp(o->words[i], clip)) {
            r->named++;
            return true;
        }
    return o->word_count == 1 && (o->all || record->status == RECORD_RAW_ONLY);
}

static void complain(struct reexport *r, const char *name, const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX];

    r->failed++;
    (void)err_format(err, text, sizeof text);
    (void)fprintf(stderr, "roadloop sink reexport: %s: %s\n", name, text);
}

static int one(void *context, const struct dataset_place *place, const char *json, size_t size)
{
    struct reexport *r = context;
    struct record record;
    struct err err = { .text = "" };

    if (record_read(json, size, &record, &err)) {
        complain(r, place->clip, &err);
        return 0;
    }
    if (!is_meant(r, &record, place->clip))
        return 0;
    int rc = publish_again(r->publisher, place, &record, &err);
    if (rc < 0) {
        complain(r, place->clip, &err);
    } else if (rc) {
        r->waiting++;
        (void)printf("%s still lacks databases\n", place->clip);
    } else {
        r->done++;
        (void)printf("date=%s/vehicle=%s/%s\n", place->date, place->vehicle, record.mcap);
    }
    return 0;
}

static void broken(void *context, const char *name, const char *reason)
{
    struct err err;

    (void)err_plain(&err, 0, "%s", reason);
    complain(context, name, &err);
}

static int walk_all(struct reexport *r, struct dataset *dataset, struct err *err)
{
    const struct walk_ops ops = { .clip = one, .broken = broken };
    int rc = walk_dataset(dataset, &ops, r, err);

    if (!rc && r->named < (uint32_t)(r->options->word_count - 1))
        rc = err_plain(err, -ENOENT, "%u of the named clips are not in the dataset",
                       (uint32_t)(r->options->word_count - 1) - r->named);
    return rc;
}

int cmd_sink_reexport(const struct cmd_sink_options *o)
{
    const struct dataset_config config = { .root = o->words[0],
                                           .member = (uint64_t)cmd_sink_clock(true),
                                           .utc_now_ns = cmd_sink_clock(true) };
    struct reexport r = { .options = o };
    struct publish_config publish = { 0 };
    struct err err;
    int rc = access(o->words[0], R_OK | W_OK | X_OK) ? -errno : 0;

    if (rc) /* dataset_open would make it */
        (void)err_at(&err, rc, o->words[0], 0, 0, "dataset: %s", strerror(-rc));
    if (!rc)
        rc = dataset_open(&config, &err, &publish.dataset);
    if (!rc)
        rc = artifacts_open(dataset_files(publish.dataset), o->artifacts, &err,
                            &publish.artifacts);
    if (!rc) {
        r.publisher = publish_open(&publish);
        rc = r.publisher ? walk_all(&r, publish.dataset, &err) : -ENOMEM;
    }
    publish_close(r.publisher);
    artifacts_close(publish.artifacts);
    dataset_close(publish.dataset);
    if (rc)
        return cmd_fail("sink reexport", &err);
    (void)fprintf(stderr, "%u made, %u still raw-only, %u failed\n", r.done, r.waiting, r.failed);
    return r.failed || r.waiting ? CMD_NO : CMD_GOOD;
}
