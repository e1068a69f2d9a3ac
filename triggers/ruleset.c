#include "triggers/ruleset.h"

#include "triggers/compile.h"
#include "triggers/engine.h"
#include "triggers/op.h"
#include "triggers/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX (512u << 20)
#define CANONICAL_BYTES_FIRST 16384

/* --- compiling the rules of one pack -------------------------------------------------------- */

static void check_param(struct compiler *c, const struct pack_param *p)
{
    const struct { const struct ast *ast; const struct source_text *text; enum ast_op op;
                   const char *word; } ends[] = {
        { p->min, &p->min_text, OP_GE, "below its min" },
        { p->max, &p->max_text, OP_LE, "above its max" },
    };
    if (!p->value)
        return;
    struct val value = compile_text(c, &p->value_text, p->value);
    for (size_t i = 0; i < 2; i++) {
        if (!ends[i].ast || value.type == VAL_BAD)
            continue;
        struct val end = compile_text(c, ends[i].text, ends[i].ast);
        c->text = *ends[i].text;
        struct val inside = val_compare(c, ends[i].op, value, end, ends[i].ast);
        if (inside.type == VAL_BOOL && inside.logic == LOGIC_F)
            source_error(c->pack->diags, &p->value_text, 0, "E503", "the value of '%s' is %s",
                         p->name, ends[i].word);
    }
}

static int32_t condition(struct compiler *c, const struct source_text *text, const struct ast *ast,
                         const char *what, struct val *ret)
{
    *ret = val_bad();
    if (!ast)
        return NODE_NONE;
    struct val v = compile_text(c, text, ast);
    if (v.type != VAL_BAD && v.type != VAL_BOOL) {
        source_error(c->pack->diags, text, ast->offset, "E302",
                     "%s must be a condition, found %s; compare it with something", what,
                     val_describe(&v));
        return NODE_NONE;
    }
    if (v.type == VAL_BAD)
        return NODE_NONE;
    *ret = v;
    return val_node(c, &v);
}

static void compile_attach(struct compiler *c, struct pack_rule *r, uint32_t i,
                           struct program_attach *out, struct rule_attach *info)
{
    struct pack_expression *e = &r->attach[i];

    out->node = NODE_NONE;
    info->name = e->name;
    info->unit = "";
    if (!e->body)
        return;
    struct val v = compile_text(c, &e->text, e->body);
    if (v.type == VAL_BAD)
        return;
    if (v.type == VAL_LABEL) {
        source_error(c->pack->diags, &e->text, e->body->offset, "E303",
                     "a label alone is no value to attach");
        return;
    }
    out->kind = v.is_age ? ATTACH_AGE : v.type == VAL_BOOL ? ATTACH_BOOL
        : v.type == VAL_INT ? ATTACH_INT : v.type == VAL_NUM ? ATTACH_NUM : ATTACH_LABEL;
    out->table = v.table;
    if (val_is_number(&v)) {
        info->unit = arena_text(c->pack->arena, v.unit.text, strlen(v.unit.text));
        if (!info->unit)
            c->graph->failed = true;
    }
    out->node = v.is_age ? graph_leaf(c->graph, NODE_AGE, TYPE_NUM, v.binding->signal,
                                      (union node_constant){ 0 }, (union node_constant){ 0 })
                         : val_node(c, &v);
}

static void compile_when(struct compiler *c, struct pack_rule *r, struct program_rule *out)
{
    struct val v;

    out->falling = NODE_NONE;
    out->root = condition(c, &r->when_text, r->when, "'when'", &v);
    if (out->root == NODE_NONE)
        return;
    if (v.is_const)
        pack_warning(c->pack, r->rule.line, r->rule.column, "W711",
                     "rule '%s' is always %s", r->rule.name,
                     v.logic == LOGIC_T ? "true" : "false");
    if (c->graph->nodes[out->root].is_pulse && r->rule.for_ns)
        source_error(c->pack->diags, &r->when_text, 0, "E513",
                     "the condition is true for single steps only and can never hold 'for' a time");
    if (r->rule.trigger != TRIGGER_FALLING && r->rule.trigger != TRIGGER_BOTH)
        return;
    struct val not_when = val_not(c, v);
    *(r->rule.trigger == TRIGGER_BOTH ? &out->falling : &out->root) = val_node(c, &not_when);
}

static void compile_rule(struct compiler *c, struct pack_rule *r, struct program_rule *out)
{
    struct val ignored;
    struct rule_attach *info = arena_array(c->pack->arena, r->rule.attach_count, sizeof *info);

    c->operations = 0;
    compile_when(c, r, out);
    for (uint32_t i = 0; i < r->rule.unless_count; i++)
        out->unless[i] = condition(c, &r->unless[i].text, r->unless[i].body, "'if'", &ignored);
    for (uint32_t i = 0; info && i < r->rule.attach_count; i++)
        compile_attach(c, r, i, &out->attach[i], &info[i]);
    r->rule.attach = info;
    if (!info)
        c->graph->failed = true;
}

/* What no rule uses: macros without arguments are compiled all the same, for their errors. */
static void check_unused(struct compiler *c)
{
    struct pack *p = c->pack;

    for (uint32_t i = 0; i < p->macro_count; i++) {
        struct pack_macro *m = &p->macros[i];
        if (m->is_used || !m->body)
            continue;
        pack_warning(p, m->node->key_line, m->node->key_column, "W720", "macro '%s' is not used",
                     m->name);
        c->operations = 0;
        if (!m->param_count)
            (void)compile_text(c, &m->text, m->body);
    }
    for (uint32_t i = 0; i < p->signal_count; i++)
        if (!p->signals[i].is_used && !p->signals[i].has_failed) {
            pack_warning(p, p->signals[i].node->key_line, p->signals[i].node->key_column, "W720",
                         "signal '%s' is not used", p->signals[i].name);
            (void)bind_alias(c, &p->signals[i]);
        }
    for (uint32_t i = 0; i < p->param_count; i++)
        if (!p->params[i].is_used)
            pack_warning(p, p->params[i].node->key_line, p->params[i].node->key_column, "W720",
                         "param '%s' is not used", p->params[i].name);
    for (uint32_t i = 0; i < p->list_count; i++)
        if (!p->lists[i].is_used)
            pack_warning(p, p->lists[i].node->key_line, p->lists[i].node->key_column, "W720",
                         "list '%s' is not used", p->lists[i].name);
}

static int grow_rules(struct ruleset *set, uint32_t more)
{
    struct rule *rules = realloc(set->rules, (set->count + more + 1) * sizeof *rules);

    if (rules)
        set->rules = rules;
    struct program_rule *program = rules ? realloc(set->program, (set->count + more + 1) *
                                                                     sizeof *program) : NULL;
    if (program)
        set->program = program;
    return program ? 0 : -ENOMEM;
}

static bool is_second_package(const struct ruleset *set, const char *package)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->rules[i].package, package) == 0)
            return true;
    return false;
}

static int add_pack(struct ruleset *set, struct pack *pack, const struct yaml_tree *tree,
                    const struct ruleset_config *config, struct diags *diags)
{
    if (pack_read(pack, tree, &set->arena, config->dbset, config->today_utc_ns, diags) ||
        grow_rules(set, pack->rule_count))
        return -ENOMEM;
    struct compiler c = { .pack = pack, .graph = &set->graph, .text = { tree, yaml_root(tree) } };
    if (is_second_package(set, pack->package))
        pack_error(pack, 1, 1, "E205", "a second pack with the package '%s'", pack->package);
    for (uint32_t i = 0; i < pack->param_count; i++)
        check_param(&c, &pack->params[i]);
    if (set->count + pack->rule_count > RULES_MAX) {
        pack_error(pack, 1, 1, "E502", "more than 4096 rules in all");
        return 0;
    }
    for (uint32_t i = 0; i < pack->rule_count; i++) {
        memset(&set->program[set->count], 0, sizeof *set->program);
        compile_rule(&c, &pack->rules[i], &set->program[set->count]);
        set->rules[set->count++] = pack->rules[i].rule;
    }
    check_unused(&c);
    return set->graph.failed ? -ENOMEM : 0;
}

/* --- canonical text, hash, memory ----------------------------------------------------------- */

static int canonical_open(struct canonical *c, const struct graph *graph)
{
    size_t nodes = graph->node_count + 1, signals = graph->signal_count + 1;

    *c = (struct canonical){ .numbers = malloc(nodes * sizeof(int32_t)),
                             .stack = malloc(nodes * sizeof(int32_t)),
                             .order = malloc(nodes * sizeof(int32_t)),
                             .signal_numbers = malloc(signals * sizeof(int32_t)),
                             .signal_order = malloc(signals * sizeof(int32_t)) };
    if (!c->numbers || !c->stack || !c->order || !c->signal_numbers || !c->signal_order)
        return -ENOMEM;
    memset(c->numbers, 0xff, nodes * sizeof(int32_t));
    memset(c->signal_numbers, 0xff, signals * sizeof(int32_t));
    return 0;
}

static void canonical_close(struct canonical *c)
{
    free(c->numbers);
    free(c->stack);
    free(c->order);
    free(c->signal_numbers);
    free(c->signal_order);
}

static void canonical_reset(struct canonical *c)
{
    for (int32_t i = 0; i < c->count; i++)
        c->numbers[c->order[i]] = -1;
    for (int32_t i = 0; i < c->signal_count; i++)
        c->signal_numbers[c->signal_order[i]] = -1;
    c->count = c->signal_count = 0;
    c->len = 0;
}

static void canonical_attach(struct canonical *c, const struct graph *graph,
                             const struct program_attach *a, const struct rule_attach *info)
{
    int32_t node = canonical_node(c, graph, a->node);

    canonical_put(c, "attach %s n%d kind %d unit '%s'", info->name, node, (int)a->kind, info->unit);
    for (uint32_t i = 0; a->table && i < a->table->label_count; i++)
        canonical_put(c, " %lld='%s'", (long long)a->table->labels[i].raw,
                      a->table->labels[i].text);
    canonical_put(c, "\n");
}

static void canonical_rule(struct canonical *c, const struct ruleset *set, uint32_t index)
{
    const struct rule *r = &set->rules[index];
    const struct program_rule *p = &set->program[index];

    canonical_put(c, "roadloop rule %d\nid %s\nenabled %d shadow %d trigger %d initial %d\n",
                  ENGINE_SEMANTICS_VERSION, r->id, r->enabled, r->status == RULE_SHADOW,
                  (int)r->trigger, r->initial_fire);
    canonical_put(c, "for %lld keep %lld cooldown %lld max_active %lld priority %u\n",
                  (long long)r->for_ns, (long long)r->keep_ns, (long long)r->cooldown_ns,
                  (long long)r->max_active_ns, r->priority);
    canonical_put(c, "limits %u %u %u\nclip %lld %lld %lld merge %d", r->per_trip, r->per_hour,
                  r->per_day, (long long)r->pre_ns, (long long)r->post_ns,
                  (long long)r->clip_max_bytes, r->merge);
    for (uint32_t i = 0; i < r->stream_count; i++)
        canonical_put(c, " '%s'", r->streams[i]);
    canonical_put(c, "\n");
    int32_t root = canonical_node(c, &set->graph, p->root);
    canonical_put(c, "when n%d\n", root);
    for (uint32_t i = 0; i < r->unless_count; i++) {
        int32_t node = canonical_node(c, &set->graph, p->unless[i]);
        canonical_put(c, "unless %s n%d\n", r->unless[i], node);
    }
    for (uint32_t i = 0; i < r->attach_count; i++)
        canonical_attach(c, &set->graph, &p->attach[i], &r->attach[i]);
}

/* How far back an operator under the rule can look: each adds to what its operands look back. */
static int64_t memory_of_ops(const struct graph *graph, const struct canonical *c, int64_t *memory)
{
    int64_t longest = 0;

    for (int32_t i = 0; i < c->count; i++) { /* operands stand before what reads them */
        const struct node *node = &graph->nodes[c->order[i]];
        int64_t own = op_memory(node), below = 0;
        for (int k = 0; k < 3 && node->child[k] >= 0; k++) {
            int64_t child = memory[c->numbers[node->child[k]]];
            below = child < 0 || below < 0 ? -1 : child > below ? child : below;
        }
        memory[i] = own < 0 || below < 0 || own > INT64_MAX - below ? -1 : own + below;
        longest = memory[i] < 0 || longest < 0 ? -1 : memory[i] > longest ? memory[i] : longest;
    }
    return longest;
}

/* The last row of an id shows one branch of a multiplexed message; the others are older. prev and
 * period need the sample before the last. Everything else is in the seed. */
static int64_t memory_of_signals(const struct graph *graph, const struct canonical *c)
{
    bool has_prev = false;
    int64_t memory = 0;

    for (int32_t i = 0; i < c->count; i++)
        has_prev = has_prev || graph->nodes[c->order[i]].op == NODE_PREV ||
                   graph->nodes[c->order[i]].op == NODE_PERIOD;
    for (int32_t i = 0; i < c->signal_count; i++) {
        const struct graph_signal *s = &graph->signals[c->signal_order[i]];
        if (s->first->multiplexor == DBC_NONE && !has_prev)
            continue;
        if (!s->max_age_ns)
            return -1;
        if (s->max_age_ns > memory)
            memory = s->max_age_ns;
    }
    return memory;
}

static int64_t memory_of(const struct graph *graph, const struct canonical *c, int64_t *scratch)
{
    int64_t ops = memory_of_ops(graph, c, scratch), signals = memory_of_signals(graph, c);

    return ops < 0 || signals < 0 ? -1 : ops + signals;
}

static int hash_rules(struct ruleset *set)
{
    struct canonical c;
    size_t room = CANONICAL_BYTES_FIRST;
    char *text = malloc(room);
    int64_t *scratch = malloc((set->graph.node_count + 1) * sizeof *scratch);
    int rc = canonical_open(&c, &set->graph);

    if (!text || !scratch)
        rc = -ENOMEM;
    for (uint32_t i = 0; i < set->count && !rc; i++) {
        for (;;) {
            c.text = text;
            c.size = room;
            canonical_rule(&c, set, i);
            if (c.len < room)
                break;
            room = c.len + 1;
            char *larger = realloc(text, room);
            canonical_reset(&c);
            if (!larger) {
                rc = -ENOMEM;
                break;
            }
            text = larger;
        }
        sha256_of(text, c.len, set->rules[i].hash);
        set->rules[i].memory_ns = memory_of(&set->graph, &c, scratch);
        canonical_reset(&c);
    }
    canonical_close(&c);
    free(text);
    free(scratch);
    return rc;
}

size_t ruleset_canonical(const struct ruleset *set, uint32_t index, char *text, size_t size)
{
    struct canonical c;
    size_t len = 0;

    if (canonical_open(&c, &set->graph) == 0) {
        c.text = text;
        c.size = size;
        canonical_rule(&c, set, index);
        len = c.len;
    }
    canonical_close(&c);
    return len;
}

/* --- loading -------------------------------------------------------------------------------- */

static int load_pack(struct ruleset *set, const struct ruleset_pack *text, struct pack *pack,
                     const struct ruleset_config *config, struct diags *diags)
{
    struct yaml_tree *tree = NULL;
    struct err err = { 0 };
    int rc = yaml_open(text->bytes, text->size, text->name, &err, &tree);

    if (rc) {
        diags_add(diags, DIAG_ERROR, "E101", err.file, err.line, err.column, "%s", err.text);
        return rc == -ENOMEM ? rc : 0;
    }
    rc = add_pack(set, pack, tree, config, diags);
    yaml_close(tree);
    return rc;
}

int ruleset_load(const struct ruleset_config *config, struct diags *diags,
                 struct ruleset **ret_ruleset)
{
    struct diags own = { 0 };
    struct diags *d = diags ? diags : &own;
    uint32_t errors_before = d->errors;
    struct ruleset *set = calloc(1, sizeof *set);
    struct pack *pack = calloc(1, sizeof *pack);
    int rc = set && pack ? 0 : -ENOMEM;

    if (!rc && config->pack_count > PACKS_MAX) {
        diags_add(d, DIAG_ERROR, "E502", NULL, 0, 0, "at most %d packs are loaded", PACKS_MAX);
        rc = -ERANGE;
    }
    if (set) {
        arena_init(&set->arena, ARENA_BYTES_MAX);
        graph_init(&set->graph, &set->arena);
        set->dbset = config->dbset;
    }
    if (!rc)
        rc = grow_rules(set, 0);
    for (size_t i = 0; i < config->pack_count && !rc; i++)
        rc = load_pack(set, &config->packs[i], pack, config, d);
    if (!rc && d->errors > errors_before)
        rc = -EBADMSG;
    if (!rc)
        rc = graph_finish(&set->graph);
    if (!rc)
        rc = hash_rules(set);
    if (rc == -ENOMEM && d->errors == errors_before)
        diags_add(d, DIAG_ERROR, "E601", NULL, 0, 0,
                  "out of memory, or the rules are beyond what an engine may hold");
    free(pack);
    if (rc) {
        ruleset_close(set);
        return rc;
    }
    *ret_ruleset = set;
    return 0;
}

static int read_file(const char *path, char **ret_bytes, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        return -errno;
    char *bytes = malloc(YAML_BYTES_MAX + 1);
    size_t size = bytes ? fread(bytes, 1, YAML_BYTES_MAX + 1, file) : 0;
    int rc = !bytes ? -ENOMEM : ferror(file) ? -EIO : 0;
    (void)fclose(file);
    if (rc) {
        free(bytes);
        return rc;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

int ruleset_load_files(const char *const *paths, size_t count, const struct dbset *dbset,
                       int64_t today_utc_ns, struct diags *diags, struct ruleset **ret_ruleset)
{
    struct ruleset_pack packs[PACKS_MAX] = { { 0 } };
    char *bytes[PACKS_MAX] = { 0 };
    size_t have = 0;
    int rc = 0;

    if (count > PACKS_MAX) {
        diags_add(diags, DIAG_ERROR, "E502", NULL, 0, 0, "at most %d packs are loaded", PACKS_MAX);
        return -ERANGE;
    }
    for (; have < count && !rc; have++) {
        rc = read_file(paths[have], &bytes[have], &packs[have].size);
        packs[have].name = paths[have];
        packs[have].bytes = bytes[have];
        if (rc)
            diags_add(diags, DIAG_ERROR, "E101", paths[have], 0, 0, "cannot be read: %s",
                      strerror(-rc));
    }
    struct ruleset_config config = { packs, count, dbset, today_utc_ns };
    if (!rc)
        rc = ruleset_load(&config, diags, ret_ruleset);
    for (size_t i = 0; i < have; i++)
        free(bytes[i]);
    return rc;
}

void ruleset_close(struct ruleset *set)
{
    if (!set)
        return;
    graph_deinit(&set->graph);
    arena_deinit(&set->arena);
    free(set->rules);
    free(set->program);
    free(set);
}

/* --- looking -------------------------------------------------------------------------------- */

uint32_t ruleset_count(const struct ruleset *set)
{
    return set->count;
}

const struct rule *ruleset_rule(const struct ruleset *set, uint32_t index)
{
    return &set->rules[index];
}

int32_t ruleset_find(const struct ruleset *set, const char *id)
{
    int32_t found = -1;
    uint32_t matches = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        if (strcmp(set->rules[i].id, id) == 0)
            return (int32_t)i;
        if (strcmp(set->rules[i].name, id) == 0) {
            found = (int32_t)i;
            matches++;
        }
    }
    return matches == 1 ? found : -1;
}

void ruleset_hash(const struct ruleset *set, uint8_t ret_hash[SHA256_BYTES])
{
    static const uint8_t version[4] = { ENGINE_SEMANTICS_VERSION, 0, 0, 0 };
    struct sha256 *sha = sha256_open();

    memset(ret_hash, 0, SHA256_BYTES);
    if (!sha)
        return;
    sha256_put(sha, version, sizeof version);
    for (uint32_t i = 0; i < set->count; i++)
        sha256_put(sha, set->rules[i].hash, SHA256_BYTES);
    sha256_take(sha, ret_hash);
    sha256_close(sha);
}

uint32_t ruleset_message_count(const struct ruleset *set)
{
    return set->graph.message_count;
}

struct ruleset_message ruleset_message(const struct ruleset *set, uint32_t index)
{
    const struct graph_message *m = &set->graph.messages[index];

    return (struct ruleset_message){ m->bus, m->message, m->signal_count };
}
