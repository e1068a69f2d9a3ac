#include "tools/sink/sink_private.h"

#include "proto/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *sink_refusal_name(unsigned refusal)
{
    switch (refusal) {
    case SINK_EMPTY: return "empty";
    case SINK_OVERSIZE: return "oversize";
    case SINK_WIRE: return "wire";
    case SINK_ARTIFACT: return "artifact";
    default: return assembler_refusal_name((enum assembler_refusal)refusal);
    }
}

static int open_kafka(struct sink *sink, struct err *err)
{
    const struct sink_config *config = &sink->config;
    const struct kafka_config kafka = { .bootstrap = config->bootstrap,
                                        .client_id = "roadloop-sink",
                                        .settings = config->settings,
                                        .setting_count = config->setting_count };

    if (!config->bootstrap)
        return 0;
    int rc = outgoing_open(&kafka, config->env, err, &sink->outgoing);
    if (rc)
        return rc;
    (void)wire_topic_name(WIRE_TOPIC_CLIP, config->env, sink->clip_topic);
    (void)wire_topic_name(WIRE_TOPIC_ARTIFACT, config->env, sink->artifact_topic);
    (void)wire_topic_name(WIRE_TOPIC_STATUS, config->env, sink->status_topic);
    rc = cache_open(config->cache, err, &sink->cache);
    if (!rc)
        rc = topics_open(sink, err);
    return rc ? rc : feed_open(sink, err);
}

static int open_parts(struct sink *sink, int64_t utc_now_ns, struct err *err)
{
    const struct sink_config *config = &sink->config;
    const struct dataset_config dataset = { .root = config->dataset, .member = config->member,
                                            .utc_now_ns = utc_now_ns };
    int rc = dataset_open(&dataset, err, &sink->dataset);

    if (!rc)
        rc = artifacts_open(dataset_files(sink->dataset), config->artifacts, err,
                            &sink->artifacts);
    if (rc)
        return rc;
    const struct publish_config publish = { .dataset = sink->dataset,
                                            .artifacts = sink->artifacts,
                                            .quarantine_bytes_max = config->quarantine_bytes_max,
                                            .catch_up = config->bootstrap ? topics_catch_up : NULL,
                                            .context = sink };
    const struct assembler_config assembler = {
        .clips_max = config->clips_max, .vehicle_clips_max = config->vehicle_clips_max,
        .vehicle_bytes_max = config->vehicle_bytes_max, .bytes_max = config->bytes_max,
        .partial_after_ns = config->partial_after_ns,
        .release_after_ns = config->release_after_ns, .ops = &sink_effects, .context = sink };
    sink->publisher = publish_open(&publish);
    sink->assembler = assembler_open(&assembler);
    if (!sink->publisher || !sink->assembler)
        return err_plain(err, -ERANGE, "no memory, or a limit of the sink is out of its range");
    return open_kafka(sink, err);
}

int sink_open(const struct sink_config *config, int64_t utc_now_ns, struct err *err,
              struct sink **ret_sink)
{
    struct sink *sink = calloc(1, sizeof *sink);

    if (!sink)
        return err_plain(err, -ENOMEM, "no memory");
    sink->config = *config;
    int rc = open_parts(sink, utc_now_ns, err);
    if (rc) {
        sink_close(sink, 0, 0);
        return rc;
    }
    *ret_sink = sink;
    return 0;
}

void sink_close(struct sink *sink, int64_t now_ns, int flush_ms)
{
    if (!sink)
        return;
    for (int waited = 0; sink->outgoing && waited < flush_ms; waited += 50) {
        struct outgoing_stats stats;
        outgoing_stats(sink->outgoing, &stats);
        if (!stats.waiting)
            break;
        outgoing_pump(sink->outgoing, now_ns + (int64_t)waited * NS_PER_MS, 50);
    }
    if (sink->clips)
        feed_commit(sink, true);
    kafka_consumer_close(sink->clips);
    kafka_consumer_close(sink->topics);
    outgoing_close(sink->outgoing, 0);
    assembler_close(sink->assembler);
    publish_close(sink->publisher);
    cache_close(sink->cache);
    artifacts_close(sink->artifacts);
    dataset_close(sink->dataset);
    free(sink);
}

/* What stands in the way of receipts and the like. */
static void note_words(struct sink *sink)
{
    struct kafka_producer_stats stats;

    kafka_producer_stats(outgoing_producer(sink->outgoing), &stats);
    if (stats.last_error[0])
        (void)snprintf(sink->stats.last_error, sizeof sink->stats.last_error, "%s",
                       stats.last_error);
}

static void turn(struct sink *sink)
{
    uint64_t errors = sink->stats.errors;

    sink->turn_ns = sink->now_ns + SINK_TURN_NS;
    if (sink->config.drop)
        drop_scan(sink);
    if (!sink->clips)
        return;
    if (outgoing_has_room(sink->outgoing))
        assembler_tick(sink->assembler, sink->now_ns);
    if (cache_flush(sink->cache)) {
        struct err err;
        (void)err_plain(&err, -EIO, "cache cannot be written");
        sink_note_error(sink, &err);
    }
    feed_commit(sink, false);
    note_words(sink);
    if (sink->stats.errors == errors && !sink->stalled_until_ns)
        sink->stats.degraded = false;
}

int sink_step(struct sink *sink, int64_t now_ns, int timeout_ms, struct err *err)
{
    int rc = 0;

    sink->now_ns = now_ns;
    if (sink->clips) {
        rc = feed_poll(sink, timeout_ms, err);
        topics_poll(sink);
        outgoing_pump(sink->outgoing, now_ns, 0);
    }
    if (now_ns >= sink->turn_ns)
        turn(sink);
    return rc;
}

void sink_stats(const struct sink *sink, struct sink_stats *ret_stats)
{
    *ret_stats = sink->stats;
    assembler_stats(sink->assembler, &ret_stats->assembler);
    artifacts_stats(sink->artifacts, &ret_stats->artifacts);
    publish_stats(sink->publisher, &ret_stats->publish);
    if (sink->outgoing)
        outgoing_stats(sink->outgoing, &ret_stats->outgoing);
    if (sink->cache)
        ret_stats->cache_segments = cache_segments(sink->cache);
    ret_stats->partitions = sink->started ? sink->part_count : 0;
}
