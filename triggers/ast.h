/* ast - an expression of the rule language, parsed: triggers/parse.c makes it, triggers/compile.c
 * reads it. Nodes live in an arena; offsets are bytes of the expression's text. */
#ifndef TRIGGERS_AST_H
#define TRIGGERS_AST_H
#include "proto/arena.h"
#include "proto/err.h"
#include "proto/yaml.h"
#include "triggers/unit.h"

#include <stdbool.h>
#include <stdint.h>

#define EXPR_BYTES_MAX 8192
#define EXPR_DEPTH_MAX 64
#define EXPR_PARTS_MAX 4 /* segments of a path */
#define SEQ_STEPS_MAX 8
#define DURATION_NS_MAX INT64_C(1000000000000000000)

enum ast_kind {
    AST_NUMBER,   /* number, unit */
    AST_LABEL,    /* text */
    AST_BOOL,     /* flag */
    AST_PARAM,    /* $text: a param, or after `in` a list */
    AST_PATH,     /* bus, parts, is_raw; one part: a signal, a macro, a macro's argument */
    AST_CALL,     /* text(children); a child's `name` is its argument name or NULL, its `op` the
                   * relation before it ("on: >8"), else OP_NONE */
    AST_QUANT,    /* text is any, all or count_if: parts[0] is the variable, parts[1] the array,
                   * the child the expression; op_offset is the array's place */
    AST_SEQ,      /* "a then b within 2s": 2 to SEQ_STEPS_MAX children in order; of
                   * the second and later within_ns and is_absence ("then not"); of the node itself
                   * total_ns. Which of them may stand together: triggers/compile_op.c */
    AST_OR, AST_AND, /* children */
    AST_NOT,      /* child; flag: it was negated an odd number of times */
    AST_COMPARE,  /* children; op of the second and third is the relation before it */
    AST_IN_SET,   /* first child in the others; flag: not */
    AST_IN_RANGE, /* child in (low .. high); flag: not; open_low, open_high */
    AST_IN_LIST,  /* child in $text; flag: not */
    AST_IS,       /* child is text; flag: not */
    AST_SUM,      /* children; op '+' or '-' before each but the first */
    AST_TERM,     /* children; op '*' or '/' */
    AST_COAL,     /* children */
    AST_NEGATE,   /* child */
};

enum ast_op { OP_NONE, OP_LT, OP_LE, OP_GT, OP_GE, OP_EQ, OP_NE, OP_ADD, OP_SUB, OP_MUL, OP_DIV };

struct ast {
    enum ast_kind kind;
    enum ast_op op;
    uint32_t offset, op_offset; /* where it begins; where its operator stands */
    uint32_t child_count;
    struct ast *first, *last, *next;
    const char *name;           /* of a named argument */
    uint32_t name_offset;
    const char *text;
    const char *bus;            /* NULL: none given */
    const char *parts[EXPR_PARTS_MAX];
    uint32_t part_count;
    bool is_quoted;             /* the first part stands in backticks */
    bool is_raw, flag, open_low, open_high;
    bool is_absence;            /* a step of a SEQ: "then not" this */
    int64_t within_ns;          /* of a step of a SEQ: > 0; 0 when none is given */
    int64_t total_ns;           /* of a SEQ: likewise */
    uint32_t within_offset, total_offset; /* where the words stand */
    bool is_integer;            /* NUMBER: written without point and exponent, fits int64_t */
    int64_t integer;
    double number;
    struct unit unit;
};

/* Where an expression's text stands, for messages. */
struct source_text {
    const struct yaml_tree *tree;
    const struct yaml_node *node;
};

/* What the parser needs of its caller. Labels found are given to note_label (NULL allowed). */
struct parse_config {
    struct arena *arena;
    struct diags *diags;
    struct source_text source;
    void (*note_label)(void *context, const char *label);
    void *context;
};

/* Parses a whole scalar as an expression. Returns NULL after adding one error to diags. */
struct ast *parse_expression(const struct parse_config *config);

/* A literal alone: `[-] NUMBER [UNIT]`. */
struct ast *parse_literal(const struct parse_config *config);

/* An interval alone: `[0..300]`, `(0 .. 5 m/s)`: an AST_IN_RANGE whose children are low and high. */
struct ast *parse_interval(const struct parse_config *config);

/* Adds an error at a byte of an expression's text. */
void source_error(struct diags *diags, const struct source_text *source, uint32_t offset,
                  const char *code, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Is it a function of the rule language, built or not? No macro may have its name. */
bool is_language_function(const char *name);

/* Does the function have a named argument of this name? */
bool has_named_argument(const char *function, const char *name);

/* A number with a unit of time in ns, rounded; 0 when it is no time, not positive or beyond
 * DURATION_NS_MAX. */
int64_t duration_ns(double number, const struct unit *unit);

/* Refuses what is in the rule language but not in this version. */
void refuse_later(struct diags *diags, const struct source_text *source, uint32_t offset,
                  const char *name);

#endif
