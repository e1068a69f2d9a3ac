/* One segment file after a death: what is in it, and how a torn one is closed. */
#include "storage/clipstore_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES 65536
#define MANIFEST_ROOM 1048576

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
    m->end_detail = "the rest was never sealed";
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

int torn_examine(struct clipstore *store, int fd, struct clip_reader **ret_reader,
                 struct examined *found)
{
    const struct clip_reader_config config = { .name = "segment" };
    struct clip_reader_stats stats;
    struct clip_reader *reader = clip_reader_open(&config);

    memset(found, 0, sizeof *found);
    if (!reader)
        return -ENOMEM;
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

/* What is to become of the file. */
enum fate { FATE_SEALED, FATE_EMPTY, FATE_AGAIN };

/* Makes the open file whole, unless it is to go. */
static int settle(struct clipstore *store, int fd, enum torn_policy policy, enum fate *ret_fate)
{
    const struct io *io = &store->config.io;
    struct clip_reader *reader = NULL;
    struct examined found;

    int rc = torn_examine(store, fd, &reader, &found);
    *ret_fate = !found.has_header ? FATE_EMPTY
                : !found.complete && policy == TORN_DISCARD && store_is_ours(store, &found.about)
                    ? FATE_AGAIN
                    : FATE_SEALED;
    if (!rc && *ret_fate == FATE_SEALED) {
        rc = found.complete ? io->ops->truncate(io->context, fd, found.good_bytes)
                            : close_torn(store, fd, &found);
        if (!rc)
            rc = store_sync(store, fd);
    }
    clip_reader_close(reader);
    return rc;
}

int torn_finish(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES], unsigned segment,
                enum torn_policy policy)
{
    const struct io *io = &store->config.io;
    char from[IO_PATH_MAX], to[IO_PATH_MAX];
    enum fate fate = FATE_SEALED;

    store_path(store, clip_id, segment, ".open", from);
    store_path(store, clip_id, segment, ".rlc", to);
    int fd = io->ops->open(io->context, from);
    if (fd < 0)
        return fd;
    int rc = settle(store, fd, policy, &fate);
    io->ops->close(io->context, fd);
    if (rc)
        return rc;
    if (fate == FATE_SEALED) {
        rc = io->ops->rename(io->context, from, to);
        return rc ? rc : store_sync_dir(store, store->clips_dir);
    }
    store->stats.torn_removed += fate == FATE_EMPTY;
    store->stats.discarded += fate == FATE_AGAIN;
    return io->ops->unlink(io->context, from);
}
