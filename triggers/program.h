/* program - what a ruleset looks like to the engine: the graph, and for each rule its roots.
 * Private to triggers/. */
#ifndef TRIGGERS_PROGRAM_H
#define TRIGGERS_PROGRAM_H
#include "triggers/graph.h"
#include "triggers/pack.h"
#include "triggers/ruleset.h"

struct program_attach {
    int32_t node;
    enum { ATTACH_BOOL, ATTACH_INT, ATTACH_NUM, ATTACH_LABEL, ATTACH_AGE } kind;
    const struct dbc_signal *table; /* ATTACH_LABEL */
};

struct program_rule {
    int32_t root;    /* rising edge and level: `when`; falling: not (when) */
    int32_t falling; /* `both`: the root of the second edge; else NODE_NONE */
    int32_t unless[UNLESS_MAX];
    struct program_attach attach[ATTACH_MAX];
};

struct ruleset {
    struct arena arena;
    const struct dbset *dbset;
    struct graph graph;
    struct rule *rules;
    struct program_rule *program; /* one each rule */
    uint32_t count;
};

#endif
