/* Which signals a multiplexor hides, and which names mean which signal. */
#include "proto/dbc_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SAME_NAME_MAX 256 /* branches under one name */

static int32_t find_multiplexor(const struct build_signal *signals, uint32_t count,
                                const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (signals[i].s.is_multiplexor && strcmp(signals[i].s.short_name, name) == 0)
            return (int32_t)i;
    return DBC_NONE;
}

/* The message's multiplexor when it has exactly one, else DBC_NONE. */
static int32_t only_multiplexor(const struct build_signal *signals, uint32_t count)
{
    int32_t only = DBC_NONE;

    for (uint32_t i = 0; i < count; i++) {
        if (!signals[i].s.is_multiplexor)
            continue;
        if (only != DBC_NONE)
            return DBC_NONE;
        only = (int32_t)i;
    }
    return only;
}

bool dbc_row_holds(const struct dbc_build *b, const struct dbc_row *row, uint64_t value)
{
    for (uint32_t i = 0; i < row->count; i++) {
        const struct dbc_range *range = &b->ranges[row->first + i];
        if (value >= range->first && value <= range->last)
            return true;
    }
    return false;
}

static int by_first(const void *left, const void *right)
{
    const struct dbc_range *a = left, *b = right;

    return a->first < b->first ? -1 : a->first > b->first;
}

/* Sorts, and joins what meets, so that a frame is judged by a binary search. */
static uint32_t normalise(struct dbc_range *ranges, uint32_t count)
{
    uint32_t used = 0;

    qsort(ranges, count, sizeof *ranges, by_first);
    for (uint32_t i = 0; i < count; i++) {
        struct dbc_range *last = used ? &ranges[used - 1] : NULL;
        if (last && (last->last == UINT64_MAX || ranges[i].first <= last->last + 1)) {
            if (ranges[i].last > last->last)
                last->last = ranges[i].last;
        } else {
            ranges[used++] = ranges[i];
        }
    }
    return used;
}

/* The row's ranges (row may be NULL) and, when given, one more. NULL when memory is short. */
static const struct dbc_range *take_ranges(struct dbc_build *b, const struct dbc_row *row,
                                           const uint64_t *own, uint32_t *ret_count)
{
    uint32_t count = row ? row->count : 0;
    struct dbc_range *ranges = arena_alloc(&b->arena, (count + 1) * sizeof *ranges);

    if (!ranges) {
        dbc_fail(b, -ENOMEM, (struct dbc_place){ 0, 0 }, "out of memory");
        return NULL;
    }
    if (count)
        memcpy(ranges, b->ranges + row->first, count * sizeof *ranges);
    if (own)
        ranges[count++] = (struct dbc_range){ *own, *own };
    *ret_count = normalise(ranges, count);
    return ranges;
}

/* Signals of one name may share a row: they share its ranges too, else a file could make them
 * multiply. Under the only multiplexor the mark m<n> counts beside the row, as in cantools. */
static void set_ranges(struct dbc_build *b, struct build_signal *signal, bool with_own)
{
    struct dbc_row *row = signal->mux_row;

    if (!row || (with_own && !dbc_row_holds(b, row, signal->mux_value))) {
        signal->s.ranges = take_ranges(b, row, &signal->mux_value, &signal->s.range_count);
        return;
    }
    if (!row->shared)
        row->shared = take_ranges(b, row, NULL, &row->shared_count);
    signal->s.ranges = row->shared;
    signal->s.range_count = row->shared_count;
}

static void warn_row_ignored(struct dbc_build *b, const struct build_signal *signal)
{
    if (signal->mux_row)
        dbc_warn(b, "D107", signal->mux_row->place, "signal '%s' has no mark m<number>, so that no "
                 "multiplexor hides it; the SG_MUL_VAL_ row is left out", signal->s.short_name);
}

static void link_signal(struct dbc_build *b, struct build_message *message,
                        struct build_signal *signal, int32_t only)
{
    struct build_signal *signals = build_signals(b, message);
    const char *name = signal->mux_row ? signal->mux_row->text : NULL;
    int32_t self = (int32_t)(signal - signals), above = only;
    /* Files written by cantools mark a multiplexor below another with M only. */
    bool is_muxed = signal->is_muxed || (signal->s.is_multiplexor && name);

    if (!is_muxed || only == self) {
        warn_row_ignored(b, signal);
        return;
    }
    if (name)
        above = find_multiplexor(signals, message->m.signal_count, name);
    if (above == DBC_NONE && name)
        dbc_refuse_signal(b, message, signal, "D107", "SG_MUL_VAL_ in line %u names the multiplexor "
                          "'%s', which is not one of the message's", signal->mux_row->place.line,
                          name);
    else if (above == DBC_NONE)
        dbc_refuse_signal(b, message, signal, "D107", "it is marked m%llu, but the message has no "
                          "multiplexor M, or several and no SG_MUL_VAL_ row for it",
                          (unsigned long long)signal->mux_value);
    else if (signals[above].s.layout.bits > 64)
        dbc_refuse_signal(b, message, signal, "D107", "its multiplexor '%s' has more than 64 bits",
                          signals[above].s.short_name);
    if (signal->refused)
        return;
    signal->s.multiplexor = above;
    set_ranges(b, signal, above == only && signal->is_muxed);
}

/* Refuses what stands below a refused multiplexor, in a ring, or too deep. */
static void judge_chain(struct dbc_build *b, const struct build_message *message,
                        struct build_signal *signal)
{
    struct build_signal *signals = build_signals(b, message);
    int32_t above = signal->s.multiplexor;

    for (int depth = 0; above != DBC_NONE; depth++) {
        if (signals[above].refused) {
            dbc_refuse_signal(b, message, signal, "D107", "its multiplexor '%s' is refused",
                              signals[above].s.short_name);
            return;
        }
        if (depth == DBC_MUX_DEPTH_MAX) {
            dbc_refuse_signal(b, message, signal, "D107", "more than %d multiplexors stand above it, "
                              "or they form a ring", DBC_MUX_DEPTH_MAX);
            return;
        }
        above = signals[above].s.multiplexor;
    }
}

static bool ranges_meet(const struct dbc_signal *a, const struct dbc_signal *b)
{
    for (uint32_t i = 0, k = 0; i < a->range_count && k < b->range_count;) {
        if (a->ranges[i].first <= b->ranges[k].last && b->ranges[k].first <= a->ranges[i].last)
            return true;
        if (a->ranges[i].last < b->ranges[k].first)
            i++;
        else
            k++;
    }
    return false;
}

/* Do they hang on different values of one multiplexor, directly or higher up? */
static bool exclude_each_other(const struct build_signal *signals, const struct dbc_signal *a,
                               const struct dbc_signal *b)
{
    for (; a->multiplexor != DBC_NONE; a = &signals[a->multiplexor].s)
        for (const struct dbc_signal *c = b; c->multiplexor != DBC_NONE;
             c = &signals[c->multiplexor].s)
            if (a->multiplexor == c->multiplexor && !ranges_meet(a, c))
                return true;
    return false;
}

/* A frame must never carry two signals of one name: the name would mean neither. */
static void judge_same_names(struct dbc_build *b, const struct build_message *message,
                             struct build_signal *signal)
{
    struct build_signal *signals = build_signals(b, message);
    uint32_t steps = 0;

    for (int32_t i = signal->s.same_name; i != DBC_NONE; i = signals[i].s.same_name) {
        if (signals[i].refused)
            continue;
        if (++steps > SAME_NAME_MAX || !exclude_each_other(signals, &signal->s, &signals[i].s))
            dbc_refuse_signal(b, message, &signals[i], "D106", "the message has a signal of this "
                              "name in line %u already", signal->s.line);
    }
}

void dbc_link_multiplexors(struct dbc_build *b, struct build_message *message)
{
    struct build_signal *signals = build_signals(b, message);
    uint32_t count = message->m.signal_count;
    int32_t only = only_multiplexor(signals, count);

    for (uint32_t i = 0; i < count && !b->status; i++)
        if (!signals[i].refused)
            link_signal(b, message, &signals[i], only);
    for (uint32_t i = 0; i < count && !b->status; i++)
        if (!signals[i].refused)
            judge_chain(b, message, &signals[i]);
    for (uint32_t i = 0; i < count && !b->status; i++)
        if (!signals[i].refused)
            judge_same_names(b, message, &signals[i]);
}

/* --- long names: kept when they mean one thing --- */

static bool too_long(const char *name)
{
    return strlen(name) > DBC_NAME_MAX;
}

static void warn_name(struct dbc_build *b, struct dbc_place place, const char *name,
                      const char *short_name)
{
    dbc_warn(b, "D109", place, "the long name '%.60s' is %s; '%s' keeps its short name", name,
             too_long(name) ? "over 128 bytes" : "taken already", short_name);
}

static void name_signals(struct dbc_build *b, struct dbc_names *names, uint32_t index)
{
    struct build_message *message = &b->messages[index];
    struct build_signal *signals = build_signals(b, message);

    for (uint32_t i = 0; i < message->m.signal_count; i++)
        if (!signals[i].refused && signals[i].s.name == signals[i].s.short_name)
            (void)dbc_names_put(names, index, signals[i].s.name, i);
    for (uint32_t i = 0; i < message->m.signal_count; i++) {
        struct dbc_signal *signal = &signals[i].s;
        if (signals[i].refused || signal->name == signal->short_name)
            continue;
        uint32_t holder = too_long(signal->name) ? DBC_NAME_UNKNOWN
                                                 : dbc_names_put(names, index, signal->name, i);
        if (holder != DBC_NAME_UNKNOWN &&
            strcmp(signals[holder].s.short_name, signal->short_name) == 0)
            continue;
        warn_name(b, (struct dbc_place){ signal->line, signal->column }, signal->name,
                  signal->short_name);
        signal->name = signal->short_name;
    }
}

static void name_message(struct dbc_build *b, struct dbc_names *names, uint32_t index)
{
    struct dbc_message *message = &b->messages[index].m;
    uint32_t holder = too_long(message->name)
                          ? DBC_NAME_UNKNOWN
                          : dbc_names_put(names, DBC_SCOPE_MESSAGES, message->name, index);

    if (holder == index)
        return;
    struct dbc_place place = { message->line, message->column };
    if (message->name != message->short_name)
        warn_name(b, place, message->name, message->short_name);
    else
        dbc_warn(b, "D109", place, "message '%s' has the name of the one in line %u; rules that "
                 "name it mean that one", message->name, b->messages[holder].m.line);
    message->name = message->short_name;
}

void dbc_link_names(struct dbc_build *b)
{
    struct dbc_names names;

    if (dbc_names_init(&names, &b->arena, b->signal_count + b->message_count) != 0) {
        dbc_fail(b, -ENOMEM, (struct dbc_place){ 0, 0 }, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < b->message_count && !b->status; i++) {
        if (b->messages[i].refused)
            continue;
        name_message(b, &names, i);
        name_signals(b, &names, i);
    }
}
