/* Packs and databases beside the clips: kept while a generation or a clip on disk needs them. */
#include "storage/clipstore_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void artifact_path(const struct clipstore *store, const uint8_t sha256[SHA256_BYTES],
                          const char *extension, char ret_path[IO_PATH_MAX])
{
    char hex[SHA256_HEX];

    hex_from(sha256, SHA256_BYTES, hex);
    (void)snprintf(ret_path, IO_PATH_MAX, "%.400s/%s%s", store->artifacts_dir, hex, extension);
}

static int write_file(struct clipstore *store, const char *path,
                      const struct clipstore_artifact *artifact)
{
    const struct io *io = &store->config.io;

    (void)io->ops->unlink(io->context, path);
    int fd = io->ops->create(io->context, path);
    if (fd < 0)
        return store_note(store, fd, "making an artifact");
    int rc = store_note(store,
                        io->ops->write(io->context, fd, artifact->value, artifact->size),
                        "writing an artifact");
    if (!rc)
        rc = store_sync(store, fd);
    io->ops->close(io->context, fd);
    quota_written(store, (int64_t)artifact->size);
    return rc;
}

static int keep(struct clipstore *store, const struct clipstore_artifact *artifact,
                uint8_t ret_sha256[SHA256_BYTES])
{
    const struct io *io = &store->config.io;
    char path[IO_PATH_MAX], temporary[IO_PATH_MAX];
    struct wire_value value;

    int rc = wire_decode(artifact->value, artifact->size, NULL, &value);
    if (rc || value.kind != WIRE_ARTIFACT)
        return rc ? rc : -EINVAL;
    memcpy(ret_sha256, value.artifact.sha256, SHA256_BYTES);
    artifact_path(store, ret_sha256, ".art", path);
    int fd = io->ops->open(io->context, path);
    if (fd >= 0) { /* named by its content: it is there already */
        io->ops->close(io->context, fd);
        return 0;
    }
    artifact_path(store, ret_sha256, ".new", temporary);
    rc = write_file(store, temporary, artifact);
    if (!rc)
        rc = store_note(store, io->ops->rename(io->context, temporary, path),
                        "naming an artifact");
    return rc ? rc : store_sync_dir(store, store->artifacts_dir);
}

static int is_needed(struct clipstore *store, const uint8_t sha256[SHA256_BYTES])
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int rc;

    while ((rc = outbox_next(store->outbox, OUTBOX_ON_DISK, &cursor, &clip)) == 1)
        for (unsigned i = 0; i < clip.artifact_count; i++)
            if (!memcmp(clip.artifacts[i], sha256, SHA256_BYTES))
                return 1;
    return rc;
}

/* Best effort: what stays is removed at the next generation. */
static void prune(struct clipstore *store, const uint8_t kept[][SHA256_BYTES], uint32_t count)
{
    const struct io *io = &store->config.io;
    struct io_names names = { 0 };
    uint8_t sha256[SHA256_BYTES];
    char path[IO_PATH_MAX], hex[SHA256_HEX];

    if (!store->outbox || io->ops->list(io->context, store->artifacts_dir, &names) != 0)
        return;
    for (uint32_t i = 0; i < names.count; i++) {
        bool needed = false;
        (void)snprintf(hex, sizeof hex, "%s", names.names[i]);
        if (hex_to(hex, SHA256_BYTES, sha256) != 0)
            continue; /* not ours */
        for (uint32_t k = 0; k < count; k++)
            needed |= !memcmp(kept[k], sha256, SHA256_BYTES);
        if (needed || is_needed(store, sha256) != 0)
            continue;
        (void)snprintf(path, sizeof path, "%.400s/%s", store->artifacts_dir, names.names[i]);
        (void)io->ops->unlink(io->context, path);
    }
    io_names_deinit(&names);
}

int clipstore_artifacts(struct clipstore *store, const struct clipstore_artifact *artifacts,
                        uint32_t count)
{
    uint8_t kept[JOB_ARTIFACTS_MAX][SHA256_BYTES];
    int rc = 0;

    if (count > JOB_ARTIFACTS_MAX)
        return -ERANGE;
    for (uint32_t i = 0; !rc && i < count; i++)
        rc = keep(store, &artifacts[i], kept[i]);
    if (!rc)
        prune(store, (const uint8_t(*)[SHA256_BYTES])kept, count);
    return rc;
}
