/* expect - what a case says must come, against what came. */
#ifndef TOOLS_RULESTEST_EXPECT_H
#define TOOLS_RULESTEST_EXPECT_H
#include "tools/rulestest/testfile.h"

/* Notes one failure; a verdict that is full keeps counting. */
void verdict_fail(struct verdict *verdict, const struct yaml_tree *tree,
                  const struct yaml_node *node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

struct expectation {
    const struct yaml_tree *tree;
    const struct yaml_node *node;  /* {fires, count, suppressed} */
    const struct yaml_node *never; /* list of rules, or NULL */
    const char *rule;
    int64_t tol_ns; /* times may be off by so much */
};

/* Adds what differs to *verdict. Returns 0, or -EBADMSG with *err: the file itself is wrong. */
int expect_check(const struct expectation *expectation, const struct outcome *outcome,
                 struct verdict *verdict, struct err *err);

/* The latest time that it names, 0 for none: a case runs at least until there. */
int64_t expect_last(const struct yaml_node *expect);

#endif
