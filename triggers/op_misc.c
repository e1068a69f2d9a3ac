/* frozen, period, count_over: what samples and edges did. */
#include "triggers/engine_private.h"

#define EDGES_MAX 1024 /* count_over counts no further */

/* --- frozen ----------------------------------------------------------------------------------- */

struct frozen {
    struct op_state head;
    struct cell value;
    int64_t run_ns;       /* of the first sample since the last change, load or gap */
    bool has_run, is_changed; /* is_changed: the run began with a change */
    uint32_t samples;     /* in the run, up to 2 */
};

static size_t frozen_size(const struct node *node)
{
    (void)node;
    return sizeof(struct frozen);
}

static void frozen_sample(struct frozen *f, const struct cell *x, int64_t now_ns)
{
    bool is_change = f->has_run && f->value.i != x->i;

    if (!f->has_run || is_change) {
        f->is_changed = is_change;
        f->run_ns = now_ns;
        f->samples = 0;
    }
    f->has_run = true;
    f->value = *x;
    if (f->samples < 2)
        f->samples++;
}

static struct cell frozen_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    const struct node *n = &e->graph->nodes[index];
    const struct cell *x = &e->cells[n->child[0]];
    struct frozen *f = (struct frozen *)state;

    state->due_ns = TIMER_NEVER;
    if (x->v == NUMBER_UNKNOWN) {
        f->has_run = false;
        return op_logic(LOGIC_U);
    }
    if (e->is_sampled[index])
        frozen_sample(f, x, e->now_ns);
    if (!f->has_run) /* known, but no sample of it came here yet: a clip's seed */
        return op_logic(LOGIC_U);
    if (!engine_sees(e, f->run_ns, n->k0.i))
        return op_logic(f->samples >= 2 ? LOGIC_T : LOGIC_F);
    op_arm(e, index, f->run_ns + n->k0.i);
    return op_logic(f->is_changed ? LOGIC_F : LOGIC_U);
}

const struct op_row op_frozen = { frozen_size, NULL, frozen_eval, false, true };

/* --- period ----------------------------------------------------------------------------------- */

struct period {
    struct op_state head;
    int64_t last_ns;
    bool has_last, has_period;
    double seconds;
};

static size_t period_size(const struct node *node)
{
    (void)node;
    return sizeof(struct period);
}

static struct cell period_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    struct period *p = (struct period *)state;

    if (e->is_sampled[index]) {
        p->has_period = p->has_last;
        p->seconds = (double)(e->now_ns - p->last_ns) / 1e9;
        p->last_ns = e->now_ns;
        p->has_last = true;
    }
    if (!p->has_period)
        return op_logic(NUMBER_UNKNOWN);
    return (struct cell){ .d = p->seconds, .v = NUMBER_KNOWN };
}

const struct op_row op_period = { period_size, NULL, period_eval, false, true };

/* --- count_over ------------------------------------------------------------------------------- */

struct edges {
    struct op_state head;
    uint32_t first, count;
    uint8_t last;
    int64_t at_ns[EDGES_MAX];
};

static size_t edges_size(const struct node *node)
{
    (void)node;
    return sizeof(struct edges);
}

static void edges_reset(struct op_state *state, int64_t now_ns)
{
    (void)now_ns;
    ((struct edges *)state)->last = LOGIC_U;
}

static void put_edge(struct edges *s, int64_t now_ns)
{
    if (s->count == EDGES_MAX) { /* the oldest leaves first anyway */
        s->first = (s->first + 1) % EDGES_MAX;
        s->count--;
    }
    s->at_ns[(s->first + s->count++) % EDGES_MAX] = now_ns;
}

static struct cell edges_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    const struct node *n = &e->graph->nodes[index];
    struct edges *s = (struct edges *)state;
    uint8_t p = e->cells[n->child[0]].v;

    while (s->count && !engine_sees(e, s->at_ns[s->first], n->k0.i)) {
        s->first = (s->first + 1) % EDGES_MAX;
        s->count--;
    }
    if (p == LOGIC_T && s->last == LOGIC_F)
        put_edge(s, e->now_ns);
    if (p != LOGIC_U)
        s->last = p;
    state->due_ns = TIMER_NEVER;
    if (s->count)
        op_arm(e, index, s->at_ns[s->first] + n->k0.i);
    return (struct cell){ .i = s->count, .v = NUMBER_KNOWN };
}

const struct op_row op_count_over = { edges_size, edges_reset, edges_eval, false, false };
