/* scheduler - decides what is sent next. Pure: no clock, no I/O, no randomness; the uploader asks
 * scheduler_next, does it, and tells scheduler_sent and scheduler_report what became of it.
 *
 *   a clip:  QUEUED -> (artifacts) -> OPEN: chunks -> manifest-final -> WAITING -> gone
 *                                       ^---- missing, answered to the latest ask ----'
 * Rules:
 *  1. Order is (priority, age). At most SCHEDULER_OPEN_MAX clips are open, one of them kept for
 *     PRIORITY_CRASH.
 *  2. In flight: at most max(one chunk, 5 s of the rate that reports show, which is below the one
 *     allowed where the link is slower), so that a slow link neither times out nor keeps what is
 *     urgent waiting behind what was handed over before.
 *  3. A clip's artifacts have delivery reports before its manifest-open; all its chunks have them
 *     before its manifest-final, which is ask 0.
 *  4. Without an answer it asks again after 1, 2, 4 .. 24 h of connection, at most 100 an hour.
 *     Only the answer to the latest ask makes it send; a `missing` without an ask makes it ask.
 *  5. Only a receipt with the SHA-256 of our own manifest-final ends a clip. */
#ifndef UPLOADER_SCHEDULER_H
#define UPLOADER_SCHEDULER_H
#include "proto/frame.h"
#include "proto/job.h"

#define SCHEDULER_OPEN_MAX 4
#define SCHEDULER_CLIPS_MAX 384
#define SCHEDULER_FLIGHT_MAX 64
#define SCHEDULER_AGAIN_MAX (WIRE_RANGES_MAX + SCHEDULER_FLIGHT_MAX)
#define SCHEDULER_WANTS_MAX 64    /* artifacts asked for by receipts */
#define SCHEDULER_KNOWN_MAX 128   /* artifacts delivered in this run; more are sent twice */
#define SCHEDULER_GONE_MAX 64
#define SCHEDULER_OUTCOMES 512
#define SCHEDULER_ASKS_PER_HOUR 100
#define SCHEDULER_FLIGHT_NS (5 * NS_PER_S)
#define SCHEDULER_FIRST_BYTES 65536 /* in flight before the first report */
#define SCHEDULER_ASK_FIRST_NS (3600 * NS_PER_S)
#define SCHEDULER_ASK_LAST_NS (24 * 3600 * NS_PER_S)

struct scheduler_config {
    int64_t bytes_per_s;  /* allowed on the link, for rule 2 */
    int64_t ask_first_ns; /* 0: SCHEDULER_ASK_FIRST_NS; tests and demos ask sooner */
    bool receipts;        /* false: a clip ends when manifest-final is reported (broker_ack) */
    bool ship_artifacts;
};

enum scheduler_what {
    SCHEDULER_ARTIFACT = 1, /* sha256 */
    SCHEDULER_OPEN,         /* manifest-open of final.about */
    SCHEDULER_CHUNK,        /* segment, index */
    SCHEDULER_FINAL,
    SCHEDULER_QUESTION,     /* ask */
    SCHEDULER_GONE,         /* gone */
};

struct scheduler_action {
    enum scheduler_what what;
    uint32_t token;                 /* names it in scheduler_report; not 0 */
    const struct wire_final *final; /* of the clip; valid until the next put, report or receipt */
    uint8_t segment;
    uint32_t index;
    uint32_t ask;
    bool again; /* a chunk that was sent before */
    uint8_t sha256[SHA256_BYTES];
    struct wire_gone gone;
    uint32_t bytes; /* about how much it takes of the link */
};

enum scheduler_result { SCHEDULER_DONE, SCHEDULER_RETRY, SCHEDULER_POISON };

struct scheduler_stats {
    uint32_t clips, open, waiting, in_flight;
    int64_t in_flight_bytes;
    uint64_t questions, chunks_again, receipts_stale, receipts_wrong_hash, receipts_unknown;
    uint64_t artifacts_lost; /* asked for or needed, but not sendable */
};

struct scheduler;

/* Returns NULL when memory is short. */
struct scheduler *scheduler_open(const struct scheduler_config *config);
void scheduler_close(struct scheduler *scheduler);

/* 0; -ENOBUFS: full, come back when a clip has ended; -EINVAL: the job is not well formed. */
int scheduler_put(struct scheduler *scheduler, const struct job *job, int64_t now_ns);
/* Time counts for questions only while connected. */
void scheduler_connected(struct scheduler *scheduler, bool connected, int64_t now_ns);

/* 1 with what is to be sent next, 0 when nothing may be sent now. Changes nothing. */
int scheduler_next(struct scheduler *scheduler, int64_t now_ns,
                   struct scheduler_action *ret_action);
/* The action was handed to the transport; a report will follow. */
void scheduler_sent(struct scheduler *scheduler, const struct scheduler_action *action,
                    int64_t now_ns);
/* The action cannot be done: the file is not what the outbox says (the clip is parked), or an
 * artifact is not there (the clip goes on without). */
void scheduler_refuse(struct scheduler *scheduler, const struct scheduler_action *action,
                      const char *reason);
void scheduler_report(struct scheduler *scheduler, uint32_t token, enum scheduler_result result,
                      const char *reason, int64_t now_ns);
void scheduler_receipt(struct scheduler *scheduler, const struct wire_receipt *receipt,
                       int64_t now_ns);
/* Receipts are heard from now on, after a time in which they were not: what was said meanwhile is
 * asked for, at once instead of in an hour. */
void scheduler_hears(struct scheduler *scheduler, int64_t now_ns);
/* For what the uploader itself has to tell the store. 0 or -ENOBUFS. */
int scheduler_tell(struct scheduler *scheduler, const struct outcome *outcome);
int scheduler_take(struct scheduler *scheduler, struct outcome *ret_outcome); /* 1, 0 */

/* When the next question is due if connection lasts, or INT64_MAX. */
int64_t scheduler_wake(const struct scheduler *scheduler, int64_t now_ns);
void scheduler_stats(const struct scheduler *scheduler, struct scheduler_stats *ret_stats);

#endif
