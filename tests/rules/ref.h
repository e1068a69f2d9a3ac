/* ref - the rule language evaluated by its definitions, over a whole trace at once: slow, obvious, and
 * apart from the engine. Of the product it uses the parser (AST, units of literals), the databases
 * and the decoding of frames; typing, values, instants and life-cycles are its own.
 *
 * Every expression becomes a list of values, one for each entry of a timeline. An entry is a step, an
 * instant at which something can change by time alone, a load, or one of the moments behind these at
 * which pulses return to false. A timer instant at which nothing changes does no harm, so the
 * timeline may have too many. One thread; nothing is freed before ref_close. */
#ifndef TESTS_RULES_REF_H
#define TESTS_RULES_REF_H
#include "proto/frame.h"
#include "triggers/engine.h"
#include "triggers/pack.h"

#include <stdio.h>

#define REF_KIDS_MAX 16
#define REF_ROWS_MAX 512
#define REF_EVENTS_MAX 8192

/* --- a trace -------------------------------------------------------------------------------- */

enum happening { HAPPENS_ROW, HAPPENS_DISCONTINUITY, HAPPENS_RELOAD };

struct trace_item {
    enum happening kind;
    struct row row; /* mono_ns of all kinds; the rest of rows */
};

struct trace {
    struct trace_item items[REF_ROWS_MAX];
    uint32_t count;
};

/* --- values --------------------------------------------------------------------------------- */

enum { REF_F, REF_U, REF_T };

enum ref_type { REF_BOOL, REF_INT, REF_NUM, REF_ENUM, REF_LABEL, REF_AGE };

struct ref_value {
    uint8_t v; /* of a condition F, U, T; of anything else U or T: known */
    union {
        int64_t i;
        double d;
    };
};

struct ref_sample {
    uint32_t entry; /* at which it came */
    int64_t t;
    bool valid;
    struct decoded decoded;
};

struct ref_signal {
    const char *name;
    struct dbset_signal dbc;
    const char *bus;
    enum ref_type type;
    bool is_float, is_integer; /* factor 1, offset 0, fits int64_t */
    struct unit db_unit, unit;
    int64_t max_age;           /* 0: none */
    bool has_valid, open_low, open_high;
    struct ref_value low, high; /* of `valid:`; is_int says which member */
    bool low_is_int, high_is_int;
    struct unit low_unit, high_unit;
    const struct yaml_node *invalid;
    struct ref_sample *samples;
    uint32_t sample_count;
    int32_t *last;             /* by entry: the newest sample of its segment, or -1 */
    uint8_t *state;            /* by entry: enum ref_state */
};

enum ref_state { REF_MISSING, REF_KNOWN, REF_STALE, REF_INVALID };

enum ref_op {
    X_CONST, X_SIGNAL, X_AGE, X_AGE_OVER, X_STATE, X_EXACT, X_AND, X_OR, X_NOT, X_MUST, X_MAYBE,
    X_KNOWN, X_COMPARE, X_SAME_BOOL, X_ADD, X_SUB, X_MUL, X_DIV, X_NEG, X_ABS, X_SIGN, X_SQRT, X_MOD,
    X_MIN, X_MAX, X_CONVERT, X_TO_NUM, X_COAL, X_IF, X_BIT, X_RISE, X_FALL, X_CHANGED, X_PREV,
    X_HELD, X_ONCE, X_SINCE, X_HYST, X_DEBOUNCE, X_LATCH, X_FROZEN, X_PERIOD, X_THEN, X_THEN_NOT,
    X_COUNT, X_SAMPLES, X_AT, X_DELTA, X_MIN_OVER, X_MAX_OVER, X_RANGE_OVER, X_SUM_OVER, X_MEAN_OVER,
    X_STD_OVER, X_INTEGRAL, X_DERIV, X_DUTY,
};

struct ref_node {
    enum ref_op op;
    enum ref_type type;
    enum ast_op relation;
    struct unit unit;
    bool is_const, is_raw, has_from, has_to;
    struct ref_value value;       /* of a constant */
    const char *label;            /* REF_LABEL */
    struct ref_signal *bare;      /* a signal itself (or its age) */
    const struct dbc_signal *table;
    int64_t d;                    /* a duration, a bit, a mask of states */
    int64_t d2;                   /* debounce: of off */
    int64_t within[REF_KIDS_MAX]; /* of the steps of a sequence */
    int64_t total;                /* of a sequence; 0: none */
    uint32_t cover_ppm;
    double mul, div, add;
    struct ref_node *kids[REF_KIDS_MAX];
    uint32_t kid_count;
    struct ref_node *next;        /* the nodes of a pack in order: operands first */
    struct ref_value *at;         /* by entry */
};

/* --- packs ---------------------------------------------------------------------------------- */

struct ref_rule {
    const struct rule *rule;
    struct ref_node *when, *not_when;
    struct ref_node *unless[UNLESS_MAX];
    struct ref_node *attach[ATTACH_MAX];
};

struct ref_pack {
    struct arena arena;
    struct yaml_tree *tree;
    struct pack *pack;
    const struct dbset *dbset;
    struct ref_signal *signals;
    uint32_t signal_count, signal_room;
    struct ref_node *first, *last;
    struct ref_rule *rules;
    uint32_t rule_count, pulse_depth;
    char problem[256];
};

/* Returns false, with `problem` set, for a pack that the evaluator cannot type; the engine has
 * accepted it before. */
bool ref_open(struct ref_pack *p, const char *text, const struct dbset *dbset);
void ref_close(struct ref_pack *p);

/* ref_type.c's; exact: raw * factor + offset against a number of a unit, -1, 0 or 1. */
int ref_exact(const struct ref_signal *s, const struct decoded *d, bool raw,
              const struct ref_node *number);

/* ref_time.c: operators that look back, at one entry. node_looks_back says whether it is one. */
struct timeline;
bool ref_looks_back(enum ref_op op);
struct ref_value ref_back_value(const struct ref_node *n, const struct timeline *line, uint32_t i);
/* Instants at which it can change by time alone. Returns whether one is new. */
bool ref_back_dues(struct timeline *line, const struct ref_node *n);

/* --- the timeline --------------------------------------------------------------------------- */

enum entry_kind { ENTRY_BEGIN, ENTRY_STEP, ENTRY_TIMER, ENTRY_RELOAD };

struct entry {
    int64_t t;
    enum entry_kind kind;
    uint32_t sub;     /* 0; behind it the returns of pulses */
    uint32_t item;    /* ENTRY_STEP: of the trace */
    uint64_t step;    /* the last one applied */
    uint32_t segment; /* the first entry behind the last discontinuity */
};

struct timeline {
    struct entry *entries;
    uint32_t count, room;
    int64_t *dues; /* ascending, no two alike */
    uint32_t due_count, due_room;
};

/* Notes that something can change at `t` by time alone; returns whether that is new. */
bool timeline_due(struct timeline *line, int64_t t);
/* Does the step of an entry carry a signal that the expression reads? */
bool ref_is_sampled(const struct ref_node *n, const struct timeline *line, uint32_t entry);
bool ref_is_known(const struct ref_node *n, struct ref_value v);
bool ref_same(const struct ref_node *n, struct ref_value a, struct ref_value b);
/* The newest entry before i, of its segment, at which the operand was known; -1: none. */
int64_t ref_known_before(const struct ref_node *operand, const struct timeline *line, uint32_t i);

/* All nodes of both packs (b may be NULL) over the trace. */
void ref_values(struct timeline *line, struct ref_pack *a, struct ref_pack *b,
                const struct trace *trace, const struct source_table *sources);
void timeline_free(struct timeline *line);

/* --- events --------------------------------------------------------------------------------- */

struct ref_event {
    struct rule_event event; /* attach is unused */
    struct rule_value attach[ATTACH_MAX];
    uint32_t attach_count;
};

struct ref_events {
    struct ref_event items[REF_EVENTS_MAX];
    uint32_t count;
};

/* The life-cycles. kept[i] of rule i of b: the rule of a that goes on in it, or -1. */
void ref_lives(const struct timeline *line, const struct ref_pack *a, const struct ref_pack *b,
               const int32_t *kept, const struct trace *trace, struct ref_events *events);

#endif
