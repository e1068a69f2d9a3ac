/* held, once, since, hyst, debounce, latch: what a condition was lately. Each value of an operand
 * leaves behind the time at which it ended; nothing else of the past is kept. */
#include "triggers/engine_private.h"

static uint8_t child(const struct engine *e, uint32_t index, int which)
{
    return e->cells[e->graph->nodes[index].child[which]].v;
}

/* --- held, once: the least and the greatest value over [t - d, t] ----------------------------- */

struct hold {
    struct op_state head;
    int64_t end_ns[3]; /* when it was F, U, T for the last time */
    bool was[3];
    uint8_t last;
};

static size_t hold_size(const struct node *node)
{
    (void)node;
    return sizeof(struct hold);
}

static void hold_reset(struct op_state *state, int64_t now_ns)
{
    struct hold *h = (struct hold *)state;

    (void)now_ns;
    h->last = LOGIC_U; /* unknown up to the load: ends there if the operand is known */
}

static struct cell hold_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    const struct node *n = &e->graph->nodes[index];
    struct hold *h = (struct hold *)state;
    uint8_t now = child(e, index, 0);

    if (now != h->last) {
        h->end_ns[h->last] = e->now_ns;
        h->was[h->last] = true;
        h->last = now;
    }
    for (int i = 0; i < 3; i++) {
        uint8_t v = (uint8_t)(n->op == NODE_HELD ? i : LOGIC_T - i);
        if (now == v) {
            state->due_ns = TIMER_NEVER;
            return op_logic(v);
        }
        if (h->was[v] && engine_sees(e, h->end_ns[v], n->k0.i)) {
            op_arm(e, index, h->end_ns[v] + n->k0.i);
            return op_logic(v);
        }
    }
    return op_logic(now); /* not reached: `now` is one of the three */
}

const struct op_row op_hold = { hold_size, hold_reset, hold_eval, false, false };

/* --- since: child 1 was T within d, and child 0 is T ever since ------------------------------- */

struct since {
    struct op_state head;
    struct {
        bool has, is_on; /* it reached this value; child 1 has it still */
        int64_t end_ns;  /* when child 1 lost it */
    } at[2];             /* at least U, at least T */
};

static size_t since_size(const struct node *node)
{
    (void)node;
    return sizeof(struct since);
}

static void since_reset(struct op_state *state, int64_t now_ns)
{
    struct since *s = (struct since *)state;

    s->at[0].has = true; /* unknown before the load */
    s->at[0].end_ns = now_ns;
}

static struct cell since_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    struct since *s = (struct since *)state;
    int64_t d = e->graph->nodes[index].k0.i;
    uint8_t p = child(e, index, 0), q = child(e, index, 1), value = LOGIC_F;

    state->due_ns = TIMER_NEVER;
    for (uint8_t v = LOGIC_U; v <= LOGIC_T; v++) {
        bool was_on = s->at[v - 1].is_on;
        s->at[v - 1].is_on = q >= v;
        if (was_on && q < v)
            s->at[v - 1].end_ns = e->now_ns;
        s->at[v - 1].has = q >= v || (p >= v && s->at[v - 1].has);
        if (!s->at[v - 1].has)
            continue;
        if (q >= v || !d) {
            value = v;
            state->due_ns = TIMER_NEVER;
        } else if (engine_sees(e, s->at[v - 1].end_ns, d)) {
            value = v;
            op_arm(e, index, s->at[v - 1].end_ns + d);
        }
    }
    return op_logic(value);
}

const struct op_row op_since = { since_size, since_reset, since_eval, false, false };

/* --- hyst, latch: two conditions switch it ---------------------------------------------------- */

struct flop {
    struct op_state head;
    uint8_t memory;
};

static size_t flop_size(const struct node *node)
{
    (void)node;
    return sizeof(struct flop);
}

static void flop_reset(struct op_state *state, int64_t now_ns)
{
    (void)now_ns;
    ((struct flop *)state)->memory = LOGIC_F;
}

static struct cell hyst_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    struct flop *f = (struct flop *)state;
    uint8_t on = child(e, index, 0), off = child(e, index, 1);

    if (on == LOGIC_U || off == LOGIC_U)
        return op_logic(LOGIC_U);
    if (on == LOGIC_T || off == LOGIC_T)
        f->memory = on;
    return op_logic(f->memory);
}

const struct op_row op_hyst = { flop_size, flop_reset, hyst_eval, false, false };

static struct cell latch_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    struct flop *f = (struct flop *)state;

    if (child(e, index, 1) == LOGIC_T)
        f->memory = LOGIC_F;
    else if (child(e, index, 0) == LOGIC_T)
        f->memory = LOGIC_T;
    return op_logic(f->memory);
}

const struct op_row op_latch = { flop_size, flop_reset, latch_eval, false, false };

/* --- debounce: child 0, once it was so for long enough ---------------------------------------- */

struct debounce {
    struct op_state head;
    int64_t run_ns; /* since when the operand is as it is */
    uint8_t run;
    uint8_t out;    /* LOGIC_U: none yet */
};

static size_t debounce_size(const struct node *node)
{
    (void)node;
    return sizeof(struct debounce);
}

static void debounce_reset(struct op_state *state, int64_t now_ns)
{
    struct debounce *b = (struct debounce *)state;

    (void)now_ns;
    b->run = b->out = LOGIC_U;
}

static struct cell debounce_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    const struct node *n = &e->graph->nodes[index];
    struct debounce *b = (struct debounce *)state;
    uint8_t p = child(e, index, 0);

    state->due_ns = TIMER_NEVER;
    if (p != b->run) {
        b->run = p;
        b->run_ns = e->now_ns;
    }
    if (p == LOGIC_U)
        return op_logic(LOGIC_U);
    if (b->out == LOGIC_U)
        b->out = LOGIC_F;
    if (b->out != p) {
        int64_t due = b->run_ns + (p == LOGIC_T ? n->k0.i : n->k1.i);
        if (e->by_timer && e->now_ns >= due)
            b->out = p;
        else
            op_arm(e, index, due);
    }
    return op_logic(b->out);
}

const struct op_row op_debounce = { debounce_size, debounce_reset, debounce_eval, false, false };
