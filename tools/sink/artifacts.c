#include "tools/sink/artifacts.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct folder_file {
    uint8_t sha256[SHA256_BYTES];
    char name[256];
};

struct artifacts {
    struct files *dataset, *folder;
    char folder_path[FILES_ROOT_MAX];
    uint32_t file_count;
    struct folder_file *files; /* ARTIFACTS_FOLDER_FILES_MAX */
    uint64_t temps;
    struct artifacts_stats stats;
};

static void store_name(const uint8_t sha256[SHA256_BYTES], char name[FILES_PATH_MAX])
{
    char hex[SHA256_HEX];

    hex_from(sha256, SHA256_BYTES, hex);
    (void)snprintf(name, FILES_PATH_MAX, "artifacts/%.2s/%s", hex, hex);
}

int artifacts_rescan(struct artifacts *a)
{
    if (!a->folder)
        return 0;
    DIR *dir = opendir(a->folder_path);
    if (!dir)
        return -errno;
    a->file_count = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        int64_t size;
        if (a->file_count == ARTIFACTS_FOLDER_FILES_MAX)
            break;
        struct folder_file *file = &a->files[a->file_count];
        /* files_sha256 takes regular files alone: folders and links fall out here. */
        if (files_sha256(a->folder, entry->d_name, file->sha256, &size) ||
            size > ARTIFACT_RAW_BYTES_MAX)
            continue;
        (void)snprintf(file->name, sizeof file->name, "%s", entry->d_name);
        a->file_count++;
    }
    (void)closedir(dir);
    return 0;
}

static int open_folder(struct artifacts *a, const char *folder, struct err *err)
{
    if (access(folder, R_OK | X_OK))
        return err_at(err, -errno, folder, 0, 0, "artifacts cannot be read: %s", strerror(errno));
    a->files = calloc(ARTIFACTS_FOLDER_FILES_MAX, sizeof *a->files);
    if (!a->files)
        return err_plain(err, -ENOMEM, "no memory");
    int rc = files_open(folder, NULL, &a->folder);
    (void)snprintf(a->folder_path, sizeof a->folder_path, "%s", folder);
    if (!rc)
        rc = artifacts_rescan(a);
    return rc ? err_at(err, rc, folder, 0, 0, "artifacts cannot be read: %s", strerror(-rc)) : 0;
}

int artifacts_open(struct files *dataset, const char *folder, struct err *err,
                   struct artifacts **ret_artifacts)
{
    struct artifacts *a = calloc(1, sizeof *a);

    if (!a)
        return err_plain(err, -ENOMEM, "no memory");
    a->dataset = dataset;
    int rc = folder ? open_folder(a, folder, err) : 0;
    if (rc) {
        artifacts_close(a);
        return rc;
    }
    *ret_artifacts = a;
    return 0;
}

void artifacts_close(struct artifacts *a)
{
    if (!a)
        return;
    files_close(a->folder);
    free(a->files);
    free(a);
}

static int store(struct artifacts *a, const uint8_t sha256[SHA256_BYTES], const uint8_t *bytes,
                 size_t size)
{
    char name[FILES_PATH_MAX], folder[FILES_PATH_MAX], temp[FILES_PATH_MAX];

    store_name(sha256, name);
    (void)snprintf(folder, sizeof folder, "%.12s", name);
    /* Members may store the same artifact at once; the process tells their temps apart. */
    (void)snprintf(temp, sizeof temp, "tmp/artifact-%ld-%llu", (long)getpid(),
                   (unsigned long long)++a->temps);
    int rc = files_mkdirs(a->dataset, folder);
    if (!rc)
        rc = files_write_new(a->dataset, temp, bytes, size);
    if (!rc) {
        rc = files_move_over(a->dataset, temp, name); /* same name, same bytes */
        if (rc)
            (void)files_unlink(a->dataset, temp);
    }
    return rc;
}

static int check_key(const void *key, size_t key_size, const struct wire_artifact *artifact,
                     struct err *err)
{
    char hex[SHA256_HEX];

    hex_from(artifact->sha256, SHA256_BYTES, hex);
    if (key_size == strlen(hex) && !memcmp(key, hex, key_size))
        return 0;
    return err_plain(err, -EBADMSG, "artifact's message key is '%.*s', its value names %s",
                     (int)(key_size < 80 ? key_size : 80), key ? (const char *)key : "", hex);
}

int artifacts_put(struct artifacts *a, const void *key, size_t key_size,
                  const struct wire_artifact *artifact, struct err *err)
{
    char name[FILES_PATH_MAX];
    int rc = check_key(key, key_size, artifact, err);

    store_name(artifact->sha256, name);
    if (!rc && files_exist(a->dataset, name)) {
        a->stats.known++;
        return 0;
    }
    uint8_t *raw = rc ? NULL : malloc(artifact->raw_bytes);
    if (!rc && !raw)
        return err_plain(err, -ENOMEM, "no memory for an artifact of %u bytes",
                         artifact->raw_bytes);
    if (!rc)
        rc = wire_artifact_inflate(artifact, raw, err);
    if (rc == -EBADMSG)
        a->stats.refused++;
    if (!rc) {
        rc = store(a, artifact->sha256, raw, artifact->raw_bytes);
        if (rc)
            (void)err_at(err, rc, name, 0, 0, "%s", strerror(-rc));
        else
            a->stats.stored++;
    }
    free(raw);
    return rc;
}

static int get_checked(struct files *files, const char *name, const uint8_t want[SHA256_BYTES],
                       char **ret_bytes, size_t *ret_size)
{
    uint8_t sha256[SHA256_BYTES];
    char *bytes;
    size_t size;
    int rc = files_read(files, name, ARTIFACT_RAW_BYTES_MAX, &bytes, &size);

    if (rc)
        return rc;
    sha256_of(bytes, size, sha256);
    if (memcmp(sha256, want, SHA256_BYTES)) {
        free(bytes);
        return -EBADMSG;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

int artifacts_get(struct artifacts *a, const uint8_t sha256[SHA256_BYTES], char **ret_bytes,
                  size_t *ret_size)
{
    char name[FILES_PATH_MAX];

    store_name(sha256, name);
    int rc = get_checked(a->dataset, name, sha256, ret_bytes, ret_size);
    a->stats.damaged += rc == -EBADMSG;
    for (uint32_t i = 0; rc && i < a->file_count; i++)
        if (!memcmp(a->files[i].sha256, sha256, SHA256_BYTES))
            rc = get_checked(a->folder, a->files[i].name, sha256, ret_bytes, ret_size);
    return rc ? -ENOENT : 0;
}

bool artifacts_has(struct artifacts *a, const uint8_t sha256[SHA256_BYTES])
{
    char *bytes;
    size_t size;

    if (artifacts_get(a, sha256, &bytes, &size))
        return false;
    free(bytes);
    return true;
}

void artifacts_stats(const struct artifacts *a, struct artifacts_stats *ret_stats)
{
    *ret_stats = a->stats;
    ret_stats->folder_files = a->file_count;
}
