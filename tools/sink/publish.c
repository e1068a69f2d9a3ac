#include "tools/sink/publish.h"

#include "tools/sink/export.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define REEXPORTS_MAX 1000

struct publisher {
    struct publish_config config;
    struct publish_stats stats;
};

/* One clip on its way. */
struct job {
    struct publisher *p;
    struct record record;
    struct dataset_place place;
    struct dataset_temp rlc, mcap;
    struct facts facts;
    struct err *err;
};

struct publisher *publish_open(const struct publish_config *config)
{
    struct publisher *p = calloc(1, sizeof *p);

    if (p)
        p->config = *config;
    return p;
}

void publish_close(struct publisher *p)
{
    free(p);
}

void publish_stats(const struct publisher *p, struct publish_stats *ret_stats)
{
    *ret_stats = p->stats;
}

void publish_announcement(const struct record *record, struct wire_dataset *ret_dataset)
{
    struct dataset_place place = { .date = "" };

    memset(ret_dataset, 0, sizeof *ret_dataset);
    ret_dataset->about = record->final.about;
    ret_dataset->status = record->status == RECORD_PARTIAL    ? WIRE_DATASET_PARTIAL
                          : record->status == RECORD_RAW_ONLY ? WIRE_DATASET_RAW_ONLY
                                                              : WIRE_DATASET_COMPLETE;
    ret_dataset->bytes = (uint64_t)record->rlc_bytes;
    memcpy(ret_dataset->sha256, record->rlc_sha256, SHA256_BYTES);
    if (record->status == RECORD_PARTIAL) {
        dataset_partial_name(record->vehicle, record->clip_id, ".part", ret_dataset->path);
        return;
    }
    dataset_place(&record->final.about, &place);
    dataset_name(&place, ".rlc", ret_dataset->path);
}

static void job_close(struct job *job)
{
    dataset_discard(job->p->config.dataset, &job->rlc);
    dataset_discard(job->p->config.dataset, &job->mcap);
    facts_deinit(&job->facts);
}

static int temp_path(const struct job *job, const struct dataset_temp *temp,
                     char path[FILES_ROOT_MAX + FILES_PATH_MAX])
{
    return files_path(dataset_files(job->p->config.dataset), temp->name, path,
                      FILES_ROOT_MAX + FILES_PATH_MAX);
}

static char *job_json(const struct job *job)
{
    return record_write(&job->record, job->facts.content);
}

/* The bytes are kept, and so is the reason. */
static int quarantine(struct job *job, const char *reason, struct assembler_outcome *outcome)
{
    struct record *record = &job->record;

    record->status = RECORD_QUARANTINED;
    record->mcap[0] = '\0';
    (void)snprintf(record->reason, sizeof record->reason, "%s", reason);
    char *json = job_json(job);
    int rc = json ? dataset_quarantine(job->p->config.dataset, record->vehicle,
                                       job->p->config.quarantine_bytes_max, record->clip_id,
                                       record->final_sha256, &job->rlc, json)
                  : -ENOMEM;
    free(json);
    if (rc == -EDQUOT) {
        outcome->result = ASSEMBLER_NOT_KEPT;
        (void)snprintf(outcome->reason, sizeof outcome->reason,
                       "the car's quarantine has no room for %lld bytes more; it would go there "
                       "because: %.300s", (long long)record->rlc_bytes, reason);
        return 0;
    }
    if (rc)
        return err_plain(job->err, rc, "quarantine: %s", strerror(-rc));
    outcome->result = ASSEMBLER_QUARANTINED;
    (void)snprintf(outcome->reason, sizeof outcome->reason, "%.480s", reason);
    return 0;
}

static int export_once(struct job *job, struct export_result *result)
{
    char rlc[FILES_ROOT_MAX + FILES_PATH_MAX], mcap[FILES_ROOT_MAX + FILES_PATH_MAX];

    dataset_temp(job->p->config.dataset, ".mcap", &job->mcap);
    int rc = temp_path(job, &job->rlc, rlc);
    if (!rc)
        rc = temp_path(job, &job->mcap, mcap);
    if (!rc)
        rc = export_clip(rlc, mcap, &job->facts, job->p->config.artifacts, result, job->err);
    if (!rc)
        rc = files_sync(dataset_files(job->p->config.dataset), job->mcap.name);
    if (rc) {
        dataset_discard(job->p->config.dataset, &job->mcap);
        job->mcap.name[0] = '\0';
    }
    return rc;
}

static bool disk_error(int rc)
{
    return rc == -ENOSPC || rc == -EIO || rc == -EROFS || rc == -EDQUOT || rc == -ENOMEM ||
           rc == -EMFILE || rc == -ENFILE || rc == -ESTALE || rc == -EACCES;
}

/* Before a clip stays raw, the artifact topic is read to its end of this moment. */
static int wait_for_artifacts(struct job *job)
{
    struct publisher *p = job->p;
    struct export_result missing = { 0 };

    export_needs(&job->facts, p->config.artifacts, &missing);
    if (!missing.need_count)
        return 0;
    (void)artifacts_rescan(p->config.artifacts);
    int rc = p->config.catch_up ? p->config.catch_up(p->config.context) : 0;
    return rc ? err_plain(job->err, rc, "artifact topic: %s", strerror(-rc)) : 0;
}

static int make_mcap(struct job *job)
{
    struct export_result result = { 0 };
    struct record *record = &job->record;
    int rc = wait_for_artifacts(job);

    if (!rc)
        rc = export_once(job, &result);
    if (rc && (disk_error(rc) || rc == -EAGAIN || rc == -ETIMEDOUT))
        return rc;
    record->status = rc || result.need_count ? RECORD_RAW_ONLY : RECORD_COMPLETE;
    record->need_count = result.need_count;
    memcpy(record->needs, result.needs, sizeof record->needs);
    if (rc) { /* the .rlc is whole and is the truth: it is stored, and says why it stands alone */
        job->p->stats.without_mcap++;
        (void)snprintf(record->reason, sizeof record->reason, "no MCAP: %.480s",
                       job->err->text);
    } else {
        (void)snprintf(record->mcap, sizeof record->mcap, "%s.mcap", job->place.clip);
        job->p->stats.exported++;
        job->p->stats.frames += result.stats.frames;
        job->p->stats.decoded += result.stats.decoded;
    }
    job->p->stats.unusable_databases += result.unusable;
    job->p->stats.raw_only += record->status == RECORD_RAW_ONLY;
    return 0;
}

static void fill_done(const struct record *record, struct assembler_outcome *outcome)
{
    outcome->result = ASSEMBLER_DONE;
    outcome->need_count = record->need_count;
    memcpy(outcome->needs, record->needs, sizeof outcome->needs);
}

static int store_new(struct job *job, struct assembler_outcome *outcome)
{
    struct dataset *dataset = job->p->config.dataset;
    int rc = make_mcap(job);

    if (rc)
        return rc;
    char *json = job_json(job);
    rc = json ? dataset_finish(dataset, &job->place, &job->rlc,
                               job->mcap.name[0] ? &job->mcap : NULL, json)
              : -ENOMEM;
    free(json);
    if (rc)
        return err_plain(job->err, rc, "dataset: %s", strerror(-rc));
    job->rlc.name[0] = job->mcap.name[0] = '\0';
    fill_done(&job->record, outcome);
    return 0;
}

static int store(struct job *job, struct assembler_outcome *outcome)
{
    struct dataset *dataset = job->p->config.dataset;
    struct record found;
    int claim = dataset_claim(dataset, &job->place, job->rlc.sha256, job->err);

    if (claim < 0)
        return claim;
    if (claim == DATASET_OTHER)
        return quarantine(job, "another content is stored under this clip id", outcome);
    if (claim != DATASET_DONE)
        return store_new(job, outcome);
    int rc = dataset_find(dataset, job->record.vehicle, job->record.clip_id, &found, &job->place,
                          job->err);
    if (rc == -EBADMSG) { /* bit rot: the same bytes are here again, so it is stored again */
        rc = dataset_set_aside(dataset, &job->place);
        return rc ? rc : store_new(job, outcome);
    }
    if (rc != 1)
        return rc ? rc : -EAGAIN;
    job->record = found;
    fill_done(&found, outcome);
    return 0;
}

static int check_content(struct job *job, struct assembler_outcome *outcome, bool *ret_closed)
{
    char path[FILES_ROOT_MAX + FILES_PATH_MAX];
    int rc = temp_path(job, &job->rlc, path);

    if (!rc)
        rc = facts_read(path, &job->record.final.about, &job->facts, job->err);
    *ret_closed = rc == -EBADMSG;
    return rc == -EBADMSG ? quarantine(job, job->err->text, outcome) : rc;
}

int publish_clip(struct publisher *p, const struct wire_final *final,
                 const uint8_t final_sha256[SHA256_BYTES], const struct dataset_piece *pieces,
                 struct assembler_outcome *ret_outcome, struct record *ret_record,
                 struct err *err)
{
    struct job job = { .p = p, .err = err };
    bool closed = false;

    job.record.about_known = job.record.final_known = true;
    job.record.final = *final;
    memcpy(job.record.vehicle, final->about.pseudonym, PSEUDONYM_MAX);
    memcpy(job.record.clip_id, final->about.clip_id, CLIP_ID_BYTES);
    memcpy(job.record.final_sha256, final_sha256, SHA256_BYTES);
    dataset_place(&final->about, &job.place);
    int rc = dataset_join(p->config.dataset, pieces, final->about.segments, &job.rlc,
                          &ret_outcome->bad_slot);
    if (rc == -EBADMSG) {
        ret_outcome->result = ASSEMBLER_BAD_SEGMENT;
        (void)snprintf(ret_outcome->reason, sizeof ret_outcome->reason,
                       "segment %u does not have the SHA-256 that its chunks declare",
                       ret_outcome->bad_slot);
        return 0;
    }
    if (rc)
        return err_plain(err, rc, "dataset: %s", strerror(-rc));
    job.record.rlc_bytes = job.rlc.bytes;
    memcpy(job.record.rlc_sha256, job.rlc.sha256, SHA256_BYTES);
    rc = check_content(&job, ret_outcome, &closed);
    if (!rc && !closed)
        rc = store(&job, ret_outcome);
    if (!rc)
        *ret_record = job.record;
    job_close(&job);
    return rc;
}

/* ---- Again ---- */

static int next_name(struct job *job, char name[FILES_PATH_MAX])
{
    char suffix[32];

    for (int n = 1; n <= REEXPORTS_MAX; n++) {
        (void)snprintf(suffix, sizeof suffix, ".r%d.mcap", n);
        dataset_name(&job->place, suffix, name);
        if (!files_exist(dataset_files(job->p->config.dataset), name)) {
            (void)snprintf(job->record.mcap, sizeof job->record.mcap, "%s%s", job->place.clip,
                           suffix);
            return 0;
        }
    }
    return err_plain(job->err, -ENOBUFS, "%d exports of one clip", REEXPORTS_MAX);
}

static int place_again(struct job *job)
{
    char name[FILES_PATH_MAX];
    int rc = next_name(job, name);

    if (!rc)
        rc = files_move_new(dataset_files(job->p->config.dataset), job->mcap.name, name);
    if (rc)
        return rc;
    job->mcap.name[0] = '\0';
    char *json = job_json(job);
    rc = json ? dataset_update(job->p->config.dataset, &job->place, json) : -ENOMEM;
    free(json);
    return rc;
}

static int check_stored(struct job *job)
{
    char name[FILES_PATH_MAX];
    uint8_t sha256[SHA256_BYTES];
    int64_t bytes;

    dataset_name(&job->place, ".rlc", name);
    int rc = files_sha256(dataset_files(job->p->config.dataset), name, sha256, &bytes);
    if (!rc && memcmp(sha256, job->record.rlc_sha256, SHA256_BYTES))
        rc = -EBADMSG;
    return rc ? err_at(job->err, rc, name, 0, 0, rc == -EBADMSG
                       ? "does not have the SHA-256 that its JSON says" : "cannot be read") : 0;
}

static int export_again(struct job *job)
{
    char name[FILES_PATH_MAX], rlc[FILES_ROOT_MAX + FILES_PATH_MAX];
    char mcap[FILES_ROOT_MAX + FILES_PATH_MAX];
    struct files *files = dataset_files(job->p->config.dataset);
    struct export_result result = { 0 };

    dataset_name(&job->place, ".rlc", name);
    int rc = files_path(files, name, rlc, sizeof rlc);
    if (!rc)
        rc = facts_read(rlc, &job->record.final.about, &job->facts, job->err);
    if (!rc)
        export_needs(&job->facts, job->p->config.artifacts, &result);
    if (rc || result.need_count)
        return rc ? rc : 1;
    dataset_temp(job->p->config.dataset, ".mcap", &job->mcap);
    rc = temp_path(job, &job->mcap, mcap);
    if (!rc)
        rc = export_clip(rlc, mcap, &job->facts, job->p->config.artifacts, &result, job->err);
    if (!rc)
        rc = files_sync(files, job->mcap.name);
    job->p->stats.exported += !rc;
    return rc;
}

int publish_again(struct publisher *p, const struct dataset_place *place, struct record *record,
                  struct err *err)
{
    struct job job = { .p = p, .err = err, .record = *record, .place = *place };
    int rc = check_stored(&job);

    if (!rc)
        rc = export_again(&job);
    if (!rc) {
        job.record.status = RECORD_COMPLETE;
        job.record.need_count = 0;
        job.record.reason[0] = '\0';
        rc = place_again(&job);
        if (rc)
            (void)err_plain(err, rc, "dataset: %s", strerror(-rc));
    }
    if (!rc)
        *record = job.record;
    job_close(&job);
    return rc;
}
