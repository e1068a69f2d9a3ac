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

enum ast_kind {
    AST_NUMBER,   /* number, unit */
    AST_LABEL,    /* text */
    AST_BOOL,     /* flag */
    AST_PARAM,    /* $text: a param, or after `in` a list */
    AST_PATH,     /* bus, parts, is_raw; one part: a signal, a macro, a macro's argument */
    AST_CALL,     /* text(children); a child's `name` is its argument name or NULL */
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

/* `what` is in the rule language but not in this version. */
bool is_later_function(const char *name);
void refuse_later(struct diags *diags, const struct source_text *source, uint32_t offset,
                  const char *name);

#endif
