/* worker - what every thread of the daemon has: a name, a queue of orders from main, a queue of
 * reports to main. Threads share nothing else but the queues of the data path. A worker answers
 * ORDER_STATS within its turn, and that answer is its heartbeat.
 * Functions marked W are called by the worker's own thread, M by main. */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H
#include "daemon/merge.h"
#include "daemon/pipeline.h"
#include "daemon/source.h"
#include "daemon/spsc.h"
#include "storage/clipstore.h"
#include "storage/recorder.h"
#include "uploader/uploader.h"

#include <pthread.h>

#define WORKER_LOG_MAX 256
#define WORKER_NOTE_MAX 256
#define WORKER_ORDERS 16
#define WORKER_REPORTS 32
#define WORKER_TURN_MS 500 /* a worker with nothing to do looks at its orders this often, at most */
#define WORKER_FDS_MAX (SOURCES_MAX + 8)

enum worker_id {
    WORKER_CAPTURE, WORKER_PIPELINE, WORKER_ENCODE, WORKER_STORE, WORKER_UPLOAD, WORKER_COUNT
};
const char *worker_name(enum worker_id id);
/* How long a worker may be silent: 5 s where data flows, 120 s where disk and network are. */
int64_t worker_patience_ns(enum worker_id id);

enum order_kind {
    ORDER_STATS,   /* all: answer with REPORT_STATS */
    ORDER_STOP,    /* capture, upload, store: finish and report ENDED */
    ORDER_RELOAD,  /* pipeline: `generation`; answer DONE. store: its artifacts; no answer */
    ORDER_TRIGGER, /* pipeline: answer DONE */
    ORDER_WHERE,   /* store: answer DONE with `clip` */
    ORDER_RETRY,   /* store: answer DONE; code is how many clips, or an error */
    ORDER_STATUS,  /* upload: send `status`; no answer */
    ORDER_LINK,    /* pipeline: `link`; no answer */
};

struct order {
    enum order_kind kind;
    uint64_t ticket; /* comes back in DONE */
    union {
        const struct generation *generation;
        struct {
            int64_t pre_ns, post_ns;
            uint8_t priority;
            char note[WORKER_NOTE_MAX];
        } trigger;
        struct {
            bool has_clip; /* RETRY: false is all */
            uint8_t clip_id[CLIP_ID_BYTES];
        };
        struct artifact_set *artifacts; /* store: taken over */
        struct wire_status status;
        struct {
            uint8_t source;
            struct clip_interface interface;
        } link;
    };
};

struct capture_stats {
    uint32_t source_count;
    struct source_stats sources[SOURCES_MAX];
    uint64_t dropped_queue[SOURCES_MAX]; /* frames that found the queue full */
    uint64_t stamps_replaced; /* impossible even after a clock event: our own reading instead */
    uint64_t clock_events, suspends;
    int64_t offset_ns; /* mono - wall in force */
};

struct flow_stats { /* pipeline thread: its merge and the queue behind it */
    struct merge_stats merge;
    struct pipeline_stats pipeline;
    uint64_t dropped_queue[SOURCES_MAX]; /* rows that found the queue to the encoder full */
    uint32_t queued; /* of the queue before it, now */
    uint32_t generation;
    int64_t offset_ns, mono_ns; /* in force; of the last step */
};

struct encode_stats {
    struct recorder_stats recorder;
    uint32_t queued;
};

struct store_stats {
    struct clipstore_stats clipstore;
    struct outbox_books books;
    bool books_stale; /* the outbox cannot be read now: `books` are the last known, or zero */
    uint32_t queued;
};

enum report_kind {
    REPORT_STATS, /* the heartbeat */
    REPORT_DONE,  /* an order with an answer: code, text, clip */
    REPORT_ENDED, /* the data came to its end here: nothing more follows downstream */
    REPORT_FAILED,/* the daemon cannot go on: text */
    REPORT_LOG,   /* level, text */
};

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6 };

struct report {
    enum report_kind kind;
    enum order_kind to; /* DONE of the store: which order it answers */
    uint64_t ticket;
    int code;
    enum log_level level;
    char text[WORKER_LOG_MAX];
    union {
        struct capture_stats capture;
        struct flow_stats flow;
        struct encode_stats encode;
        struct store_stats store;
        struct uploader_stats upload;
        struct outbox_clip clip;
    };
};

struct worker {
    enum worker_id id;
    struct spsc *orders, *reports;
    pthread_t thread;
    bool started;
    uint64_t lost_reports; /* W: logs that found no room */
};

int worker_open(struct worker *worker, enum worker_id id);
void worker_close(struct worker *worker);
/* M. The thread blocks all signals. Returns 0 or a negative errno. */
int worker_start(struct worker *worker, void *(*run)(void *), void *argument);
void worker_join(struct worker *worker);

/* M. False: the worker's queue of orders is full; nothing was sent. */
bool worker_send(struct worker *worker, const struct order *order);
/* M. Copies the next report: 1, or 0. */
int worker_hear(struct worker *worker, struct report *ret_report);

/* W. The next order, borrowed until worker_ordered; NULL when there is none. */
const struct order *worker_order(struct worker *worker);
void worker_ordered(struct worker *worker);
/* W. A zeroed report to fill; worker_reported sends it. NULL when main does not keep up: only a
 * REPORT_LOG may then be given up; ENDED, FAILED and DONE are waited for with `must`. */
struct report *worker_report(struct worker *worker, enum report_kind kind, bool must);
void worker_reported(struct worker *worker);
void worker_log(struct worker *worker, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void worker_failed(struct worker *worker, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* W. Answers an order. */
void worker_done(struct worker *worker, uint64_t ticket, int code, const char *text);

/* W. Answers ORDER_STATS while it is the next order; other orders stay for the caller. */
void worker_heartbeat(struct worker *worker, void (*fill)(void *self, struct report *report),
                      void *self);
/* W. What is left to do when the data is through: answers ORDER_STATS until ORDER_STOP. */
void worker_linger(struct worker *worker, void (*fill)(void *self, struct report *report),
                   void *self);

/* W. Sleeps until one of the descriptors is readable or an order comes, at most timeout_ms. The
 * caller has armed its queues; bells are quieted here. Descriptors below 0 are left out. */
void worker_sleep(struct worker *worker, const int *fds, uint32_t count, int timeout_ms);

#endif
