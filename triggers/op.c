/* The table of operators with memory, and what all of them share. */
#include "triggers/op.h"

#include "triggers/engine_private.h"

#include <string.h>

static const struct op_row *row_of(uint8_t op)
{
    switch (op) {
    case NODE_HELD:
    case NODE_ONCE: return &op_hold;
    case NODE_SINCE: return &op_since;
    case NODE_HYST: return &op_hyst;
    case NODE_DEBOUNCE: return &op_debounce;
    case NODE_LATCH: return &op_latch;
    case NODE_THEN:
    case NODE_THEN_TOTAL: return &op_then;
    case NODE_THEN_NOT: return &op_then_not;
    case NODE_FROZEN: return &op_frozen;
    case NODE_PERIOD: return &op_period;
    case NODE_COUNT_OVER: return &op_count_over;
    default: return op >= NODE_AT && op < NODE_OP_COUNT ? &op_window : NULL;
    }
}

bool op_is_pulse(uint8_t op)
{
    const struct op_row *row = row_of(op);

    return row && row->is_pulse;
}

bool op_takes_samples(uint8_t op)
{
    const struct op_row *row = row_of(op);

    return row && row->takes_samples;
}

size_t op_size(const struct node *node)
{
    const struct op_row *row = row_of(node->op);

    return row ? (row->size(node) + 7) / 8 * 8 : 0;
}

int64_t op_memory(const struct node *node)
{
    switch (node->op) {
    case NODE_SINCE: return node->k0.i ? node->k0.i : -1;
    case NODE_HYST:
    case NODE_LATCH: return -1;
    case NODE_DEBOUNCE: return -1;
    case NODE_PERIOD: return 0; /* two samples: as PREV */
    default: return op_size(node) ? node->k0.i : 0;
    }
}

void op_reset(struct engine *e, uint32_t index)
{
    const struct node *node = &e->graph->nodes[index];
    const struct op_row *row = row_of(node->op);
    struct op_state *state = e->op_states[index];

    memset(state, 0, op_size(node));
    state->due_ns = TIMER_NEVER;
    if (row->reset)
        row->reset(state, e->now_ns);
    e->cells[index] = op_logic(row->is_pulse ? LOGIC_F : LOGIC_U);
}

struct cell op_eval(struct engine *e, uint32_t index)
{
    struct cell cell = row_of(e->graph->nodes[index].op)->eval(e, index, e->op_states[index]);

    e->is_sampled[index] = false;
    return cell;
}

/* A timer that stands already and is earlier looks at the real time when it is due. */
void op_arm(struct engine *e, uint32_t index, int64_t due_ns)
{
    uint32_t slot = engine_op_slot(e, (uint32_t)e->op_slot[index]);

    e->op_states[index]->due_ns = due_ns;
    if (due_ns < e->timers.due[slot])
        timers_set(&e->timers, slot, due_ns);
}

void op_due(struct engine *e, uint32_t index)
{
    int64_t due_ns = e->op_states[index]->due_ns;

    if (due_ns > e->now_ns)
        op_arm(e, index, due_ns);
    else
        engine_mark(e, index);
}

bool op_is_due_at_steps(const struct engine *e, uint32_t index)
{
    return e->graph->nodes[index].op >= NODE_AT && e->op_states[index]->due_ns <= e->now_ns;
}
