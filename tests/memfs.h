/* memfs - a file system in memory for tests of storage/: an io table and an SQLite VFS over the same
 * files, with faults and power loss.
 * Model (strict POSIX): bytes are durable after a sync of the file; a name is durable after a sync
 * of its folder (SQLite's own files: after their sync, as its unix VFS does). Every changing call
 * counts as one operation. `fail_at` makes the n-th fail once; `crash_at` makes the n-th be torn and
 * all later ones fail. memfs_lose then throws away what was not durable, by `mode`. */
#ifndef TESTS_MEMFS_H
#define TESTS_MEMFS_H
#include "storage/io.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MEMFS_NODES 1024
#define MEMFS_NAMES 256
#define MEMFS_PATH 160

struct memnode {
    uint8_t *data, *durable;
    size_t size, durable_size, room;
};

struct memname {
    char path[MEMFS_PATH];
    int node;
};

struct memfs_names {
    struct memname items[MEMFS_NAMES];
    unsigned count;
};

enum memfs_loss { MEMFS_KEEP_ALL, MEMFS_DROP_ALL, MEMFS_RANDOM };

struct memfs {
    struct memnode nodes[MEMFS_NODES];
    unsigned node_count;
    struct memfs_names now, durable;
    uint64_t ops, fail_at, crash_at; /* 0: never */
    int fail_with;                   /* errno, positive */
    bool dead;                       /* crash_at was reached */
    bool lie_sync, lie_dir, lie_db;  /* planted faults: syncs that do nothing */
    uint64_t room_bytes;             /* of segments and artifacts; 0: no end. SQLite has its own */
    int unreadable;                  /* node of which reads fail; 0: none, since a test plants it later */
    uint64_t syncs;                  /* of files and folders, SQLite's too */
    sqlite3_vfs vfs;
};

/* 0: go on; else the errno of a planned fault. *torn: the operation is half done, then dies. */
static inline int memfs_op(struct memfs *fs, bool *torn)
{
    *torn = false;
    if (fs->dead)
        return -EIO;
    fs->ops++;
    if (fs->ops == fs->crash_at) {
        fs->dead = *torn = true;
        return -EIO;
    }
    return fs->ops == fs->fail_at ? -fs->fail_with : 0;
}

static inline int memfs_find(const struct memfs_names *names, const char *path)
{
    for (unsigned i = 0; i < names->count; i++)
        if (!strcmp(names->items[i].path, path))
            return (int)i;
    return -1;
}

static inline void memfs_name(struct memfs_names *names, const char *path, int node)
{
    int at = memfs_find(names, path);
    if (at < 0) {
        assert(names->count < MEMFS_NAMES);
        at = (int)names->count++;
    }
    size_t size = strlen(path) + 1; /* `path` may stand in the same file system */
    assert(size <= MEMFS_PATH);
    memmove(names->items[at].path, path, size);
    names->items[at].node = node;
}

static inline void memfs_unname(struct memfs_names *names, const char *path)
{
    int at = memfs_find(names, path);
    if (at >= 0)
        names->items[at] = names->items[--names->count];
}

static inline int memfs_new_node(struct memfs *fs)
{
    assert(fs->node_count < MEMFS_NODES);
    return (int)fs->node_count++;
}

static inline void memfs_put(struct memnode *node, const void *bytes, size_t size, size_t at)
{
    if (at + size > node->room) {
        node->room = 2 * (at + size) + 64;
        node->data = realloc(node->data, node->room);
        assert(node->data);
    }
    if (at > node->size)
        memset(node->data + node->size, 0, at - node->size);
    if (size)
        memcpy(node->data + at, bytes, size);
    if (at + size > node->size)
        node->size = at + size;
}

static inline void memfs_make_durable(struct memnode *node)
{
    node->durable = realloc(node->durable, node->size + 1);
    assert(node->durable);
    if (node->size)
        memcpy(node->durable, node->data, node->size);
    node->durable_size = node->size;
}

static inline bool memfs_under(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    return !strncmp(path, dir, size) && path[size] == '/' && !strchr(path + size + 1, '/');
}

/* ---- The io table; a descriptor is a node ---- */

static inline int memfs_create(void *context, const char *path)
{
    struct memfs *fs = context;
    bool torn;
    int rc = memfs_op(fs, &torn);
    if (rc)
        return rc;
    if (memfs_find(&fs->now, path) >= 0)
        return -EEXIST;
    int node = memfs_new_node(fs);
    memfs_name(&fs->now, path, node);
    return node;
}

static inline int memfs_open(void *context, const char *path)
{
    struct memfs *fs = context;
    int at = memfs_find(&fs->now, path);
    return fs->dead ? -EIO : at < 0 ? -ENOENT : fs->now.items[at].node;
}

static inline uint64_t memfs_used(const struct memfs *fs)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < fs->now.count; i++)
        if (!strstr(fs->now.items[i].path, ".db"))
            bytes += fs->nodes[fs->now.items[i].node].size;
    return bytes;
}

static inline int memfs_write(void *context, int fd, const void *bytes, size_t size)
{
    struct memfs *fs = context;
    struct memnode *node = &fs->nodes[fd];
    bool torn;
    int rc = memfs_op(fs, &torn);
    if (!rc && fs->room_bytes && memfs_used(fs) + size > fs->room_bytes)
        rc = -ENOSPC;
    if (!rc || torn || rc == -ENOSPC)
        memfs_put(node, bytes, rc ? size / 2 : size, node->size);
    return rc;
}

static inline int64_t memfs_read(void *context, int fd, void *bytes, size_t size, uint64_t offset)
{
    struct memfs *fs = context;
    const struct memnode *node = &fs->nodes[fd];
    if (fs->dead || (fd && fd == fs->unreadable))
        return -EIO;
    if (offset >= node->size)
        return 0;
    size_t left = node->size - (size_t)offset, n = size < left ? size : left;
    memcpy(bytes, node->data + offset, n);
    return (int64_t)n;
}

static inline int64_t memfs_size(void *context, int fd)
{
    return (int64_t)((struct memfs *)context)->nodes[fd].size;
}

static inline int memfs_truncate(void *context, int fd, uint64_t size)
{
    struct memfs *fs = context;
    bool torn;
    int rc = memfs_op(fs, &torn);
    if (!rc && fs->nodes[fd].size > size)
        fs->nodes[fd].size = (size_t)size;
    return rc;
}

/* A sync that fails leaves the bytes as undurable as they were: the kernel dropped the pages. */
static inline int memfs_sync(void *context, int fd)
{
    struct memfs *fs = context;
    bool torn;
    int rc = memfs_op(fs, &torn);
    fs->syncs++;
    if (!rc && !fs->lie_sync)
        memfs_make_durable(&fs->nodes[fd]);
    return rc;
}

static inline void memfs_close(void *context, int fd)
{
    (void)context;
    (void)fd;
}

static inline int memfs_rename(void *context, const char *from, const char *to)
{
    struct memfs *fs = context;
    bool torn;
    int rc = memfs_op(fs, &torn);
    int at = memfs_find(&fs->now, from);
    if (rc)
        return rc;
    if (at < 0)
        return -ENOENT;
    int node = fs->now.items[at].node;
    memfs_unname(&fs->now, from);
    memfs_name(&fs->now, to, node);
    return 0;
}

static inline int memfs_unlink(void *context, const char *path)
{
    struct memfs *fs = context;
    bool torn;
    if (!fs->dead && memfs_find(&fs->now, path) < 0)
        return -ENOENT;
    int rc = memfs_op(fs, &torn);
    if (!rc)
        memfs_unname(&fs->now, path);
    return rc;
}

static inline int memfs_sync_dir(void *context, const char *dir)
{
    struct memfs *fs = context;
    bool torn;
    int rc = memfs_op(fs, &torn);
    fs->syncs++;
    if (rc || fs->lie_dir)
        return rc;
    for (unsigned i = 0; i < fs->durable.count;)
        if (memfs_under(fs->durable.items[i].path, dir))
            fs->durable.items[i] = fs->durable.items[--fs->durable.count];
        else
            i++;
    for (unsigned i = 0; i < fs->now.count; i++)
        if (memfs_under(fs->now.items[i].path, dir))
            memfs_name(&fs->durable, fs->now.items[i].path, fs->now.items[i].node);
    return 0;
}

static inline int memfs_make_dir(void *context, const char *path)
{
    (void)path;
    return ((struct memfs *)context)->dead ? -EIO : 0;
}

static inline int memfs_list(void *context, const char *path, struct io_names *ret_names)
{
    struct memfs *fs = context;
    struct io_names names = { 0 };
    if (fs->dead)
        return -EIO;
    for (unsigned i = 0; i < fs->now.count; i++)
        if (memfs_under(fs->now.items[i].path, path))
            (void)io_names_add(&names, strrchr(fs->now.items[i].path, '/') + 1);
    io_names_sort(&names);
    *ret_names = names;
    return 0;
}

static const struct io_ops memfs_ops = {
    .create = memfs_create, .open = memfs_open, .write = memfs_write, .read = memfs_read,
    .size = memfs_size, .truncate = memfs_truncate, .sync = memfs_sync, .close = memfs_close,
    .rename = memfs_rename, .unlink = memfs_unlink, .sync_dir = memfs_sync_dir,
    .make_dir = memfs_make_dir, .list = memfs_list,
};

/* ---- SQLite's VFS over the same files ---- */

struct memfile {
    sqlite3_file base;
    struct memfs *fs;
    int node;
    char path[MEMFS_PATH];
};

static inline int memfs_rc(int rc)
{
    return rc == 0 ? SQLITE_OK : rc == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR;
}

static int memfile_close(sqlite3_file *file)
{
    (void)file;
    return SQLITE_OK;
}

static int memfile_read(sqlite3_file *file, void *to, int size, sqlite3_int64 at)
{
    struct memfile *f = (struct memfile *)file;
    int64_t n = memfs_read(f->fs, f->node, to, (size_t)size, (uint64_t)at);
    if (n < 0)
        return SQLITE_IOERR_READ;
    if (n < size)
        memset((char *)to + n, 0, (size_t)(size - n));
    return n < size ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int memfile_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 at)
{
    struct memfile *f = (struct memfile *)file;
    bool torn;
    int rc = memfs_op(f->fs, &torn);
    if (!rc || torn)
        memfs_put(&f->fs->nodes[f->node], from, (size_t)(rc ? size / 2 : size), (size_t)at);
    return memfs_rc(rc);
}

static int memfile_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct memfile *f = (struct memfile *)file;
    return memfs_rc(memfs_truncate(f->fs, f->node, (uint64_t)size));
}

static int memfile_sync(sqlite3_file *file, int flags)
{
    struct memfile *f = (struct memfile *)file;
    bool torn;
    int rc = memfs_op(f->fs, &torn);
    (void)flags;
    f->fs->syncs++;
    if (!rc && !f->fs->lie_db) {
        memfs_make_durable(&f->fs->nodes[f->node]);
        int at = memfs_find(&f->fs->now, f->path);
        if (at >= 0 && f->fs->now.items[at].node == f->node)
            memfs_name(&f->fs->durable, f->path, f->node);
    }
    return rc ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int memfile_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct memfile *f = (struct memfile *)file;
    *size = (sqlite3_int64)f->fs->nodes[f->node].size;
    return SQLITE_OK;
}

static int memfile_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int memfile_reserved(sqlite3_file *file, int *out)
{
    (void)file;
    *out = 0;
    return SQLITE_OK;
}

static int memfile_control(sqlite3_file *file, int op, void *argument)
{
    (void)file;
    (void)op;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int memfile_sector(sqlite3_file *file)
{
    (void)file;
    return 512;
}

static int memfile_traits(sqlite3_file *file)
{
    (void)file;
    return 0;
}

static const sqlite3_io_methods memfile_methods = {
    1, memfile_close, memfile_read, memfile_write, memfile_truncate, memfile_sync, memfile_size,
    memfile_lock, memfile_lock, memfile_reserved, memfile_control, memfile_sector, memfile_traits,
    NULL, NULL, NULL, NULL, NULL, NULL
};

static int memvfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
    struct memfs *fs = vfs->pAppData;
    struct memfile *f = (struct memfile *)file;
    int at = memfs_find(&fs->now, path);

    f->base.pMethods = NULL;
    if (fs->dead || (at < 0 && !(flags & SQLITE_OPEN_CREATE)))
        return SQLITE_CANTOPEN;
    f->fs = fs;
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    f->node = at < 0 ? memfs_create(fs, path) : fs->now.items[at].node;
    if (f->node < 0)
        return SQLITE_IOERR;
    f->base.pMethods = &memfile_methods;
    if (out)
        *out = flags;
    return SQLITE_OK;
}

static int memvfs_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    struct memfs *fs = vfs->pAppData;
    int rc = memfs_unlink(fs, path);
    if (!rc && sync_dir)
        memfs_unname(&fs->durable, path);
    return rc == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : memfs_rc(rc);
}

static int memvfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    struct memfs *fs = vfs->pAppData;
    (void)flags;
    *out = memfs_find(&fs->now, path) >= 0;
    return fs->dead ? SQLITE_IOERR : SQLITE_OK;
}

static int memvfs_full(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    (void)vfs;
    (void)snprintf(out, (size_t)size, "%s", path);
    return SQLITE_OK;
}

static int memvfs_rename(sqlite3_vfs *vfs, const char *from, const char *to)
{
    return memfs_rename(vfs->pAppData, from, to);
}

static int memvfs_sync_dir(sqlite3_vfs *vfs, const char *path)
{
    char dir[MEMFS_PATH];
    (void)snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = '\0';
    return memfs_sync_dir(vfs->pAppData, dir);
}

static void (*memvfs_symbol(sqlite3_vfs *vfs, void *handle, const char *name))(void)
{
    (void)vfs;
    (void)handle;
    if (!strcmp(name, "rename"))
        return (void (*)(void))(void *)memvfs_rename;
    return !strcmp(name, "sync_dir") ? (void (*)(void))(void *)memvfs_sync_dir : NULL;
}

static int memvfs_random(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    for (int i = 0; i < size; i++)
        out[i] = (char)(i * 37 + 11); /* fixed: runs repeat */
    return size;
}

static int memvfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int memvfs_time(sqlite3_vfs *vfs, double *now)
{
    (void)vfs;
    *now = 2460000.5;
    return SQLITE_OK;
}

static int memvfs_error(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    (void)size;
    (void)out;
    return 0;
}

static inline void memfs_init(struct memfs *fs)
{
    memset(fs, 0, sizeof *fs);
    fs->fail_with = EIO;
    fs->vfs = (sqlite3_vfs){ .iVersion = 1, .szOsFile = (int)sizeof(struct memfile),
                             .mxPathname = MEMFS_PATH - 1, .zName = "memfs", .pAppData = fs,
                             .xOpen = memvfs_open, .xDelete = memvfs_delete,
                             .xAccess = memvfs_access, .xFullPathname = memvfs_full,
                             .xDlSym = memvfs_symbol, .xRandomness = memvfs_random,
                             .xSleep = memvfs_sleep, .xCurrentTime = memvfs_time,
                             .xGetLastError = memvfs_error };
    (void)sqlite3_vfs_register(&fs->vfs, 0);
}

static inline void memfs_deinit(struct memfs *fs)
{
    (void)sqlite3_vfs_unregister(&fs->vfs);
    for (unsigned i = 0; i < fs->node_count; i++) {
        free(fs->nodes[i].data);
        free(fs->nodes[i].durable);
    }
}

static inline uint32_t memfs_random(uint32_t *seed)
{
    return (*seed = *seed * 1664525u + 1013904223u) >> 8;
}

/* The power is gone and back: only what the model calls durable is sure to be there. MEMFS_RANDOM
 * keeps each file's bytes and each change of a name by the toss of a coin. */
static inline void memfs_lose(struct memfs *fs, enum memfs_loss mode, uint32_t seed)
{
    if (mode == MEMFS_DROP_ALL)
        fs->now = fs->durable;
    for (unsigned i = 0; mode == MEMFS_RANDOM && i < fs->durable.count; i++)
        if (memfs_find(&fs->now, fs->durable.items[i].path) < 0 && memfs_random(&seed) % 2)
            memfs_name(&fs->now, fs->durable.items[i].path, fs->durable.items[i].node);
    for (unsigned i = 0; mode == MEMFS_RANDOM && i < fs->now.count;) {
        int at = memfs_find(&fs->durable, fs->now.items[i].path);
        bool lost = memfs_random(&seed) % 2;
        if (lost && at >= 0)
            fs->now.items[i].node = fs->durable.items[at].node;
        if (lost && at < 0)
            fs->now.items[i] = fs->now.items[--fs->now.count];
        else
            i++;
    }
    for (unsigned i = 0; i < fs->node_count; i++) {
        struct memnode *node = &fs->nodes[i];
        if (mode == MEMFS_KEEP_ALL || (mode == MEMFS_RANDOM && memfs_random(&seed) % 2))
            continue;
        node->size = 0;
        if (node->durable_size)
            memfs_put(node, node->durable, node->durable_size, 0);
    }
    /* What survived is what the disk holds now. */
    for (unsigned i = 0; i < fs->node_count; i++)
        memfs_make_durable(&fs->nodes[i]);
    fs->durable = fs->now;
    fs->dead = false;
    fs->ops = fs->fail_at = fs->crash_at = 0;
}

#endif
