/* mutate - small wrong changes to a pack, to see whether its tests notice: numbers of conditions, macros
 * and params 10 % up and down, `for` dropped, `and` and `or` exchanged, `<` and `>` turned round.
 * Only the text of one scalar changes. */
#ifndef TOOLS_RULESTEST_MUTATE_H
#define TOOLS_RULESTEST_MUTATE_H
#include "proto/yaml.h"

struct mutant {
    char *bytes; /* the whole pack, changed; mutant_deinit frees it */
    size_t size;
    uint32_t line, column; /* of the change */
    char what[192];        /* "speed > 15 km/h: 15 becomes 16.5" */
};

/* The mutants of a pack in a fixed order: fills *ret_mutant with number `index`. Returns 1, 0 when
 * there are no more, or -ENOMEM. */
int mutant_make(const struct yaml_tree *tree, const void *bytes, size_t size, uint32_t index,
                struct mutant *ret_mutant);
void mutant_deinit(struct mutant *mutant);

#endif
