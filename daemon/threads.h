/* threads - the five workers of the daemon and the queues between them. Each only hosts a pure
 * object: it moves items, keeps the policy of full queues, and answers orders.
 *
 *  capture --source_item--> pipeline --flow_item--> encode --piece_item--> store --job--> upload
 *                                                     ^------back_item------'  ^--outcome----'
 *
 * Live: a row that finds a queue full is dropped and counted, by source; commands have reserved room.
 * Recording: every put waits. The end of the data is an item of its own and runs through all. */
#ifndef DAEMON_THREADS_H
#define DAEMON_THREADS_H
#include "daemon/artifacts.h"
#include "daemon/clock.h"
#include "daemon/feed.h"
#include "daemon/worker.h"

#define CAPTURE_SLOTS 8192   /* 176 bytes each */
#define FLOW_SLOTS 8192      /* 160 bytes each */
#define PIECE_SLOTS 1024
#define BACK_SLOTS 2048      /* as many releases as pieces can be outstanding, and more */
#define JOB_SLOTS 8          /* DESIGN.md 5: few jobs are handed out */
#define OUTCOME_SLOTS 256
#define RESERVED_SLOTS 512   /* for commands: of CAPTURE_SLOTS and FLOW_SLOTS */
#define MERGE_FRAMES 8192

struct flow_item {
    bool end;
    struct recorder_command command;
};

struct piece_item {
    bool end;
    struct recorder_piece piece;
};

struct back_item {
    struct recorder_block *block; /* release; or NULL: refuse clip_id */
    uint8_t clip_id[CLIP_ID_BYTES];
};

struct capture {
    struct worker worker;
    struct spsc *out; /* source_item */
    struct source_handle sources[SOURCES_MAX];
    uint32_t source_count;
    bool live;
    int64_t reorder_ns;
    int64_t opened_ns; /* mono, before the first socket of a live source was opened */
};

struct flow {
    struct worker worker;
    struct spsc *in, *out; /* source_item -> flow_item */
    struct pipeline *pipeline;
    struct merge *merge; /* live only */
    struct feed feed;    /* recordings only */
    bool live;
    uint32_t generation; /* number in force at start */
    const struct source_table *sources;
};

struct encode {
    struct worker worker;
    struct spsc *in, *out, *back; /* flow_item -> piece_item; back_item from the store */
    struct recorder *recorder;
    bool live;
};

struct store {
    struct worker worker;
    struct spsc *in, *back, *jobs, *outcomes;
    struct clipstore *clipstore;
    struct artifact_set *artifacts; /* of the first generation, taken over; NULL: none */
};

struct upload {
    struct worker worker;
    struct spsc *jobs, *outcomes;
    struct uploader *uploader; /* NULL: transport none; outcomes never come */
};

/* Thread functions; the argument is the struct of that name, all of it open. Each runs until the
 * end of the data has passed (capture, pipeline, encode: then until ORDER_STOP), or ORDER_STOP. */
void *capture_run(void *argument);
void *flow_run(void *argument);
void *encode_run(void *argument);
void *store_run(void *argument);
void *upload_run(void *argument);

#endif
