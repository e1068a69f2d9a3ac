/* The store thread: pieces to disk, states to the outbox, jobs to the uploader. The only thread that
 * waits for a disk and the only one with the database. */
#include "daemon/threads.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STORE_PIECES 64 /* between two turns of the clip store */
#define ARTIFACTS_AGAIN_NS (10 * NS_PER_S) /* when the disk did not take them */

struct storing {
    struct store *store;
    int64_t next_turn_ns;
    bool input_ended, stopping;
    struct outbox_books books; /* last known */
    struct artifact_set *artifacts; /* not on the disk yet */
    int64_t artifacts_at_ns;
};

static int64_t mono_now(void)
{
    struct clock_reading now;

    clock_read(&now);
    return now.mono_ns;
}

static void fill_stats(void *self, struct report *report)
{
    struct storing *storing = self;
    struct store *store = storing->store;

    clipstore_stats(store->clipstore, &report->store.clipstore);
    report->store.books_stale = clipstore_books(store->clipstore, &storing->books) < 0;
    report->store.books = storing->books;
    report->store.queued = spsc_count(store->in);
}

/* --- pieces --- */

static void give_back(struct storing *storing, struct recorder_block *block, const uint8_t *clip_id)
{
    struct spsc *back = storing->store->back;
    struct back_item *slot;

    /* The encoder always takes what comes back, so this wait is short. */
    while (!(slot = spsc_wait_room(back, SPSC_COMMAND, WORKER_TURN_MS)))
        worker_heartbeat(&storing->store->worker, fill_stats, storing);
    *slot = (struct back_item){ .block = block };
    if (clip_id)
        memcpy(slot->clip_id, clip_id, CLIP_ID_BYTES);
    spsc_put(back);
}

static void take_piece(struct storing *storing, const struct piece_item *item)
{
    struct store *store = storing->store;
    uint8_t clip_id[CLIP_ID_BYTES];

    if (item->end) {
        storing->input_ended = true;
        return;
    }
    memcpy(clip_id, item->piece.clip_id, CLIP_ID_BYTES);
    int code = clipstore_put(store->clipstore, &item->piece, mono_now());
    if (code < 0 && item->piece.kind == RECORDER_BEGIN)
        worker_log(&store->worker, LOG_WARNING, "store: clip refused: %s", strerror(-code));
    if (item->piece.block) /* FAILED has no bytes */
        give_back(storing, item->piece.block, NULL);
    if (code < 0)
        give_back(storing, NULL, clip_id);
}

static bool take_pieces(struct storing *storing)
{
    struct store *store = storing->store;
    const struct piece_item *item;
    int n = 0;

    while (n < STORE_PIECES && !storing->input_ended && (item = spsc_peek(store->in))) {
        take_piece(storing, item);
        spsc_pop(store->in);
        n++;
    }
    if (storing->input_ended && n) {
        int code = clipstore_end(store->clipstore, mono_now());
        if (code < 0)
            worker_log(&store->worker, LOG_ERROR, "store: flush: %s", strerror(-code));
        (void)worker_report(&store->worker, REPORT_ENDED, true);
        worker_reported(&store->worker);
    }
    return n > 0;
}

/* --- jobs and outcomes --- */

static bool take_outcomes(struct storing *storing)
{
    struct store *store = storing->store;
    const struct outcome *outcome;
    bool any = false;

    while ((outcome = spsc_peek(store->outcomes))) {
        clipstore_outcome(store->clipstore, outcome, mono_now());
        spsc_pop(store->outcomes);
        any = true;
    }
    return any;
}

static bool give_jobs(struct storing *storing)
{
    struct store *store = storing->store;
    struct job *slot;
    bool any = false;

    while (store->jobs && (slot = spsc_room(store->jobs, SPSC_ROW)) &&
           clipstore_next_job(store->clipstore, slot) == 1) {
        spsc_put(store->jobs);
        any = true;
    }
    return any;
}

/* --- orders --- */

static void where(struct storing *storing, const struct order *order)
{
    struct store *store = storing->store;
    struct report *report = worker_report(&store->worker, REPORT_DONE, true);
    int found = clipstore_find(store->clipstore, order->clip_id, &report->clip);

    report->ticket = order->ticket;
    report->code = found == 1 ? 0 : found == 0 ? -ENOENT : found;
    worker_reported(&store->worker);
}

static void retry(struct storing *storing, const struct order *order)
{
    struct store *store = storing->store;
    int code = clipstore_unpark(store->clipstore, order->has_clip ? order->clip_id : NULL);
    struct report *report = worker_report(&store->worker, REPORT_DONE, true);

    report->to = ORDER_RETRY;
    report->ticket = order->ticket;
    report->code = code;
    (void)snprintf(report->text, sizeof report->text, "%s",
                   code >= 0         ? ""
                   : code == -ENOENT ? "no such clip in this vehicle"
                   : code == -EPERM  ? "the clip is not parked, or its bytes are damaged"
                                     : strerror(-code));
    worker_reported(&store->worker);
}

/* What the disk does not take now is kept and tried again: a clip names its pack and databases. */
static void put_artifacts(struct storing *storing, int64_t now_ns)
{
    struct worker *worker = &storing->store->worker;

    if (!storing->artifacts || now_ns < storing->artifacts_at_ns)
        return;
    int code = clipstore_artifacts(storing->store->clipstore, storing->artifacts->items,
                                   storing->artifacts->count);
    if (code < 0)
        worker_log(worker, LOG_ERROR, "store: artifacts: %s", strerror(-code));
    storing->artifacts_at_ns = now_ns + ARTIFACTS_AGAIN_NS;
    if (code == 0 || code == -EBADMSG || code == -EINVAL || code == -ERANGE) {
        artifact_set_close(storing->artifacts);
        storing->artifacts = NULL;
    }
}

static void take_artifacts(struct storing *storing, struct artifact_set *set)
{
    artifact_set_close(storing->artifacts);
    storing->artifacts = set;
    storing->artifacts_at_ns = 0;
    put_artifacts(storing, mono_now());
}

static void serve_orders(struct storing *storing)
{
    struct worker *worker = &storing->store->worker;
    const struct order *order;

    worker_heartbeat(worker, fill_stats, storing);
    while ((order = worker_order(worker)) && order->kind != ORDER_STATS) {
        struct order copy = *order;
        worker_ordered(worker);
        if (copy.kind == ORDER_WHERE)
            where(storing, &copy);
        else if (copy.kind == ORDER_RETRY)
            retry(storing, &copy);
        else if (copy.kind == ORDER_RELOAD)
            take_artifacts(storing, copy.artifacts);
        else if (copy.kind == ORDER_STOP)
            storing->stopping = true;
    }
}

/* --- the loop --- */

static void sleep_until_something(struct storing *storing)
{
    struct store *store = storing->store;
    int fds[3] = { storing->input_ended ? -1 : spsc_fd(store->in), spsc_fd(store->outcomes),
                   store->jobs ? spsc_room_fd(store->jobs) : -1 };
    int64_t wait_ms = (storing->next_turn_ns - mono_now()) / NS_PER_MS + 1;

    if ((fds[0] >= 0 && spsc_arm(store->in)) || spsc_arm(store->outcomes))
        return;
    if (store->jobs && spsc_arm_room(store->jobs, SPSC_ROW))
        fds[2] = -1; /* there is room and no job: only a seal or an outcome makes one */
    if (wait_ms > 0)
        worker_sleep(&store->worker, fds, 3,
                     wait_ms < WORKER_TURN_MS ? (int)wait_ms : WORKER_TURN_MS);
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            spsc_quiet(fds[i]);
}

void *store_run(void *argument)
{
    struct storing storing = { .store = argument };
    struct store *store = storing.store;

    take_artifacts(&storing, store->artifacts);
    store->artifacts = NULL;
    while (!storing.stopping) {
        bool busy = take_pieces(&storing);
        busy |= take_outcomes(&storing);
        busy |= give_jobs(&storing);
        int64_t now_ns = mono_now();
        if (now_ns >= storing.next_turn_ns || busy)
            storing.next_turn_ns = clipstore_turn(store->clipstore, now_ns);
        put_artifacts(&storing, now_ns);
        serve_orders(&storing);
        if (!busy && !storing.stopping)
            sleep_until_something(&storing);
    }
    (void)take_outcomes(&storing); /* upload has ended before us: these are its last words */
    int code = clipstore_flush(store->clipstore, mono_now());
    if (code < 0)
        worker_log(&store->worker, LOG_ERROR, "store: last flush: %s", strerror(-code));
    artifact_set_close(storing.artifacts);
    return NULL;
}
