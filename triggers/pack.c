#include "triggers/pack.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#define NAME_MAX_BYTES 64
#define DURATION_MAX_NS (INT64_C(86400) * 1000000000)
#define CLIP_DURATION_MAX_NS (INT64_C(3600) * 1000000000)
#define LIMIT_MAX 1000
#define PATHS_MAX 1024
#define PRE_DEFAULT_NS (INT64_C(10) * 1000000000)
#define POST_DEFAULT_NS (INT64_C(5) * 1000000000)
#define MAX_ACTIVE_DEFAULT_NS (INT64_C(120) * 1000000000)

/* --- messages ------------------------------------------------------------------------------- */

static void say(struct pack *pack, enum diag_severity severity, uint32_t line, uint32_t column,
                const char *code, const char *format, va_list args)
{
    char text[ERR_TEXT_MAX];

    if (severity == DIAG_ERROR && pack->diags && pack->diags->errors >= RULE_ERRORS_SHOWN) {
        pack->diags->errors++;
        return;
    }
    (void)vsnprintf(text, sizeof text, format, args);
    diags_add(pack->diags, severity, code, yaml_file(pack->tree), line, column, "%s", text);
}

void pack_error(struct pack *pack, uint32_t line, uint32_t column, const char *code,
                const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(pack, DIAG_ERROR, line, column, code, format, args);
    va_end(args);
}

void pack_warning(struct pack *pack, uint32_t line, uint32_t column, const char *code,
                  const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(pack, DIAG_WARNING, line, column, code, format, args);
    va_end(args);
}

static void *no_memory(struct pack *pack)
{
    pack_error(pack, 0, 0, "E601", "out of memory, or the pack is beyond its bound");
    return NULL;
}

static struct parse_config parser_of(struct pack *pack, const struct yaml_node *node);

/* --- keys and scalars ----------------------------------------------------------------------- */

static bool is_kind(struct pack *pack, const struct yaml_node *node, enum yaml_kind kind,
                    const char *what)
{
    if (node->kind == kind)
        return true;
    pack_error(pack, node->line, node->column, "E102", "%s must be %s, found %s", what,
               yaml_kind_name(kind), yaml_kind_name(node->kind));
    return false;
}

/* Refuses keys that are not in `known`; those in `later` by name. Both end with NULL. */
static void check_keys(struct pack *pack, const struct yaml_node *map, const char *what,
                       const char *const *known, const char *const *later)
{
    for (const struct yaml_node *n = map->first; n; n = n->next) {
        size_t count = 0, i;
        for (i = 0; known[i] && strcmp(known[i], n->key) != 0; i++)
            ;
        if (known[i])
            continue;
        for (count = 0; known[count]; count++)
            ;
        for (i = 0; later && later[i] && strcmp(later[i], n->key) != 0; i++)
            ;
        if (later && later[i]) {
            pack_error(pack, n->key_line, n->key_column, "E190",
                       "'%s' is in the rule language but not in this version", n->key);
            continue;
        }
        const char *nearest = err_nearest(n->key, known, count);
        pack_error(pack, n->key_line, n->key_column, "E103", "unknown key '%s' in %s%s%s%s", n->key,
                   what, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                   nearest ? "'?" : "");
    }
}

static const char *get_text(struct pack *pack, const struct yaml_node *map, const char *key)
{
    const struct yaml_node *n = yaml_get(map, key);

    if (!n)
        return "";
    if (!is_kind(pack, n, YAML_TEXT, key))
        return "";
    const char *copy = arena_text(pack->arena, n->text, n->len);
    return copy ? copy : "";
}

static bool is_name(const char *text, size_t max)
{
    size_t len = strlen(text);

    return len > 0 && len <= max &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static bool check_name(struct pack *pack, const char *text, uint32_t line, uint32_t column,
                       const char *what)
{
    if (is_name(text, NAME_MAX_BYTES))
        return true;
    pack_error(pack, line, column, "E104", "%s '%.80s' must be of [a-z0-9_] and at most 64 bytes",
               what, text);
    return false;
}

/* Names of signals and macros' arguments stand in expressions: identifiers. */
static bool check_ident(struct pack *pack, const char *text, uint32_t line, uint32_t column,
                        const char *what)
{
    static const char *const words[] = { "and", "or", "not", "in", "is", "true", "false", "then",
                                         "within", "total", NULL };
    size_t len = strlen(text);
    bool ok = len > 0 && len <= NAME_MAX_BYTES && !isdigit((unsigned char)text[0]);

    for (size_t i = 0; i < len && ok; i++)
        ok = isalnum((unsigned char)text[i]) || text[i] == '_';
    for (size_t i = 0; words[i] && ok; i++)
        ok = strcmp(words[i], text) != 0;
    if (!ok)
        pack_error(pack, line, column, "E104",
                   "%s '%.80s' must be a name of letters, digits and _, not a word of the language",
                   what, text);
    return ok;
}

static int64_t get_duration(struct pack *pack, const struct yaml_node *map, const char *key,
                            int64_t fallback, int64_t most_ns)
{
    static const struct unit second = { .dim = { [DIM_S] = 1 }, .num = 1, .den = 1 };
    const struct yaml_node *n = yaml_get(map, key);

    if (!n || !is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    struct parse_config config = parser_of(pack, n);
    struct ast *ast = parse_literal(&config);
    if (!ast)
        return fallback;
    double mul, div, add, ns = -1;
    if (ast->kind == AST_NUMBER && unit_same_quantity(&ast->unit, &second)) {
        unit_conversion(&ast->unit, &second, &mul, &div, &add);
        ns = ast->number * mul * 1e9 / div;
    }
    if (!(ns >= 0) || ns > (double)most_ns) {
        pack_error(pack, n->line, n->column, "E105",
                   "found '%.40s' for '%s'; expected a duration like 500ms, 10s or 2min, at most "
                   "%llds", n->text, key, (long long)(most_ns / 1000000000));
        return fallback;
    }
    return (int64_t)(ns + 0.5);
}

static int64_t get_integer(struct pack *pack, const struct yaml_node *map, const char *key,
                           int64_t fallback, int64_t least, int64_t most)
{
    const struct yaml_node *n = yaml_get(map, key);
    int64_t value = 0;

    if (!n || !is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    bool ok = n->len > 0 && n->len < 18;
    for (uint32_t i = 0; i < n->len && ok; i++) {
        ok = isdigit((unsigned char)n->text[i]) != 0;
        value = value * 10 + (n->text[i] - '0');
    }
    if (ok && value >= least && value <= most)
        return value;
    pack_error(pack, n->line, n->column, "E105",
               "found '%.40s' for '%s'; expected a whole number of %lld to %lld", n->text, key,
               (long long)least, (long long)most);
    return fallback;
}

static bool get_bool(struct pack *pack, const struct yaml_node *map, const char *key, bool fallback)
{
    const struct yaml_node *n = yaml_get(map, key);

    if (!n || !is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    if (strcmp(n->text, "true") == 0 || strcmp(n->text, "false") == 0)
        return n->text[0] == 't';
    pack_error(pack, n->line, n->column, "E105", "found '%.40s' for '%s'; expected true or false",
               n->text, key);
    return fallback;
}

static int64_t get_bytes(struct pack *pack, const struct yaml_node *map, const char *key)
{
    static const struct { const char *text; int64_t bytes; } units[] = {
        { "B", 1 }, { "kB", 1000 }, { "KiB", 1024 }, { "MB", 1000000 }, { "MiB", 1048576 },
        { "GB", 1000000000 },
    };
    const struct yaml_node *n = yaml_get(map, key);

    if (!n || !is_kind(pack, n, YAML_TEXT, key))
        return 0;
    size_t digits = strspn(n->text, "0123456789");
    int64_t value = 0;
    for (size_t i = 0; i < digits && digits <= 9; i++)
        value = value * 10 + (n->text[i] - '0');
    const char *unit = n->text + digits + (n->text[digits] == ' ');
    for (size_t i = 0; digits && digits <= 9 && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].text) == 0 && value > 0)
            return value * units[i].bytes;
    pack_error(pack, n->line, n->column, "E105",
               "found '%.40s' for '%s'; expected bytes like 500kB, 60MB or 4MiB", n->text, key);
    return 0;
}

/* One of `names` (ending with NULL) as its index. */
static int get_choice(struct pack *pack, const struct yaml_node *map, const char *key, int fallback,
                      const char *const *names)
{
    const struct yaml_node *n = yaml_get(map, key);
    char all[160];
    size_t at = 0, count = 0;

    if (!n || !is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    for (; names[count]; count++) {
        if (strcmp(names[count], n->text) == 0)
            return (int)count;
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", count ? ", " : "", names[count]);
    }
    pack_error(pack, n->line, n->column, "E105", "found '%.40s' for '%s'; expected one of %s",
               n->text, key, all);
    return fallback;
}

/* --- expressions ---------------------------------------------------------------------------- */

static void note_label(void *context, const char *label)
{
    struct pack *pack = context;

    for (uint32_t i = 0; i < pack->label_count; i++)
        if (strcmp(pack->labels[i], label) == 0)
            return;
    if (pack->label_count == PACK_LABELS_MAX)
        pack_error(pack, 0, 0, "E502", "a pack names at most 4096 labels");
    else
        pack->labels[pack->label_count++] = label;
}

static struct parse_config parser_of(struct pack *pack, const struct yaml_node *node)
{
    return (struct parse_config){ pack->arena, pack->diags, { pack->tree, node }, note_label,
                                  pack };
}

static struct ast *parse_text(struct pack *pack, const struct yaml_node *node, const char *what,
                              struct source_text *ret_text)
{
    if (!is_kind(pack, node, YAML_TEXT, what))
        return NULL;
    struct parse_config config = parser_of(pack, node);
    *ret_text = config.source;
    if (node->len)
        return parse_expression(&config);
    pack_error(pack, node->line, node->column, "E105", "%s is empty; expected an expression", what);
    return NULL;
}

/* --- sections ------------------------------------------------------------------------------- */

/* Allocates `count` entries for a section that must be a map; 0 when absent or wrong. */
static uint32_t open_section(struct pack *pack, const struct yaml_node *root, const char *key,
                             size_t size, void **ret_items, const struct yaml_node **ret_node)
{
    const struct yaml_node *n = yaml_get(root, key);

    *ret_node = NULL;
    if (!n || (n->kind == YAML_TEXT && !n->len) || !is_kind(pack, n, YAML_MAP, key))
        return 0;
    *ret_items = arena_array(pack->arena, n->count, size);
    if (!*ret_items) {
        (void)no_memory(pack);
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
    if (!s->name || !is_kind(pack, n, YAML_MAP, "a signal") ||
        !check_ident(pack, n->key, n->key_line, n->key_column, "a signal's name"))
        return;
    check_keys(pack, n, "a signal", known, later);
    const struct yaml_node *from = yaml_get(n, "from"), *age = yaml_get(n, "max_age");
    if (!from) {
        pack_error(pack, n->key_line, n->key_column, "E106", "signal '%s' lacks 'from'", s->name);
        return;
    }
    if (!is_kind(pack, from, YAML_TEXT, "from"))
        return;
    s->from = (struct source_text){ pack->tree, from };
    s->unit = yaml_get(n, "unit");
    s->invalid = yaml_get(n, "invalid");
    if (age && age->kind == YAML_TEXT && strcmp(age->text, "none") == 0)
        s->max_age_ns = 0;
    else if (age)
        s->max_age_ns = get_duration(pack, n, "max_age", -1, DURATION_MAX_NS);
    if (age && s->max_age_ns == 0 && strcmp(age->text, "none") != 0)
        pack_error(pack, age->line, age->column, "E105",
                   "a max_age of 0 makes every sample stale; say 'none' for never");
    if (s->unit && !is_kind(pack, s->unit, YAML_TEXT, "unit"))
        return;
    if (s->invalid && !is_kind(pack, s->invalid, YAML_LIST, "invalid"))
        return;
    for (const struct yaml_node *i = s->invalid ? s->invalid->first : NULL; i; i = i->next)
        if (!is_kind(pack, i, YAML_TEXT, "a label of 'invalid'"))
            return;
    const struct yaml_node *valid = yaml_get(n, "valid");
    if (valid && is_kind(pack, valid, YAML_TEXT, "valid")) {
        struct parse_config config = parser_of(pack, valid);
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
    uint32_t count = open_section(pack, root, "signals", sizeof *pack->signals, &items, &n);

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

    if (!n || !is_kind(pack, n, YAML_TEXT, key))
        return NULL;
    struct parse_config config = parser_of(pack, n);
    *ret_text = config.source;
    return parse_literal(&config);
}

static void read_param(struct pack *pack, struct pack_param *p, const struct yaml_node *n)
{
    static const char *const known[] = { "value", "min", "max", NULL };

    p->name = arena_text(pack->arena, n->key, strlen(n->key));
    p->node = n;
    if (!p->name || !is_kind(pack, n, YAML_MAP, "a param (like {value: 5 km/h})") ||
        !check_ident(pack, n->key, n->key_line, n->key_column, "a param's name"))
        return;
    check_keys(pack, n, "a param", known, NULL);
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

    (void)open_section(pack, root, "params", sizeof *pack->params, &items, &n);
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
        struct parse_config config = parser_of(pack, n);
        return parse_literal(&config);
    }
    struct ast *ast = arena_alloc(pack->arena, sizeof *ast);
    if (!ast)
        return no_memory(pack);
    ast->kind = n->is_plain && is_bool ? AST_BOOL : AST_LABEL;
    ast->flag = n->text[0] == 't';
    ast->text = arena_text(pack->arena, n->text, n->len);
    if (!ast->text)
        return no_memory(pack);
    if (ast->kind == AST_LABEL)
        note_label(pack, ast->text);
    return ast;
}

static void read_list(struct pack *pack, struct pack_list *l, const struct yaml_node *n)
{
    struct ast **tail = &l->items;

    l->name = arena_text(pack->arena, n->key, strlen(n->key));
    l->node = n;
    if (!l->name || !is_kind(pack, n, YAML_LIST, "an entry of 'lists'") ||
        !check_ident(pack, n->key, n->key_line, n->key_column, "a list's name"))
        return;
    if (!n->first || n->count > 256)
        pack_error(pack, n->line, n->column, "E105", "a list has 1 to 256 items, found %u",
                   n->count);
    for (const struct yaml_node *i = n->first; i; i = i->next) {
        if (!is_kind(pack, i, YAML_TEXT, "an item of a list"))
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

    (void)open_section(pack, root, "lists", sizeof *pack->lists, &items, &n);
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
    if (!m->name || !check_ident(pack, m->name, n->key_line, n->key_column, "a macro's name"))
        return false;
    while (at) {
        at += strspn(at, " ");
        len = strcspn(at, ",) ");
        if (m->param_count == MACRO_PARAMS_MAX) {
            pack_error(pack, n->key_line, n->key_column, "E502", "a macro has at most 8 arguments");
            return false;
        }
        const char *name = arena_text(pack->arena, at, len);
        if (!name || !check_ident(pack, name, n->key_line,
                                  n->key_column + (uint32_t)(at - n->key), "a macro's argument"))
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

    (void)open_section(pack, root, "macros", sizeof *pack->macros, &items, &n);
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
        m->body = parse_text(pack, n, "a macro", &m->text);
        pack->macro_count++;
    }
}

/* --- rules ---------------------------------------------------------------------------------- */

static const char *const clip_keys[] = { "pre", "post", "streams", "max_bytes", "merge", NULL };
static const char *const limit_keys[] = { "per_trip", "per_hour", "per_day", NULL };
static const char *const limit_later[] = { "bytes_per_day", NULL };

static void read_streams(struct pack *pack, const struct yaml_node *clip, struct rule *rule)
{
    const struct yaml_node *n = yaml_get(clip, "streams");
    uint32_t count = 0;

    if (!n || !is_kind(pack, n, YAML_LIST, "streams"))
        return;
    if (n->count > RULE_STREAMS_MAX) {
        pack_error(pack, n->line, n->column, "E502", "a clip has at most 16 streams");
        return;
    }
    const char **names = arena_array(pack->arena, n->count, sizeof *names);
    for (const struct yaml_node *i = n->first; names && i; i = i->next) {
        if (!is_kind(pack, i, YAML_TEXT, "a stream"))
            continue;
        names[count] = arena_text(pack->arena, i->text, i->len);
        count += names[count] != NULL;
    }
    rule->streams = names;
    rule->stream_count = count;
}

static void read_clip(struct pack *pack, const struct yaml_node *map, struct rule *rule)
{
    const struct yaml_node *clip = yaml_get(map, "clip");

    if (!clip || !is_kind(pack, clip, YAML_MAP, "clip"))
        return;
    check_keys(pack, clip, "'clip'", clip_keys, NULL);
    rule->pre_ns = get_duration(pack, clip, "pre", rule->pre_ns, CLIP_DURATION_MAX_NS);
    rule->post_ns = get_duration(pack, clip, "post", rule->post_ns, CLIP_DURATION_MAX_NS);
    rule->merge = get_bool(pack, clip, "merge", rule->merge);
    if (yaml_get(clip, "max_bytes"))
        rule->clip_max_bytes = get_bytes(pack, clip, "max_bytes");
    read_streams(pack, clip, rule);
}

static void read_limits(struct pack *pack, const struct yaml_node *map, struct rule *rule)
{
    const struct yaml_node *n = yaml_get(map, "limits");

    if (!n || !is_kind(pack, n, YAML_MAP, "limits"))
        return;
    check_keys(pack, n, "'limits'", limit_keys, limit_later);
    rule->per_trip = (uint32_t)get_integer(pack, n, "per_trip", rule->per_trip, 1, LIMIT_MAX);
    rule->per_hour = (uint32_t)get_integer(pack, n, "per_hour", rule->per_hour, 1, LIMIT_MAX);
    rule->per_day = (uint32_t)get_integer(pack, n, "per_day", rule->per_day, 1, LIMIT_MAX);
}

/* The keys that `defaults` may hold too. */
static void read_shared(struct pack *pack, const struct yaml_node *map, struct rule *rule)
{
    rule->for_ns = get_duration(pack, map, "for", rule->for_ns, DURATION_MAX_NS);
    rule->keep_ns = get_duration(pack, map, "keep", rule->keep_ns, DURATION_MAX_NS);
    rule->cooldown_ns = get_duration(pack, map, "cooldown", rule->cooldown_ns, DURATION_MAX_NS);
    rule->max_active_ns = get_duration(pack, map, "max_active", rule->max_active_ns,
                                       DURATION_MAX_NS);
    rule->priority = (uint8_t)get_integer(pack, map, "priority", rule->priority, 0, PRIORITY_MAX);
    read_clip(pack, map, rule);
    read_limits(pack, map, rule);
}

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* 2026-12-31: the exception is valid until the end of that day, UTC. */
static void check_until(struct pack *pack, const struct yaml_node *n, const char *name)
{
    int y = 0, m = 0, d = 0, used = 0;

    if (!is_kind(pack, n, YAML_TEXT, "until"))
        return;
    if (n->len != 10 || sscanf(n->text, "%4d-%2d-%2d%n", &y, &m, &d, &used) != 3 || used != 10 ||
        m < 1 || m > 12 || d < 1 || d > 31) {
        pack_error(pack, n->line, n->column, "E105",
                   "found '%.40s' for 'until'; expected a date like 2026-12-31", n->text);
        return;
    }
    int64_t today = pack->today_utc_ns / 1000000000 / 86400;
    if (pack->today_utc_ns && today > days_from_civil(y, m, d))
        pack_warning(pack, n->line, n->column, "W730",
                     "exception '%s' was meant until %s; it still holds", name, n->text);
}

static void read_unless(struct pack *pack, const struct yaml_node *map, struct pack_rule *r)
{
    static const char *const known[] = { "name", "if", "until", NULL };
    const struct yaml_node *list = yaml_get(map, "unless");

    if (!list || !is_kind(pack, list, YAML_LIST, "unless"))
        return;
    if (list->count > UNLESS_MAX) {
        pack_error(pack, list->line, list->column, "E502", "a rule has at most 16 exceptions");
        return;
    }
    const char **names = arena_array(pack->arena, list->count, sizeof *names);
    for (const struct yaml_node *n = list->first; names && n; n = n->next) {
        if (!is_kind(pack, n, YAML_MAP, "an exception (like {name: workshop, if: \"...\"})"))
            continue;
        check_keys(pack, n, "an exception", known, NULL);
        const struct yaml_node *name = yaml_get(n, "name"), *when = yaml_get(n, "if");
        if (!name || !when) {
            pack_error(pack, n->line, n->column, "E106", "an exception needs 'name' and 'if'");
            continue;
        }
        struct pack_expression *e = &r->unless[r->rule.unless_count];
        e->name = get_text(pack, n, "name");
        if (!check_name(pack, e->name, name->line, name->column, "an exception's name"))
            continue;
        if (yaml_get(n, "until"))
            check_until(pack, yaml_get(n, "until"), e->name);
        e->body = parse_text(pack, when, "'if'", &e->text);
        names[r->rule.unless_count++] = e->name;
    }
    r->rule.unless = names;
}

static void read_attach(struct pack *pack, const struct yaml_node *map, struct pack_rule *r)
{
    const struct yaml_node *all = yaml_get(map, "attach");

    if (!all || !is_kind(pack, all, YAML_MAP, "attach"))
        return;
    if (all->count > ATTACH_MAX) {
        pack_error(pack, all->line, all->column, "E502", "a rule attaches at most 16 values");
        return;
    }
    for (const struct yaml_node *n = all->first; n; n = n->next) {
        struct pack_expression *e = &r->attach[r->rule.attach_count];
        e->name = arena_text(pack->arena, n->key, strlen(n->key));
        if (!e->name ||
            !check_name(pack, n->key, n->key_line, n->key_column, "an attached value's name"))
            continue;
        e->body = parse_text(pack, n, "an attached value", &e->text);
        r->rule.attach_count++;
    }
}

static void check_rule(struct pack *pack, const struct yaml_node *n, const struct pack_rule *r)
{
    const struct rule *rule = &r->rule;

    if (rule->trigger == TRIGGER_LEVEL &&
        (!rule->cooldown_ns || !(rule->per_trip || rule->per_hour || rule->per_day))) {
        const struct yaml_node *t = yaml_get(n, "trigger");
        pack_error(pack, t->line, t->column, "E530",
                   "a level trigger fires again and again: it needs 'cooldown' and 'limits'");
    }
    if (rule->max_active_ns == 0) {
        const struct yaml_node *t = yaml_get(n, "max_active");
        pack_error(pack, t ? t->line : n->line, t ? t->column : n->column, "E105",
                   "max_active must be more than 0");
    }
    if (rule->priority == PRIORITY_CRASH && !rule->owner[0])
        pack_warning(pack, rule->line, rule->column, "W719",
                     "rule '%s' has priority 9 but no 'owner' to call", rule->name);
}

static const char *join_id(struct pack *pack, const char *name)
{
    char id[RULE_NAME_MAX];
    int len = snprintf(id, sizeof id, "%s/%s", pack->package, name);

    return arena_text(pack->arena, id, (size_t)len < sizeof id ? (size_t)len : sizeof id - 1);
}

/* Texts for people; read only to refuse what is no text. */
static void check_notes(struct pack *pack, const struct yaml_node *n)
{
    const struct yaml_node *tags = yaml_get(n, "tags"), *labels = yaml_get(n, "labels");

    if (tags && is_kind(pack, tags, YAML_LIST, "tags"))
        for (const struct yaml_node *i = tags->first; i; i = i->next)
            (void)is_kind(pack, i, YAML_TEXT, "a tag");
    if (labels && is_kind(pack, labels, YAML_MAP, "labels"))
        for (const struct yaml_node *i = labels->first; i; i = i->next)
            (void)is_kind(pack, i, YAML_TEXT, "a label");
}

static void read_rule_keys(struct pack *pack, const struct yaml_node *n, struct pack_rule *r)
{
    static const char *const statuses[] = { "draft", "shadow", "canary", "stable", "deprecated",
                                            NULL };
    static const char *const triggers[] = { "rising", "falling", "both", "level", NULL };
    static const char *const initials[] = { "wait", "fire", NULL };
    struct rule *rule = &r->rule;

    rule->title = get_text(pack, n, "title");
    rule->why = get_text(pack, n, "why");
    rule->owner = get_text(pack, n, "owner");
    check_notes(pack, n);
    rule->status = (enum rule_status)get_choice(pack, n, "status", RULE_STABLE, statuses);
    rule->trigger = (enum rule_trigger)get_choice(pack, n, "trigger", TRIGGER_RISING, triggers);
    rule->initial_fire = get_choice(pack, n, "initial", 0, initials) == 1;
    rule->enabled = get_bool(pack, n, "enabled", true);
    read_shared(pack, n, rule);
    read_unless(pack, n, r);
    read_attach(pack, n, r);
    const struct yaml_node *when = yaml_get(n, "when");
    if (when)
        r->when = parse_text(pack, when, "'when'", &r->when_text);
    else
        pack_error(pack, n->line, n->column, "E106", "rule '%s' lacks 'when'", rule->name);
    check_rule(pack, n, r);
}

static void read_rule(struct pack *pack, const struct yaml_node *n, const struct rule *defaults)
{
    static const char *const known[] = {
        "name", "title", "why", "owner", "tags", "labels", "status", "enabled", "when", "trigger",
        "for", "keep", "max_active", "cooldown", "priority", "unless", "limits", "clip", "attach",
        "initial", NULL,
    };
    static const char *const later[] = { "scope", "sample", "sample_by", "key", NULL };
    struct pack_rule *r = &pack->rules[pack->rule_count];

    if (!is_kind(pack, n, YAML_MAP, "a rule"))
        return;
    check_keys(pack, n, "a rule", known, later);
    r->rule = *defaults;
    const struct yaml_node *name = yaml_get(n, "name");
    if (!name) {
        pack_error(pack, n->line, n->column, "E106", "a rule lacks 'name'");
        return;
    }
    r->rule.name = get_text(pack, n, "name");
    r->rule.line = name->line;
    r->rule.column = name->column;
    if (!check_name(pack, r->rule.name, name->line, name->column, "a rule's name"))
        return;
    for (uint32_t i = 0; i < pack->rule_count; i++)
        if (strcmp(pack->rules[i].rule.name, r->rule.name) == 0)
            pack_error(pack, name->line, name->column, "E205",
                       "a second rule '%s'; the first is in line %u", r->rule.name,
                       pack->rules[i].rule.line);
    r->rule.id = join_id(pack, r->rule.name);
    read_rule_keys(pack, n, r);
    pack->rule_count++;
    if (!r->rule.id)
        (void)no_memory(pack);
}

static void read_rules(struct pack *pack, const struct yaml_node *root, const struct rule *defaults)
{
    const struct yaml_node *n = yaml_get(root, "rules");

    if (!n) {
        pack_error(pack, root->line, root->column, "E106", "the pack lacks 'rules'");
        return;
    }
    if (!is_kind(pack, n, YAML_LIST, "rules"))
        return;
    if (n->count > RULES_MAX) {
        pack_error(pack, n->line, n->column, "E502", "a pack has at most 4096 rules");
        return;
    }
    pack->rules = arena_array(pack->arena, n->count, sizeof *pack->rules);
    if (!pack->rules) {
        (void)no_memory(pack);
        return;
    }
    for (const struct yaml_node *i = n->first; i; i = i->next)
        read_rule(pack, i, defaults);
}

/* --- the head ------------------------------------------------------------------------------- */

/* ">=1.0": the least engine; this one is ENGINE_SEMANTICS_VERSION.0. */
static void check_engine(struct pack *pack, const struct yaml_node *n)
{
    unsigned major = 0, minor = 0;
    int used = 0;

    if (!is_kind(pack, n, YAML_TEXT, "engine"))
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

    if (!is_kind(pack, list, YAML_LIST, "db"))
        return;
    for (uint32_t i = 0; i < count; i++)
        names[i] = pack->dbset->entries[i].name;
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        bool found = false;
        if (!is_kind(pack, n, YAML_TEXT, "a database"))
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

    if (!n || !is_kind(pack, n, YAML_MAP, "requires"))
        return;
    check_keys(pack, n, "'requires'", known, NULL);
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
    if (!n || !is_kind(pack, n, YAML_MAP, "defaults"))
        return;
    check_keys(pack, n, "'defaults'", known, NULL);
    read_shared(pack, n, rule);
}

static void read_head(struct pack *pack, const struct yaml_node *root)
{
    const struct yaml_node *format = yaml_get(root, "format"), *package = yaml_get(root, "package");
    const struct yaml_node *version = yaml_get(root, "version");
    int a, b, c, used = 0;

    if (!format)
        pack_error(pack, root->line, root->column, "E106", "the pack lacks 'format: 1'");
    else
        (void)get_integer(pack, root, "format", 1, 1, 1);
    pack->package = get_text(pack, root, "package");
    if (!package)
        pack_error(pack, root->line, root->column, "E106", "the pack lacks 'package'");
    else if (package->kind == YAML_TEXT)
        (void)check_name(pack, pack->package, package->line, package->column, "a package's name");
    pack->version = get_text(pack, root, "version");
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
    if (!is_kind(pack, root, YAML_MAP, "a pack"))
        return 0;
    check_keys(pack, root, "a pack", known, NULL);
    read_head(pack, root);
    read_requires(pack, root);
    read_signals(pack, root);
    read_params(pack, root);
    read_lists(pack, root);
    read_macros(pack, root);
    read_defaults(pack, root, &defaults);
    read_rules(pack, root, &defaults);
    return 0;
}
