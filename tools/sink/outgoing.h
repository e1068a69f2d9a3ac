/* outgoing - what the sink says: receipts, dataset.v1, dead letters. Each message is kept and sent
 * until its delivery report, and holds an offset of the clip topic: until the report nothing at or
 * above that offset counts as done, so neither a crash nor a rebalance can lose a word.
 * Bounded by messages and bytes. One thread. */
#ifndef TOOLS_SINK_OUTGOING_H
#define TOOLS_SINK_OUTGOING_H
#include "proto/wire.h"
#include "uploader/kafka.h"

#define OUTGOING_MESSAGES_MAX 16384 /* input stops at half of it */
#define OUTGOING_BYTES_MAX 33554432
#define OUTGOING_RETRY_NS INT64_C(1000000000)

struct outgoing_stats {
    uint64_t receipts, announcements, dead_letters; /* delivered */
    uint64_t retried, poisoned; /* poisoned: the broker refuses them for good; given up, counted */
    uint32_t waiting;
    int64_t waiting_bytes;
};

struct outgoing;

int outgoing_open(const struct kafka_config *kafka, const char *env, struct err *err,
                  struct outgoing **ret_outgoing);
void outgoing_close(struct outgoing *outgoing, int flush_ms); /* takes NULL */

/* All copy. Partition -1 holds nothing. -ENOBUFS: ask outgoing_has_room before taking input. */
int outgoing_receipt(struct outgoing *outgoing, int32_t partition, int64_t hold_offset,
                     const struct wire_receipt *receipt);
int outgoing_announce(struct outgoing *outgoing, int32_t partition, int64_t hold_offset,
                      const struct wire_dataset *dataset);
/* The message unchanged, with the five dlq_* headers behind its own. */
int outgoing_dead_letter(struct outgoing *outgoing, const struct kafka_event *message,
                         const char *reason, bool hold);

/* For questions to the broker: on a consumer they wait behind its open fetch. Borrowed. */
struct kafka_producer *outgoing_producer(const struct outgoing *outgoing);

/* Room for whatever one message can lead to. */
bool outgoing_has_room(const struct outgoing *outgoing);
/* Sends and takes reports; never waits longer than timeout_ms. */
void outgoing_pump(struct outgoing *outgoing, int64_t now_ns, int timeout_ms);
/* The lowest offset held of the partition, or -1. */
int64_t outgoing_needed(const struct outgoing *outgoing, int32_t partition);
/* The partition is another member's now: what waits is still sent, but holds nothing. */
void outgoing_revoke(struct outgoing *outgoing, int32_t partition);
void outgoing_stats(const struct outgoing *outgoing, struct outgoing_stats *ret_stats);

#endif
