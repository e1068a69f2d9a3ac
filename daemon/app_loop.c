/* The main thread: signals, reports, control socket, metrics, watchdog, and the order of the end. */
#include "daemon/app.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void *(*const runs[WORKER_COUNT])(void *) = { capture_run, flow_run, encode_run, store_run,
                                                     upload_run };

static int64_t mono_now(void)
{
    struct clock_reading now;

    clock_read(&now);
    return now.mono_ns;
}

/* --- what is known --- */

static void refresh(struct app *app)
{
    struct snapshot *snapshot = &app->snapshot;
    struct clock_reading now;

    clock_read(&now);
    snapshot->state = app->stopping ? SNAPSHOT_STOPPING
                      : app->ended[WORKER_CAPTURE] ? SNAPSHOT_ENDED : SNAPSHOT_RUNNING;
    snapshot->uptime_ns = now.mono_ns - app->started_ns;
    snapshot->wall_ns = now.wall_ns;
    snapshot->clock_set = clock_is_set(now.wall_ns);
    snapshot->log_lines = app->log.lines;
    snapshot->log_suppressed = app->log.suppressed;
    for (int i = 0; i < WORKER_COUNT; i++)
        snapshot->heartbeat_age_ns[i] = now.mono_ns - app->heard_ns[i];
    control_stats(app->control, &snapshot->control);
}

static void take_stats(struct app *app, enum worker_id id, const struct report *report)
{
    switch (id) {
    case WORKER_CAPTURE: app->snapshot.capture = report->capture; break;
    case WORKER_PIPELINE: app->snapshot.flow = report->flow; break;
    case WORKER_ENCODE: app->snapshot.encode = report->encode; break;
    case WORKER_STORE:
        app->snapshot.store = report->store;
        app->store_heard = true;
        app->store_fresh = app->ended[WORKER_STORE];
        break;
    case WORKER_UPLOAD: app->snapshot.upload = report->upload; break;
    case WORKER_COUNT: break;
    }
}

/* --- control --- */

static void answer_where(struct app *app, const struct report *report)
{
    char text[2048];
    int size = report->code == 0 ? where_json(&report->clip, text, sizeof text) : 0;

    if (report->code < 0)
        app_answer(app, report->ticket, report->code,
                   report->code == -ENOENT ? "no such clip in this vehicle" : strerror(-report->code));
    else
        control_answer(app->control, report->ticket, text, size < 0 ? 0 : (size_t)size, mono_now());
}

static void answer_retry(struct app *app, const struct report *report)
{
    char text[64];

    if (report->code < 0) {
        app_answer(app, report->ticket, report->code, report->text);
        return;
    }
    int size = snprintf(text, sizeof text, "{\"ok\":true,\"clips\":%d}", report->code);
    control_answer(app->control, report->ticket, text, (size_t)size, mono_now());
}

static void answer_text(struct app *app, uint64_t ticket, bool metrics)
{
    static char text[CONTROL_ANSWER_MAX];
    int size;

    refresh(app);
    size = metrics ? metrics_text(&app->snapshot, text, sizeof text)
                   : status_json(&app->snapshot, text, sizeof text);
    if (size < 0)
        app_answer(app, ticket, size, "the answer is too long");
    else
        control_answer(app->control, ticket, text, (size_t)size, mono_now());
}

static void send_trigger(struct app *app, uint64_t ticket, const struct control_request *request)
{
    struct order order = { .kind = ORDER_TRIGGER, .ticket = ticket };

    if (request->priority < 0 || request->priority >= PRIORITY_CRASH) {
        app_answer(app, ticket, -ERANGE, "priority: 0 to 8");
        return;
    }
    order.trigger.pre_ns = request->pre_ns;
    order.trigger.post_ns = request->post_ns;
    order.trigger.priority = (uint8_t)request->priority;
    memcpy(order.trigger.note, request->note, sizeof order.trigger.note);
    if (!worker_send(&app->flow.worker, &order))
        app_answer(app, ticket, -EAGAIN, "the pipeline does not take orders now");
}

static void ask_store(struct app *app, uint64_t ticket, const struct control_request *request)
{
    struct order order = { .kind = request->verb == CONTROL_RETRY ? ORDER_RETRY : ORDER_WHERE,
                           .ticket = ticket };

    order.has_clip = request->has_clip;
    memcpy(order.clip_id, request->clip_id, CLIP_ID_BYTES);
    if (!worker_send(&app->store.worker, &order))
        app_answer(app, ticket, -EAGAIN, "the store does not take orders now");
}

static void serve_control(struct app *app)
{
    struct control_request request;
    uint64_t ticket;

    control_run(app->control, mono_now());
    while (control_next(app->control, &ticket, &request) == 1) {
        switch (request.verb) {
        case CONTROL_STATUS: answer_text(app, ticket, false); break;
        case CONTROL_METRICS: answer_text(app, ticket, true); break;
        case CONTROL_WHERE:
        case CONTROL_RETRY: ask_store(app, ticket, &request); break;
        case CONTROL_RELOAD: app_reload(app, ticket); break;
        case CONTROL_TRIGGER: send_trigger(app, ticket, &request); break;
        }
    }
}

/* --- reports --- */

static void take_done(struct app *app, enum worker_id id, const struct report *report)
{
    if (id == WORKER_STORE && report->to == ORDER_RETRY)
        answer_retry(app, report);
    else if (id == WORKER_STORE)
        answer_where(app, report);
    else if (app->next_config && report->ticket == app->reload_ticket)
        app_reloaded(app, report);
    else
        app_answer(app, report->ticket, report->code, report->text);
}

static void ask_stats(struct app *app)
{
    for (int i = 0; i < WORKER_COUNT; i++)
        if (!app->all_told && spsc_count(app->workers[i]->reports) == 0)
            (void)worker_send(app->workers[i], &(struct order){ .kind = ORDER_STATS });
}

static void take_report(struct app *app, enum worker_id id, const struct report *report)
{
    app->heard_ns[id] = mono_now();
    app->stuck_told[id] = false;
    switch (report->kind) {
    case REPORT_STATS: take_stats(app, id, report); break;
    case REPORT_DONE: take_done(app, id, report); break;
    case REPORT_LOG:
        log_line(&app->log, report->level, app->heard_ns[id], "%s", report->text);
        break;
    case REPORT_FAILED:
        log_line(&app->log, LOG_ERROR, app->heard_ns[id], "%s: %s", worker_name(id), report->text);
        app->failed = app->stopping = true;
        break;
    case REPORT_ENDED:
        app->ended[id] = true;
        app->failed |= report->code < 0;
        app->store_fresh = false;
        ask_stats(app); /* the last figures, for the books and for --once */
        break;
    }
}

static void take_reports(struct app *app)
{
    static struct report report; /* large; main is one thread */

    for (int i = 0; i < WORKER_COUNT; i++) {
        spsc_quiet(spsc_fd(app->workers[i]->reports));
        do
            while (worker_hear(app->workers[i], &report) == 1)
                take_report(app, (enum worker_id)i, &report);
        while (spsc_arm(app->workers[i]->reports));
    }
}

/* --- the end --- */

static bool all_delivered(const struct app *app)
{
    return app->ended[WORKER_STORE] && app->store_fresh &&
           (app->config.upload.transport == CONFIG_TRANSPORT_NONE ||
            (app->snapshot.store.books.pending == 0 && !app->snapshot.store.books_stale));
}

static void tell_stop(struct app *app, enum worker_id id)
{
    /* A worker that takes no orders is stuck; stop_by_ns ends the wait for it. */
    (void)worker_send(app->workers[id], &(struct order){ .kind = ORDER_STOP });
}

static void begin_stop(struct app *app, int64_t now_ns)
{
    app->stop_by_ns = now_ns + APP_STOP_NS;
    log_notify("STOPPING=1");
    app->next_links_ns = now_ns; /* the last figures, for the manifests of clips that end now */
    app_ask_links(app, now_ns);
    if (!app->ended[WORKER_CAPTURE])
        tell_stop(app, WORKER_CAPTURE);
}

/* Moves the end on by what has happened so far. Returns true when the threads may be joined. */
static bool progress(struct app *app, int64_t now_ns)
{
    if (app->options.once && all_delivered(app))
        app->stopping = true;
    if (app->stopping && !app->stop_by_ns)
        begin_stop(app, now_ns);
    if (app->stopping && app->ended[WORKER_STORE] && app->store_fresh && !app->upload_told) {
        app->next_status_ns = now_ns;
        app_tell_status(app, now_ns); /* the last figures, before the upload thread ends */
        tell_stop(app, WORKER_UPLOAD);
        app->upload_told = true;
    }
    if (app->ended[WORKER_UPLOAD] && !app->all_told) {
        for (int i = 0; i < WORKER_UPLOAD; i++)
            tell_stop(app, (enum worker_id)i);
        app->all_told = true;
    }
    return app->all_told;
}

/* --- time --- */

static bool all_alive(struct app *app, int64_t now_ns)
{
    bool alive = true;

    for (int i = 0; i < WORKER_COUNT; i++) {
        if (now_ns - app->heard_ns[i] <= worker_patience_ns((enum worker_id)i))
            continue;
        alive = false;
        if (!app->stuck_told[i])
            log_line(&app->log, LOG_ERROR, now_ns, "thread %s has not answered for %" PRId64 " s",
                     worker_name((enum worker_id)i), (now_ns - app->heard_ns[i]) / NS_PER_S);
        app->stuck_told[i] = true;
    }
    return alive;
}

static void feed_watchdog(struct app *app, int64_t now_ns)
{
    bool alive = all_alive(app, now_ns);

    if (!app->watchdog_ns || now_ns < app->next_watchdog_ns || !alive)
        return;
    app->next_watchdog_ns = now_ns + app->watchdog_ns;
    log_notify("WATCHDOG=1");
}

static void write_metrics(struct app *app, int64_t now_ns)
{
    struct err err;

    if (!app->config.metrics.file[0] || now_ns < app->next_metrics_ns)
        return;
    app->next_metrics_ns = now_ns + app->config.metrics.every_ns;
    refresh(app);
    if (metrics_file(&app->snapshot, app->config.metrics.file, &err) < 0)
        log_line(&app->log, LOG_WARNING, now_ns, "%s", err.text);
}

static void tick(struct app *app)
{
    uint64_t count;
    int64_t now_ns = mono_now();

    (void)!read(app->timer_fd, &count, sizeof count);
    ask_stats(app);
    feed_watchdog(app, now_ns);
    app_tell_status(app, now_ns);
    app_ask_links(app, now_ns);
    write_metrics(app, now_ns);
}

static void take_signals(struct app *app)
{
    struct signalfd_siginfo info;

    while (read(app->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            app_reload(app, 0);
        else
            app->stopping = true;
    }
}

/* --- run --- */

static void read_watchdog(struct app *app)
{
    const char *text = getenv("WATCHDOG_USEC");
    long long us = text ? strtoll(text, NULL, 10) : 0;

    if (us > 0 && us < INT64_MAX / 1000)
        app->watchdog_ns = us * NS_PER_US / 2;
}

static int start(struct app *app)
{
    void *const arguments[WORKER_COUNT] = { &app->capture, &app->flow, &app->encode, &app->store,
                                            &app->upload };
    int64_t now_ns = mono_now();

    read_watchdog(app);
    for (int i = 0; i < WORKER_COUNT; i++)
        app->heard_ns[i] = now_ns;
    /* From the far end, so that nobody's output is without a reader. */
    for (int i = WORKER_COUNT - 1; i >= 0; i--) {
        int code = worker_start(app->workers[i], runs[i], arguments[i]);
        if (code < 0) {
            log_line(&app->log, LOG_ERROR, now_ns, "thread %s: %s", worker_name((enum worker_id)i),
                     strerror(-code));
            return code;
        }
    }
    log_line(&app->log, LOG_NOTICE, now_ns, "running: vehicle %s, session %s, %u sources, %u rules",
             app->snapshot.vehicle, app->snapshot.session, app->sources.count,
             app->generation->rules ? ruleset_count(app->generation->rules) : 0);
    log_notify("READY=1");
    return 0;
}

static void loop(struct app *app)
{
    struct epoll_event events[8];

    for (;;) {
        int n = epoll_wait(app->epoll_fd, events, 8, 1000);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == app->signal_fd)
                take_signals(app);
            else if (events[i].data.fd == app->timer_fd)
                tick(app);
        }
        take_reports(app);
        serve_control(app);
        if (progress(app, mono_now()))
            return;
        if (app->stop_by_ns && mono_now() > app->stop_by_ns) {
            /* Sealed clips are safe whatever happens now; a thread hangs in a disk or a library. */
            log_line(&app->log, LOG_ERROR, mono_now(), "did not stop in time: leaving as killed");
            _exit(1);
        }
    }
}

static void say_goodbye(struct app *app)
{
    const struct outbox_books *books = &app->snapshot.store.books;

    take_reports(app);
    app->next_metrics_ns = 0;
    write_metrics(app, mono_now());
    log_line(&app->log, LOG_NOTICE, mono_now(),
             "stopped: %" PRIu64 " rows, %" PRIu64 " events, %" PRIu64 " clips sealed, %" PRIu64
             " delivered, %" PRIu64 " pending, %" PRIu64 " evicted",
             app->snapshot.flow.pipeline.rows, app->snapshot.flow.pipeline.events, books->sealed,
             books->delivered, books->pending, books->evicted);
}

int app_run(struct app *app)
{
    /* A thread that did not start leaves others running: the process ends without closing them. */
    if (start(app) < 0)
        _exit(1);
    loop(app);
    for (int i = 0; i < WORKER_COUNT; i++)
        worker_join(app->workers[i]);
    say_goodbye(app);
    return app->failed ? 1 : 0;
}
