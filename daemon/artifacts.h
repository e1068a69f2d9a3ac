/* artifacts - packs and databases of a generation, encoded for artifact.v1 (docs/KAFKA.md). */
#ifndef DAEMON_ARTIFACTS_H
#define DAEMON_ARTIFACTS_H
#include "daemon/pipeline.h"
#include "storage/clipstore.h"

/* Heap object with its values behind it; ownership moves through the queue to the store. */
struct artifact_set {
    uint32_t count;
    struct clipstore_artifact items[JOB_ARTIFACTS_MAX];
};

/* Returns 0; -EMSGSIZE for a file that does not fit a message, -ENODATA for an empty one, -ENOMEM,
 * with *err naming it. */
int artifact_set_open(const struct generation *generation, struct artifact_set **ret_set,
                      struct err *err);
void artifact_set_close(struct artifact_set *set); /* takes NULL */

#endif
