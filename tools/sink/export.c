#include "tools/sink/export.h"

#include "proto/dbset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What an export holds open; freed as one. */
struct export_job {
    struct recording *recording;
    FILE *file;
    struct dbset *sets[FACTS_GENERATIONS_MAX];
    struct export_mcap_generation generations[FACTS_GENERATIONS_MAX];
    uint32_t generation_count;
    char *pack;
    struct recording_attachment attachment;
    uint32_t attachment_count;
};

static void job_close(struct export_job *job)
{
    recording_close(job->recording);
    if (job->file)
        (void)fclose(job->file);
    for (uint32_t i = 0; i < job->generation_count; i++)
        dbset_close(job->sets[i]);
    free(job->pack);
}

static void add_need(struct export_result *result, const uint8_t sha256[SHA256_BYTES])
{
    for (uint32_t i = 0; i < result->need_count; i++)
        if (!memcmp(result->needs[i], sha256, SHA256_BYTES))
            return;
    if (result->need_count < WIRE_NEEDS_MAX)
        memcpy(result->needs[result->need_count++], sha256, SHA256_BYTES);
}

void export_needs(const struct facts *facts, struct artifacts *artifacts,
                  struct export_result *ret_result)
{
    for (uint32_t i = 0; i < facts->generation_count; i++)
        for (uint32_t k = 0; k < facts->generations[i].dbc_count; k++)
            if (!artifacts_has(artifacts, facts->generations[i].dbcs[k].sha256))
                add_need(ret_result, facts->generations[i].dbcs[k].sha256);
}

/* The databases of one generation; NULL in *ret_set when one is missing: half a decoding would look
 * like a whole one. */
static int load_set(const struct facts_generation *g, struct artifacts *artifacts,
                    struct export_result *result, struct dbset **ret_set)
{
    struct dbset *set = dbset_open();
    bool missing = false;
    int rc = set ? 0 : -ENOMEM;

    for (uint32_t k = 0; !rc && k < g->dbc_count; k++) {
        const struct facts_dbc *dbc = &g->dbcs[k];
        struct err err;
        char *bytes;
        size_t size;
        if (artifacts_get(artifacts, dbc->sha256, &bytes, &size)) {
            add_need(result, dbc->sha256);
            missing = true;
            continue;
        }
        rc = dbset_add(set, dbc->bus, dbc->name, bytes, size, false, NULL, &err);
        free(bytes);
        if (rc && rc != -ENOMEM) {
            result->unusable++;
            rc = 0;
        }
    }
    if (rc || missing || !g->dbc_count) {
        dbset_close(set);
        set = NULL;
    }
    *ret_set = set;
    return rc;
}

static int by_generation(const void *a, const void *b)
{
    const struct facts_generation *x = a, *y = b;

    return (x->generation > y->generation) - (x->generation < y->generation);
}

static int load_generations(struct export_job *job, const struct facts *facts,
                            struct artifacts *artifacts, struct export_result *result)
{
    qsort(facts->generations, facts->generation_count, sizeof *facts->generations, by_generation);
    for (uint32_t i = 0; i < facts->generation_count; i++) {
        int rc = load_set(&facts->generations[i], artifacts, result, &job->sets[i]);
        if (rc)
            return rc;
        job->generations[i] = (struct export_mcap_generation){ facts->generations[i].generation,
                                                               job->sets[i] };
        job->generation_count = i + 1;
    }
    return 0;
}

static void load_pack(struct export_job *job, const struct facts *facts,
                      struct artifacts *artifacts)
{
    size_t size;

    if (artifacts_get(artifacts, facts->pack_sha256, &job->pack, &size))
        return;
    job->attachment = (struct recording_attachment){ .name = "pack.yaml",
                                                     .media_type = "application/yaml",
                                                     .bytes = (const uint8_t *)job->pack,
                                                     .size = size };
    job->attachment_count = 1;
}

static int open_output(struct export_job *job, const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (fd < 0)
        return err_at(err, -errno, path, 0, 0, "%s", strerror(errno));
    job->file = fdopen(fd, "wb");
    if (job->file)
        return 0;
    (void)close(fd);
    return err_plain(err, -ENOMEM, "no memory");
}

static int run(struct export_job *job, struct export_result *result, struct err *err)
{
    const struct export_mcap_config config = { .generations = job->generations,
                                               .generation_count = job->generation_count,
                                               .attachments = &job->attachment,
                                               .attachment_count = job->attachment_count };
    struct mcap_sink sink = mcap_sink_stdio(job->file);
    int rc = export_mcap_recording(job->recording, &config, &sink, &result->stats, err);

    if (!rc && fflush(job->file))
        rc = err_plain(err, -errno, "MCAP: %s", strerror(errno));
    return rc;
}

int export_clip(const char *rlc_path, const char *mcap_path, const struct facts *facts,
                struct artifacts *artifacts, struct export_result *ret_result, struct err *err)
{
    const struct recording_config config = { .path = rlc_path, .format = "rlc" };
    struct export_result result = { 0 };
    struct export_job job = { 0 };
    int rc = load_generations(&job, facts, artifacts, &result);

    if (rc)
        (void)err_plain(err, rc, "no memory for the databases of a clip");
    load_pack(&job, facts, artifacts);
    if (!rc)
        rc = recording_open(&config, &job.recording, err);
    if (!rc)
        rc = open_output(&job, mcap_path, err);
    if (!rc)
        rc = run(&job, &result, err);
    job_close(&job);
    if (!rc)
        *ret_result = result;
    return rc;
}
