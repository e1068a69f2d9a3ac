/* io - the few file operations that the clip store needs, behind a table, so that tests can fail
 * each of them, and stop time between any two. All return 0 (or a descriptor, or a count) or a
 * negative errno. Symbolic links are never followed in the last component. */
#ifndef STORAGE_IO_H
#define STORAGE_IO_H
#include <stddef.h>
#include <stdint.h>

#define IO_NAME_MAX 80 /* 64 hex digits and an extension */
#define IO_PATH_MAX 512

struct io_names {
    char (*names)[IO_NAME_MAX]; /* sorted bytewise; malloc'ed, io_names_deinit frees */
    uint32_t count;
    uint32_t foreign; /* entries left out: longer names, not regular files */
};

struct io_ops {
    int (*create)(void *context, const char *path);     /* must not exist; for writing */
    int (*open)(void *context, const char *path);       /* for reading and writing */
    int (*write)(void *context, int fd, const void *bytes, size_t size); /* all, at the end */
    int64_t (*read)(void *context, int fd, void *bytes, size_t size, uint64_t offset);
    int64_t (*size)(void *context, int fd);
    int (*truncate)(void *context, int fd, uint64_t size);
    int (*sync)(void *context, int fd); /* fdatasync */
    void (*close)(void *context, int fd);
    int (*rename)(void *context, const char *from, const char *to);
    int (*unlink)(void *context, const char *path);
    int (*sync_dir)(void *context, const char *path);
    int (*make_dir)(void *context, const char *path); /* 0 also when it exists */
    int (*list)(void *context, const char *path, struct io_names *ret_names);
};

struct io {
    const struct io_ops *ops;
    void *context;
};

/* The system's. */
struct io io_system(void);
void io_names_deinit(struct io_names *names);
/* For implementations of `list`: adds a name (counts it as foreign when too long), then sorts. */
int io_names_add(struct io_names *names, const char *name);
void io_names_sort(struct io_names *names);

#endif
