/* cmd_sink - what the three sink commands share. */
#ifndef TOOLS_CMD_SINK_H
#define TOOLS_CMD_SINK_H
#include "proto/frame.h"
#include "tools/kafka_options.h"
#include "tools/sink/sink.h"

#include <stdbool.h>

struct cmd_sink_options {
    const char *bootstrap, *env, *group, *dataset, *drop, *artifacts, *cache, *metrics;
    int32_t partitions[SINK_PARTITIONS_MAX];
    uint32_t partition_count;
    struct kafka_options kafka;
    int64_t partial_after_s, release_after_s; /* release 0: four times partial */
    int64_t open_clips, vehicle_clips, vehicle_bytes, quarantine_bytes;
    bool json, all;
    const char **words; /* arguments that are no options */
    int word_count;
};

int cmd_sink_status(const struct cmd_sink_options *options);
int cmd_sink_reexport(const struct cmd_sink_options *options);
int64_t cmd_sink_clock(bool wall); /* nanoseconds: since 1970, or monotonic */

#endif
