/* testfile - a file of tests for rules: cases with samples or logs, and what must come of them.
 * docs/RULES.md has the form. A case that derives from another (`base`) has its input and, where it
 * says none, its expectations. */
#ifndef TOOLS_RULESTEST_TESTFILE_H
#define TOOLS_RULESTEST_TESTFILE_H
#include "proto/arena.h"
#include "tools/backtest/variants.h"
#include "tools/rulestest/outcome.h"

#define TESTFILE_LIST_MAX 16
#define TESTFILE_CASES_MAX 2048
#define TESTFILE_INPUTS_MAX STIMULUS_SIGNALS_MAX

struct testfile {
    struct arena arena;
    struct yaml_tree *tree;
    const char *packs[TESTFILE_LIST_MAX], *dbcs[TESTFILE_LIST_MAX];
    uint32_t pack_count, dbc_count;
    const struct yaml_node *cases[TESTFILE_CASES_MAX];
    uint32_t case_count;
    struct yaml_tree *pack_trees[TESTFILE_LIST_MAX];
    const struct yaml_node *pack_signals[TESTFILE_LIST_MAX];
    struct dbset *dbset;
};

/* Reads it, its packs' signals and its databases; `dbcs` are added to the file's own. Returns 0, or a
 * negative errno with *err or diags saying why. Close it in any case. */
int testfile_open(const char *path, const char *const *dbcs, uint32_t dbc_count,
                  struct testfile *testfile, struct diags *diags, struct err *err);
void testfile_close(struct testfile *testfile);

const char *testfile_name(const struct testfile *testfile, uint32_t index); /* of a case */

/* What went wrong in a case, one line each, in a buffer of the caller. */
struct verdict {
    char *text;
    size_t size, length;
    uint32_t failures;
};

/* Runs a case with these packs. Returns 0 when it could be run: verdict->failures says how it ended;
 * else a negative errno with *err or diags. */
int testfile_run(struct testfile *testfile, uint32_t index, const struct ruleset_pack *packs,
                 struct diags *diags, struct verdict *verdict, struct err *err);

#endif
