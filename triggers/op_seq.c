/* then, then ... total, then not. Steps are rising edges; a later step or timer step is later also
 * at an equal stamp, which e->instant tells. */
#include "triggers/engine_private.h"

/* A known rising edge since the last call; unknown freezes the memory. */
static bool rises(uint8_t *last, uint8_t now)
{
    bool edge = *last == LOGIC_F && now == LOGIC_T;

    if (now != LOGIC_U)
        *last = now;
    return edge;
}

/* --- then: the latest first step wins, which is exact for existence --------------------------- */

struct started {
    bool has;
    int64_t start_ns; /* of the bound: the edge of child 0, or of the chain's first step */
    uint64_t instant;
};

struct then {
    struct op_state head;
    struct started latest, before; /* `before`: of an earlier instant, where `latest` is of this one */
    int64_t matched_ns; /* start of the match that made it T */
    uint8_t last_a, last_b;
};

static size_t then_size(const struct node *node)
{
    (void)node;
    return sizeof(struct then);
}

static void then_reset(struct op_state *state, int64_t now_ns)
{
    struct then *s = (struct then *)state;

    (void)now_ns;
    s->last_a = s->last_b = LOGIC_U;
}

/* Where the bound begins for an edge of child 0 now. */
static int64_t start_of(const struct engine *e, const struct node *n)
{
    uint32_t prefix = (uint32_t)n->child[0];

    if (n->op == NODE_THEN_TOTAL && n->k1.i) /* child 0 is the chain so far */
        return ((const struct then *)e->op_states[prefix])->matched_ns;
    return e->now_ns;
}

static struct cell then_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    const struct node *n = &e->graph->nodes[index];
    struct then *s = (struct then *)state;
    uint8_t b = e->cells[n->child[1]].v;

    if (rises(&s->last_a, e->cells[n->child[0]].v)) {
        if (s->latest.instant != e->instant)
            s->before = s->latest;
        s->latest = (struct started){ true, start_of(e, n), e->instant };
    }
    if (rises(&s->last_b, b)) {
        const struct started *from = s->latest.instant == e->instant ? &s->before : &s->latest;
        if (from->has && engine_sees(e, from->start_ns, n->k0.i)) {
            s->matched_ns = from->start_ns;
            engine_pulse(e, index);
            return op_logic(LOGIC_T);
        }
    }
    return op_logic(b == LOGIC_U ? LOGIC_U : LOGIC_F);
}

const struct op_row op_then = { then_size, then_reset, then_eval, true, false };

/* --- then not: the first a waits, b's edge or the time ends the wait --------------------------- */

struct then_not {
    struct op_state head;
    int64_t since_ns;
    uint64_t instant;   /* of a's edge: b's must be later */
    bool is_waiting, is_doubtful; /* doubtful: b was unknown meanwhile */
    uint8_t last_a, last_b;
};

static size_t then_not_size(const struct node *node)
{
    (void)node;
    return sizeof(struct then_not);
}

static void then_not_reset(struct op_state *state, int64_t now_ns)
{
    struct then_not *s = (struct then_not *)state;

    (void)now_ns;
    s->last_a = s->last_b = LOGIC_U;
}

static struct cell then_not_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    const struct node *n = &e->graph->nodes[index];
    struct then_not *s = (struct then_not *)state;
    uint8_t b = e->cells[n->child[1]].v, value = LOGIC_F;
    bool a_rises = rises(&s->last_a, e->cells[n->child[0]].v), b_rises = rises(&s->last_b, b);

    if (s->is_waiting && b == LOGIC_U)
        s->is_doubtful = true;
    if (s->is_waiting && b_rises && e->instant != s->instant) {
        s->is_waiting = false;
    } else if (s->is_waiting && e->by_timer && e->now_ns >= s->since_ns + n->k0.i) {
        s->is_waiting = false;
        value = s->is_doubtful ? LOGIC_U : LOGIC_T;
        engine_pulse(e, index);
    }
    if (a_rises && !s->is_waiting) {
        s->instant = e->instant;
        s->is_waiting = true;
        s->is_doubtful = b == LOGIC_U;
        s->since_ns = e->now_ns;
    }
    state->due_ns = TIMER_NEVER;
    if (s->is_waiting)
        op_arm(e, index, s->since_ns + n->k0.i);
    return op_logic(value);
}

const struct op_row op_then_not = { then_not_size, then_not_reset, then_not_eval, true, false };
