/* The upload thread: the uploader with its transport; the only thread with IP sockets. */
#include "daemon/threads.h"
#include "uploader/trouble.h"

#include <errno.h>
#include <string.h>

#define UPLOAD_BUSY_MS 50   /* in the transport's poll, while something is under way */
#define UPLOAD_IDLE_MS 100  /* receipts are looked for this often when nothing is */
#define UPLOAD_FLUSH_MS 500 /* at the end, for open reports */

struct uploading {
    struct upload *upload;
    struct job held;  /* the scheduler was full */
    bool has_held, stopping;
    uint32_t said; /* mask of the kinds of trouble that the log has since all went well */
};

static int64_t mono_now(void)
{
    struct clock_reading now;

    clock_read(&now);
    return now.mono_ns;
}

static void fill_stats(void *self, struct report *report)
{
    struct upload *upload = ((struct uploading *)self)->upload;

    if (upload->uploader)
        uploader_stats(upload->uploader, &report->upload);
}

static bool take_jobs(struct uploading *uploading)
{
    struct upload *upload = uploading->upload;
    const struct job *job;
    bool any = false;

    for (;;) {
        if (!uploading->has_held) {
            if (!(job = spsc_peek(upload->jobs)))
                return any;
            uploading->held = *job;
            uploading->has_held = true;
            spsc_pop(upload->jobs);
        }
        int code = uploader_put(upload->uploader, &uploading->held, mono_now());
        if (code == -EAGAIN)
            return any;
        uploading->has_held = false;
        any = true;
    }
}

static bool give_outcomes(struct uploading *uploading)
{
    struct upload *upload = uploading->upload;
    struct outcome *slot;
    bool any = false;

    /* Without room they stay in the uploader, which then sends nothing. */
    while ((slot = spsc_room(upload->outcomes, SPSC_ROW)) &&
           uploader_take(upload->uploader, slot) == 1) {
        if (slot->kind == OUTCOME_PARKED)
            worker_log(&upload->worker, LOG_WARNING, "upload: a clip is parked: %s", slot->reason);
        spsc_put(upload->outcomes);
        any = true;
    }
    return any;
}

static void serve_orders(struct uploading *uploading)
{
    struct worker *worker = &uploading->upload->worker;
    const struct order *order;

    worker_heartbeat(worker, fill_stats, uploading);
    while ((order = worker_order(worker)) && order->kind != ORDER_STATS) {
        uploading->stopping |= order->kind == ORDER_STOP;
        if (order->kind == ORDER_STATUS)
            uploader_status(uploading->upload->uploader, &order->status);
        worker_ordered(worker);
    }
}

static void say(struct uploading *uploading, const char *reason)
{
    const struct trouble *trouble = trouble_of(reason);

    if (!trouble || (uploading->said & (UINT32_C(1) << trouble->index)))
        return;
    uploading->said |= UINT32_C(1) << trouble->index;
    worker_log(&uploading->upload->worker, LOG_WARNING, "upload: %s: %s", trouble->name, reason);
    worker_log(&uploading->upload->worker, LOG_WARNING, "upload: %s: do: %s", trouble->name, trouble->remedy);
}

/* Each kind of trouble once, until nothing stands in the way any more. */
static void say_trouble(struct uploading *uploading, const struct transport_stats *stats)
{
    say(uploading, stats->last_error);
    say(uploading, stats->last_poison);
    if (stats->last_error[0] || !stats->connected)
        return;
    const struct trouble *poison = trouble_of(stats->last_poison);
    uint32_t kept = poison ? UINT32_C(1) << poison->index : 0; /* parked clips are still there */
    if (uploading->said & ~kept)
        worker_log(&uploading->upload->worker, LOG_INFO, "upload: goes on");
    uploading->said &= kept;
}

static void sleep_a_little(struct uploading *uploading)
{
    struct upload *upload = uploading->upload;
    int fd = uploading->has_held ? -1 : spsc_fd(upload->jobs);

    if (fd >= 0 && spsc_arm(upload->jobs))
        return;
    worker_sleep(&upload->worker, &fd, 1, UPLOAD_IDLE_MS);
    if (fd >= 0)
        spsc_quiet(fd);
}

static void turn(struct uploading *uploading)
{
    struct upload *upload = uploading->upload;
    struct uploader_stats stats;
    bool busy = take_jobs(uploading);

    uploader_stats(upload->uploader, &stats);
    say_trouble(uploading, &stats.transport);
    bool under_way = stats.transport.in_flight_bytes > 0 || stats.scheduler.open > 0;
    (void)uploader_turn(upload->uploader, under_way ? UPLOAD_BUSY_MS : 0, mono_now());
    busy |= give_outcomes(uploading);
    serve_orders(uploading);
    if (!busy && !under_way && !uploading->stopping)
        sleep_a_little(uploading);
}

void *upload_run(void *argument)
{
    struct uploading uploading = { .upload = argument };
    struct upload *upload = uploading.upload;

    while (upload->uploader && !uploading.stopping)
        turn(&uploading);
    while (!uploading.stopping) { /* transport none: nothing but a heartbeat */
        worker_sleep(&upload->worker, NULL, 0, -1);
        serve_orders(&uploading);
    }
    if (upload->uploader) {
        (void)uploader_turn(upload->uploader, 0, mono_now()); /* the last status goes out, */
        (void)uploader_turn(upload->uploader, UPLOAD_FLUSH_MS, mono_now());
        (void)give_outcomes(&uploading);
    }
    (void)worker_report(&upload->worker, REPORT_ENDED, true);
    worker_reported(&upload->worker);
    return NULL;
}
