#include "tools/rulestest/testfile.h"

#include "tools/rulestest/expect.h"
#include "tools/yaml_map.h"
#include "triggers/ruleset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX (16u << 20)
#define BASES_MAX 16              /* cases behind one another by `base` */
#define SETTLE_NS NS_PER_S        /* after the last time that a case names */

static int bad(const struct testfile *t, const struct yaml_node *node, struct err *err,
               const char *text, const char *detail)
{
    return err_at(err, -EBADMSG, yaml_file(t->tree), node->line, node->column, "%s%s", text, detail);
}

/* --- opening --- */

static int read_paths(struct testfile *t, const struct yaml_node *list, bool has_bus,
                      const char **paths, uint32_t *count, struct err *err)
{
    if (list && list->kind != YAML_LIST)
        return bad(t, list, err, "is a list of files", "");
    for (const struct yaml_node *n = list ? list->first : NULL; n; n = n->next) {
        if (n->kind != YAML_TEXT || !n->len || *count == TESTFILE_LIST_MAX)
            return bad(t, n, err, "is no path, or one too many", "");
        paths[*count] = yaml_map_path(&t->arena, t->tree, n->text, has_bus);
        if (!paths[(*count)++])
            return err_plain(err, -ENOMEM, "no memory");
    }
    return 0;
}

static int read_cases(struct testfile *t, const struct yaml_node *list, struct err *err)
{
    static const char *const known[] = { "name", "rule", "input", "expect", "never", "base", "drop",
                                         "log", "duration", "tol" };

    if (!list || list->kind != YAML_LIST)
        return bad(t, yaml_root(t->tree), err, "needs 'tests', a list", "");
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        const struct yaml_node *name = yaml_get(n, "name");
        if (n->kind != YAML_MAP || !name || name->kind != YAML_TEXT)
            return bad(t, n, err, "a test is a map with a 'name'", "");
        int rc = yaml_map_check(t->tree, n, known, sizeof known / sizeof *known, err);
        if (rc)
            return rc;
        if (t->case_count == TESTFILE_CASES_MAX)
            return bad(t, n, err, "is one test too many", "");
        t->cases[t->case_count++] = n;
    }
    return 0;
}

static int read_file(struct testfile *t, struct err *err)
{
    static const char *const known[] = { "format", "packs", "dbc", "tests" };
    const struct yaml_node *root = yaml_root(t->tree), *format = yaml_get(root, "format");

    if (root->kind != YAML_MAP || !format || format->kind != YAML_TEXT ||
        strcmp(format->text, "1") != 0)
        return bad(t, format ? format : root, err, "a file of tests begins with 'format: 1'", "");
    int rc = yaml_map_check(t->tree, root, known, sizeof known / sizeof *known, err);
    if (!rc)
        rc = read_paths(t, yaml_get(root, "packs"), false, t->packs, &t->pack_count, err);
    if (!rc && !t->pack_count)
        rc = bad(t, root, err, "needs 'packs', a list of files", "");
    if (!rc)
        rc = read_paths(t, yaml_get(root, "dbc"), true, t->dbcs, &t->dbc_count, err);
    return rc ? rc : read_cases(t, yaml_get(root, "tests"), err);
}

int testfile_open(const char *path, const char *const *dbcs, uint32_t dbc_count,
                  struct testfile *t, struct diags *diags, struct err *err)
{
    memset(t, 0, sizeof *t);
    arena_init(&t->arena, ARENA_BYTES_MAX);
    int rc = yaml_open_file(path, err, &t->tree);
    if (!rc)
        rc = read_file(t, err);
    for (uint32_t i = 0; !rc && i < t->pack_count; i++) {
        rc = yaml_open_file(t->packs[i], err, &t->pack_trees[i]);
        if (!rc)
            t->pack_signals[i] = yaml_get(yaml_root(t->pack_trees[i]), "signals");
    }
    if (rc)
        return rc;
    for (uint32_t i = 0; i < dbc_count && t->dbc_count < TESTFILE_LIST_MAX; i++)
        t->dbcs[t->dbc_count++] = dbcs[i];
    t->dbset = dbset_open();
    if (!t->dbset)
        return err_plain(err, -ENOMEM, "no memory");
    for (uint32_t i = 0; !rc && i < t->dbc_count; i++)
        rc = dbset_add_file(t->dbset, t->dbcs[i], false, diags, err);
    return rc;
}

void testfile_close(struct testfile *t)
{
    for (uint32_t i = 0; i < t->pack_count; i++)
        yaml_close(t->pack_trees[i]);
    dbset_close(t->dbset);
    yaml_close(t->tree);
    arena_deinit(&t->arena);
    memset(t, 0, sizeof *t);
}

const char *testfile_name(const struct testfile *t, uint32_t index)
{
    return yaml_get(t->cases[index], "name")->text;
}

/* --- a case and those it derives from --- */

struct chain {
    const struct yaml_node *cases[BASES_MAX]; /* the case itself first */
    uint32_t count;
};

static const struct yaml_node *find_base(const struct testfile *t, const struct yaml_node *base)
{
    char *end;
    unsigned long number = base->kind == YAML_TEXT ? strtoul(base->text, &end, 10) : 0;

    if (base->kind != YAML_TEXT)
        return NULL;
    if (base->text[0] && !*end && number >= 1 && number <= t->case_count)
        return t->cases[number - 1];
    for (uint32_t i = 0; i < t->case_count; i++)
        if (!strcmp(testfile_name(t, i), base->text))
            return t->cases[i];
    return NULL;
}

static int find_chain(const struct testfile *t, const struct yaml_node *first, struct chain *chain,
                      struct err *err)
{
    const struct yaml_node *base;

    chain->cases[0] = first;
    for (chain->count = 1; (base = yaml_get(chain->cases[chain->count - 1], "base")); chain->count++) {
        if (chain->count == BASES_MAX)
            return bad(t, base, err, "is derived from too many others, or from itself", "");
        const struct yaml_node *found = find_base(t, base);
        if (!found)
            return bad(t, base, err, "no such test; a base is its number, from 1, or its name: ",
                       base->kind == YAML_TEXT ? base->text : "");
        chain->cases[chain->count] = found;
    }
    return 0;
}

/* The value of the nearest case that has one. */
static const struct yaml_node *look_up(const struct chain *chain, const char *key)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct yaml_node *node = yaml_get(chain->cases[i], key);
        if (node)
            return node;
    }
    return NULL;
}

static bool has_text(const struct yaml_node *list, const char *text)
{
    for (const struct yaml_node *n = list ? list->first : NULL; n; n = n->next)
        if (n->kind == YAML_TEXT && !strcmp(n->text, text))
            return true;
    return false;
}

static const char *signal_of(const struct yaml_node *input)
{
    const struct yaml_node *name = yaml_get(input, "signal");

    return name && name->kind == YAML_TEXT ? name->text : "";
}

/* Inputs of the bases too, but dropped ones and those that a nearer case gives anew. */
static int find_inputs(const struct testfile *t, const struct chain *chain,
                       struct stimulus_input *inputs, uint32_t *ret_count, struct err *err)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < chain->count; i++) {
        const struct yaml_node *list = yaml_get(chain->cases[i], "input");
        uint32_t nearer = count;

        if (list && list->kind != YAML_LIST)
            return bad(t, list, err, "input is a list", "");
        for (const struct yaml_node *n = list ? list->first : NULL; n; n = n->next) {
            bool hidden = false;
            for (uint32_t k = 0; k < nearer; k++)
                hidden = hidden || !strcmp(signal_of(inputs[k].node), signal_of(n));
            for (uint32_t k = 0; k < i; k++)
                hidden = hidden || has_text(yaml_get(chain->cases[k], "drop"), signal_of(n));
            if (hidden)
                continue;
            if (count == TESTFILE_INPUTS_MAX)
                return bad(t, n, err, "is one input too many", "");
            inputs[count++] = (struct stimulus_input){ t->tree, n };
        }
    }
    *ret_count = count;
    return 0;
}

static int duration_of(const struct testfile *t, const struct chain *chain, const char *key,
                       int64_t *ret_ns, struct err *err)
{
    const struct yaml_node *node = look_up(chain, key);

    if (node && (node->kind != YAML_TEXT || duration_parse(node->text, ret_ns) || *ret_ns < 0))
        return bad(t, node, err, "expected a time like 5s", "");
    return 0;
}

/* --- running --- */

static int read_expectation(struct testfile *t, const struct chain *chain,
                            struct expectation *ret_expectation, struct err *err)
{
    const struct yaml_node *rule = look_up(chain, "rule");

    if (!rule || rule->kind != YAML_TEXT)
        return bad(t, chain->cases[0], err, "needs 'rule', like package/name", "");
    *ret_expectation = (struct expectation){ .tree = t->tree,
                                             .node = look_up(chain, "expect"),
                                             .never = look_up(chain, "never"),
                                             .rule = rule->text };
    if (!ret_expectation->node && !ret_expectation->never)
        return bad(t, chain->cases[0], err, "needs 'expect' or 'never': it could not fail", "");
    return duration_of(t, chain, "tol", &ret_expectation->tol_ns, err);
}

static int build(struct testfile *t, const struct chain *chain, const struct yaml_node *expect,
                 struct stimulus *stimulus, struct err *err)
{
    struct stimulus_input inputs[TESTFILE_INPUTS_MAX];
    const struct stimulus_names names = { t->pack_signals, t->pack_count, t->dbset };
    int64_t end_ns = expect_last(expect) + SETTLE_NS;
    uint32_t count = 0;
    int rc = find_inputs(t, chain, inputs, &count, err);

    if (!rc && !count)
        rc = bad(t, chain->cases[0], err, "needs 'input' or 'log'", "");
    if (!rc)
        rc = duration_of(t, chain, "duration", &end_ns, err);
    return rc ? rc : stimulus_build(&names, inputs, count, end_ns, stimulus, err);
}

static int run_both(const struct testfile *t, const struct outcome_setup *setup,
                    const struct expectation *expectation, struct outcome *replay,
                    struct outcome *live, struct diags *diags, struct verdict *verdict,
                    struct err *err)
{
    int rc = outcome_replay(setup, diags, replay, err);
    const char *differs = NULL;

    if (!rc && setup->stimulus) {
        rc = outcome_live(setup, diags, live, err);
        differs = rc ? NULL : outcome_differs(replay, live);
    }
    if (rc)
        return rc;
    if (differs)
        verdict_fail(verdict, t->tree, yaml_root(t->tree),
                     "replay and the car do not agree (a fault of roadloop): %s", differs);
    if (replay->too_many)
        verdict_fail(verdict, t->tree, yaml_root(t->tree), "more than %d events", OUTCOME_EVENTS_MAX);
    return expect_check(expectation, replay, verdict, err);
}

static int known_rule(const struct testfile *t, const struct ruleset_pack *packs,
                      const struct expectation *expectation, struct diags *diags, struct err *err)
{
    const struct ruleset_config config = { .packs = packs, .pack_count = t->pack_count,
                                           .dbset = t->dbset };
    const char *names[RULES_MAX];
    struct ruleset *rules;
    int rc = ruleset_load(&config, diags, &rules);

    if (rc)
        return rc;
    uint32_t count = ruleset_count(rules);
    bool found = false;
    for (uint32_t i = 0; i < count && i < RULES_MAX; i++) {
        names[i] = ruleset_rule(rules, i)->id;
        found = found || !strcmp(names[i], expectation->rule);
    }
    const char *near = err_nearest(expectation->rule, names, count);
    if (!found)
        rc = err_at(err, -EBADMSG, yaml_file(t->tree), 0, 0, "no rule '%s'%s%s%s",
                    expectation->rule, near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
    ruleset_close(rules);
    return rc;
}

static int run_setup(struct testfile *t, const struct chain *chain,
                     const struct ruleset_pack *packs, const struct expectation *expectation,
                     struct diags *diags, struct verdict *verdict, struct err *err)
{
    const struct yaml_node *log = look_up(chain, "log");
    const char *path = log && log->kind == YAML_TEXT ? yaml_map_path(&t->arena, t->tree, log->text, false) : NULL;
    struct stimulus stimulus = { .count = 0 };
    struct outcome replay = { .events = NULL }, live = { .events = NULL };
    struct outcome_setup setup = { .packs = packs, .pack_count = t->pack_count, .dbcs = t->dbcs,
                                   .dbc_count = t->dbc_count, .logs = &path, .log_count = 1 };
    int rc = outcome_init(&replay) || outcome_init(&live)
                 ? err_plain(err, -ENOMEM, "no memory") : 0;

    if (!rc && !path) {
        rc = build(t, chain, expectation->node, &stimulus, err);
        setup.stimulus = &stimulus;
    }
    if (!rc)
        rc = run_both(t, &setup, expectation, &replay, &live, diags, verdict, err);
    stimulus_deinit(&stimulus);
    outcome_deinit(&replay);
    outcome_deinit(&live);
    return rc;
}

int testfile_run(struct testfile *t, uint32_t index, const struct ruleset_pack *packs,
                 struct diags *diags, struct verdict *verdict, struct err *err)
{
    struct expectation expectation = { .rule = "" };
    struct chain chain = { .count = 0 };
    int rc = find_chain(t, t->cases[index], &chain, err);

    if (!rc)
        rc = read_expectation(t, &chain, &expectation, err);
    if (!rc)
        rc = known_rule(t, packs, &expectation, diags, err);
    return rc ? rc : run_setup(t, &chain, packs, &expectation, diags, verdict, err);
}
