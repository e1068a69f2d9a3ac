#include "storage/clipstore_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTA_BYTES_MIN 65536
#define WAL_CHECKPOINT_BYTES 1048576 /* idle or not: the WAL never grows much beyond */
#define NEVER_NS INT64_MAX

void store_path(const struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                unsigned segment, const char *extension, char ret_path[IO_PATH_MAX])
{
    char hex[CLIP_ID_HEX];

    hex_from(clip_id, CLIP_ID_BYTES, hex);
    (void)snprintf(ret_path, IO_PATH_MAX, "%.400s/%s-%u%s", store->clips_dir, hex, segment,
                   extension);
}

int store_note(struct clipstore *store, int rc, const char *what)
{
    if (rc == 0) {
        store->stats.degraded = false;
        return 0;
    }
    store->stats.degraded = true;
    (void)snprintf(store->stats.reason, sizeof store->stats.reason, "%s: %s", what, strerror(-rc));
    if (rc == -EBADMSG)
        store->broken = true;
    return rc;
}

int store_sync(struct clipstore *store, int fd)
{
    if (store->config.relaxed)
        return 0;
    store->stats.syncs++;
    return store_note(store, store->config.io.ops->sync(store->config.io.context, fd),
                      "fdatasync of a segment");
}

int store_sync_dir(struct clipstore *store, const char *dir)
{
    if (store->config.relaxed)
        return 0;
    store->stats.syncs++;
    return store_note(store, store->config.io.ops->sync_dir(store->config.io.context, dir),
                      "fsync of a folder");
}

int store_begin(struct clipstore *store)
{
    if (!store->outbox)
        return -EIO;
    if (db_in_transaction(store->db))
        return 0;
    return store_note(store, db_begin(store->db), "beginning a transaction");
}

int store_commit(struct clipstore *store)
{
    int rc = outbox_set_number(store->outbox, "flash_credit", store->flash_credit);
    if (rc)
        db_rollback(store->db);
    else
        rc = db_commit(store->db);
    store->dirty = false; /* also when it failed: what was lost is harmless to repeat */
    store->stats.commits++;
    quota_written(store, WAL_ROOM_BYTES);
    return store_note(store, rc, "commit");
}

void store_dirty(struct clipstore *store, int64_t now_ns)
{
    if (!store->dirty)
        store->dirty_since_ns = now_ns;
    store->dirty = true;
}

struct handed *store_handed(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES])
{
    for (unsigned i = 0; i < HANDED_MAX; i++)
        if (store->handed[i].used && !memcmp(store->handed[i].clip_id, clip_id, CLIP_ID_BYTES))
            return &store->handed[i];
    return NULL;
}

int store_unlink(struct clipstore *store, const struct outbox_clip *clip)
{
    const uint8_t *clip_id = clip->final.about.clip_id;
    char path[IO_PATH_MAX];

    for (unsigned i = 0; i < clip->sealed; i++) {
        store_path(store, clip_id, i, ".rlc", path);
        int rc = store->config.io.ops->unlink(store->config.io.context, path);
        if (rc && rc != -ENOENT)
            return store_note(store, rc, "removing a segment");
        store->used_bytes -= clip->final.segments[i].bytes;
        store->stats.unlinked++;
    }
    int rc = store_begin(store);
    if (!rc)
        rc = store_note(store, outbox_set_gone(store->outbox, clip_id), "noting a removal");
    store->dirty = true; /* grouped; repeating it after a crash is harmless */
    return rc;
}

/* ---- Open and close ---- */

static int attach(struct clipstore *store, struct err *err)
{
    const struct db_config config = { .path = store->db_path, .schema = outbox_schema,
                                      .application_id = OUTBOX_APPLICATION_ID,
                                      .version = OUTBOX_VERSION, .page_bytes = 1024,
                                      .vfs = store->config.db_vfs,
                                      .relaxed = store->config.relaxed };
    enum db_how how;
    int64_t credit;

    int rc = db_open(&config, err, &store->db, &how);
    if (rc)
        return rc;
    rc = outbox_open(store->db, &store->outbox);
    if (rc)
        return err_at(err, rc, store->db_path, 0, 0, "cannot read the outbox: %s",
                      db_reason(store->db));
    if (how == DB_QUARANTINED)
        store->stats.rebuilt++;
    if (outbox_get_number(store->outbox, "flash_credit", &credit) == 1 &&
        credit < store->flash_credit)
        store->flash_credit = credit;
    return recover(store, err);
}

static void detach(struct clipstore *store)
{
    outbox_close(store->outbox);
    store->outbox = NULL;
    db_close(store->db);
    store->db = NULL;
}

static int make_folders(struct clipstore *store, struct err *err)
{
    const char *const dirs[] = { store->dir, store->clips_dir, store->artifacts_dir };

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        int rc = store->config.io.ops->make_dir(store->config.io.context, dirs[i]);
        if (rc)
            return err_at(err, rc, dirs[i], 0, 0, "cannot make the folder: %s", strerror(-rc));
    }
    return store_sync_dir(store, store->dir);
}

static int check_config(const struct clipstore_config *config, struct err *err)
{
    if (strlen(config->dir) > IO_PATH_MAX - 128)
        return err_plain(err, -ERANGE, "store folder: path longer than %d bytes",
                         IO_PATH_MAX - 128);
    if (config->chunk_bytes < CHUNK_BYTES_MIN || config->chunk_bytes > CHUNK_BYTES_MAX)
        return err_plain(err, -ERANGE, "chunk size: found %u, expected %d to %d",
                         config->chunk_bytes, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    if (config->quota_bytes < QUOTA_BYTES_MIN || config->flash_bytes_per_day < 0)
        return err_plain(err, -ERANGE, "quota: found %lld bytes, %lld a day, expected at least %d "
                         "and 0", (long long)config->quota_bytes,
                         (long long)config->flash_bytes_per_day, QUOTA_BYTES_MIN);
    return 0;
}

int clipstore_open(const struct clipstore_config *config, int64_t now_ns, struct err *err,
                   struct clipstore **ret_store)
{
    int rc = check_config(config, err);
    if (rc)
        return rc;
    struct clipstore *store = calloc(1, sizeof *store);
    if (!store)
        return err_plain(err, -ENOMEM, "no memory for the clip store");
    store->config = *config;
    (void)snprintf(store->dir, IO_PATH_MAX, "%s", config->dir);
    (void)snprintf(store->clips_dir, IO_PATH_MAX, "%s/clips", config->dir);
    (void)snprintf(store->artifacts_dir, IO_PATH_MAX, "%s/artifacts", config->dir);
    (void)snprintf(store->db_path, IO_PATH_MAX, "%s/outbox.db", config->dir);
    store->config.dir = store->dir;
    store->flash_credit = config->flash_bytes_per_day;
    store->flash_at_ns = now_ns;
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++)
        store->segments[i].fd = -1;
    rc = make_folders(store, err);
    if (!rc)
        rc = attach(store, err);
    if (rc) {
        clipstore_close(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

/* Open segments keep their files: the next opening cuts and closes them. */
void clipstore_close(struct clipstore *store)
{
    if (!store)
        return;
    if (store->outbox && db_in_transaction(store->db))
        (void)store_commit(store);
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++) {
        struct open_segment *open = &store->segments[i];
        if (open->used && open->fd >= 0)
            store->config.io.ops->close(store->config.io.context, open->fd);
        sha256_close(open->sha);
        clip_header_deinit(&open->header);
    }
    detach(store);
    free(store);
}

/* ---- Jobs ---- */

static void fill_job(const struct outbox_clip *clip, enum job_kind kind, struct job *job)
{
    memset(job, 0, sizeof *job);
    job->kind = kind;
    job->final = clip->final;
    job->sealed = clip->sealed;
    job->age = clip->age;
    job->next_ask = clip->ask ? clip->ask + 1 : 0;
}

/* Only artifacts that no delivery report has come for: the others are in the topic. */
static void fill_artifacts(struct clipstore *store, const struct outbox_clip *clip, struct job *job)
{
    for (unsigned i = 0; i < clip->artifact_count; i++)
        if (outbox_is_artifact_sent(store->outbox, clip->artifacts[i]) != 1)
            memcpy(job->artifacts[job->artifact_count++], clip->artifacts[i], SHA256_BYTES);
}

static struct handed *free_handed(struct clipstore *store, bool ask)
{
    unsigned count = 0;
    struct handed *slot = NULL;

    for (unsigned i = 0; i < HANDED_MAX; i++) {
        if (!store->handed[i].used)
            slot = &store->handed[i];
        else if (store->handed[i].ask == ask)
            count++;
    }
    return count < (ask ? CLIPSTORE_ASK_MAX : CLIPSTORE_SEND_MAX) ? slot : NULL;
}

/* The first clip of that order which the uploader does not hold as it is now: 1, 0 or an error. */
static int next_clip(struct clipstore *store, enum outbox_order order, struct outbox_clip *clip,
                     struct handed **ret_slot)
{
    struct outbox_cursor cursor = { 0 };
    struct handed *room = free_handed(store, order == OUTBOX_TO_ASK);
    int rc;

    while ((rc = outbox_next(store->outbox, order, &cursor, clip)) == 1) {
        struct handed *handed = store_handed(store, clip->final.about.clip_id);
        if (handed && handed->sealed == clip->sealed)
            continue;
        if (!handed && !room)
            return 0;
        *ret_slot = handed ? handed : room;
        return 1;
    }
    return rc;
}

static bool take_cancel(struct clipstore *store, struct job *job)
{
    if (store->cancel_count == 0)
        return false;
    memset(job, 0, sizeof *job);
    job->kind = JOB_CANCEL;
    memcpy(job->final.about.clip_id, store->cancels[--store->cancel_count], CLIP_ID_BYTES);
    return true;
}

static bool take_gone(struct clipstore *store, struct job *job)
{
    if (store->gone_count == 0)
        return false;
    const struct gone_answer *gone = &store->gone[--store->gone_count];
    memset(job, 0, sizeof *job);
    job->kind = JOB_GONE;
    job->gone = gone->reason;
    job->gone_ask = gone->ask;
    memcpy(job->final.about.clip_id, gone->clip_id, CLIP_ID_BYTES);
    (void)snprintf(job->final.about.pseudonym, PSEUDONYM_MAX, "%s", gone->pseudonym);
    return true;
}

int clipstore_next_job(struct clipstore *store, struct job *ret_job)
{
    struct outbox_clip clip;
    struct handed *slot = NULL;

    if (take_cancel(store, ret_job) || take_gone(store, ret_job))
        return 1;
    if (!store->outbox)
        return 0;
    bool ask = false;
    int rc = next_clip(store, OUTBOX_TO_SEND, &clip, &slot);
    if (rc == 0 && store->config.delete_after == CLIPSTORE_DELETE_RECEIPT) {
        ask = true;
        rc = next_clip(store, OUTBOX_TO_ASK, &clip, &slot);
    }
    if (rc != 1)
        return rc ? (void)store_note(store, rc, "reading the outbox"), 0 : 0;
    bool in_flight = slot->used && slot->in_flight;
    *slot = (struct handed){ .used = true, .ask = ask, .in_flight = in_flight,
                             .sealed = clip.sealed };
    memcpy(slot->clip_id, clip.final.about.clip_id, CLIP_ID_BYTES);
    fill_job(&clip, ask ? JOB_ASK : JOB_CLIP, ret_job);
    fill_artifacts(store, &clip, ret_job);
    return 1;
}

void clipstore_forget_jobs(struct clipstore *store)
{
    memset(store->handed, 0, sizeof store->handed);
    store->cancel_count = 0;
}

/* ---- Outcomes ---- */

/* A receipt deletes only if it names the very manifest-final that these rows give. */
static bool is_own_receipt(struct clipstore *store, const struct outcome *outcome)
{
    struct outbox_clip clip;
    struct wire_value value = { .kind = WIRE_FINAL };
    uint8_t bytes[ENVELOPE_BYTES_MAX], digest[SHA256_BYTES];

    if (outbox_find(store->outbox, outcome->clip_id, &clip) != 1 ||
        clip.sealed != clip.final.about.segments)
        return false;
    value.final = clip.final;
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);
    if (size < 0)
        return false;
    sha256_of(bytes, (size_t)size, digest);
    return memcmp(digest, outcome->sha256, SHA256_BYTES) == 0;
}

static int deliver(struct clipstore *store, const struct outcome *outcome)
{
    if (!is_own_receipt(store, outcome))
        return -EPERM;
    int rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_RECEIPTED, "");
    if (!rc)
        rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_DELETABLE, "");
    if (!rc)
        store->sweep_due = true;
    return rc;
}

static int acked(struct clipstore *store, const struct outcome *outcome)
{
    struct handed *handed = store_handed(store, outcome->clip_id);
    int rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_ACKED, "");

    if (store->config.delete_after == CLIPSTORE_DELETE_BROKER_ACK) {
        if (!rc)
            rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_DELETABLE, "");
        if (handed)
            handed->used = false;
        store->sweep_due = true;
    } else if (handed) {
        handed->ask = true;
        handed->in_flight = false;
    }
    return rc;
}

static enum wire_gone_reason gone_reason(enum outbox_state state)
{
    switch (state) {
    case OUTBOX_RECEIPTED: case OUTBOX_DELETABLE: return WIRE_GONE_DELIVERED;
    case OUTBOX_EVICTED: return WIRE_GONE_EVICTED;
    case OUTBOX_ERASED: return WIRE_GONE_ERASED;
    default: return WIRE_GONE_EXPIRED; /* also when the row itself is trimmed by now */
    }
}

/* The sink asks for a clip that the uploader does not hold. What is still pending will be sent or
 * asked about in its turn; what is no more is said to be gone. */
static int unknown(struct clipstore *store, const struct outcome *outcome)
{
    struct outbox_clip clip = { 0 };

    int rc = outbox_find(store->outbox, outcome->clip_id, &clip);
    if (rc < 0 || (rc == 1 && clip.state <= OUTBOX_ACKED) ||
        (rc == 1 && clip.state == OUTBOX_PARKED))
        return rc < 0 ? rc : 0;
    if (store->gone_count >= CLIPSTORE_GONE_MAX)
        return -ENOBUFS; /* the sink asks again */
    struct gone_answer *gone = &store->gone[store->gone_count++];
    *gone = (struct gone_answer){ .ask = outcome->ask, .reason = gone_reason(clip.state) };
    memcpy(gone->clip_id, outcome->clip_id, CLIP_ID_BYTES);
    (void)snprintf(gone->pseudonym, sizeof gone->pseudonym, "%s", outcome->pseudonym);
    return 0;
}

static int park(struct clipstore *store, const struct outcome *outcome)
{
    return outbox_set(store->outbox, outcome->clip_id, OUTBOX_PARKED, outcome->reason);
}

static int apply(struct clipstore *store, const struct outcome *outcome)
{
    struct handed *handed = store_handed(store, outcome->clip_id);
    int rc;

    switch (outcome->kind) {
    case OUTCOME_SENT:
        if (handed)
            handed->in_flight = true;
        rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_SENT, "");
        return rc == -EALREADY ? 0 : rc;
    case OUTCOME_ACKED: return acked(store, outcome);
    case OUTCOME_ASKED: return outbox_set_ask(store->outbox, outcome->clip_id, outcome->ask);
    case OUTCOME_RECEIPTED:
        if (handed)
            handed->used = false;
        return deliver(store, outcome);
    case OUTCOME_PARKED:
        if (handed)
            handed->used = false;
        return park(store, outcome);
    case OUTCOME_RETRY:
        if (handed)
            handed->used = false;
        return 0;
    case OUTCOME_UNKNOWN: return unknown(store, outcome);
    case OUTCOME_ARTIFACT: return outbox_artifact_sent(store->outbox, outcome->sha256);
    case OUTCOME_OFFSET:
        return outbox_set_offset(store->outbox, outcome->partition, outcome->offset);
    default: return -EINVAL;
    }
}

void clipstore_outcome(struct clipstore *store, const struct outcome *outcome, int64_t now_ns)
{
    if (store_begin(store) != 0) {
        store->stats.outcomes_ignored++;
        return;
    }
    int rc = apply(store, outcome);
    if (rc == -EPERM || rc == -ENOENT || rc == -EALREADY || rc == -EINVAL || rc == -ENOBUFS)
        store->stats.outcomes_ignored++;
    else if (rc)
        (void)store_note(store, rc, "an outcome");
    store_dirty(store, now_ns);
}

/* ---- Turns ---- */

static void reopen(struct clipstore *store)
{
    struct err err = { 0 };

    seal_abandon_all(store, CLIPSTORE_FAIL_DISK);
    if (store->db)
        db_rollback(store->db);
    detach(store);
    clipstore_forget_jobs(store);
    store->dirty = false;
    int rc = attach(store, &err);
    if (rc) {
        detach(store);
        (void)snprintf(store->stats.reason, sizeof store->stats.reason, "%.127s", err.text);
        return;
    }
    store->broken = store->stats.degraded = false;
}

int clipstore_flush(struct clipstore *store, int64_t now_ns)
{
    (void)now_ns;
    if (!store->outbox || !db_in_transaction(store->db))
        return 0;
    int rc = outbox_trim(store->outbox, OUTBOX_ROWS_MAX);
    return rc ? store_note(store, rc, "trimming rows") : store_commit(store);
}

int64_t clipstore_turn(struct clipstore *store, int64_t now_ns)
{
    if (store->broken || !store->outbox)
        reopen(store);
    if (!store->outbox)
        return now_ns + 10 * CLIPSTORE_COMMIT_NS;
    if (store->dirty && store->dirty_since_ns == 0)
        store->dirty_since_ns = now_ns;
    if (store->dirty && now_ns - store->dirty_since_ns >= CLIPSTORE_COMMIT_NS) {
        store->dirty_since_ns = 0;
        /* Only what is durable lets a file go: sweep after the commit. */
        if (clipstore_flush(store, now_ns) == 0 && store->sweep_due)
            (void)quota_sweep(store);
    }
    if (!db_in_transaction(store->db) && db_wal_bytes(store->db) >= WAL_CHECKPOINT_BYTES)
        (void)store_note(store, db_checkpoint(store->db), "checkpoint");
    return store->dirty ? now_ns + CLIPSTORE_COMMIT_NS : NEVER_NS;
}

/* ---- By a person ---- */

int clipstore_unpark(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES])
{
    struct outbox_clip clip;

    int rc = store_begin(store);
    if (rc)
        return rc;
    rc = outbox_find(store->outbox, clip_id, &clip);
    if (rc == 1)
        rc = clip.state == OUTBOX_PARKED
                 ? outbox_set(store->outbox, clip_id, OUTBOX_SEALED, "unparked")
                 : -EPERM;
    else if (rc == 0)
        rc = -ENOENT;
    int committed = store_commit(store);
    return rc ? rc : committed;
}

int clipstore_drop(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                   enum outbox_state to, const char *reason)
{
    struct outbox_clip clip;

    if (to != OUTBOX_EXPIRED && to != OUTBOX_ERASED)
        return -EINVAL;
    int rc = store_begin(store);
    if (rc)
        return rc;
    rc = outbox_set(store->outbox, clip_id, to, reason);
    int committed = store_commit(store);
    if (rc || committed)
        return rc ? rc : committed;
    struct handed *handed = store_handed(store, clip_id);
    if (handed)
        handed->used = false;
    if (handed && store->cancel_count < CLIPSTORE_EVICT_BATCH)
        memcpy(store->cancels[store->cancel_count++], clip_id, CLIP_ID_BYTES);
    rc = outbox_find(store->outbox, clip_id, &clip);
    return rc == 1 ? store_unlink(store, &clip) : -EIO;
}

/* ---- Asking ---- */

int clipstore_find(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                   struct outbox_clip *ret_clip)
{
    return store->outbox ? outbox_find(store->outbox, clip_id, ret_clip) : -EIO;
}

int clipstore_next(struct clipstore *store, enum outbox_order order, struct outbox_cursor *cursor,
                   struct outbox_clip *ret_clip)
{
    return store->outbox ? outbox_next(store->outbox, order, cursor, ret_clip) : -EIO;
}

int clipstore_books(struct clipstore *store, struct outbox_books *ret_books)
{
    return store->outbox ? outbox_books(store->outbox, ret_books) : -EIO;
}

int clipstore_offset(struct clipstore *store, int32_t partition, int64_t *ret_offset)
{
    return store->outbox ? outbox_get_offset(store->outbox, partition, ret_offset) : -EIO;
}

void clipstore_stats(const struct clipstore *store, struct clipstore_stats *ret_stats)
{
    *ret_stats = store->stats;
    ret_stats->disk_bytes = store->used_bytes;
    ret_stats->flash_credit_bytes = store->flash_credit;
    ret_stats->wal_bytes = store->db ? db_wal_bytes(store->db) : 0;
    ret_stats->clips_open = 0;
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++)
        ret_stats->clips_open += store->segments[i].used;
}
