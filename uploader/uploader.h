/* uploader - jobs in, outcomes out: reads sealed segments, sends them by the scheduler's order and
 * the link's rate, waits for delivery reports, asks for receipts and answers what they ask for.
 * Owns the transport. It reads segment and artifact files; it never writes nor deletes one.
 * Time comes in; the only waiting is inside the transport's poll. Owner: the upload thread. */
#ifndef UPLOADER_UPLOADER_H
#define UPLOADER_UPLOADER_H
#include "proto/job.h"
#include "uploader/rate.h"
#include "uploader/scheduler.h"
#include "uploader/transport.h"

struct uploader_config {
    const char *clips_dir, *artifacts_dir; /* of the clip store */
    struct rate_config rate;               /* of the link; burst at least one chunk value */
    uint64_t seed;                         /* of the back-off's jitter: random on live sources */
    bool ship_artifacts;                   /* false: databases stay in the car by policy */
    bool receipts;                         /* false: delete_after broker_ack, nothing is asked */
    int64_t ask_first_ns;                  /* 0: an hour */
    /* Offsets of receipts partitions stored by the store; called inside uploader_turn. */
    int (*stored_offset)(void *argument, int32_t partition, int64_t *ret_offset);
    void *argument;
};

struct uploader_stats {
    struct scheduler_stats scheduler;
    struct transport_stats transport;
    uint64_t bytes_sent, chunks_sent, chunks_again, artifacts_sent, questions, gones, statuses;
    uint64_t backoffs, parked, receipts_foreign, receipts_stale, receipts_wrong_hash;
};

struct uploader;

/* Takes over `transport`, also on failure. */
int uploader_open(const struct uploader_config *config, struct transport transport, int64_t now_ns,
                  struct err *err, struct uploader **ret_uploader);
/* Gives the transport flush_ms for open reports; jobs left are simply gone: the outbox has them. */
void uploader_close(struct uploader *uploader, int flush_ms);

/* The car's status.v1: goes out as soon as the link takes it, before clips; a later one replaces one
 * that still waits. */
void uploader_status(struct uploader *uploader, const struct wire_status *status);

/* 0; -EAGAIN when the scheduler is full: keep the job and come back. A job that makes no legal
 * manifest is an outcome: the clip is parked with that reason. */
int uploader_put(struct uploader *uploader, const struct job *job, int64_t now_ns);
/* Sends what may be sent, takes reports and receipts, waiting at most wait_ms for the first report.
 * Returns when it wants to be called at the latest (connection permitting). */
int64_t uploader_turn(struct uploader *uploader, int wait_ms, int64_t now_ns);
/* 1 with the next outcome, 0. Take all after each turn: the queue holds SCHEDULER_OUTCOMES, and while
 * it is full nothing is sent. */
int uploader_take(struct uploader *uploader, struct outcome *ret_outcome);
void uploader_stats(const struct uploader *uploader, struct uploader_stats *ret_stats);

#endif
