/* op - operators with memory: one row of a table each (op.c), by families in op_hold.c, op_seq.c,
 * op_window.c and op_misc.c.
 *
 * An operator is evaluated when an operand changed, when a sample of its operand came (if it asks
 * for samples) and when its time has come; never for any other reason, and a timer that comes too
 * early is set again without a call. It looks at its operands' cells, at e->now_ns and at
 * e->by_timer: at a step a window still contains what left it exactly d ago, at the timer of that
 * instant no longer (rules.md 2, instant 1). Its state is a block of fixed size, made at load; state and value move
 * over a reload where the structure is equal. */
#ifndef TRIGGERS_OP_H
#define TRIGGERS_OP_H
#include "triggers/graph.h"

#include <stddef.h>

struct engine;

struct cell {
    union {
        double d;
        int64_t i;
    };
    uint8_t v; /* LOGIC_*; of numbers NUMBER_KNOWN or NUMBER_UNKNOWN */
};

struct op_state { /* the head of each state */
    int64_t due_ns; /* TIMER_NEVER: waits for no time */
};

/* How a window is kept: node.k1. */
#define WINDOW_SAMPLES_MAX 4096
struct window_shape {
    uint32_t cover_ppm; /* known time that it needs, in millionths of d */
    uint32_t samples;   /* that a ring keeps before it cuts down a source above its rate */
};
static inline union node_constant window_pack(struct window_shape shape)
{
    return (union node_constant){ .u = (uint64_t)shape.samples << 32 | shape.cover_ppm };
}
static inline struct window_shape window_shape(const struct node *node)
{
    return (struct window_shape){ (uint32_t)node->k1.u, (uint32_t)(node->k1.u >> 32) };
}

/* Of enum node_op; false for operations that are not in the table. */
bool op_is_pulse(uint8_t op);
bool op_takes_samples(uint8_t op);
size_t op_size(const struct node *node); /* bytes of its state, a multiple of 8; 0: none */
/* How far back a sample can matter to it, beyond its operands' own; -1 unbounded. */
int64_t op_memory(const struct node *node);

/* The state as at the time e->now_ns of a load or discontinuity, before which all was unknown. */
void op_reset(struct engine *e, uint32_t index);
struct cell op_eval(struct engine *e, uint32_t index);
/* Its timer: marks it if its time has come. */
void op_due(struct engine *e, uint32_t index);

/* Does its time, which is now, concern a step of this time too? Windows: what they begin with. */
bool op_is_due_at_steps(const struct engine *e, uint32_t index);

/* For the families. */
void op_arm(struct engine *e, uint32_t index, int64_t due_ns);
struct op_row {
    size_t (*size)(const struct node *node);
    void (*reset)(struct op_state *state, int64_t now_ns); /* after zeroing; may be NULL */
    struct cell (*eval)(struct engine *e, uint32_t index, struct op_state *state);
    bool is_pulse, takes_samples;
};
extern const struct op_row op_hold, op_since, op_hyst, op_debounce, op_latch; /* op_hold.c */
extern const struct op_row op_then, op_then_not;                              /* op_seq.c */
extern const struct op_row op_window;                                         /* op_window.c */
extern const struct op_row op_frozen, op_period, op_count_over;               /* op_misc.c */

static inline struct cell op_logic(uint8_t v)
{
    return (struct cell){ .i = 0, .v = v };
}

#endif
