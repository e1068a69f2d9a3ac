#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

static_assert(sizeof(struct report) <= SPSC_SLOT_BYTES_MAX, "a report is one slot");

const char *worker_name(enum worker_id id)
{
    static const char *const names[WORKER_COUNT] = { "capture", "pipeline", "encode", "store",
                                                     "upload" };
    return names[id];
}

int64_t worker_patience_ns(enum worker_id id)
{
    return (id == WORKER_STORE || id == WORKER_UPLOAD ? 120 : 5) * NS_PER_S;
}

int worker_open(struct worker *worker, enum worker_id id)
{
    *worker = (struct worker){ .id = id };
    int code = spsc_open(&worker->orders, &(struct spsc_config){ .slot_count = WORKER_ORDERS,
                         .slot_bytes = sizeof(struct order) });
    if (code == 0)
        code = spsc_open(&worker->reports, &(struct spsc_config){ .slot_count = WORKER_REPORTS,
                         .slot_bytes = sizeof(struct report), .reserved = WORKER_REPORTS / 2 });
    return code;
}

void worker_close(struct worker *worker)
{
    spsc_close(worker->orders);
    spsc_close(worker->reports);
    worker->orders = worker->reports = NULL;
}

int worker_start(struct worker *worker, void *(*run)(void *), void *argument)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals are main's */
    int code = -pthread_create(&worker->thread, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->started = code == 0;
    if (code == 0)
        (void)pthread_setname_np(worker->thread, worker_name(worker->id));
    return code;
}

void worker_join(struct worker *worker)
{
    if (worker->started)
        (void)pthread_join(worker->thread, NULL);
    worker->started = false;
}

bool worker_send(struct worker *worker, const struct order *order)
{
    struct order *slot = spsc_room(worker->orders, SPSC_COMMAND);

    if (!slot)
        return false;
    *slot = *order;
    spsc_put(worker->orders);
    return true;
}

int worker_hear(struct worker *worker, struct report *ret_report)
{
    const struct report *report = spsc_peek(worker->reports);

    if (!report)
        return 0;
    *ret_report = *report;
    spsc_pop(worker->reports);
    return 1;
}

const struct order *worker_order(struct worker *worker)
{
    return spsc_peek(worker->orders);
}

void worker_ordered(struct worker *worker)
{
    spsc_pop(worker->orders);
}

struct report *worker_report(struct worker *worker, enum report_kind kind, bool must)
{
    struct report *report = must ? spsc_wait_room(worker->reports, SPSC_COMMAND, -1)
                                 : spsc_room(worker->reports, SPSC_ROW);

    if (!report)
        return NULL;
    memset(report, 0, sizeof *report);
    report->kind = kind;
    return report;
}

void worker_reported(struct worker *worker)
{
    spsc_put(worker->reports);
}

void worker_log(struct worker *worker, enum log_level level, const char *format, ...)
{
    struct report *report = worker_report(worker, REPORT_LOG, false);
    va_list args;

    if (!report) {
        worker->lost_reports++;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(report->text, sizeof report->text, format, args);
    va_end(args);
    report->level = level;
    worker_reported(worker);
}

void worker_failed(struct worker *worker, const char *format, ...)
{
    struct report *report = worker_report(worker, REPORT_FAILED, true);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(report->text, sizeof report->text, format, args);
    va_end(args);
    worker_reported(worker);
}

void worker_done(struct worker *worker, uint64_t ticket, int code, const char *text)
{
    struct report *report = worker_report(worker, REPORT_DONE, true);

    report->ticket = ticket;
    report->code = code;
    (void)snprintf(report->text, sizeof report->text, "%s", text);
    worker_reported(worker);
}

void worker_heartbeat(struct worker *worker, void (*fill)(void *self, struct report *report),
                      void *self)
{
    const struct order *order;

    while ((order = worker_order(worker)) && order->kind == ORDER_STATS) {
        struct report *report = worker_report(worker, REPORT_STATS, false);
        if (report) { /* else main has not read the last ones: it knows that we live */
            fill(self, report);
            worker_reported(worker);
        }
        worker_ordered(worker);
    }
}

void worker_linger(struct worker *worker, void (*fill)(void *self, struct report *report),
                   void *self)
{
    const struct order *order;

    for (;;) {
        worker_heartbeat(worker, fill, self);
        while ((order = worker_order(worker)) && order->kind != ORDER_STATS) {
            enum order_kind kind = order->kind;
            uint64_t ticket = order->ticket;
            worker_ordered(worker);
            if (kind == ORDER_STOP)
                return;
            worker_done(worker, ticket, -ESHUTDOWN, "the recording has ended");
        }
        worker_sleep(worker, NULL, 0, -1);
    }
}

void worker_sleep(struct worker *worker, const int *fds, uint32_t count, int timeout_ms)
{
    struct pollfd bells[WORKER_FDS_MAX + 1];
    uint32_t n = 0;

    if (spsc_arm(worker->orders))
        return;
    bells[n++] = (struct pollfd){ .fd = spsc_fd(worker->orders), .events = POLLIN };
    for (uint32_t i = 0; i < count && n <= WORKER_FDS_MAX; i++)
        if (fds[i] >= 0)
            bells[n++] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
    if (poll(bells, n, timeout_ms) > 0 && bells[0].revents)
        spsc_quiet(bells[0].fd);
}
