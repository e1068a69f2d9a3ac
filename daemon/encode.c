/* The encode thread: the recorder, fed from the pipeline, its pieces handed to the store as room
 * allows, the bytes released when the store is done. It never waits for the store while live: what
 * is not taken stays inside the recorder, within its pin budget. */
#include "daemon/threads.h"

#include <errno.h>
#include <string.h>

#define ENCODE_BATCH 256 /* commands between two looks at what came back */

struct encoding {
    struct encode *encode;
    bool input_ended, end_told;
    bool stuck; /* the recorder takes no command until a piece is released (recordings only) */
};

static void fill_stats(void *self, struct report *report)
{
    struct encoding *encoding = self;

    recorder_stats(encoding->encode->recorder, &report->encode.recorder);
    report->encode.queued = spsc_count(encoding->encode->in);
}

static bool take_back(struct encoding *encoding)
{
    struct encode *encode = encoding->encode;
    const struct back_item *item;
    bool any = false;

    while ((item = spsc_peek(encode->back))) {
        if (item->block)
            recorder_release(encode->recorder, item->block);
        else
            recorder_refuse(encode->recorder, item->clip_id);
        spsc_pop(encode->back);
        any = true;
    }
    return any;
}

static bool give_pieces(struct encoding *encoding)
{
    struct encode *encode = encoding->encode;
    struct piece_item *slot;
    bool any = false;

    while ((slot = spsc_room(encode->out, SPSC_ROW))) {
        slot->end = false;
        if (recorder_take(encode->recorder, &slot->piece) != 1)
            break;
        spsc_put(encode->out);
        any = true;
    }
    return any;
}

/* Returns false when the recorder is full: nothing was taken. */
static bool take_command(struct encoding *encoding, struct flow_item *item)
{
    if (item->end) {
        encoding->input_ended = true;
        return true;
    }
    int code = recorder_put(encoding->encode->recorder, &item->command);
    if (code == -EAGAIN)
        return false;
    if (code < 0)
        worker_log(&encoding->encode->worker, LOG_ERROR, "recorder: command %d: %s",
                   (int)item->command.kind, strerror(-code));
    return true;
}

static bool take_commands(struct encoding *encoding)
{
    struct encode *encode = encoding->encode;
    struct flow_item *item;
    bool any = false;

    if (encode->live)
        recorder_pressure(encode->recorder, spsc_count(encode->in) > FLOW_SLOTS / 2);
    encoding->stuck = false;
    for (int i = 0; i < ENCODE_BATCH && !encoding->input_ended && (item = spsc_peek(encode->in));
         i++) {
        if (!take_command(encoding, item)) {
            encoding->stuck = true;
            break;
        }
        spsc_pop(encode->in);
        any = true;
    }
    return any;
}

static void sleep_until_something(struct encoding *encoding)
{
    struct encode *encode = encoding->encode;
    bool wants_input = !encoding->input_ended && !encoding->stuck;
    int fds[3] = { spsc_fd(encode->back), spsc_room_fd(encode->out),
                   wants_input ? spsc_fd(encode->in) : -1 };

    if (spsc_arm(encode->back) || (wants_input && spsc_arm(encode->in)))
        return;
    /* Room is only worth waking for when there was none. */
    if (spsc_arm_room(encode->out, SPSC_ROW))
        fds[1] = -1;
    worker_sleep(&encode->worker, fds, 3, WORKER_TURN_MS);
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            spsc_quiet(fds[i]);
}

/* Room and nothing to put into it: the recorder is empty. */
static bool is_drained(struct encoding *encoding)
{
    return encoding->input_ended && spsc_room(encoding->encode->out, SPSC_ROW) &&
           !give_pieces(encoding) && spsc_room(encoding->encode->out, SPSC_ROW);
}

static void tell_end(struct encoding *encoding)
{
    struct encode *encode = encoding->encode;
    struct piece_item *slot = spsc_room(encode->out, SPSC_COMMAND);

    slot->end = true; /* is_drained saw the room, and nobody else puts */
    spsc_put(encode->out);
    (void)worker_report(&encode->worker, REPORT_ENDED, true);
    worker_reported(&encode->worker);
    encoding->end_told = true;
}

/* Returns true when there was something to do. */
static bool turn(struct encoding *encoding)
{
    bool busy = take_back(encoding);

    busy |= give_pieces(encoding);
    busy |= take_commands(encoding);
    if (!encoding->end_told && is_drained(encoding))
        tell_end(encoding);
    return busy;
}

void *encode_run(void *argument)
{
    struct encoding encoding = { .encode = argument };
    struct encode *encode = encoding.encode;
    const struct order *order;

    /* After the end it stays for what comes back, until main says stop: the store is done then. */
    for (;;) {
        worker_heartbeat(&encode->worker, fill_stats, &encoding);
        order = worker_order(&encode->worker);
        if (order && order->kind == ORDER_STOP)
            break;
        if (!turn(&encoding))
            sleep_until_something(&encoding);
    }
    worker_ordered(&encode->worker);
    (void)take_back(&encoding);
    return NULL;
}
