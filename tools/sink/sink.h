/* sink - the receiving end: reads clip.v1, stores clips, answers cars, tells labelling.
 * The parts: assembler (which chunks), cache (their bytes), publish and dataset (files), artifacts,
 * outgoing (what it says). This module joins them to Kafka and holds the one promise that needs all
 * of them: the offset committed is never above a message whose work is not durable.
 * No clock inside: times are arguments. One thread. */
#ifndef TOOLS_SINK_SINK_H
#define TOOLS_SINK_SINK_H
#include "tools/sink/artifacts.h"
#include "tools/sink/assembler.h"
#include "tools/sink/outgoing.h"
#include "tools/sink/publish.h"

#define SINK_PARTITIONS_MAX KAFKA_PLACES_MAX

/* Why a message became a dead letter, beside the assembler's own reasons. */
enum sink_refusal {
    SINK_EMPTY = ASSEMBLER_REFUSALS, /* no value: a tombstone has no meaning here */
    SINK_OVERSIZE,                   /* larger than any legal value */
    SINK_WIRE,                       /* does not decode */
    SINK_ARTIFACT,                   /* key or bytes are not its SHA-256 */
    SINK_REFUSALS
};
const char *sink_refusal_name(unsigned refusal);

struct sink_config {
    const char *bootstrap; /* NULL: no Kafka, only the drop folder */
    const struct kafka_setting *settings;
    uint32_t setting_count;
    const char *env, *group;
    const int32_t *partitions; /* assign(); NULL: join the group */
    uint32_t partition_count;
    const char *dataset, *cache, *artifacts, *drop; /* artifacts and drop may be NULL */
    int64_t partial_after_ns, release_after_ns;
    uint32_t clips_max, vehicle_clips_max;
    int64_t vehicle_bytes_max, bytes_max;
    int64_t quarantine_bytes_max; /* of one car */
    uint64_t member; /* random */
};

struct sink_stats {
    struct assembler_stats assembler;
    struct outgoing_stats outgoing;
    struct artifacts_stats artifacts;
    struct publish_stats publish;
    uint64_t refused[SINK_REFUSALS]; /* dead letters by reason */
    uint64_t messages, message_bytes;
    uint64_t offsets_none;   /* partitions begun at the log's start: nothing was committed */
    uint64_t offsets_beyond; /* the same: what was committed lies beyond the log */
    uint64_t offsets_lost;   /* what was committed is no longer in the log: messages are lost */
    uint64_t rebalances, stalls, errors, commits, purged;
    uint64_t statuses;       /* of status.v1, stored */
    uint64_t dropped_words;  /* receipts that found no room: the car asks again */
    uint64_t drops_stored, drops_refused;
    int64_t cache_segments;
    uint32_t partitions;
    bool degraded; /* the dataset or the cache refused to be written a moment ago */
    char last_error[ERR_TEXT_MAX];
};

struct sink;

/* Opens dataset, cache and Kafka handles (a broker need not be there). */
int sink_open(const struct sink_config *config, int64_t utc_now_ns, struct err *err,
              struct sink **ret_sink);
/* Sends what is due for at most flush_ms, commits, closes. Takes NULL. */
void sink_close(struct sink *sink, int64_t now_ns, int flush_ms);

/* One turn: takes messages for about timeout_ms, then does what is due. 0, or a negative errno with
 * *err when the sink cannot go on (fatal consumer error). */
int sink_step(struct sink *sink, int64_t now_ns, int timeout_ms, struct err *err);

void sink_stats(const struct sink *sink, struct sink_stats *ret_stats);
/* OpenMetrics text, replaced as a whole. */
int sink_write_metrics(const struct sink *sink, const char *path);

#endif
