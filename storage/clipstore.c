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

bool store_is_over(enum outbox_state state)
{
    return state == OUTBOX_DELETABLE || (state >= OUTBOX_EVICTED && state < OUTBOX_STATE_END);
}

bool store_is_ours(const struct clipstore *store, const struct wire_about *about)
{
    return memcmp(about->session_id, store->config.session_id, sizeof about->session_id) == 0;
}

bool store_is_open(const struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES])
{
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++)
        if (store->segments[i].used && !memcmp(store->segments[i].clip_id, clip_id, CLIP_ID_BYTES))
            return true;
    return false;
}

bool store_is_disk(int rc)
{
    return rc == -EIO || rc == -ENOSPC || rc == -EROFS || rc == -EDQUOT;
}

void store_cancel(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES])
{
    struct handed *handed = store_handed(store, clip_id);

    if (!handed)
        return;
    handed->used = false;
    assert(store->cancel_count < HANDED_MAX);
    memcpy(store->cancels[store->cancel_count++], clip_id, CLIP_ID_BYTES);
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

static int make_folders(struct clipstore *store, struct err *err)
{
    const char *const dirs[] = { store->dir, store->clips_dir, store->artifacts_dir };

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        int rc = store->config.io.ops->make_dir(store->config.io.context, dirs[i]);
        if (rc)
            return err_at(err, rc, dirs[i], 0, 0, "cannot make the folder: %s", strerror(-rc));
    }
    int rc = store_sync_dir(store, store->dir);
    return rc ? err_at(err, rc, store->dir, 0, 0, "cannot sync the folder: %s", strerror(-rc)) : 0;
}

static void detach(struct clipstore *store)
{
    outbox_close(store->outbox);
    store->outbox = NULL;
    db_close(store->db);
    store->db = NULL;
}

/* What waits for a receipt that nobody will ask about any more, since the policy was changed. */
static int apply_policy(struct clipstore *store)
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int rc = 0;

    if (store->config.delete_after != CLIPSTORE_DELETE_BROKER_ACK)
        return 0;
    while (!rc && (rc = outbox_next(store->outbox, OUTBOX_TO_ASK, &cursor, &clip)) == 1) {
        rc = store_begin(store);
        if (!rc)
            rc = outbox_set(store->outbox, clip.final.about.clip_id, OUTBOX_DELETABLE, "");
        store->dirty = store->sweep_due = true;
    }
    return rc;
}

static int open_outbox(struct clipstore *store, struct err *err)
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
    rc = recover(store, err);
    if (rc)
        return rc;
    rc = apply_policy(store);
    return rc ? err_at(err, rc, store->db_path, 0, 0, "cannot apply delete_after: %s",
                       db_reason(store->db))
              : 0;
}

static int attach(struct clipstore *store, struct err *err)
{
    int rc = make_folders(store, err);
    if (!rc)
        rc = open_outbox(store, err);
    if (!rc)
        return 0;
    if (store->db)
        db_rollback(store->db);
    detach(store);
    store->dirty = store->sweep_due = false;
    return rc;
}

/* The disk does not do now: everything is refused and counted until a turn can open it. */
static void stay_broken(struct clipstore *store, const struct err *err, int64_t now_ns)
{
    store->stats.degraded = true;
    (void)snprintf(store->stats.reason, sizeof store->stats.reason, "%.127s", err->text);
    store->reopen_at_ns = now_ns + REOPEN_NS;
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
    rc = attach(store, err);
    if (store_is_disk(rc)) {
        stay_broken(store, err, now_ns);
        rc = 0;
    }
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

/* ---- Turns ---- */

static void reopen(struct clipstore *store, int64_t now_ns)
{
    struct err err = { 0 };

    seal_abandon_all(store, CLIPSTORE_FAIL_DISK);
    if (store->db)
        db_rollback(store->db);
    detach(store);
    clipstore_forget_jobs(store);
    store->dirty = false;
    if (attach(store, &err)) {
        stay_broken(store, &err, now_ns);
        return;
    }
    store->broken = false;
    if (!store->stats.unread)
        store->stats.degraded = false;
}

/* What a full disk keeps from closing is tried again later; the next start closes it at the latest. */
static void close_lone(struct clipstore *store, int64_t now_ns)
{
    if (!store->lone_due || now_ns < store->lone_at_ns)
        return;
    store->lone_due = recover_lone(store) != 0;
    store->lone_at_ns = store->lone_due ? now_ns + REOPEN_NS : 0;
}

int clipstore_flush(struct clipstore *store, int64_t now_ns)
{
    (void)now_ns;
    if (!store->outbox || !db_in_transaction(store->db))
        return 0;
    int rc = outbox_trim(store->outbox, OUTBOX_ROWS_MAX);
    return rc ? store_note(store, rc, "trimming rows") : store_commit(store);
}

int clipstore_end(struct clipstore *store, int64_t now_ns)
{
    store->input_over = true;
    store->lone_due = store->outbox != NULL;
    store->lone_at_ns = 0;
    close_lone(store, now_ns);
    return clipstore_flush(store, now_ns);
}

int64_t clipstore_turn(struct clipstore *store, int64_t now_ns)
{
    if ((store->broken || !store->outbox) && now_ns >= store->reopen_at_ns)
        reopen(store, now_ns);
    if (!store->outbox)
        return store->reopen_at_ns;
    close_lone(store, now_ns);
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
    int64_t next_ns = store->dirty ? now_ns + CLIPSTORE_COMMIT_NS : NEVER_NS;
    return store->lone_due && store->lone_at_ns < next_ns ? store->lone_at_ns : next_ns;
}

/* ---- By a person ---- */

/* A clip whose bytes were set aside has nothing to send. */
static int unpark(struct clipstore *store, const struct outbox_clip *clip)
{
    if (clip->state != OUTBOX_PARKED || !clip->on_disk)
        return -EPERM;
    int rc = outbox_set(store->outbox, clip->final.about.clip_id, OUTBOX_SEALED, "unparked");
    return rc ? rc : 1;
}

static int unpark_all(struct clipstore *store)
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int count = 0, rc;

    while ((rc = outbox_next(store->outbox, OUTBOX_ON_DISK, &cursor, &clip)) == 1) {
        int done = unpark(store, &clip);
        if (done < 0 && done != -EPERM)
            return done;
        count += done == 1;
    }
    return rc ? rc : count;
}

int clipstore_unpark(struct clipstore *store, const uint8_t *clip_id)
{
    struct outbox_clip clip;

    int rc = store_begin(store);
    if (rc)
        return rc;
    int found = clip_id ? outbox_find(store->outbox, clip_id, &clip) : 1;
    int count = found < 0    ? found
                : found == 0 ? -ENOENT
                : clip_id    ? unpark(store, &clip)
                             : unpark_all(store);
    rc = store_commit(store);
    return rc ? rc : count;
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
    store_cancel(store, clip_id);
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
