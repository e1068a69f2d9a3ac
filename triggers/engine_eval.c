/* The graph: what each operation gives, and how a change runs through it (invariants in
 * engine_private.h). */
#include "triggers/engine_private.h"

#include <math.h>
#include <string.h>

/* --- marking -------------------------------------------------------------------------------- */

void engine_mark(struct engine *e, uint32_t node)
{
    uint32_t word = node / 64;

    e->dirty[word] |= UINT64_C(1) << (node % 64);
    e->dirty_map[word / 64] |= UINT64_C(1) << (word % 64);
}

static void mark_parents(struct engine *e, uint32_t node)
{
    const struct graph *g = e->graph;

    for (uint32_t i = g->parent_begin[node]; i < g->parent_begin[node + 1]; i++)
        engine_mark(e, g->parents[i]);
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

void engine_pulse(struct engine *e, uint32_t node)
{
    e->pulses[e->pulse_count++] = node;
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
    engine_pulse(e, index);
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
    if (n->op >= NODE_HELD)
        return op_eval(e, index);
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

/* Evaluates the nodes of one word; what they mark lies behind them, perhaps in the same word. */
static void propagate_word(struct engine *e, uint32_t word)
{
    while (e->dirty[word]) {
        uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(e->dirty[word]);
        e->dirty[word] &= e->dirty[word] - 1;
        struct cell now = evaluate(e, index);
        if (same_cell(&e->graph->nodes[index], &now, &e->cells[index]))
            continue;
        e->cells[index] = now;
        e->stats.flips++;
        mark_parents(e, index);
    }
}

static void propagate(struct engine *e)
{
    for (uint32_t i = 0; i < e->map_words; i++)
        while (e->dirty_map[i]) {
            uint32_t bit = (uint32_t)__builtin_ctzll(e->dirty_map[i]);
            propagate_word(e, i * 64 + bit);
            e->dirty_map[i] &= ~(UINT64_C(1) << bit);
        }
}

void engine_run_lives(struct engine *e)
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
    engine_run_lives(e);
    while (e->pulse_count) {
        uint32_t count = e->pulse_count;
        e->pulse_count = 0;
        for (uint32_t i = 0; i < count; i++) {
            e->cells[e->pulses[i]] = logic(LOGIC_F);
            mark_parents(e, e->pulses[i]);
        }
        propagate(e);
        engine_run_lives(e);
    }
}

static bool is_pulse_op(uint8_t op)
{
    return op == NODE_RISE || op == NODE_FALL || op == NODE_CHANGED || op_is_pulse(op);
}

/* Each marked node once, as at load: no pulses, no flips counted, memories taken where they are empty. */
void engine_evaluate_marked(struct engine *e)
{
    for (uint32_t i = 0; i < e->graph->node_count; i++) {
        uint8_t op = e->graph->nodes[i].op;
        if (!(e->dirty[i / 64] >> (i % 64) & 1))
            continue;
        if (is_pulse_op(op))
            e->cells[i] = logic(LOGIC_F); /* a loaded memory is older than its unknown operand */
        e->cells[i] = evaluate(e, i);
        if (is_pulse_op(op) && e->cells[i].v == LOGIC_T)
            e->cells[i] = logic(LOGIC_F);
    }
    memset(e->dirty, 0, e->dirty_words * sizeof *e->dirty);
    memset(e->dirty_map, 0, e->map_words * sizeof *e->dirty_map);
    e->pulse_count = 0;
    for (uint32_t i = 0; i < e->life_count; i++)
        engine_touch(e, i);
}

void engine_evaluate_all(struct engine *e)
{
    for (uint32_t i = 0; i < e->graph->node_count; i++)
        engine_mark(e, i);
    engine_evaluate_marked(e);
}
