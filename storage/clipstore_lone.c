/* Crash clips whose second segment never came: closed by a segment 1 without groups. */
#include "storage/clipstore_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES 65536

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
    if (fd >= 0 && rc) /* it would be in the way of the next try */
        (void)io->ops->unlink(io->context, path);
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
    int64_t got = 0;
    int rc = 0;

    store_path(store, clip_id, 0, ".rlc", path);
    int fd = io->ops->open(io->context, path);
    if (fd < 0)
        return fd;
    uint8_t *buffer = malloc(READ_BYTES);
    while (buffer && rc == 0) {
        got = io->ops->read(io->context, fd, buffer, READ_BYTES, at);
        int64_t taken = got > 0 ? clip_reader_put(reader, buffer, (size_t)got) : -1;
        if (taken <= 0)
            break;
        at += (uint64_t)taken; /* it takes no more than a record needs */
        rc = clip_reader_next(reader, &item, NULL);
    }
    io->ops->close(io->context, fd);
    free(buffer);
    if (!buffer || got < 0)
        return buffer ? (int)got : -ENOMEM;
    if (rc != 1 || item.kind != CLIP_ITEM_HEADER)
        return -EBADMSG;
    *ret_header = item.header;
    return 0;
}

int lone_write(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES])
{
    const struct clip_reader_config config = { .name = "segment", .heads_only = true };
    const struct clip_header *header = NULL;

    struct clip_reader *reader = clip_reader_open(&config);
    if (!reader)
        return -ENOMEM;
    int rc = read_header(store, clip_id, reader, &header);
    if (!rc)
        rc = write_empty_segment(store, clip_id, header);
    clip_reader_close(reader);
    return rc;
}

bool lone_is_over(const struct clipstore *store, const struct outbox_clip *clip)
{
    const struct wire_about *about = &clip->final.about;

    if (clip->sealed >= about->segments || store_is_open(store, about->clip_id))
        return false;
    return !store_is_ours(store, about) || store->input_over ||
           seal_is_refused(store, about->clip_id);
}
