/* publish - from the verified bytes of a clip to its files in the dataset, or to quarantine.
 * Used by the Kafka way, by the file drop and by reexport. One thread. */
#ifndef TOOLS_SINK_PUBLISH_H
#define TOOLS_SINK_PUBLISH_H
#include "tools/sink/artifacts.h"
#include "tools/sink/assembler.h"
#include "tools/sink/dataset.h"

struct publish_config {
    struct dataset *dataset;
    struct artifacts *artifacts;
    int64_t quarantine_bytes_max; /* of one car; 0 keeps none */
    /* Reads artifact.v1 on to the end that it has at this moment; called before a clip is stored
     * raw-only. NULL: there is no topic. 0 or an errno, which makes the clip wait. */
    int (*catch_up)(void *context);
    void *context;
};

struct publish_stats {
    uint64_t exported, raw_only, unusable_databases, without_mcap;
    uint64_t frames, decoded;
};

struct publisher;

struct publisher *publish_open(const struct publish_config *config); /* NULL: no memory */
void publish_close(struct publisher *publisher);                     /* takes NULL */

/* Stores a clip from its segments. 0 with *ret_outcome (and *ret_record unless BAD_SEGMENT), or a negative errno: nothing is decided, try again; *err says why. */
int publish_clip(struct publisher *publisher, const struct wire_final *final,
                 const uint8_t final_sha256[SHA256_BYTES], const struct dataset_piece *pieces,
                 struct assembler_outcome *ret_outcome, struct record *ret_record,
                 struct err *err);

/* Writes CLIP.rN.mcap of a stored clip, N the next free number, and names it in its JSON. Returns
 * 0, 1 when databases are still missing (nothing written then), or a negative errno with *err. */
int publish_again(struct publisher *publisher, const struct dataset_place *place,
                  struct record *record, struct err *err);

/* What dataset.v1 says of a record. */
void publish_announcement(const struct record *record, struct wire_dataset *ret_dataset);
void publish_stats(const struct publisher *publisher, struct publish_stats *ret_stats);

#endif
