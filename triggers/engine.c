/* Steps, timers and the graph; invariants in engine_private.h.
 *
 * One instant (a step or all timers due at one time) runs so: what changed marks its nodes dirty;
 * dirty nodes are evaluated in the order of their indices, which is topological, and a node whose
 * value stays as it was marks nobody; rules whose condition changed run, in the order of the pack;
 * then pulses fall back and the same is done again until none is left. */
#include "triggers/engine_private.h"

#include "proto/j1939.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- signals -------------------------------------------------------------------------------- */

static bool is_valid(const struct graph_signal *s, const struct decoded *d)
{
    if (!d->fits || d->quality != QUALITY_GOOD)
        return false;
    if (d->kind == DECODE_FLOAT32 || d->kind == DECODE_FLOAT64) {
        if (!isfinite(d->physical))
            return false;
        if (!s->has_valid)
            return true;
        return (s->float_open_low ? d->physical > s->float_low : d->physical >= s->float_low) &&
               (s->float_open_high ? d->physical < s->float_high : d->physical <= s->float_high);
    }
    for (uint32_t i = 0; i < s->invalid_count; i++)
        if (s->invalid[i] == d->raw_signed)
            return false;
    uint64_t key = signal_key(&s->first->plan, d->raw);
    return !s->has_valid || (key >= s->valid_low && key <= s->valid_high);
}

/* Of the branches of one name the frame carries one at most. */
static bool decode_branch(const struct graph_signal *s, const struct frame *frame,
                          struct decoded *d)
{
    const struct dbc_signal *branch = s->first;

    for (;;) {
        decode_signal(s->message, branch, frame->data, frame->len, d);
        if (d->present)
            return true;
        if (branch->same_name == DBC_NONE)
            return false;
        branch = &s->message->signals[branch->same_name];
    }
}

static void arm_signal(struct engine *e, uint32_t signal)
{
    int64_t max_age = e->graph->signals[signal].max_age_ns;

    /* A timer that stands already is earlier; it looks at the real deadline when it is due. */
    if (max_age && e->timers.place[signal] == UINT32_MAX)
        timers_set(&e->timers, signal, e->slots[signal].sampled_ns + max_age);
}

static void sample(struct engine *e, uint32_t signal, const struct decoded *d, int64_t mono_ns)
{
    const struct graph *g = e->graph;
    struct signal_slot *slot = &e->slots[signal];
    uint8_t state = is_valid(&g->signals[signal], d) ? SIGNAL_KNOWN : SIGNAL_INVALID;
    bool same = slot->state == state && (state != SIGNAL_KNOWN || slot->raw == d->raw);

    e->stats.samples++;
    e->stats.misfits += !d->fits;
    slot->sampled_ns = mono_ns;
    slot->has_sample = true;
    slot->state = state;
    if (state == SIGNAL_KNOWN)
        slot->raw = d->raw;
    if (!e->has_begun)
        return;
    arm_signal(e, signal);
    if (!same)
        for (uint32_t i = g->reader_begin[signal]; i < g->reader_begin[signal + 1]; i++)
            engine_mark(e, g->readers[i]);
    for (uint32_t i = g->sampler_begin[signal]; i < g->sampler_begin[signal + 1]; i++) {
        uint32_t node = g->samplers[i];
        engine_mark(e, node);
        if (g->nodes[node].op != NODE_AGE_OVER) {
            e->is_sampled[node] = true;
            continue;
        }
        e->is_over[node] = false;
        uint32_t slot_index = g->signal_count + (uint32_t)e->age_slot[node];
        if (e->timers.place[slot_index] == UINT32_MAX)
            timers_set(&e->timers, slot_index, mono_ns + g->nodes[node].k0.i);
    }
}

static uint64_t frame_key(const struct frame *frame)
{
    return ((uint64_t)frame->source << 33 | (uint64_t)((frame->flags & FRAME_EFF) != 0) << 32 |
            frame->id) + 1;
}

static int32_t look_up(const struct engine *e, const struct frame *frame)
{
    struct dbset_match match = { 0 };

    if (frame->source >= e->sources.count ||
        !dbset_find(&e->routes[frame->source], frame->id, frame->flags, &match))
        return NONE_MESSAGE;
    for (uint32_t i = 0; i < e->graph->message_count; i++)
        if (e->graph->messages[i].message == match.message)
            return (int32_t)i; /* the first of its chain */
    return NONE_MESSAGE;
}

/* The first message that the frame carries; more in next_message. */
static int32_t find_message(struct engine *e, const struct frame *frame)
{
    uint64_t key = frame_key(frame);
    uint64_t at = key * UINT64_C(0x9e3779b97f4a7c15) >> 51;

    if (frame->flags & (FRAME_RTR | FRAME_ERR))
        return NONE_MESSAGE;
    while (e->cache[at].key && e->cache[at].key != key)
        at = (at + 1) & (CACHE_SLOTS - 1);
    if (e->cache[at].key)
        return e->cache[at].message;
    int32_t message = look_up(e, frame);
    /* A quarter stays free, so that a search always ends; ids beyond are looked up each time. */
    if (e->cache_count < CACHE_SLOTS / 4 * 3) {
        e->cache[at] = (struct cache_entry){ key, message };
        e->cache_count++;
    }
    return message;
}

/* Is the frame from a bus and, where one is named, from the J1939 source that feeds the signals? */
static bool feeds(const struct engine *e, int32_t message, const struct frame *frame)
{
    int16_t address = e->graph->messages[message].address;

    return e->serves[(uint32_t)message * SOURCES_MAX + frame->source] &&
           (address == DBSET_ANY_ADDRESS || address == j1939_source(frame->id));
}

bool engine_reads(struct engine *e, const struct frame *frame)
{
    for (int32_t m = find_message(e, frame); m >= 0; m = e->next_message[m])
        if (feeds(e, m, frame))
            return true;
    return false;
}

static void apply(struct engine *e, const struct row *row)
{
    const struct graph *g = e->graph;

    for (int32_t m = find_message(e, &row->frame); m >= 0; m = e->next_message[m]) {
        const struct graph_message *message = &g->messages[m];
        if (!feeds(e, m, &row->frame))
            continue;
        for (uint32_t i = 0; i < message->signal_count; i++) {
            uint32_t signal = g->by_message[message->first_signal + i];
            struct decoded d;
            if (decode_branch(&g->signals[signal], &row->frame, &d))
                sample(e, signal, &d, row->mono_ns);
        }
    }
}

/* --- timers --------------------------------------------------------------------------------- */

static void signal_due(struct engine *e, uint32_t signal)
{
    const struct graph *g = e->graph;
    struct signal_slot *slot = &e->slots[signal];

    if (slot->state != SIGNAL_KNOWN && slot->state != SIGNAL_INVALID)
        return;
    int64_t due = slot->sampled_ns + g->signals[signal].max_age_ns;
    if (due > e->now_ns) {
        timers_set(&e->timers, signal, due);
        return;
    }
    slot->state = SIGNAL_STALE;
    for (uint32_t i = g->reader_begin[signal]; i < g->reader_begin[signal + 1]; i++)
        engine_mark(e, g->readers[i]);
}

static void age_due(struct engine *e, uint32_t slot)
{
    uint32_t node = e->age_nodes[slot];
    const struct node *n = &e->graph->nodes[node];
    const struct signal_slot *signal = &e->slots[n->signal];

    if (!signal->has_sample)
        return;
    int64_t due = signal->sampled_ns + n->k0.i;
    if (due > e->now_ns) {
        timers_set(&e->timers, e->graph->signal_count + slot, due);
        return;
    }
    e->is_over[node] = true;
    engine_mark(e, node);
}

static void run_instant(struct engine *e, int64_t at_ns)
{
    uint32_t signals = e->graph->signal_count;

    e->now_ns = at_ns > e->now_ns ? at_ns : e->now_ns;
    e->by_timer = true;
    e->stats.instants++;
    e->instant++;
    while (timers_next(&e->timers) <= e->now_ns) {
        uint32_t slot = timers_pop(&e->timers);
        if (slot < signals)
            signal_due(e, slot);
        else if (slot < signals + e->age_count)
            age_due(e, slot - signals);
        else if (slot < signals + e->age_count + e->life_count)
            engine_touch(e, slot - signals - e->age_count);
        else
            op_due(e, e->op_nodes[slot - signals - e->age_count - e->life_count]);
    }
    engine_settle(e);
}

int64_t engine_next_due(const struct engine *e)
{
    return timers_next(&e->timers);
}

/* Makes room for what one call can raise; events that were not taken stay in front. */
static void make_room(struct engine *e)
{
    e->event_count -= e->event_first;
    memmove(e->events, e->events + e->event_first, e->event_count * sizeof *e->events);
    e->event_first = 0;
}

bool engine_advance(struct engine *e, int64_t mono_ns)
{
    make_room(e);
    int64_t due = timers_next(&e->timers);

    if (!e->has_begun || due >= mono_ns)
        return false;
    run_instant(e, due);
    return true;
}

/* Sets every timer from what the signals and lives say; for begin, discontinuity and reload. */
void engine_rearm(struct engine *e)
{
    const struct graph *g = e->graph;

    for (uint32_t i = 0; i < g->signal_count; i++) {
        timers_clear(&e->timers, i);
        if (e->slots[i].state == SIGNAL_KNOWN || e->slots[i].state == SIGNAL_INVALID)
            arm_signal(e, i);
    }
    for (uint32_t i = 0; i < e->op_count; i++) {
        timers_clear(&e->timers, engine_op_slot(e, i));
        op_arm(e, e->op_nodes[i], e->op_states[e->op_nodes[i]]->due_ns);
    }
    for (uint32_t i = 0; i < e->age_count; i++) {
        const struct node *n = &g->nodes[e->age_nodes[i]];
        const struct signal_slot *slot = &e->slots[n->signal];
        timers_clear(&e->timers, g->signal_count + i);
        e->is_over[e->age_nodes[i]] = slot->has_sample && slot->sampled_ns + n->k0.i < e->now_ns;
        if (slot->has_sample && !e->is_over[e->age_nodes[i]])
            timers_set(&e->timers, g->signal_count + i, slot->sampled_ns + n->k0.i);
    }
}

/* --- steps ---------------------------------------------------------------------------------- */

void engine_seed(struct engine *e, const struct row *row)
{
    assert(!e->has_begun);
    apply(e, row);
}

/* A seeded signal is as old as its row; exactly max_age old is not yet stale. */
static void age_seeds(struct engine *e)
{
    for (uint32_t i = 0; i < e->graph->signal_count; i++) {
        struct signal_slot *slot = &e->slots[i];
        int64_t max_age = e->graph->signals[i].max_age_ns;
        if (slot->has_sample && max_age && slot->state != SIGNAL_STALE &&
            slot->sampled_ns + max_age < e->now_ns)
            slot->state = SIGNAL_STALE;
    }
}

static void begin_at(struct engine *e, int64_t mono_ns)
{
    e->now_ns = mono_ns;
    e->by_timer = false;
    e->instant++;
    age_seeds(e);
    for (uint32_t i = 0; i < e->op_count; i++)
        op_reset(e, e->op_nodes[i]);
    memset(e->is_sampled, 0, e->graph->node_count * sizeof *e->is_sampled);
    engine_rearm(e);
    engine_evaluate_all(e);
    engine_run_lives(e);
}

/* The seed is the last sample that PREV knows. */
static void seed_prev(struct engine *e)
{
    const struct graph *g = e->graph;

    for (uint32_t s = 0; s < g->signal_count; s++)
        for (uint32_t i = g->sampler_begin[s]; i < g->sampler_begin[s + 1]; i++) {
            uint32_t node = g->samplers[i];
            if (g->nodes[node].op != NODE_PREV || !e->slots[s].has_sample)
                continue;
            struct memory *m = &e->memories[e->memory_of[node]];
            if (m->has_last) /* a handover brought it */
                continue;
            m->last = e->cells[g->nodes[node].child[0]];
            m->has_last = true;
        }
}

void engine_begin(struct engine *e, int64_t mono_ns)
{
    assert(!e->has_begun);
    e->has_begun = true;
    begin_at(e, mono_ns);
    seed_prev(e);
}

/* Timers due exactly now run behind the steps of this time, but the begin of a window is there
 * already: `at` and coverage change at a step too (instant 1). Depth: that of the heap. */
static void mark_windows_due(struct engine *e, uint32_t at)
{
    const struct timers *t = &e->timers;

    if (at >= t->count || t->due[t->heap[at]] != e->now_ns)
        return;
    uint32_t first = engine_op_slot(e, 0), slot = t->heap[at];
    if (slot >= first && op_is_due_at_steps(e, e->op_nodes[slot - first]))
        engine_mark(e, e->op_nodes[slot - first]);
    mark_windows_due(e, 2 * at + 1);
    mark_windows_due(e, 2 * at + 2);
}

void engine_step(struct engine *e, const struct row *row)
{
    assert(e->has_begun);
    make_room(e);
    if (row->frame.flags & FRAME_LATE) {
        e->stats.late++;
        return;
    }
    assert(row->mono_ns >= e->now_ns && timers_next(&e->timers) >= row->mono_ns);
    e->now_ns = row->mono_ns;
    e->step = row->step;
    e->by_timer = false;
    e->stats.steps++;
    e->instant++;
    mark_windows_due(e, 0);
    apply(e, row);
    engine_settle(e);
}

void engine_finish(struct engine *e, enum rule_reason reason)
{
    make_room(e);
    if (!e->has_begun)
        return;
    while (timers_next(&e->timers) <= e->now_ns)
        run_instant(e, e->now_ns);
    for (uint32_t i = 0; i < e->life_count; i++) {
        life_close(e, i, reason);
        life_reset(e, i);
        life_note(e, i);
    }
}

void engine_discontinuity(struct engine *e, int64_t mono_ns)
{
    if (!e->has_begun)
        return;
    engine_finish(e, REASON_DISCONTINUITY);
    for (uint32_t i = 0; i < e->graph->signal_count; i++)
        e->slots[i] = (struct signal_slot){ .state = SIGNAL_MISSING };
    for (uint32_t i = 0; i < e->memory_count; i++)
        e->memories[i].has_last = e->memories[i].has_before = false;
    begin_at(e, mono_ns > e->now_ns ? mono_ns : e->now_ns);
}

bool engine_take(struct engine *e, struct rule_event *ret_event)
{
    if (e->event_first == e->event_count) {
        e->event_first = e->event_count = 0;
        return false;
    }
    *ret_event = e->events[e->event_first++];
    if (e->event_first == e->event_count)
        e->event_first = e->event_count = 0;
    return true;
}

/* --- looking -------------------------------------------------------------------------------- */

struct engine_stats engine_stats(const struct engine *e)
{
    return e->stats;
}

struct rule_stats engine_rule_stats(const struct engine *e, uint32_t rule)
{
    const struct rule_run *run = &e->runs[rule];
    struct rule_stats stats = run->stats;
    const int32_t lives[] = { run->life, run->falling };

    for (size_t i = 0; i < 2; i++)
        if (lives[i] >= 0)
            stats.is_active = stats.is_active || e->lives[lives[i]].state.phase == LIFE_ACTIVE ||
                              e->lives[lives[i]].state.phase == LIFE_LINGERING;
    return stats;
}

const char *rule_event_kind_name(enum rule_event_kind kind)
{
    static const char *const names[] = { "fire", "end", "continue", "closed", "suppressed" };
    return names[kind];
}

const char *rule_edge_name(enum rule_edge edge)
{
    static const char *const names[] = { "rising", "falling", "level" };
    return names[edge];
}

const char *rule_reason_name(enum rule_reason reason)
{
    static const char *const names[] = { "", "ended", "input_lost", "max_active", "input_end",
                                         "discontinuity", "reload", "exception", "cooldown",
                                         "limit", "shadow", "unknown" };
    return names[reason];
}
