/* Sealing: pieces in, a durable file and its row out. */
#include "storage/clipstore_internal.h"

#include "proto/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *clipstore_fail_name(enum clipstore_fail fail)
{
    static const char *const names[CLIPSTORE_FAIL_COUNT] = { "disk", "quota", "flash", "size",
                                                             "order" };
    return fail < CLIPSTORE_FAIL_COUNT ? names[fail] : "unknown";
}

/* Text from a segment is ours, but a recording's rule name came from a file: what the wire would
 * refuse becomes '?'. */
static void copy_printable(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from ? from : "");
    for (char *p = to; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
}

void seal_describe(const struct clip_header *header, const struct clip_manifest *manifest,
                   struct wire_about *ret_about)
{
    struct wire_about about = { .ordinal = header->ordinal, .priority = header->priority,
                                .segments = (uint8_t)header->segments };
    const struct clip_clock *clock =
        manifest && manifest->clock.known ? &manifest->clock : &header->clock;
    int64_t start_ns = header->start_ns;

    memcpy(about.clip_id, header->clip_id, CLIP_ID_BYTES);
    memcpy(about.session_id, header->session_id, sizeof about.session_id);
    copy_printable(about.pseudonym, sizeof about.pseudonym, header->vehicle);
    copy_printable(about.rule, sizeof about.rule, header->rule);
    about.start_ns = about.end_ns = header->start_ns - header->offset_ns;
    if (manifest) {
        start_ns = manifest->start_ns;
        about.start_ns = manifest->start_ns - manifest->start_offset_ns;
        about.end_ns = manifest->end_ns - manifest->end_offset_ns;
    }
    if (about.end_ns < about.start_ns) /* the recording's clock was set back inside the clip */
        about.end_ns = about.start_ns;
    if (clock->known && clock->utc_ns + (start_ns - clock->mono_ns) > 0)
        about.utc_ns = clock->utc_ns + (start_ns - clock->mono_ns);
    *ret_about = about;
}

static void add_artifact(uint8_t list[JOB_ARTIFACTS_MAX][SHA256_BYTES], uint8_t *count,
                         const uint8_t sha256[SHA256_BYTES])
{
    static const uint8_t none[SHA256_BYTES];

    if (!memcmp(sha256, none, SHA256_BYTES) || *count >= JOB_ARTIFACTS_MAX)
        return;
    for (unsigned i = 0; i < *count; i++)
        if (!memcmp(list[i], sha256, SHA256_BYTES))
            return;
    memcpy(list[(*count)++], sha256, SHA256_BYTES);
}

uint8_t seal_artifacts(const struct clip_header *header, const struct clip_manifest *manifest,
                       uint8_t ret_artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES])
{
    uint8_t count = 0;

    add_artifact(ret_artifacts, &count, header->pack_sha256);
    for (uint32_t i = 0; i < header->dbc_count; i++)
        add_artifact(ret_artifacts, &count, header->dbcs[i].sha256);
    if (!manifest)
        return count;
    add_artifact(ret_artifacts, &count, manifest->pack_sha256);
    for (uint32_t i = 0; i < manifest->dbc_count; i++)
        add_artifact(ret_artifacts, &count, manifest->dbcs[i].sha256);
    return count;
}

/* ---- Open segments ---- */

static struct open_segment *find_open(struct clipstore *store, const uint8_t *clip_id,
                                      uint32_t segment)
{
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++) {
        struct open_segment *open = &store->segments[i];
        if (open->used && open->segment == segment && !memcmp(open->clip_id, clip_id, CLIP_ID_BYTES))
            return open;
    }
    return NULL;
}

static struct open_segment *free_slot(struct clipstore *store)
{
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++)
        if (!store->segments[i].used)
            return &store->segments[i];
    return NULL;
}

static void forget(struct clipstore *store, struct open_segment *open)
{
    if (open->fd >= 0)
        store->config.io.ops->close(store->config.io.context, open->fd);
    sha256_close(open->sha);
    clip_header_deinit(&open->header);
    *open = (struct open_segment){ .fd = -1 };
}

/* Gives up a segment that was never sealed: no row, so its file may go at once. */
static void abandon(struct clipstore *store, struct open_segment *open)
{
    char path[IO_PATH_MAX];

    store_path(store, open->clip_id, open->segment, ".open", path);
    bool again = open->again;
    store->used_bytes -= again ? 0 : open->bytes;
    forget(store, open);
    if (!again)
        (void)store->config.io.ops->unlink(store->config.io.context, path); /* recovery tries again */
}

bool seal_is_refused(const struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES])
{
    for (unsigned i = 0; i < REFUSED_MAX; i++)
        if (!memcmp(store->refused[i], clip_id, CLIP_ID_BYTES))
            return true;
    return false;
}

/* The clip ends here: its later pieces are ignored, and what is sealed of it is closed in a turn. */
static void give_up(struct clipstore *store, const uint8_t *clip_id)
{
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++) {
        struct open_segment *open = &store->segments[i];
        if (open->used && !memcmp(open->clip_id, clip_id, CLIP_ID_BYTES))
            abandon(store, open);
    }
    memcpy(store->refused[store->refused_next++ % REFUSED_MAX], clip_id, CLIP_ID_BYTES);
    store->lone_due = true;
}

static void refuse(struct clipstore *store, const uint8_t *clip_id, enum clipstore_fail why)
{
    give_up(store, clip_id);
    store->stats.clips_failed[why]++;
}

void seal_abandon_all(struct clipstore *store, enum clipstore_fail why)
{
    for (unsigned i = 0; i < OPEN_SEGMENTS; i++)
        if (store->segments[i].used)
            refuse(store, store->segments[i].clip_id, why);
}

/* ---- Pieces ---- */

/* A disk that is full before the quota is gives the place of what is less important, too. */
static int write_making_room(struct clipstore *store, struct open_segment *open, const void *bytes,
                             size_t size)
{
    const struct io *io = &store->config.io;
    int rc;

    while ((rc = io->ops->write(io->context, open->fd, bytes, size)) == -ENOSPC)
        if (io->ops->truncate(io->context, open->fd, (uint64_t)open->bytes) != 0 || /* half a piece */
            quota_evict(store, (int64_t)size, open->about.priority, "the disk is full") <= 0)
            break;
    return store_note(store, rc, "write of a segment");
}

static int append(struct clipstore *store, struct open_segment *open, const void *bytes,
                  size_t size, enum clipstore_fail *why)
{
    *why = CLIPSTORE_FAIL_SIZE;
    if (open->bytes + (int64_t)size > SEGMENT_BYTES_MAX)
        return -EFBIG;
    if (open->again) {
        sha256_put(open->sha, bytes, size);
        open->bytes += (int64_t)size;
        return 0;
    }
    int rc = quota_room(store, (int64_t)size, open->about.priority);
    *why = rc == -ENOSPC ? CLIPSTORE_FAIL_QUOTA : CLIPSTORE_FAIL_DISK;
    if (rc)
        return rc;
    rc = write_making_room(store, open, bytes, size);
    if (rc)
        return rc;
    sha256_put(open->sha, bytes, size);
    open->bytes += (int64_t)size;
    store->used_bytes += (int64_t)size;
    quota_written(store, (int64_t)size);
    return 0;
}

/* *ret_again: it is sealed, and this session makes it again. */
static int check_begin(struct clipstore *store, const struct recorder_piece *piece, bool *ret_again,
                       enum clipstore_fail *why)
{
    struct outbox_clip clip;

    *why = CLIPSTORE_FAIL_ORDER;
    if (!piece->header || piece->segment >= SEGMENTS_MAX || piece->segments > SEGMENTS_MAX ||
        find_open(store, piece->clip_id, piece->segment))
        return -EINVAL;
    *why = CLIPSTORE_FAIL_DISK;
    if (!store->outbox)
        return -EIO;
    int rc = outbox_find(store->outbox, piece->clip_id, &clip);
    if (rc < 0)
        return store_note(store, rc, "reading the outbox");
    *why = CLIPSTORE_FAIL_ORDER; /* a sealed file must never be written over */
    *ret_again = rc == 1 && piece->segment < clip.sealed;
    if (*ret_again)
        return store_is_ours(store, &clip.final.about) ? 0 : -EEXIST;
    *why = CLIPSTORE_FAIL_QUOTA; /* its beginning went meanwhile: the rest alone is worth nothing */
    return rc == 1 && store_is_over(clip.state) ? -ECANCELED : 0;
}

/* A piece's bytes begin with the header record, which says its own length. */
static int copy_header(const struct recorder_piece *piece, struct clip_header *ret_header)
{
    if (piece->size < CLIP_RECORD_OVERHEAD)
        return -EBADMSG;
    size_t size = (size_t)load_le32(piece->bytes + 4) + CLIP_RECORD_OVERHEAD;
    return size > piece->size ? -EBADMSG
                              : clip_header_decode(piece->bytes, size, ret_header, NULL);
}

static int create(struct clipstore *store, const struct recorder_piece *piece)
{
    const struct io *io = &store->config.io;
    char path[IO_PATH_MAX];
    int fd;

    store_path(store, piece->clip_id, piece->segment, ".open", path);
    while ((fd = io->ops->create(io->context, path)) == -ENOSPC)
        if (quota_evict(store, 1, piece->header->priority, "the disk is full") <= 0)
            break;
    return fd < 0 ? store_note(store, fd, "making a segment") : fd;
}

static int begin(struct clipstore *store, const struct recorder_piece *piece, int64_t now_ns,
                 enum clipstore_fail *why)
{
    bool again = false;

    int rc = check_begin(store, piece, &again, why);
    if (rc)
        return rc;
    *why = CLIPSTORE_FAIL_FLASH;
    rc = again ? 0 : quota_admit(store, piece->header->priority, now_ns);
    if (rc)
        return rc;
    *why = CLIPSTORE_FAIL_ORDER;
    struct open_segment *open = free_slot(store);
    if (!open)
        return -ENOBUFS;
    *why = CLIPSTORE_FAIL_DISK;
    int fd = again ? -1 : create(store, piece);
    if (fd < 0 && !again)
        return fd;
    struct sha256 *sha = sha256_open();
    *open = (struct open_segment){ .used = true, .fd = fd, .sha = sha, .segment = piece->segment,
                                   .again = again };
    memcpy(open->clip_id, piece->clip_id, CLIP_ID_BYTES);
    if (!sha)
        return -ENOMEM;
    *why = CLIPSTORE_FAIL_ORDER;
    rc = copy_header(piece, &open->header);
    if (rc)
        return rc;
    seal_describe(piece->header, NULL, &open->about);
    open->artifact_count = seal_artifacts(piece->header, NULL, open->artifacts);
    return append(store, open, piece->bytes, piece->size, why);
}

/* One commit makes the clip sealed, and takes along all later states that wait. */
static int commit_row(struct clipstore *store, const struct open_segment *open,
                      const struct wire_segment *segment)
{
    int rc = store_begin(store);
    if (!rc)
        rc = store_note(store,
                        outbox_add(store->outbox, &open->about, open->segment, segment,
                                   (const uint8_t(*)[SHA256_BYTES])open->artifacts,
                                   open->artifact_count),
                        "adding to the outbox");
    if (rc) {
        if (store->db)
            db_rollback(store->db);
        return rc;
    }
    return store_commit(store);
}

static int name_and_commit(struct clipstore *store, struct open_segment *open)
{
    const struct io *io = &store->config.io;
    char from[IO_PATH_MAX], to[IO_PATH_MAX];
    struct wire_segment segment = { (uint32_t)open->bytes, store->config.chunk_bytes, { 0 } };

    store_path(store, open->clip_id, open->segment, ".open", from);
    store_path(store, open->clip_id, open->segment, ".rlc", to);
    int rc = store_note(store, io->ops->rename(io->context, from, to), "naming a segment");
    if (rc)
        return rc;
    rc = store_sync_dir(store, store->clips_dir);
    sha256_take(open->sha, segment.sha256);
    if (!rc)
        rc = commit_row(store, open, &segment);
    if (rc) /* not sealed: if the commit did reach the disk, recovery counts the file as lost */
        (void)io->ops->unlink(io->context, to);
    return rc;
}

/* The recording was played again: the same bytes change nothing, others would be a second truth. */
static int end_again(struct clipstore *store, struct open_segment *open, enum clipstore_fail *why)
{
    struct outbox_clip clip;
    uint8_t digest[SHA256_BYTES];

    *why = CLIPSTORE_FAIL_DISK;
    int rc = store->outbox ? outbox_find(store->outbox, open->clip_id, &clip) : -EIO;
    if (rc < 0)
        return rc;
    *why = CLIPSTORE_FAIL_ORDER;
    sha256_take(open->sha, digest);
    if (rc == 0 || open->segment >= clip.sealed ||
        memcmp(digest, clip.final.segments[open->segment].sha256, SHA256_BYTES))
        return -EEXIST;
    store->stats.repeated++;
    forget(store, open);
    return 0;
}

static int end(struct clipstore *store, const struct recorder_piece *piece,
               enum clipstore_fail *why)
{
    struct open_segment *open = find_open(store, piece->clip_id, piece->segment);

    *why = CLIPSTORE_FAIL_ORDER;
    if (!open || !piece->manifest)
        return -EINVAL;
    int rc = append(store, open, piece->bytes, piece->size, why);
    if (rc)
        return rc;
    if (open->again)
        return end_again(store, open, why);
    *why = CLIPSTORE_FAIL_DISK;
    seal_describe(&open->header, piece->manifest, &open->about);
    open->artifact_count = seal_artifacts(&open->header, piece->manifest, open->artifacts);
    /* A failed sync is never tried again on the same file: the kernel has dropped the pages. */
    rc = store_sync(store, open->fd);
    if (!rc)
        rc = name_and_commit(store, open);
    if (rc)
        return rc;
    store->stats.segments_sealed++;
    forget(store, open);
    return 0;
}

int clipstore_put(struct clipstore *store, const struct recorder_piece *piece, int64_t now_ns)
{
    enum clipstore_fail why = CLIPSTORE_FAIL_ORDER;
    struct open_segment *open;
    int rc;

    if (seal_is_refused(store, piece->clip_id))
        return -ECANCELED;
    switch (piece->kind) {
    case RECORDER_BEGIN: rc = begin(store, piece, now_ns, &why); break;
    case RECORDER_DATA:
        open = find_open(store, piece->clip_id, piece->segment);
        rc = open ? append(store, open, piece->bytes, piece->size, &why) : -EINVAL;
        break;
    case RECORDER_END: rc = end(store, piece, &why); break;
    case RECORDER_FAILED: give_up(store, piece->clip_id); return 0; /* the recorder counts it */
    default: rc = -EINVAL; break;
    }
    if (rc)
        refuse(store, piece->clip_id, why);
    return rc;
}
