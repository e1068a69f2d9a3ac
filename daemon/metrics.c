/* The metrics: one table. docs/METRICS.md has a row for each family; test_metrics holds them
 * together. */
#include "daemon/snapshot.h"

#include "proto/json.h"
#include "triggers/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define METRICS_TEXT_MAX 131072

enum metric_type { COUNTER, GAUGE };
enum metric_value { U64, U32, U8, I64, SECONDS, FLAG, RCVBUF, UP };
/* What a family has one value of. */
enum metric_each { ONE, SOURCE, WORKER, FAIL, RECORDER_REFUSAL, STORE_REFUSAL, REASON, BOOK };

struct metric {
    const char *name;
    enum metric_type type;
    enum metric_each each;
    enum metric_value value;
    size_t offset, stride; /* in struct snapshot, to the next of `each` */
    const char *help;
};

#define AT(field) offsetof(struct snapshot, field), 0
#define EACH(field) offsetof(struct snapshot, field[0]), sizeof(((struct snapshot *)0)->field[0])
#define OF_SOURCE(field) offsetof(struct snapshot, capture.sources[0].field), \
                         sizeof(struct source_stats)

#define EACH_INTERFACE(field) offsetof(struct snapshot, interfaces[0].field), \
                              sizeof(struct clip_interface)

static const struct metric metrics[] = {
    { "up", GAUGE, ONE, UP, AT(state), "1 while the daemon takes frames in." },
    { "uptime_seconds", GAUGE, ONE, SECONDS, AT(uptime_ns), "Since the start." },
    { "generation", GAUGE, ONE, U32, AT(generation), "Number of the packs and databases in force." },
    { "reloads", COUNTER, ONE, U64, AT(reloads), "Configurations taken over while running." },
    { "reloads_failed", COUNTER, ONE, U64, AT(reloads_failed),
      "Configurations refused while running; nothing changed." },
    { "heartbeat_age_seconds", GAUGE, WORKER, SECONDS, EACH(heartbeat_age_ns),
      "Since a thread answered last." },
    { "log_lines", COUNTER, ONE, U64, AT(log_lines), "Lines logged." },
    { "log_suppressed", COUNTER, ONE, U64, AT(log_suppressed), "Lines held back by the rate limit." },
    { "memory_planned_bytes", GAUGE, ONE, U64, AT(memory_bytes), "Memory fixed at start." },

    { "source_up", GAUGE, SOURCE, FLAG, OF_SOURCE(state), "1 while the interface is up." },
    { "source_frames", COUNTER, SOURCE, U64, OF_SOURCE(frames), "Frames received." },
    { "source_bytes", COUNTER, SOURCE, U64, OF_SOURCE(bytes), "Row bytes received: 16 + length." },
    { "source_error_frames", COUNTER, SOURCE, U64, OF_SOURCE(error_frames), "Error frames received." },
    { "source_tx_frames", COUNTER, SOURCE, U64, OF_SOURCE(tx_frames), "Frames sent by this host." },
    { "source_dropped_kernel", COUNTER, SOURCE, U64, OF_SOURCE(dropped_kernel),
      "Frames that found the socket's buffer full." },
    { "source_dropped_controller", COUNTER, SOURCE, U64, OF_SOURCE(dropped_controller),
      "Error frames that say the CAN controller overran." },
    { "source_dropped_queue", COUNTER, SOURCE, U64, EACH(capture.dropped_queue),
      "Frames that found the queue to the pipeline full." },
    { "source_malformed", COUNTER, SOURCE, U64, OF_SOURCE(malformed), "Datagrams that are no frame." },
    { "source_stamps_origin", GAUGE, SOURCE, U8, OF_SOURCE(origin),
      "Where stamps come from: 1 our own reading, 2 the kernel, 3 the controller." },
    { "source_stamps_missing", COUNTER, SOURCE, U64, OF_SOURCE(stamps_missing),
      "Frames without a kernel stamp; our own reading stands." },
    { "source_stamps_hardware", COUNTER, SOURCE, U64, OF_SOURCE(stamps_hardware),
      "Frames with the controller's stamp." },
    { "source_link_changes", COUNTER, SOURCE, U64, OF_SOURCE(link_changes),
      "Times the interface came or went." },
    { "source_rebinds", COUNTER, SOURCE, U64, OF_SOURCE(rebinds),
      "Times a missing interface was bound again." },
    { "source_receive_buffer_bytes", GAUGE, SOURCE, RCVBUF, OF_SOURCE(rcvbuf_bytes),
      "Receive buffer that the kernel gave." },
    { "interface_frames", COUNTER, SOURCE, U64, EACH_INTERFACE(rx_frames),
      "Frames that the interface received, by the kernel's count." },
    { "interface_errors", COUNTER, SOURCE, U64, EACH_INTERFACE(rx_errors),
      "Receive errors that the interface counts." },
    { "interface_dropped", COUNTER, SOURCE, U64, EACH_INTERFACE(rx_dropped),
      "Frames that the interface dropped." },
    { "interface_overruns", COUNTER, SOURCE, U64, EACH_INTERFACE(rx_overruns),
      "Times that the controller overran." },
    { "interface_missed", COUNTER, SOURCE, U64, EACH_INTERFACE(rx_missed),
      "Frames that the hardware missed." },
    { "interface_bus_state", GAUGE, SOURCE, U8, EACH_INTERFACE(bus_state),
      "State of the CAN controller: 0 unknown, 1 error-active, 2 warning, 3 passive, 4 bus-off, 5 stopped, 6 sleeping." },
    { "interface_bitrate", GAUGE, SOURCE, U32, EACH_INTERFACE(bitrate),
      "Bit rate of the CAN controller." },
    { "interface_tx_error_count", GAUGE, SOURCE, U32, EACH_INTERFACE(tx_error_count),
      "Transmit error counter of the CAN controller." },
    { "interface_rx_error_count", GAUGE, SOURCE, U32, EACH_INTERFACE(rx_error_count),
      "Receive error counter of the CAN controller." },
    { "interface_restarts", COUNTER, SOURCE, U32, EACH_INTERFACE(restarts),
      "Restarts of the CAN controller after bus-off." },
    { "interface_bus_errors", COUNTER, SOURCE, U32, EACH_INTERFACE(bus_errors),
      "Bus errors that the CAN controller counts." },
    { "interface_arbitration_lost", COUNTER, SOURCE, U32, EACH_INTERFACE(arbitration_lost),
      "Arbitrations that this host lost." },
    { "interface_warnings", COUNTER, SOURCE, U32, EACH_INTERFACE(warnings),
      "Times that the CAN controller went to error-warning." },
    { "interface_passives", COUNTER, SOURCE, U32, EACH_INTERFACE(passives),
      "Times that the CAN controller went to error-passive." },
    { "interface_bus_offs", COUNTER, SOURCE, U32, EACH_INTERFACE(bus_offs),
      "Times that the CAN controller went bus-off." },

    { "clock_events", COUNTER, ONE, U64, AT(capture.clock_events), "Steps of the wall clock." },
    { "clock_suspends", COUNTER, ONE, U64, AT(capture.suspends), "Suspends of the machine." },
    { "stamps_replaced", COUNTER, ONE, U64, AT(capture.stamps_replaced),
      "Impossible stamps, replaced by our own reading." },
    { "merge_late", COUNTER, ONE, U64, AT(flow.merge.late),
      "Frames behind the merge: stored, not shown to rules." },
    { "merge_forced", COUNTER, ONE, U64, AT(flow.merge.forced),
      "Frames let go early because the merge was full." },
    { "merge_held", GAUGE, ONE, U32, AT(flow.merge.held), "Frames waiting in the merge." },

    { "rows", COUNTER, ONE, U64, AT(flow.pipeline.rows), "Frames that became rows." },
    { "rows_clamped", COUNTER, ONE, U64, AT(flow.pipeline.clamped),
      "Rows whose stamp lay up to 50 ms before the one before." },
    { "discontinuities", COUNTER, ONE, U64, AT(flow.pipeline.discontinuities),
      "Larger backward steps and clock events; each starts a new offset." },
    { "rows_dropped_queue", COUNTER, SOURCE, U64, EACH(flow.dropped_queue),
      "Rows that found the queue to the encoder full." },
    { "rows_dropped_memory", COUNTER, ONE, U64, AT(encode.recorder.rows_dropped),
      "Rows lost because no memory was left for their block." },
    { "events", COUNTER, ONE, U64, AT(flow.pipeline.events), "Fires of rules, suppressed ones too." },
    { "events_in_clips", COUNTER, ONE, U64, AT(flow.pipeline.in_clips), "Events that a clip lists." },
    { "events_failed", COUNTER, FAIL, U64, EACH(flow.pipeline.failed), "Events without a clip." },
    { "events_suppressed", COUNTER, REASON, U64, EACH(flow.pipeline.suppressed),
      "Events held back by their rule." },
    { "triggers_manual", COUNTER, ONE, U64, AT(flow.pipeline.manual), "Clips asked for by hand." },
    { "clips_opened", COUNTER, ONE, U64, AT(flow.pipeline.clips_opened), "Clips begun." },
    { "clips_open", GAUGE, ONE, U32, AT(flow.pipeline.clips_open), "Clips under way." },
    { "clips_continued", COUNTER, ONE, U64, AT(flow.pipeline.clips_continued),
      "Clips cut at their maximum and continued by the next." },
    { "clips_joined", COUNTER, ONE, U64, AT(flow.pipeline.joins), "Events that joined a clip." },
    { "clips_built", COUNTER, ONE, U64, AT(encode.recorder.clips_sealed), "Clips encoded to the end." },
    { "clips_truncated", COUNTER, ONE, U64, AT(encode.recorder.clips_truncated),
      "Of these, cut short: the store was too slow for the pins." },
    { "clips_pre_truncated", COUNTER, ONE, U64, AT(encode.recorder.clips_pre_truncated),
      "Of these, with less pre-roll than asked: the ring did not reach back." },
    { "clips_failed_encode", COUNTER, RECORDER_REFUSAL, U64, EACH(encode.recorder.clips_failed),
      "Clips that the recorder gave up." },
    { "clips_failed_store", COUNTER, STORE_REFUSAL, U64, EACH(store.clipstore.clips_failed),
      "Clips that the store gave up." },

    { "ring_bytes", GAUGE, ONE, U64, AT(encode.recorder.ring_bytes), "Encoded pre-roll held." },
    { "ring_pinned_bytes", GAUGE, ONE, U64, AT(encode.recorder.pinned_bytes),
      "Blocks waiting for the store." },
    { "ring_open_bytes", GAUGE, ONE, U64, AT(encode.recorder.open_row_bytes), "Rows not encoded yet." },
    { "blocks", COUNTER, ONE, U64, AT(encode.recorder.groups), "Blocks encoded." },
    { "blocks_bytes", COUNTER, ONE, U64, AT(encode.recorder.group_bytes), "Their bytes." },
    { "blocks_plain", COUNTER, ONE, U64, AT(encode.recorder.groups_plain),
      "Blocks left plain because the encoder was behind." },
    { "blocks_evicted", COUNTER, ONE, U64, AT(encode.recorder.groups_evicted),
      "Blocks that left the ring." },

    { "segments_sealed", COUNTER, ONE, U64, AT(store.clipstore.segments_sealed),
      "Segments durable on disk." },
    { "segments_adopted", COUNTER, ONE, U64, AT(store.clipstore.adopted),
      "Segments found without a row at the start." },
    { "segments_interrupted", COUNTER, ONE, U64, AT(store.clipstore.interrupted),
      "Torn or missing segments, closed as interrupted." },
    { "segments_discarded", COUNTER, ONE, U64, AT(store.clipstore.discarded),
      "Torn segments thrown away, because the recording makes them again." },
    { "segments_repeated", COUNTER, ONE, U64, AT(store.clipstore.repeated),
      "Segments that a recording made again and that were sealed already." },
    { "store_unread", GAUGE, ONE, U64, AT(store.clipstore.unread),
      "Files that the disk did not give at the start." },
    { "segments_quarantined", COUNTER, ONE, U64, AT(store.clipstore.quarantined),
      "Segments whose bytes are not what their row says." },
    { "segments_lost", COUNTER, ONE, U64, AT(store.clipstore.lost), "Rows whose file was missing." },
    { "store_degraded", GAUGE, ONE, FLAG, AT(store.clipstore.degraded),
      "1 while the disk cannot take clips." },
    { "store_disk_bytes", GAUGE, ONE, I64, AT(store.clipstore.disk_bytes), "Segments on disk." },
    { "store_written_bytes", COUNTER, ONE, U64, AT(store.clipstore.written_bytes), "Flash written." },
    { "store_syncs", COUNTER, ONE, U64, AT(store.clipstore.syncs), "Syncs of files and folders." },
    { "store_commits", COUNTER, ONE, U64, AT(store.clipstore.commits), "Commits of the outbox." },
    { "store_rebuilt", COUNTER, ONE, U64, AT(store.clipstore.rebuilt),
      "Databases made anew from the segments." },
    { "outbox_clips", GAUGE, BOOK, U64, offsetof(struct snapshot, store.books.delivered),
      sizeof(uint64_t), "Clips of the outbox by what became of them." },
    { "outbox_stale", GAUGE, ONE, FLAG, AT(store.books_stale),
      "1 while the outbox cannot be read and its figures are the last known." },
    { "outbox_sealed", COUNTER, ONE, U64, AT(store.books.sealed), "Clips that the outbox ever took." },

    { "upload_connected", GAUGE, ONE, FLAG, AT(upload.transport.connected), "1 while the far end answers." },
    { "upload_bytes", COUNTER, ONE, U64, AT(upload.bytes_sent), "Bytes handed to the transport." },
    { "upload_chunks", COUNTER, ONE, U64, AT(upload.chunks_sent), "Chunks sent." },
    { "upload_chunks_again", COUNTER, ONE, U64, AT(upload.chunks_again), "Chunks sent more than once." },
    { "upload_artifacts", COUNTER, ONE, U64, AT(upload.artifacts_sent), "DBCs and packs sent." },
    { "upload_questions", COUNTER, ONE, U64, AT(upload.questions), "Receipts asked for again." },
    { "upload_backoffs", COUNTER, ONE, U64, AT(upload.backoffs), "Waits after a failure." },
    { "upload_parked", COUNTER, ONE, U64, AT(upload.parked), "Clips parked by a permanent error." },
    { "upload_retried", COUNTER, ONE, U64, AT(upload.transport.retried), "Messages to be sent again." },
    { "upload_receipts", COUNTER, ONE, U64, AT(upload.transport.receipts), "Receipts read." },
    { "upload_receipts_bad", COUNTER, ONE, U64, AT(upload.transport.receipts_bad),
      "Receipts that cannot be read." },
    { "upload_receipts_wrong_hash", COUNTER, ONE, U64, AT(upload.receipts_wrong_hash),
      "Receipts for other bytes than ours." },
    { "upload_in_flight_bytes", GAUGE, ONE, I64, AT(upload.transport.in_flight_bytes),
      "Handed over, no report yet." },

    { "control_requests", COUNTER, ONE, U64, AT(control.requests), "Requests on the control socket." },
    { "control_refused", COUNTER, ONE, U64, AT(control.refused), "Requests refused there." },
};
#define METRIC_COUNT (sizeof metrics / sizeof metrics[0])

const char *metrics_family(uint32_t i, const char **ret_type, const char **ret_help)
{
    if (i >= METRIC_COUNT)
        return NULL;
    *ret_type = metrics[i].type == COUNTER ? "counter" : "gauge";
    *ret_help = metrics[i].help;
    return metrics[i].name;
}

static uint32_t each_count(const struct metric *metric, const struct snapshot *snapshot)
{
    switch (metric->each) {
    case ONE: return 1;
    case SOURCE: return snapshot->sources.count;
    case WORKER: return WORKER_COUNT;
    case FAIL: return PIPELINE_FAIL_COUNT;
    case RECORDER_REFUSAL: return RECORDER_FAIL_COUNT;
    case STORE_REFUSAL: return CLIPSTORE_FAIL_COUNT;
    case REASON: return REASON_COUNT;
    case BOOK: return 6;
    }
    return 0;
}

/* In the order of struct outbox_books after `sealed`. */
static const char *book_name(uint32_t i)
{
    static const char *const names[] = { "delivered", "pending", "parked", "evicted", "expired",
                                         "erased" };
    return names[i];
}

static void put_label(struct json_text *text, const struct metric *metric,
                      const struct snapshot *snapshot, uint32_t i)
{
    switch (metric->each) {
    case ONE: break;
    case SOURCE:
        json_printf(text, "{source=\"%s\"}", snapshot->sources.items[i].name);
        break;
    case WORKER: json_printf(text, "{thread=\"%s\"}", worker_name((enum worker_id)i)); break;
    case FAIL:
        json_printf(text, "{reason=\"%s\"}", pipeline_fail_name((enum pipeline_fail)i));
        break;
    case RECORDER_REFUSAL:
        json_printf(text, "{reason=\"%s\"}", recorder_fail_name((enum recorder_fail)i));
        break;
    case STORE_REFUSAL:
        json_printf(text, "{reason=\"%s\"}", clipstore_fail_name((enum clipstore_fail)i));
        break;
    case REASON:
        json_printf(text, "{reason=\"%s\"}", rule_reason_name((enum rule_reason)i));
        break;
    case BOOK: json_printf(text, "{state=\"%s\"}", book_name(i)); break;
    }
}

static void put_value(struct json_text *text, const struct metric *metric, const char *at)
{
    switch (metric->value) {
    case U64: json_printf(text, " %" PRIu64 "\n", *(const uint64_t *)(const void *)at); break;
    case U32:
    case RCVBUF: json_printf(text, " %" PRIu32 "\n", *(const uint32_t *)(const void *)at); break;
    case U8: json_printf(text, " %d\n", *(const uint8_t *)(const void *)at); break;
    case I64: json_printf(text, " %" PRId64 "\n", *(const int64_t *)(const void *)at); break;
    case SECONDS: {
        int64_t ns = *(const int64_t *)(const void *)at;
        json_printf(text, " %" PRId64 ".%03d\n", ns / NS_PER_S, (int)(ns % NS_PER_S / NS_PER_MS));
        break;
    }
    case FLAG:
        /* A source's state is 0 when it is up; the other flags are bools. */
        json_printf(text, " %d\n", metric->each == SOURCE ? *at == SOURCE_UP : *at != 0);
        break;
    case UP:
        json_printf(text, " %d\n", *(const uint32_t *)(const void *)at == SNAPSHOT_RUNNING);
        break;
    }
}

static void put_metric(struct json_text *text, const struct metric *metric,
                       const struct snapshot *snapshot)
{
    const char *base = (const char *)snapshot + metric->offset;
    uint32_t count = each_count(metric, snapshot);

    json_printf(text, "# TYPE roadloop_%s %s\n# HELP roadloop_%s %s\n", metric->name,
                metric->type == COUNTER ? "counter" : "gauge", metric->name, metric->help);
    for (uint32_t i = 0; i < count; i++) {
        json_printf(text, "roadloop_%s%s", metric->name, metric->type == COUNTER ? "_total" : "");
        put_label(text, metric, snapshot, i);
        put_value(text, metric, base + i * metric->stride);
    }
}

int metrics_text(const struct snapshot *snapshot, char *text, size_t size)
{
    struct json_text out = { text, size, 0 };

    for (size_t i = 0; i < METRIC_COUNT; i++)
        put_metric(&out, &metrics[i], snapshot);
    json_printf(&out, "# EOF\n");
    return json_full(&out) ? -ENOBUFS : (int)out.length;
}

int metrics_file(const struct snapshot *snapshot, const char *path, struct err *err)
{
    static _Thread_local char text[METRICS_TEXT_MAX];
    char temporary[512];
    int size = metrics_text(snapshot, text, sizeof text);

    if (size < 0 || (size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >=
                        sizeof temporary)
        return err_plain(err, -ENAMETOOLONG, "metrics file %s: too long", path);
    FILE *file = fopen(temporary, "w");
    int code = file ? 0 : -errno;
    if (file && fwrite(text, 1, (size_t)size, file) != (size_t)size)
        code = -EIO;
    if (file && fclose(file) != 0)
        code = -errno;
    if (code == 0 && (chmod(temporary, 0644) < 0 || rename(temporary, path) < 0))
        code = -errno;
    if (code < 0) {
        (void)unlink(temporary);
        return err_plain(err, code, "metrics file %s: %s", path, strerror(-code));
    }
    return 0;
}
