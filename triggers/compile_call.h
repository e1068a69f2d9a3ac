/* compile_call - what the files of the functions share: compile_call.c (the table, plain functions) and
 * compile_op.c (operators with memory). */
#ifndef TRIGGERS_COMPILE_CALL_H
#define TRIGGERS_COMPILE_CALL_H
#include "triggers/compile.h"

#define ARGS_MAX 16

struct call {
    const struct ast *ast;
    const struct ast *places[ARGS_MAX];
    struct val args[ARGS_MAX];
    uint32_t count;
    struct val named[2]; /* in the order of the row */
    const struct ast *named_places[2];
    bool has_named[2];
};

struct function {
    const char *name;
    uint32_t min, max; /* positional arguments */
    struct val (*compile)(struct compiler *c, struct call *call);
    const char *named[2];
    bool takes_relation; /* of its named arguments: "on: >8" */
};

/* These say what is wrong and return false: no number; no condition; a temperature with an offset. */
bool call_number(struct compiler *c, const struct val *v, const struct ast *place);
bool call_bool(struct compiler *c, const struct val *v, const struct ast *place);
bool call_no_offset(struct compiler *c, const struct val *v, const struct ast *place);

/* compile_op.c. (Not call_: C11 has a function call_once, and librdkafka uses it.) */
struct val past_held(struct compiler *c, struct call *call);
struct val past_once(struct compiler *c, struct call *call);
struct val past_since(struct compiler *c, struct call *call);
struct val past_hyst(struct compiler *c, struct call *call);
struct val past_debounce(struct compiler *c, struct call *call);
struct val past_latch(struct compiler *c, struct call *call);
struct val past_frozen(struct compiler *c, struct call *call);
struct val past_period(struct compiler *c, struct call *call);
struct val past_count_over(struct compiler *c, struct call *call);
struct val past_window(struct compiler *c, struct call *call); /* which one: by its name */

#endif
