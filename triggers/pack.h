/* pack - one rule pack as its file has it: keys checked, texts parsed, nothing resolved yet.
 * triggers/pack.c reads it; triggers/compile.c gives it meaning. All memory is the arena's; trees
 * must outlive the pack. */
#ifndef TRIGGERS_PACK_H
#define TRIGGERS_PACK_H
#include "proto/arena.h"
#include "proto/dbset.h"
#include "triggers/ast.h"
#include "triggers/ruleset.h"

#define MACRO_PARAMS_MAX 8
#define PACK_SIGNALS_MAX 4096
#define PACK_LABELS_MAX 4096
#define UNLESS_MAX 16

enum binding_kind { BIND_NUMBER, BIND_ENUM, BIND_BOOL };

/* What a name means in the databases at hand. */
struct binding {
    const char *name;             /* the alias, or the path as written */
    enum binding_kind kind;
    const struct dbc_signal *dbc; /* the first of its branches */
    struct unit db_unit, unit;    /* of the database; shown to rules */
    bool is_float;
    bool is_int;                  /* factor 1, offset 0, fits int64_t */
    int32_t signal;               /* index in the graph */
};

struct pack_signal {
    const char *name;
    const struct yaml_node *node; /* the entry: for its place */
    struct source_text from;
    const struct yaml_node *unit; /* NULL: none declared */
    int64_t max_age_ns;           /* -1 not said, 0 none */
    struct ast *valid;            /* AST_IN_RANGE or NULL */
    struct source_text valid_text;
    const struct yaml_node *invalid; /* a list or NULL */
    bool is_used, is_bound, has_failed;
    struct binding binding;
};

struct pack_param {
    const char *name;
    const struct yaml_node *node;
    struct ast *value, *min, *max; /* min and max may be NULL */
    struct source_text value_text, min_text, max_text;
    bool is_used;
};

struct pack_list {
    const char *name;
    const struct yaml_node *node;
    struct ast *items; /* linked by next: numbers, booleans, labels */
    const struct yaml_node **item_nodes;
    uint32_t count;
    bool is_used;
};

struct pack_macro {
    const char *name;
    const struct yaml_node *node;
    struct source_text text;
    const char *params[MACRO_PARAMS_MAX];
    uint32_t param_count;
    struct ast *body; /* NULL: did not parse, already reported */
    bool is_used, is_open; /* is_open: being expanded */
};

struct pack_expression {
    const char *name;
    struct source_text text;
    struct ast *body;
};

struct pack_rule {
    struct rule rule; /* hash and memory not yet set */
    struct source_text when_text;
    struct ast *when; /* NULL: did not parse, already reported */
    struct pack_expression unless[UNLESS_MAX], attach[ATTACH_MAX];
};

struct pack {
    const struct yaml_tree *tree;
    struct arena *arena;
    struct diags *diags;
    const char *package, *version;
    struct pack_signal *signals;
    struct pack_param *params;
    struct pack_list *lists;
    struct pack_macro *macros;
    struct pack_rule *rules;
    uint32_t signal_count, param_count, list_count, macro_count, rule_count;
    const char *labels[PACK_LABELS_MAX]; /* that its rules, macros and lists name */
    uint32_t label_count;
    const struct dbset *dbset;
    int64_t today_utc_ns;
    uint32_t paths_room, path_count; /* bindings of paths written in expressions */
    struct binding *paths;
};

/* Reads the tree's root into *pack. Errors and warnings go to diags; returns 0 when there was
 * memory enough, else -ENOMEM. The caller looks at diags->errors. */
int pack_read(struct pack *pack, const struct yaml_tree *tree, struct arena *arena,
              const struct dbset *dbset, int64_t today_utc_ns, struct diags *diags);

/* Adds an error or a warning at a place of the file. */
void pack_error(struct pack *pack, uint32_t line, uint32_t column, const char *code,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
void pack_warning(struct pack *pack, uint32_t line, uint32_t column, const char *code,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
