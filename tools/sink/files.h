/* files - the few file operations that the dataset and the cache are made of, below one folder,
 * each durable when it returns and each able to fail in tests.
 * Names are relative to the folder, made by dataset.c from checked parts; symbolic links are never
 * followed at the last component. Handle; one thread. All return 0 (or a count) or negative errno. */
#ifndef TOOLS_SINK_FILES_H
#define TOOLS_SINK_FILES_H
#include "proto/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FILES_PATH_MAX 512   /* a name below the folder, with NUL */
#define FILES_BLOCK_BYTES 4096 /* so that many small files count too */
#define FILES_ROOT_MAX 3072  /* the folder's own path: both together fit PATH_MAX */

/* Asked before each operation that changes the disk; not 0 fails it with that errno. NULL in
 * production. */
struct files_faults {
    int (*before)(void *context, const char *operation, const char *name);
    void *context;
};

struct files;

/* Makes the folder when it is not there. */
int files_open(const char *root, const struct files_faults *faults, struct files **ret_files);
void files_close(struct files *files); /* takes NULL */
const char *files_root(const struct files *files);
/* "<root>/<name>"; -ENAMETOOLONG. */
int files_path(const struct files *files, const char *name, char *path, size_t size);

/* Makes each folder of `name` (all of it), syncing the parent of each that is new. */
int files_mkdirs(struct files *files, const char *name);
/* Writes a new file and syncs it; -EEXIST when there is one. */
int files_write_new(struct files *files, const char *name, const void *bytes, size_t size);
/* Syncs a file that somebody else wrote under this folder. */
int files_sync(struct files *files, const char *name);
int files_sync_parent(struct files *files, const char *name);
/* Never replaces: -EEXIST. Syncs the folder of `to`. */
int files_move_new(struct files *files, const char *from, const char *to);
/* Replaces; for files that are a statement of the moment (the JSON of a partial clip). */
int files_move_over(struct files *files, const char *from, const char *to);
/* A second name for a file; -EEXIST. Syncs the folder of `to`. */
int files_link(struct files *files, const char *from, const char *to);
int files_unlink(struct files *files, const char *name); /* -ENOENT when it is gone already */
/* Removes files directly in `folder` that were last changed before `utc_ns`; returns how many. */
int files_sweep(struct files *files, const char *folder, int64_t utc_ns);

/* Sums what the files directly in `folder` take, each rounded up to FILES_BLOCK_BYTES, leaving out
 * names that begin with `except`. A folder that is not there takes 0. */
int files_usage(struct files *files, const char *folder, const char *except, int64_t *ret_bytes);

/* Opens for reading; the caller closes the descriptor. Only regular files. */
int files_open_read(struct files *files, const char *name, off_t *ret_size);
/* malloc'ed with a NUL behind; -EFBIG above max. */
int files_read(struct files *files, const char *name, size_t max, char **ret_bytes,
               size_t *ret_size);
bool files_exist(struct files *files, const char *name);
/* Both are there and `name` was changed no earlier than `other`. */
bool files_newer(struct files *files, const char *name, const char *other);
int files_sha256(struct files *files, const char *name, uint8_t ret_sha256[SHA256_BYTES],
                 int64_t *ret_size);

/* A file that grows or is filled in place. The descriptor is read-write and the caller's. */
int files_open_write(struct files *files, const char *name, bool only_new);
int files_pwrite(struct files *files, int fd, const char *name, const void *bytes, size_t size,
                 int64_t offset);
int files_pread(int fd, void *bytes, size_t size, int64_t offset); /* all, or -ENODATA */

#endif
