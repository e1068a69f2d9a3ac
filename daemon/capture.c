/* The capture thread: reads the sources, stamps what has no stamp, says when time is closed, counts
 * what finds no room.
 *
 * Closed time: a frame that was stamped before the round began is in its socket by then, so when
 * every socket was read empty in the round, nothing stamped before its beginning will come. A
 * socket that still has more holds the closed time back at its last stamp. `reorder` is taken off
 * for stamps that are made later than they are queued. */
#include "daemon/threads.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CAPTURE_BATCHES 4      /* of one source in a round, so that no bus starves another */
#define CAPTURE_IDLE_MS 20     /* timers run at this grain on a silent bus */
#define CAPTURE_WAIT_MS 100    /* between heartbeats while the queue is full */
#define CAPTURE_TICK_NS NS_PER_S
/* At the end: as many as the largest receive buffer holds (80,000 frames), and some. */
#define CAPTURE_DRAIN_ROUNDS 1024

struct round {
    struct capture *capture;
    struct clock clock;
    struct capture_stats stats;
    struct source_item items[SOURCE_ITEMS];
    uint64_t lost_owed[SOURCES_MAX];  /* dropped here, not yet told */
    int64_t last_stamp_ns[SOURCES_MAX];
    int64_t closed_wall_ns, next_tick_ns;
    int link_fd;
    bool stopping, failed;
};

static void fill_stats(void *self, struct report *report)
{
    struct round *round = self;
    struct capture *capture = round->capture;

    round->stats.source_count = 0;
    for (uint32_t i = 0; i < capture->source_count; i++)
        round->stats.source_count += capture->sources[i].ops->stats(
            capture->sources[i].context, &round->stats.sources[round->stats.source_count]);
    round->stats.clock_events = round->clock.events;
    round->stats.suspends = round->clock.suspends;
    round->stats.offset_ns = round->clock.offset_ns;
    report->capture = round->stats;
}

static void serve_orders(struct round *round)
{
    const struct order *order;

    worker_heartbeat(&round->capture->worker, fill_stats, round);
    order = worker_order(&round->capture->worker);
    if (order && order->kind == ORDER_STOP) {
        worker_ordered(&round->capture->worker);
        round->stopping = true;
    }
}

/* Waits for room, for what must not be lost. The queue's reserve makes that rare while live. */
static void put_must(struct round *round, const struct source_item *item, enum spsc_class class)
{
    struct spsc *out = round->capture->out;
    struct source_item *slot;

    /* Not worker_sleep: an order that cannot be taken here (STOP) would wake it over and over. */
    while (!(slot = spsc_wait_room(out, class, CAPTURE_WAIT_MS)))
        worker_heartbeat(&round->capture->worker, fill_stats, round);
    *slot = *item;
    spsc_put(out);
}

/* --- live --- */

static void tell_lost(struct round *round, uint8_t source)
{
    struct source_item *slot = round->lost_owed[source]
                                   ? spsc_room(round->capture->out, SPSC_COMMAND) : NULL;

    if (!slot)
        return;
    *slot = (struct source_item){ .kind = SOURCE_LOST, .source = source,
                                  .count = round->lost_owed[source] };
    spsc_put(round->capture->out);
    round->lost_owed[source] = 0;
}

static void put_frame(struct round *round, const struct source_item *item)
{
    /* At the end it may wait: nothing newer is worth more than what the sockets still hold. */
    if (round->stopping) {
        put_must(round, item, SPSC_ROW);
        return;
    }
    struct source_item *slot = spsc_room(round->capture->out, SPSC_ROW);

    if (!slot) {
        round->stats.dropped_queue[item->source]++;
        round->lost_owed[item->source]++;
        return;
    }
    if (round->lost_owed[item->source]) {
        tell_lost(round, item->source);
        slot = spsc_room(round->capture->out, SPSC_ROW);
        if (!slot) {
            round->stats.dropped_queue[item->source]++;
            round->lost_owed[item->source]++;
            return;
        }
    }
    *slot = *item;
    spsc_put(round->capture->out);
}

static void put_clock(struct round *round, const struct clock_reading *now)
{
    struct source_item item = { .kind = SOURCE_CLOCK };

    item.time.wall_ns = now->wall_ns;
    item.time.mono_ns = now->mono_ns;
    put_must(round, &item, SPSC_COMMAND);
    round->closed_wall_ns = INT64_MIN;
}

/* A stamp that cannot be: the clock moved (an event, then it fits), or it is nonsense. */
static void check_stamp(struct round *round, struct frame *frame, const struct clock_reading *now)
{
    if (!clock_disagrees(&round->clock, frame->stamp_ns, now))
        return;
    if (clock_event(&round->clock, now))
        put_clock(round, now);
    if (clock_disagrees(&round->clock, frame->stamp_ns, now)) {
        frame->stamp_ns = now->wall_ns;
        round->stats.stamps_replaced++;
    }
}

static void put_items(struct round *round, int count, const struct clock_reading *now)
{
    for (int i = 0; i < count; i++) {
        struct source_item *item = &round->items[i];
        if (item->kind == SOURCE_FRAME) {
            check_stamp(round, &item->frame, now);
            round->last_stamp_ns[item->source] = item->frame.stamp_ns;
            put_frame(round, item);
        } else {
            put_must(round, item, SPSC_COMMAND);
        }
    }
}

/* Returns true when the socket was read empty. */
static bool read_source(struct round *round, uint8_t index)
{
    struct source_handle *source = &round->capture->sources[index];
    struct clock_reading now;
    bool more = true;

    for (int batch = 0; batch < CAPTURE_BATCHES && more; batch++) {
        clock_read(&now);
        int n = source->ops->read(source->context, now.wall_ns, now.mono_ns, round->items,
                                  SOURCE_ITEMS, &more, NULL);
        clock_read(&now); /* after the batch: no stamp in it can be later */
        put_items(round, n, &now);
    }
    return !more;
}

static void tick_sources(struct round *round)
{
    struct capture *capture = round->capture;

    for (uint32_t i = 0; i < capture->source_count; i++)
        capture->sources[i].ops->tick(capture->sources[i].context);
}

static void check_clock(struct round *round, const struct clock_reading *now)
{
    if (clock_was_set(&round->clock) && clock_event(&round->clock, now))
        put_clock(round, now);
    if (now->mono_ns < round->next_tick_ns)
        return;
    round->next_tick_ns = now->mono_ns + CAPTURE_TICK_NS;
    /* Suspend shows only here: the bus is silent then, which says nothing. */
    if (now->boot_ns - now->mono_ns != round->clock.suspended_ns && clock_event(&round->clock, now))
        put_clock(round, now);
    tick_sources(round);
}

static void close_time(struct round *round, int64_t wall_ns)
{
    struct source_item *slot;

    wall_ns -= round->capture->reorder_ns;
    if (wall_ns <= round->closed_wall_ns || !(slot = spsc_room(round->capture->out, SPSC_COMMAND)))
        return; /* without room the next round tells it */
    *slot = (struct source_item){ .kind = SOURCE_TIME };
    slot->time.wall_ns = wall_ns;
    slot->time.mono_ns = wall_ns + round->clock.offset_ns;
    spsc_put(round->capture->out);
    round->closed_wall_ns = wall_ns;
}

/* Returns true when there is more to read at once. */
static bool live_round(struct round *round)
{
    struct capture *capture = round->capture;
    struct clock_reading begin;
    bool more = false;

    clock_read(&begin);
    check_clock(round, &begin);
    if (round->link_fd >= 0 && source_link_changed(round->link_fd))
        tick_sources(round);
    int64_t closed = begin.wall_ns;
    for (uint8_t i = 0; i < capture->source_count; i++) {
        if (!read_source(round, i)) {
            more = true;
            closed = round->last_stamp_ns[i] < closed ? round->last_stamp_ns[i] : closed;
        }
        tell_lost(round, i);
    }
    close_time(round, closed);
    return more;
}

/* What was sent before the stop is in the sockets by then: each is read until it is empty or gives
 * what came later. Then the drops that no frame has told are asked for (SO_MEMINFO), and told. */
static void drain_sockets(struct round *round)
{
    struct capture *capture = round->capture;
    struct clock_reading stop;
    bool more = true;

    clock_read(&stop);
    for (int n = 0; n < CAPTURE_DRAIN_ROUNDS && more; n++) {
        more = false;
        for (uint8_t i = 0; i < capture->source_count; i++)
            if (!read_source(round, i) && round->last_stamp_ns[i] < stop.wall_ns)
                more = true;
        worker_heartbeat(&capture->worker, fill_stats, round);
    }
    tick_sources(round);
    for (uint8_t i = 0; i < capture->source_count; i++) {
        (void)read_source(round, i);
        tell_lost(round, i);
    }
}

static void live_sleep(struct round *round)
{
    struct capture *capture = round->capture;
    int fds[SOURCES_MAX + 2];
    uint32_t n = 0;

    fds[n++] = round->clock.fd;
    fds[n++] = round->link_fd;
    for (uint32_t i = 0; i < capture->source_count; i++)
        fds[n++] = capture->sources[i].ops->fd(capture->sources[i].context);
    worker_sleep(&capture->worker, fds, n, CAPTURE_IDLE_MS);
}

static void run_live(struct round *round)
{
    struct clock_reading now;

    clock_read(&now);
    clock_open(&round->clock, &now);
    /* The session begins when the sockets were opened: what they hold by now belongs to it. */
    now.wall_ns -= now.mono_ns - round->capture->opened_ns;
    now.mono_ns = round->capture->opened_ns;
    put_clock(round, &now);
    round->link_fd = source_link_monitor();
    while (!round->stopping) {
        bool more = live_round(round);
        serve_orders(round);
        if (!more && !round->stopping)
            live_sleep(round);
    }
    drain_sockets(round);
    if (round->link_fd >= 0)
        (void)close(round->link_fd);
    clock_close(&round->clock);
}

/* --- a recording --- */

static void wait_until_due(struct round *round, const struct source_handle *source)
{
    struct clock_reading now;

    clock_read(&now);
    int64_t wait_ns = source->ops->due_ns(source->context) - now.mono_ns;
    if (wait_ns <= 0)
        return;
    /* Rounded up, else a wait below a millisecond would spin. */
    int64_t ms = wait_ns / NS_PER_MS + 1;
    worker_sleep(&round->capture->worker, NULL, 0, ms < WORKER_TURN_MS ? (int)ms : WORKER_TURN_MS);
}

/* Returns true when the recording has ended, well or not. */
static bool recording_round(struct round *round)
{
    struct source_handle *source = &round->capture->sources[0];
    struct clock_reading now;
    struct err err;
    char text[WORKER_LOG_MAX];
    bool more = false;

    clock_read(&now);
    int n = source->ops->read(source->context, now.wall_ns, now.mono_ns, round->items,
                              SOURCE_ITEMS, &more, &err);
    if (n < 0) {
        (void)err_format(&err, text, sizeof text);
        worker_log(&round->capture->worker, LOG_ERROR, "recording: %s", text);
        round->failed = true;
        return true;
    }
    for (int i = 0; i < n; i++) {
        if (round->items[i].kind == SOURCE_END)
            return true;
        put_must(round, &round->items[i], SPSC_ROW);
    }
    if (!more)
        wait_until_due(round, source);
    return false;
}

static void run_recording(struct round *round)
{
    round->clock.fd = -1;
    while (!round->stopping && !recording_round(round))
        serve_orders(round);
}

void *capture_run(void *argument)
{
    struct round round = { .capture = argument, .closed_wall_ns = INT64_MIN };
    struct worker *worker = &round.capture->worker;

    if (round.capture->live)
        run_live(&round);
    else
        run_recording(&round);
    put_must(&round, &(struct source_item){ .kind = SOURCE_END }, SPSC_COMMAND);
    worker_report(worker, REPORT_ENDED, true)->code = round.failed ? -EBADMSG : 0;
    worker_reported(worker);
    worker_linger(worker, fill_stats, &round);
    return NULL;
}
