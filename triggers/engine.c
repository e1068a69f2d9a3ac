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

/* --- marking -------------------------------------------------------------------------------- */

static void mark(struct engine *e, uint32_t node)
{
    uint32_t word = node / 64;

    e->dirty[word] |= UINT64_C(1) << (node % 64);
    if (word < e->dirty_low)
        e->dirty_low = word;
}

static void mark_parents(struct engine *e, uint32_t node)
{
    const struct graph *g = e->graph;

    for (uint32_t i = g->parent_begin[node]; i < g->parent_begin[node + 1]; i++)
        mark(e, g->parents[i]);
    for (uint32_t i = e->root_begin[node]; i < e->root_begin[node + 1]; i++)
        engine_touch(e, e->root_lives[i]);
}

/* --- operations ----------------------------------------------------------------------------- */

static struct cell logic(uint8_t v)
{
    return (struct cell){ .i = 0, .v = v };
}

static struct cell truth(bool v)
{
    return logic(v ? LOGIC_T : LOGIC_F);
}

static struct cell number(double d)
{
    if (!isfinite(d))
        return logic(NUMBER_UNKNOWN);
    return (struct cell){ .d = d, .v = NUMBER_KNOWN };
}

static struct cell integer(int64_t i)
{
    return (struct cell){ .i = i, .v = NUMBER_KNOWN };
}

static struct cell eval_leaf(const struct engine *e, uint32_t index, const struct node *n)
{
    switch (n->op) {
    case NODE_LOGIC: return logic((uint8_t)n->k0.i);
    case NODE_NUM: return number(n->k0.d);
    case NODE_INT: return integer(n->k0.i);
    default: break;
    }
    const struct graph_signal *s = &e->graph->signals[n->signal];
    const struct signal_slot *slot = &e->slots[n->signal];
    if (n->op == NODE_STATE)
        return truth((n->k0.i >> slot->state & 1) != 0);
    if (n->op == NODE_AGE_OVER)
        return slot->has_sample ? truth(e->is_over[index]) : logic(LOGIC_U);
    if (slot->state != SIGNAL_KNOWN)
        return logic(LOGIC_U);
    const struct decode_plan *plan = &s->first->plan;
    if (n->op == NODE_RAW_IN) {
        uint64_t key = signal_key(plan, slot->raw);
        return truth(key >= n->k0.u && key <= n->k1.u);
    }
    if (n->op == NODE_SIGNAL_INT)
        return integer(plan->kind == DECODE_SIGNED ? decode_extend(plan, slot->raw)
                                                   : (int64_t)slot->raw);
    if (n->op == NODE_SIGNAL_NUM)
        return number(decode_physical(plan, slot->raw));
    return logic(NUMBER_UNKNOWN); /* NODE_AGE is asked for by life.c */
}

static struct cell eval_num(const struct node *n, double a, double b)
{
    switch (n->op) {
    case NODE_LT: return truth(a < b);
    case NODE_LE: return truth(a <= b);
    case NODE_EQ: return truth(!(a < b) && !(a > b));
    case NODE_ADD: return number(a + b);
    case NODE_SUB: return number(a - b);
    case NODE_MUL: return number(a * b);
    case NODE_DIV: return number(a / b);
    case NODE_NEG: return number(-a);
    case NODE_ABS: return number(fabs(a));
    case NODE_SQRT: return a < 0 ? logic(NUMBER_UNKNOWN) : number(sqrt(a));
    case NODE_SIGN: return number((a > 0) - (a < 0));
    case NODE_MOD: return number(fmod(a, b));
    case NODE_MIN: return number(b < a ? b : a);
    case NODE_MAX: return number(b > a ? b : a);
    case NODE_SCALE: return number(a * n->k0.d / n->k1.d);
    case NODE_SHIFT: return number(a + n->k0.d);
    default: return logic(NUMBER_UNKNOWN);
    }
}

static struct cell eval_int(const struct node *n, int64_t a, int64_t b)
{
    int64_t r = 0;
    bool lost = false;

    switch (n->op) {
    case NODE_INT_LT: return truth(a < b);
    case NODE_INT_LE: return truth(a <= b);
    case NODE_INT_EQ: return truth(a == b);
    case NODE_BIT: return truth((a >> n->k0.i & 1) != 0);
    case NODE_FROM_INT: return number((double)a);
    case NODE_INT_ADD: lost = __builtin_add_overflow(a, b, &r); break;
    case NODE_INT_SUB: lost = __builtin_sub_overflow(a, b, &r); break;
    case NODE_INT_MUL: lost = __builtin_mul_overflow(a, b, &r); break;
    case NODE_INT_NEG: lost = __builtin_sub_overflow((int64_t)0, a, &r); break;
    case NODE_INT_ABS: lost = a == INT64_MIN; r = lost ? 0 : a < 0 ? -a : a; break;
    case NODE_INT_MOD: lost = b == 0; r = lost || b == -1 ? 0 : a % b; break;
    case NODE_INT_MIN: r = b < a ? b : a; break;
    case NODE_INT_MAX: r = b > a ? b : a; break;
    case NODE_INT_SIGN: r = (a > 0) - (a < 0); break;
    default: lost = true; break;
    }
    return lost ? logic(NUMBER_UNKNOWN) : integer(r);
}

static bool same_cell(const struct node *n, const struct cell *a, const struct cell *b)
{
    if (a->v != b->v)
        return false;
    if (n->type == TYPE_LOGIC || a->v != NUMBER_KNOWN)
        return true;
    return n->type == TYPE_INT ? a->i == b->i : !(a->d < b->d) && !(a->d > b->d);
}

/* The operand was known and is no longer: keep what the memory held, for saving states. */
static void note_lost(struct engine *e, struct memory *m)
{
    if (m->lost_count == LOST_MAX) {
        memmove(m->lost, m->lost + 1, sizeof m->lost - sizeof m->lost[0]);
        m->lost_count--;
    }
    m->lost[m->lost_count].at_ns = e->now_ns;
    m->lost[m->lost_count++].value = m->last;
}

static bool change_matters(const struct engine *e, const struct node *n, const struct cell *old,
                           const struct cell *now)
{
    const struct node *operand = &e->graph->nodes[n->child[0]];
    int32_t from = n->k0.i & 1 ? n->child[1] : NODE_NONE;
    int32_t to = n->k0.i & 2 ? n->child[n->k0.i & 1 ? 2 : 1] : NODE_NONE;

    return !same_cell(operand, old, now) &&
           (from < 0 || same_cell(operand, old, &e->cells[from])) &&
           (to < 0 || same_cell(operand, now, &e->cells[to]));
}

static struct cell eval_pulse(struct engine *e, uint32_t index, const struct node *n)
{
    struct memory *m = &e->memories[e->memory_of[index]];
    const struct cell *now = &e->cells[n->child[0]];
    bool logical = e->graph->nodes[n->child[0]].type == TYPE_LOGIC;
    bool known = logical ? now->v != LOGIC_U : now->v == NUMBER_KNOWN;
    bool fires = false;

    if (!known) {
        if (m->has_last && e->cells[index].v != LOGIC_U)
            note_lost(e, m);
        return logic(LOGIC_U);
    }
    if (m->has_last && n->op == NODE_CHANGED)
        fires = change_matters(e, n, &m->last, now);
    else if (m->has_last)
        fires = m->last.v != now->v && now->v == (n->op == NODE_RISE ? LOGIC_T : LOGIC_F);
    m->last = *now;
    m->has_last = true;
    if (!fires)
        return logic(LOGIC_F);
    e->pulses[e->pulse_count++] = index;
    return logic(LOGIC_T);
}

static struct cell eval_prev(struct engine *e, uint32_t index, const struct node *n)
{
    struct memory *m = &e->memories[e->memory_of[index]];

    if (e->is_sampled[index]) {
        e->is_sampled[index] = false;
        m->before = m->last;
        m->has_before = m->has_last;
        m->last = e->cells[n->child[0]];
        m->has_last = true;
    }
    return m->has_before ? m->before : logic(LOGIC_U);
}

static struct cell eval_logic(const struct engine *e, const struct node *n)
{
    const struct cell *a = &e->cells[n->child[0]], *b = n->child[1] < 0 ? a
                                                                        : &e->cells[n->child[1]];
    bool logical = e->graph->nodes[n->child[0]].type == TYPE_LOGIC;

    switch (n->op) {
    case NODE_NOT: return logic((uint8_t)(LOGIC_T - a->v));
    case NODE_AND: return logic(a->v < b->v ? a->v : b->v);
    case NODE_OR: return logic(a->v > b->v ? a->v : b->v);
    case NODE_MUST: return truth(a->v == LOGIC_T);
    case NODE_MAYBE: return truth(a->v != LOGIC_F);
    case NODE_KNOWN: return truth(logical ? a->v != LOGIC_U : a->v == NUMBER_KNOWN);
    case NODE_COAL: return a->v == LOGIC_U ? *b : *a;
    default: break;
    }
    if (a->v == LOGIC_U) /* NODE_IF */
        return logic(LOGIC_U);
    return e->cells[a->v == LOGIC_T ? n->child[1] : n->child[2]];
}

static struct cell evaluate(struct engine *e, uint32_t index)
{
    const struct node *n = &e->graph->nodes[index];

    if (n->op <= NODE_AGE)
        return eval_leaf(e, index, n);
    if (n->op == NODE_RISE || n->op == NODE_FALL || n->op == NODE_CHANGED)
        return eval_pulse(e, index, n);
    if (n->op == NODE_PREV)
        return eval_prev(e, index, n);
    if ((n->op >= NODE_NOT && n->op <= NODE_KNOWN) || n->op == NODE_COAL || n->op == NODE_IF)
        return eval_logic(e, n);
    const struct cell *a = &e->cells[n->child[0]];
    const struct cell *b = n->child[1] < 0 ? a : &e->cells[n->child[1]];
    if (a->v != NUMBER_KNOWN || b->v != NUMBER_KNOWN)
        return logic(NUMBER_UNKNOWN);
    if (e->graph->nodes[n->child[0]].type == TYPE_INT)
        return eval_int(n, a->i, b->i);
    return eval_num(n, a->d, b->d);
}

/* --- propagation ---------------------------------------------------------------------------- */

static void propagate(struct engine *e)
{
    for (uint32_t word = e->dirty_low; word < e->dirty_words; word++) {
        while (e->dirty[word]) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(e->dirty[word]);
            e->dirty[word] &= e->dirty[word] - 1;
            struct cell now = evaluate(e, index);
            if (same_cell(&e->graph->nodes[index], &now, &e->cells[index]))
                continue;
            e->cells[index] = now;
            e->stats.flips++;
            mark_parents(e, index); /* all of them lie behind */
        }
    }
    e->dirty_low = e->dirty_words;
}

static void run_lives(struct engine *e)
{
    for (uint32_t word = 0; word < e->touched_words; word++)
        while (e->touched[word]) {
            uint32_t life = word * 64 + (uint32_t)__builtin_ctzll(e->touched[word]);
            e->touched[word] &= e->touched[word] - 1;
            life_run(e, life);
        }
}

void engine_settle(struct engine *e)
{
    propagate(e);
    run_lives(e);
    while (e->pulse_count) {
        uint32_t count = e->pulse_count;
        e->pulse_count = 0;
        for (uint32_t i = 0; i < count; i++) {
            e->cells[e->pulses[i]] = logic(LOGIC_F);
            mark_parents(e, e->pulses[i]);
        }
        propagate(e);
        run_lives(e);
    }
}

/* Every node once, as at load: no pulses, no flips counted, memories taken where they are empty. */
void engine_evaluate_all(struct engine *e)
{
    memset(e->dirty, 0, e->dirty_words * sizeof *e->dirty);
    for (uint32_t i = 0; i < e->graph->node_count; i++) {
        const struct node *n = &e->graph->nodes[i];
        if (n->op == NODE_RISE || n->op == NODE_FALL || n->op == NODE_CHANGED)
            e->cells[i] = logic(LOGIC_F); /* a loaded memory is older than its unknown operand */
        e->cells[i] = evaluate(e, i);
        if (e->cells[i].v == LOGIC_T &&
            (n->op == NODE_RISE || n->op == NODE_FALL || n->op == NODE_CHANGED))
            e->cells[i] = logic(LOGIC_F);
    }
    e->pulse_count = 0;
    for (uint32_t i = 0; i < e->life_count; i++)
        engine_touch(e, i);
}

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
            mark(e, g->readers[i]);
    for (uint32_t i = g->sampler_begin[signal]; i < g->sampler_begin[signal + 1]; i++) {
        uint32_t node = g->samplers[i];
        mark(e, node);
        if (g->nodes[node].op == NODE_PREV) {
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
        mark(e, g->readers[i]);
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
    mark(e, node);
}

static void run_instant(struct engine *e, int64_t at_ns)
{
    uint32_t signals = e->graph->signal_count;

    e->now_ns = at_ns > e->now_ns ? at_ns : e->now_ns;
    e->by_timer = true;
    e->stats.instants++;
    while (timers_next(&e->timers) <= e->now_ns) {
        uint32_t slot = timers_pop(&e->timers);
        if (slot < signals)
            signal_due(e, slot);
        else if (slot < signals + e->age_count)
            age_due(e, slot - signals);
        else
            engine_touch(e, slot - signals - e->age_count);
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
    age_seeds(e);
    engine_rearm(e);
    for (uint32_t i = 0; i < e->graph->node_count; i++)
        if (e->graph->nodes[i].op == NODE_PREV)
            e->is_sampled[i] = false;
    engine_evaluate_all(e);
    run_lives(e);
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

/* --- opening -------------------------------------------------------------------------------- */

static void *room(size_t count, size_t size)
{
    return calloc(count ? count : 1, size);
}

static int open_graph(struct engine *e)
{
    const struct graph *g = e->graph;
    size_t nodes = g->node_count;

    for (uint32_t i = 0; i < nodes; i++) {
        uint8_t op = g->nodes[i].op;
        e->age_count += op == NODE_AGE_OVER;
        e->memory_count += op >= NODE_RISE && op <= NODE_PREV;
    }
    e->dirty_words = (uint32_t)(nodes + 63) / 64;
    e->dirty_low = e->dirty_words;
    e->cells = room(nodes, sizeof *e->cells);
    e->slots = room(g->signal_count, sizeof *e->slots);
    e->memories = room(e->memory_count, sizeof *e->memories);
    e->memory_of = room(nodes, sizeof *e->memory_of);
    e->is_over = room(nodes, sizeof *e->is_over);
    e->is_sampled = room(nodes, sizeof *e->is_sampled);
    e->age_nodes = room(e->age_count, sizeof *e->age_nodes);
    e->age_slot = room(nodes, sizeof *e->age_slot);
    e->dirty = room(e->dirty_words, sizeof *e->dirty);
    e->pulses = room(e->memory_count, sizeof *e->pulses);
    if (!e->cells || !e->slots || !e->memories || !e->memory_of || !e->is_over || !e->is_sampled ||
        !e->age_nodes || !e->age_slot || !e->dirty || !e->pulses)
        return -ENOMEM;
    uint32_t ages = 0, memories = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        uint8_t op = g->nodes[i].op;
        e->cells[i].v = LOGIC_U;
        e->age_slot[i] = e->memory_of[i] = -1;
        if (op == NODE_AGE_OVER) {
            e->age_slot[i] = (int32_t)ages;
            e->age_nodes[ages++] = i;
        } else if (op >= NODE_RISE && op <= NODE_PREV) {
            e->memory_of[i] = (int32_t)memories++;
        }
    }
    return 0;
}

static int open_messages(struct engine *e, const struct dbset *dbset)
{
    const struct graph *g = e->graph;

    e->routes = room(SOURCES_MAX, sizeof *e->routes);
    e->cache = room(CACHE_SLOTS, sizeof *e->cache);
    e->next_message = room(g->message_count, sizeof *e->next_message);
    e->serves = room((size_t)g->message_count * SOURCES_MAX, sizeof *e->serves);
    if (!e->routes || !e->cache || !e->next_message || !e->serves)
        return -ENOMEM;
    for (uint32_t s = 0; s < e->sources.count && dbset; s++)
        dbset_route_init(&e->routes[s], dbset, e->sources.items[s].name);
    for (uint32_t m = 0; m < g->message_count; m++) {
        e->next_message[m] = NONE_MESSAGE;
        for (uint32_t k = m + 1; k < g->message_count; k++)
            if (g->messages[k].message == g->messages[m].message) {
                e->next_message[m] = (int32_t)k;
                break;
            }
        for (uint32_t s = 0; s < e->sources.count; s++)
            e->serves[m * SOURCES_MAX + s] = !g->messages[m].bus[0] ||
                strcmp(g->messages[m].bus, e->sources.items[s].name) == 0;
    }
    return 0;
}

static int add_life(struct engine *e, uint32_t rule, int32_t root, enum rule_edge edge,
                    int32_t *ret_life)
{
    struct life *l = &e->lives[e->life_count];

    l->rule = rule;
    l->root = root;
    l->edge = (uint8_t)edge;
    l->state = (struct life_state){ .root = LOGIC_U, .armed = LOGIC_U, .end_ns = -1,
                                    .cooldown_until_ns = INT64_MIN, .timer_ns = TIMER_NEVER };
    l->journal = room(ENGINE_JOURNAL, sizeof *l->journal);
    *ret_life = (int32_t)e->life_count++;
    return l->journal ? 0 : -ENOMEM;
}

static int open_rule(struct engine *e, uint32_t index)
{
    const struct rule *rule = &e->ruleset->rules[index];
    const struct program_rule *p = &e->ruleset->program[index];
    struct rule_run *run = &e->runs[index];

    run->life = run->falling = -1;
    run->fires_room = FIRES_KEPT_MIN;
    if (rule->per_hour > run->fires_room)
        run->fires_room = rule->per_hour;
    if (rule->per_day > run->fires_room)
        run->fires_room = rule->per_day;
    run->fires = room(run->fires_room, sizeof *run->fires);
    run->attach = room((size_t)rule->attach_count * engine_attach_sets(e->graph),
                       sizeof *run->attach);
    if (!run->fires || !run->attach)
        return -ENOMEM;
    if (!rule->enabled)
        return 0;
    enum rule_edge edge = rule->trigger == TRIGGER_LEVEL ? EDGE_LEVEL
        : rule->trigger == TRIGGER_FALLING ? EDGE_FALLING : EDGE_RISING;
    int rc = add_life(e, index, p->root, edge, &run->life);
    if (!rc && p->falling != NODE_NONE)
        rc = add_life(e, index, p->falling, EDGE_FALLING, &run->falling);
    return rc;
}

/* Which lives a node is the root of. */
static int open_roots(struct engine *e)
{
    uint32_t nodes = e->graph->node_count;

    e->root_begin = room((size_t)nodes + 1, sizeof *e->root_begin);
    e->root_lives = room(e->life_count, sizeof *e->root_lives);
    uint32_t *fill = room((size_t)nodes + 1, sizeof *fill);
    if (!e->root_begin || !e->root_lives || !fill) {
        free(fill);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < e->life_count; i++)
        e->root_begin[e->lives[i].root + 1]++;
    for (uint32_t i = 0; i < nodes; i++)
        e->root_begin[i + 1] += e->root_begin[i];
    for (uint32_t i = 0; i < e->life_count; i++) {
        int32_t root = e->lives[i].root;
        e->root_lives[e->root_begin[root] + fill[root]++] = i;
    }
    free(fill);
    return 0;
}

static int open_rules(struct engine *e)
{
    uint32_t count = e->ruleset->count;

    e->runs = room(count, sizeof *e->runs);
    e->lives = room((size_t)count * 2, sizeof *e->lives);
    if (!e->runs || !e->lives)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (open_rule(e, i))
            return -ENOMEM;
    e->touched_words = (e->life_count + 63) / 64;
    e->touched = room(e->touched_words, sizeof *e->touched);
    /* FIRE, END and CLOSED of each pass over the graph; twice for what a discontinuity adds. */
    e->event_room = e->life_count * 6 * (e->graph->pulse_depth + 2) + 16;
    e->events = room(e->event_room, sizeof *e->events);
    if (!e->touched || !e->events)
        return -ENOMEM;
    return open_roots(e);
}

int engine_open(const struct engine_config *config, struct engine **ret_engine)
{
    if (!config->ruleset || !config->sources || config->sources->count > SOURCES_MAX)
        return -EINVAL;
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    e->ruleset = config->ruleset;
    e->graph = &config->ruleset->graph;
    e->sources = *config->sources;
    if (open_graph(e) || open_messages(e, config->ruleset->dbset) || open_rules(e) ||
        timers_init(&e->timers, e->graph->signal_count + e->age_count + e->life_count)) {
        engine_close(e);
        return -ENOMEM;
    }
    *ret_engine = e;
    return 0;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; i < e->life_count; i++)
        free(e->lives[i].journal);
    for (uint32_t i = 0; e->runs && i < e->ruleset->count; i++) {
        free(e->runs[i].fires);
        free(e->runs[i].attach);
    }
    timers_deinit(&e->timers);
    free(e->routes);
    free(e->cells);
    free(e->slots);
    free(e->memories);
    free(e->memory_of);
    free(e->is_over);
    free(e->is_sampled);
    free(e->age_nodes);
    free(e->age_slot);
    free(e->dirty);
    free(e->pulses);
    free(e->root_begin);
    free(e->root_lives);
    free(e->touched);
    free(e->lives);
    free(e->runs);
    free(e->cache);
    free(e->next_message);
    free(e->serves);
    free(e->events);
    free(e);
}

struct ruleset_size ruleset_size(const struct ruleset *set)
{
    const struct graph *g = &set->graph;
    struct ruleset_size size = { .rules = set->count, .nodes = g->node_count,
                                 .signals = g->signal_count, .messages = g->message_count };
    size_t bytes = sizeof(struct engine) + CACHE_SLOTS * sizeof(struct cache_entry) +
                   SOURCES_MAX * sizeof(struct dbset_route);

    for (uint32_t i = 0; i < g->node_count; i++) {
        uint8_t op = g->nodes[i].op;
        bytes += sizeof(struct cell) + 2 + 4 * sizeof(uint32_t) + 1;
        bytes += op >= NODE_RISE && op <= NODE_PREV ? sizeof(struct memory) : 0;
    }
    bytes += g->signal_count * (sizeof(struct signal_slot) + 16);
    bytes += g->message_count * (SOURCES_MAX + sizeof(int32_t));
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t lives = set->rules[i].trigger == TRIGGER_BOTH ? 2 : 1;
        uint32_t fires = set->rules[i].per_hour > set->rules[i].per_day ? set->rules[i].per_hour
                                                                        : set->rules[i].per_day;
        bytes += sizeof(struct rule_run) +
                 (fires > FIRES_KEPT_MIN ? fires : FIRES_KEPT_MIN) * sizeof(int64_t);
        bytes += set->rules[i].attach_count * engine_attach_sets(g) * sizeof(struct rule_value);
        bytes += lives * (sizeof(struct life) + ENGINE_JOURNAL * sizeof(struct journal_entry) +
                          6 * (g->pulse_depth + 2) * sizeof(struct rule_event));
    }
    size.engine_bytes = bytes;
    return size;
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
                                         "limit", "shadow" };
    return names[reason];
}
