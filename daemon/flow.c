/* The pipeline thread: the merge of live sources and the pipeline, with its output put into the
 * queue to the encoder. */
#include "daemon/threads.h"

#include <errno.h>
#include <string.h>

#define FLOW_WAIT_MS 100 /* between heartbeats while the queue is full */

struct flowing {
    struct flow *flow;
    struct flow_stats stats;
    uint64_t lost_owed[SOURCES_MAX]; /* rows dropped here, not yet told to the recorder */
    bool ended;
};

static void fill_stats(void *self, struct report *report)
{
    struct flowing *flowing = self;
    struct flow *flow = flowing->flow;

    if (flow->merge)
        merge_stats(flow->merge, &flowing->stats.merge);
    pipeline_stats(flow->pipeline, &flowing->stats.pipeline);
    flowing->stats.queued = spsc_count(flow->in);
    report->flow = flowing->stats;
}

/* --- output --- */

/* Waits for room; heartbeats go on. Only a recording waits for rows; commands have their reserve. */
static struct flow_item *wait_room(struct flowing *flowing, enum spsc_class class)
{
    struct flow *flow = flowing->flow;
    struct flow_item *slot;

    /* Not worker_sleep: an order that cannot be taken here would wake it over and over. */
    while (!(slot = spsc_wait_room(flow->out, class, FLOW_WAIT_MS)))
        worker_heartbeat(&flow->worker, fill_stats, flowing);
    return slot;
}

static void put_command(struct flowing *flowing, const struct recorder_command *command)
{
    struct flow *flow = flowing->flow;
    bool is_row = command->kind == RECORDER_ROW;
    struct flow_item *slot = spsc_room(flow->out, is_row ? SPSC_ROW : SPSC_COMMAND);

    if (!slot && is_row && flow->live) {
        flowing->stats.dropped_queue[command->row.frame.source]++;
        flowing->lost_owed[command->row.frame.source]++;
        return;
    }
    if (!slot)
        slot = wait_room(flowing, is_row ? SPSC_ROW : SPSC_COMMAND);
    slot->end = false;
    slot->command = *command;
    spsc_put(flow->out);
}

static void log_note(struct flowing *flowing, const struct pipeline_note *note)
{
    struct worker *worker = &flowing->flow->worker;
    char clip[CLIP_ID_HEX] = "none";

    if (note->clip_id)
        hex_from(note->clip_id, CLIP_ID_BYTES, clip);
    if (note->kind == PIPELINE_NOTE_FIRE)
        worker_log(worker, LOG_INFO, "rule %s fired, clip %s", note->event->rule, clip);
    else if (note->kind == PIPELINE_NOTE_FAILED)
        worker_log(worker, LOG_WARNING, "rule %s fired and has no clip: %s", note->event->rule,
                   note->reason);
    else if (note->kind == PIPELINE_NOTE_RELOADED)
        worker_log(worker, LOG_NOTICE, "generation %u is in force", note->generation);
}

static void drain(struct flowing *flowing)
{
    struct pipeline *pipeline = flowing->flow->pipeline;
    struct recorder_command command;
    struct pipeline_note note;

    while (pipeline_take(pipeline, &command) == 1) {
        if (command.kind == RECORDER_ROW) {
            flowing->stats.mono_ns = command.row.mono_ns;
            flowing->stats.offset_ns = command.row.offset_ns;
        }
        put_command(flowing, &command);
    }
    while (pipeline_take_note(pipeline, &note) == 1)
        log_note(flowing, &note);
}

/* What the queue dropped becomes a loss at the recorder as soon as the pipeline is free. */
static void tell_lost(struct flowing *flowing)
{
    for (uint32_t s = 0; s < flowing->flow->sources->count; s++) {
        if (!flowing->lost_owed[s])
            continue;
        (void)pipeline_loss(flowing->flow->pipeline, (uint8_t)s, RECORDER_LOSS_QUEUE,
                            flowing->lost_owed[s]);
        flowing->lost_owed[s] = 0;
        drain(flowing);
    }
}

/* After any input: its output goes on; what an input refuses for good is our own failure. */
static void after(struct flowing *flowing, int code, const char *what)
{
    if (code < 0)
        worker_log(&flowing->flow->worker, LOG_ERROR, "pipeline: %s: %s", what, strerror(-code));
    drain(flowing);
}

/* --- input --- */

static void take_merged(struct flowing *flowing)
{
    struct flow *flow = flowing->flow;
    struct frame frame;

    while (merge_take(flow->merge, &frame) == 1)
        after(flowing, pipeline_frame(flow->pipeline, &frame), "frame");
}

static void put_live(struct flowing *flowing, const struct frame *frame)
{
    while (merge_put(flowing->flow->merge, frame) == -EAGAIN)
        take_merged(flowing);
}

static void take_clock(struct flowing *flowing, const struct source_item *item)
{
    struct flow *flow = flowing->flow;

    merge_flush(flow->merge);
    take_merged(flowing);
    after(flowing, pipeline_clock(flow->pipeline, item->time.mono_ns - item->time.wall_ns,
                                  item->time.mono_ns), "clock");
}

static void take_time(struct flowing *flowing, const struct source_item *item)
{
    struct flow *flow = flowing->flow;

    merge_advance(flow->merge, item->time.wall_ns);
    take_merged(flowing);
    if (pipeline_next_due(flow->pipeline) <= item->time.mono_ns)
        after(flowing, pipeline_advance(flow->pipeline, item->time.mono_ns), "time");
    tell_lost(flowing);
}

static void take_recorded(struct flowing *flowing, const struct recording_item *item)
{
    struct flow *flow = flowing->flow;

    after(flowing, feed_item(&flow->feed, flow->pipeline, item), "item");
}

static void finish(struct flowing *flowing)
{
    struct flow *flow = flowing->flow;
    int code = flow->live ? pipeline_finish(flow->pipeline)
                          : feed_finish(&flow->feed, flow->pipeline);

    /* Busy: its output is in the way; once that is taken the same call goes on. */
    if (code == -EBUSY) {
        drain(flowing);
        code = flow->live ? pipeline_finish(flow->pipeline)
                          : feed_finish(&flow->feed, flow->pipeline);
    }
    after(flowing, code, "finish");
}

static void serve_orders(struct flowing *flowing);

static void take_end(struct flowing *flowing)
{
    struct flow *flow = flowing->flow;

    serve_orders(flowing); /* what main sent before it let capture stop: the last interface counters */
    if (flow->merge) {
        merge_flush(flow->merge);
        take_merged(flowing);
    }
    tell_lost(flowing);
    finish(flowing);
    wait_room(flowing, SPSC_COMMAND)->end = true;
    spsc_put(flow->out);
    flowing->ended = true;
}

static void take_source_event(struct flowing *flowing, const struct source_item *item,
                              enum clip_source_event_kind kind)
{
    const struct clip_source_event event = { .mono_ns = item->time.mono_ns, .source = item->source,
        .kind = (uint8_t)kind, .value = kind == CLIP_SOURCE_STAMPS ? item->origin : 0 };

    after(flowing, pipeline_source_event(flowing->flow->pipeline, &event), "source event");
}

static void take_link(struct flowing *flowing, const struct source_item *item)
{
    take_source_event(flowing, item, item->up ? CLIP_SOURCE_UP : CLIP_SOURCE_DOWN);
    worker_log(&flowing->flow->worker, item->up ? LOG_NOTICE : LOG_WARNING, "source %s is %s",
               flowing->flow->sources->items[item->source].name, item->up ? "up" : "down");
}

static void take_item(struct flowing *flowing, const struct source_item *item)
{
    struct pipeline *pipeline = flowing->flow->pipeline;

    switch ((enum source_item_kind)item->kind) {
    case SOURCE_FRAME: put_live(flowing, &item->frame); break;
    case SOURCE_RECORDED: take_recorded(flowing, &item->recorded); break;
    case SOURCE_CLOCK: take_clock(flowing, item); break;
    case SOURCE_TIME: take_time(flowing, item); break;
    case SOURCE_LINK: take_link(flowing, item); break;
    case SOURCE_STAMPS: take_source_event(flowing, item, CLIP_SOURCE_STAMPS); break;
    case SOURCE_END: take_end(flowing); break;
    case SOURCE_DROPPED:
        after(flowing, pipeline_loss(pipeline, item->source, RECORDER_LOSS_KERNEL, item->count),
              "loss");
        break;
    case SOURCE_LOST:
        after(flowing, pipeline_loss(pipeline, item->source, RECORDER_LOSS_QUEUE, item->count),
              "loss");
        break;
    }
}

/* --- orders --- */

static void reload(struct flowing *flowing, const struct order *order)
{
    char text[WORKER_LOG_MAX] = "";
    struct err err = { .text = "" };
    int code = pipeline_reload(flowing->flow->pipeline, order->generation, &err);

    if (code < 0)
        (void)err_format(&err, text, sizeof text);
    else
        flowing->stats.generation = order->generation->number;
    drain(flowing);
    worker_done(&flowing->flow->worker, order->ticket, code, text);
}

static void take_interface(struct flowing *flowing, const struct order *order)
{
    struct pipeline *pipeline = flowing->flow->pipeline;

    after(flowing, pipeline_interface(pipeline, order->link.source, &order->link.interface),
          "interface");
}

static void trigger(struct flowing *flowing, const struct order *order)
{
    const struct pipeline_trigger how = { .note = order->trigger.note,
        .pre_ns = order->trigger.pre_ns, .post_ns = order->trigger.post_ns,
        .priority = order->trigger.priority };
    int code = pipeline_manual(flowing->flow->pipeline, &how);

    drain(flowing);
    worker_done(&flowing->flow->worker, order->ticket, code,
                code == -EAGAIN ? "no frame has come yet" :
                code == -ERANGE ? "pre or post is out of range" :
                code < 0 ? strerror(-code) : "");
}

static void serve_orders(struct flowing *flowing)
{
    struct worker *worker = &flowing->flow->worker;
    const struct order *order;

    worker_heartbeat(worker, fill_stats, flowing);
    while ((order = worker_order(worker)) && order->kind != ORDER_STATS) {
        struct order copy = *order;
        worker_ordered(worker);
        if (copy.kind == ORDER_RELOAD)
            reload(flowing, &copy);
        else if (copy.kind == ORDER_TRIGGER)
            trigger(flowing, &copy);
        else if (copy.kind == ORDER_LINK)
            take_interface(flowing, &copy);
    }
}

void *flow_run(void *argument)
{
    struct flowing flowing = { .flow = argument };
    struct flow *flow = flowing.flow;
    struct source_item *item;

    flowing.stats.generation = flow->generation;
    drain(&flowing); /* opening has output of its own: the first generation */
    while (!flowing.ended) {
        serve_orders(&flowing);
        for (int i = 0; i < 256 && !flowing.ended && (item = spsc_peek(flow->in)); i++) {
            take_item(&flowing, item);
            spsc_pop(flow->in);
        }
        if (flowing.ended || spsc_arm(flow->in))
            continue;
        int fd = spsc_fd(flow->in);
        worker_sleep(&flow->worker, &fd, 1, WORKER_TURN_MS);
        spsc_quiet(fd);
    }
    (void)worker_report(&flow->worker, REPORT_ENDED, true);
    worker_reported(&flow->worker);
    worker_linger(&flow->worker, fill_stats, &flowing);
    return NULL;
}
