#include "triggers/pack_private.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define PATHS_MAX 1024
#define PRE_DEFAULT_NS (INT64_C(10) * 1000000000)
#define POST_DEFAULT_NS (INT64_C(5) * 1000000000)
#define MAX_ACTIVE_DEFAULT_NS (INT64_C(120) * 1000000000)

/* --- sections ------------------------------------------------------------------------------- */

/* Allocates `count` entries for a section that must be a map; 0 when absent or wrong. */
static uint32_t pack_section(struct pack *pack, const struct yaml_node *root, const char *key,
                             size_t size, void **ret_items, const struct yaml_node **ret_node)
{
    const struct yaml_node *n = yaml_get(root, key);

    *ret_node = NULL;
    if (!n || (n->kind == YAML_TEXT && !n->len) || !field_is_kind(pack, n, YAML_MAP, key))
        return 0;
    *ret_items = arena_array(pack->arena, n->count, size);
    if (!*ret_items) {
        (void)pack_no_memory(pack);
        return 0;
    }
    *ret_node = n->first;
    return n->count;
}

static void read_signal(struct pack *pack, struct pack_signal *s, const struct yaml_node *n)
{
    static const char *const known[] = { "from", "unit", "max_age", "valid", "invalid", NULL };
    static const char *const later[] = { "index", "key", NULL };

    s->name = arena_text(pack->arena, n->key, strlen(n->key));
    s->node = n;
    s->max_age_ns = -1;
    s->has_failed = true; /* until it is read whole */
    if (!s->name || !field_is_kind(pack, n, YAML_MAP, "a signal") ||
        !field_check_ident(pack, n->key, n->key_line, n->key_column, "a signal's name"))
        return;
    field_check_keys(pack, n, "a signal", known, later);
    const struct yaml_node *from = yaml_get(n, "from"), *age = yaml_get(n, "max_age");
    if (!from) {
        pack_error(pack, n->key_line, n->key_column, "E106", "signal '%s' lacks 'from'", s->name);
        return;
    }
    if (!field_is_kind(pack, from, YAML_TEXT, "from"))
        return;
    s->from = (struct source_text){ pack->tree, from };
    s->unit = yaml_get(n, "unit");
    s->invalid = yaml_get(n, "invalid");
    if (age && age->kind == YAML_TEXT && strcmp(age->text, "none") == 0)
        s->max_age_ns = 0;
    else if (age)
        s->max_age_ns = field_duration(pack, n, "max_age", -1, DURATION_MAX_NS);
    if (age && s->max_age_ns == 0 && strcmp(age->text, "none") != 0)
        pack_error(pack, age->line, age->column, "E105",
                   "a max_age of 0 makes every sample stale; say 'none' for never");
    if (s->unit && !field_is_kind(pack, s->unit, YAML_TEXT, "unit"))
        return;
    if (s->invalid && !field_is_kind(pack, s->invalid, YAML_LIST, "invalid"))
        return;
    for (const struct yaml_node *i = s->invalid ? s->invalid->first : NULL; i; i = i->next)
        if (!field_is_kind(pack, i, YAML_TEXT, "a label of 'invalid'"))
            return;
    const struct yaml_node *valid = yaml_get(n, "valid");
    if (valid && field_is_kind(pack, valid, YAML_TEXT, "valid")) {
        struct parse_config config = field_parser(pack, valid);
        s->valid_text = config.source;
        s->valid = parse_interval(&config);
        if (!s->valid)
            return;
    }
    s->has_failed = false;
}

static void read_signals(struct pack *pack, const struct yaml_node *root)
{
    const struct yaml_node *n;
    void *items = NULL;
    uint32_t count = pack_section(pack, root, "signals", sizeof *pack->signals, &items, &n);

    pack->signals = items;
    if (count > PACK_SIGNALS_MAX) {
        pack_error(pack, n->key_line, n->key_column, "E502", "a pack has at most 4096 signals");
        return;
    }
    for (; n; n = n->next) {
        read_signal(pack, &pack->signals[pack->signal_count], n);
        if (pack->signals[pack->signal_count].name)
            pack->signal_count++;
    }
}

static struct ast *read_literal(struct pack *pack, const struct yaml_node *map, const char *key,
                                struct source_text *ret_text)
{
    const struct yaml_node *n = yaml_get(map, key);

    if (!n || !field_is_kind(pack, n, YAML_TEXT, key))
        return NULL;
    struct parse_config config = field_parser(pack, n);
    *ret_text = config.source;
    return parse_literal(&config);
}

static void read_param(struct pack *pack, struct pack_param *p, const struct yaml_node *n)
{
    static const char *const known[] = { "value", "min", "max", NULL };

    p->name = arena_text(pack->arena, n->key, strlen(n->key));
    p->node = n;
    if (!p->name || !field_is_kind(pack, n, YAML_MAP, "a param (like {value: 5 km/h})") ||
        !field_check_ident(pack, n->key, n->key_line, n->key_column, "a param's name"))
        return;
    field_check_keys(pack, n, "a param", known, NULL);
    if (!yaml_get(n, "value"))
        pack_error(pack, n->key_line, n->key_column, "E106", "param '%s' lacks 'value'", p->name);
    p->value = read_literal(pack, n, "value", &p->value_text);
    p->min = read_literal(pack, n, "min", &p->min_text);
    p->max = read_literal(pack, n, "max", &p->max_text);
}

static void read_params(struct pack *pack, const struct yaml_node *root)
{
    const struct yaml_node *n;
    void *items = NULL;

    (void)pack_section(pack, root, "params", sizeof *pack->params, &items, &n);
    pack->params = items;
    for (; n; n = n->next) {
        read_param(pack, &pack->params[pack->param_count], n);
        if (pack->params[pack->param_count].name)
            pack->param_count++;
    }
}

/* An item is a number when it is written like one and stands without quotes, else a label. */
static struct ast *read_item(struct pack *pack, const struct yaml_node *n)
{
    bool is_bool = strcmp(n->text, "true") == 0 || strcmp(n->text, "false") == 0;
    const char *digits = n->text + (n->text[0] == '-');

    if (n->is_plain && isdigit((unsigned char)*digits)) {
        struct parse_config config = field_parser(pack, n);
        return parse_literal(&config);
    }
    struct ast *ast = arena_alloc(pack->arena, sizeof *ast);
    if (!ast)
        return pack_no_memory(pack);
    ast->kind = n->is_plain && is_bool ? AST_BOOL : AST_LABEL;
    ast->flag = n->text[0] == 't';
    ast->text = arena_text(pack->arena, n->text, n->len);
    if (!ast->text)
        return pack_no_memory(pack);
    if (ast->kind == AST_LABEL)
        pack_note_label(pack, ast->text);
    return ast;
}

static void read_list(struct pack *pack, struct pack_list *l, const struct yaml_node *n)
{
    struct ast **tail = &l->items;

    l->name = arena_text(pack->arena, n->key, strlen(n->key));
    l->node = n;
    if (!l->name || !field_is_kind(pack, n, YAML_LIST, "an entry of 'lists'") ||
        !field_check_ident(pack, n->key, n->key_line, n->key_column, "a list's name"))
        return;
    if (!n->first || n->count > 256)
        pack_error(pack, n->line, n->column, "E105", "a list has 1 to 256 items, found %u",
                   n->count);
    for (const struct yaml_node *i = n->first; i; i = i->next) {
        if (!field_is_kind(pack, i, YAML_TEXT, "an item of a list"))
            continue;
        *tail = read_item(pack, i);
        if (*tail) {
            tail = &(*tail)->next;
            l->count++;
        }
    }
}

static void read_lists(struct pack *pack, const struct yaml_node *root)
{
    const struct yaml_node *n;
    void *items = NULL;

    (void)pack_section(pack, root, "lists", sizeof *pack->lists, &items, &n);
    pack->lists = items;
    for (; n; n = n->next) {
        read_list(pack, &pack->lists[pack->list_count], n);
        if (pack->lists[pack->list_count].name)
            pack->list_count++;
    }
}

/* "name" or "name(a, b)". */
static bool read_macro_head(struct pack *pack, struct pack_macro *m, const struct yaml_node *n)
{
    const char *open = strchr(n->key, '('), *at = open ? open + 1 : NULL;
    size_t len = open ? (size_t)(open - n->key) : strlen(n->key);

    m->name = arena_text(pack->arena, n->key, len);
    if (!m->name || !field_check_ident(pack, m->name, n->key_line, n->key_column, "a macro's name"))
        return false;
    while (at) {
        at += strspn(at, " ");
        len = strcspn(at, ",) ");
        if (m->param_count == MACRO_PARAMS_MAX) {
            pack_error(pack, n->key_line, n->key_column, "E502", "a macro has at most 8 arguments");
            return false;
        }
        const char *name = arena_text(pack->arena, at, len);
        uint32_t column = n->key_column + (uint32_t)(at - n->key);
        if (!name || !field_check_ident(pack, name, n->key_line, column, "a macro's argument"))
            return false;
        m->params[m->param_count++] = name;
        at += len;
        at += strspn(at, " ");
        if (*at == ')' && !at[1])
            return true;
        if (*at != ',') {
            pack_error(pack, n->key_line, n->key_column + (uint32_t)(at - n->key), "E101",
                       "expected ',' or ')' in the macro's head, like ttc(gap, speed)");
            return false;
        }
        at++;
    }
    return true;
}

static void read_macros(struct pack *pack, const struct yaml_node *root)
{
    const struct yaml_node *n;
    void *items = NULL;

    (void)pack_section(pack, root, "macros", sizeof *pack->macros, &items, &n);
    pack->macros = items;
    for (; n; n = n->next) {
        struct pack_macro *m = &pack->macros[pack->macro_count];
        m->node = n;
        if (!read_macro_head(pack, m, n))
            continue;
        for (uint32_t i = 0; i < pack->macro_count; i++)
            if (strcmp(pack->macros[i].name, m->name) == 0)
                pack_error(pack, n->key_line, n->key_column, "E205", "a second macro '%s'",
                           m->name);
        for (uint32_t i = 0; i < pack->signal_count; i++)
            if (strcmp(pack->signals[i].name, m->name) == 0)
                pack_error(pack, n->key_line, n->key_column, "E205",
                           "macro '%s' has the name of a signal", m->name);
        if (is_language_function(m->name))
            pack_error(pack, n->key_line, n->key_column, "E205",
                       "macro '%s' has the name of a function of the language", m->name);
        m->body = field_expression(pack, n, "a macro", &m->text);
        pack->macro_count++;
    }
}

/* --- the head ------------------------------------------------------------------------------- */

/* ">=1.0": the least engine; this one is ENGINE_SEMANTICS_VERSION.0. */
static void check_engine(struct pack *pack, const struct yaml_node *n)
{
    unsigned major = 0, minor = 0;
    int used = 0;

    if (!field_is_kind(pack, n, YAML_TEXT, "engine"))
        return;
    if (sscanf(n->text, ">=%3u.%3u%n", &major, &minor, &used) != 2 || used != (int)n->len)
        pack_error(pack, n->line, n->column, "E105",
                   "found '%.40s' for 'engine'; expected the least version, like \">=1.0\"",
                   n->text);
    else if (major > ENGINE_SEMANTICS_VERSION || (major == ENGINE_SEMANTICS_VERSION && minor > 0))
        pack_error(pack, n->line, n->column, "E107", "the pack needs engine %s; this is %d.0",
                   n->text, ENGINE_SEMANTICS_VERSION);
}

static void check_databases(struct pack *pack, const struct yaml_node *list)
{
    const char *names[DBSET_ENTRIES_MAX];
    const uint32_t count = pack->dbset->count;

    if (!field_is_kind(pack, list, YAML_LIST, "db"))
        return;
    for (uint32_t i = 0; i < count; i++)
        names[i] = pack->dbset->entries[i].name;
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        bool found = false;
        if (!field_is_kind(pack, n, YAML_TEXT, "a database"))
            continue;
        for (uint32_t i = 0; i < count; i++)
            found = found || strcmp(names[i], n->text) == 0;
        const char *nearest = found ? NULL : err_nearest(n->text, names, count);
        if (!found)
            pack_error(pack, n->line, n->column, "E208",
                       "the pack needs database '%.80s', which was not given%s%s%s", n->text,
                       nearest ? "; did you mean '" : "", nearest ? nearest : "",
                       nearest ? "'?" : "");
    }
}

static void read_requires(struct pack *pack, const struct yaml_node *root)
{
    static const char *const known[] = { "engine", "db", NULL };
    const struct yaml_node *n = yaml_get(root, "requires");

    if (!n || !field_is_kind(pack, n, YAML_MAP, "requires"))
        return;
    field_check_keys(pack, n, "'requires'", known, NULL);
    if (yaml_get(n, "engine"))
        check_engine(pack, yaml_get(n, "engine"));
    if (yaml_get(n, "db"))
        check_databases(pack, yaml_get(n, "db"));
}

static void read_defaults(struct pack *pack, const struct yaml_node *root, struct rule *rule)
{
    static const char *const known[] = { "for", "keep", "max_active", "cooldown", "priority",
                                         "clip", "limits", NULL };
    const struct yaml_node *n = yaml_get(root, "defaults");

    *rule = (struct rule){ .package = pack->package, .version = pack->version,
                           .max_active_ns = MAX_ACTIVE_DEFAULT_NS, .pre_ns = PRE_DEFAULT_NS,
                           .post_ns = POST_DEFAULT_NS, .merge = true };
    rule->file = arena_text(pack->arena, yaml_file(pack->tree), strlen(yaml_file(pack->tree)));
    if (!n || !field_is_kind(pack, n, YAML_MAP, "defaults"))
        return;
    field_check_keys(pack, n, "'defaults'", known, NULL);
    pack_read_shared(pack, n, rule);
}

static void read_head(struct pack *pack, const struct yaml_node *root)
{
    const struct yaml_node *format = yaml_get(root, "format"), *package = yaml_get(root, "package");
    const struct yaml_node *version = yaml_get(root, "version");
    int a, b, c, used = 0;

    if (!format)
        pack_error(pack, root->line, root->column, "E106", "the pack lacks 'format: 1'");
    else
        (void)field_integer(pack, root, "format", 1, 1, 1);
    pack->package = field_text(pack, root, "package");
    if (!package)
        pack_error(pack, root->line, root->column, "E106", "the pack lacks 'package'");
    else if (package->kind == YAML_TEXT)
        (void)field_check_name(pack, pack->package, package->line, package->column,
                               "a package's name");
    pack->version = field_text(pack, root, "version");
    if (version && version->kind == YAML_TEXT &&
        (sscanf(version->text, "%9d.%9d.%9d%n", &a, &b, &c, &used) != 3 ||
         used != (int)version->len))
        pack_error(pack, version->line, version->column, "E105",
                   "found '%.40s' for 'version'; expected three numbers like 1.4.0",
                   version->text);
}

int pack_read(struct pack *pack, const struct yaml_tree *tree, struct arena *arena,
              const struct dbset *dbset, int64_t today_utc_ns, struct diags *diags)
{
    static const char *const known[] = { "format", "package", "version", "requires", "signals",
                                         "params", "lists", "macros", "defaults", "rules", NULL };
    const struct yaml_node *root = yaml_root(tree);
    struct rule defaults;

    memset(pack, 0, sizeof *pack);
    pack->tree = tree;
    pack->arena = arena;
    pack->diags = diags;
    pack->dbset = dbset;
    pack->today_utc_ns = today_utc_ns;
    pack->paths_room = PATHS_MAX;
    pack->paths = arena_array(arena, PATHS_MAX, sizeof *pack->paths);
    if (!pack->paths)
        return -ENOMEM;
    if (!field_is_kind(pack, root, YAML_MAP, "a pack"))
        return 0;
    field_check_keys(pack, root, "a pack", known, NULL);
    read_head(pack, root);
    read_requires(pack, root);
    read_signals(pack, root);
    read_params(pack, root);
    read_lists(pack, root);
    read_macros(pack, root);
    read_defaults(pack, root, &defaults);
    pack_read_rules(pack, root, &defaults);
    return 0;
}
