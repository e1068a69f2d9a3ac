/* artifacts - databases and packs by their SHA-256: what artifact.v1 brought, kept in
 * DATASET/artifacts/xx/SHA256, and what an operator put into a folder of any layout (--artifacts),
 * for fleets that do not ship their databases. Bytes are hashed each time they are handed out, so a
 * wrong file can only be missing, never used. One thread. */
#ifndef TOOLS_SINK_ARTIFACTS_H
#define TOOLS_SINK_ARTIFACTS_H
#include "proto/err.h"
#include "proto/wire.h"
#include "tools/sink/files.h"

#define ARTIFACTS_FOLDER_FILES_MAX 4096 /* of --artifacts, sub-folders excluded */

struct artifacts_stats {
    uint64_t stored, known, refused; /* of artifact.v1 */
    uint64_t damaged;                /* in the dataset, with another SHA-256 than their name */
    uint32_t folder_files;
};

struct artifacts;

/* `dataset` is borrowed. `folder` may be NULL. */
int artifacts_open(struct files *dataset, const char *folder, struct err *err,
                   struct artifacts **ret_artifacts);
void artifacts_close(struct artifacts *artifacts); /* takes NULL */

/* Takes an artifact as the topic brought it. 0; -EBADMSG with *err (the key is not the hash of the
 * bytes, or they do not inflate): a dead letter; other errors: disk, again later. */
int artifacts_put(struct artifacts *artifacts, const void *key, size_t key_size,
                  const struct wire_artifact *artifact, struct err *err);

bool artifacts_has(struct artifacts *artifacts, const uint8_t sha256[SHA256_BYTES]);
/* malloc'ed; -ENOENT when nobody has it. */
int artifacts_get(struct artifacts *artifacts, const uint8_t sha256[SHA256_BYTES],
                  char **ret_bytes, size_t *ret_size);
/* Reads the folder anew: an operator may have put the missing file there. */
int artifacts_rescan(struct artifacts *artifacts);
void artifacts_stats(const struct artifacts *artifacts, struct artifacts_stats *ret_stats);

#endif
