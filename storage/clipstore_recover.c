/* Opening after any death: files and rows are brought together, torn segments are cut and closed, or
 * thrown away where the recording that runs makes them again. Every step may be repeated; nothing is
 * removed that a row does not allow to go. A file that the disk does not give is left for the next
 * opening: it costs that clip, not the daemon. */
#include "storage/clipstore_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names ---- */

struct named {
    uint8_t clip_id[CLIP_ID_BYTES];
    unsigned segment;
    const char *extension;
};

/* "<32 hex>-<digit>.<extension>" */
static bool parse_name(const char *name, struct named *ret_named)
{
    char hex[CLIP_ID_HEX];

    if (strlen(name) < CLIP_ID_HEX + 3 || name[CLIP_ID_HEX - 1] != '-' ||
        name[CLIP_ID_HEX] < '0' || name[CLIP_ID_HEX] >= '0' + SEGMENTS_MAX ||
        name[CLIP_ID_HEX + 1] != '.')
        return false;
    memcpy(hex, name, CLIP_ID_HEX - 1);
    hex[CLIP_ID_HEX - 1] = '\0';
    ret_named->segment = (unsigned)(name[CLIP_ID_HEX] - '0');
    ret_named->extension = name + CLIP_ID_HEX + 1;
    return hex_to(hex, CLIP_ID_BYTES, ret_named->clip_id) == 0;
}

static int quarantine_file(struct clipstore *store, const struct named *named)
{
    char from[IO_PATH_MAX], to[IO_PATH_MAX];

    store_path(store, named->clip_id, named->segment, ".rlc", from);
    store_path(store, named->clip_id, named->segment, ".bad", to);
    store->stats.quarantined++;
    return store->config.io.ops->rename(store->config.io.context, from, to);
}

/* ---- Orphans: collected first, so that they get their rows in the order of time ---- */

struct orphan {
    struct named named;
    struct wire_about about;
    struct wire_segment segment;
    uint8_t artifact_count;
    uint8_t artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES];
};

struct orphans {
    struct orphan *items;
    uint32_t count;
};

static int compare_orphans(const void *a, const void *b)
{
    const struct orphan *x = a, *y = b;

    if (x->about.utc_ns != y->about.utc_ns)
        return x->about.utc_ns < y->about.utc_ns ? -1 : 1;
    int by_session = memcmp(x->about.session_id, y->about.session_id, sizeof x->about.session_id);
    if (by_session)
        return by_session;
    if (x->about.ordinal != y->about.ordinal)
        return x->about.ordinal < y->about.ordinal ? -1 : 1;
    int by_id = memcmp(x->about.clip_id, y->about.clip_id, CLIP_ID_BYTES);
    return by_id ? by_id : (int)x->named.segment - (int)y->named.segment;
}

static int add_orphan(struct clipstore *store, struct orphans *orphans, const struct named *named,
                      int fd)
{
    struct clip_reader *reader = NULL;
    struct examined found;

    int rc = torn_examine(store, fd, &reader, &found);
    clip_reader_close(reader);
    if (rc)
        return rc;
    if (!found.complete || found.good_bytes != found.size || found.segment != named->segment ||
        memcmp(found.about.clip_id, named->clip_id, CLIP_ID_BYTES))
        return quarantine_file(store, named);
    struct orphan *grown = realloc(orphans->items, (orphans->count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    orphans->items = grown;
    struct orphan *orphan = &grown[orphans->count++];
    memset(orphan, 0, sizeof *orphan);
    orphan->named = *named;
    orphan->about = found.about;
    orphan->segment.bytes = (uint32_t)found.size;
    orphan->segment.chunk_bytes = store->config.chunk_bytes;
    memcpy(orphan->segment.sha256, found.sha256, SHA256_BYTES);
    orphan->artifact_count = found.artifact_count;
    memcpy(orphan->artifacts, found.artifacts, sizeof orphan->artifacts);
    return 0;
}

static int adopt_orphans(struct clipstore *store, struct orphans *orphans)
{
    int rc = 0;

    if (orphans->count)
        qsort(orphans->items, orphans->count, sizeof orphans->items[0], compare_orphans);
    for (uint32_t i = 0; !rc && i < orphans->count; i++) {
        const struct orphan *orphan = &orphans->items[i];
        rc = outbox_add(store->outbox, &orphan->about, orphan->named.segment, &orphan->segment,
                        (const uint8_t(*)[SHA256_BYTES])orphan->artifacts,
                        orphan->artifact_count);
        if (rc == -EINVAL && store->stats.unread)
            rc = 0; /* its segment 0 may be what could not be read: both wait for the next opening */
        else if (rc == -EINVAL || rc == -EEXIST) /* a segment 1 without its segment 0 */
            rc = quarantine_file(store, &orphan->named);
        else if (!rc) {
            store->stats.adopted++;
            store->used_bytes += orphan->segment.bytes;
        }
    }
    return rc;
}

/* ---- One file against its row ---- */

static int check_file(struct clipstore *store, struct orphans *orphans, const struct named *named)
{
    const struct io *io = &store->config.io;
    struct outbox_clip clip;
    char path[IO_PATH_MAX];

    store_path(store, named->clip_id, named->segment, ".rlc", path);
    int rc = outbox_find(store->outbox, named->clip_id, &clip);
    if (rc < 0)
        return rc;
    if (rc == 1 && store_is_over(clip.state) && !clip.on_disk)
        return io->ops->unlink(io->context, path); /* the unlink was lost with the power */
    int fd = io->ops->open(io->context, path);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    if (rc == 1 && named->segment < clip.sealed) {
        int64_t size = io->ops->size(io->context, fd);
        io->ops->close(io->context, fd);
        if (size < 0 || size == (int64_t)clip.final.segments[named->segment].bytes)
            return size < 0 ? (int)size : 0;
        rc = quarantine_file(store, named);
        int set = outbox_set(store->outbox, named->clip_id, OUTBOX_PARKED, "segment is damaged");
        return rc ? rc : set == -EPERM || set == -EALREADY ? 0 : set;
    }
    rc = add_orphan(store, orphans, named, fd);
    io->ops->close(io->context, fd);
    return rc;
}

static int visit(struct clipstore *store, struct orphans *orphans, const char *name)
{
    struct named named;

    if (!parse_name(name, &named)) {
        store->stats.foreign++;
        return 0;
    }
    if (!strcmp(named.extension, ".bad"))
        return 0;
    if (!strcmp(named.extension, ".rlc"))
        return check_file(store, orphans, &named);
    if (strcmp(named.extension, ".open")) {
        store->stats.foreign++;
        return 0;
    }
    int rc = torn_finish(store, named.clip_id, named.segment, TORN_DISCARD);
    return rc ? rc : check_file(store, orphans, &named);
}

/* What a disk error at one clip costs: that clip, until the next opening. A database that failed has
 * lost the transaction, and nothing goes on without it. */
static int leave(struct clipstore *store, int rc)
{
    if (!store_is_disk(rc) || !db_in_transaction(store->db))
        return rc;
    store->stats.unread++;
    return 0;
}

static int visit_files(struct clipstore *store, struct orphans *orphans)
{
    struct io_names names = { 0 };

    int rc = store->config.io.ops->list(store->config.io.context, store->clips_dir, &names);
    if (rc)
        return rc;
    store->stats.foreign += names.foreign;
    for (uint32_t i = 0; !rc && i < names.count; i++)
        rc = leave(store, visit(store, orphans, names.names[i]));
    io_names_deinit(&names);
    return rc;
}

/* ---- Rows without files, and lone pre-rolls ---- */

/* 1: all are there; 0: one is missing; or an error of the disk. */
static int has_files(struct clipstore *store, const struct outbox_clip *clip)
{
    const struct io *io = &store->config.io;
    char path[IO_PATH_MAX];

    for (unsigned i = 0; i < clip->sealed; i++) {
        store_path(store, clip->final.about.clip_id, i, ".rlc", path);
        int fd = io->ops->open(io->context, path);
        if (fd < 0)
            return store_is_disk(fd) ? fd : 0;
        io->ops->close(io->context, fd);
    }
    return 1;
}

static int finish_lone(struct clipstore *store, struct orphans *orphans,
                       const struct outbox_clip *clip)
{
    struct named named = { .segment = 1, .extension = ".rlc" };

    memcpy(named.clip_id, clip->final.about.clip_id, CLIP_ID_BYTES);
    int rc = lone_write(store, named.clip_id);
    if (rc == -EEXIST) /* an earlier try, or a torn one that could not be removed */
        rc = 0;
    if (rc == -EBADMSG) { /* not even a header: nothing to go on with */
        rc = outbox_set(store->outbox, named.clip_id, OUTBOX_PARKED, "segment 0 is damaged");
        return rc == -EALREADY || rc == -EPERM ? 0 : rc;
    }
    if (!rc)
        rc = torn_finish(store, named.clip_id, named.segment, TORN_CLOSE);
    return rc ? rc : check_file(store, orphans, &named);
}

static int check_row(struct clipstore *store, struct orphans *orphans,
                     const struct outbox_clip *clip)
{
    const struct wire_about *about = &clip->final.about;

    if (store_is_over(clip->state))
        return store->config.keep_delivered && clip->state == OUTBOX_DELETABLE
                   ? 0
                   : store_unlink(store, clip);
    int there = has_files(store, clip);
    if (there < 0)
        return there;
    if (!there) {
        if (clip->state == OUTBOX_PARKED) /* its bytes are in quarantine */
            return outbox_set_gone(store->outbox, about->clip_id);
        store->stats.lost++;
        int rc = clip->state == OUTBOX_RECEIPTED
                     ? outbox_set(store->outbox, about->clip_id, OUTBOX_DELETABLE, "")
                     : outbox_set(store->outbox, about->clip_id, OUTBOX_EVICTED,
                                  "lost: a segment file is missing");
        return rc ? rc : outbox_set_gone(store->outbox, about->clip_id);
    }
    return lone_is_over(store, clip) ? finish_lone(store, orphans, clip) : 0;
}

static int check_rows(struct clipstore *store, struct orphans *orphans)
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int rc;

    while ((rc = outbox_next(store->outbox, OUTBOX_ON_DISK, &cursor, &clip)) == 1) {
        rc = leave(store, check_row(store, orphans, &clip));
        if (rc)
            return rc;
    }
    return rc;
}

static int count_bytes(struct clipstore *store)
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int rc;

    store->used_bytes = 0;
    while ((rc = outbox_next(store->outbox, OUTBOX_ON_DISK, &cursor, &clip)) == 1)
        for (unsigned i = 0; i < clip.sealed; i++)
            store->used_bytes += clip.final.segments[i].bytes;
    return rc;
}

/* Orphans twice: finishing a lone pre-roll makes a new one. */
static int bring_together(struct clipstore *store)
{
    struct orphans orphans = { 0 };

    int rc = visit_files(store, &orphans);
    if (!rc)
        rc = adopt_orphans(store, &orphans);
    orphans.count = 0;
    if (!rc)
        rc = check_rows(store, &orphans);
    if (!rc)
        rc = adopt_orphans(store, &orphans);
    free(orphans.items);
    return rc ? rc : count_bytes(store);
}

/* All rows in one commit. What a try that failed had counted is counted by the next. */
int recover(struct clipstore *store, struct err *err)
{
    const struct clipstore_stats before = store->stats;

    store->stats.unread = 0;
    int rc = store_begin(store);
    if (!rc)
        rc = bring_together(store);
    if (rc) {
        db_rollback(store->db);
        store->stats = before;
        return err_at(err, rc, store->clips_dir, 0, 0, "cannot recover the clip store: %s",
                      strerror(-rc));
    }
    uint64_t unread = store->stats.unread;
    rc = store_commit(store);
    if (rc) {
        store->stats = before;
        return err_at(err, rc, store->db_path, 0, 0, "cannot commit the recovery: %s",
                      db_reason(store->db));
    }
    if (unread)
        (void)store_note(store, -EIO, "reading clips at the start");
    return 0;
}

int recover_lone(struct clipstore *store)
{
    struct orphans orphans = { 0 };
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;

    int rc = store_begin(store);
    while (!rc && (rc = outbox_next(store->outbox, OUTBOX_ON_DISK, &cursor, &clip)) == 1)
        rc = lone_is_over(store, &clip) && !store_is_over(clip.state)
                 ? finish_lone(store, &orphans, &clip)
                 : 0;
    if (!rc)
        rc = adopt_orphans(store, &orphans);
    free(orphans.items);
    if (rc) {
        if (store->db)
            db_rollback(store->db);
        return store_note(store, rc, "closing a clip without its end");
    }
    return store_commit(store);
}
