/* compile - gives expressions their meaning: names, types, units, constants, nodes of the graph.
 * A value is known by its type and unit; it is a constant, a bare signal or a node. Macros are
 * expanded by value: an argument is compiled once, in its caller's scope, so a macro can capture
 * nothing. Recursion follows the depth of the text (EXPR_DEPTH_MAX) and of macros (MACRO_DEPTH_MAX). */
#ifndef TRIGGERS_COMPILE_H
#define TRIGGERS_COMPILE_H
#include "triggers/graph.h"
#include "triggers/pack.h"

#define MACRO_DEPTH_MAX 16
#define RULE_OPERATIONS_MAX 512
#define PULSE_DEPTH_MAX 4

enum val_type { VAL_BAD, VAL_BOOL, VAL_INT, VAL_NUM, VAL_ENUM, VAL_LABEL };

struct val {
    enum val_type type;        /* VAL_BAD: an error was reported */
    bool is_const, is_raw, is_age;
    bool is_converted;         /* binding in a unit that is not its database's */
    uint8_t logic;             /* VAL_BOOL constant */
    int64_t i;                 /* VAL_INT constant */
    double d;                  /* VAL_NUM constant */
    const char *label;         /* VAL_LABEL */
    struct unit unit;
    const struct binding *binding; /* a bare signal, or the operand of is_age; else NULL */
    const struct dbc_signal *table; /* VAL_ENUM */
    int32_t node;              /* NODE_NONE until asked for */
};

struct scope { /* a macro being expanded */
    const struct scope *up;
    struct pack_macro *macro;
    const struct val *args;
    struct source_text caller;
    uint32_t caller_offset;
};

struct compiler {
    struct pack *pack;
    struct graph *graph;
    struct source_text text; /* that is being compiled */
    const struct scope *scope;
    uint32_t operations, macro_depth;
};

/* Compiles a text's expression; `operations` begins at 0 for each rule. */
struct val compile_text(struct compiler *c, const struct source_text *text, const struct ast *ast);
struct val compile_ast(struct compiler *c, const struct ast *ast);
struct val compile_call(struct compiler *c, const struct ast *ast);
struct val compile_seq(struct compiler *c, const struct ast *ast);

/* The node of a value; a constant becomes a leaf. */
int32_t val_node(struct compiler *c, struct val *v);
/* As above, of a number as double. */
int32_t val_num_node(struct compiler *c, struct val *v);

/* One of the parts that compile.c and compile_call.c share. `ast` is the place for messages. */
struct val val_bad(void);
struct val val_from_node(enum val_type type, int32_t node, const struct unit *unit);
struct val val_bool(bool value);
struct val val_int(int64_t value);
struct val val_num(double value, const struct unit *unit);
bool val_is_number(const struct val *v);
struct val val_not(struct compiler *c, struct val v);
struct val val_and(struct compiler *c, struct val a, struct val b);
struct val val_or(struct compiler *c, struct val a, struct val b);
struct val val_compare(struct compiler *c, enum ast_op op, struct val a, struct val b,
                       const struct ast *ast);
struct val val_sum(struct compiler *c, bool minus, struct val a, struct val b,
                   const struct ast *ast);
struct val val_negate(struct compiler *c, struct val v, const struct ast *ast);
/* Converts a number; requires the same quantity. */
struct val val_convert(struct compiler *c, struct val v, const struct unit *unit);
/* Brings two operands to one type and the first one's unit (labels take the other's table).
 * `verb` stands in messages: "compare". Returns false after an error. */
bool val_unify(struct compiler *c, struct val *a, struct val *b, const char *verb,
               const struct ast *ast);
/* What a value is, for messages: "km/h", "a label", "a condition". */
const char *val_describe(const struct val *v);
/* Refuses age(x) where only a plain value may stand. */
bool val_plain(struct compiler *c, const struct val *v, const struct ast *ast);

void compile_error(struct compiler *c, uint32_t offset, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* triggers/bind.c: the meaning of an alias or of a path in the databases; NULL after an error. */
struct binding *bind_alias(struct compiler *c, struct pack_signal *signal);
struct binding *bind_path(struct compiler *c, const struct ast *path);

/* triggers/exact.c: raw values of a bare integer-coded signal against a constant. */
struct raw_bounds {
    uint64_t low, high; /* keys, both ends included; low > high: none */
    bool is_empty, is_full;
    bool off_grid;      /* OP_EQ, OP_NE: no raw value gives the constant exactly */
    double below, above; /* off_grid: the nearest values, in the unit of the database */
};
struct raw_bounds exact_bounds(const struct binding *binding, enum ast_op op, const struct val *v);
/* The ends of the raw keys that the signal's bits can hold. */
void exact_range(const struct binding *binding, uint64_t *ret_low, uint64_t *ret_high);

#endif
