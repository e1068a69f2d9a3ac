/* graph - the expressions of all rules as one hash-consed dataflow graph.
 * Equal sub-expressions are one node. A node's operands have smaller indices, so the order of
 * indices is a topological one. Built while loading, immutable afterwards; triggers/engine.c runs
 * it. Signals are leaves with an index of their own, shared in the same way. */
#ifndef TRIGGERS_GRAPH_H
#define TRIGGERS_GRAPH_H
#include "proto/arena.h"
#include "proto/dbset.h"

#include <stdbool.h>
#include <stdint.h>

#define GRAPH_NODES_MAX 1048576
#define GRAPH_SIGNALS_MAX 16384
#define SIGNAL_INVALID_MAX 64 /* raw values that mean "invalid" */
#define NODE_NONE (-1)

/* Three values, in the order of Kleene's logic: and is min, or is max, not is 2 - v. */
enum { LOGIC_F, LOGIC_U, LOGIC_T };
/* A number is known or not. */
enum { NUMBER_UNKNOWN = LOGIC_U, NUMBER_KNOWN = LOGIC_T };

enum node_op {
    /* leaves */
    NODE_LOGIC,       /* constant: k0.i is F, U or T */
    NODE_NUM,         /* constant k0.d */
    NODE_INT,         /* constant k0.i */
    NODE_SIGNAL_NUM,  /* physical value of `signal` in the unit of its database */
    NODE_SIGNAL_INT,  /* its raw value, sign extended */
    NODE_RAW_IN,      /* its ordered raw key (signal_key) in [k0.u, k1.u] */
    NODE_STATE,       /* its state is in the mask k0.i of 1 << enum signal_state; never unknown */
    NODE_AGE_OVER,    /* k0.i ns have passed since its last sample; unknown before the first */
    NODE_AGE,         /* seconds since its last sample; for `attach`, computed when asked */
    /* logic of logic */
    NODE_NOT, NODE_AND, NODE_OR, NODE_MUST, NODE_MAYBE,
    /* logic of anything */
    NODE_KNOWN,       /* never unknown itself */
    /* logic of numbers */
    NODE_LT, NODE_LE, NODE_EQ,             /* double */
    NODE_INT_LT, NODE_INT_LE, NODE_INT_EQ, /* int64_t */
    NODE_BIT,         /* bit k0.i of an integer */
    /* double of double */
    NODE_ADD, NODE_SUB, NODE_MUL, NODE_DIV, NODE_NEG, NODE_ABS, NODE_SQRT, NODE_SIGN, NODE_MOD,
    NODE_MIN, NODE_MAX,
    NODE_SCALE,       /* x * k0.d / k1.d: conversion of units */
    NODE_SHIFT,       /* x + k0.d */
    NODE_FROM_INT,    /* double of int64_t */
    /* int64_t of int64_t; unknown on overflow */
    NODE_INT_ADD, NODE_INT_SUB, NODE_INT_MUL, NODE_INT_NEG, NODE_INT_ABS, NODE_INT_MOD,
    NODE_INT_MIN, NODE_INT_MAX, NODE_INT_SIGN,
    /* any type, that of the operands */
    NODE_COAL,        /* the first if known, else the second */
    NODE_IF,          /* child 0 chooses 1 or 2 */
    /* with memory: pulses are true during one step */
    NODE_RISE, NODE_FALL,
    NODE_CHANGED,     /* child 0; k0.i: bit 0: from child 1, bit 1: to child 2 */
    NODE_PREV,        /* the sample of child 0 before the last one */
    /* operators with memory and a timer (triggers/op.h); d is k0.i in ns */
    NODE_HELD, NODE_ONCE, /* of child 0 over the last d */
    NODE_SINCE,       /* child 1 was T (within d, 0: ever) and child 0 T ever after */
    NODE_HYST,        /* T from child 0 on, F from child 1 on */
    NODE_DEBOUNCE,    /* child 0, T for k0.i or F for k1.i */
    NODE_LATCH,       /* set by child 0, reset by child 1 */
    NODE_THEN,        /* an edge of child 0, later one of child 1, within d */
    NODE_THEN_TOTAL,  /* the same from the first step of a chain on */
    NODE_THEN_NOT,    /* an edge of child 0 and none of child 1 within d */
    NODE_FROZEN,      /* samples of child 0 came, and were equal for d */
    NODE_PERIOD,      /* between the last two samples of child 0 */
    NODE_COUNT_OVER,  /* edges of child 0 */
    /* windows of child 0; k1 as struct window_shape packs it (triggers/op.h) */
    NODE_AT, NODE_DELTA, NODE_MIN_OVER, NODE_MAX_OVER, NODE_RANGE_OVER, NODE_SUM_OVER,
    NODE_SAMPLES, NODE_MEAN_OVER, NODE_STD_OVER, NODE_INTEGRAL, NODE_DERIV, NODE_DUTY,
    NODE_OP_COUNT
};

enum node_type { TYPE_LOGIC, TYPE_NUM, TYPE_INT };

union node_constant {
    int64_t i;
    uint64_t u;
    double d;
};

/* For the question whether two constants are the same one: 0 and -0 are not, a NaN is itself. */
static inline uint64_t double_bits(double d)
{
    return (union node_constant){ .d = d }.u;
}

struct node {
    uint8_t op;          /* enum node_op */
    uint8_t type;        /* enum node_type of its value */
    uint8_t pulse_depth; /* pulses nested in it; 0: none */
    bool is_pulse;       /* true during single steps only */
    int32_t child[3];    /* NODE_NONE where absent */
    int32_t signal;      /* NODE_NONE where absent */
    union node_constant k0, k1;
};

enum signal_state { SIGNAL_MISSING, SIGNAL_KNOWN, SIGNAL_STALE, SIGNAL_INVALID };

struct graph_signal {
    const char *bus;                   /* "" any */
    int16_t address;                   /* of the J1939 source, or DBSET_ANY_ADDRESS */
    const struct dbc_message *message;
    const struct dbc_signal *first;    /* of its name; same_name leads to the other branches */
    int64_t max_age_ns;                /* 0: never stale */
    bool has_valid;
    uint64_t valid_low, valid_high;    /* keys, both ends included; of a float see valid_float */
    double float_low, float_high;      /* physical, of a float */
    bool float_open_low, float_open_high;
    uint32_t invalid_count;
    const int64_t *invalid;            /* raw values, ascending */
    uint32_t message_slot;             /* set by graph_finish */
};

struct graph_message { /* what an engine looks frames up by */
    const char *bus;
    int16_t address;
    const struct dbc_message *message;
    uint32_t first_signal, signal_count; /* in graph.by_message */
};

struct graph {
    struct arena *arena;
    struct node *nodes;
    uint32_t node_count, node_room;
    struct graph_signal *signals;
    uint32_t signal_count, signal_room;
    int32_t *buckets; /* hash to node; private */
    uint32_t bucket_count;
    bool failed;      /* out of memory or beyond GRAPH_NODES_MAX; sticky */
    /* Set by graph_finish: */
    struct graph_message *messages;
    uint32_t message_count;
    uint32_t *by_message;                 /* signals, grouped by message */
    uint32_t *parent_begin, *parents;     /* of node n: parents[parent_begin[n]..[n+1]) */
    uint32_t *reader_begin, *readers;     /* nodes that read signal s itself */
    uint32_t *sampler_begin, *samplers;   /* nodes that each sample of s concerns */
    uint64_t *node_hash;                  /* of structure, equal over graphs */
    uint64_t *signal_hash;
    uint32_t pulse_depth;                 /* the deepest of any node */
};

/* Arrays grow by malloc and are freed by graph_deinit; everything else is in the arena. */
void graph_init(struct graph *graph, struct arena *arena);
void graph_deinit(struct graph *graph);

/* Gives the node equal to *node, added if new. NODE_NONE when the graph has failed. */
int32_t graph_node(struct graph *graph, const struct node *node);
/* The same for a signal. */
int32_t graph_signal(struct graph *graph, const struct graph_signal *signal);

/* Shorthands. Children may be NODE_NONE. */
int32_t graph_op(struct graph *graph, enum node_op op, enum node_type type, int32_t a, int32_t b,
                 int32_t c);
int32_t graph_op_const(struct graph *graph, enum node_op op, enum node_type type, int32_t a,
                       union node_constant k0, union node_constant k1);
int32_t graph_leaf(struct graph *graph, enum node_op op, enum node_type type, int32_t signal,
                   union node_constant k0, union node_constant k1);

/* Computes what the engine needs. Returns 0 or -ENOMEM. */
int graph_finish(struct graph *graph);

/* Raw bits as a key whose order as unsigned numbers is that of the values. */
static inline uint64_t signal_key(const struct decode_plan *plan, uint64_t raw)
{
    if (plan->kind == DECODE_SIGNED)
        return (uint64_t)decode_extend(plan, raw) ^ UINT64_C(1) << 63;
    return raw;
}

/* The rate at which samples of an expression come, in Hz times 1000, from what its messages say:
 * their cycle times, else 3 / max_age, else 100 Hz. Walks the graph under the node. */
uint64_t graph_rate_millihz(const struct graph *graph, int32_t node);

/* Appends the canonical lines of a signal or of everything under a node to a text: structure and the
 * facts of the database, no names of aliases, numbers local to the text. */
struct canonical {
    char *text;        /* NULL while measuring */
    size_t size, len;  /* capacity; length of the whole so far */
    int32_t *numbers;  /* of node n in this text, or -1; node_count long */
    int32_t *signal_numbers;
    int32_t count, signal_count;
    int32_t *stack;    /* node_count long */
    int32_t *order, *signal_order; /* what has a number, in order of numbers */
};
void canonical_put(struct canonical *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Returns the node's number in the text. */
int32_t canonical_node(struct canonical *c, const struct graph *graph, int32_t node);

#endif
