#include "tools/sink/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES 65536

struct files {
    int root_fd;
    struct files_faults faults;
    char root[FILES_ROOT_MAX];
};

static int ask(const struct files *files, const char *operation, const char *name)
{
    return files->faults.before ? files->faults.before(files->faults.context, operation, name) : 0;
}

static int make_root(const char *root)
{
    char path[FILES_ROOT_MAX];
    size_t size = strlen(root);

    memcpy(path, root, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0777) && errno != EEXIST)
            return -errno;
        path[i] = root[i];
    }
    return 0;
}

int files_open(const char *root, const struct files_faults *faults, struct files **ret_files)
{
    size_t size = strlen(root);

    if (size < 1 || size >= FILES_ROOT_MAX)
        return -ENAMETOOLONG;
    int rc = make_root(root);
    if (rc)
        return rc;
    struct files *files = calloc(1, sizeof *files);
    if (!files)
        return -ENOMEM;
    memcpy(files->root, root, size + 1);
    if (faults)
        files->faults = *faults;
    files->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->root_fd < 0) {
        rc = -errno;
        files_close(files);
        return rc;
    }
    *ret_files = files;
    return 0;
}

void files_close(struct files *files)
{
    if (!files)
        return;
    if (files->root_fd >= 0)
        (void)close(files->root_fd);
    free(files);
}

const char *files_root(const struct files *files)
{
    return files->root;
}

int files_path(const struct files *files, const char *name, char *path, size_t size)
{
    int len = snprintf(path, size, "%s/%s", files->root, name);

    return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

static int sync_folder(struct files *files, const char *folder)
{
    int rc = ask(files, "sync folder", folder);

    if (rc)
        return rc;
    int fd = openat(files->root_fd, folder[0] ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fsync(fd))
        rc = -errno;
    (void)close(fd);
    return rc;
}

static void parent_of(const char *name, char parent[FILES_PATH_MAX])
{
    const char *slash = strrchr(name, '/');
    size_t size = slash ? (size_t)(slash - name) : 0;

    memcpy(parent, name, size);
    parent[size] = '\0';
}

int files_sync_parent(struct files *files, const char *name)
{
    char parent[FILES_PATH_MAX];

    parent_of(name, parent);
    return sync_folder(files, parent);
}

int files_mkdirs(struct files *files, const char *name)
{
    char path[FILES_PATH_MAX];
    size_t size = strlen(name);

    if (size >= sizeof path)
        return -ENAMETOOLONG;
    memcpy(path, name, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        int rc = ask(files, "mkdir", path);
        if (rc)
            return rc;
        if (!mkdirat(files->root_fd, path, 0777))
            rc = files_sync_parent(files, path);
        else if (errno != EEXIST)
            rc = -errno;
        if (rc)
            return rc;
        path[i] = name[i];
    }
    return 0;
}

int files_open_write(struct files *files, const char *name, bool only_new)
{
    int rc = ask(files, "create", name);

    if (rc)
        return rc;
    int fd = openat(files->root_fd, name,
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (only_new ? O_EXCL : 0), 0666);
    return fd < 0 ? -errno : fd;
}

int files_pwrite(struct files *files, int fd, const char *name, const void *bytes, size_t size,
                 int64_t offset)
{
    const uint8_t *at = bytes;
    int rc = ask(files, "write", name);

    if (rc)
        return rc;
    while (size) {
        ssize_t n = pwrite(fd, at, size, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        at += n;
        size -= (size_t)n;
        offset += n;
    }
    return 0;
}

int files_pread(int fd, void *bytes, size_t size, int64_t offset)
{
    uint8_t *at = bytes;

    while (size) {
        ssize_t n = pread(fd, at, size, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -ENODATA;
        at += n;
        size -= (size_t)n;
        offset += n;
    }
    return 0;
}

static int sync_fd(struct files *files, int fd, const char *name)
{
    int rc = ask(files, "sync", name);

    return rc ? rc : (fsync(fd) ? -errno : 0);
}

int files_write_new(struct files *files, const char *name, const void *bytes, size_t size)
{
    int fd = files_open_write(files, name, true);

    if (fd < 0)
        return fd;
    int rc = files_pwrite(files, fd, name, bytes, size, 0);
    if (!rc)
        rc = sync_fd(files, fd, name);
    (void)close(fd);
    if (rc)
        (void)unlinkat(files->root_fd, name, 0);
    return rc;
}

int files_sync(struct files *files, const char *name)
{
    int fd = openat(files->root_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -errno;
    int rc = sync_fd(files, fd, name);
    (void)close(fd);
    return rc;
}

int files_move_new(struct files *files, const char *from, const char *to)
{
    int rc = ask(files, "move", to);

    if (rc)
        return rc;
    if (renameat2(files->root_fd, from, files->root_fd, to, RENAME_NOREPLACE)) {
        /* Not every file system has the flag; a hard link does not replace either. */
        if (errno != EINVAL && errno != ENOSYS)
            return -errno;
        if (linkat(files->root_fd, from, files->root_fd, to, 0) ||
            unlinkat(files->root_fd, from, 0))
            return -errno;
    }
    return files_sync_parent(files, to);
}

int files_move_over(struct files *files, const char *from, const char *to)
{
    int rc = ask(files, "move", to);

    if (rc)
        return rc;
    if (renameat(files->root_fd, from, files->root_fd, to))
        return -errno;
    return files_sync_parent(files, to);
}

int files_link(struct files *files, const char *from, const char *to)
{
    int rc = ask(files, "link", to);

    if (rc)
        return rc;
    if (linkat(files->root_fd, from, files->root_fd, to, 0))
        return -errno;
    return files_sync_parent(files, to);
}

int files_unlink(struct files *files, const char *name)
{
    int rc = ask(files, "unlink", name);

    if (rc)
        return rc;
    return unlinkat(files->root_fd, name, 0) ? -errno : 0;
}

static int open_dir(struct files *files, const char *folder, DIR **ret_dir)
{
    int fd = openat(files->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    *ret_dir = fdopendir(fd);
    if (*ret_dir)
        return 0;
    int rc = -errno;
    (void)close(fd);
    return rc;
}

/* The next regular file of a folder, or NULL at its end. */
static const char *next_file(DIR *dir, struct stat *ret_stat)
{
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (entry->d_name[0] != '.' &&
            !fstatat(dirfd(dir), entry->d_name, ret_stat, AT_SYMLINK_NOFOLLOW) &&
            S_ISREG(ret_stat->st_mode))
            return entry->d_name;
    return NULL;
}

int files_sweep(struct files *files, const char *folder, int64_t utc_ns)
{
    struct stat st;
    DIR *dir = NULL;
    int count = 0, rc = open_dir(files, folder, &dir);

    if (rc || !dir)
        return rc;
    for (const char *name = next_file(dir, &st); name; name = next_file(dir, &st)) {
        int64_t changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        if (changed_ns < utc_ns && !unlinkat(dirfd(dir), name, 0))
            count++;
    }
    (void)closedir(dir);
    return count;
}

int files_usage(struct files *files, const char *folder, const char *except, int64_t *ret_bytes)
{
    struct stat st;
    int64_t blocks = 0;
    DIR *dir = NULL;
    int rc = open_dir(files, folder, &dir);

    if (rc && rc != -ENOENT)
        return rc;
    for (const char *name = dir ? next_file(dir, &st) : NULL; name; name = next_file(dir, &st))
        if (strncmp(name, except, strlen(except)))
            blocks += ((int64_t)st.st_size + FILES_BLOCK_BYTES - 1) / FILES_BLOCK_BYTES;
    if (dir)
        (void)closedir(dir);
    *ret_bytes = blocks * FILES_BLOCK_BYTES;
    return 0;
}

int files_open_read(struct files *files, const char *name, off_t *ret_size)
{
    struct stat st;
    int fd = openat(files->root_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return -EINVAL;
    }
    *ret_size = st.st_size;
    return fd;
}

int files_read(struct files *files, const char *name, size_t max, char **ret_bytes,
               size_t *ret_size)
{
    off_t size = 0;
    int fd = files_open_read(files, name, &size), rc = 0;

    if (fd < 0)
        return fd;
    char *bytes = (uint64_t)size > max ? NULL : malloc((size_t)size + 1);
    if (!bytes)
        rc = (uint64_t)size > max ? -EFBIG : -ENOMEM;
    if (!rc)
        rc = files_pread(fd, bytes, (size_t)size, 0);
    (void)close(fd);
    if (rc) {
        free(bytes);
        return rc;
    }
    bytes[size] = '\0';
    *ret_bytes = bytes;
    *ret_size = (size_t)size;
    return 0;
}

bool files_exist(struct files *files, const char *name)
{
    struct stat st;

    return !fstatat(files->root_fd, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode);
}

bool files_newer(struct files *files, const char *name, const char *other)
{
    struct stat a, b;

    if (fstatat(files->root_fd, name, &a, AT_SYMLINK_NOFOLLOW) ||
        fstatat(files->root_fd, other, &b, AT_SYMLINK_NOFOLLOW))
        return false;
    return a.st_mtim.tv_sec != b.st_mtim.tv_sec ? a.st_mtim.tv_sec > b.st_mtim.tv_sec
                                                : a.st_mtim.tv_nsec >= b.st_mtim.tv_nsec;
}

int files_sha256(struct files *files, const char *name, uint8_t ret_sha256[SHA256_BYTES],
                 int64_t *ret_size)
{
    uint8_t buffer[COPY_BYTES];
    off_t size = 0;
    int fd = files_open_read(files, name, &size), rc = 0;

    if (fd < 0)
        return fd;
    struct sha256 *sha = sha256_open();
    if (!sha)
        rc = -ENOMEM;
    for (off_t at = 0; !rc && at < size; at += COPY_BYTES) {
        size_t n = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES;
        rc = files_pread(fd, buffer, n, at);
        if (!rc)
            sha256_put(sha, buffer, n);
    }
    if (!rc) {
        sha256_take(sha, ret_sha256);
        *ret_size = size;
    }
    sha256_close(sha);
    (void)close(fd);
    return rc;
}
