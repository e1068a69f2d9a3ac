/* app - the daemon put together: configuration, session, objects, queues, threads; and the loop of
 * the main thread. One object, owned by main.
 *
 *  STARTING --app_start--> RUNNING --end of the recording--> ENDED (with --once: as below)
 *     any --SIGTERM, --once and nothing left to deliver--> STOPPING: capture ends, the end runs
 *     through pipeline, encode and store; then upload, then store, then encode stop; joined. */
#ifndef DAEMON_APP_H
#define DAEMON_APP_H
#include "daemon/config.h"
#include "daemon/generation.h"
#include "daemon/log.h"
#include "daemon/playback.h"
#include "daemon/snapshot.h"
#include "daemon/threads.h"

#define APP_STOP_NS (4 * NS_PER_S) /* SIGTERM to exit, whatever hangs (TimeoutStopSec=4) */
#define APP_TICK_NS NS_PER_S
#define APP_OFFSETS_MAX 256 /* partitions of receipts whose place is remembered */

struct app_options {
    const char *config;
    bool once; /* a recording: exit when all is sealed and delivered */
};

struct app {
    struct app_options options;
    struct config config;
    struct log log;
    struct diags diags;
    struct session session;
    struct generation *generation, *next; /* next: sent to the pipeline, no answer yet */
    struct playback *playback; /* NULL: live */
    struct source_table sources;

    struct spsc *capture_flow, *flow_encode, *encode_store, *back, *jobs, *outcomes;
    struct capture capture;
    struct flow flow;
    struct encode encode;
    struct store store;
    struct upload upload;
    struct worker *workers[WORKER_COUNT];
    int64_t offsets[APP_OFFSETS_MAX]; /* upload: where reading of receipts goes on; -1: none */

    struct control *control;
    int epoll_fd, signal_fd, timer_fd;
    int link_fd; /* of link.h; -1 until it is needed */
    int64_t next_links_ns;
    struct snapshot snapshot;
    int64_t started_ns, heard_ns[WORKER_COUNT], next_metrics_ns, stop_by_ns;
    int64_t watchdog_ns; /* half of WATCHDOG_USEC; 0: none asked for */
    int64_t next_watchdog_ns;
    bool ended[WORKER_COUNT], stopping, upload_told, all_told, failed;
    bool store_fresh;        /* a report of the store came after its input had ended */
    struct config *next_config; /* of a reload under way, else NULL */
    uint64_t reload_ticket;  /* who asked for it; 0: SIGHUP */
    bool stuck_told[WORKER_COUNT];
    int64_t next_status_ns;  /* status.v1: when, and what was told last */
    uint32_t told_generation;
    bool store_heard;        /* its first figures came: before that a status would say nothing */
    enum wire_state told_state;
    int status; /* of the process: 0 good, 1 something failed, 2 bad input */
};

/* Opens all objects; on failure says why in the log. Returns 0 or the exit status. To be closed either
 * way. */
int app_open(struct app *app, const struct app_options *options);
/* Starts the threads, runs until the end, joins them. Returns the exit status. */
int app_run(struct app *app);
void app_close(struct app *app);

/* --- app_status.c, for app_loop.c --- */

/* Sends status.v1 by the upload thread when it is due; without a transport it does nothing. */
void app_tell_status(struct app *app, int64_t now_ns);

/* --- app_links.c, for app_loop.c --- */

/* Asks the kernel about the CAN interfaces when it is due, and tells the pipeline. */
void app_ask_links(struct app *app, int64_t now_ns);

/* --- app_reload.c, for app_loop.c --- */

/* Compiles the configuration anew and sends it to the pipeline; `ticket` of the control socket, or
 * 0 for SIGHUP. What is refused is logged, counted and answered here. */
void app_reload(struct app *app, uint64_t ticket);
/* The pipeline's answer. */
void app_reloaded(struct app *app, const struct report *report);
/* Answers a control ticket (0: nobody) with {"ok":true} or {"error":TEXT}. */
void app_answer(struct app *app, uint64_t ticket, int code, const char *text);

#endif
