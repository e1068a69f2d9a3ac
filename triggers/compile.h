/* compile - gives expressions their meaning: names, types, units, constants, nodes of the graph.
 * A value is known by its type and unit; it is a constant, a bare signal or a node. Macros are
 * expanded by value: an argument is compiled once, in its caller's scope, so a macro can capture
 * nothing. Recursion follows the depth of the text (EXPR_DEPTH_MAX) and of macros (MACRO_DEPTH_MAX). */
#ifndef TRIGGERS_COMPILE_H
#define TRIGGERS_COMPILE_H
#include "triggers/pack.h"
#include "triggers/value.h"

#define MACRO_DEPTH_MAX 16
#define RULE_OPERATIONS_MAX 512
#define PULSE_DEPTH_MAX 4

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

void compile_error(struct compiler *c, uint32_t offset, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void compile_warning(struct compiler *c, uint32_t offset, const char *code, const char *text);

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
