/* mcap_meta - what an exported MCAP says beside its messages: metadata records and attachments, and
 * their names, which the recording reader looks for. */
#ifndef PROTO_MCAP_META_H
#define PROTO_MCAP_META_H
#include "proto/export_mcap.h"
#include "proto/timeline.h"

#define MCAP_META_CLIP "roadloop/clip"         /* header, seed, manifest records of the .rlc */
#define MCAP_META_CLIP_TYPE "application/x-roadloop-clip"
#define MCAP_META_MANIFEST "manifest.json"
#define MCAP_META_DBC_TYPE "text/x-dbc"
#define MCAP_META_PACK_TYPE "application/yaml" /* attachments of that type are packs */

/* Facts that the export found on its way. */
struct mcap_meta {
    const struct export_mcap_config *config;
    const struct timeline *timeline;
    bool wall_known;
    int64_t wall_offset_ns;
    uint64_t first_log_time; /* stands for all attachments */
};

/* Writes all of it. Returns 0 or a negative errno with *err filled. */
int mcap_meta_write(const struct mcap_meta *meta, struct mcap_writer *writer, struct err *err);

/* "dbc/<bus>/<file>", the bus "" for all: true with bus and file, which points into name.
 * "generation/<n>/dbc/..." are those that a later generation has under the same name: false. */
bool mcap_meta_dbc_name(const char *name, char ret_bus[SOURCE_NAME_MAX], const char **ret_file);

/* Adds every database that a clip carries (mcap_meta_dbc_name) to the set. Returns 0 or what
 * dbset_add returns, *err filled. */
int mcap_meta_dbset(const struct recording_clip *clip, struct dbset *set, struct err *err);

#endif
