/* value - what an expression is while it is compiled: a constant, a bare signal or a node, with its type and
 * unit. value.c makes values and brings them together, value_operate.c compares and computes; folding and
 * exactness are decided there, what a text means in compile.c. An error is said once, to the compiler;
 * VAL_BAD passes through everything in silence. */
#ifndef TRIGGERS_VALUE_H
#define TRIGGERS_VALUE_H
#include "triggers/graph.h"
#include "triggers/pack.h"

struct compiler;

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

/* The node of a value; a constant becomes a leaf. */
int32_t val_node(struct compiler *c, struct val *v);
/* As above, of a number as double. */
int32_t val_num_node(struct compiler *c, struct val *v);

/* Values, and what is made of them. `ast` is the place for messages. */
struct val val_bad(void);
struct val val_from_node(enum val_type type, int32_t node, const struct unit *unit);
struct val val_bool(bool value);
struct val val_int(int64_t value);
struct val val_num(double value, const struct unit *unit);
bool val_is_number(const struct val *v);
/* Of a constant number of either type. */
double val_const_number(const struct val *v);
struct val val_not(struct compiler *c, struct val v);
struct val val_and(struct compiler *c, struct val a, struct val b);
struct val val_or(struct compiler *c, struct val a, struct val b);
struct val val_compare(struct compiler *c, enum ast_op op, struct val a, struct val b,
                       const struct ast *ast);
struct val val_sum(struct compiler *c, bool minus, struct val a, struct val b,
                   const struct ast *ast);
struct val val_product(struct compiler *c, bool divide, struct val a, struct val b,
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

#endif
