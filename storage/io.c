#include "storage/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_GROW 64

static int create_file(void *context, const char *path)
{
    (void)context;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : fd;
}

/* A FIFO planted here must not hold the store: O_NONBLOCK, and only regular files are taken. */
static int open_file(void *context, const char *path)
{
    struct stat st;

    (void)context;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    (void)close(fd);
    return -EINVAL;
}

static int write_all(void *context, int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    (void)context;
    while (size) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int64_t read_at(void *context, int fd, void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    (void)context;
    while (done < size) {
        ssize_t n = pread(fd, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

static int64_t size_of(void *context, int fd)
{
    struct stat st;

    (void)context;
    return fstat(fd, &st) == 0 ? (int64_t)st.st_size : -errno;
}

static int truncate_file(void *context, int fd, uint64_t size)
{
    (void)context;
    if (ftruncate(fd, (off_t)size) != 0)
        return -errno;
    return lseek(fd, 0, SEEK_END) < 0 ? -errno : 0;
}

static int sync_file(void *context, int fd)
{
    (void)context;
    return fdatasync(fd) == 0 ? 0 : -errno;
}

static void close_file(void *context, int fd)
{
    (void)context;
    (void)close(fd);
}

static int rename_file(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int unlink_file(void *context, const char *path)
{
    (void)context;
    return unlink(path) == 0 ? 0 : -errno;
}

static int sync_dir(void *context, const char *path)
{
    (void)context;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return rc;
}

static int make_dir(void *context, const char *path)
{
    (void)context;
    return mkdir(path, 0750) == 0 || errno == EEXIST ? 0 : -errno;
}

static int list_dir(void *context, const char *path, struct io_names *ret_names)
{
    struct io_names names = { 0 };
    struct dirent *entry;
    int rc = 0;

    (void)context;
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    while (!rc && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
            names.foreign++;
        else
            rc = io_names_add(&names, entry->d_name);
    }
    (void)closedir(dir);
    if (rc) {
        io_names_deinit(&names);
        return rc;
    }
    io_names_sort(&names);
    *ret_names = names;
    return 0;
}

static const struct io_ops system_ops = {
    .create = create_file, .open = open_file,         .write = write_all, .read = read_at,
    .size = size_of,       .truncate = truncate_file, .sync = sync_file,  .close = close_file,
    .rename = rename_file, .unlink = unlink_file,     .sync_dir = sync_dir,
    .make_dir = make_dir,  .list = list_dir,
};

struct io io_system(void) { return (struct io){ &system_ops, NULL }; }

void io_names_deinit(struct io_names *names)
{
    free(names->names);
    *names = (struct io_names){ 0 };
}

int io_names_add(struct io_names *names, const char *name)
{
    if (strlen(name) >= IO_NAME_MAX) {
        names->foreign++;
        return 0;
    }
    if (names->count % NAMES_GROW == 0) {
        void *grown = realloc(names->names, (names->count + NAMES_GROW) * sizeof names->names[0]);
        if (!grown)
            return -ENOMEM;
        names->names = grown;
    }
    (void)snprintf(names->names[names->count++], IO_NAME_MAX, "%s", name);
    return 0;
}

static int compare(const void *a, const void *b) { return strcmp(a, b); }

void io_names_sort(struct io_names *names)
{
    if (names->count)
        qsort(names->names, names->count, sizeof names->names[0], compare);
}
