/* snapshot - what main knows of all threads at one moment, from their last reports; rendered as
 * OpenMetrics text (metrics.c) and as the status JSON (status.c). A value; owner: main. */
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H
#include "daemon/control.h"
#include "daemon/worker.h"

#define SNAPSHOT_TEXT_MAX 256

enum snapshot_state {
    SNAPSHOT_STARTING, SNAPSHOT_RUNNING, SNAPSHOT_ENDED, SNAPSHOT_STOPPING, SNAPSHOT_STATE_COUNT
};
const char *snapshot_state_name(enum snapshot_state state);

struct snapshot {
    uint32_t state; /* enum snapshot_state */
    char vehicle[PSEUDONYM_MAX], session[2 * SESSION_ID_BYTES + 1], config[SNAPSHOT_TEXT_MAX];
    char transport[16];
    int64_t uptime_ns, wall_ns;
    bool clock_set;
    uint32_t generation;
    char digest[SHA256_HEX]; /* generation_digest of it */
    uint64_t reloads, reloads_failed;
    char reload_error[SNAPSHOT_TEXT_MAX];
    uint64_t log_lines, log_suppressed;
    uint64_t memory_bytes; /* planned at start: the sum of the table that doctor prints */
    int64_t heartbeat_age_ns[WORKER_COUNT];
    struct source_table sources;
    struct clip_interface interfaces[SOURCES_MAX]; /* live CAN sources; not known: never asked */
    struct capture_stats capture;
    struct flow_stats flow;
    struct encode_stats encode;
    struct store_stats store;
    struct uploader_stats upload;
    struct control_stats control;
};

/* Writes OpenMetrics 1.0 text with its "# EOF". Returns the length, or -ENOBUFS. */
int metrics_text(const struct snapshot *snapshot, char *text, size_t size);
/* The same into a file that readers never see half-written: a temporary name, then rename. */
int metrics_file(const struct snapshot *snapshot, const char *path, struct err *err);
/* Name of the i-th metric family without "roadloop_", its type and its help; NULL at the end. */
const char *metrics_family(uint32_t i, const char **ret_type, const char **ret_help);

/* One line of JSON for `roadloop status`. Returns the length, or -ENOBUFS. */
int status_json(const struct snapshot *snapshot, char *text, size_t size);
/* One line of JSON for `roadloop where`. */
int where_json(const struct outbox_clip *clip, char *text, size_t size);

#endif
