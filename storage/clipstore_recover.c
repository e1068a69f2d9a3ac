/* Opening after any death: files and rows are brought together, torn segments are cut and closed.
 * Every step may be repeated; nothing is removed that a row does not allow to go. */
#include "storage/clipstore_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES 65536
#define MANIFEST_ROOM 1048576

/* What reading a whole segment file tells. */
struct examined {
    bool has_header, complete;
    uint64_t size, good_bytes;
    struct wire_about about;
    uint32_t segment;
    uint8_t artifact_count;
    uint8_t artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES];
    uint8_t sha256[SHA256_BYTES]; /* of all bytes */
    struct clip_manifest closing; /* how an interrupted segment is closed; views of `reader` */
};

static void count_group(struct examined *found, const struct clip_item *item)
{
    struct clip_manifest *m = &found->closing;
    struct rowbuf_info info;

    rowbuf_info(item->rows, &info);
    if (m->frames == 0 || item->group.first_step < m->first_step)
        m->first_step = item->group.first_step;
    if (item->group.last_step > m->last_step)
        m->last_step = item->group.last_step;
    int64_t end_ns = item->group.stamp_max_ns + item->group.offset_ns;
    if (m->frames == 0 || end_ns > m->end_ns) {
        m->end_ns = end_ns;
        m->end_offset_ns = item->group.offset_ns;
    }
    m->frames += item->group.rows;
    m->row_bytes += info.row_bytes;
    m->groups++;
    for (unsigned i = 0; i < SOURCES_MAX; i++)
        m->completeness.sources[i].stored += info.source_rows[i];
}

static void take_header(struct examined *found, const struct clip_header *header)
{
    found->has_header = true;
    found->segment = header->segment;
    seal_describe(header, NULL, &found->about);
    found->artifact_count = seal_artifacts(header, NULL, found->artifacts);
    struct clip_manifest *m = &found->closing;
    memcpy(m->clip_id, header->clip_id, CLIP_ID_BYTES);
    m->segment = header->segment;
    m->last_segment = header->segment + 1 == header->segments;
    m->start_ns = m->end_ns = header->start_ns;
    m->start_offset_ns = m->end_offset_ns = header->offset_ns;
    m->end = CLIP_END_INTERRUPTED;
    m->end_detail = "closed at the next start";
    m->completeness.clock_quality = "interrupted";
    m->clock = header->clock;
    memcpy(m->pack_sha256, header->pack_sha256, SHA256_BYTES);
    memcpy(m->shaping_sha256, header->shaping_sha256, SHA256_BYTES);
    m->dbcs = header->dbcs; /* owned by the reader, like the strings of the clock */
    m->dbc_count = header->dbc_count;
}

/* Records that are whole; stops at the first that is not. Only the first segment of a file counts:
 * a second one in it is not ours. */
static void take_items(struct examined *found, struct clip_reader *reader)
{
    struct clip_item item;

    while (!found->complete && clip_reader_next(reader, &item, NULL) == 1) {
        if (item.kind == CLIP_ITEM_HEADER)
            take_header(found, item.header);
        else if (item.kind == CLIP_ITEM_GROUP)
            count_group(found, &item);
        else if (item.kind == CLIP_ITEM_MANIFEST) {
            seal_describe(item.header, item.manifest, &found->about);
            found->artifact_count = seal_artifacts(item.header, item.manifest, found->artifacts);
            found->complete = true;
        }
    }
}

static int read_through(struct clipstore *store, int fd, struct clip_reader *reader,
                        struct examined *found)
{
    const struct io *io = &store->config.io;
    struct sha256 *sha = sha256_open();
    uint8_t *buffer = malloc(READ_BYTES);
    int64_t got = -ENOMEM;

    while (sha && buffer && (got = io->ops->read(io->context, fd, buffer, READ_BYTES,
                                                 found->size)) > 0) {
        size_t done = 0;
        sha256_put(sha, buffer, (size_t)got);
        found->size += (uint64_t)got;
        while (!found->complete && done < (size_t)got) {
            int64_t n = clip_reader_put(reader, buffer + done, (size_t)got - done);
            take_items(found, reader);
            if (n <= 0)
                break; /* broken: the rest is only hashed */
            done += (size_t)n;
        }
    }
    if (sha)
        sha256_take(sha, found->sha256);
    sha256_close(sha);
    free(buffer);
    return (int)(got < 0 ? got : 0);
}

/* The reader stays open: found->closing looks into it. */
static int examine(struct clipstore *store, int fd, struct clip_reader **ret_reader,
                   struct examined *found)
{
    const struct clip_reader_config config = { .name = "segment" };
    struct clip_reader_stats stats;
    struct clip_reader *reader = clip_reader_open(&config);

    if (!reader)
        return -ENOMEM;
    memset(found, 0, sizeof *found);
    int rc = read_through(store, fd, reader, found);
    clip_reader_stats(reader, &stats);
    found->good_bytes = stats.good_bytes;
    *ret_reader = reader;
    return rc;
}

static int hash_body(struct clipstore *store, int fd, uint64_t size, uint8_t digest[SHA256_BYTES])
{
    const struct io *io = &store->config.io;
    struct sha256 *sha = sha256_open();
    uint8_t *buffer = malloc(READ_BYTES);
    uint64_t done = 0;

    while (sha && buffer && done < size) {
        size_t want = size - done < READ_BYTES ? (size_t)(size - done) : READ_BYTES;
        if (io->ops->read(io->context, fd, buffer, want, done) != (int64_t)want)
            break;
        sha256_put(sha, buffer, want);
        done += want;
    }
    if (sha)
        sha256_take(sha, digest);
    sha256_close(sha);
    free(buffer);
    return done == size ? 0 : -EIO;
}

/* Cuts at the last good record and closes with a manifest that says so. */
static int close_torn(struct clipstore *store, int fd, struct examined *found)
{
    const struct io *io = &store->config.io;
    struct clip_manifest *m = &found->closing;
    uint8_t *record = malloc(MANIFEST_ROOM);

    if (!record)
        return -ENOMEM;
    m->body_bytes = found->good_bytes;
    int rc = hash_body(store, fd, found->good_bytes, m->body_sha256);
    int64_t size = clip_manifest_encode(m, record, MANIFEST_ROOM);
    if (!rc && size < 0)
        rc = (int)size;
    if (!rc)
        rc = io->ops->truncate(io->context, fd, found->good_bytes);
    if (!rc)
        rc = io->ops->write(io->context, fd, record, (size_t)size);
    free(record);
    if (!rc)
        store->stats.interrupted++;
    return rc;
}

/* ID-N.open -> ID-N.rlc, or nothing when not even its header is whole. */
static int finish_open(struct clipstore *store, const char *from, const char *to)
{
    const struct io *io = &store->config.io;
    struct clip_reader *reader = NULL;
    struct examined found;

    int fd = io->ops->open(io->context, from);
    if (fd < 0)
        return fd;
    int rc = examine(store, fd, &reader, &found);
    if (!rc && found.has_header) {
        rc = found.complete ? io->ops->truncate(io->context, fd, found.good_bytes)
                            : close_torn(store, fd, &found);
        if (!rc)
            rc = store_sync(store, fd);
    }
    io->ops->close(io->context, fd);
    clip_reader_close(reader);
    if (rc)
        return rc;
    if (!found.has_header) {
        store->stats.torn_removed++;
        return io->ops->unlink(io->context, from);
    }
    rc = io->ops->rename(io->context, from, to);
    return rc ? rc : store_sync_dir(store, store->clips_dir);
}

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

    int rc = examine(store, fd, &reader, &found);
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
        if (rc == -EINVAL || rc == -EEXIST) { /* a segment 1 without its segment 0 */
            rc = quarantine_file(store, &orphan->named);
            continue;
        }
        store->stats.adopted += !rc;
    }
    return rc;
}

/* ---- One file against its row ---- */

static bool is_over(enum outbox_state state)
{
    return state == OUTBOX_DELETABLE || state >= OUTBOX_EVICTED;
}

static int check_file(struct clipstore *store, struct orphans *orphans, const struct named *named)
{
    const struct io *io = &store->config.io;
    struct outbox_clip clip;
    char path[IO_PATH_MAX];

    store_path(store, named->clip_id, named->segment, ".rlc", path);
    int rc = outbox_find(store->outbox, named->clip_id, &clip);
    if (rc < 0)
        return rc;
    if (rc == 1 && is_over(clip.state) && !clip.on_disk)
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
    char from[IO_PATH_MAX], to[IO_PATH_MAX];
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
    store_path(store, named.clip_id, named.segment, ".open", from);
    store_path(store, named.clip_id, named.segment, ".rlc", to);
    int rc = finish_open(store, from, to);
    return rc ? rc : check_file(store, orphans, &named);
}

static int visit_files(struct clipstore *store, struct orphans *orphans)
{
    struct io_names names = { 0 };

    int rc = store->config.io.ops->list(store->config.io.context, store->clips_dir, &names);
    if (rc)
        return rc;
    store->stats.foreign += names.foreign;
    for (uint32_t i = 0; !rc && i < names.count; i++)
        rc = visit(store, orphans, names.names[i]);
    io_names_deinit(&names);
    return rc;
}

/* ---- Rows without files, and lone pre-rolls ---- */

static bool has_files(struct clipstore *store, const struct outbox_clip *clip)
{
    const struct io *io = &store->config.io;
    char path[IO_PATH_MAX];

    for (unsigned i = 0; i < clip->sealed; i++) {
        store_path(store, clip->final.about.clip_id, i, ".rlc", path);
        int fd = io->ops->open(io->context, path);
        if (fd < 0)
            return false;
        io->ops->close(io->context, fd);
    }
    return true;
}

/* Writes ID-1.open with the header of segment 0; finish_open then closes it as interrupted. */
static int write_empty_segment(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                               const struct clip_header *header)
{
    const struct io *io = &store->config.io;
    struct clip_header second = *header;
    char path[IO_PATH_MAX];

    second.segment = 1;
    int64_t size = clip_header_encode(&second, NULL, 0);
    int64_t seed = clip_seed_encode(NULL, 0, NULL, 0);
    if (size < 0 || seed < 0)
        return (int)(size < 0 ? size : seed);
    uint8_t *bytes = malloc((size_t)(size + seed));
    if (!bytes)
        return -ENOMEM;
    (void)clip_header_encode(&second, bytes, (size_t)size);
    (void)clip_seed_encode(NULL, 0, bytes + size, (size_t)seed);
    store_path(store, clip_id, 1, ".open", path);
    int fd = io->ops->create(io->context, path);
    int rc = fd < 0 ? fd : io->ops->write(io->context, fd, bytes, (size_t)(size + seed));
    if (fd >= 0)
        io->ops->close(io->context, fd);
    free(bytes);
    return rc;
}

static int read_header(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                       struct clip_reader *reader, const struct clip_header **ret_header)
{
    const struct io *io = &store->config.io;
    char path[IO_PATH_MAX];
    struct clip_item item;
    uint64_t at = 0;
    int rc = 0;

    store_path(store, clip_id, 0, ".rlc", path);
    uint8_t *buffer = malloc(READ_BYTES);
    int fd = io->ops->open(io->context, path);
    while (buffer && fd >= 0 && rc == 0) {
        int64_t got = io->ops->read(io->context, fd, buffer, READ_BYTES, at);
        int64_t taken = got > 0 ? clip_reader_put(reader, buffer, (size_t)got) : -1;
        if (taken <= 0)
            break;
        at += (uint64_t)taken; /* it takes no more than a record needs */
        rc = clip_reader_next(reader, &item, NULL);
    }
    if (fd >= 0)
        io->ops->close(io->context, fd);
    free(buffer);
    if (rc != 1 || item.kind != CLIP_ITEM_HEADER)
        return -EBADMSG;
    *ret_header = item.header;
    return 0;
}

static int finish_lone(struct clipstore *store, struct orphans *orphans,
                       const struct outbox_clip *clip)
{
    const struct clip_reader_config config = { .name = "segment", .heads_only = true };
    const struct clip_header *header = NULL;
    struct named named = { .segment = 1, .extension = ".open" };
    char name[IO_NAME_MAX];

    struct clip_reader *reader = clip_reader_open(&config);
    if (!reader)
        return -ENOMEM;
    memcpy(named.clip_id, clip->final.about.clip_id, CLIP_ID_BYTES);
    int rc = read_header(store, named.clip_id, reader, &header);
    if (!rc)
        rc = write_empty_segment(store, named.clip_id, header);
    clip_reader_close(reader);
    if (rc == -EBADMSG) { /* not even a header: nothing to go on with */
        rc = outbox_set(store->outbox, named.clip_id, OUTBOX_PARKED, "segment 0 is damaged");
        return rc == -EALREADY || rc == -EPERM ? 0 : rc;
    }
    if (rc)
        return rc;
    hex_from(named.clip_id, CLIP_ID_BYTES, name);
    (void)snprintf(name + CLIP_ID_HEX - 1, sizeof name - CLIP_ID_HEX, "-1.open");
    return visit(store, orphans, name);
}

static int check_row(struct clipstore *store, struct orphans *orphans,
                     const struct outbox_clip *clip)
{
    const struct wire_about *about = &clip->final.about;

    if (is_over(clip->state))
        return store->config.keep_delivered && clip->state == OUTBOX_DELETABLE
                   ? 0
                   : store_unlink(store, clip);
    if (!has_files(store, clip)) {
        if (clip->state == OUTBOX_PARKED) /* its bytes are in quarantine */
            return outbox_set_gone(store->outbox, about->clip_id);
        store->stats.lost++;
        int rc = clip->state == OUTBOX_RECEIPTED
                     ? outbox_set(store->outbox, about->clip_id, OUTBOX_DELETABLE, "")
                     : outbox_set(store->outbox, about->clip_id, OUTBOX_EVICTED,
                                  "lost: a segment file is missing");
        return rc ? rc : outbox_set_gone(store->outbox, about->clip_id);
    }
    if (clip->sealed < about->segments)
        return finish_lone(store, orphans, clip);
    return 0;
}

static int check_rows(struct clipstore *store, struct orphans *orphans)
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int rc;

    while ((rc = outbox_next(store->outbox, OUTBOX_ON_DISK, &cursor, &clip)) == 1) {
        rc = check_row(store, orphans, &clip);
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

/* Orphans twice: finishing a lone pre-roll makes a new one. All rows in one commit. */
int recover(struct clipstore *store, struct err *err)
{
    struct orphans orphans = { 0 };

    int rc = store_begin(store);
    if (!rc)
        rc = visit_files(store, &orphans);
    if (!rc)
        rc = adopt_orphans(store, &orphans);
    orphans.count = 0;
    if (!rc)
        rc = check_rows(store, &orphans);
    if (!rc)
        rc = adopt_orphans(store, &orphans);
    free(orphans.items);
    if (!rc)
        rc = count_bytes(store);
    if (rc) {
        db_rollback(store->db);
        return err_at(err, rc, store->clips_dir, 0, 0, "cannot recover the clip store: %s",
                      strerror(-rc));
    }
    rc = store_commit(store);
    return rc ? err_at(err, rc, store->db_path, 0, 0, "cannot commit the recovery: %s",
                       db_reason(store->db))
              : 0;
}
