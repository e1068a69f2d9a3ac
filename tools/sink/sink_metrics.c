/* OpenMetrics text of the sink: one table, so that a counter without a meaning cannot appear. */
#include "tools/sink/sink.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct metric {
    const char *name, *help;
    size_t offset; /* of a uint64_t in struct sink_stats */
};
#define METRIC(field, name, help) { name, help, offsetof(struct sink_stats, field) }

static const struct metric counters[] = {
    METRIC(messages, "messages", "Messages of clip.v1 taken."),
    METRIC(message_bytes, "message_bytes", "Bytes of their values."),
    METRIC(assembler.chunks, "chunks", "Chunks of clips not yet stored."),
    METRIC(assembler.duplicate_chunks, "duplicate_chunks", "Of these, held already."),
    METRIC(assembler.stored_before, "stored_before", "Messages of clips stored before."),
    METRIC(assembler.stored, "clips_stored", "Clips stored whole."),
    METRIC(assembler.raw_only, "clips_raw_only", "Of these, without decoded messages."),
    METRIC(assembler.quarantined, "clips_quarantined", "Clips of other or unreadable content."),
    METRIC(assembler.not_kept, "quarantine_refused", "Clips for whose quarantine there was no room."),
    METRIC(assembler.bad_segments, "bad_segments", "Segments without their SHA-256: asked again."),
    METRIC(assembler.publish_retries, "publish_retries", "Tries to store that failed."),
    METRIC(assembler.partial, "clips_partial", "Times that a clip became partial."),
    METRIC(assembler.released, "clips_released", "Partial clips put down as CLIP.part."),
    METRIC(assembler.resumed, "clips_resumed", "Partial clips gone on with."),
    METRIC(assembler.gone, "clips_gone", "Partial clips that the car no longer has."),
    METRIC(assembler.receipts_complete, "receipts_complete", "Receipts that say complete."),
    METRIC(assembler.receipts_missing, "receipts_missing", "Receipts that say missing."),
    METRIC(outgoing.receipts, "receipts_delivered", "Receipts with a delivery report."),
    METRIC(outgoing.announcements, "announcements_delivered", "dataset.v1 with a report."),
    METRIC(outgoing.dead_letters, "dead_letters_delivered", "Dead letters with a report."),
    METRIC(outgoing.retried, "words_retried", "Own messages sent again."),
    METRIC(outgoing.poisoned, "words_poisoned", "Own messages that the broker refuses for good."),
    METRIC(dropped_words, "words_dropped", "Own messages that found no room."),
    METRIC(artifacts.stored, "artifacts_stored", "Databases and packs received."),
    METRIC(artifacts.refused, "artifacts_refused", "Of these, with another SHA-256 than named."),
    METRIC(artifacts.damaged, "artifacts_damaged", "Artifacts damaged in the dataset."),
    METRIC(publish.exported, "mcap_written", "MCAP files written."),
    METRIC(publish.without_mcap, "mcap_failed", "Clips stored without MCAP."),
    METRIC(publish.unusable_databases, "databases_unusable", "Databases that do not load."),
    METRIC(publish.frames, "frames", "Frames exported."),
    METRIC(publish.decoded, "frames_decoded", "Of these, known to a database."),
    METRIC(offsets_none, "offsets_none", "Partitions begun at the start: nothing committed."),
    METRIC(offsets_beyond, "offsets_beyond", "The same: the committed offset is beyond the log."),
    METRIC(offsets_lost, "offsets_lost", "The same: the committed offset left the log."),
    METRIC(rebalances, "rebalances", "Assignments by the group."),
    METRIC(stalls, "stalls", "Pauses because disk or broker refused."),
    METRIC(errors, "errors", "Errors of disk and broker."),
    METRIC(commits, "commits", "Offset commits."),
    METRIC(purged, "cache_purged", "Cached segments below the committed offset."),
    METRIC(statuses, "statuses", "Session clocks stored from status.v1."),
    METRIC(drops_stored, "drops_stored", "Clips taken from the drop folder."),
    METRIC(drops_refused, "drops_refused", "Clips in the drop folder that were refused."),
};

static void put_counters(FILE *file, const struct sink_stats *stats)
{
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        uint64_t value;
        memcpy(&value, (const char *)stats + counters[i].offset, sizeof value);
        (void)fprintf(file, "# TYPE roadloop_sink_%s counter\n# HELP roadloop_sink_%s %s\n"
                      "roadloop_sink_%s_total %" PRIu64 "\n", counters[i].name, counters[i].name,
                      counters[i].help, counters[i].name, value);
    }
    (void)fprintf(file, "# TYPE roadloop_sink_dead_letters counter\n"
                  "# HELP roadloop_sink_dead_letters Messages refused, by reason.\n");
    for (unsigned i = 0; i < SINK_REFUSALS; i++)
        (void)fprintf(file, "roadloop_sink_dead_letters_total{reason=\"%s\"} %" PRIu64 "\n",
                      sink_refusal_name(i), stats->refused[i]);
}

static void put_gauge(FILE *file, const char *name, const char *help, int64_t value)
{
    (void)fprintf(file, "# TYPE roadloop_sink_%s gauge\n# HELP roadloop_sink_%s %s\n"
                  "roadloop_sink_%s %" PRId64 "\n", name, name, help, name, value);
}

static void put_gauges(FILE *file, const struct sink_stats *stats)
{
    put_gauge(file, "open_clips", "Clips under assembly.", stats->assembler.open_clips);
    put_gauge(file, "partial_clips_now", "Of these, partial.", stats->assembler.partial_clips);
    put_gauge(file, "open_bytes", "Declared bytes of open clips.", stats->assembler.open_bytes);
    put_gauge(file, "words_waiting", "Own messages without a report.", stats->outgoing.waiting);
    put_gauge(file, "cache_segments", "Segments in the cache.", stats->cache_segments);
    put_gauge(file, "partitions", "Partitions being read.", stats->partitions);
    put_gauge(file, "degraded", "1 while disk or broker refuse.", stats->degraded);
}

int sink_write_metrics(const struct sink *sink, const char *path)
{
    char temp[PATH_MAX];
    struct sink_stats stats;

    sink_stats(sink, &stats);
    if ((size_t)snprintf(temp, sizeof temp, "%s.new", path) >= sizeof temp)
        return -ENAMETOOLONG;
    FILE *file = fopen(temp, "we");
    if (!file)
        return -errno;
    put_counters(file, &stats);
    put_gauges(file, &stats);
    (void)fprintf(file, "# EOF\n");
    int rc = ferror(file) ? -EIO : 0;
    if (fclose(file))
        rc = -errno;
    return rc ? rc : (rename(temp, path) ? -errno : 0);
}
